//! What a producer publishes, over AMQP and HTTP alike: an alert, an event of a topic, either as a CloudEvent.
#![no_main]

use watchbell::{
    domain::{AlertId, Tenant, Timestamp},
    wire::{
        alert::{Defaults, InvalidAlert, encode_alert, parse_alert},
        cloudevent::plain_of_structured,
        event::{MessageKind, kind_of},
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
            // What is queued is read again by dispatch, which must take it for the same.
            assert_eq!(parse_alert(&encode_alert(&alert), &defaults), Ok(alert));
        }
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
