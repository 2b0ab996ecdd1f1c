//! SMTP with one client (RFC 5321), as far as taking reports needs it.
//!
//! No kept crate serves SMTP without also storing or relaying mail, so it is written here: seven verbs, one message.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::wire::mail_ticket::MailTicket;

use super::recorder::{BounceRecorder, TakenIn};

/// The longest line with its end, in bytes (RFC 5321, section 4.5.3.1.6).
const LINE_BYTES_MAX: u64 = 1_000;
/// The largest mail, in bytes. Of a longer one this much is read: the report stands before the mail that came back.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// What a client may send in one conversation, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Return paths of one mail.
const RECIPIENTS_MAX: usize = 10;
/// How long a client may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a conversation may take.
const CONVERSATION_MAX: Duration = Duration::from_secs(5 * 60);
/// Where complaints go, which are not about a return path.
const COMPLAINTS: &str = "complaints";

/// Talks until the client quits, breaks off or takes too long.
pub(super) async fn hold(stream: TcpStream, recorder: &BounceRecorder, shutdown: &CancellationToken) {
    let ends_at = Instant::now() + CONVERSATION_MAX;
    let mut conversation =
        Conversation { io: BufReader::new(stream), recorder, bytes_left: BYTES_MAX, ends_at, mail: None };
    let held = tokio::select! {
        held = conversation.run() => held,
        () = shutdown.cancelled() => conversation.reply("421 4.3.2 Leaving, come again").await,
    };
    if let Err(error) = held {
        debug!(%error, "A client that brought a mail back has broken off");
    }
}

struct Conversation<'a> {
    io: BufReader<TcpStream>,
    recorder: &'a BounceRecorder,
    bytes_left: usize,
    ends_at: Instant,
    /// The mail that is being announced.
    mail: Option<Announced>,
}

#[derive(Default)]
struct Announced {
    tickets: Vec<MailTicket>,
    is_complaint: bool,
}

impl Conversation<'_> {
    async fn run(&mut self) -> std::io::Result<()> {
        let domain = self.recorder.domain.clone();
        self.reply(&format!("220 {domain} ESMTP takes returned mails only")).await?;
        while let Some(line) = self.line().await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.mail = None;
                    let answer = format!(
                        "250-{domain}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE {MESSAGE_BYTES_MAX}"
                    );
                    self.reply(&answer).await?;
                }
                "HELO" => {
                    self.mail = None;
                    self.reply(&format!("250 {domain}")).await?;
                }
                "MAIL" => {
                    self.mail = Some(Announced::default());
                    self.reply("250 2.1.0 Go on").await?;
                }
                "RCPT" => {
                    let answer = self.recipient(rest);
                    self.reply(answer).await?;
                }
                "DATA" => {
                    let answer = self.data().await?;
                    self.reply(answer).await?;
                }
                "RSET" => {
                    self.mail = None;
                    self.reply("250 2.0.0 Forgotten").await?;
                }
                "NOOP" => self.reply("250 2.0.0 Still here").await?,
                "QUIT" => return self.reply("221 2.0.0 Goodbye").await,
                _ => self.reply("502 5.5.1 Not here").await?,
            }
        }
        Ok(())
    }

    /// Only for our own return paths.
    fn recipient(&mut self, rest: &str) -> &'static str {
        let Some(mail) = &mut self.mail else { return "503 5.5.1 MAIL first" };
        if mail.tickets.len() >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients";
        }
        let Some((local, domain)) = address_in(rest) else { return "501 5.1.3 RCPT TO:<address>" };
        if !domain.eq_ignore_ascii_case(&self.recorder.domain) {
            return "550 5.1.2 No mail for that domain here";
        }
        match local.parse() {
            Ok(ticket) => mail.tickets.push(ticket),
            Err(_) if local.eq_ignore_ascii_case(COMPLAINTS) => mail.is_complaint = true,
            Err(_) => return "550 5.1.1 Not a return path of ours",
        }
        "250 2.1.5 Go on"
    }

    async fn data(&mut self) -> std::io::Result<&'static str> {
        let announced = self.mail.take().filter(|mail| mail.is_complaint || !mail.tickets.is_empty());
        let Some(announced) = announced else { return Ok("503 5.5.1 MAIL and RCPT first") };
        self.reply("354 End with a dot on a line of its own").await?;
        let mut message = Vec::new();
        loop {
            let Some(line) = self.line().await? else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
            if matches!(line.as_slice(), b".\r\n" | b".\n") {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            let room = MESSAGE_BYTES_MAX.saturating_sub(message.len());
            message.extend_from_slice(&line[..line.len().min(room)]);
        }
        Ok(match self.recorder.take_in(&announced.tickets, &message).await {
            TakenIn::Done => "250 2.0.0 Taken",
            TakenIn::Later => "451 4.3.0 Come again later",
        })
    }

    async fn reply(&mut self, text: &str) -> std::io::Result<()> {
        let sending = async {
            let stream = self.io.get_mut();
            stream.write_all(text.as_bytes()).await?;
            stream.write_all(b"\r\n").await?;
            stream.flush().await
        };
        timeout_at(self.ends_at.min(Instant::now() + IDLE_MAX), sending).await?
    }

    /// The next line with its end; of a longer one the next piece. `None`: the client is gone.
    async fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let until = self.ends_at.min(Instant::now() + IDLE_MAX);
        let mut within = (&mut self.io).take(LINE_BYTES_MAX);
        let read = timeout_at(until, within.read_until(b'\n', &mut line)).await??;
        self.bytes_left = self.bytes_left.checked_sub(read).ok_or(std::io::ErrorKind::QuotaExceeded)?;
        Ok((read > 0).then_some(line))
    }
}

/// `TO:<b-…@bounces.example.com> NOTIFY=NEVER` gives both sides of the `@`.
fn address_in(rest: &str) -> Option<(&str, &str)> {
    let (_, rest) = rest.split_once(':').filter(|(word, _)| word.trim().eq_ignore_ascii_case("to"))?;
    rest.trim_start().strip_prefix('<')?.split_once('>')?.0.rsplit_once('@')
}
