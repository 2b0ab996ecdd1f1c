//! What a client sends, and what comes of it.

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
    frames::frame,
    pod::receipts::receipt_of,
    session::{
        decoder::{ClientMessage, is_plain_ping},
        state::{Session, SessionEnd},
    },
};

/// A client that sends more than it may for so long is closed.
const LOUD_MAX: Duration = Duration::from_secs(10);
/// Lines that are no frame at all, each answered with an `error`, until the session is closed.
const MALFORMED_LINES_MAX: u8 = 10;

impl Session<'_> {
    pub(crate) async fn hear(&mut self, messages: Vec<ClientMessage>) -> Result<(), SessionEnd> {
        let now = Instant::now();
        self.state.deadlines.heard(now);
        for message in messages {
            let rate = self.parts.config.messages_per_second;
            self.state.deaf_until = self.state.allowance.take(now, rate).or(self.state.deaf_until);
            match message {
                ClientMessage::Text(text) if is_plain_ping(&text) => {
                    self.connection.put_bytes(frame::text("pong"));
                }
                ClientMessage::Text(text) => {
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        Box::pin(self.obey(line)).await?;
                    }
                }
                ClientMessage::Ping(payload) => self.connection.put_bytes(frame::pong(&payload)),
                ClientMessage::Pong => {}
                ClientMessage::Close => return Err(SessionEnd::Closed),
            }
        }
        self.bear_with(now)
    }

    /// A client that sends more than it may is read more slowly, which loses nothing; one that does not stop is closed.
    fn bear_with(&mut self, now: Instant) -> Result<(), SessionEnd> {
        if self.state.deaf_until.is_none() {
            self.state.loud_since = None;
            return Ok(());
        }
        metrics::counter!("watchbell_socket_throttled_total").increment(1);
        let since = *self.state.loud_since.get_or_insert(now);
        match now.duration_since(since) > LOUD_MAX {
            true => Err(SessionEnd::Close(CloseCode::TooManyMessages)),
            false => Ok(()),
        }
    }

    async fn obey(&mut self, line: &str) -> Result<(), SessionEnd> {
        let mount = self.state.extras.as_ref().and_then(|extras| extras.mount.as_ref());
        if mount.is_some_and(|mount| mount.means_refresh(line)) {
            return self.refresh(None).await;
        }
        match ClientFrame::read(line) {
            Ok(ClientFrame::Receipt(frame)) => self.receipt(frame).await,
            Ok(ClientFrame::Auth(auth)) => return self.renew(&auth).await,
            Ok(ClientFrame::Subscribe(named)) => return self.subscribe(&named.topic).await,
            Ok(ClientFrame::Unsubscribe(named)) => self.unsubscribe(&named.topic),
            Ok(ClientFrame::Refresh(named)) => return self.refresh(named.topic.as_deref()).await,
            Ok(ClientFrame::Visibility { state }) => self.note_visibility(Some(state)),
            Ok(ClientFrame::Pong {} | ClientFrame::Unknown) => {}
            Err(Unreadable::Field(wrong)) => self.complain("invalid_frame", &wrong.to_string()),
            Err(no_frame @ Unreadable::NoFrame(_)) => return self.endure(&no_frame),
        }
        Ok(())
    }

    /// A line that is no frame loses nothing else: it is answered. A client that goes on with them does not speak this
    /// protocol, and every answer costs more than its line.
    fn endure(&mut self, no_frame: &Unreadable) -> Result<(), SessionEnd> {
        self.complain("invalid_frame", &no_frame.to_string());
        self.state.malformed += 1;
        match self.state.malformed < MALFORMED_LINES_MAX {
            true => Ok(()),
            false => Err(SessionEnd::Close(CloseCode::Protocol)),
        }
    }

    async fn receipt(&mut self, frame: ReceiptFrame) {
        let now = self.parts.verifier.clock().now();
        match receipt_of(&self.state.identity.user, &self.state.id.simple().to_string(), frame, now) {
            Ok(receipt) => self.parts.inbox.receipts.put(receipt).await,
            Err((field, problem)) => self.complain("invalid_receipt", &format!("{field}: {problem}")),
        }
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
