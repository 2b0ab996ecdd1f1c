//! What one connection is doing, and how long it may: every deadline of a connection is decided here. Pure: the time is a
//! parameter, and what happens on the connection is told by those that see it.
//!
//! What holds here:
//! - While a handler works, nothing is due: the peer is not to blame for how long we take.
//! - Whenever we wait for the peer, something is due: the rest of a head, the next request, the rest of a body, or that it
//!   takes more of an answer.

use std::time::Duration;

use tokio::time::Instant;

/// How long is waited for a peer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A request's head, from its first byte; the first one of a connection from the beginning.
    pub head: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// All that a request waits for its body.
    pub body: Duration,
    /// How far a peer may fall behind: for bytes of a body that do not come, and of an answer that it does not take.
    pub stall: Duration,
    /// The rate at which bytes make good for that.
    pub bytes_per_second_min: u32,
}

/// What a connection did not do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask again.
    Idle,
    /// Finish the head of a request.
    Head,
    /// Send a body.
    Body,
    /// Take an answer.
    Write,
}

/// Whether a connection may be closed for the sake of another, and before whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is asked on it, since then.
    Idle(Instant),
    /// In the middle of a request, and we wait for the peer, since then.
    Waits(Instant),
    /// We are at work.
    Busy,
}

/// The course of one connection.
#[derive(Debug)]
pub(super) struct Course {
    phase: Phase,
    body: Lag,
    /// How long the body of this request was waited for before now.
    body_waited: Duration,
    write: Lag,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Idle(Instant),
    Head(Instant),
    /// From the end of a head to the end of its answer.
    Request,
}

impl Course {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Head(now),
            body: Lag::default(),
            body_waited: Duration::ZERO,
            write: Lag::default(),
        }
    }

    /// Bytes came.
    pub(super) fn read(&mut self, now: Instant) {
        if let Phase::Idle(_) = self.phase {
            self.phase = Phase::Head(now);
        }
    }

    /// A head is complete.
    pub(super) fn asked(&mut self) {
        self.phase = Phase::Request;
        self.body = Lag::default();
        self.body_waited = Duration::ZERO;
    }

    /// A handler wants more of a body than there is.
    pub(super) fn awaits_body(&mut self, now: Instant) {
        self.body.waits(now);
    }

    /// A handler got so much of it, or all.
    pub(super) fn got_body(&mut self, bytes: usize, patience: &Patience, now: Instant) {
        self.body_waited += self.body.moved(bytes, patience, now);
    }

    /// An answer was handed over whole.
    pub(super) fn answered(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
        self.body = Lag::default();
    }

    /// The peer takes nothing of an answer now.
    pub(super) fn write_blocked(&mut self, now: Instant) {
        self.write.waits(now);
    }

    /// It took so much.
    pub(super) fn written(&mut self, bytes: usize, patience: &Patience, now: Instant) {
        self.write.moved(bytes, patience, now);
    }

    /// What is due first, and when.
    pub(super) fn due(&self, patience: &Patience) -> Option<(Instant, Due)> {
        let peer = match self.phase {
            Phase::Idle(since) => Some((since + patience.keep_alive, Due::Idle)),
            Phase::Head(since) => Some((since + patience.head, Due::Head)),
            Phase::Request => self.body.since.map(|since| {
                let whole = since + patience.body.saturating_sub(self.body_waited);
                (whole.min(self.body.due(since, patience)), Due::Body)
            }),
        };
        let write = self.write.since.map(|since| (self.write.due(since, patience), Due::Write));
        // One that still takes an answer is not idle.
        let peer = peer.filter(|(_, due)| *due != Due::Idle || write.is_none());
        [peer, write].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    pub(super) fn standing(&self) -> Standing {
        match (self.write.since, self.phase) {
            (Some(since), _) | (None, Phase::Head(since)) => Standing::Waits(since),
            (None, Phase::Idle(since)) => Standing::Idle(since),
            (None, Phase::Request) => self.body.since.map_or(Standing::Busy, Standing::Waits),
        }
    }
}

/// How far the peer is behind: the time that it kept us waiting, less what the bytes that moved are worth at the lowest
/// rate. So one that stands still is found, and one that moves a byte now and then as well.
#[derive(Debug, Default)]
struct Lag {
    since: Option<Instant>,
    before: Duration,
}

impl Lag {
    fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes moved. Says how long they were waited for.
    fn moved(&mut self, bytes: usize, patience: &Patience, now: Instant) -> Duration {
        let waited = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let worth = Duration::from_secs(bytes as u64) / patience.bytes_per_second_min.max(1);
        self.before = (self.before + waited).saturating_sub(worth);
        waited
    }

    fn due(&self, since: Instant, patience: &Patience) -> Instant {
        since + patience.stall.saturating_sub(self.before)
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
