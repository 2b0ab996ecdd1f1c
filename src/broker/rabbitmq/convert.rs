//! Between our messages and AMQP's properties and headers.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

use super::route::Route;
use crate::broker::{Message, topology::TYPE_HEADER};

/// The broker's own count on a redelivered message: somebody who publishes it anew starts anew.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";

pub(super) fn properties(message: &Message, route: &Route) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut kind = route.message_type;
    for (name, value) in &message.headers {
        match name.as_str() {
            TYPE_HEADER => kind = value,
            DELIVERY_COUNT_HEADER => {}
            name => drop(headers.insert(short(name), AMQPValue::LongString(value.as_str().into()))),
        }
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    // What a producer left out stays left out when its message is parked.
    let mut properties = BasicProperties::default();
    if !message.message_id.is_empty() {
        properties = properties.with_message_id(short(&message.message_id));
    }
    if !message.content_type.is_empty() {
        properties = properties.with_content_type(short(&message.content_type));
    }
    properties
        .with_delivery_mode(if route.persistent { 2 } else { 1 })
        .with_type(short(kind))
        .with_timestamp(now.as_secs())
        .with_headers(headers)
}

/// Whatever a producer sent becomes a message; what is not text is left out.
pub(super) fn message(delivery: &mut Delivery) -> Message {
    let properties = &delivery.properties;
    let plain = |text: &Option<ShortString>| text.as_ref().map(ShortString::to_string).unwrap_or_default();
    let mut headers: std::collections::BTreeMap<String, String> = properties
        .headers()
        .iter()
        .flat_map(|table| table.inner())
        .filter_map(|(name, value)| Some((name.to_string(), text(value)?)))
        .collect();
    if let Some(kind) = properties.kind() {
        headers.insert(TYPE_HEADER.into(), kind.to_string());
    }
    Message {
        message_id: plain(properties.message_id()),
        content_type: plain(properties.content_type()),
        headers,
        body: Bytes::from(std::mem::take(&mut delivery.data)),
    }
}

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
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        AMQPValue::ByteArray(bytes) => lossy(bytes.as_slice()),
        // Tables and arrays do not survive AMQP 1.0 and streams, so nothing of ours is in them.
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => {
            return None;
        }
    })
}

/// AMQP's short strings hold 255 bytes. Ours are names and ids that are checked where they are made; a longer one
/// is cut rather than refused here, where nobody could answer.
pub(super) fn short(text: &str) -> ShortString {
    let end = (0..=text.len().min(255)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    ShortString::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Address;

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
        let properties = properties(&sent, &Route::to(Address::Alerts));
        assert_eq!(properties.delivery_mode(), &Some(2));
        let mut got = received(properties);
        assert_eq!(got.headers.remove(TYPE_HEADER).as_deref(), Some("alert.v1"));
        sent.headers.remove(DELIVERY_COUNT_HEADER);
        assert_eq!(got, sent);

        sent.headers.insert(TYPE_HEADER.into(), "alert.v2".into());
        let own = super::properties(&sent, &Route::to(Address::Dead));
        assert_eq!(received(own).headers[TYPE_HEADER], "alert.v2", "a replayed message keeps its type");
    }

    #[test]
    fn what_a_producer_left_out_stays_left_out() {
        let properties = properties(&received(BasicProperties::default()), &Route::to(Address::Rejected));
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
    fn a_short_string_ends_between_characters() {
        assert_eq!(short(&"ä".repeat(200)).as_str().len(), 254);
        assert_eq!(short("").as_str(), "");
    }
}
