//! Live messages from the broker to sessions: each is decoded once, encoded once for a user or topic, and put into
//! mailboxes without waiting.

use std::sync::{Arc, LazyLock};

use metrics::Counter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use watchbell::{
    broker::{LiveEvent, LiveSource, Message},
    domain::{Tenant, Topic, TopicKey, Untrusted, UserId, UserKey},
    runtime::{metric::BySeries, traces::Span},
    wire::{
        frame::{AlertFrame, EventFrame, ReceiptSaid, ServerFrame},
        live::{LiveAlert, LivePreferences, LiveReceipt, LiveRevoke, LiveTopicEvent, LiveV1},
    },
};

use crate::{
    frames::{
        epoch::Epochs,
        frame::Frame,
        traced::{self, FrameTrace},
    },
    metric_table,
    pod::{direct_writes::DirectWrites, hub::Hub, mailbox::Item, pings::Pinger},
};

static MADE: LazyLock<BySeries<Counter>> = LazyLock::new(|| metric_table::FRAMES.counters());

/// What delivers live messages to the sessions of a pod.
pub(crate) struct Live {
    pub(crate) hub: Arc<Hub>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) pinger: Pinger,
    pub(crate) direct: Arc<DirectWrites>,
    /// Where that runs which live messages do not wait for: a comparison with the store, and writes to many sessions.
    pub(crate) tasks: TaskTracker,
}

impl Live {
    /// Delivers until `stop`.
    pub(crate) async fn run(self, mut live: Box<dyn LiveSource>, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = live.next() => event,
            };
            match event {
                Some(LiveEvent::Frame(message)) => {
                    self.deliver(&message);
                    self.direct.pump(message.body.len(), &self.tasks).await;
                }
                Some(LiveEvent::Gap) => {
                    info!("Live frames may have been missed: every session is compared with the store");
                    metrics::counter!("watchbell_socket_gaps_total").increment(1);
                    let pinger = self.pinger.clone();
                    // A task of its own, so that live frames do not wait for it; it ends with the pod.
                    let stop = stop.clone();
                    self.tasks.spawn(async move { pinger.ping_everybody(&stop).await });
                }
                None => return,
            }
        }
    }

    fn deliver(&self, message: &Message) {
        match serde_json::from_slice::<LiveV1<'_>>(&message.body) {
            Ok(LiveV1::Alert(alert)) => self.deliver_alert(&alert, traced::arrived(message)),
            Ok(LiveV1::Alerts(alerts)) => {
                // One that is traced is told by itself.
                for alert in &alerts {
                    self.deliver_alert(alert, traced::arrived(message));
                }
            }
            Ok(LiveV1::Receipt(receipt)) => self.deliver_receipt(&receipt),
            Ok(LiveV1::Event(event)) => self.deliver_event(&event, traced::arrived(message)),
            Ok(LiveV1::Revoke(revoke)) => self.deliver_revoke(&revoke),
            Ok(LiveV1::Preferences(preferences)) => self.deliver_preferences(&preferences),
            // Of a newer version, perhaps: sessions learn of it by its number.
            Err(error) => warn!(error = %Untrusted(&error), "A live message could not be read"),
        }
    }

    fn deliver_alert(&self, live: &LiveAlert<'_>, mut span: Span) {
        traced::told(&mut span, &live.tenant, Some(live.to.len()));
        let trace = FrameTrace::of(&span);
        let Ok(tenant) = Tenant::parse(&live.tenant) else { return };
        let epoch = self.epochs.current();
        for to in &live.to {
            let Ok(user) = UserId::parse(&to.user) else { continue };
            self.hub.give(&UserKey::new(tenant.clone(), user), || {
                MADE.with("alert", |counter| counter.increment(1));
                let cursor = epoch.cursor(to.seq);
                let frame = AlertFrame {
                    seq: to.seq,
                    cursor: &cursor,
                    unread: to.unread,
                    state: &to.state,
                    until: to.until.as_deref(),
                    answer: to.answer.as_ref(),
                    alert: live.content,
                };
                let frame = Frame::live(&ServerFrame::Alert(frame), to.seq, &epoch);
                Item::Frame(Arc::new(frame.published(live.published).traced(trace.clone())))
            });
        }
    }

    fn deliver_receipt(&self, live: &LiveReceipt) {
        let (Ok(tenant), Ok(user)) = (Tenant::parse(&live.tenant), UserId::parse(&live.user)) else { return };
        let epoch = self.epochs.current();
        self.hub.give(&UserKey::new(tenant, user), || {
            MADE.with("receipt", |counter| counter.increment(1));
            let frame = ReceiptSaid {
                seq: live.seq,
                cursor: &epoch.cursor(live.seq),
                unread: live.unread,
                alerts: &live.alerts,
                state: &live.state,
                until: live.until.as_deref(),
                action: live.action.as_deref(),
                by: &live.by,
                op: live.op.as_deref(),
            };
            Item::Frame(Arc::new(Frame::live(&ServerFrame::Receipt(frame), live.seq, &epoch)))
        });
    }

    fn deliver_event(&self, live: &LiveTopicEvent<'_>, mut span: Span) {
        traced::told(&mut span, &live.tenant, None);
        let trace = FrameTrace::of(&span);
        let (Ok(tenant), Ok(topic)) = (Tenant::parse(&live.tenant), Topic::parse(&live.topic)) else {
            return;
        };
        self.hub.give_subscribers(&TopicKey::new(tenant, topic), || {
            MADE.with("event", |counter| counter.increment(1));
            let frame = EventFrame { topic: &live.topic, event: live.event };
            Item::Frame(Arc::new(Frame::new(&ServerFrame::Event(frame), None).traced(trace.clone())))
        });
    }

    fn deliver_preferences(&self, live: &LivePreferences<'_>) {
        let (Ok(tenant), Ok(user)) = (Tenant::parse(&live.tenant), UserId::parse(&live.user)) else { return };
        self.hub.give(&UserKey::new(tenant, user), || {
            MADE.with("preferences", |counter| counter.increment(1));
            let frame = ServerFrame::Preferences { preferences: live.preferences };
            Item::Frame(Arc::new(Frame::new(&frame, None)))
        });
    }

    fn deliver_revoke(&self, live: &LiveRevoke) {
        let (Ok(tenant), Ok(user)) = (Tenant::parse(&live.tenant), UserId::parse(&live.user)) else { return };
        self.hub.give(&UserKey::new(tenant, user), || Item::Revoked);
    }
}
