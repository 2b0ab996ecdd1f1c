//! When a session does something by itself, and what it is then: the token's end, a client that takes nothing or says
//! nothing, old age, leaving. Decisions only; the session carries them out. When it asks the store for what is missing is
//! decided by `feed/follower.rs`.

use std::time::Duration;

use tokio::time::Instant;
use watchbell::wire::CloseCode;

/// How long a client that is asked to leave because of its age may take.
pub(crate) const REBALANCE_WINDOW: Duration = Duration::from_secs(10);
/// Pings without a word from the client, after which it is gone.
const SILENCE_PINGS: f64 = 2.5;

/// What a session waits for by the clock.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// When something was last heard from the client.
    heard_at: Instant,
    /// When the client has to have taken what is being written.
    write_by: Option<Instant>,
    /// When the token is over.
    token_ends_at: Instant,
    /// When the session is old enough to be asked to connect anew.
    old_at: Instant,
    /// When it is closed, once it was asked to leave.
    leaves_by: Option<(Instant, CloseCode)>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Close(CloseCode),
    /// Ask the client to connect anew within [`REBALANCE_WINDOW`], because the session is old.
    AskToLeave,
    /// Look whether the token is over; it is, unless it was cut off at how far a timer reaches.
    Token,
}

impl Deadlines {
    pub(crate) fn new(now: Instant, token_ends_at: Instant, old_at: Instant) -> Self {
        Self { heard_at: now, write_by: None, token_ends_at, old_at, leaves_by: None }
    }

    /// The next time something is due.
    pub(crate) fn next(&self) -> Instant {
        let leaves_by = self.leaves_by.map_or(self.old_at, |(at, _)| at);
        self.write_by.into_iter().chain([leaves_by]).fold(self.token_ends_at, Instant::min)
    }

    /// What is due, the most final first; each is told once, but for the token, whose end the caller moves.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.write_by.is_some_and(|at| at <= now) {
            return Some(Due::Close(CloseCode::Slow));
        }
        if let Some((_, code)) = self.leaves_by.filter(|(at, _)| *at <= now) {
            return Some(Due::Close(code));
        }
        if self.token_ends_at <= now {
            return Some(Due::Token);
        }
        if self.leaves_by.is_none() && self.old_at <= now {
            self.leaves_by = Some((now + REBALANCE_WINDOW, CloseCode::Rebalance));
            return Some(Due::AskToLeave);
        }
        None
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Whether a client that answers pings has been silent for too long. A connection whose other half is gone is found so.
    pub(crate) fn is_silent(&self, now: Instant, ping_every: Duration) -> bool {
        now.duration_since(self.heard_at) > ping_every.mul_f64(SILENCE_PINGS)
    }

    /// The client did not take all of it yet, and has until `timeout` from when that began.
    pub(crate) fn writing(&mut self, now: Instant, timeout: Duration) {
        self.write_by.get_or_insert(now + timeout);
    }

    /// It has taken all.
    pub(crate) fn written(&mut self) {
        self.write_by = None;
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.write_by.is_some()
    }

    pub(crate) fn token_ends(&mut self, at: Instant) {
        self.token_ends_at = at;
    }

    /// The client is asked to leave, and is closed with `code` at `by` if it did not.
    pub(crate) fn leave(&mut self, by: Instant, code: CloseCode) {
        self.leaves_by = Some((by, code));
    }
}

/// Sessions of many seeds, by a clock that a seed drives, beside a plain account of what must become of each.
#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    const SEEDS: u64 = 2_000;
    const PING_EVERY: Duration = Duration::from_secs(25);
    const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

    /// What happened to a session, kept as plainly as it can be told.
    struct Account {
        token_ends_at: Instant,
        stalled_at: Option<Instant>,
        heard_at: Instant,
        old_at: Instant,
        left_at: Option<(Instant, CloseCode)>,
        asked_at: Option<Instant>,
    }

    impl Account {
        /// When it must close and why, if nothing else happens; a ping at `ping` finds who is silent.
        fn end(&self, ping: Instant) -> (Instant, CloseCode) {
            let asked = |at: Instant| (at + REBALANCE_WINDOW, CloseCode::Rebalance);
            let mut ends = vec![(self.token_ends_at, CloseCode::TokenExpired)];
            ends.extend(self.stalled_at.map(|at| (at + WRITE_TIMEOUT, CloseCode::Slow)));
            ends.push(self.left_at.unwrap_or_else(|| asked(self.asked_at.unwrap_or(self.old_at))));
            // One that takes nothing is not pinged.
            if self.stalled_at.is_none() && ping.duration_since(self.heard_at) > PING_EVERY.mul_f64(2.5) {
                ends.push((ping, CloseCode::NoPong));
            }
            ends.into_iter().min_by_key(|(at, _)| *at).expect("a token ends")
        }
    }

    #[test]
    fn a_session_ends_when_it_must_and_never_before() {
        let mut seen = std::collections::BTreeMap::new();
        for seed in 0..SEEDS {
            let code = live(seed);
            *seen.entry(code.parts().0).or_insert(0) += 1;
        }
        for code in [4_102, 4_103, 4_200, 4_201, 4_300] {
            assert!(seen.get(&code).is_some_and(|times| *times > 20), "{code} is hardly seen: {seen:?}");
        }
    }

    /// One session to its end. Every wake is checked against the account.
    fn live(seed: u64) -> CloseCode {
        let chance = &mut StdRng::seed_from_u64(seed);
        let seconds = |chance: &mut StdRng, range| Duration::from_secs_f64(chance.random_range(range));
        let mut now = Instant::now();
        let token_ends_at = now + seconds(chance, 20.0..400.0);
        let old_at = now + seconds(chance, 100.0..500.0);
        let mut deadlines = Deadlines::new(now, token_ends_at, old_at);
        let mut account =
            Account { token_ends_at, stalled_at: None, heard_at: now, old_at, left_at: None, asked_at: None };
        let talks = chance.random_bool(0.7);
        let mut ping_at = now + PING_EVERY;
        loop {
            let happens_at = now + seconds(chance, 0.0..12.0);
            // By the clock, until the next thing happens.
            while deadlines.next().min(ping_at) <= happens_at {
                now = deadlines.next().min(ping_at).max(now);
                let (end_at, end) = account.end(ping_at);
                while let Some(due) = deadlines.due(now) {
                    match due {
                        Due::Close(code) => {
                            assert_eq!((now, code), (end_at, end), "seed {seed}: closed");
                            return code;
                        }
                        Due::Token => {
                            assert_eq!(
                                (now, CloseCode::TokenExpired),
                                (end_at, end),
                                "seed {seed}: the token"
                            );
                            return CloseCode::TokenExpired;
                        }
                        Due::AskToLeave => {
                            assert_eq!(
                                (now, account.left_at, account.asked_at),
                                (old_at, None, None),
                                "seed {seed}"
                            );
                            account.asked_at = Some(now);
                        }
                    }
                }
                if now == ping_at {
                    ping_at += PING_EVERY;
                    if !deadlines.is_writing() && deadlines.is_silent(now, PING_EVERY) {
                        assert_eq!((now, CloseCode::NoPong), (end_at, end), "seed {seed}: silent");
                        return CloseCode::NoPong;
                    }
                }
                assert!(now < end_at, "seed {seed}: {end:?} was due");
            }
            now = happens_at;
            match chance.random_range(0..100) {
                0..40 if talks && account.stalled_at.is_none() => {
                    deadlines.heard(now);
                    account.heard_at = now;
                }
                40..50 => {
                    deadlines.writing(now, WRITE_TIMEOUT);
                    account.stalled_at.get_or_insert(now);
                }
                50..75 => {
                    deadlines.written();
                    account.stalled_at = None;
                }
                88..96 if talks => {
                    account.token_ends_at = now + seconds(chance, 20.0..400.0);
                    deadlines.token_ends(account.token_ends_at);
                }
                96..98 => {
                    let code = if chance.random_bool(0.5) { CloseCode::Drain } else { CloseCode::Rebalance };
                    let by = now + seconds(chance, 1.0..20.0);
                    deadlines.leave(by, code);
                    account.left_at = Some((by, code));
                }
                _ => {}
            }
        }
    }
}
