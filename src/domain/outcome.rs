//! Outcomes: what became of an alert for one person, told back to producers.
//!
//! What holds here:
//! - An outcome has one word, and a channel where one is concerned. A channel that is added needs no word of its own:
//!   [`OutcomeKind::Sent`] with the channel's name says it.
//! - Its id follows from what it tells, so that whoever hears it twice knows it.
//! - It never holds a token, an address, or what an alert says (I12), but for the button that a person pressed, which its
//!   producer wrote for that. [`shareable`] is all of a reason that is passed on.

use std::{collections::BTreeMap, collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    AlertId, Answer, AttemptId, Channel, ReceiptState, StopReason, Tenant, UserId, UserKey,
    alert::{UnknownWord, words},
};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// A client has it; nobody need have looked. Told once.
    Delivered,
    /// It was on a screen in front of the person.
    Seen,
    /// The person opened it.
    Read,
    /// The person put it away.
    Dismissed,
    /// It is in somebody's hands, and the person is not chased: they took it on for all, by a policy that says so, or a
    /// producer's version of it says that it is acknowledged.
    Acknowledged,
    /// The person put it off until a time.
    Snoozed,
    /// The person pressed one of its buttons that answers.
    Answered,
    /// The person said that it is not for them.
    PassedOn,
    /// A push service accepted it for one of the person's devices.
    Pushed,
    /// The mail relay accepted it.
    Mailed,
    /// The provider of any other channel accepted it.
    Sent,
    /// A provider refused it for good, or it was given up.
    Bounced,
    /// It expired, and the person had not looked.
    Expired,
    /// Every step of the policy was taken, and the person had not looked.
    Exhausted,
    /// It could not be carried on and was set aside for an operator.
    Dead,
}

words!(OutcomeKind {
    Delivered = "delivered",
    Seen = "seen",
    Read = "read",
    Dismissed = "dismissed",
    Acknowledged = "acknowledged",
    Snoozed = "snoozed",
    Answered = "answered",
    PassedOn = "passed_on",
    Pushed = "pushed",
    Mailed = "mailed",
    Sent = "sent",
    Bounced = "bounced",
    Expired = "expired",
    Exhausted = "exhausted",
    Dead = "dead",
});

/// Channels whose acceptance has a word of its own; that of any other is [`OutcomeKind::Sent`].
pub const CHANNEL_WORDS: [(Channel, OutcomeKind); 2] =
    [(Channel::Push, OutcomeKind::Pushed), (Channel::Email, OutcomeKind::Mailed)];

impl OutcomeKind {
    /// That a channel's provider accepted it.
    pub fn accepted_by(channel: Channel) -> Self {
        let own = CHANNEL_WORDS.iter().find(|(named, _)| *named == channel);
        own.map_or(Self::Sent, |(_, kind)| *kind)
    }

    /// What a person said, where producers are told of it: that something is to count as unread again is theirs alone. Whoever
    /// acknowledges has read it; that it is in their hands is told where it is so.
    pub fn of_receipt(state: ReceiptState) -> Option<Self> {
        match state {
            ReceiptState::Acknowledged => Some(Self::Read),
            // The words are the same ones.
            state => state.as_str().parse().ok(),
        }
    }

    /// How an escalation ended, where nobody said anything.
    pub fn of_end(reason: StopReason) -> Option<Self> {
        match reason {
            StopReason::Expired => Some(Self::Expired),
            StopReason::Exhausted => Some(Self::Exhausted),
            _ => None,
        }
    }
}

/// Which kinds somebody wants to hear of.
pub type OutcomeKinds = BTreeSet<OutcomeKind>;

/// Every kind.
pub fn every_kind() -> OutcomeKinds {
    OutcomeKind::WORDS.iter().filter_map(|word| word.parse().ok()).collect()
}

/// Who took an alert on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeBy {
    /// One of those it is for.
    User(UserId),
    /// Whoever published its version with this API key, named by the beginning of the key's hash.
    Key(String),
    /// Whoever published its version over AMQP, where nobody says who they are.
    Amqp,
}

const BY_USER: &str = "user:";
const BY_KEY: &str = "key:";
const BY_AMQP: &str = "amqp";

impl fmt::Display for OutcomeBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "{BY_USER}{}", user.as_str()),
            Self::Key(key) => write!(f, "{BY_KEY}{key}"),
            Self::Amqp => f.write_str(BY_AMQP),
        }
    }
}

impl FromStr for OutcomeBy {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = UnknownWord { known: &["user:NAME", "key:ID", BY_AMQP] };
        if let Some(user) = text.strip_prefix(BY_USER) {
            return UserId::parse(user).map(Self::User).map_err(|_| unknown);
        }
        match text.strip_prefix(BY_KEY) {
            Some(key) if !key.is_empty() => Ok(Self::Key(key.to_owned())),
            None if text == BY_AMQP => Ok(Self::Amqp),
            _ => Err(unknown),
        }
    }
}

/// One outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The same whenever the same is told again.
    pub id: Uuid,
    /// For whom it became so.
    pub user: UserKey,
    /// Of what.
    pub alert: AlertId,
    /// The version that was in the person's inbox then.
    pub version: u32,
    /// What.
    pub kind: OutcomeKind,
    /// By which channel, where one is concerned.
    pub channel: Option<String>,
    /// Why it bounced.
    pub reason: Option<String>,
    /// Of which attempt, where one is concerned: a push has one for each device.
    pub attempt: Option<AttemptId>,
    /// Who has acknowledged it.
    pub by: Option<OutcomeBy>,
    /// Until when it is snoozed.
    pub until: Option<Timestamp>,
    /// What was answered.
    pub answer: Option<Answer>,
    /// When.
    pub at: Timestamp,
}

/// Ids of outcomes are UUIDs of version 5 in a space of their own.
const ID_SPACE: Uuid = Uuid::from_u128(0x6f75_7463_6f6d_4573_8a11_7761_7463_6862);

/// The id of an outcome that these texts tell apart from every other.
pub fn outcome_id(kind: OutcomeKind, parts: &[&str]) -> Uuid {
    let mut name = kind.as_str().to_owned();
    for part in parts {
        // No name has a line break in it, so no two lists make the same text.
        name.push('\n');
        name.push_str(part);
    }
    Uuid::new_v5(&ID_SPACE, name.as_bytes())
}

/// Where outcomes go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeRoute {
    /// To the exchange that producers bind their queues to.
    Queue,
    /// To the address that a tenant is configured with.
    Webhook(Tenant),
}

/// What the route of a webhook begins with, before its tenant.
const WEBHOOK: &str = "webhook:";

impl OutcomeRoute {
    /// For metrics: without the tenant, of which there may be many.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Webhook(_) => "webhook",
        }
    }
}

impl fmt::Display for OutcomeRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => f.write_str("queue"),
            Self::Webhook(tenant) => write!(f, "{WEBHOOK}{tenant}"),
        }
    }
}

impl FromStr for OutcomeRoute {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = UnknownWord { known: &["queue", "webhook:TENANT"] };
        match text.strip_prefix(WEBHOOK) {
            Some(tenant) => Tenant::parse(tenant).map(Self::Webhook).map_err(|_| unknown),
            None if text == "queue" => Ok(Self::Queue),
            None => Err(unknown),
        }
    }
}

/// Who hears of what. Empty: nobody hears of anything, and nothing is written for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeRoutes {
    /// What goes to the exchange.
    pub queue: OutcomeKinds,
    /// What goes to which tenant's address.
    pub webhooks: BTreeMap<Tenant, OutcomeKinds>,
}

impl OutcomeRoutes {
    /// Whether nobody hears of anything.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.webhooks.is_empty()
    }

    /// Where an outcome of a tenant's alert goes.
    pub fn of<'a>(
        &'a self,
        tenant: &'a Tenant,
        kind: OutcomeKind,
    ) -> impl Iterator<Item = OutcomeRoute> + use<'a> {
        let queue = self.queue.contains(&kind).then_some(OutcomeRoute::Queue);
        let webhook = self.webhooks.get(tenant).filter(|kinds| kinds.contains(&kind));
        queue.into_iter().chain(webhook.map(|_| OutcomeRoute::Webhook(tenant.clone())))
    }

    /// Each of them.
    pub fn all(&self) -> Vec<OutcomeRoute> {
        let queue = (!self.queue.is_empty()).then_some(OutcomeRoute::Queue);
        queue.into_iter().chain(self.webhooks.keys().cloned().map(OutcomeRoute::Webhook)).collect()
    }
}

/// The longest reason that is passed on, in characters.
const REASON_CHARS_MAX: usize = 120;
/// The longest code of a provider, in bytes: shorter than any token.
const CODE_BYTES_MAX: usize = 48;

/// What of an attempt's stored reason may leave the house. It is stored as our own words, a colon, and what the provider
/// said. Of the latter only a code is passed on (`BadDeviceToken`, `550 5.1.1`): a sentence may quote the message.
pub fn shareable(reason: &str) -> String {
    let (ours, said) = reason.split_once(": ").unwrap_or((reason, ""));
    let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit() || b == b'.') && word.len() <= 9;
    let numbers: Vec<&str> = said.split_whitespace().take_while(is_number).take(2).collect();
    let is_code = !said.is_empty()
        && said.len() <= CODE_BYTES_MAX
        && said.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let code = if is_code { said.to_owned() } else { numbers.join(" ") };
    let text = if code.is_empty() { ours.to_owned() } else { format!("{ours}: {code}") };
    text.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_reason_is_passed_on_without_what_a_provider_may_have_quoted() {
        for (why, reason, expected) in [
            ("a code of Apple's", "bad_token: BadDeviceToken", "bad_token: BadDeviceToken"),
            ("a code of Google's", "throttled: QUOTA_EXCEEDED", "throttled: QUOTA_EXCEEDED"),
            (
                "numbers of a relay, without its sentence",
                "address_refused: 550 5.1.1 <[redacted]>: no ana here",
                "address_refused: 550 5.1.1",
            ),
            ("a sentence may quote the alert", "rejected: Disk full is spam", "rejected"),
            ("what looks like a token", "rejected: 740f4707bebcf74f9b7c25d48e3358945f6aa01d", "rejected"),
            (
                "our own words",
                "the device was unregistered meanwhile",
                "the device was unregistered meanwhile",
            ),
            ("given up", "given up after unavailable: 503", "given up after unavailable: 503"),
        ] {
            assert_eq!(shareable(reason), expected, "{why}");
        }
        assert_eq!(shareable(&"é".repeat(500)).chars().count(), REASON_CHARS_MAX);
    }

    #[test]
    fn each_channel_has_a_word_for_being_accepted() {
        for channel in Channel::ALL {
            let expected = match channel {
                Channel::Push => "pushed",
                Channel::Email => "mailed",
                _ => "sent",
            };
            assert_eq!(OutcomeKind::accepted_by(channel).as_str(), expected, "{channel}");
        }
    }

    #[test]
    fn who_took_an_alert_on_is_written_and_read() {
        for by in [
            OutcomeBy::User(UserId::parse("ana").unwrap()),
            OutcomeBy::User(UserId::parse("key:1").unwrap()),
            OutcomeBy::Key("3f1a".into()),
            OutcomeBy::Amqp,
        ] {
            assert_eq!(by.to_string().parse::<OutcomeBy>().unwrap(), by);
        }
        for nonsense in ["", "ana", "user:", "key:", "AMQP", "amqp:x"] {
            assert!(nonsense.parse::<OutcomeBy>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn producers_hear_what_a_person_said_but_that_it_is_unread_again() {
        for word in ReceiptState::WORDS {
            let told = OutcomeKind::of_receipt(word.parse().unwrap());
            let expected = match *word {
                "unread" => None,
                // That it is in their hands is told where it is so, by whoever finds that out.
                "acknowledged" => Some("read"),
                word => Some(word),
            };
            assert_eq!(told.map(OutcomeKind::as_str), expected);
        }
    }

    #[test]
    fn an_id_tells_apart_what_differs_and_nothing_else() {
        let id = |kind, parts: &[&str]| outcome_id(kind, parts);
        let first = id(OutcomeKind::Seen, &["acme", "ana", "a"]);
        assert_eq!(first, id(OutcomeKind::Seen, &["acme", "ana", "a"]));
        for other in [
            id(OutcomeKind::Read, &["acme", "ana", "a"]),
            id(OutcomeKind::Seen, &["acme", "anaa"]),
            id(OutcomeKind::Seen, &["acmeana", "a"]),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_route_is_written_and_read_and_each_tenant_hears_what_it_wants() {
        let acme = Tenant::parse("acme").unwrap();
        for route in [OutcomeRoute::Queue, OutcomeRoute::Webhook(acme.clone())] {
            assert_eq!(route.to_string().parse::<OutcomeRoute>().unwrap(), route);
        }
        for nonsense in ["", "Queue", "webhook:", "webhook:a/b"] {
            assert!(nonsense.parse::<OutcomeRoute>().is_err(), "{nonsense}");
        }
        let routes = OutcomeRoutes {
            queue: [OutcomeKind::Seen].into(),
            webhooks: [(acme.clone(), [OutcomeKind::Seen, OutcomeKind::Bounced].into())].into(),
        };
        let other = Tenant::parse("other").unwrap();
        let of = |tenant, kind| routes.of(tenant, kind).map(|route| route.to_string()).collect::<Vec<_>>();
        assert_eq!(of(&acme, OutcomeKind::Seen), ["queue", "webhook:acme"]);
        assert_eq!(of(&acme, OutcomeKind::Bounced), ["webhook:acme"]);
        assert_eq!(of(&other, OutcomeKind::Seen), ["queue"]);
        assert_eq!(of(&other, OutcomeKind::Bounced), [""; 0]);
        assert_eq!(routes.all().len(), 2);
        assert!(!routes.is_empty() && OutcomeRoutes::default().is_empty());
    }
}
