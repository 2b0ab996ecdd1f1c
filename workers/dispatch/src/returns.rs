//! What comes back by itself: alerts that a person snoozed, and alerts that their producer suppressed until a time. What people
//! said for others is looked for with them ([`crate::group_receipts`]).
//!
//! The times are in the store, and every dispatcher looks every [`LOOK_EVERY`]: nobody has to be connected, and whoever
//! dies is followed by the next look. Dispatch does it, not fallback, because what comes back is recorded, told to the
//! screens, and chased under its policy like an alert that has just come, and all of that is here.
//!
//! What holds here:
//! - A snooze ends in one commit: the row, its change number, the badge and the new escalation. Whoever comes second finds
//!   it ended.
//! - A suppressed alert fires again as its own next version, and its holders are reached page by page, like those of any
//!   later version that names nobody. When its producer has taken that number, theirs wins.
//! - What the store refuses is put off alone; everything else comes back.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use watchbell::{
    domain::{Alert, AlertId, Status, Tenant, Timestamp},
    store::{DueReturn, DueSnooze, LatestAlert, NewAlert, RETURNS_MAX, Rest, StoreError, WAKES_MAX},
    wire::{alert::encode_alert, content_of, stored::stored_alert},
};

use crate::{
    Dispatch,
    announce::AnnouncementStage,
    audience::Position,
    commit::count,
    group_receipts::carry_group_receipts,
    patience::{NotStored, patiently},
    rules::Rules,
    search::Parts,
};

/// How often to look: how much later than its time something comes back.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When to try again what the store refused.
const AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// Brings back what is due.
pub(crate) struct Returner<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) rules: Rules,
    pub(crate) announcements: &'a AnnouncementStage,
    /// Told when there are holders to reach.
    pub(crate) opened: Arc<Notify>,
}

impl Returner<'_> {
    /// Until `shutdown`; what is in hand is finished first, if the store lets it.
    pub(crate) async fn run(self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let now = self.dispatch.clock.now();
            let is_more = match self.look(now, shutdown).await {
                Ok(is_more) => is_more,
                Err(NotStored::Leaving) => return,
                Err(NotStored::Refused(error)) => {
                    error!(%error, "What is to come back cannot be read; it is tried again");
                    false
                }
            };
            if is_more {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// One look. Answers whether there is more than it could hold.
    async fn look(&self, now: Timestamp, shutdown: &CancellationToken) -> Result<bool, NotStored> {
        let store = &self.dispatch.store;
        let snoozes = patiently(shutdown, || store.due_snoozes(now)).await?;
        let woken = self.wake(&snoozes, now, shutdown).await?;
        let returns = patiently(shutdown, || store.due_returns(now)).await?;
        self.fire_again(&returns, now, shutdown).await?;
        let is_more = carry_group_receipts(self.dispatch, self.announcements, now, shutdown).await?;
        // What was found and not woken has changed under our hands: it is left to the next look.
        Ok((snoozes.len() == WAKES_MAX && woken > 0) || returns.len() == RETURNS_MAX || is_more)
    }

    /// Ends these snoozes, and tells whoever has a screen. Answers how many ended.
    async fn wake(
        &self,
        due: &[DueSnooze],
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<usize, NotStored> {
        let store = &self.dispatch.store;
        let mut woken = 0;
        let mut parts = Parts::of(due.to_vec());
        while let Some(part) = parts.next() {
            let done = match self.new_alerts(&part, now) {
                Ok(alerts) => {
                    let woken = patiently(shutdown, || store.wake(&alerts, now)).await;
                    woken.map(|rows| (alerts, rows))
                }
                Err(unreadable) => Err(NotStored::Refused(unreadable)),
            };
            match done {
                Ok((alerts, rows)) => {
                    count(&rows);
                    metrics::counter!("watchbell_dispatch_snoozes_ended_total").increment(rows.len() as u64);
                    woken += rows.len();
                    self.announcements.tell(&alerts, &rows).await;
                }
                Err(NotStored::Leaving) => return Err(NotStored::Leaving),
                Err(NotStored::Refused(refusal)) => {
                    if let Some(culprit) = parts.refused(part) {
                        let id = &culprit.key.alert;
                        error!(error = %refusal, alert.id = %id, "A snooze of {id} cannot end; it is tried again later");
                        let (keys, until) = ([culprit.key.clone()], now + AGAIN_AFTER);
                        patiently(shutdown, || store.put_off_snoozes(&keys, now, until)).await?;
                    }
                }
            }
        }
        Ok(woken)
    }

    fn new_alerts(&self, due: &[DueSnooze], now: Timestamp) -> Result<Vec<NewAlert>, StoreError> {
        let new = |due: &DueSnooze| {
            let key = &due.key;
            let alert = Arc::new(read(&key.user.tenant, &key.alert, &due.latest)?);
            let content = due.latest.content.as_str().into();
            Ok(self.rules.apply(&alert, &content, vec![key.user.user.clone()], now, now))
        };
        due.iter().map(new).collect()
    }

    /// Records these alerts as firing again. Their holders are reached by whoever expands audiences.
    async fn fire_again(
        &self,
        due: &[DueReturn],
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<(), NotStored> {
        let store = &self.dispatch.store;
        let mut parts = Parts::of(due.to_vec());
        while let Some(part) = parts.next() {
            let alerts = part.iter().map(|due| self.fired_again(due, now)).collect::<Result<Vec<_>, _>>();
            let done = match alerts {
                Ok(alerts) => patiently(shutdown, || store.record(&alerts, now)).await,
                Err(unreadable) => Err(NotStored::Refused(unreadable)),
            };
            match done {
                Ok(_) => {
                    for due in &part {
                        info!(alert.id = %due.alert, "{} fires again: dismissed_until has passed", due.alert);
                    }
                    metrics::counter!("watchbell_dispatch_returned_alerts_total")
                        .increment(part.len() as u64);
                    self.opened.notify_one();
                }
                Err(NotStored::Leaving) => return Err(NotStored::Leaving),
                Err(NotStored::Refused(refusal)) => {
                    if let Some(culprit) = parts.refused(part) {
                        let id = &culprit.alert;
                        error!(error = %refusal, alert.id = %id, "{id} cannot fire again; it is tried again later");
                        patiently(shutdown, || store.put_off_return(&culprit, now + AGAIN_AFTER)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The next version of a suppressed alert, for everybody who holds it.
    fn fired_again(&self, due: &DueReturn, now: Timestamp) -> Result<NewAlert, StoreError> {
        let before = read(&due.tenant, &due.alert, &due.latest)?;
        let version = due.latest.version.checked_add(1).ok_or(StoreError::Unreadable { what: "version" })?;
        let alert = Arc::new(Alert { version, status: Status::Firing, dismissed_until: None, ..before });
        let content = content_of(&alert).into();
        let published = String::from_utf8_lossy(&encode_alert(&alert)).into();
        let rest = Rest { published, next_page: Position::EARLIER.to_string() };
        Ok(NewAlert {
            rest: Some(rest),
            returns: true,
            ..self.rules.apply(&alert, &content, Vec::new(), now, now)
        })
    }
}

fn read(tenant: &Tenant, id: &AlertId, latest: &LatestAlert) -> Result<Alert, StoreError> {
    stored_alert(tenant, id, &latest.content, latest.policy.as_deref())
        .ok_or(StoreError::Unreadable { what: "content" })
}
