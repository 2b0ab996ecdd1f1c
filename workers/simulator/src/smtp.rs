//! A mail relay: SMTP with STARTTLS and AUTH that takes in whatever is valid and forwards nothing.
//!
//! What holds here:
//! - Lines, messages, recipients, waiting and connections are bounded; what is over is answered with the right code.
//! - Whatever a client sent ahead of STARTTLS is forgotten, as RFC 3207 demands.
//! - An email is recorded once for each recipient, before it is answered.
//! - Whatever the relay does not offer (`extensions`) is refused.
//!
//! A fault acts at one point of the conversation: 530, 535 and 538 at AUTH, or at MAIL if there was none; 552
//! and 554 and those without a status at the final dot; all others at RCPT. 421 also hangs up.
//!
//! Elsewhere: reading lines, in `line`, and messages, in `mime`; accepting connections, in `serve`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind, SentMail};
use crate::bounce;
use crate::extensions::{Extension, RelayOffer};
use crate::faults::{Bounce, DropAt, Fault, Provider};
use crate::line::{Line, path, read_line};
use crate::mime;

/// The largest message in bytes, as EHLO says.
const MESSAGE_MAX: usize = 1024 * 1024;
const RECIPIENTS_MAX: usize = 100;
/// The longest address (RFC 5321: 64 + 1 + 255).
const ADDRESS_LEN_MAX: usize = 320;
/// How long a client may be silent.
const IDLE_MAX: Duration = Duration::from_secs(300);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What all connections share.
pub(crate) struct Relay {
    pub(crate) shared: Arc<Shared>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) host: String,
    pub(crate) shutdown: CancellationToken,
}

/// Serves one client until it quits, goes silent, breaks off, or a fault hangs up.
pub(crate) async fn serve(relay: Arc<Relay>, stream: TcpStream, number: u64) {
    if let Err(error) = converse(&relay, stream, number).await {
        debug!(%error, "A client closed its connection early");
    }
}

async fn converse(relay: &Relay, stream: TcpStream, number: u64) -> io::Result<()> {
    let mut session = Session::new(relay, stream, number, false);
    session.reply(&format!("220 {} ESMTP Watchbell simulator", relay.host)).await?;
    if let Ended::StartTls = session.run().await? {
        // Taking the stream out of its reader forgets what was sent ahead.
        let accepted = timeout(HANDSHAKE_MAX, relay.acceptor.accept(session.io.into_inner())).await??;
        Session::new(relay, accepted, number, true).run().await?;
    }
    Ok(())
}

enum Ended {
    HungUp,
    StartTls,
}

/// One conversation, before or after STARTTLS.
struct Session<'a, S> {
    relay: &'a Relay,
    io: BufReader<S>,
    connection: u64,
    secure: bool,
    greeted: bool,
    authenticated: bool,
    mail: Option<Vec<String>>,
    /// Where the mail comes back to.
    return_path: String,
    /// Whether it may have addresses beyond ASCII.
    is_utf8: bool,
    /// What came of it by BDAT.
    chunks: Vec<u8>,
    /// What is offered while this connection lasts.
    offer: RelayOffer,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(relay: &'a Relay, stream: S, connection: u64, secure: bool) -> Self {
        let io = BufReader::new(stream);
        Self {
            relay,
            io,
            connection,
            secure,
            greeted: false,
            authenticated: false,
            mail: None,
            return_path: String::new(),
            is_utf8: false,
            chunks: Vec::new(),
            offer: relay.shared.relay_offer.get(),
        }
    }

    async fn run(&mut self) -> io::Result<Ended> {
        loop {
            let line = match self.line().await? {
                Line::Text(line) => String::from_utf8_lossy(&line).into_owned(),
                Line::TooLong => {
                    self.reply("500 5.5.2 Line too long").await?;
                    continue;
                }
                Line::BareLf => {
                    self.reply("500 5.5.2 Lines end in CR LF").await?;
                    continue;
                }
                ended => return self.end(&ended).await,
            };
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = verb.to_ascii_uppercase();
            // The bytes of a chunk follow its command at once.
            if verb != "BDAT" && !self.offer.has(Extension::Pipelining) && !self.io.buffer().is_empty() {
                self.reply("503 5.5.0 Commands were sent ahead").await?;
                return Ok(Ended::HungUp);
            }
            match verb.as_str() {
                "EHLO" => self.ehlo().await?,
                "HELO" => {
                    (self.greeted, self.mail) = (true, None);
                    self.reply(&format!("250 {}", self.relay.host)).await?;
                }
                "STARTTLS" if !self.secure && self.offer.has(Extension::StartTls) => {
                    self.reply("220 2.0.0 Begin TLS").await?;
                    return Ok(Ended::StartTls);
                }
                "AUTH" if self.offer.has(Extension::Auth) => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => {
                    if self.rcpt(rest).await? {
                        return Ok(Ended::HungUp);
                    }
                }
                "DATA" => {
                    if self.data().await? {
                        return Ok(Ended::HungUp);
                    }
                }
                "BDAT" if self.offer.has(Extension::Chunking) => {
                    if self.chunk(rest).await? {
                        return Ok(Ended::HungUp);
                    }
                }
                "RSET" => {
                    self.mail = None;
                    self.reply("250 2.0.0 Forgotten").await?;
                }
                "NOOP" => self.reply("250 2.0.0 Still here").await?,
                "QUIT" => {
                    self.reply("221 2.0.0 Goodbye").await?;
                    return Ok(Ended::HungUp);
                }
                "VRFY" => self.reply("252 2.1.5 Send some mail and see").await?,
                _ => self.reply("500 5.5.1 Unknown command").await?,
            }
        }
    }

    async fn ehlo(&mut self) -> io::Result<()> {
        (self.greeted, self.mail) = (true, None);
        let listed = self.offer.ehlo(&self.relay.host, self.secure, MESSAGE_MAX);
        self.reply(&listed).await
    }

    /// Any credentials do: what is tried here is the sender's side.
    async fn auth(&mut self, rest: &str) -> io::Result<()> {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        if !self.offer.takes(mechanism) {
            return self.reply("504 5.5.4 Not by that mechanism").await;
        }
        let prompts: &[&str] = match (mechanism.to_ascii_uppercase().as_str(), initial) {
            ("PLAIN", "") => &["334 "],
            ("PLAIN", _) => &[],
            ("LOGIN", "") => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            ("LOGIN", _) => &["334 UGFzc3dvcmQ6"],
            _ => return self.reply("504 5.5.4 PLAIN or LOGIN").await,
        };
        for prompt in prompts {
            self.reply(prompt).await?;
            match self.line().await? {
                Line::Text(answer) if answer != b"*" => {}
                _ => return self.reply("501 5.7.0 Not authenticated").await,
            }
        }
        let fault = self.take_fault(Point::Auth, &[]);
        if let Some(refusal) = refuse(&fault).await {
            return self.reply(&refusal).await;
        }
        self.authenticated = true;
        self.reply("235 2.7.0 Welcome").await
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        let Some((return_path, parameters)) = path(rest, "FROM:") else {
            return self.reply("501 5.5.4 MAIL FROM:<address>").await;
        };
        if let Some(refusal) = self.offer.refusal_of(parameters) {
            return self.reply(refusal).await;
        }
        let is_utf8 = parameters.split(' ').any(|parameter| parameter.eq_ignore_ascii_case("SMTPUTF8"));
        if !is_utf8 && !return_path.is_ascii() {
            return self.reply("553 5.6.7 An address beyond ASCII").await;
        }
        let size = parameters.split(' ').find_map(|parameter| parameter.strip_prefix("SIZE="));
        if !self.greeted || self.mail.is_some() {
            return self.reply("503 5.5.1 EHLO first, then one MAIL at a time").await;
        }
        if size.and_then(|size| size.parse::<usize>().ok()).is_some_and(|size| size > MESSAGE_MAX) {
            return self.reply("552 5.3.4 Message too large").await;
        }
        if !self.authenticated {
            let fault = self.take_fault(Point::Auth, &[]);
            if let Some(refusal) = refuse(&fault).await {
                return self.reply(&refusal).await;
            }
        }
        (self.mail, self.return_path, self.is_utf8) = (Some(Vec::new()), return_path.to_owned(), is_utf8);
        self.chunks.clear();
        self.reply("250 2.1.0 Sender fine").await
    }

    /// True if it hung up.
    async fn rcpt(&mut self, rest: &str) -> io::Result<bool> {
        let (address, parameters) = path(rest, "TO:").unwrap_or_default();
        let address = address.to_owned();
        let refusal = self.offer.refusal_of(parameters);
        let answer = match &self.mail {
            None => "503 5.5.1 MAIL first",
            Some(_) if refusal.is_some() => refusal.unwrap_or_default(),
            Some(_) if !address.is_ascii() && !self.is_utf8 => "553 5.6.7 An address beyond ASCII",
            Some(_) if !address.contains('@') || address.len() > ADDRESS_LEN_MAX => {
                "501 5.1.3 RCPT TO:<address>"
            }
            Some(recipients) if recipients.len() == RECIPIENTS_MAX => "452 4.5.3 Too many recipients",
            Some(_) => "250 2.1.5 Recipient fine",
        };
        if answer.starts_with('2') {
            let fault = self.take_fault(Point::Recipient, std::slice::from_ref(&address));
            if let Some(refusal) = refuse(&fault).await {
                self.reply(&refusal).await?;
                return Ok(fault.status == Some(421));
            }
            self.mail.get_or_insert_default().push(address);
        }
        self.reply(answer).await?;
        Ok(false)
    }

    /// True if it hung up.
    async fn data(&mut self) -> io::Result<bool> {
        let recipients = match self.mail.take() {
            Some(recipients) if !recipients.is_empty() => recipients,
            mail => {
                self.mail = mail;
                self.reply("503 5.5.1 MAIL and RCPT first").await?;
                return Ok(false);
            }
        };
        self.reply("354 End with a dot on a line of its own").await?;
        let mut message = Vec::new();
        let mut refused = None;
        loop {
            match self.line().await? {
                Line::Text(line) if line == b"." => break,
                Line::Text(line) => {
                    let line = line.strip_prefix(b".").unwrap_or(&line);
                    if message.len() + line.len() + 2 > MESSAGE_MAX {
                        refused = Some("552 5.3.4 Message too large");
                        message.clear();
                    }
                    if refused.is_none() {
                        message.extend_from_slice(line);
                        message.extend_from_slice(b"\r\n");
                    }
                }
                Line::TooLong => refused = Some("554 5.6.0 A line is longer than 998 bytes"),
                Line::BareLf => {
                    // Where this message ends is open to dispute, so nothing more is read.
                    self.reply("554 5.6.0 A line ends in LF alone").await?;
                    return Ok(true);
                }
                ended => {
                    self.end(&ended).await?;
                    return Ok(true);
                }
            }
        }
        match refused {
            Some(refused) => self.reply(refused).await.map(|()| false),
            None => self.take_in(message, recipients).await,
        }
    }

    /// `BDAT 5 LAST` and five bytes (RFC 3030). True if it hung up.
    async fn chunk(&mut self, rest: &str) -> io::Result<bool> {
        let (size, last) = rest.split_once(' ').unwrap_or((rest, ""));
        let room = MESSAGE_MAX - self.chunks.len();
        let Some(size) = size.parse().ok().filter(|size| *size <= room) else {
            // What follows would be read as commands.
            self.reply("552 5.3.4 Message too large").await?;
            return Ok(true);
        };
        let mut bytes = vec![0; size];
        timeout(IDLE_MAX, self.io.read_exact(&mut bytes)).await??;
        let recipients = self.mail.as_ref().filter(|recipients| !recipients.is_empty()).cloned();
        let Some(recipients) = recipients else {
            self.reply("503 5.5.1 MAIL and RCPT first").await?;
            return Ok(false);
        };
        self.chunks.extend_from_slice(&bytes);
        if last.trim().eq_ignore_ascii_case("LAST") {
            self.mail = None;
            let message = std::mem::take(&mut self.chunks);
            return self.take_in(message, recipients).await;
        }
        self.reply("250 2.0.0 Go on").await?;
        Ok(false)
    }

    /// Records a whole message, or refuses it. True if it hung up.
    async fn take_in(&mut self, message: Vec<u8>, recipients: Vec<String>) -> io::Result<bool> {
        if !self.offer.has(Extension::EightBitMime) && !message.is_ascii() {
            self.reply("554 5.6.1 Eight-bit text").await?;
            return Ok(false);
        }
        let fault = self.take_fault(Point::Message, &recipients);
        if let Some(refusal) = refuse(&fault).await {
            self.reply(&refusal).await?;
            return Ok(false);
        }
        if fault.drop == Some(DropAt::Before) {
            return Ok(true);
        }
        let to = recipients.first().cloned().unwrap_or_default();
        self.record(message, recipients);
        if fault.drop == Some(DropAt::After) {
            return Ok(true);
        }
        self.reply(&format!("250 2.0.0 Queued as {}", Uuid::now_v7())).await?;
        if let Some(bounce) = &fault.bounce {
            self.bounce(bounce, &to).await;
        }
        Ok(false)
    }

    /// Sends the mail's own return path a report that it came back from `to`.
    async fn bounce(&self, bounce: &Bounce, to: &str) {
        let told = tokio::select! {
            () = self.relay.shutdown.cancelled() => return,
            told = bounce::tell(bounce, &self.return_path, to, &self.relay.host) => told,
        };
        if let Err(error) = told {
            warn!(mx = %bounce.mx, %error, "A mail that came back was not taken");
        }
    }

    fn record(&self, message: Vec<u8>, recipients: Vec<String>) {
        let mime::Mail { headers, text, html } = mime::parse(&message);
        let message = Bytes::from(message);
        let header = |name: &str| headers.get(name).cloned();
        for to in recipients {
            self.relay.shared.record(Incoming {
                kind: Kind::Email,
                user: header("x-watchbell-user"),
                to,
                alert: header("x-watchbell-alert"),
                title: header("subject").unwrap_or_default(),
                body: text.clone(),
                ids: Ids { message_id: header("message-id"), ..Ids::default() },
                headers: headers.clone(),
                payload: None,
                withdraws: Vec::new(),
                declared: None,
                activity: None,
                mail: html.clone().map(|html| SentMail::new(html, message.clone())),
                connection: self.connection,
            });
        }
    }

    fn take_fault(&self, point: Point, recipients: &[String]) -> Fault {
        self.relay.shared.faults.take(Provider::Email, |fault| {
            let is_of_all = fault.to.is_none() && fault.origin.is_none();
            let is_for = |to: &String| {
                let domain = to.rsplit_once('@').map_or("", |(_, domain)| domain);
                fault.is_for(to) && fault.is_for_origin(domain)
            };
            (is_of_all || recipients.iter().any(is_for)) && Point::of(fault) == point
        })
    }

    async fn end(&mut self, why: &Line) -> io::Result<Ended> {
        match why {
            Line::ShuttingDown => self.reply("421 4.3.2 Shutting down").await?,
            Line::Silent => self.reply("421 4.4.2 Silent for too long").await?,
            _ => {}
        }
        Ok(Ended::HungUp)
    }

    /// Sends one reply, given without its last CRLF.
    async fn reply(&mut self, text: &str) -> io::Result<()> {
        let stream = self.io.get_mut();
        stream.write_all(format!("{}\r\n", self.offer.worded(text)).as_bytes()).await?;
        stream.flush().await
    }

    async fn line(&mut self) -> io::Result<Line> {
        // Not cancel-safe, which is fine: after silence and shutdown nothing more is read.
        tokio::select! {
            biased;
            () = self.relay.shutdown.cancelled() => Ok(Line::ShuttingDown),
            line = timeout(IDLE_MAX, read_line(&mut self.io)) => line.unwrap_or(Ok(Line::Silent)),
        }
    }
}

/// Where in the conversation a fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Auth,
    Recipient,
    Message,
}

impl Point {
    fn of(fault: &Fault) -> Self {
        match fault.status {
            Some(530 | 535 | 538) => Self::Auth,
            Some(552 | 554) | None => Self::Message,
            Some(_) => Self::Recipient,
        }
    }
}

/// Waits as the fault says, then gives the reply it puts in place of success, if it does.
async fn refuse(fault: &Fault) -> Option<String> {
    if let Some(delay_ms) = fault.delay_ms {
        sleep(Duration::from_millis(delay_ms)).await;
    }
    let status = fault.status?;
    let usual = match status {
        421 => "4.3.2 Service not available",
        450 => "4.7.1 Greylisted, try again later",
        451 => "4.3.0 Try again later",
        452 => "4.2.2 Mailbox full for now",
        530 => "5.7.0 Authentication required",
        535 | 538 => "5.7.8 Authentication failed",
        550 => "5.1.1 No such user",
        552 => "5.2.2 Mailbox full",
        553 => "5.1.3 Bad address",
        554 => "5.7.1 Refused by policy",
        400..=499 => "4.0.0 Try again later",
        _ => "5.0.0 Refused",
    };
    Some(format!("{status} {}", fault.reason.as_deref().unwrap_or(usual)))
}
