//! Gathers withdrawals: who reads fifty alerts at once has fifty walks that end, and one phone to clear.
//!
//! What holds here:
//! - One push takes away what was asked for within [`GATHER`], [`WITHDRAWN_ALERTS_MAX`] ids at the most.
//! - Everybody whose alert was in it gets its outcome. When the one who would have sent it is gone, the others are told
//!   to ask again: a withdrawal is a row in the store, and nothing is lost.
//! - Only what may be on that phone is ever asked for (`next_step`), so nothing else is in it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};
use watchbell::domain::{DeviceId, UserKey};

use crate::{
    channel::{Accepted, WITHDRAWN_ALERTS_MAX},
    delivery::attempt_runner::NotSent,
    guard::Later,
};

/// How long others are waited for. Nobody notices it: the alert was seen already.
const GATHER: Duration = Duration::from_millis(200);
/// When those ask again whose sender is gone.
const AGAIN: Duration = Duration::from_secs(1);

type Outcome = Result<Accepted, NotSent>;
type Phone = (UserKey, DeviceId);

/// What is being gathered in this process.
pub struct Withdrawals {
    gather: Duration,
    /// Of each phone the batches that gather; all but the last are full.
    open: Mutex<HashMap<Phone, Vec<Batch>>>,
    batches: AtomicU64,
}

/// What goes off one phone in one push.
pub(crate) struct Gathered {
    pub(crate) alerts: Vec<String>,
    /// The badge as the last one to join knew it.
    pub(crate) unread: u64,
}

struct Batch {
    number: u64,
    gathered: Gathered,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl Default for Withdrawals {
    fn default() -> Self {
        Self::gathering_for(GATHER)
    }
}

impl Withdrawals {
    /// Waits so long for others.
    pub fn gathering_for(gather: Duration) -> Self {
        Self { gather, open: Mutex::default(), batches: AtomicU64::new(0) }
    }

    /// Takes `alert` off a phone, together with others that are asked for meanwhile. One of those who ask calls `send`.
    pub(crate) async fn send<F: Future<Output = Outcome>>(
        &self,
        phone: Phone,
        alert: String,
        unread: u64,
        send: impl FnOnce(Gathered) -> F,
    ) -> Outcome {
        match self.join(phone, alert, unread) {
            Joined::Follow(outcome) => {
                let gone = Later::busy(AGAIN, "who gathered withdrawals is gone");
                outcome.await.unwrap_or(Err(NotSent::Later(gone)))
            }
            Joined::Lead(lead) => {
                sleep(self.gather).await;
                let Some(Batch { gathered, waiting, .. }) = lead.take() else {
                    // Taken by nobody but its lead.
                    return Err(NotSent::Later(Later::busy(AGAIN, "the withdrawals are gone")));
                };
                let outcome = send(gathered).await;
                for other in waiting {
                    // One that no longer listens has its row in the store.
                    let _ = other.send(outcome.clone());
                }
                outcome
            }
        }
    }

    fn join(&self, phone: Phone, alert: String, unread: u64) -> Joined<'_> {
        let mut open = self.open();
        let batches = open.entry(phone.clone()).or_default();
        match batches.last_mut() {
            Some(batch) if batch.gathered.alerts.len() < WITHDRAWN_ALERTS_MAX => {
                let (tell, outcome) = oneshot::channel();
                batch.gathered.alerts.push(alert);
                batch.gathered.unread = unread;
                batch.waiting.push(tell);
                Joined::Follow(outcome)
            }
            _ => {
                let number = self.batches.fetch_add(1, Ordering::Relaxed);
                let gathered = Gathered { alerts: vec![alert], unread };
                batches.push(Batch { number, gathered, waiting: Vec::new() });
                Joined::Lead(Lead { withdrawals: self, phone, number })
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Phone, Vec<Batch>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined<'a> {
    Follow(oneshot::Receiver<Outcome>),
    Lead(Lead<'a>),
}

/// The duty to send a batch. Dropped with its walk, it lets those who wait know.
struct Lead<'a> {
    withdrawals: &'a Withdrawals,
    phone: Phone,
    number: u64,
}

impl Lead<'_> {
    fn take(&self) -> Option<Batch> {
        let mut open = self.withdrawals.open();
        let batches = open.get_mut(&self.phone)?;
        let own = batches.iter().position(|batch| batch.number == self.number)?;
        let batch = batches.remove(own);
        if batches.is_empty() {
            open.remove(&self.phone);
        }
        Some(batch)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::future::join_all;
    use watchbell::domain::{Tenant, UserId};

    use super::*;

    fn phone(user: &str) -> Phone {
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(user).unwrap());
        (user, DeviceId::parse("phone").unwrap())
    }

    /// Asks for `counts` withdrawals a user at once. Gives the size of each push.
    async fn pushes(asked: &[(&str, usize)]) -> Vec<usize> {
        let (withdrawals, sizes) = (Withdrawals::default(), Mutex::new(Vec::new()));
        let asked = asked.iter().flat_map(|(user, count)| (0..*count).map(move |n| (*user, n)));
        let (withdrawals, sizes) = (&withdrawals, &sizes);
        let outcomes = join_all(asked.map(|(user, n)| async move {
            let send = async |gathered: Gathered| {
                sizes.lock().unwrap().push(gathered.alerts.len());
                Ok(Accepted { provider_id: Some(user.to_owned()) })
            };
            let outcome = withdrawals.send(phone(user), format!("a-{n}"), 0, send).await;
            assert_eq!(outcome.unwrap().provider_id.as_deref(), Some(user), "the outcome of their own push");
        }))
        .await;
        drop(outcomes);
        assert!(withdrawals.open().is_empty());
        let mut sizes = std::mem::take(&mut *sizes.lock().unwrap());
        sizes.sort_unstable();
        sizes
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_off_one_phone_goes_in_one_push() {
        assert_eq!(pushes(&[("ana", 1)]).await, [1]);
        assert_eq!(pushes(&[("ana", 50), ("ben", 20)]).await, [20, 50], "each phone its own");
        assert_eq!(pushes(&[("ana", 203)]).await, [3, 200], "no more than 200 ids");
    }

    #[tokio::test(start_paused = true)]
    async fn those_whose_sender_is_gone_ask_again() {
        let withdrawals = Withdrawals::default();
        let never = async |_: Gathered| panic!("it is gone");
        let mut leader = Box::pin(withdrawals.send(phone("ana"), "a-1".into(), 0, never));
        assert!(futures_util::poll!(&mut leader).is_pending());
        let mut follower = Box::pin(withdrawals.send(phone("ana"), "a-2".into(), 0, never));
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(leader);
        assert!(matches!(follower.await, Err(NotSent::Later(_))));
        assert!(withdrawals.open().is_empty());
    }
}
