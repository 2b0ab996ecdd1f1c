//! A mail that comes back: a delivery status (RFC 3464), handed by SMTP to whoever takes mail for the return path's domain.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::faults::Bounce;

/// Tells the return path that the mail to this address came back.
pub(crate) async fn tell(bounce: &Bounce, return_path: &str, to: &str, host: &str) -> io::Result<()> {
    let mut client = BufReader::new(TcpStream::connect(bounce.mx).await?);
    expect(&mut client, '2').await?;
    for (line, answer) in [
        (format!("EHLO {host}"), '2'),
        ("MAIL FROM:<>".to_owned(), '2'),
        (format!("RCPT TO:<{return_path}>"), '2'),
        ("DATA".to_owned(), '3'),
        (report(bounce, return_path, to, host) + ".", '2'),
        ("QUIT".to_owned(), '2'),
    ] {
        client.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        expect(&mut client, answer).await?;
    }
    Ok(())
}

/// Reads a reply of one or several lines, which must begin with this digit.
async fn expect(client: &mut BufReader<TcpStream>, digit: char) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !line.starts_with(digit) {
            return Err(io::Error::other(line.trim_end().to_owned()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

fn report(bounce: &Bounce, return_path: &str, to: &str, host: &str) -> String {
    let status = &bounce.status;
    [
        &format!("From: Mail Delivery System <MAILER-DAEMON@{host}>"),
        &format!("To: {return_path}"),
        "Subject: Undelivered Mail Returned to Sender",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=edge",
        "",
        "--edge",
        "",
        "Your mail could not be delivered.",
        "--edge",
        "Content-Type: message/delivery-status",
        "",
        &format!("Reporting-MTA: dns; {host}"),
        "",
        &format!("Final-Recipient: rfc822; {to}"),
        "Action: failed",
        &format!("Status: {status}"),
        &format!("Diagnostic-Code: smtp; 550 {status} <{to}>: refused"),
        "",
        "--edge--",
        "",
    ]
    .join("\r\n")
}
