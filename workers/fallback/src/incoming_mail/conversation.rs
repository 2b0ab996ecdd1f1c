//! SMTP with one client (RFC 5321), as far as taking reports and replies needs it.
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

use super::{acknowledger::ReplyAcknowledger, bounce_recorder::BounceRecorder, taken_in::TakenIn};

/// The longest line with its end, in bytes (RFC 5321, section 4.5.3.1.6).
const LINE_BYTES_MAX: u64 = 1_000;
/// How much of a mail is looked at, in bytes: a report stands before the mail that came back, and of a reply the head is enough.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The largest mail, in bytes: people reply with pictures in their signatures.
const SIZE_MAX: usize = 10 * 1024 * 1024;
/// What a client may send in one conversation, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Return paths and addresses for replies of one mail.
const RECIPIENTS_MAX: usize = 10;
/// How long a client may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a conversation may take.
const CONVERSATION_MAX: Duration = Duration::from_secs(5 * 60);
/// Where complaints go, which are not about a return path.
const COMPLAINTS: &str = "complaints";

/// What conversations share.
pub(super) struct IncomingMail {
    /// In small letters.
    pub(super) domain: String,
    pub(super) bounces: BounceRecorder,
    pub(super) replies: Option<ReplyAcknowledger>,
}

/// Talks until the client quits, breaks off or takes too long.
pub(super) async fn hold(stream: TcpStream, incoming: &IncomingMail, shutdown: &CancellationToken) {
    let ends_at = Instant::now() + CONVERSATION_MAX;
    let mut conversation =
        Conversation { io: BufReader::new(stream), incoming, bytes_left: BYTES_MAX, ends_at, mail: None };
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
    incoming: &'a IncomingMail,
    bytes_left: usize,
    ends_at: Instant,
    /// The mail that is being announced.
    mail: Option<Announced>,
}

#[derive(Default)]
struct Announced {
    /// Its return path is empty: a program wrote it.
    is_from_nobody: bool,
    /// The mails that it reports of.
    returned: Vec<MailTicket>,
    /// The mails that it replies to.
    replied: Vec<MailTicket>,
    is_complaint: bool,
}

impl Announced {
    fn recipients(&self) -> usize {
        self.returned.len() + self.replied.len() + usize::from(self.is_complaint)
    }
}

impl Conversation<'_> {
    async fn run(&mut self) -> std::io::Result<()> {
        let domain = self.incoming.domain.clone();
        self.reply(&format!("220 {domain} ESMTP takes returned mails and replies only")).await?;
        while let Some(line) = self.line().await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.mail = None;
                    let answer = format!(
                        "250-{domain}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE {SIZE_MAX}"
                    );
                    self.reply(&answer).await?;
                }
                "HELO" => {
                    self.mail = None;
                    self.reply(&format!("250 {domain}")).await?;
                }
                "MAIL" => {
                    let answer = self.sender(rest);
                    self.reply(answer).await?;
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

    fn sender(&mut self, rest: &str) -> &'static str {
        self.mail = None;
        let Some((path, parameters)) = path_in(rest, "from") else { return "501 5.5.4 MAIL FROM:<address>" };
        let size = parameters.split(' ').find_map(|parameter| {
            let (name, size) = parameter.split_once('=')?;
            name.eq_ignore_ascii_case("size").then(|| size.parse::<usize>().unwrap_or(usize::MAX))
        });
        if size.is_some_and(|size| size > SIZE_MAX) {
            return "552 5.3.4 Larger than is taken here";
        }
        self.mail = Some(Announced { is_from_nobody: path.is_empty(), ..Announced::default() });
        "250 2.1.0 Go on"
    }

    /// Only for our own return paths and addresses for replies.
    fn recipient(&mut self, rest: &str) -> &'static str {
        let Some(mail) = &mut self.mail else { return "503 5.5.1 MAIL first" };
        if mail.recipients() >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients";
        }
        let address = path_in(rest, "to").and_then(|(path, _)| path.rsplit_once('@'));
        let Some((local, domain)) = address else { return "501 5.1.3 RCPT TO:<address>" };
        if !domain.eq_ignore_ascii_case(&self.incoming.domain) {
            return "550 5.1.2 No mail for that domain here";
        }
        let replied = self.incoming.replies.as_ref().and_then(|replies| replies.ticket_in(local));
        match (replied, local.parse()) {
            (Some(ticket), _) => mail.replied.push(ticket),
            (None, Ok(ticket)) => mail.returned.push(ticket),
            (None, Err(_)) if local.eq_ignore_ascii_case(COMPLAINTS) => mail.is_complaint = true,
            (None, Err(_)) => return "550 5.1.1 No address of ours",
        }
        "250 2.1.5 Go on"
    }

    async fn data(&mut self) -> std::io::Result<&'static str> {
        let announced = self.mail.take().filter(|mail| mail.recipients() > 0);
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
        Ok(match self.take_in(&announced, &message).await {
            TakenIn::Done => "250 2.0.0 Taken",
            TakenIn::Later => "451 4.3.0 Come again later",
        })
    }

    async fn take_in(&self, announced: &Announced, message: &[u8]) -> TakenIn {
        let Announced { is_from_nobody, returned, replied, is_complaint } = announced;
        let IncomingMail { bounces, replies, .. } = self.incoming;
        if let Some(replies) = replies
            && replies.take_in(replied, *is_from_nobody, message).await == TakenIn::Later
        {
            return TakenIn::Later;
        }
        // What was only replied to is no report, whatever it says.
        match *is_complaint || !returned.is_empty() {
            true => bounces.take_in(returned, message).await,
            false => TakenIn::Done,
        }
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

/// `TO:<b-…@bounces.example.com> NOTIFY=NEVER` gives what is between the angle brackets, and the parameters.
fn path_in<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = rest.split_once(':').filter(|(found, _)| found.trim().eq_ignore_ascii_case(word))?;
    rest.trim_start().strip_prefix('<')?.split_once('>')
}
