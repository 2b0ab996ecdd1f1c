//! Tells the pods, one message for the alerts of a batch that go to the same partition; then settles the deliveries.
//!
//! Messages of batch after batch go out in their order, with a window of unconfirmed ones that does not end with a batch.
//! A delivery is settled when the frames of its batch are with the broker, so that a crash before that tells them again.
//! Nobody waits for either: the next batches are taken and committed meanwhile.

use std::{collections::BTreeMap, future::ready};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tracing::debug;
use watchbell::{
    broker::{Announcement, Announcer, ChangedAlert, Delivery, InboxChange, ShownAlert},
    domain::{Alert, AlertId, Tenant, Timestamp},
    runtime::traces::Span,
    store::{NewAlert, RecordedRow},
    wire::live::LivePublished,
};

use crate::trace;

/// Live messages that wait for their confirm at once.
pub(crate) const IN_FLIGHT_MAX: usize = 64;

/// What was committed, and is to be told and settled.
pub(crate) struct Committed {
    pub(crate) alerts: Vec<NewAlert>,
    /// When each of them was published, as far as that is known.
    pub(crate) accepted_at: Vec<Option<Timestamp>>,
    /// Those of its rows that are to be told.
    pub(crate) rows: Vec<RecordedRow>,
    /// Done with, once these rows are told.
    pub(crate) settled: Vec<Settled>,
}

/// A delivery that is done with, and its span, which ends with it.
pub(crate) type Settled = (Delivery, Span);

enum Work {
    Announce(Announcement),
    Settle(Vec<Settled>),
}

/// The last stage.
pub(crate) struct AnnouncementStage {
    pub(crate) announcer: Announcer,
}

impl AnnouncementStage {
    /// Until nothing is committed any more.
    pub(crate) async fn run(&self, committed: mpsc::Receiver<Committed>) {
        let batches = stream::unfold(committed, |mut committed| async {
            committed.recv().await.map(|batch| (batch, committed))
        });
        batches
            .flat_map(|Committed { alerts, accepted_at, rows, settled }| {
                let telling = announcements(&alerts, &accepted_at, &rows).into_iter().map(Work::Announce);
                // Behind its frames in the same window, so that its turn comes when they are done with.
                stream::iter(telling.chain([Work::Settle(settled)]).collect::<Vec<_>>())
            })
            .map(async |work| match work {
                Work::Announce(announcement) => {
                    self.announce(announcement).await;
                    Vec::new()
                }
                Work::Settle(deliveries) => deliveries,
            })
            .buffered(IN_FLIGHT_MAX)
            .for_each(settle)
            .await;
    }

    /// Publishes what was recorded, of alerts that were published some other time.
    pub(crate) async fn tell(&self, alerts: &[NewAlert], rows: &[RecordedRow]) {
        let sending =
            announcements(alerts, &[], rows).into_iter().map(|announcement| self.announce(announcement));
        stream::iter(sending).buffered(IN_FLIGHT_MAX).for_each(ready).await;
    }

    /// Publishes rows of one alert that changed, and no version of it with them.
    pub(crate) async fn tell_changes(&self, tenant: &Tenant, id: &AlertId, rows: &[RecordedRow]) {
        let Some(first) = rows.first() else { return };
        let shown = ShownAlert {
            tenant,
            id,
            version: first.version,
            published: None,
            content: &first.content,
            acknowledgement: first.acknowledgement.as_ref(),
        };
        let changed = ChangedAlert { shown, changes: rows.iter().map(change_of).collect(), trace: None };
        let sending = Announcement::alerts(vec![changed]);
        let sending = sending.into_iter().map(|announcement| self.announce(announcement));
        stream::iter(sending).buffered(IN_FLIGHT_MAX).for_each(ready).await;
    }

    /// A frame that gets lost is only late: its number tells the pod, or the next ping.
    pub(crate) async fn announce(&self, announcement: Announcement) {
        let partition = announcement.partition;
        if let Err(error) = self.announcer.publish(announcement).await {
            metrics::counter!("watchbell_dispatch_live_lost_total").increment(1);
            debug!(%error, partition, "A live frame was not confirmed; sessions heal from the store");
        }
    }
}

async fn settle(deliveries: Vec<Settled>) {
    if deliveries.is_empty() {
        return;
    }
    metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "recorded")
        .increment(deliveries.len() as u64);
    for (delivery, span) in deliveries {
        delivery.settle.ack().await;
        drop(span);
    }
}

/// What the inboxes hold is told, not what came: a later version may have come before (I2).
fn announcements(
    alerts: &[NewAlert],
    accepted_at: &[Option<Timestamp>],
    rows: &[RecordedRow],
) -> Vec<Announcement> {
    let mut shown: BTreeMap<(usize, u32), (&RecordedRow, Vec<InboxChange>)> = BTreeMap::new();
    for row in rows {
        let (_, changes) = shown.entry((row.alert, row.version)).or_insert((row, Vec::new()));
        changes.push(change_of(row));
    }
    let changed = shown.into_values().map(|(row, changes)| changed_alert(alerts, accepted_at, row, changes));
    Announcement::alerts(changed.collect())
}

/// The alert of a row, for the owners of these inboxes.
fn changed_alert<'a>(
    alerts: &'a [NewAlert],
    accepted_at: &[Option<Timestamp>],
    row: &'a RecordedRow,
    changes: Vec<InboxChange>,
) -> ChangedAlert<'a> {
    let (new, version) = (&alerts[row.alert], row.version);
    let Alert { tenant, id, severity, version: published, .. } = &*new.alert;
    // When a later version that came before was published, nobody knows here.
    let accepted_at = accepted_at.get(row.alert).copied().flatten().filter(|_| *published == version);
    let published = accepted_at.map(|at| LivePublished { at_ms: at.as_millisecond(), severity: *severity });
    let (content, acknowledgement) = (&*row.content, row.acknowledgement.as_ref());
    let shown = ShownAlert { tenant, id, version, published, content, acknowledgement };
    ChangedAlert { shown, changes, trace: trace::read(new.trace.as_deref()) }
}

/// What one inbox holds, for its owner.
fn change_of(row: &RecordedRow) -> InboxChange {
    InboxChange {
        user: row.user.clone(),
        seq: row.seq,
        unread: row.unread,
        state: row.state,
        until: row.until,
        answer: row.answer.clone(),
    }
}
