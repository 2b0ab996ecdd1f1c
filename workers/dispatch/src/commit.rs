//! Commits what is prepared, one batch at a time, each in as few commits as its rows need.
//!
//! What holds here:
//! - Alerts of a tenant are committed in the order they came. Which version an alert shows does not depend on it: the store decides
//!   under a lock, for every dispatcher alike.
//! - A tenant that has little in a batch is recorded before those that have much, in a commit of its own (I16).
//! - Whom an earlier version reached is looked for after the later one is committed. From then on nobody is reached by an
//!   earlier one any more, so nobody is overlooked, whichever batch or process held the earlier one.
//! - An alert is handed on to be settled when it is recorded for everybody, or for its first people together with what is
//!   left of its audience.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::info;
use watchbell::{
    domain::{Tenant, publication::Meets},
    runtime::traces::{
        self, Span,
        span_table::{BATCH_COUNT, RECIPIENTS, RECORD},
    },
    store::{NewAlert, ROWS_PER_COMMIT_MAX, RecordedBatch, RecordedRow, Rest, StoreError},
    wire::alert::encode_alert,
};

use crate::{
    Dispatch,
    announce::Committed,
    audience::{self, PAGE_ROWS_MAX, Page, Position},
    intake::Refused,
    patience::{NotStored, patiently},
    prepare::{AfterRecording, Prepared, after_recording, next_batch},
    room::Place,
    rules::Rules,
    search::Parts,
    trace,
    turns::QUANTUM,
};

/// What a tenant has in a batch that counts as little, in rows: a quarter of a turn.
const LITTLE_ROWS_MAX: usize = QUANTUM as usize / 4;
/// Alerts whose earlier readers are looked for at once.
const EARLIER_READS_MAX: usize = 4;

/// Shutdown came while the store was waited for. What is unsettled goes back to the queue.
struct Leaving;

/// The second stage.
pub(crate) struct Recorder<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) rules: Rules,
    pub(crate) committed: mpsc::Sender<Committed>,
    pub(crate) refused: mpsc::Sender<Refused>,
    /// Told when there is something left of an audience.
    pub(crate) opened: Arc<Notify>,
}

impl Recorder<'_> {
    /// Until nothing is prepared any more, or, the store being down, until `shutdown`.
    pub(crate) async fn run(self, mut prepared: mpsc::Receiver<Prepared>, shutdown: &CancellationToken) {
        let config = &self.dispatch.config;
        loop {
            let mut batch = next_batch(&mut prepared, config.batch_max, config.batch_wait).await;
            if batch.is_empty() {
                return;
            }
            let turn = self.dispatch.store.until_writer_is_free().await;
            // What has come while somebody else wrote is in the same commits.
            while batch.len() < config.batch_max
                && let Ok(one) = prepared.try_recv()
            {
                batch.push(one);
            }
            batch.iter_mut().filter_map(|one| one.place.as_mut()).for_each(Place::give_back_room);
            drop(turn);
            for some in little_first(batch, |one| (&one.taken.alert.tenant, 1 + one.recipients.len())) {
                for part in by_rows(some, |one| one.recipients.len()) {
                    if self.commit(part, shutdown).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sees alerts through to being handed on; parks those that the store refuses.
    async fn commit(&self, batch: Vec<Prepared>, shutdown: &CancellationToken) -> Result<(), Leaving> {
        let mut parts = Parts::of(batch);
        while let Some(mut part) = parts.next() {
            let span = span_of(&part);
            let recorded = self.record(&part, shutdown).await;
            end_span(span, &mut part, &recorded);
            match recorded {
                Ok((alerts, RecordedBatch { rows, met })) => {
                    part.iter_mut().for_each(|one| drop(one.place.take()));
                    let accepted_at = part.iter().map(|one| one.taken.accepted_at).collect();
                    let part = self.without_refused(part, &met).await?;
                    let (later, done): (Vec<_>, Vec<_>) =
                        part.into_iter().partition(|one| one.then == AfterRecording::Earlier);
                    let settled = done.into_iter().map(|one| (one.taken.delivery, one.taken.span)).collect();
                    self.hand_on(Committed { alerts, accepted_at, rows, settled }).await?;
                    parts.add(self.whom_earlier_ones_reached(later, shutdown).await?);
                }
                Err(NotStored::Leaving) => return Err(Leaving),
                Err(NotStored::Refused(error)) => {
                    if let Some(culprit) = parts.refused(part) {
                        self.park(culprit, &error).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One commit. Of its rows those come back that the pods are to be told of.
    async fn record(
        &self,
        part: &[Prepared],
        shutdown: &CancellationToken,
    ) -> Result<(Vec<NewAlert>, RecordedBatch), NotStored> {
        let now = self.dispatch.clock.now();
        let alerts: Vec<NewAlert> = part.iter().map(|one| self.new_alert(one, now)).collect();
        let begun = std::time::Instant::now();
        let mut recorded = patiently(shutdown, || self.dispatch.store.record_batch(&alerts, now)).await?;
        metrics::histogram!("watchbell_dispatch_commit_seconds").record(begun.elapsed().as_secs_f64());
        if alerts.iter().any(|new| new.rest.is_some()) {
            self.opened.notify_one();
        }
        count(&recorded.rows);
        // An unchanged row is told again only after a crash between commit and publish; a producer's repetition is not.
        recorded.rows.retain(|row| row.changed || part[row.alert].taken.delivery.redelivered);
        Ok((alerts, recorded))
    }

    fn new_alert(&self, one: &Prepared, now: jiff::Timestamp) -> NewAlert {
        let rest = match &one.then {
            AfterRecording::Settle | AfterRecording::Earlier => None,
            AfterRecording::Expand(next) => Some(Rest {
                published: String::from_utf8_lossy(&encode_alert(&one.taken.alert)).into(),
                next_page: next.to_string(),
            }),
        };
        let (alert, content) = (&one.taken.alert, &one.taken.content);
        let publication = Some(one.taken.publication.clone());
        let trace = trace::stored(&one.taken.span);
        NewAlert {
            rest,
            publication,
            trace,
            ..self.rules.apply(alert, content, one.recipients.clone(), now, now)
        }
    }

    /// Those that were recorded. What contradicts what is recorded is parked; what came too late is counted.
    async fn without_refused(&self, part: Vec<Prepared>, met: &[Meets]) -> Result<Vec<Prepared>, Leaving> {
        let mut recorded = Vec::with_capacity(part.len());
        for (one, met) in part.into_iter().zip(met) {
            if matches!(met, Meets::Later | Meets::Stale) && !one.taken.delivery.redelivered {
                metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "stale").increment(1);
                let alert = &one.taken.alert;
                one.taken.span.log().in_scope(|| {
                    info!(alert.id = %alert.id, alert.version, "Version {} of {} came too late", alert.version, alert.id);
                });
            }
            if !met.is_refused() {
                recorded.push(one);
                continue;
            }
            if let Some(refused) = Refused::by_meeting(one.taken, *met) {
                self.refused.send(refused).await.map_err(|_| Leaving)?;
            }
        }
        Ok(recorded)
    }

    /// Alerts that were recorded for whom they name: each once more, for whom only an earlier version reached. Those that
    /// nobody else holds are handed on.
    async fn whom_earlier_ones_reached(
        &self,
        recorded: Vec<Prepared>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Prepared>, Leaving> {
        let look = |one: Prepared| async move {
            let (alert, store) = (&one.taken.alert, &self.dispatch.store);
            let page =
                patiently(shutdown, || audience::page(alert, &Position::EARLIER, PAGE_ROWS_MAX, store)).await;
            (one, page)
        };
        let looked: Vec<_> = stream::iter(recorded).map(look).buffered(EARLIER_READS_MAX).collect().await;
        let (mut again, mut settled) = (Vec::new(), Vec::new());
        for (one, page) in looked {
            match page {
                Ok(Page { recipients, next }) if recipients.is_empty() && next.is_done() => {
                    settled.push((one.taken.delivery, one.taken.span));
                }
                Ok(Page { recipients, next }) => {
                    again.push(Prepared { recipients, then: after_recording(next), ..one });
                }
                Err(NotStored::Leaving) => return Err(Leaving),
                Err(NotStored::Refused(error)) => {
                    self.park(one, &error).await?;
                }
            }
        }
        let nothing = Committed { alerts: Vec::new(), accepted_at: Vec::new(), rows: Vec::new(), settled };
        self.hand_on(nothing).await?;
        Ok(again)
    }

    async fn park(&self, culprit: Prepared, error: &StoreError) -> Result<(), Leaving> {
        let refused = Refused::by_store(culprit.taken.delivery, culprit.taken.span, error);
        self.refused.send(refused).await.map_err(|_| Leaving)
    }

    async fn hand_on(&self, committed: Committed) -> Result<(), Leaving> {
        if committed.rows.is_empty() && committed.settled.is_empty() {
            return Ok(());
        }
        // The next stage ends only after this one.
        self.committed.send(committed).await.map_err(|_| Leaving)
    }
}

/// The span of a commit, if anything in it is sampled.
fn span_of(part: &[Prepared]) -> Span {
    let mut span = traces::beside(&RECORD, part.iter().filter_map(|one| one.taken.span.context()));
    span.tell(|told| {
        let recipients: usize = part.iter().map(|one| one.recipients.len()).sum();
        told.say(&BATCH_COUNT, part.len() as i64).say(&RECIPIENTS, recipients as i64);
    });
    span
}

/// A commit has ended: whatever it recorded is linked to it.
fn end_span<T>(mut span: Span, part: &mut [Prepared], recorded: &Result<T, NotStored>) {
    match recorded {
        Ok(_) => {}
        Err(NotStored::Refused(_)) => span.fail("refused"),
        Err(NotStored::Leaving) => span.fail("unavailable"),
    }
    if let Some(commit) = span.context() {
        part.iter_mut().for_each(|one| one.taken.span.link_to(commit));
    }
}

pub(crate) fn count(rows: &[RecordedRow]) {
    let changed = rows.iter().filter(|row| row.changed).count();
    metrics::counter!("watchbell_dispatch_rows_total", "outcome" => "recorded").increment(changed as u64);
    metrics::counter!("watchbell_dispatch_rows_total", "outcome" => "duplicate")
        .increment((rows.len() - changed) as u64);
}

/// Those of tenants that have little in a batch, then the others; each in their order. A batch that one commit holds up nobody with is
/// not taken apart, because each commit costs the same however few rows it has.
pub(crate) fn little_first<T>(
    batch: Vec<T>,
    tenant_and_rows: impl Fn(&T) -> (&Tenant, usize),
) -> Vec<Vec<T>> {
    let mut rows_of: HashMap<&Tenant, usize> = HashMap::new();
    for one in &batch {
        let (tenant, rows) = tenant_and_rows(one);
        *rows_of.entry(tenant).or_default() += rows;
    }
    let much: usize = rows_of.values().filter(|rows| **rows > LITTLE_ROWS_MAX).sum();
    if much < QUANTUM as usize / 2 || rows_of.values().all(|rows| *rows > LITTLE_ROWS_MAX) {
        return vec![batch];
    }
    let has_little: Vec<bool> =
        batch.iter().map(|one| rows_of[tenant_and_rows(one).0] <= LITTLE_ROWS_MAX).collect();
    let (mut little, mut much) = (Vec::new(), Vec::new());
    for (one, has_little) in batch.into_iter().zip(has_little) {
        if has_little { &mut little } else { &mut much }.push(one);
    }
    vec![little, much]
}

/// In parts of at most [`ROWS_PER_COMMIT_MAX`] rows, in their order. One that has more rows by itself is a part of its own.
fn by_rows<T>(batch: Vec<T>, rows: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for one in batch {
        match parts.last_mut() {
            Some(part) if rows(&one) <= room => {
                room -= rows(&one);
                part.push(one);
            }
            _ => {
                room = ROWS_PER_COMMIT_MAX.saturating_sub(rows(&one));
                parts.push(vec![one]);
            }
        }
    }
    parts
}

#[test]
fn a_batch_is_committed_in_parts_that_keep_its_order() {
    const MAX: usize = ROWS_PER_COMMIT_MAX;
    for (why, rows, expected) in [
        ("nothing", vec![], vec![]),
        ("everything fits", vec![1, 2, 0, 3], vec![vec![1, 2, 0, 3]]),
        ("to the last row", vec![MAX - 1, 1, 1], vec![vec![MAX - 1, 1], vec![1]]),
        ("one too many by itself", vec![1, MAX + 1, 1], vec![vec![1], vec![MAX + 1], vec![1]]),
    ] {
        assert_eq!(by_rows(rows, |rows| *rows), expected, "{why}");
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn whoever_has_little_does_not_wait_for_whoever_has_much() {
    const LITTLE: usize = LITTLE_ROWS_MAX;
    const MUCH: usize = QUANTUM as usize;
    let tenants = ["evil", "zoe", "ann"].map(|name| Tenant::parse(name).unwrap());
    for (why, batch, expected) in [
        ("nothing", vec![], vec![vec![]]),
        ("one alone", vec![(0, MUCH), (0, 1)], vec![vec![(0, MUCH), (0, 1)]]),
        ("little of each", vec![(0, 2), (1, 2), (0, 2)], vec![vec![(0, 2), (1, 2), (0, 2)]]),
        ("much of each", vec![(0, MUCH), (1, MUCH)], vec![vec![(0, MUCH), (1, MUCH)]]),
        ("little after much", vec![(0, MUCH), (1, 2), (0, 1)], vec![vec![(1, 2)], vec![(0, MUCH), (0, 1)]]),
        (
            "little by little is much",
            vec![(0, MUCH), (1, LITTLE), (1, 1), (2, LITTLE)],
            vec![vec![(2, LITTLE)], vec![(0, MUCH), (1, LITTLE), (1, 1)]],
        ),
        ("not so much that it matters", vec![(0, LITTLE + 1), (1, 2)], vec![vec![(0, LITTLE + 1), (1, 2)]]),
    ] {
        let named = |part: Vec<(usize, usize)>| {
            part.into_iter().map(|(of, rows)| (tenants[of].clone(), rows)).collect::<Vec<_>>()
        };
        let parts = little_first(named(batch), |(of, rows)| (of, *rows));
        assert_eq!(parts, expected.into_iter().map(named).collect::<Vec<_>>(), "{why}");
    }
}
