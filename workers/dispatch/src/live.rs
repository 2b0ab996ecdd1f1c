//! Tells the pods: one message for each alert and partition it has recipients in.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;
use tracing::debug;
use watchbell::{
    broker::{Address, Message, topology::PARTITIONS},
    domain::UserKey,
    store::{NewAlert, RecordedRow},
    wire::live::{LIVE_RECIPIENTS_MAX, LiveAlert, LiveRecipient, LiveV1},
};

use crate::{Dispatch, PUBLISH_DEADLINE};

/// Live messages of one batch that wait for their confirm at once.
pub(crate) const IN_FLIGHT_MAX: usize = 64;

impl Dispatch {
    /// Publishes what was recorded. A frame that gets lost is only late: its number tells the pod, or the next ping.
    pub(crate) async fn tell(&self, alerts: &[NewAlert], rows: &[RecordedRow]) {
        let sending =
            messages(alerts, rows).into_iter().map(|(partition, message)| self.tell_one(partition, message));
        stream::iter(sending).buffered(IN_FLIGHT_MAX).for_each(std::future::ready).await;
    }

    pub(crate) async fn tell_one(&self, partition: u16, message: Message) {
        let sent = self.broker.publish(Address::Live(partition), message, PUBLISH_DEADLINE).await;
        if let Err(error) = sent {
            metrics::counter!("watchbell_dispatch_live_lost_total").increment(1);
            debug!(%error, partition, "A live frame was not confirmed; sessions heal from the store");
        }
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
