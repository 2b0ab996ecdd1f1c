//! Between our messages and AMQP's properties and headers.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jiff::Timestamp;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, LongString, ShortString},
};

use super::{
    envelope::{self, Envelope},
    route::Route,
    short_string::short,
};
use crate::broker::{Message, topology::TYPE_HEADER};

/// The broker's own count on a redelivered message: somebody who publishes it anew starts anew.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";

/// `user` is whom the message is published as, where it says so.
pub(super) fn properties(message: &Message, route: &Route, user: Option<&str>) -> BasicProperties {
    let mut headers = headers(message);
    headers.remove(DELIVERY_COUNT_HEADER);
    let mut properties = match message.envelope.properties() {
        Some(sent) if route.sets_aside => envelope::set_aside(sent, &mut headers),
        Some(sent) => envelope::sent_again(sent, &mut headers),
        None => {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
            BasicProperties::default().with_type(short(route.message_type)).with_timestamp(now.as_secs())
        }
    };
    if let Some(kind) = own_type(message) {
        properties = properties.with_type(short(kind));
    }
    // What a producer left out stays left out when its message is parked.
    if !message.message_id.is_empty() {
        properties = properties.with_message_id(short(&message.message_id));
    }
    if !message.content_type.is_empty() {
        properties = properties.with_content_type(short(&message.content_type));
    }
    if let Some(user) = user {
        properties = properties.with_user_id(short(user));
    }
    properties
        .with_delivery_mode(if route.persistent { 2 } else { 1 })
        .with_headers(envelope::bounded(headers))
}

/// The type that the message states by itself, unlike the one it came with.
fn own_type(message: &Message) -> Option<&String> {
    let sent = message.envelope.properties().map(flat).unwrap_or_default();
    message.headers.get(TYPE_HEADER).filter(|kind| sent.get(TYPE_HEADER) != Some(kind))
}

/// The headers as they came, but for those flat ones that were changed, added or taken off since.
fn headers(message: &Message) -> BTreeMap<ShortString, AMQPValue> {
    let sent = message.envelope.properties();
    let was = sent.map(flat).unwrap_or_default();
    let table = sent.and_then(|sent| sent.headers().as_ref()).into_iter().flat_map(|table| table.inner());
    let stays = |name: &str| !was.contains_key(name) || message.headers.contains_key(name);
    let mut headers: BTreeMap<ShortString, AMQPValue> = table
        .filter(|(name, _)| stays(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in &message.headers {
        if name != TYPE_HEADER && was.get(name) != Some(value) {
            headers.insert(short(name), AMQPValue::LongString(value.as_str().into()));
        }
    }
    headers
}

/// Whatever a producer sent becomes a message. What is not text stays in its envelope.
pub(super) fn message(delivery: &mut Delivery) -> Message {
    let properties = std::mem::take(&mut delivery.properties);
    let plain = |text: &Option<ShortString>| text.as_ref().map(ShortString::to_string).unwrap_or_default();
    Message {
        message_id: plain(properties.message_id()),
        content_type: plain(properties.content_type()),
        headers: flat(&properties),
        body: Bytes::from(std::mem::take(&mut delivery.data)),
        envelope: Envelope::of(properties),
    }
}

/// The headers that can be said as text, and the property `type` among them.
fn flat(properties: &BasicProperties) -> BTreeMap<String, String> {
    let table = properties.headers().iter().flat_map(|table| table.inner());
    let mut headers: BTreeMap<String, String> =
        table.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect();
    if let Some(kind) = properties.kind() {
        headers.insert(TYPE_HEADER.into(), kind.to_string());
    }
    headers
}

/// A value in the text form that CloudEvents gives it, so that a producer may send a time as a time and a number as a
/// number (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>).
fn text(value: &AMQPValue) -> Option<String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match value {
        AMQPValue::LongString(text) => lossy(LongString::as_bytes(text)),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(yes) => yes.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => time(*seconds),
        // `Debug` keeps the `.0` of a whole number: a version of 1.0 is not the text 1.
        AMQPValue::Float(number) => format!("{number:?}"),
        AMQPValue::Double(number) => format!("{number:?}"),
        AMQPValue::DecimalValue(number) => decimal(number.value, usize::from(number.scale)),
        AMQPValue::ByteArray(bytes) => lossy(bytes.as_slice()),
        // Tables and arrays do not survive AMQP 1.0 and streams, so nothing of ours is in them.
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => return None,
    })
}

/// RFC 3339, or the bare number where there is no such time.
fn time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| seconds.to_string(), |at| at.to_string())
}

fn decimal(value: u32, scale: usize) -> String {
    let digits = format!("{value:0>width$}", width = scale + 1);
    match digits.split_at(digits.len() - scale) {
        (whole, "") => whole.to_owned(),
        (whole, part) => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::{DecimalValue, FieldTable};

    use super::*;
    use crate::{broker::Address, wire::refused};

    fn received(properties: BasicProperties) -> Message {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, b"{}".to_vec());
        delivery.properties = properties;
        message(&mut delivery)
    }

    #[test]
    fn a_message_crosses_unchanged_but_for_its_type() {
        let mut sent = Message::json("id-1".into(), "{}");
        sent.headers.insert("traceparent".into(), "00-ab-cd-01".into());
        sent.headers.insert(DELIVERY_COUNT_HEADER.into(), "7".into());
        let properties = properties(&sent, &Route::to(Address::Alerts), None);
        assert_eq!(properties.delivery_mode(), &Some(2));
        let mut got = received(properties);
        assert_eq!(got.headers.remove(TYPE_HEADER).as_deref(), Some("alert.v1"));
        sent.headers.remove(DELIVERY_COUNT_HEADER);
        assert_eq!(got, sent);

        sent.headers.insert(TYPE_HEADER.into(), "alert.v2".into());
        let own = super::properties(&sent, &Route::to(Address::Dead), None);
        assert_eq!(received(own).headers[TYPE_HEADER], "alert.v2", "a replayed message keeps its type");
    }

    #[test]
    fn a_message_says_who_published_it_when_it_is_to() {
        let route = Route::to(Address::Alerts);
        let own = Message::json("id-1".into(), "{}");
        assert_eq!(received(properties(&own, &route, None)).envelope.user(), None);
        assert_eq!(received(properties(&own, &route, Some("watchbell"))).envelope.user(), Some("watchbell"));
        // What somebody else published is published again by us, and says whose it was.
        let theirs = received(BasicProperties::default().with_user_id("acme-svc".into()));
        let again = received(properties(&theirs, &route, Some("watchbell")));
        assert_eq!(again.envelope.user(), Some("watchbell"));
        assert_eq!(again.headers[refused::USER], "acme-svc");
    }

    #[test]
    fn what_a_producer_left_out_stays_left_out() {
        let properties =
            properties(&received(BasicProperties::default()), &Route::to(Address::Rejected), None);
        assert_eq!((properties.message_id(), properties.content_type()), (&None, &None));
    }

    #[test]
    fn headers_of_producers_become_text_and_absent_properties_become_empty() {
        let mut table = FieldTable::default();
        table.insert("count".into(), AMQPValue::LongLongInt(-3));
        table.insert("flag".into(), AMQPValue::Boolean(true));
        table.insert("text".into(), AMQPValue::LongString("ä".into()));
        table.insert("deep".into(), AMQPValue::FieldTable(FieldTable::default()));
        let got = received(BasicProperties::default().with_headers(table));
        let headers: Vec<(&str, &str)> = got.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("count", "-3"), ("flag", "true"), ("text", "ä")]);
        assert_eq!((got.message_id.as_str(), got.content_type.as_str()), ("", ""));
    }

    #[test]
    fn each_type_has_the_text_that_a_cloudevent_would_give_it() {
        let decimal = |scale, value| AMQPValue::DecimalValue(DecimalValue { scale, value });
        for (why, value, expected) in [
            ("a time", AMQPValue::Timestamp(1_795_262_400), Some("2026-11-21T12:00:00Z")),
            ("a time that no clock shows", AMQPValue::Timestamp(u64::MAX), Some("18446744073709551615")),
            ("a number", AMQPValue::LongUInt(7), Some("7")),
            ("a whole number that is none", AMQPValue::Double(1.0), Some("1.0")),
            ("a decimal", decimal(2, 1234), Some("12.34")),
            ("a small one", decimal(3, 5), Some("0.005")),
            ("one without a part", decimal(0, 5), Some("5")),
            ("one beyond any number", decimal(255, 1), Some(format!("0.{:0>255}", 1).as_str())),
            ("binary text", AMQPValue::ByteArray(b"abc".as_slice().into()), Some("abc")),
            ("nothing", AMQPValue::Void, None),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{why}");
        }
    }
}
