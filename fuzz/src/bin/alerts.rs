//! What a producer publishes, over AMQP and HTTP alike: an alert, an event of a topic, either as a CloudEvent.
#![no_main]

use watchbell::{
    domain::{Alert, AlertId, EventId, Tenant, Timestamp, Topic},
    wire::{
        alert::{Defaults, InvalidAlert, encode_alert, parse_alert},
        cloudevent::plain_of_structured,
        event::{EventDefaults, MessageKind, encode_event, kind_of, parse_event},
    },
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let defaults = Defaults {
        tenant: Tenant::parse("acme").ok(),
        id: AlertId::parse("made-here").ok(),
        now: Timestamp::UNIX_EPOCH,
    };
    match parse_alert(bytes, &defaults) {
        Ok(alert) => {
            // What is queued is read again by dispatch, which must take it for the same; by then it says when it happened.
            let queued = parse_alert(&encode_alert(&alert), &defaults);
            assert_eq!(queued, Ok(Alert { is_dated: true, ..alert }));
        }
        Err(refused) => is_told(&refused),
    }
    let of_topic = EventDefaults {
        tenant: defaults.tenant,
        topic: Topic::parse("monitor:7").ok(),
        id: EventId::parse("made-here").ok(),
        now: Timestamp::UNIX_EPOCH,
    };
    match parse_event(bytes, &of_topic) {
        Ok(event) => assert_eq!(parse_event(&encode_event(&event), &of_topic), Ok(event)),
        Err(refused) => is_told(&refused),
    }
    if let Err(refused) = plain_of_structured(bytes, MessageKind::Alert) {
        is_told(&refused);
    }
    kind_of(bytes);
});

/// A refusal names something, and is no longer than a log line should be.
fn is_told(refused: &InvalidAlert) {
    assert!(!refused.field.is_empty() && refused.problem.len() < 4_096, "{refused}");
}
