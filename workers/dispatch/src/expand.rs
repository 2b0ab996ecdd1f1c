//! The rest of large audiences: page by page, in turn with other audiences, beside the batches of everybody else's alerts.
//!
//! What holds here:
//! - A page is committed together with the place after it, so that a crash repeats one page and skips nobody (I2). It is one commit:
//!   an audience is held from page to page, until others' turn comes.
//! - Every page is recorded as what the alert says by then: nobody is told an older text after a later one is committed.
//! - A page waits for the alerts of other tenants that are there before it, and is small while there are any (I16). Otherwise it is
//!   as large as a commit of a bounded time ([`crate::page_size`]).
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
use tracing::{debug, error, info};
use watchbell::{
    broker::{Address, Message},
    domain::{Alert, Audience, Tenant, UserId},
    runtime::contention::Contention,
    store::{Expansion, NewAlert, RecordedPage, RecordedRow, Step, StoreError},
    wire::{
        alert::{Defaults, encode_alert},
        content_of, parse_alert, refused,
    },
};

use crate::{
    Dispatch, PUBLISH_DEADLINE,
    announce::AnnouncementStage,
    audience::{self, PAGE_ROWS_BESIDE_OTHERS, Position},
    commit::count,
    intake::refusal_of,
    page_size::PageSize,
    patience::{NotStored, patiently},
    room::Room,
    rules::Rules,
    search::Parts,
};

/// How long an audience is nobody else's after each page: the store's own limit for one operation, and some. Whoever dies is
/// followed after it.
const LEASE: Duration = Duration::from_secs(15);
/// Pages of one audience in a row while only others of the same tenant wait: to pass it on costs as much as recording a few people.
const PAGES_IN_A_ROW_MAX: u32 = 8;
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

/// An audience that is gone through, with what it is gone through for.
struct InHand {
    held: Expansion,
    alert: Arc<Alert>,
    content: Arc<str>,
    /// Pages that were recorded since it was claimed.
    pages: u32,
    page_size: PageSize,
}

impl Expander<'_> {
    /// Until `shutdown`; a page in hand is finished first, if the store lets it.
    pub(crate) async fn run(self, shutdown: &CancellationToken) {
        let mut last: Option<Tenant> = None;
        while !shutdown.is_cancelled() {
            let claim = || self.dispatch.store.claim_expansion(last.as_ref(), self.now(), LEASE);
            let outcome = match patiently(shutdown, claim).await {
                Ok(Some(held)) => self.turns(held, &mut last, shutdown).await,
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

    fn now(&self) -> Timestamp {
        self.dispatch.clock.now()
    }

    async fn rest(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.opened.notified() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }

    /// Page after page of this audience, and of those that follow it, as long as there are any. `last` is whose turn it was.
    async fn turns(
        &self,
        first: Expansion,
        last: &mut Option<Tenant>,
        shutdown: &CancellationToken,
    ) -> Result<(), NotStored> {
        let store = &self.dispatch.store;
        let mut next = Some(first);
        while let Some(held) = next {
            *last = Some(held.tenant().clone());
            let Some(mut in_hand) = self.in_hand(held, shutdown).await? else { return Ok(()) };
            while self.may_go_on(&in_hand, shutdown).await? {
                if !self.page(&mut in_hand, shutdown).await? {
                    return Ok(()); // It is somebody else's by now, or over.
                }
            }
            let held = &in_hand.held;
            if held.next_page.is_none() {
                let (alert, version) = (held.alert(), held.version());
                info!(alert.id = %alert, version, "{alert} has reached the last of its people");
            }
            next = match shutdown.is_cancelled() {
                true => {
                    self.leave(held).await;
                    return Ok(());
                }
                false => patiently(shutdown, || store.pass_on_expansion(held, self.now(), LEASE)).await?,
            };
        }
        Ok(())
    }

    /// Nobody has to wait for the lease to end, unless a page may not have been told. A store that is down now is not waited for.
    async fn leave(&self, held: &Expansion) {
        if held.untold_page.is_none()
            && let Err(error) = self.dispatch.store.release_expansion(held, self.now()).await
        {
            debug!(%error, "What is left of an audience waits until its lease ends");
        }
    }

    /// What this audience is gone through for. `None`: it is over.
    async fn in_hand(
        &self,
        held: Expansion,
        shutdown: &CancellationToken,
    ) -> Result<Option<InHand>, NotStored> {
        let store = &self.dispatch.store;
        let Some(published) = patiently(shutdown, || store.expanded_alert(&held)).await? else {
            return Ok(None);
        };
        let alert = Arc::new(alert_of(&published, held.began_at).map_err(NotStored::Refused)?);
        let content = content_of(&alert).into();
        Ok(Some(InHand { held, alert, content, pages: 0, page_size: PageSize::FIRST }))
    }

    /// Whether the next page is of this audience.
    async fn may_go_on(&self, in_hand: &InHand, shutdown: &CancellationToken) -> Result<bool, NotStored> {
        let (store, tenant) = (&self.dispatch.store, in_hand.held.tenant());
        if shutdown.is_cancelled() {
            return Ok(false);
        }
        if in_hand.pages == 0 {
            return Ok(true);
        }
        if in_hand.held.next_page.is_none() {
            return Ok(false);
        }
        let waits = patiently(shutdown, || store.whose_expansion_waits(tenant, self.now())).await?;
        Ok(has_another_page(tenant, in_hand.pages, waits.as_ref()))
    }

    /// The next page of an audience: recorded when its turn comes, and told. `false`: the audience is not held any more.
    async fn page(&self, in_hand: &mut InHand, shutdown: &CancellationToken) -> Result<bool, NotStored> {
        let InHand { held, alert, content, pages, page_size } = in_hand;
        self.contention.note(held.tenant(), Instant::now());
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(true),
            () = self.room.let_others_go_first(held.tenant()) => {}
        }
        let rows_max = match self.contention.has_several(Instant::now()) {
            true => PAGE_ROWS_BESIDE_OTHERS,
            false => page_size.rows(),
        };
        let store = &self.dispatch.store;
        let at = place(held);
        let page = patiently(shutdown, || audience::page(alert, &at, rows_max, store)).await?;
        let now = self.now();
        let new = self.rules.apply(alert, content, page.recipients, held.began_at, now);
        let new = NewAlert { trace: held.trace.clone(), ..new };
        let (begins, next) = (at.to_string(), (!page.next.is_done()).then(|| page.next.to_string()));
        let step = Step { page: &begins, next_page: next.as_deref() };
        let begun = Instant::now();
        let recorded = patiently(shutdown, || store.record_page(held, &new, step, now)).await;
        *page_size = page_size.after(new.recipients.len(), begun.elapsed());
        let RecordedPage { mut rows, is_held } = match recorded {
            Ok(page) => page,
            Err(NotStored::Refused(error)) => {
                let rows = self.search(&new, error, now, shutdown).await?;
                let nobody = NewAlert { recipients: Vec::new(), ..new.clone() };
                let page = patiently(shutdown, || store.record_page(held, &nobody, step, now)).await?;
                RecordedPage { rows, ..page }
            }
            Err(leaving) => return Err(leaving),
        };
        count(&rows);
        // An unchanged row is told again only where it may not have been told: the page of somebody who vanished.
        rows.retain(|row| row.changed || held.untold_page.is_some());
        self.announcements.tell(&[new], &rows).await;
        held.told(step);
        *pages += 1;
        Ok(is_held)
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

fn alert_of(published: &str, began_at: Timestamp) -> Result<Alert, StoreError> {
    let defaults = Defaults { tenant: None, id: None, now: began_at };
    parse_alert(published.as_bytes(), &defaults).map_err(|_| StoreError::Unreadable { what: "published" })
}

/// Whether an audience goes on, after so many pages in a row, though the audience of this tenant waits. Tenants have a page each in turn; one
/// tenant's own audiences share its turns in larger parts.
fn has_another_page(tenant: &Tenant, pages: u32, waits: Option<&Tenant>) -> bool {
    match waits {
        None => true,
        Some(other) if other == tenant => pages < PAGES_IN_A_ROW_MAX,
        Some(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_passed_on_for_another_tenant_at_once_and_for_ones_own_after_a_while() {
        let acme = Tenant::parse("acme").unwrap();
        for (why, pages, waits, expected) in [
            ("nobody waits", PAGES_IN_A_ROW_MAX * 100, None, true),
            ("another tenant", 1, Some("globex"), false),
            ("another audience of the same tenant", PAGES_IN_A_ROW_MAX - 1, Some("acme"), true),
            ("for long enough", PAGES_IN_A_ROW_MAX, Some("acme"), false),
        ] {
            let waits = waits.map(|name| Tenant::parse(name).unwrap());
            assert_eq!(has_another_page(&acme, pages, waits.as_ref()), expected, "{why}");
        }
    }
}
