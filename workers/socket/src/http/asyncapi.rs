//! `GET /asyncapi.json`: session frames and messages on the broker, for machines.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

/// Checked against `tests/fixtures`, the close codes and the broker's names below.
const DOCUMENT: &str = include_str!("../../asyncapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value};
    use watchbell::broker::{
        WorkQueue,
        topology::{ALERTS_EXCHANGE, DEAD_EXCHANGE, OUTCOMES_EXCHANGE, PARTITIONS, live_exchange},
    };

    use super::*;

    fn parsed(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    fn fixtures(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    /// What `$ref` leads to.
    fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
        let Some(to) = schema["$ref"].as_str() else { return schema };
        let found = document.pointer(to.trim_start_matches('#'));
        resolved(document, found.unwrap_or_else(|| panic!("{to} leads nowhere")))
    }

    /// Why a value is not of a schema, in the words of JSON Schema that the document uses. Stricter than JSON Schema:
    /// a field that is not described is a fault, unless nothing is said of any.
    fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = resolved(document, schema);
        let mut found = Vec::new();
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                found.push(format!("{at}: {value} {what}"));
            }
        };
        if let Some(constant) = schema.get("const") {
            expect(value == constant, "is not the constant");
        }
        if let Some(words) = schema["enum"].as_array() {
            expect(words.contains(value), "is not one of its words");
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some(other) => panic!("{at}: {other} is no type that is used here"),
            None => schema.get("const").is_some(),
        };
        expect(fits, "has another type");
        if let Some(items) = value.as_array() {
            for (index, item) in items.iter().enumerate() {
                found.extend(faults(document, &schema["items"], item, &format!("{at}[{index}]")));
            }
        }
        let fields = value.as_object().into_iter().flatten();
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            let described = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            match described {
                Some(Value::Bool(_)) => found.push(format!("{at} is not described")),
                Some(described) => found.extend(faults(document, described, field, &at)),
                None if schema.get("properties").is_some() => found.push(format!("{at} is not described")),
                None => {}
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                found.push(format!("{at}.{name} is missing"));
            }
        }
        found
    }

    /// Every fixture is described and fits, and every description has a fixture.
    fn compare(document: &Value, prefix: &str, fixtures: &Map<String, Value>, passed_over: &[&str]) {
        let messages = document["components"]["messages"].as_object().unwrap();
        let mut used = BTreeSet::new();
        for (name, frame) in fixtures.iter().filter(|(name, _)| !passed_over.contains(&name.as_str())) {
            let key = format!("{prefix}{}", frame["type"].as_str().unwrap());
            let message = messages.get(&key).unwrap_or_else(|| panic!("{name}: {key} is not described"));
            assert_eq!(faults(document, &message["payload"], frame, name), [""; 0]);
            used.insert(key);
        }
        let described: BTreeSet<String> =
            messages.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        assert_eq!(described, used, "described and written");
    }

    #[test]
    fn every_frame_is_described_and_every_description_is_of_a_frame() {
        let document = parsed(DOCUMENT);
        let server = fixtures(include_str!("../../../../tests/fixtures/server_frames.json"));
        compare(&document, "server_", &server, &[]);
        let client = fixtures(include_str!("../../../../tests/fixtures/client_frames.json"));
        // Both are about what we do not know, and so cannot describe.
        compare(&document, "client_", &client, &["a type of a later client", "auth, of a later client"]);
    }

    #[test]
    fn every_message_on_the_broker_is_described() {
        let document = parsed(DOCUMENT);
        let written = fixtures(include_str!("../../../../tests/fixtures/broker_messages.json"));
        let described = [
            ("watchbell.alerts", "alert"),
            ("watchbell.alerts, an event", "event"),
            ("watchbell.live, an alert", "live_alert"),
            ("watchbell.live, a snoozed alert", "live_alert"),
            ("watchbell.live, alerts of one commit", "live_alerts"),
            ("watchbell.live, a receipt", "live_receipt"),
            ("watchbell.live, a snooze", "live_receipt"),
            ("watchbell.live, an answer", "live_receipt"),
            ("watchbell.live, an event", "live_event"),
            ("watchbell.live, a revocation", "live_revoke"),
            ("watchbell.live, preferences", "live_preferences"),
            ("watchbell.undelivered", "undelivered"),
            ("watchbell.outcomes", "outcome"),
        ];
        assert_eq!(written.len(), described.len(), "a row a fixture");
        for (name, message) in described {
            let payload = &document["components"]["messages"][message]["payload"];
            assert_eq!(faults(&document, payload, &written[name], name), [""; 0]);
        }
    }

    #[test]
    fn a_frame_that_is_wrong_is_found_out() {
        let document = parsed(DOCUMENT);
        let payload = &document["components"]["messages"]["server_goaway"]["payload"];
        for (why, frame) in [
            ("a field is missing", r#"{"type":"goaway","after_ms":0,"reason":"drain"}"#),
            ("another type", r#"{"type":"goaway","after_ms":"0","within_ms":1,"reason":"drain"}"#),
            ("another word", r#"{"type":"goaway","after_ms":0,"within_ms":1,"reason":"whim"}"#),
            ("not described", r#"{"type":"goaway","after_ms":0,"within_ms":1,"reason":"drain","at":1}"#),
            ("another frame", r#"{"type":"ping","after_ms":0,"within_ms":1,"reason":"drain"}"#),
        ] {
            assert_eq!(faults(&document, payload, &parsed(frame), "it").len(), 1, "{why}");
        }
    }

    #[test]
    fn addresses_and_close_codes_are_ours() {
        let document = parsed(DOCUMENT);
        let channels = document["channels"].as_object().unwrap();
        let addresses: BTreeSet<&str> =
            channels.values().filter_map(|channel| channel["address"].as_str()).collect();
        let live = live_exchange(PARTITIONS).replace(&PARTITIONS.to_string(), "{partition}");
        let mut ours = BTreeSet::from(["/v1/ws", "/v1/sse", "/v1/poll", &live]);
        ours.extend([ALERTS_EXCHANGE, DEAD_EXCHANGE, OUTCOMES_EXCHANGE]);
        ours.extend(WorkQueue::ALL.map(WorkQueue::name));
        assert_eq!(addresses, ours);
        let partitions = document["channels"]["live"]["parameters"]["partition"]["enum"].as_array().unwrap();
        assert_eq!(partitions.len(), usize::from(PARTITIONS));
        assert_eq!(
            document["x-close-codes"],
            parsed(include_str!("../../../../tests/fixtures/close_codes.json"))
        );
    }

    /// Every reference of the document leads somewhere.
    #[test]
    fn no_reference_is_dangling() {
        fn look(document: &Value, value: &Value) {
            resolved(document, value);
            match value {
                Value::Object(fields) => fields.values().for_each(|field| look(document, field)),
                Value::Array(items) => items.iter().for_each(|item| look(document, item)),
                _ => {}
            }
        }
        let document = parsed(DOCUMENT);
        assert_eq!(document["asyncapi"], "3.0.0");
        look(&document, &document);
    }
}
