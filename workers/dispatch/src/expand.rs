//! The rest of large audiences: page by page, in turn with other audiences, beside the batches of everybody else's alerts.
//!
//! What holds here:
//! - A page is committed together with the place after it, so that a crash repeats one page and skips nobody (I2).
//! - Every page is recorded as what the alert says by then: nobody is told an older text after a later one is committed.
//! - A page waits for the alerts of other tenants that are there before it, and is small while there are any (I16).
//! - A person the store refuses is parked, in a copy of the alert for them alone; the others are reached.
//!
//! Elsewhere: the turns and the lease in `watchbell::store`; who comes on which page in [`audience`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use watchbell::{
    broker::{Address, Message},
    domain::{Alert, Audience, Tenant, UserId},
    store::{Expansion, NewAlert, RecordedRow, Step, StoreError},
    wire::{
        alert::{Defaults, encode_alert},
        content_of, parse_alert, refused,
    },
};

use crate::{
    Dispatch, PUBLISH_DEADLINE,
    announce::AnnouncementStage,
    audience::{self, PAGE_ROWS_BESIDE_OTHERS, PAGE_ROWS_MAX, Position},
    commit::count,
    contention::Contention,
    intake::refusal_of,
    patience::{NotStored, patiently},
    room::Room,
    rules::Rules,
    search::Parts,
};

/// How long a page is nobody else's: the store's own limit for one operation, and some. Whoever dies is followed after it.
const LEASE: Duration = Duration::from_secs(15);
/// How often to look for what others opened, or left.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to park.
const PARK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Works on what is left of large audiences.
pub(crate) struct Expander<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) rules: Rules,
    pub(crate) announcements: &'a AnnouncementStage,
    /// Told when this process opened one.
    pub(crate) opened: Arc<Notify>,
    pub(crate) room: Arc<Room>,
    pub(crate) contention: Arc<Contention>,
}

impl Expander<'_> {
    /// Until `shutdown`; a page in hand is finished first, if the store lets it.
    pub(crate) async fn run(self, shutdown: &CancellationToken) {
        let mut last: Option<Tenant> = None;
        while !shutdown.is_cancelled() {
            let now = self.dispatch.clock.now();
            let claim = || self.dispatch.store.claim_expansion(last.as_ref(), now, LEASE);
            let claimed = patiently(shutdown, claim).await;
            let outcome = match claimed {
                Ok(Some(held)) => {
                    let outcome = self.turn(&held, now, shutdown).await;
                    last = Some(held.tenant);
                    outcome
                }
                Ok(None) => {
                    self.rest(shutdown).await;
                    Ok(())
                }
                Err(not_stored) => Err(not_stored),
            };
            if let Err(NotStored::Refused(error)) = outcome {
                // Its lease keeps it from coming again at once.
                error!(%error, "What is left of an audience cannot be worked on; it is tried again later");
                self.rest(shutdown).await;
            }
        }
    }

    async fn rest(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.opened.notified() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }

    /// The next page of one audience: recorded, told, and the audience let go of.
    async fn turn(
        &self,
        held: &Expansion,
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<(), NotStored> {
        self.contention.note(&held.tenant, Instant::now());
        tokio::select! {
            () = shutdown.cancelled() => return Err(NotStored::Leaving),
            () = self.room.let_others_go_first(&held.tenant) => {}
        }
        let rows_max = match self.contention.has_several(Instant::now()) {
            true => PAGE_ROWS_BESIDE_OTHERS,
            false => PAGE_ROWS_MAX,
        };
        let store = &self.dispatch.store;
        let alert = Arc::new(alert_of(held).map_err(NotStored::Refused)?);
        let at = place(held);
        let page = patiently(shutdown, || audience::page(&alert, &at, rows_max, store)).await?;
        let content: Arc<str> = content_of(&alert).into();
        let new = self.rules.apply(&alert, &content, page.recipients, held.began_at, now);
        let new = NewAlert { trace: held.trace.clone(), ..new };
        let (begins, next) = (at.to_string(), (!page.next.is_done()).then(|| page.next.to_string()));
        let step = Step { page: &begins, next_page: next.as_deref() };
        let mut rows = match patiently(shutdown, || store.record_page(held, &new, step, now)).await {
            Ok(rows) => rows,
            Err(NotStored::Refused(error)) => {
                let rows = self.search(&new, error, now, shutdown).await?;
                let nobody = NewAlert { recipients: Vec::new(), ..new.clone() };
                patiently(shutdown, || store.record_page(held, &nobody, step, now)).await?;
                rows
            }
            Err(leaving) => return Err(leaving),
        };
        count(&rows);
        // An unchanged row is told again only where it may not have been told: the page of somebody who vanished.
        rows.retain(|row| row.changed || held.untold_page.is_some());
        self.announcements.tell(&[new], &rows).await;
        patiently(shutdown, || store.release_expansion(held, self.dispatch.clock.now())).await?;
        if next.is_none() {
            info!(alert.id = %held.alert, version = held.version, "{} has reached the last of its people", held.alert);
        }
        Ok(())
    }

    /// Records a page that was refused as a whole for everybody who is not refused alone.
    async fn search(
        &self,
        new: &NewAlert,
        mut error: StoreError,
        now: Timestamp,
        shutdown: &CancellationToken,
    ) -> Result<Vec<RecordedRow>, NotStored> {
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        let mut parts = Parts::of(new.recipients.clone());
        while let Some(part) = parts.next() {
            let some = [NewAlert { recipients: part.clone(), ..new.clone() }];
            match patiently(shutdown, || self.dispatch.store.record(&some, now)).await {
                Ok(recorded) => rows.extend(recorded),
                Err(NotStored::Refused(refusal)) => {
                    refused.extend(parts.refused(part));
                    error = refusal;
                }
                Err(leaving) => return Err(leaving),
            }
        }
        if !refused.is_empty() {
            self.park(&new.alert, refused, &error, shutdown).await?;
        }
        Ok(rows)
    }

    /// Parks a copy of the alert for these people alone: replayed, it is for nobody who has it already.
    async fn park(
        &self,
        alert: &Alert,
        people: Vec<UserId>,
        error: &StoreError,
        shutdown: &CancellationToken,
    ) -> Result<(), NotStored> {
        let to = Audience { users: people, groups: Vec::new(), everyone: false };
        let id = format!("{}/{}/{}", alert.tenant, alert.id, alert.version);
        let mut message = Message::json(id, encode_alert(&Alert { to, ..alert.clone() }));
        let refusal = refusal_of(error);
        message.headers.insert(refused::REASON.into(), refusal.to_string());
        message.headers.insert(refused::FIELD.into(), refusal.field);
        loop {
            match self.dispatch.broker.publish(Address::Rejected, message.clone(), PUBLISH_DEADLINE).await {
                Ok(()) => break Ok(()),
                Err(error) => {
                    error!(%error, alert.id = %alert.id, "People of {} could not be parked", alert.id);
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break Err(NotStored::Leaving),
                () = sleep(PARK_AGAIN_AFTER) => {}
            }
        }
    }
}

/// Where to go on. A place of another version of this program is none: beginning at the beginning is harmless.
fn place(held: &Expansion) -> Position {
    let page = held.untold_page.as_ref().or(held.next_page.as_ref());
    page.and_then(|page| page.parse().ok()).unwrap_or(Position::BEGINNING)
}

fn alert_of(held: &Expansion) -> Result<Alert, StoreError> {
    let defaults = Defaults { tenant: None, id: None, now: held.began_at };
    parse_alert(held.published.as_bytes(), &defaults)
        .map_err(|_| StoreError::Unreadable { what: "published" })
}
