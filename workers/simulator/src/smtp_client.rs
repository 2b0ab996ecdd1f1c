//! Hands a mail over by SMTP, as the relay of somebody who writes to us does.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long it may take to hand one mail over.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_secs(30);

/// A mail on its way to whoever takes mail for the domain of its recipient.
pub(crate) struct Outgoing<'a> {
    /// Who takes it.
    pub(crate) mx: SocketAddr,
    /// Who we say we are.
    pub(crate) host: &'a str,
    /// Empty: of nobody, as reports and automatic replies are.
    pub(crate) return_path: &'a str,
    pub(crate) to: &'a str,
    /// Head and body, lines ending in CRLF; no line begins with a dot.
    pub(crate) message: &'a str,
}

/// Hands it over, and gives the reply to the message.
///
/// # Errors
/// What was said instead, of [`ErrorKind::Other`]; or the connection broke off or took too long.
pub(crate) async fn hand_over(mail: &Outgoing<'_>) -> io::Result<String> {
    timeout(HAND_OVER_MAX, converse(mail)).await?
}

async fn converse(Outgoing { mx, host, return_path, to, message }: &Outgoing<'_>) -> io::Result<String> {
    let mut client = BufReader::new(TcpStream::connect(mx).await?);
    expect(&mut client, '2').await?;
    for (line, digit) in [
        (format!("EHLO {host}"), '2'),
        (format!("MAIL FROM:<{return_path}>"), '2'),
        (format!("RCPT TO:<{to}>"), '2'),
        ("DATA".to_owned(), '3'),
    ] {
        say(&mut client, &line, digit).await?;
    }
    let said = say(&mut client, &format!("{message}\r\n."), '2').await?;
    say(&mut client, "QUIT", '2').await?;
    Ok(said)
}

async fn say(client: &mut BufReader<TcpStream>, line: &str, digit: char) -> io::Result<String> {
    client.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    expect(client, digit).await
}

/// Reads a reply of one or several lines, which must begin with this digit, and gives the last.
async fn expect(client: &mut BufReader<TcpStream>, digit: char) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if !line.starts_with(digit) {
            return Err(io::Error::other(line.to_owned()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.to_owned());
        }
    }
}
