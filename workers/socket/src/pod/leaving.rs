//! How a pod leaves (I10), so that nobody is refused and nobody is interrupted.
//!
//! | from | until | sessions that are here | sessions that arrive | polls |
//! |---|---|---|---|---|
//! | SIGTERM | `http.leave_wait` later | stay | stay: balancers still list this pod | served |
//! | then | the end of `socket.drain_window` | are asked to move, each in a slice of its own | are taken, and asked to move within what is left | answered within what is left |
//! | its last quarter | the listener closes | are closed when they did not move | are refused, as `leaving` | answered at once |
//!
//! A pod that nobody is left on refuses as well, and closes its listener at once. What a balancer is told by a refusal
//! (503) is to try another pod; README.md has the configurations.
//!
//! [`Departure`] waits, and a session asks its client; the rest decides.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use watchbell::wire::CloseCode;

use crate::pod::{
    hub::Hub,
    mailbox::{Item, Leave},
    presence::Presence,
};

/// The parts of the drain window after which no session is let in, everybody should have begun to move, and nobody is
/// greeted any more who was let in before.
const LET_IN_UNTIL: f64 = 0.75;
const MOVED_UNTIL: f64 = 0.8;
const GREETED_UNTIL: f64 = 0.85;
/// How long a client may take to move once its time has come: a fifth of the window, and at least so long (or as long as
/// the window, where that is short). Whoever has moved holds up nobody.
const GRACE_PART: f64 = 0.2;
const GRACE_MIN: Duration = Duration::from_secs(5);
/// How long the last close may take to be written.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// Whether this pod leaves, and how far it is.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Fires when the process is told to leave.
    announced: CancellationToken,
    /// Fires when sessions begin to be asked to move.
    draining: CancellationToken,
    drain: OnceLock<Drain>,
    /// Nobody is here any more, and nobody is taken.
    closed: AtomicBool,
}

/// What becomes of a session that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Stay,
    /// It is taken, and asked to move.
    Pass(Leave),
    Refuse,
}

impl Leaving {
    pub(crate) fn when(announced: CancellationToken) -> Self {
        Self {
            announced,
            draining: CancellationToken::new(),
            drain: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Whether the process was told to leave: load balancing among pods has to leave this one out.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// What becomes of a session that asks to be let in now.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        match self.drain.get() {
            Some(_) if self.closed.load(Ordering::SeqCst) => Admission::Refuse,
            drain => Self::pass(drain, now, LET_IN_UNTIL),
        }
    }

    /// What becomes of a session that was let in, and is about to be greeted now.
    pub(crate) fn greet(&self, now: Instant) -> Admission {
        Self::pass(self.drain.get(), now, GREETED_UNTIL)
    }

    fn pass(drain: Option<&Drain>, now: Instant, until: f64) -> Admission {
        match drain {
            None => Admission::Stay,
            Some(drain) if drain.at(until) <= now => Admission::Refuse,
            Some(drain) => Admission::Pass(drain.pass(now)),
        }
    }

    /// Returns when sessions begin to be asked to move; at once after that.
    pub(crate) async fn drains(&self) {
        self.draining.cancelled().await;
    }

    /// Until when a poll may wait that is here now, once the pod drains; `chance` (0 to 1) spreads them.
    pub(crate) fn poll_until(&self, now: Instant, chance: f64) -> Instant {
        let left = self.drain.get().map(|drain| drain.left(now));
        now + left.unwrap_or_default().mul_f64(chance)
    }
}

/// The time in which everybody moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drain {
    began: Instant,
    window: Duration,
}

impl Drain {
    /// What session `number` of `sessions` is told when the drain begins. Each gets its own slice of the window, so that
    /// the other pods see a stream of arrivals and not a wave; all have moved at 4/5 of it.
    fn slice(&self, number: usize, sessions: usize) -> Leave {
        let part = number.min(sessions) as f64 / sessions.max(1) as f64;
        Leave {
            after_ms: millis(self.window.mul_f64(0.6 * part)),
            within_ms: millis(self.window.mul_f64(0.2)).max(1),
            grace_ms: millis(self.grace()),
            code: CloseCode::Drain,
        }
    }

    /// What a session is told that arrives now: that it has what is left.
    fn pass(&self, now: Instant) -> Leave {
        Leave {
            after_ms: 0,
            within_ms: millis(self.left(now)),
            grace_ms: millis(self.grace()),
            code: CloseCode::Drain,
        }
    }

    /// How long somebody who arrives now has to move.
    fn left(&self, now: Instant) -> Duration {
        self.at(MOVED_UNTIL).saturating_duration_since(now)
    }

    /// How long a client may take to move.
    fn grace(&self) -> Duration {
        self.window.mul_f64(GRACE_PART).max(GRACE_MIN.min(self.window))
    }

    /// When the last session is closed, from the beginning of the drain.
    fn ends_after(&self) -> Duration {
        self.window.mul_f64(GREETED_UNTIL) + self.grace()
    }

    /// When so much of the window has passed.
    fn at(&self, part: f64) -> Instant {
        self.began + self.window.mul_f64(part)
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// What takes part when a pod leaves.
pub(crate) struct Departure {
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) hub: Arc<Hub>,
    /// Every session, and every request that is to become one.
    pub(crate) tasks: TaskTracker,
}

impl Departure {
    /// From when the process is told to leave until nobody is here any more. What sessions need goes on meanwhile.
    /// Balancers learn of it within `leave_wait`; then sessions move within `window`.
    pub(crate) async fn run(self, leave_wait: Duration, window: Duration) {
        let Self { leaving, presence, hub, tasks } = self;
        leaving.announced.cancelled().await;
        // The other pods learn of it now, and leave this one out when they compare what they hold.
        presence.tell_now();
        sleep(leave_wait).await;
        let drain = *leaving.drain.get_or_init(|| Drain { began: Instant::now(), window });
        leaving.draining.cancel();
        // Whoever joins the hub from here on finds the drain when it looks, which it does after it joined.
        let sessions = hub.sessions();
        info!(sessions, "Leaving: {sessions} sessions are asked to move");
        hub.give_everybody(|number| Item::Leave(drain.slice(number, sessions)));
        tasks.close();
        let everybody_left = async {
            tasks.wait().await;
            leaving.closed.store(true, Ordering::SeqCst);
            // Whoever was let in meanwhile was counted before it looked.
            tasks.wait().await;
        };
        if timeout(drain.ends_after() + CLOSES_WITHIN, everybody_left).await.is_err() {
            let sessions = tasks.len();
            warn!(sessions, "{sessions} sessions were still open at the end of the drain window");
        }
        leaving.closed.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(20);

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn what_becomes_of_a_session_that_arrives_while_the_pod_leaves() {
        let began = Instant::now();
        let pass = |within_ms| {
            let (after_ms, grace_ms, code) = (0, 5_000, CloseCode::Drain);
            Admission::Pass(Leave { after_ms, within_ms, grace_ms, code })
        };
        for (why, drains, is_closed, after, expected) in [
            ("balancers still list it", false, false, 0.0, Admission::Stay),
            ("the drain begins", true, false, 0.0, pass(16_000)),
            ("in the middle of it", true, false, 10.0, pass(6_000)),
            ("just before nobody is let in", true, false, 14.9, pass(1_100)),
            ("too late to move in time", true, false, 15.0, Admission::Refuse),
            ("after the end", true, false, 25.0, Admission::Refuse),
            ("everybody has left already", true, true, 3.0, Admission::Refuse),
        ] {
            let leaving = Leaving::when(CancellationToken::new());
            if drains {
                leaving.drain.get_or_init(|| Drain { began, window: WINDOW });
            }
            leaving.closed.store(is_closed, Ordering::SeqCst);
            assert_eq!(leaving.admit(began + seconds(after)), expected, "{why}");
        }
    }

    #[test]
    fn who_was_let_in_is_greeted_a_moment_later_too() {
        let (began, leaving) = (Instant::now(), Leaving::when(CancellationToken::new()));
        assert_eq!(leaving.greet(began), Admission::Stay);
        leaving.drain.get_or_init(|| Drain { began, window: WINDOW });
        for (after, within_ms) in [(15.0, Some(1_000)), (16.5, Some(0)), (17.0, None)] {
            let within = match leaving.greet(began + seconds(after)) {
                Admission::Pass(leave) => Some(leave.within_ms),
                Admission::Stay | Admission::Refuse => None,
            };
            assert_eq!(within, within_ms, "{after} s");
        }
    }

    #[test]
    fn everybody_has_a_slice_of_the_window_and_time_left_after_it() {
        let drain = Drain { began: Instant::now(), window: WINDOW };
        for sessions in [1, 2, 7, 1_000] {
            let slices: Vec<Leave> = (0..sessions).map(|number| drain.slice(number, sessions)).collect();
            let first = slices[0];
            assert_eq!((first.after_ms, first.within_ms), (0, 4_000), "{sessions}: the first need not wait");
            assert!(slices.is_sorted_by(|a, b| a.after_ms < b.after_ms), "{sessions}: each its own");
            for slice in slices {
                let closed_at = slice.after_ms + slice.within_ms + slice.grace_ms;
                assert!(u128::from(closed_at) <= drain.ends_after().as_millis(), "{sessions}: {slice:?}");
                assert_eq!(slice.grace_ms, 5_000, "{sessions}: nobody is cut off while they move");
            }
        }
        for (window, grace, ends_after) in
            [(0.5, 0.5, 0.925), (4.0, 4.0, 7.4), (20.0, 5.0, 22.0), (60.0, 12.0, 63.0)]
        {
            let drain = Drain { window: seconds(window), ..drain };
            assert_eq!(
                (drain.grace(), drain.ends_after()),
                (seconds(grace), seconds(ends_after)),
                "{window} s"
            );
        }
        // One that joined while the others were counted is told something all the same.
        assert_eq!(drain.slice(9, 7), drain.slice(7, 7));
    }

    #[test]
    fn a_poll_that_waits_is_answered_at_a_time_of_its_own_and_before_the_end() {
        let began = Instant::now();
        let leaving = Leaving::when(CancellationToken::new());
        leaving.drain.get_or_init(|| Drain { began, window: WINDOW });
        for (why, after, chance, expected) in [
            ("at once", 0.0, 0.0, 0.0),
            ("spread", 0.0, 0.5, 8.0),
            ("not beyond the end", 8.0, 1.0, 16.0),
            ("the last ones do not wait", 19.0, 1.0, 19.0),
        ] {
            assert_eq!(
                leaving.poll_until(began + seconds(after), chance),
                began + seconds(expected),
                "{why}"
            );
        }
    }
}
