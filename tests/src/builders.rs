//! Builders for what tests hand to the domain and to the store.
//!
//! A test names what it is about, and everything else has a value that does nothing remarkable:
//!
//! ```
//! # use watchbell::domain::Severity;
//! # use watchbell_tests::builders::{alert, at, later_version};
//! let published = alert("disk").severity(Severity::Critical).build(); // an `Alert`, as a producer publishes it
//! let first = alert("disk").to_users(["ana"]).first_due_at(at(60)).build(); // a `NewAlert`, as dispatch records it
//! let second = later_version(&first).resolved().build();
//! # assert_eq!((published.version, second.alert.version, second.recipients.len()), (1, 2, 1));
//! ```
//!
//! What holds here:
//! - A builder is given what differs and nothing else; `build` ends it.
//! - Everything belongs to the tenant [`acme`], unless a test names another one.
//! - Names and times are checked as the program checks them; one that is not valid is a mistake in the test and panics.
#![allow(clippy::unwrap_used, reason = "what cannot be built is a mistake in the test")]
#![allow(missing_docs, reason = "most methods are named after the field that they set")]

mod alert;
mod delivery;
mod event;

use std::collections::BTreeMap;

use watchbell::domain::{AlertId, Answer, Receipt, ReceiptState, Tenant, Timestamp, UserId, UserKey};

pub use alert::{AlertBuilder, Recording, alert, changed, later_version};
pub use delivery::{
    AnswerBuilder, AttemptBuilder, DeviceBuilder, accepted, answer, attempt, device, push_attempt,
};
pub use event::{EventBuilder, event, topic};

/// Seconds after the tests' beginning of time, which is in 2030.
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + secs).unwrap()
}

/// A tenant of this name.
pub fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

/// A user of this name, of whatever tenant.
pub fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// Users of these names.
pub fn users(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<UserId> {
    names.into_iter().map(|name| user(name.as_ref())).collect()
}

/// A user of the tenant `acme`.
pub fn acme(name: &str) -> UserKey {
    UserKey::new(tenant("acme"), user(name))
}

/// The id of an alert.
pub fn alert_id(name: &str) -> AlertId {
    AlertId::parse(name).unwrap()
}

/// What a person says of these alerts in the session `tab-1`.
pub fn receipt(
    user: &UserKey,
    alerts: impl IntoIterator<Item = impl AsRef<str>>,
    state: ReceiptState,
) -> Receipt {
    let alerts = alerts.into_iter().map(|id| alert_id(id.as_ref())).collect();
    let answers = BTreeMap::new();
    let by = "tab-1".to_owned();
    Receipt { user: user.clone(), alerts, state, until: None, answers, op: None, by, push: None }
}

/// A receipt that answers these alerts by the action `approve`, with this text.
pub fn answering(user: &UserKey, alerts: impl IntoIterator<Item = impl AsRef<str>>, text: &str) -> Receipt {
    let said = receipt(user, alerts, ReceiptState::Answered);
    let answer = Answer { action: "approve".to_owned(), title: "Approve".to_owned(), text: text.to_owned() };
    let answers = said.alerts.iter().map(|alert| (alert.clone(), answer.clone())).collect();
    Receipt { answers, ..said }
}

/// A receipt that puts these alerts off until then.
pub fn snooze(
    user: &UserKey,
    alerts: impl IntoIterator<Item = impl AsRef<str>>,
    until: Timestamp,
) -> Receipt {
    Receipt { until: Some(until), ..receipt(user, alerts, ReceiptState::Snoozed) }
}
