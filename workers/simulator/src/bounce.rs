//! A mail that comes back: a delivery status (RFC 3464), handed by SMTP to whoever takes mail for the return path's domain.

use std::io;

use crate::faults::Bounce;
use crate::smtp_client::{Outgoing, hand_over};

/// Tells the return path that the mail to this address came back.
pub(crate) async fn tell(bounce: &Bounce, return_path: &str, to: &str, host: &str) -> io::Result<()> {
    let message = report(bounce, return_path, to, host);
    let mail = Outgoing { mx: bounce.mx, host, return_path: "", to: return_path, message: &message };
    hand_over(&mail).await.map(drop)
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
    ]
    .join("\r\n")
}
