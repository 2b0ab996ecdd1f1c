//! One session, from its first byte to its close. It is one task, and everything that it waits for is polled in one place.
//!
//! An idle session costs this task, its mailbox and a pointer in the hub. Whatever happens rarely (greeting, healing,
//! topics) is boxed where it is awaited, so that its memory is not part of every task.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use watchbell::{
    runtime::http::Taken,
    wire::{CloseClass, CloseCode},
};

use crate::{
    frames::frame,
    pod::mailbox::Mail,
    session::{
        connection::Connection,
        deadlines::{Due, REBALANCE_WINDOW},
        decoder::ClientMessage,
        greeting::begin,
        parts::SessionParts,
        state::{Session, SessionEnd},
        visitor::Visitor,
    },
};

/// The wait before a token is looked at again that should be over by one clock and is not by the other.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One session, to its end. What it holds for as long as it lives is captured once: a parameter or a local that is moved
/// would stand in the task's memory twice.
pub(crate) fn run(
    parts: Arc<SessionParts>,
    taken: Taken,
    visitor: Box<Visitor>,
) -> impl Future<Output = ()> + Send {
    let message_bytes_max = parts.config.message_bytes_max;
    let mut connection = Connection::new(taken.stream, taken.read_ahead, visitor.form, message_bytes_max);
    metrics::counter!("watchbell_socket_opened_total", "transport" => connection.form().transport())
        .increment(1);
    let begun = Began::now();
    async move {
        let end = live(&parts, &mut connection, visitor).await;
        let label = match &end {
            SessionEnd::Close(code) => code.parts().1,
            SessionEnd::Closed => "closed",
            SessionEnd::Gone => "gone",
        };
        metrics::counter!("watchbell_socket_closes_total", "reason" => label).increment(1);
        let transport = connection.form().transport();
        metrics::counter!("watchbell_socket_closed_total", "transport" => transport, "reason" => label)
            .increment(1);
        metrics::histogram!("watchbell_socket_session_seconds", "transport" => transport)
            .record(begun.seconds());
        let sent = &parts.sent;
        match end {
            SessionEnd::Close(code) => Box::pin(connection.close(code.parts(), code.class(), sent)).await,
            SessionEnd::Closed => Box::pin(connection.close(frame::CLOSED, CloseClass::Stop, sent)).await,
            SessionEnd::Gone => {}
        }
    }
}

/// When a session began, in tenths of a second after the first one of this process: a quarter of what an [`Instant`] takes
/// of every session.
#[derive(Clone, Copy)]
struct Began(u32);

impl Began {
    fn now() -> Self {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(u32::try_from(FIRST.elapsed().as_millis() / 100).unwrap_or(u32::MAX))
    }

    /// How long ago that was.
    fn seconds(self) -> f64 {
        f64::from(Self::now().0.saturating_sub(self.0)) / 10.0
    }
}

async fn live(parts: &SessionParts, connection: &mut Connection, visitor: Box<Visitor>) -> SessionEnd {
    let mut session = match Box::pin(begin(parts, connection, visitor)).await {
        Ok(state) => Session { parts, connection, state },
        Err(end) => return end,
    };
    session.run().await
}

/// What a session wakes up for.
enum Wake {
    Messages(Vec<ClientMessage>),
    /// More of what was read may be handled.
    Unheard,
    Mail(Mail),
    Deadline,
}

impl Session<'_> {
    async fn run(&mut self) -> SessionEnd {
        loop {
            let step = match poll_fn(|context| self.poll(context)).await {
                Ok(Wake::Messages(messages)) => Box::pin(self.hear(messages)).await,
                Ok(Wake::Unheard) => Box::pin(self.go_on_hearing()).await,
                Ok(Wake::Mail(mail)) => match self.send_frames(mail) {
                    Some(rest) => Box::pin(self.open(rest)).await,
                    None => Ok(()),
                },
                Ok(Wake::Deadline) => Box::pin(self.deadline()).await,
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Takes its connection back, does what is to be done, and lends it again when that is to wait.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Wake, SessionEnd>> {
        self.take_back();
        let wake = self.poll_all(context);
        if wake.is_pending() {
            self.lend();
        }
        wake
    }

    /// Writes first; hears, reads, and takes mail, only when nothing is left to write: a slow client's backlog stays in its
    /// mailbox, which is bounded, and what it asks for stays unread.
    fn poll_all(&mut self, context: &mut Context<'_>) -> Poll<Result<Wake, SessionEnd>> {
        if self.connection.has_unwritten() {
            match self.connection.poll_write(context, &self.parts.sent) {
                Poll::Ready(Ok(())) => self.state.deadlines.written(),
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.into())),
                Poll::Pending => {
                    self.state.deadlines.writing(Instant::now(), self.parts.config.write_timeout);
                }
            }
        }
        if !self.state.deadlines.is_writing() {
            self.state.deaf_until = self.state.deaf_until.filter(|until| *until > Instant::now());
            if self.state.deaf_until.is_none() {
                if self.state.unheard.is_some() {
                    return Poll::Ready(Ok(Wake::Unheard));
                }
                match self.connection.poll_read(context) {
                    Poll::Ready(Ok(messages)) => return Poll::Ready(Ok(Wake::Messages(messages))),
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.into())),
                    // All that it has said is handled.
                    Poll::Pending => self.state.loud_since = None,
                }
            }
            if let Poll::Ready(mail) = self.state.registration.mailbox.poll_take(context) {
                return Poll::Ready(Ok(Wake::Mail(mail)));
            }
        }
        let deadline = self.next_deadline();
        if self.state.timer.deadline() != deadline {
            self.state.timer.as_mut().reset(deadline);
        }
        self.state.timer.as_mut().poll(context).map(|()| Ok(Wake::Deadline))
    }

    /// The earliest of all that is to be done at a time.
    fn next_deadline(&self) -> Instant {
        let state = &self.state;
        let batch = state.extras.as_ref().and_then(|extras| extras.batcher.as_ref()?.due_at());
        // What is asked for waits until all that was answered is written.
        let extras = state.extras.as_ref().filter(|_| !self.connection.has_unwritten());
        let snapshot = extras.and_then(|extras| extras.snapshots.next_due());
        let optional = [state.deaf_until, self.too_loud_at(), state.follower.heal_at(), batch, snapshot];
        let optional = optional.into_iter().flatten();
        optional.fold(state.deadlines.next(), Instant::min)
    }

    async fn deadline(&mut self) -> Result<(), SessionEnd> {
        let now = Instant::now();
        while let Some(due) = self.state.deadlines.due(now) {
            match due {
                Due::Close(code) => return Err(SessionEnd::Close(code)),
                Due::AskToLeave => {
                    self.ask_to_leave(0, REBALANCE_WINDOW.mul_f64(0.8).as_millis() as u32, "rebalance");
                }
                Due::Token if self.parts.verifier.has_ended(&self.state.identity) => {
                    return Err(SessionEnd::Close(CloseCode::TokenExpired));
                }
                Due::Token => {
                    let ends_at = self.parts.verifier.ends_at(&self.state.identity);
                    // A clock that was set back a little must not be asked again and again in one turn.
                    self.state.deadlines.token_ends(ends_at.max(now + LOOK_AGAIN));
                }
            }
        }
        if self.too_loud_at().is_some_and(|at| at <= now) {
            return Err(SessionEnd::Close(CloseCode::TooManyMessages));
        }
        if self.state.follower.is_due(now) {
            metrics::counter!("watchbell_socket_heals_total").increment(1);
            Box::pin(self.catch_up()).await?;
        }
        self.send_batch(now);
        match self.connection.has_unwritten() {
            true => Ok(()),
            false => Box::pin(self.send_due_snapshots(now)).await,
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
