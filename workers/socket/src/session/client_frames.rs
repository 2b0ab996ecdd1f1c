//! What a client sends, what it is charged for it, and what comes of it.
//!
//! What holds here: a line is handled only when its client may say it and has taken what it was answered before; nothing is
//! read meanwhile. So what a client makes us do is bounded by `socket.messages_per_second` and by its own reading.

use std::time::Duration;

use tokio::time::Instant;
use watchbell::{
    domain::Topic,
    wire::{
        CloseCode,
        frame::{Auth, ClientFrame, ReceiptFrame, Unreadable},
    },
};

use crate::{
    feed::inbox::NotCompleted,
    frames::frame,
    pod::receipts::{CompleteReceipt, cost_of, receipt_of},
    session::{
        decoder::ClientMessage,
        state::{Session, SessionEnd},
        unheard::{Said, Unheard},
    },
};

/// A client that has more to say than it may for so long is closed.
const LOUD_MAX: Duration = Duration::from_secs(10);
/// Lines that are no frame at all, each answered with an `error`, until the session is closed.
const MALFORMED_LINES_MAX: u8 = 10;

/// What a line asks for.
enum Asked {
    /// The kept events of every topic, in words that a mount understands.
    RefreshOfMount,
    Frame(Result<ClientFrame, Unreadable>),
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obeyed {
    Done,
    /// Its client was told why not.
    Refused,
}

impl Session<'_> {
    /// Takes what was read, and handles it as far as the client may say it now. The rest waits.
    pub(crate) async fn hear(&mut self, messages: Vec<ClientMessage>) -> Result<(), SessionEnd> {
        self.state.deadlines.heard(Instant::now());
        if messages.is_empty() {
            return Ok(()); // Only a part of a frame arrived.
        }
        self.state.unheard = Some(Box::new(Unheard::of(messages)));
        self.go_on_hearing().await
    }

    /// Handles what was read, line by line: while the client may say so much, and has taken all that it was answered.
    pub(crate) async fn go_on_hearing(&mut self) -> Result<(), SessionEnd> {
        loop {
            let now = Instant::now();
            if self.connection.has_unwritten() || self.state.deaf_until.is_some_and(|until| until > now) {
                return Ok(());
            }
            let said = self.state.unheard.as_mut().and_then(|unheard| unheard.next());
            let Some(said) = said else {
                self.state.unheard = None;
                return Ok(());
            };
            match said {
                Said::Line { line, cost } => {
                    let asked = self.read_line(&line);
                    self.charge(cost + self.work_of(&asked).saturating_sub(1), now)?;
                    let refused = Box::pin(self.obey(asked)).await? == Obeyed::Refused;
                    if refused && self.state.unheard.as_mut().is_some_and(|unheard| unheard.refuse()) {
                        return Err(SessionEnd::Close(CloseCode::Protocol));
                    }
                }
                Said::PlainPing { cost } => {
                    self.charge(cost, now)?;
                    self.connection.put_bytes(frame::text("pong"));
                }
                Said::Ping { payload, cost } => {
                    self.charge(cost, now)?;
                    self.connection.put_bytes(frame::pong(&payload));
                }
                Said::Nothing { cost } => self.charge(cost, now)?,
                Said::Close => return Err(SessionEnd::Closed),
            }
        }
    }

    /// A client that says more than it may is heard more slowly, which loses nothing; one that does not stop is closed.
    fn charge(&mut self, cost: usize, now: Instant) -> Result<(), SessionEnd> {
        let rate = self.parts.config.messages_per_second;
        self.state.deaf_until = self.state.allowance.take(now, rate, cost);
        if self.state.deaf_until.is_none() {
            return Ok(());
        }
        if self.state.loud_since.is_none() {
            metrics::counter!("watchbell_socket_throttled_total").increment(1);
        }
        let since = *self.state.loud_since.get_or_insert(now);
        match now.duration_since(since) > LOUD_MAX {
            true => Err(SessionEnd::Close(CloseCode::TooManyMessages)),
            false => Ok(()),
        }
    }

    /// When a client is closed that has had more to say than it may all the time until then.
    pub(crate) fn too_loud_at(&self) -> Option<Instant> {
        self.state.unheard.as_ref()?;
        Some(self.state.loud_since? + LOUD_MAX)
    }

    fn read_line(&self, line: &str) -> Asked {
        let mount = self.state.extras.as_ref().and_then(|extras| extras.mount.as_ref());
        match mount.is_some_and(|mount| mount.means_refresh(line)) {
            true => Asked::RefreshOfMount,
            false => Asked::Frame(ClientFrame::read(line)),
        }
    }

    /// What a line costs for what it asks: the topics whose kept events are read, and the alerts of a receipt.
    fn work_of(&self, asked: &Asked) -> usize {
        match asked {
            Asked::RefreshOfMount => self.topics_to_read(None),
            Asked::Frame(Ok(ClientFrame::Refresh(named))) => self.topics_to_read(named.topic.as_deref()),
            Asked::Frame(Ok(ClientFrame::Receipt(receipt))) => cost_of(receipt.alerts.len()),
            Asked::Frame(_) => 1,
        }
    }

    async fn obey(&mut self, asked: Asked) -> Result<Obeyed, SessionEnd> {
        let frame = match asked {
            Asked::RefreshOfMount => return self.refresh(None).await.map(|()| Obeyed::Done),
            Asked::Frame(frame) => frame,
        };
        match frame {
            Ok(ClientFrame::Receipt(frame)) => return Ok(self.receipt(frame).await),
            Ok(ClientFrame::Auth(auth)) => self.renew(&auth).await?,
            Ok(ClientFrame::Subscribe(named)) => return self.subscribe(&named.topic).await,
            Ok(ClientFrame::Unsubscribe(named)) => self.unsubscribe(&named.topic),
            Ok(ClientFrame::Refresh(named)) => self.refresh(named.topic.as_deref()).await?,
            Ok(ClientFrame::Visibility { state }) => self.note_visibility(Some(state)),
            Ok(ClientFrame::Pong {} | ClientFrame::Unknown) => {}
            Err(Unreadable::Field(wrong)) => {
                self.complain("invalid_frame", &wrong.to_string());
                return Ok(Obeyed::Refused);
            }
            Err(no_frame @ Unreadable::NoFrame(_)) => return self.endure(&no_frame),
        }
        Ok(Obeyed::Done)
    }

    /// A line that is no frame loses nothing else: it is answered. A client that goes on with them does not speak this
    /// protocol, and every answer costs more than its line.
    fn endure(&mut self, no_frame: &Unreadable) -> Result<Obeyed, SessionEnd> {
        self.complain("invalid_frame", &no_frame.to_string());
        let malformed = &mut self.extras().malformed;
        *malformed += 1;
        match *malformed < MALFORMED_LINES_MAX {
            true => Ok(Obeyed::Refused),
            false => Err(SessionEnd::Close(CloseCode::Protocol)),
        }
    }

    async fn receipt(&mut self, frame: ReceiptFrame) -> Obeyed {
        let now = self.parts.verifier.clock().now();
        let by = self.state.id.simple().to_string();
        let (code, title) = match receipt_of(&self.state.identity.user, &by, frame, now) {
            Ok(read) => match self.parts.inbox.completed(read).await {
                Ok(CompleteReceipt { receipt, answered_otherwise }) => {
                    if let Some(alert) = answered_otherwise.first() {
                        let title = format!("the alert {alert} was answered before: the first answer stays");
                        self.complain("answered_before", &title);
                    }
                    self.parts.inbox.receipts.put(receipt).await;
                    return Obeyed::Done;
                }
                Err(NotCompleted::NoSuchAction(problem)) => ("invalid_receipt", format!("action: {problem}")),
                Err(NotCompleted::Unavailable(_)) => ("unavailable", "the answer: try again".to_owned()),
            },
            Err((field, problem)) => ("invalid_receipt", format!("{field}: {problem}")),
        };
        self.complain(code, &title);
        Obeyed::Refused
    }

    /// A newer token of the same person: the session goes on until that one ends.
    async fn renew(&mut self, auth: &Auth) -> Result<(), SessionEnd> {
        let identity = self.parts.verifier.identify(auth.token.as_deref().unwrap_or_default()).await?;
        if identity.user != self.state.identity.user {
            return Err(SessionEnd::Close(CloseCode::Forbidden));
        }
        self.state.deadlines.token_ends(self.parts.verifier.ends_at(&identity));
        self.state.identity = identity;
        self.note_visibility(auth.visibility);
        // What the new token does not allow any more is no longer told.
        let allowed = |topic: &Topic| self.state.identity.may_read(topic);
        if let Some(extras) = &mut self.state.extras {
            extras.topics.retain(|subscription| allowed(&subscription.topic.topic));
        }
        Ok(())
    }
}
