//! Gathers the withdrawals for one device. Whoever reads fifty alerts at once ends fifty escalations and has one phone to clear.
//!
//! What holds here:
//! - One push takes away what was asked for within [`GATHER_FOR`], at most [`WITHDRAWN_ALERTS_MAX`] alerts.
//! - Each escalation whose alert is in the push gets the outcome of the push. When the one that would have sent it is
//!   dropped, the others are told to ask again: a withdrawal is a row in the store, so nothing is lost.
//! - Only alerts that the device may show are asked for (`next_step`), so the push holds no others.

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

use super::not_sent::NotSent;
use crate::{
    channel::{Accepted, WITHDRAWN_ALERTS_MAX},
    guard::PutOff,
};

/// How long a batch gathers. Nobody notices the delay, because the alerts were seen already.
const GATHER_FOR: Duration = Duration::from_millis(200);
/// When the others ask again, after the one that would have sent their batch was dropped.
const ASK_AGAIN: Duration = Duration::from_secs(1);

type Outcome = Result<Accepted, NotSent>;
/// A device of a user: device ids are unique for one user only.
type DeviceKey = (UserKey, DeviceId);

/// The batches that gather in this process.
pub struct WithdrawalBatches {
    gather_for: Duration,
    /// The batches of each device; all but the last are full.
    open: Mutex<HashMap<DeviceKey, Vec<WithdrawalBatch>>>,
    next_number: AtomicU64,
}

/// What one push takes off a device.
pub(super) struct WithdrawnAlerts {
    pub(super) alerts: Vec<String>,
    /// The badge, as the last escalation that joined knew it.
    pub(super) unread: u64,
}

/// One push that is not sent yet.
struct WithdrawalBatch {
    number: u64,
    withdrawn: WithdrawnAlerts,
    followers: Vec<oneshot::Sender<Outcome>>,
}

impl Default for WithdrawalBatches {
    fn default() -> Self {
        Self::gathering_for(GATHER_FOR)
    }
}

impl WithdrawalBatches {
    /// Batches that gather for this long.
    pub fn gathering_for(gather_for: Duration) -> Self {
        Self { gather_for, open: Mutex::default(), next_number: AtomicU64::new(0) }
    }

    /// Takes `alert` off a device, together with others that are asked for meanwhile. One of the callers sends the push
    /// with its `send`.
    pub(super) async fn send<F: Future<Output = Outcome>>(
        &self,
        device: DeviceKey,
        alert: String,
        unread: u64,
        send: impl FnOnce(WithdrawnAlerts) -> F,
    ) -> Outcome {
        match self.join(device, alert, unread) {
            Joined::AsFollower(outcome) => {
                let dropped = PutOff::busy(ASK_AGAIN, "the escalation that gathered withdrawals is gone");
                outcome.await.unwrap_or(Err(NotSent::PutOff(dropped)))
            }
            Joined::AsLeader(leader) => {
                sleep(self.gather_for).await;
                let Some(WithdrawalBatch { withdrawn, followers, .. }) = leader.take() else {
                    // Only its leader takes a batch.
                    return Err(NotSent::PutOff(PutOff::busy(ASK_AGAIN, "the withdrawals are gone")));
                };
                let outcome = send(withdrawn).await;
                for follower in followers {
                    // One that no longer listens has its row in the store.
                    let _ = follower.send(outcome.clone());
                }
                outcome
            }
        }
    }

    fn join(&self, device: DeviceKey, alert: String, unread: u64) -> Joined<'_> {
        let mut open = self.open();
        let batches = open.entry(device.clone()).or_default();
        match batches.last_mut() {
            Some(batch) if batch.withdrawn.alerts.len() < WITHDRAWN_ALERTS_MAX => {
                let (follower, outcome) = oneshot::channel();
                batch.withdrawn.alerts.push(alert);
                batch.withdrawn.unread = unread;
                batch.followers.push(follower);
                Joined::AsFollower(outcome)
            }
            _ => {
                let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                let withdrawn = WithdrawnAlerts { alerts: vec![alert], unread };
                batches.push(WithdrawalBatch { number, withdrawn, followers: Vec::new() });
                Joined::AsLeader(BatchLeader { all: self, device, number })
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<DeviceKey, Vec<WithdrawalBatch>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an escalation takes part in a batch.
enum Joined<'a> {
    /// It waits for the outcome.
    AsFollower(oneshot::Receiver<Outcome>),
    /// It sends the batch.
    AsLeader(BatchLeader<'a>),
}

/// The duty to send a batch. When it is dropped with its escalation, the batch is dropped, which tells the followers.
struct BatchLeader<'a> {
    all: &'a WithdrawalBatches,
    device: DeviceKey,
    number: u64,
}

impl BatchLeader<'_> {
    fn take(&self) -> Option<WithdrawalBatch> {
        let mut open = self.all.open();
        let batches = open.get_mut(&self.device)?;
        let own = batches.iter().position(|batch| batch.number == self.number)?;
        let batch = batches.remove(own);
        if batches.is_empty() {
            open.remove(&self.device);
        }
        Some(batch)
    }
}

impl Drop for BatchLeader<'_> {
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

    fn device(user: &str) -> DeviceKey {
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(user).unwrap());
        (user, DeviceId::parse("phone").unwrap())
    }

    /// Asks for `counts` withdrawals a user at once. Gives the size of each push.
    async fn pushes(asked: &[(&str, usize)]) -> Vec<usize> {
        let (withdrawals, sizes) = (WithdrawalBatches::default(), Mutex::new(Vec::new()));
        let asked = asked.iter().flat_map(|(user, count)| (0..*count).map(move |n| (*user, n)));
        let (withdrawals, sizes) = (&withdrawals, &sizes);
        let outcomes = join_all(asked.map(|(user, n)| async move {
            let send = async |withdrawn: WithdrawnAlerts| {
                sizes.lock().unwrap().push(withdrawn.alerts.len());
                Ok(Accepted { provider_id: Some(user.to_owned()) })
            };
            let outcome = withdrawals.send(device(user), format!("a-{n}"), 0, send).await;
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
    async fn withdrawals_for_one_device_go_out_as_one_push() {
        assert_eq!(pushes(&[("ana", 1)]).await, [1]);
        assert_eq!(pushes(&[("ana", 50), ("ben", 20)]).await, [20, 50], "each device has its own");
        assert_eq!(pushes(&[("ana", 203)]).await, [3, 200], "no more than 200 ids");
    }

    #[tokio::test(start_paused = true)]
    async fn followers_of_a_leader_that_was_dropped_ask_again() {
        let withdrawals = WithdrawalBatches::default();
        let never = async |_: WithdrawnAlerts| panic!("it is dropped");
        let mut leader = Box::pin(withdrawals.send(device("ana"), "a-1".into(), 0, never));
        assert!(futures_util::poll!(&mut leader).is_pending());
        let mut follower = Box::pin(withdrawals.send(device("ana"), "a-2".into(), 0, never));
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(leader);
        assert!(matches!(follower.await, Err(NotSent::PutOff(_))));
        assert!(withdrawals.open().is_empty());
    }
}
