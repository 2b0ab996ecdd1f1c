//! Tells the pods, one message for each alert and partition it has recipients in; then settles the deliveries.
//!
//! Messages of batch after batch go out in their order, with a window of unconfirmed ones that does not end with a batch.
//! A delivery is settled when the frames of its batch are with the broker, so that a crash before that tells them again.
//! Nobody waits for either: the next batches are taken and committed meanwhile.

use std::{collections::BTreeMap, future::ready};

use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tracing::debug;
use watchbell::{
    broker::{Address, Delivery, Message, SharedBroker, topology::PARTITIONS},
    domain::UserKey,
    store::{NewAlert, RecordedRow},
    wire::live::{LIVE_RECIPIENTS_MAX, LiveAlert, LiveRecipient, LiveV1},
};

use crate::PUBLISH_DEADLINE;

/// Live messages that wait for their confirm at once.
pub(crate) const IN_FLIGHT_MAX: usize = 64;

/// What was committed, and is to be told and settled.
pub(crate) struct Committed {
    pub(crate) alerts: Vec<NewAlert>,
    /// Those of its rows that are to be told.
    pub(crate) rows: Vec<RecordedRow>,
    /// Done with, once these rows are told.
    pub(crate) settled: Vec<Delivery>,
}

enum Work {
    Tell(u16, Message),
    Settle(Vec<Delivery>),
}

/// The last stage.
pub(crate) struct Teller {
    pub(crate) broker: SharedBroker,
}

impl Teller {
    /// Until nothing is committed any more.
    pub(crate) async fn run(&self, committed: mpsc::Receiver<Committed>) {
        let batches = stream::unfold(committed, |mut committed| async {
            committed.recv().await.map(|batch| (batch, committed))
        });
        batches
            .flat_map(|Committed { alerts, rows, settled }| {
                let telling =
                    messages(&alerts, &rows).into_iter().map(|(to, message)| Work::Tell(to, message));
                // Behind its frames in the same window, so that its turn comes when they are done with.
                stream::iter(telling.chain([Work::Settle(settled)]).collect::<Vec<_>>())
            })
            .map(async |work| match work {
                Work::Tell(partition, message) => {
                    self.tell_one(partition, message).await;
                    Vec::new()
                }
                Work::Settle(deliveries) => deliveries,
            })
            .buffered(IN_FLIGHT_MAX)
            .for_each(settle)
            .await;
    }

    /// Publishes what was recorded.
    pub(crate) async fn tell(&self, alerts: &[NewAlert], rows: &[RecordedRow]) {
        let sending =
            messages(alerts, rows).into_iter().map(|(partition, message)| self.tell_one(partition, message));
        stream::iter(sending).buffered(IN_FLIGHT_MAX).for_each(ready).await;
    }

    /// A frame that gets lost is only late: its number tells the pod, or the next ping.
    pub(crate) async fn tell_one(&self, partition: u16, message: Message) {
        let sent = self.broker.publish(Address::Live(partition), message, PUBLISH_DEADLINE).await;
        if let Err(error) = sent {
            metrics::counter!("watchbell_dispatch_live_lost_total").increment(1);
            debug!(%error, partition, "A live frame was not confirmed; sessions heal from the store");
        }
    }
}

async fn settle(deliveries: Vec<Delivery>) {
    if deliveries.is_empty() {
        return;
    }
    metrics::counter!("watchbell_dispatch_alerts_total", "outcome" => "recorded")
        .increment(deliveries.len() as u64);
    for delivery in deliveries {
        delivery.settle.ack().await;
    }
}

fn messages(alerts: &[NewAlert], rows: &[RecordedRow]) -> Vec<(u16, Message)> {
    // What the inboxes hold is told, not what came: a later version may have come before (I2).
    let mut groups: BTreeMap<(usize, u16), (&RecordedRow, Vec<LiveRecipient>)> = BTreeMap::new();
    for row in rows {
        let tenant = alerts[row.alert].alert.tenant.clone();
        let partition = UserKey::new(tenant, row.user.clone()).partition(PARTITIONS);
        let (_, recipients) = groups.entry((row.alert, partition)).or_insert((row, Vec::new()));
        recipients.push(LiveRecipient {
            user: row.user.to_string(),
            seq: row.seq,
            unread: row.unread,
            state: row.state.to_string(),
            until: row.until.map(|until| until.to_string()),
        });
    }
    let mut messages = Vec::with_capacity(groups.len());
    for ((alert, partition), (shown, recipients)) in groups {
        let new = &alerts[alert];
        // `content_of` wrote it, so it is JSON.
        let Ok(content) = serde_json::from_str::<&RawValue>(&shown.content) else { continue };
        for to in recipients.chunks(LIVE_RECIPIENTS_MAX) {
            let body =
                LiveV1::Alert(LiveAlert { tenant: new.alert.tenant.to_string(), to: to.to_vec(), content });
            let id = format!("{}/{}/{}", new.alert.tenant, new.alert.id, shown.version);
            messages.push((partition, Message::json(id, body.encode())));
        }
    }
    messages
}
