//! What a message carries beside what Watchbell reads of it: every AMQP property and every header, of whatever type.
//!
//! What holds here:
//! - A message that is published again keeps all of it, byte for byte in meaning, but for what its publisher changed
//!   among the flat text headers, and for what a broker would act on (see [`set_aside`]).
//! - What is set aside for an operator neither expires nor goes anywhere else, whatever its producer asked for.
//! - The header table of whatever is published is at most [`HEADERS_BYTES_MAX`] long, so that it fits into one frame.
//!
//! Elsewhere: the flat text headers, and what is published without an envelope, in `convert`.

use std::{collections::BTreeMap, sync::Arc};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::short_string::short;
use crate::{broker::WorkQueue, wire::refused};

/// The longest header table published, in bytes. All properties of a message share one frame, of 128 KiB where nobody
/// has set it otherwise, with a few KiB of other properties.
pub(super) const HEADERS_BYTES_MAX: usize = 96 * 1024;

/// How many of the headers that were left out are named.
const CUT_NAMED_MAX: usize = 8;

/// Headers by which a broker sends a copy to other queues besides: a copy of a refused message would come back to be
/// refused again. <https://www.rabbitmq.com/docs/sender-selected>
const COPIES_TO: [&str; 2] = ["CC", "BCC"];

/// What dead-lettering writes down. <https://www.rabbitmq.com/docs/dlx#effects>
const DEATHS: &str = "x-death";
const DEATH_NOTES: [&str; 6] = [
    "x-first-death-queue",
    "x-first-death-reason",
    "x-first-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-last-death-exchange",
];
/// The broker's own counts, which begin anew with whoever publishes anew.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// A private answer address of whoever published; the broker refuses it from everybody else.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// The properties that a message came with; nothing for a message of our own. Cheap to clone. It does not print: headers
/// of producers may hold anything (I12).
#[derive(Clone, Default)]
pub struct Envelope(Option<Arc<BasicProperties>>);

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Envelope(..)" } else { "Envelope" })
    }
}

impl Envelope {
    pub(super) fn of(properties: BasicProperties) -> Self {
        Self(Some(Arc::new(properties)))
    }

    pub(super) fn properties(&self) -> Option<&BasicProperties> {
        self.0.as_deref()
    }

    /// The work queue of ours that it was dead-lettered from last, where it was.
    pub fn died_in(&self) -> Option<WorkQueue> {
        let deaths = self.properties()?.headers().as_ref()?.inner().get(DEATHS)?;
        let AMQPValue::FieldArray(deaths) = deaths else { return None };
        deaths.as_slice().iter().find_map(queue_of_death)
    }

    /// The user whom the broker vouches for: it refuses a `user_id` that is not the user of the publisher's connection
    /// (<https://www.rabbitmq.com/docs/validated-user-id>). None for a message of our own and one without the property.
    pub fn user(&self) -> Option<&str> {
        self.properties()?.user_id().as_ref().map(ShortString::as_str)
    }

    /// Without what our own queues' dead-lettering and counting wrote onto it; what it brought along stays.
    #[must_use]
    pub fn as_sent(&self) -> Self {
        let Some(properties) = self.properties() else { return Self::default() };
        let Some(table) = properties.headers() else { return self.clone() };
        let mut kept: BTreeMap<ShortString, AMQPValue> = table.inner().clone();
        kept.retain(|name, _| !COUNTS.contains(&name.as_str()));
        if self.died_in().is_some() {
            let others = match kept.remove(DEATHS) {
                Some(AMQPValue::FieldArray(deaths)) => deaths
                    .as_slice()
                    .iter()
                    .filter(|death| queue_of_death(death).is_none())
                    .cloned()
                    .collect(),
                _ => Vec::new(),
            };
            // The notes are about the first death of all, and about the last, which was in our queue.
            let first_was_ours = others.is_empty();
            kept.retain(|name, _| match DEATH_NOTES.iter().position(|note| *note == name.as_str()) {
                Some(0..=2) => !first_was_ours,
                Some(_) => false,
                None => true,
            });
            if !others.is_empty() {
                kept.insert(DEATHS.into(), AMQPValue::FieldArray(others.into()));
            }
        }
        Self::of(properties.clone().with_headers(kept.into()))
    }

    /// Whether a text header of this name is still there: what [`Self::as_sent`] took off is not.
    pub fn has_header(&self, name: &str) -> bool {
        self.properties()
            .and_then(|properties| properties.headers().as_ref())
            .is_some_and(|t| t.contains_key(name))
    }
}

fn queue_of_death(death: &AMQPValue) -> Option<WorkQueue> {
    let AMQPValue::FieldTable(death) = death else { return None };
    let AMQPValue::LongString(name) = death.inner().get("queue")? else { return None };
    WorkQueue::ALL.into_iter().find(|queue| queue.name().as_bytes() == name.as_bytes())
}

/// The properties as they came, for a copy that waits for an operator. What a broker would act on becomes a header of
/// ours: an expiration would make the copy vanish, `CC` would send it elsewhere too, and a `user_id` other than the
/// connection's own is refused.
pub(super) fn set_aside(
    sent: &BasicProperties,
    headers: &mut BTreeMap<ShortString, AMQPValue>,
) -> BasicProperties {
    if let Some(expiration) = sent.expiration() {
        headers.insert(refused::EXPIRATION.into(), text(expiration));
    }
    for name in COPIES_TO {
        if let Some(keys) = headers.remove(name) {
            headers.insert(ours_for(name).into(), keys);
        }
    }
    without_user(sent, headers, &None)
}

/// The properties as the producer sent them, for whoever sends a letter again; the user stays a header.
pub(super) fn sent_again(
    sent: &BasicProperties,
    headers: &mut BTreeMap<ShortString, AMQPValue>,
) -> BasicProperties {
    // A forged one that is no number would cost the channel of everybody who publishes here.
    let ours = headers.remove(refused::EXPIRATION);
    let number = ours.and_then(|value| match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse::<u32>().ok(),
        _ => None,
    });
    let expiration = sent.expiration().clone().or_else(|| number.map(|number| short(&number.to_string())));
    for name in COPIES_TO {
        if let Some(keys) = headers.remove(ours_for(name))
            && is_list_of_keys(&keys)
        {
            headers.insert(name.into(), keys);
        }
    }
    without_user(sent, headers, &expiration)
}

fn without_user(
    sent: &BasicProperties,
    headers: &mut BTreeMap<ShortString, AMQPValue>,
    expiration: &Option<ShortString>,
) -> BasicProperties {
    if let Some(user) = sent.user_id() {
        headers.insert(refused::USER.into(), text(user));
    }
    let mut properties = BasicProperties::default();
    type Take<T> = fn(BasicProperties, T) -> BasicProperties;
    let texts: [(&Option<ShortString>, Take<ShortString>); 6] = [
        (sent.content_encoding(), BasicProperties::with_content_encoding),
        (sent.correlation_id(), BasicProperties::with_correlation_id),
        (sent.app_id(), BasicProperties::with_app_id),
        (sent.cluster_id(), BasicProperties::with_cluster_id),
        (sent.kind(), BasicProperties::with_type),
        (expiration, BasicProperties::with_expiration),
    ];
    for (value, take) in texts {
        if let Some(value) = value {
            properties = take(properties, value.clone());
        }
    }
    if let Some(address) = sent.reply_to().as_ref().filter(|address| address.as_str() != DIRECT_REPLY) {
        properties = properties.with_reply_to(address.clone());
    }
    if let Some(priority) = sent.priority() {
        properties = properties.with_priority(*priority);
    }
    if let Some(at) = sent.timestamp() {
        properties = properties.with_timestamp(*at);
    }
    properties
}

fn ours_for(copies: &str) -> &'static str {
    if copies == COPIES_TO[0] { refused::CC } else { refused::BCC }
}

fn is_list_of_keys(value: &AMQPValue) -> bool {
    let AMQPValue::FieldArray(keys) = value else { return false };
    keys.as_slice().iter().all(|key| matches!(key, AMQPValue::LongString(_)))
}

fn text(value: &ShortString) -> AMQPValue {
    AMQPValue::LongString(value.as_str().into())
}

/// The table, without its longest headers if it is too long for a frame. A header of ours says which are missing.
pub(super) fn bounded(mut headers: BTreeMap<ShortString, AMQPValue>) -> FieldTable {
    let size = |name: &ShortString, value: &AMQPValue| 1 + name.as_str().len() + bytes_of(value);
    let mut total: usize = headers.iter().map(|(name, value)| size(name, value)).sum();
    if total <= HEADERS_BYTES_MAX {
        return headers.into();
    }
    let mut longest: Vec<(usize, ShortString)> = headers
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with(refused::PREFIX))
        .map(|(name, value)| (size(name, value), name.clone()))
        .collect();
    longest.sort_by(|one, other| other.cmp(one));
    let mut cut = Vec::new();
    for (bytes, name) in longest {
        if total <= HEADERS_BYTES_MAX - refused::TEXT_BYTES_MAX {
            break;
        }
        headers.remove(name.as_str());
        total -= bytes;
        cut.push(format!("{name} ({bytes} bytes)"));
    }
    let more = cut.len().saturating_sub(CUT_NAMED_MAX);
    cut.truncate(CUT_NAMED_MAX);
    let mut said = cut.join(", ");
    if more > 0 {
        said.push_str(&format!(" and {more} more"));
    }
    headers.insert(refused::CUT.into(), AMQPValue::LongString(said.into()));
    headers.into()
}

/// The length on the wire, with the byte that says the type.
fn bytes_of(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Timestamp(_) | AMQPValue::Double(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(bytes_of).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            4 + table
                .into_iter()
                .map(|(name, value)| 1 + name.as_str().len() + bytes_of(value))
                .sum::<usize>()
        }
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
