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
            LIVE_RECIPIENTS_MAX, LiveAlert, LivePreferences, LivePublished, LiveReceipt, LiveRecipient,
            LiveRevoke, LiveTopicEvent, LiveV1,
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

impl Announcement {
    /// An alert for those in whose inboxes it is new or changed: a message for each partition, or several where it has
    /// more than [`LIVE_RECIPIENTS_MAX`] recipients.
    pub fn alert(alert: ShownAlert<'_>, changes: Vec<InboxChange>) -> Vec<Self> {
        let ShownAlert { tenant, id, version, published, content, acknowledgement } = alert;
        let content = with_acknowledgement(content, acknowledgement);
        // `content_of` wrote it, so it is JSON.
        let Ok(content) = serde_json::from_str::<&RawValue>(&content) else { return Vec::new() };
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
        let message_id = format!("{tenant}/{id}/{version}");
        let message = |to: &[LiveRecipient]| {
            let live = LiveAlert { tenant: tenant.to_string(), to: to.to_vec(), published, content };
            Message::json(message_id.clone(), LiveV1::Alert(live).encode())
        };
        partitions
            .iter()
            .flat_map(|(partition, to)| to.chunks(LIVE_RECIPIENTS_MAX).map(move |to| (*partition, to)))
            .map(|(partition, to)| Self { partition, message: message(to) })
            .collect()
    }

    /// As part of this trace.
    pub fn traced(mut self, trace: Option<&TraceContext>) -> Self {
        if let Some(trace) = trace {
            trace.write_to(|name, value| {
                self.message.headers.insert(name.to_owned(), value);
            });
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_alert_is_told_to_each_recipient_once_on_the_partition_of_theirs() {
        let (tenant, id) = (Tenant::parse("acme").unwrap(), AlertId::parse("a").unwrap());
        let shown = ShownAlert {
            tenant: &tenant,
            id: &id,
            version: 2,
            published: None,
            content: r#"{"id":"a"}"#,
            acknowledgement: None,
        };
        let people = PARTITIONS as usize * LIVE_RECIPIENTS_MAX * 2;
        let changes = (0..people).map(|n| InboxChange {
            user: UserId::parse(format!("user-{n}")).unwrap(),
            seq: 1,
            unread: 1,
            state: InboxState::New,
            until: None,
            answer: None,
        });
        let announcements = Announcement::alert(shown, changes.collect());
        let mut told = BTreeSet::new();
        for Announcement { partition, message } in &announcements {
            assert_eq!(message.message_id, "acme/a/2");
            let LiveV1::Alert(live) = serde_json::from_slice(&message.body).unwrap() else {
                panic!("an alert")
            };
            assert!(live.to.len() <= LIVE_RECIPIENTS_MAX);
            for recipient in live.to {
                let user = UserKey::new(tenant.clone(), UserId::parse(&recipient.user).unwrap());
                assert_eq!(user.partition(PARTITIONS), *partition);
                assert!(told.insert(recipient.user), "once");
            }
        }
        assert_eq!(told.len(), people);
    }

    #[test]
    fn content_that_is_no_json_is_not_told() {
        let (tenant, id) = (Tenant::parse("acme").unwrap(), AlertId::parse("a").unwrap());
        let shown = ShownAlert {
            tenant: &tenant,
            id: &id,
            version: 1,
            published: None,
            content: "{",
            acknowledgement: None,
        };
        assert!(Announcement::alert(shown, Vec::new()).is_empty());
    }
}
