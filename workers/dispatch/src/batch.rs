//! A batch of deliveries: events told first, then alerts recorded in commits of bounded size, told to the pods,
//! acknowledged.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use watchbell::{
    broker::Delivery,
    domain::{Alert, GroupRule, UserId},
    store::{NewAlert, ROWS_PER_COMMIT_MAX, StoreError},
};

use crate::{
    Dispatch,
    audience::{Audience, NotAPosition},
    intake::{Intake, Taken},
};

/// The first wait for a store that is down, doubling up to [`STORE_WAIT_MAX`].
const STORE_WAIT_MIN: Duration = Duration::from_millis(50);
const STORE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why a batch was not recorded.
pub(crate) enum NotRecorded {
    /// Shutdown came first. Unsettled deliveries go back to the queue.
    Leaving,
    /// This cannot be recorded, however often it is tried.
    Impossible(StoreError),
}

impl Dispatch {
    /// Sees a batch through to its acknowledgements.
    pub(crate) async fn handle(&self, deliveries: Vec<Delivery>, shutdown: &CancellationToken) {
        let now = self.clock.now();
        let Intake { alerts, events, refused } = self.take_in(deliveries, now);
        // The good ones do not wait for the bad ones to be parked.
        tokio::join!(self.park(refused), async {
            // Events first: they age, and most of them need no commit.
            self.handle_events(events, now, shutdown).await;
            self.handle_alerts(alerts, now, shutdown).await;
        });
    }

    async fn handle_alerts(&self, taken: Vec<Taken>, now: Timestamp, shutdown: &CancellationToken) {
        match self.record_all(&taken, now, shutdown).await {
            Ok(()) => settle(taken).await,
            Err(NotRecorded::Leaving) => {}
            // One of them is poison: find it by taking them one by one.
            Err(NotRecorded::Impossible(_)) => {
                for one in taken {
                    match self.record_all(std::slice::from_ref(&one), now, shutdown).await {
                        Ok(()) => settle(vec![one]).await,
                        Err(NotRecorded::Leaving) => {}
                        Err(NotRecorded::Impossible(error)) => {
                            error!(alert.id = %one.alert.id, %error, "An alert cannot be recorded; it goes back to the queue");
                            one.delivery.settle.requeue().await;
                        }
                    }
                }
            }
        }
    }

    async fn record_all(
        &self,
        taken: &[Taken],
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<(), NotRecorded> {
        let mut commit = Commit::default();
        let mut pause = Pause::default();
        for one in taken {
            // Its audience takes in those whom the earlier version reached, so they have to be recorded first.
            if commit.has_earlier(one) {
                self.record(std::mem::take(&mut commit), now, shutdown).await?;
            }
            let mut audience = self.audience(one, &mut pause, shutdown).await?;
            loop {
                let page = match audience.next(&self.store).await {
                    Ok(Some(page)) => page,
                    Ok(None) => break,
                    Err(error) => {
                        pause.after(error, shutdown).await?;
                        continue; // The page that failed comes again.
                    }
                };
                if commit.rows + page.recipients.len() > ROWS_PER_COMMIT_MAX {
                    self.record(std::mem::take(&mut commit), now, shutdown).await?;
                }
                commit.rows += page.recipients.len();
                commit.redelivered.push(one.delivery.redelivered);
                // Worth a note only where there is something to skip next time.
                let reached = page.is_full.then(|| page.begins.to_string());
                commit.alerts.push(NewAlert { reached, ..self.new_alert(one, page.recipients, now) });
            }
            // Nobody (an empty group): the alert itself is kept, so that `explain` can say so.
            if !commit.alerts.iter().any(|new| std::sync::Arc::ptr_eq(&new.alert, &one.alert)) {
                commit.redelivered.push(false);
                commit.alerts.push(self.new_alert(one, Vec::new(), now));
            }
        }
        self.record(commit, now, shutdown).await
    }

    /// The audience of an alert, from the page that was recorded last when somebody held this delivery before.
    async fn audience<'a>(
        &self,
        one: &'a Taken,
        pause: &mut Pause,
        shutdown: &CancellationToken,
    ) -> Result<Audience<'a>, NotRecorded> {
        if !one.delivery.redelivered {
            return Ok(Audience::of(&one.alert));
        }
        loop {
            match self.store.reached(&one.alert).await {
                Ok(reached) => {
                    return Ok(match reached.map(|reached| reached.parse()) {
                        Some(Ok(position)) => Audience::from(&one.alert, position),
                        // None, or of another version of this program: recording again is harmless.
                        None | Some(Err(NotAPosition)) => Audience::of(&one.alert),
                    });
                }
                Err(error) => pause.after(error, shutdown).await?,
            }
        }
    }

    async fn record(
        &self,
        commit: Commit,
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<(), NotRecorded> {
        if commit.alerts.is_empty() {
            return Ok(());
        }
        let begun = std::time::Instant::now();
        let mut pause = Pause::default();
        let rows = loop {
            match self.store.record(&commit.alerts, now).await {
                Ok(rows) => break rows,
                Err(error) => pause.after(error, shutdown).await?,
            }
        };
        metrics::histogram!("watchbell_dispatch_commit_seconds").record(begun.elapsed().as_secs_f64());
        let changed = rows.iter().filter(|row| row.changed).count();
        metrics::counter!("watchbell_dispatch_rows_total", "outcome" => "recorded").increment(changed as u64);
        metrics::counter!("watchbell_dispatch_rows_total", "outcome" => "duplicate")
            .increment((rows.len() - changed) as u64);
        // An unchanged row is told again only after a crash between commit and publish; a producer's repetition is not.
        let told: Vec<_> =
            rows.into_iter().filter(|row| row.changed || commit.redelivered[row.alert]).collect();
        self.tell(&commit.alerts, &told).await;
        Ok(())
    }

    /// The alert for these people, under its policy.
    fn new_alert(&self, one: &Taken, recipients: Vec<UserId>, now: Timestamp) -> NewAlert {
        let name = self.policies.name_for(&one.alert);
        let policy = self.policies.get_or_default(&one.alert.tenant, name);
        let first = policy.steps.first();
        let expires_after = policy.expires_after.unwrap_or(self.config.expires_after);
        NewAlert {
            alert: one.alert.clone(),
            content: one.content.clone(),
            recipients,
            policy: name.into(),
            first_stops_all: policy.group == GroupRule::FirstStopsAll,
            first_due_at: first.map(|step| now + step.after),
            // There is no screen to wait for.
            absent_due_at: first.map(|_| now),
            expires_at: one.alert.expires_at.unwrap_or(now + expires_after),
            reached: None,
        }
    }
}

/// Waits for a store that does not answer, longer each time: it may be restarting, and the alerts are safe in the
/// queue meanwhile.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(STORE_WAIT_MIN)
    }
}

impl Pause {
    pub(crate) async fn after(
        &mut self,
        error: StoreError,
        shutdown: &CancellationToken,
    ) -> Result<(), NotRecorded> {
        match error {
            StoreError::Unavailable { .. } => {}
            StoreError::Refused { .. } | StoreError::Unreadable { .. } => {
                return Err(NotRecorded::Impossible(error));
            }
        }
        warn!(%error, "The store does not answer; the batch waits");
        tokio::select! {
            () = shutdown.cancelled() => return Err(NotRecorded::Leaving),
            () = sleep(self.0) => self.0 = (self.0 * 2).min(STORE_WAIT_MAX),
        }
        Ok(())
    }
}

/// What one transaction will record.
#[derive(Default)]
struct Commit {
    alerts: Vec<NewAlert>,
    /// Whether each came from a delivery that somebody held before.
    redelivered: Vec<bool>,
    rows: usize,
}

impl Commit {
    /// Whether it holds an earlier version of this alert.
    fn has_earlier(&self, one: &Taken) -> bool {
        let is_earlier = |alert: &Alert| {
            alert.id == one.alert.id && alert.tenant == one.alert.tenant && alert.version < one.alert.version
        };
        one.alert.version > 1 && self.alerts.iter().any(|new| is_earlier(&new.alert))
    }
}

async fn settle(taken: Vec<Taken>) {
    metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "recorded")
        .increment(taken.len() as u64);
    for one in taken {
        one.delivery.settle.ack().await;
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
