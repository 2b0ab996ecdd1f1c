//! SMTP with one client (RFC 5321), as far as taking reports and replies needs it.
//!
//! No kept crate serves SMTP without also storing or relaying mail, so it is written here: seven verbs, one message.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watchbell::{
    runtime::http::{ConnectionStanding, NoPlace, Place},
    wire::mail_ticket::MailTicket,
};

use super::{
    acknowledger::ReplyAcknowledger,
    automatic::is_nobody,
    bounce_recorder::BounceRecorder,
    incoming_message::{IncomingMessage, MessageReader},
    taken_in::TakenIn,
};

/// The longest line with its end, in bytes (RFC 5321, section 4.5.3.1.6).
const LINE_BYTES_MAX: u64 = 1_000;
/// The largest mail, in bytes: people reply with pictures in their signatures.
const SIZE_MAX: usize = 10 * 1024 * 1024;
/// What a client may send in one conversation, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Return paths and addresses for replies of one mail.
const RECIPIENTS_MAX: usize = 10;
/// How long a client may be silent before it has said anything.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// How long it may be silent later.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a conversation may take.
const CONVERSATION_MAX: Duration = Duration::from_secs(5 * 60);
/// Where complaints go, which are not about a return path: the name to register with mailbox providers, and the one that they
/// try by themselves (RFC 2142, section 4).
const COMPLAINTS: [&str; 2] = ["complaints", "abuse"];
/// Whom every server takes mail for, also without a domain (RFC 5321, section 4.5.1). It is not read.
const POSTMASTER: &str = "postmaster";
/// To whoever writes a line that is none.
const NO_LINE: &str = "500 5.5.2 Lines end with CRLF and have at most 1000 bytes";

/// What conversations share.
pub(super) struct IncomingMail {
    /// In small letters.
    pub(super) domain: String,
    pub(super) bounces: BounceRecorder,
    pub(super) replies: Option<ReplyAcknowledger>,
}

/// Says why there is no place for a client, without waiting for it.
pub(super) fn turn_away(stream: &TcpStream, no_place: NoPlace) {
    farewell(
        stream,
        match no_place {
            NoPlace::AllAreBusy => "421 4.3.2 Too many conversations here, come again\r\n",
            NoPlace::ShareIsBusy => "421 4.7.0 Too many conversations from your address, come again\r\n",
        },
    );
}

/// Says one thing, if there is room for it: who does not read what we say is not waited for.
fn farewell(stream: &TcpStream, text: &str) {
    if let Err(error) = stream.try_write(text.as_bytes()) {
        debug!(%error, "A client was not told why it has to go");
    }
}

/// Talks until the client quits, breaks off, takes too long or has to make room for another one.
pub(super) async fn hold(
    stream: TcpStream,
    place: &Place,
    incoming: &IncomingMail,
    shutdown: &CancellationToken,
) {
    let begun_at = Instant::now();
    let mut conversation = Conversation {
        io: BufReader::new(stream),
        place,
        incoming,
        bytes_left: BYTES_MAX,
        begun_at,
        has_spoken: false,
        knows_an_address: false,
        mail: None,
    };
    let has_to_go = poll_fn(|context| match place.has_to_go(context.waker()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    let held = tokio::select! {
        held = conversation.run() => held,
        () = has_to_go => {
            farewell(conversation.io.get_ref(), "421 4.3.2 Making room for another client, come again\r\n");
            Ok(())
        }
        () = shutdown.cancelled() => conversation.reply("421 4.3.2 Leaving, come again").await,
    };
    if let Err(error) = held {
        if error.kind() == std::io::ErrorKind::TimedOut {
            farewell(conversation.io.get_ref(), "421 4.4.2 That took too long, come again\r\n");
        }
        debug!(%error, "A client that brought a mail back has broken off");
    }
}

struct Conversation<'a> {
    io: BufReader<TcpStream>,
    place: &'a Place,
    incoming: &'a IncomingMail,
    bytes_left: usize,
    begun_at: Instant,
    has_spoken: bool,
    /// It has named an address that we signed, so it brings a mail.
    knows_an_address: bool,
    /// The mail that is being announced.
    mail: Option<Announced>,
}

#[derive(Default)]
struct Announced {
    /// Its return path is nobody's: a program wrote it.
    is_from_nobody: bool,
    /// The mails that it reports of.
    returned: Vec<MailTicket>,
    /// The mails that it replies to.
    replied: Vec<MailTicket>,
    is_complaint: bool,
    is_for_postmaster: bool,
}

impl Announced {
    fn recipients(&self) -> usize {
        self.returned.len() + self.replied.len() + usize::from(self.is_complaint || self.is_for_postmaster)
    }
}

impl Conversation<'_> {
    async fn run(&mut self) -> std::io::Result<()> {
        let domain = self.incoming.domain.clone();
        self.reply(&format!("220 {domain} ESMTP takes returned mails and replies only")).await?;
        while let Some(line) = self.line().await? {
            self.has_spoken = true;
            // Whoever takes a line to end elsewhere than we do would have us run what is none of its commands.
            let Some(line) = line.strip_suffix(b"\r\n") else { return self.reply(NO_LINE).await };
            let line = String::from_utf8_lossy(line).into_owned();
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
        self.mail = Some(Announced { is_from_nobody: is_nobody(path), ..Announced::default() });
        "250 2.1.0 Go on"
    }

    /// Only for our own return paths and addresses for replies.
    fn recipient(&mut self, rest: &str) -> &'static str {
        let Some(mail) = &mut self.mail else { return "503 5.5.1 MAIL first" };
        if mail.recipients() >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients";
        }
        let Some((path, _)) = path_in(rest, "to") else { return "501 5.1.3 RCPT TO:<address>" };
        let (local, domain) = match path.rsplit_once('@') {
            Some(address) => address,
            None if path.eq_ignore_ascii_case(POSTMASTER) => (path, self.incoming.domain.as_str()),
            None => return "501 5.1.3 RCPT TO:<address>",
        };
        if !domain.eq_ignore_ascii_case(&self.incoming.domain) {
            return "550 5.1.2 No mail for that domain here";
        }
        let IncomingMail { bounces, replies, .. } = self.incoming;
        if let Some(ticket) = replies.as_ref().and_then(|replies| replies.ticket_in(local)) {
            mail.replied.push(ticket);
            self.knows_an_address = true;
        } else if let Some(ticket) = bounces.ticket_in(local) {
            mail.returned.push(ticket);
            self.knows_an_address = true;
        } else if COMPLAINTS.iter().any(|name| local.eq_ignore_ascii_case(name)) {
            mail.is_complaint = true;
        } else if local.eq_ignore_ascii_case(POSTMASTER) {
            mail.is_for_postmaster = true;
        } else {
            return "550 5.1.1 No address of ours";
        }
        "250 2.1.5 Go on"
    }

    async fn data(&mut self) -> std::io::Result<&'static str> {
        let announced = self.mail.take().filter(|mail| mail.recipients() > 0);
        let Some(announced) = announced else { return Ok("503 5.5.1 MAIL and RCPT first") };
        self.reply("354 End with a dot on a line of its own").await?;
        let message = self.message().await?;
        self.place.stands(ConnectionStanding::Busy);
        Ok(match self.take_in(&announced, &message).await {
            TakenIn::Done => "250 2.0.0 Taken",
            TakenIn::Later => "451 4.3.0 Come again later",
        })
    }

    /// The mail that follows.
    async fn message(&mut self) -> std::io::Result<IncomingMessage> {
        let mut reader = MessageReader::default();
        while !reader.has_ended() {
            let until = self.waits();
            let bytes = timeout_at(until, self.io.fill_buf()).await??;
            if bytes.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let taken = reader.take(bytes);
            self.io.consume(taken);
            self.bytes_left = self.bytes_left.checked_sub(taken).ok_or(std::io::ErrorKind::QuotaExceeded)?;
        }
        Ok(reader.message())
    }

    async fn take_in(&self, announced: &Announced, message: &IncomingMessage) -> TakenIn {
        let Announced { is_from_nobody, returned, replied, is_complaint, is_for_postmaster } = announced;
        let IncomingMail { bounces, replies, .. } = self.incoming;
        if let Some(replies) = replies
            && replies.take_in(replied, *is_from_nobody, message).await == TakenIn::Later
        {
            return TakenIn::Later;
        }
        // What was only replied to is no report, whatever it says.
        match *is_complaint || !returned.is_empty() {
            true => bounces.take_in(returned, message.bytes()).await,
            false if *is_for_postmaster => bounces.written_to_us(),
            false => TakenIn::Done,
        }
    }

    async fn reply(&mut self, text: &str) -> std::io::Result<()> {
        let until = self.waits();
        let sending = async {
            let stream = self.io.get_mut();
            stream.write_all(text.as_bytes()).await?;
            stream.write_all(b"\r\n").await?;
            stream.flush().await
        };
        timeout_at(until, sending).await?
    }

    /// Says that we wait for the client, and until when. Who has shown no address of ours goes first, the oldest before the others
    /// whatever it says meanwhile.
    fn waits(&self) -> Instant {
        let now = Instant::now();
        self.place.stands(match self.knows_an_address {
            true => ConnectionStanding::Waits(now),
            false => ConnectionStanding::Idle(self.begun_at),
        });
        let idle_max = if self.has_spoken { IDLE_MAX } else { SILENT_MAX };
        (self.begun_at + CONVERSATION_MAX).min(now + idle_max)
    }

    /// The next line with its end; of a longer one its beginning, without an end. `None`: the client is gone.
    async fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let until = self.waits();
        let mut within = (&mut self.io).take(LINE_BYTES_MAX);
        let read = timeout_at(until, within.read_until(b'\n', &mut line)).await??;
        self.bytes_left = self.bytes_left.checked_sub(read).ok_or(std::io::ErrorKind::QuotaExceeded)?;
        Ok((read > 0).then_some(line))
    }
}

/// `TO:<b-…@bounces.example.com> NOTIFY=NEVER` gives what is between the angle brackets, and the parameters. A route before the address is
/// passed over (RFC 5321, appendix C).
fn path_in<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = rest.split_once(':').filter(|(found, _)| found.trim().eq_ignore_ascii_case(word))?;
    let (path, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let without_route = path.strip_prefix('@').and_then(|route| route.split_once(':'));
    Some((without_route.map_or(path, |(_, address)| address), parameters))
}
