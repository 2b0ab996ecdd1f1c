//! The announcer: the one place where live messages are built and published, for all workers.
//!
//! What holds here:
//! - Each message goes to one partition, that of the user or of the topic, and is of one tenant (I8).
//! - Building is pure, and so is apart from publishing: dispatch publishes many at once and in their order.
//! - A live message is a hint. Whoever misses one finds the same in the store, so the caller decides what a lost one is
//!   worth to it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Address, Message, PublishError, SharedBroker, topology::PARTITIONS};
use crate::{
    domain::{Acknowledgement, AlertId, Answered, Event, InboxState, Receipt, Seq, Tenant, UserId, UserKey},
    wire::{
        TraceContext,
        action::AnswerV1,
        content::with_acknowledgement,
        live::{
            LIVE_RECIPIENTS_MAX, LIVE_TOGETHER_BYTES_MAX, LiveAlert, LivePreferences, LivePublished,
            LiveReceipt, LiveRecipient, LiveRevoke, LiveTopicEvent, LiveV1,
        },
        preferences::PreferencesV1,
    },
};

/// Publishes live messages.
#[derive(Clone)]
pub struct Announcer {
    /// Where to.
    pub broker: SharedBroker,
    /// How long the broker may take to confirm one.
    pub deadline: Duration,
}

impl Announcer {
    /// Publishes one.
    ///
    /// # Errors
    /// It was not confirmed, and may have been published all the same.
    pub async fn publish(&self, announcement: Announcement) -> Result<(), PublishError> {
        let Announcement { partition, message } = announcement;
        self.broker.publish(Address::Live(partition), message, self.deadline).await
    }
}

/// A live message that is built and not yet published.
#[derive(Debug)]
pub struct Announcement {
    /// The live exchange that it goes to.
    pub partition: u16,
    message: Message,
}

/// An alert as inboxes hold it.
#[derive(Debug, Clone, Copy)]
pub struct ShownAlert<'a> {
    /// The tenant that it belongs to.
    pub tenant: &'a Tenant,
    /// Which one.
    pub id: &'a AlertId,
    /// The version that is shown.
    pub version: u32,
    /// When that version was published, where it is known.
    pub published: Option<LivePublished>,
    /// What clients are given, as `content_of` wrote it.
    pub content: &'a str,
    /// Who has it, where it is to be acknowledged.
    pub acknowledgement: Option<&'a Acknowledgement>,
}

/// What an alert did to one inbox.
#[derive(Debug, Clone)]
pub struct InboxChange {
    /// Whose.
    pub user: UserId,
    /// The change number that it got.
    pub seq: Seq,
    /// The badge after it.
    pub unread: u64,
    /// What its owner did with the alert before.
    pub state: InboxState,
    /// Until when they snoozed it.
    pub until: Option<Timestamp>,
    /// What they answered, if they did.
    pub answer: Option<Answered>,
}

/// An alert that changed some inboxes, to be told to their owners.
#[derive(Debug)]
pub struct ChangedAlert<'a> {
    /// As they hold it.
    pub shown: ShownAlert<'a>,
    /// What it did to each of them.
    pub changes: Vec<InboxChange>,
    /// The trace that it is part of, where it is sampled.
    pub trace: Option<TraceContext>,
}

/// Alerts of one tenant that go to the same partition, until they are enough for a message.
#[derive(Default)]
struct Gathered<'a> {
    alerts: Vec<LiveAlert<'a>>,
    bytes: usize,
    /// Of the first of them.
    message_id: String,
}

impl<'a> Gathered<'a> {
    fn has_room_for(&self, live: &LiveAlert<'_>) -> bool {
        self.alerts.is_empty() || self.bytes + live.bytes() <= LIVE_TOGETHER_BYTES_MAX
    }

    fn add(&mut self, live: LiveAlert<'a>, message_id: &str) {
        if self.alerts.is_empty() {
            message_id.clone_into(&mut self.message_id);
        }
        self.bytes += live.bytes();
        self.alerts.push(live);
    }

    /// The message of what is gathered, if there is anything; begins anew.
    fn take(&mut self) -> Option<Message> {
        let Self { alerts, message_id, .. } = std::mem::take(self);
        (!alerts.is_empty()).then(|| Message::json(message_id, LiveV1::of_alerts(alerts).encode()))
    }
}

impl Announcement {
    /// Alerts for those in whose inboxes they are new or changed. Those of one tenant for the same partition are told together, because what
    /// a message costs the broker and each pod hardly depends on how many alerts it tells. They are in their order. An alert with
    /// more than [`LIVE_RECIPIENTS_MAX`] recipients in a partition is several, and one that is traced goes alone: a trace is
    /// told in the headers of a message.
    pub fn alerts(changed: Vec<ChangedAlert<'_>>) -> Vec<Self> {
        let contents: Vec<_> = changed
            .iter()
            .map(|ChangedAlert { shown, .. }| with_acknowledgement(shown.content, shown.acknowledgement))
            .collect();
        let mut gathered: BTreeMap<(u16, &Tenant), Gathered<'_>> = BTreeMap::new();
        let mut announcements = Vec::new();
        for (ChangedAlert { shown, changes, trace }, content) in changed.into_iter().zip(&contents) {
            let ShownAlert { tenant, id, version, published, .. } = shown;
            // `content_of` wrote it, so it is JSON.
            let Ok(content) = serde_json::from_str::<&RawValue>(content) else { continue };
            let message_id = format!("{tenant}/{id}/{version}");
            for (partition, recipients) in by_partition(tenant, changes) {
                let together = gathered.entry((partition, tenant)).or_default();
                let mut announce = |message: Option<Message>| {
                    announcements.extend(message.map(|message| Self { partition, message }));
                };
                for to in recipients.chunks(LIVE_RECIPIENTS_MAX) {
                    let (tenant, to) = (tenant.to_string(), to.to_vec());
                    let live = LiveAlert { tenant, to, published, content };
                    if trace.is_some() || !together.has_room_for(&live) {
                        announce(together.take());
                    }
                    together.add(live, &message_id);
                    if let Some(trace) = &trace {
                        announce(together.take().map(|message| traced(message, trace)));
                    }
                }
            }
        }
        let rest = gathered.iter_mut().filter_map(|((partition, _), together)| {
            together.take().map(|message| Self { partition: *partition, message })
        });
        announcements.extend(rest);
        announcements
    }

    /// As part of this trace.
    pub fn traced(mut self, trace: Option<&TraceContext>) -> Self {
        if let Some(trace) = trace {
            self.message = traced(self.message, trace);
        }
        self
    }

    /// What one person said about their alerts, for all of their sessions. `seq`, `unread` and `alerts` are what it
    /// changed.
    pub fn receipt(receipt: &Receipt, seq: Seq, unread: u64, alerts: &[AlertId]) -> Self {
        let live = LiveV1::Receipt(LiveReceipt {
            tenant: receipt.user.tenant.to_string(),
            user: receipt.user.user.as_str().to_owned(),
            seq,
            unread,
            alerts: alerts.iter().map(ToString::to_string).collect(),
            state: receipt.state.told_as().to_string(),
            until: receipt.until.map(|until| until.to_string()),
            action: receipt.action().map(str::to_owned),
            by: receipt.by.clone(),
            op: receipt.op.clone(),
        });
        let message_id = format!("{}/{}/{seq}", receipt.user.tenant, receipt.user.user.as_str());
        Self::to_user(&receipt.user, message_id, &live)
    }

    /// An event for whoever subscribed to its topic. `content` is what `event_content_of` wrote; nothing when it is no
    /// JSON.
    pub fn event(event: &Event, content: &str) -> Option<Self> {
        let live = LiveV1::Event(LiveTopicEvent {
            tenant: event.key.tenant.to_string(),
            topic: event.key.topic.to_string(),
            kind: event.kind.clone(),
            source: event.source.clone(),
            severity: event.severity.map(|severity| severity.to_string()),
            labels: event.labels.clone(),
            event: serde_json::from_str::<&RawValue>(content).ok()?,
        });
        let message = Message::json(event.id.to_string(), live.encode());
        Some(Self { partition: event.key.partition(PARTITIONS), message })
    }

    /// The end of one person's sessions: those of tokens issued up to `issued_until`.
    pub fn revocation(user: &UserKey, issued_until: Timestamp, message_id: Uuid) -> Self {
        let live = LiveV1::Revoke(LiveRevoke {
            tenant: user.tenant.to_string(),
            user: user.user.as_str().to_owned(),
            issued_until_ms: issued_until.as_millisecond(),
        });
        Self::to_user(user, message_id.to_string(), &live)
    }

    /// What one person wants from now on.
    pub fn preferences(user: &UserKey, preferences: &PreferencesV1, message_id: Uuid) -> Option<Self> {
        // What was just encoded reads back.
        let encoded = RawValue::from_string(preferences.encode()).ok()?;
        let live = LiveV1::Preferences(LivePreferences {
            tenant: user.tenant.to_string(),
            user: user.user.as_str().to_owned(),
            preferences: &encoded,
        });
        Some(Self::to_user(user, message_id.to_string(), &live))
    }

    fn to_user(user: &UserKey, message_id: String, live: &LiveV1<'_>) -> Self {
        Self { partition: user.partition(PARTITIONS), message: Message::json(message_id, live.encode()) }
    }
}

/// The recipients of an alert by their partitions, as they are told.
fn by_partition(tenant: &Tenant, changes: Vec<InboxChange>) -> BTreeMap<u16, Vec<LiveRecipient>> {
    let mut partitions: BTreeMap<u16, Vec<LiveRecipient>> = BTreeMap::new();
    for InboxChange { user, seq, unread, state, until, answer } in changes {
        let recipient = LiveRecipient {
            user: user.as_str().to_owned(),
            seq,
            unread,
            state: state.to_string(),
            until: until.map(|until| until.to_string()),
            answer: answer.as_ref().map(AnswerV1::of),
        };
        let partition = UserKey::new(tenant.clone(), user).partition(PARTITIONS);
        partitions.entry(partition).or_default().push(recipient);
    }
    partitions
}

fn traced(mut message: Message, trace: &TraceContext) -> Message {
    trace.write_to(|name, value| {
        message.headers.insert(name.to_owned(), value);
    });
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shown<'a>(tenant: &'a Tenant, id: &'a AlertId, content: &'a str) -> ShownAlert<'a> {
        ShownAlert { tenant, id, version: 2, published: None, content, acknowledgement: None }
    }

    fn change(user: impl AsRef<str>, seq: Seq) -> InboxChange {
        let (state, until, answer) = (InboxState::New, None, None);
        InboxChange { user: UserId::parse(user).unwrap(), seq, unread: 1, state, until, answer }
    }

    /// What a message tells: the titles, and each recipient's number.
    fn told(message: &Message) -> Vec<(String, String, u64)> {
        let alerts = match serde_json::from_slice(&message.body).unwrap() {
            LiveV1::Alert(alert) => vec![alert],
            LiveV1::Alerts(alerts) => alerts,
            _ => panic!("alerts"),
        };
        let of_alert = |live: LiveAlert<'_>| {
            let content = live.content.get().to_owned();
            live.to.into_iter().map(move |to| (content.clone(), to.user, to.seq)).collect::<Vec<_>>()
        };
        alerts.into_iter().flat_map(of_alert).collect()
    }

    #[test]
    fn an_alert_is_told_to_each_recipient_once_on_the_partition_of_theirs() {
        let (tenant, id) = (Tenant::parse("acme").unwrap(), AlertId::parse("a").unwrap());
        let people = PARTITIONS as usize * LIVE_RECIPIENTS_MAX * 2;
        let changes = (0..people).map(|n| change(format!("user-{n}"), 1)).collect();
        let alert = ChangedAlert { shown: shown(&tenant, &id, r#"{"id":"a"}"#), changes, trace: None };
        let mut all = BTreeSet::new();
        for Announcement { partition, message } in Announcement::alerts(vec![alert]) {
            assert_eq!(message.message_id, "acme/a/2");
            let told = told(&message);
            assert!(told.len() <= LIVE_RECIPIENTS_MAX);
            for (_, name, _) in told {
                let user = UserKey::new(tenant.clone(), UserId::parse(&name).unwrap());
                assert_eq!(user.partition(PARTITIONS), partition);
                assert!(all.insert(name), "once");
            }
        }
        assert_eq!(all.len(), people);
    }

    #[test]
    fn alerts_of_one_commit_are_told_together_in_their_order() {
        let tenants = ["acme", "globex"].map(|name| Tenant::parse(name).unwrap());
        let id = AlertId::parse("a").unwrap();
        let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        let long = format!(r#"{{"body":"{}"}}"#, "x".repeat(LIVE_TOGETHER_BYTES_MAX / 2));
        for (why, alerts, expected) in [
            ("nothing", vec![], vec![]),
            ("one alone", vec![(0, "1", false)], vec![vec!["1"]]),
            ("two", vec![(0, "1", false), (0, "2", false)], vec![vec!["1", "2"]]),
            (
                "each tenant by itself",
                vec![(0, "1", false), (1, "2", false), (0, "3", false)],
                vec![vec!["1", "3"], vec!["2"]],
            ),
            (
                "a traced one alone",
                vec![(0, "1", false), (0, "2", true), (0, "3", false)],
                vec![vec!["1"], vec!["2"], vec!["3"]],
            ),
            (
                "no more than go into a message",
                vec![(0, &long, false), (0, &long, false), (0, "1", false)],
                vec![vec![&long], vec![&long, "1"]],
            ),
            ("content that is no JSON is not told", vec![(0, "{", false), (0, "1", false)], vec![vec!["1"]]),
        ] {
            let changed = alerts.iter().enumerate().map(|(n, (of, content, is_traced))| ChangedAlert {
                shown: shown(&tenants[*of], &id, content),
                changes: vec![change("ana", n as Seq)],
                trace: trace.clone().filter(|_| *is_traced),
            });
            let announcements = Announcement::alerts(changed.collect());
            let contents =
                |one: &Announcement| told(&one.message).into_iter().map(|(content, ..)| content).collect();
            let told: Vec<Vec<String>> = announcements.iter().map(contents).collect();
            assert_eq!(told, expected, "{why}");
        }
    }
}
