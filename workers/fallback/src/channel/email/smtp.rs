//! The connections to the mail relay.
//!
//! What holds here:
//! - At most `connections_max` conversations at once; who waits for one waits within the same timeout.
//! - A connection is kept only after a complete exchange. One that timed out is closed, or the next
//!   message would read this one's replies.
//! - We know how far a conversation came, which tells a refused address from a refused sender and a message
//!   that never left from one that may have arrived.
//! - A kept connection that the relay has meanwhile closed costs a new one, not the attempt.
//!
//! Why not lettre's transport and pool (0.11.23): it bounds only connecting, and puts a connection back when the
//! send on it is dropped in the middle; it does not tell the stage of a failure; and it writes the message
//! and its final dot apart, which costs 40 ms a mail without TCP_NODELAY. We write both at once.
//! Its connection, commands and TLS are used as they are.

use std::{
    error::Error as _,
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    Address,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Noop, Quit, Rcpt, Rset},
        extension::{ClientId, Extension, MailParameter},
        response::Response,
    },
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::smtp_reply::{self, Stage};
use crate::channel::error::SendError;

/// How long an unused connection is kept. Relays hang up after a few minutes, some after one.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// How the connection is encrypted.
pub(super) enum Encryption {
    None,
    StartTls(TlsParameters),
    Implicit(TlsParameters),
}

/// One relay, and the connections to it.
pub(super) struct Relay {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub credentials: Option<Credentials>,
    /// From asking for a connection to the last reply.
    pub timeout: Duration,
    pub connections: Connections,
}

/// What is open now, and how much may be.
pub(super) struct Connections {
    free: Semaphore,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl Connections {
    pub(super) fn at_most(connections_max: usize) -> Self {
        Self { free: Semaphore::new(connections_max), idle: Mutex::default() }
    }

    fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, Instant::now())); // No more than were taken, so bounded as they are.
    }
}

/// A message as it is handed over.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub from: &'a Address,
    pub to: &'a Address,
    /// Head and body, lines ending in CRLF.
    pub message: &'a str,
}

/// Where and how a conversation failed.
struct Failure {
    stage: Stage,
    how: How,
}

enum How {
    Refused {
        code: u16,
        text: String,
    },
    Lost(String),
    /// The relay cannot do what we are configured to ask for.
    Unable(String),
}

impl Failure {
    fn new(stage: Stage, error: &smtp::Error) -> Self {
        let innermost = || {
            let mut cause = error.source();
            while let Some(inner) = cause.and_then(std::error::Error::source) {
                cause = Some(inner);
            }
            cause.map_or_else(|| "no cause given".to_owned(), ToString::to_string)
        };
        let how = match error.status() {
            Some(code) => How::Refused { code: code.into(), text: innermost() },
            None if error.is_client() => How::Unable(innermost()),
            // What could not be parsed is not repeated.
            None if error.is_response() => How::Lost("the reply ended or is not SMTP".to_owned()),
            None => How::Lost(innermost()),
        };
        Self { stage, how }
    }

    fn lost(stage: Stage, why: &str) -> Self {
        Self { stage, how: How::Lost(why.to_owned()) }
    }

    /// The relay hung up while the connection was idle. Nothing of the message has been sent.
    fn is_stale_connection(&self) -> bool {
        let hung_up = matches!(self.how, How::Lost(_) | How::Refused { code: 421, .. });
        self.stage == Stage::Sender && hung_up
    }
}

impl From<Failure> for SendError {
    fn from(Failure { stage, how }: Failure) -> Self {
        match how {
            How::Refused { code, text } => smtp_reply::classify(stage, code, &text),
            How::Lost(cause) => smtp_reply::lost(stage, &cause),
            How::Unable(reason) => Self::ConfigFault { blame: smtp_reply::blame_at(stage), reason },
        }
    }
}

impl Relay {
    /// Hands one message over; returns the relay's reply to it. Cancel-safe in that a connection in the
    /// middle of a conversation is closed.
    ///
    /// # Errors
    /// As `smtp_reply` says.
    pub(super) async fn deliver(&self, envelope: Envelope<'_>) -> Result<String, SendError> {
        let deadline = Instant::now() + self.timeout;
        let Ok(Ok(_slot)) = timeout_at(deadline, self.connections.free.acquire()).await else {
            let reason = "every connection to the relay is busy".to_owned();
            return Err(SendError::Unavailable { retry_after: None, reason });
        };
        if let Some(kept) = self.connections.take() {
            match self.converse(kept, envelope, deadline).await {
                Err(failure) if failure.is_stale_connection() => {}
                outcome => return Ok(outcome?),
            }
        }
        let connection = self.connect(deadline).await?;
        Ok(self.converse(connection, envelope, deadline).await?)
    }

    /// Connects, signs in if that is configured, and says goodbye.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub(super) async fn try_out(&self) -> Result<(), SendError> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = self.connect(deadline).await?;
        step(&mut connection, Stage::Connect, Noop, deadline).await?;
        // Nothing is lost when it is not heard.
        let _ = step(&mut connection, Stage::Connect, Quit, deadline).await;
        Ok(())
    }

    async fn connect(&self, deadline: Instant) -> Result<AsyncSmtpConnection, Failure> {
        let hello = ClientId::default();
        let implicit = match &self.encryption {
            Encryption::Implicit(tls) => Some(tls.clone()),
            Encryption::None | Encryption::StartTls(_) => None,
        };
        let connecting = async {
            let server = (self.host.as_str(), self.port);
            let wait_max = Some(self.timeout);
            let mut connection =
                AsyncSmtpConnection::connect_tokio1(server, wait_max, &hello, implicit, None).await?;
            if let Encryption::StartTls(tls) = &self.encryption {
                connection.starttls(tls.clone(), &hello).await?;
            }
            if let Some(credentials) = &self.credentials {
                connection.auth(DEFAULT_MECHANISMS, credentials).await?;
            }
            Ok::<_, smtp::Error>(connection)
        };
        match timeout_at(deadline, connecting).await {
            Ok(connected) => connected.map_err(|error| Failure::new(Stage::Connect, &error)),
            Err(_) => Err(Failure::lost(Stage::Connect, "no answer in time")),
        }
    }

    async fn converse(
        &self,
        mut connection: AsyncSmtpConnection,
        envelope: Envelope<'_>,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let outcome = hand_over(&mut connection, envelope, deadline).await;
        let reusable = match &outcome {
            Ok(_) => true,
            // Refused politely: the connection is good, once the half-made transaction is forgotten.
            Err(Failure { how: How::Refused { code, .. }, .. }) if *code != 421 => {
                step(&mut connection, Stage::Connect, Rset, deadline).await.is_ok()
            }
            Err(_) => false,
        };
        if reusable {
            self.connections.keep(connection);
        }
        outcome
    }
}

async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    Envelope { from, to, message }: Envelope<'_>,
    deadline: Instant,
) -> Result<String, Failure> {
    let ascii = [from, to].iter().all(|address| AsRef::<str>::as_ref(address).is_ascii());
    let parameters = match ascii {
        true => Vec::new(),
        false if connection.server_info().supports_feature(Extension::SmtpUtfEight) => {
            vec![MailParameter::SmtpUtfEight]
        }
        false => {
            let text = "5.6.7 the relay does not take addresses beyond ASCII".to_owned();
            return Err(Failure { stage: Stage::Recipient, how: How::Refused { code: 553, text } });
        }
    };
    step(connection, Stage::Sender, Mail::new(Some(from.clone()), parameters), deadline).await?;
    step(connection, Stage::Recipient, Rcpt::new(to.clone(), Vec::new()), deadline).await?;
    let go_ahead = step(connection, Stage::Data, Data, deadline).await?;
    if !go_ahead.has_code(354) {
        return Err(Failure::lost(Stage::Data, "the relay is out of step"));
    }
    let reply = step(connection, Stage::Message, dot_stuffed(message), deadline).await?;
    Ok(reply.message().collect::<Vec<_>>().join(" "))
}

async fn step(
    connection: &mut AsyncSmtpConnection,
    stage: Stage,
    command: impl Display,
    deadline: Instant,
) -> Result<Response, Failure> {
    match timeout_at(deadline, connection.command(command)).await {
        Ok(reply) => reply.map_err(|error| Failure::new(stage, &error)),
        Err(_) => Err(Failure::lost(stage, "no reply in time")),
    }
}

/// `message` so that it can be written at once, with the dot that ends it (RFC 5321, section 4.5.2).
fn dot_stuffed(message: &str) -> String {
    let mut stuffed = String::with_capacity(message.len() + 64);
    for line in message.split_inclusive("\r\n") {
        if line.starts_with('.') {
            stuffed.push('.');
        }
        stuffed.push_str(line);
    }
    if !stuffed.ends_with("\r\n") {
        stuffed.push_str("\r\n");
    }
    stuffed.push_str(".\r\n");
    stuffed
}

#[cfg(test)]
#[path = "smtp_tests.rs"]
mod tests;
