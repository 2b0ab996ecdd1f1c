//! Which alert was sent when, and arrived when: once each, and at its user.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{bail, ensure};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// When no alert has arrived for this long, the rest is missing.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Made for a known number of alerts. Alert `n` is for user `n % users`.
pub(super) struct Ledger {
    run: String,
    users: usize,
    begun: Instant,
    /// Nanoseconds after `begun`; 0: not yet.
    sent: Vec<AtomicU64>,
    arrived: Vec<AtomicU64>,
    arrivals: AtomicUsize,
    /// The number of arrivals that somebody waits for.
    awaited: AtomicUsize,
    reached: Notify,
    /// What went wrong first.
    trouble: Mutex<Option<String>>,
}

impl Ledger {
    /// `run` tells the names of this run from those of others.
    pub(super) fn new(run: String, users: usize, alerts: usize) -> Self {
        let times = || (0..alerts).map(|_| AtomicU64::new(0)).collect();
        Self {
            run,
            users,
            begun: Instant::now(),
            sent: times(),
            arrived: times(),
            arrivals: AtomicUsize::new(0),
            awaited: AtomicUsize::new(usize::MAX),
            reached: Notify::new(),
            trouble: Mutex::new(None),
        }
    }

    /// A user's id.
    pub(super) fn user(&self, user: usize) -> String {
        format!("bench-{}-{user}", self.run)
    }

    /// An alert's id, and its user's.
    pub(super) fn alert(&self, alert: usize) -> (String, String) {
        (format!("bench-{}-{alert}", self.run), self.user(alert % self.users))
    }

    pub(super) fn sent(&self, alert: usize, at: Instant) {
        self.sent[alert].store(self.since_begun(at), Ordering::Relaxed);
    }

    /// A session of `user` was given the alert `id`.
    pub(super) fn arrived(&self, user: usize, id: &str, at: Instant) {
        let Some(alert) = self.number(id) else {
            return self.fail(format!("{id} arrived, which this run did not send"));
        };
        if alert % self.users != user {
            return self.fail(format!("{id} arrived at user {user}, to whom it was not sent"));
        }
        if self.arrived[alert].swap(self.since_begun(at), Ordering::Relaxed) != 0 {
            return self.fail(format!("{id} arrived twice"));
        }
        let arrivals = self.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        if arrivals == self.awaited.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    /// The first failure is kept: others follow from it.
    pub(super) fn fail(&self, why: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.reached.notify_one();
    }

    /// # Errors
    /// Something went wrong so far.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => bail!("{why}"),
            None => Ok(()),
        }
    }

    /// Waits until the first `alerts` have arrived.
    ///
    /// # Errors
    /// One of them is missing, or something else went wrong.
    pub(super) async fn wait_for(&self, alerts: usize) -> anyhow::Result<()> {
        self.awaited.store(alerts, Ordering::SeqCst);
        loop {
            self.check()?;
            let before = self.arrivals.load(Ordering::SeqCst);
            if before >= alerts {
                return Ok(());
            }
            // A silence, unless others than the last one arrived meanwhile.
            let silent = timeout(SILENCE_MAX, self.reached.notified()).await.is_err();
            let now = self.arrivals.load(Ordering::SeqCst);
            ensure!(
                !silent || now > before,
                "{} of {alerts} alerts are missing: none has arrived for {SILENCE_MAX:?}",
                alerts - now
            );
        }
    }

    /// When the last of them arrived.
    pub(super) fn last_arrival(&self, alerts: Range<usize>) -> Instant {
        let last = self.arrived[alerts].iter().map(|at| at.load(Ordering::Relaxed)).max();
        self.begun + Duration::from_nanos(last.unwrap_or(0))
    }

    /// From sent to arrived, for each.
    pub(super) fn delays(&self, alerts: Range<usize>) -> Vec<Duration> {
        let delay = |alert: usize| {
            let (sent, arrived) = (&self.sent[alert], &self.arrived[alert]);
            arrived.load(Ordering::Relaxed).saturating_sub(sent.load(Ordering::Relaxed))
        };
        alerts.map(delay).map(Duration::from_nanos).collect()
    }

    fn number(&self, id: &str) -> Option<usize> {
        let rest = id.strip_prefix("bench-")?.strip_prefix(&self.run)?.strip_prefix('-')?;
        rest.parse().ok().filter(|alert| *alert < self.arrived.len())
    }

    fn since_begun(&self, at: Instant) -> u64 {
        // 0 means not yet. Longer than 500 years no bench takes.
        u64::try_from(at.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Ledger {
        Ledger::new("r".into(), 2, 3)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_last_one_has_arrived() {
        let ledger = three();
        let arriving = async {
            for (user, id) in [(0, "bench-r-0"), (0, "bench-r-2"), (1, "bench-r-1")] {
                tokio::time::sleep(SILENCE_MAX / 2).await;
                ledger.arrived(user, id, Instant::now());
            }
        };
        let (waited, ()) = tokio::join!(ledger.wait_for(3), arriving);
        waited.unwrap();
        assert_eq!(ledger.last_arrival(0..3) - ledger.begun, SILENCE_MAX / 2 * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_not_once_and_at_its_user_fails() {
        for (why, arrivals, expected) in [
            ("missing", &[(0, "bench-r-0")][..], "2 of 3 alerts are missing"),
            ("twice", &[(0, "bench-r-0"), (0, "bench-r-0")], "bench-r-0 arrived twice"),
            ("somebody else's", &[(1, "bench-r-0")], "bench-r-0 arrived at user 1"),
            ("another run's", &[(0, "bench-q-0")], "bench-q-0 arrived, which this run did not send"),
            ("one too many", &[(1, "bench-r-3")], "bench-r-3 arrived, which this run did not send"),
        ] {
            let ledger = three();
            for (user, id) in arrivals {
                ledger.arrived(*user, id, Instant::now());
            }
            let error = ledger.wait_for(3).await.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{why}: {error}");
        }
    }
}
