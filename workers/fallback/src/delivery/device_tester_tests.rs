//! What is kept of a try to send a test, as a table.

use watchbell::{
    domain::{Device, DeviceId, PushEnvironment, PushService, Secret, Tenant, UserId, UserKey},
    store::TestResult,
};

use super::*;
use crate::channel::{Blame, SendError};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap_or_default()
}

#[allow(clippy::unwrap_used)]
fn taken(tries: u32) -> TakenTest {
    TakenTest {
        user: UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap()),
        device: Device {
            id: DeviceId::parse("phone").unwrap(),
            service: PushService::Fcm,
            token: Secret::from("token".to_owned()),
            environment: PushEnvironment::Production,
            bound_to: None,
            start_token: None,
            registered_at: at(0),
            issued_at: None,
        },
        attempt: uuid::Uuid::from_u128(1),
        tries,
        asked_at: at(100),
        unread: 3,
        locale: None,
    }
}

#[test]
fn a_test_ends_within_a_minute_and_says_how() {
    let reason = String::new;
    let busy = |wait| Err(NotSent::PutOff(PutOff::busy(Duration::from_secs(wait), "busy")));
    let refused = |error| Err(NotSent::Refused(error));
    let unavailable = || SendError::Unavailable { retry_after: None, reason: reason() };
    for (why, sent, tries, now, state, outcome, next) in [
        ("the provider took it", Ok(Accepted::default()), 1, 101, "accepted", "accepted", None),
        (
            "no provider is configured",
            Err(NotSent::Nowhere(reason())),
            1,
            101,
            "failed",
            "not_configured",
            None,
        ),
        ("the provider is busy", busy(5), 1, 101, "retrying", "put_off", Some(106)),
        ("for longer than anybody waits", busy(300), 1, 101, "failed", "put_off", None),
        ("it cannot now", refused(unavailable()), 1, 101, "retrying", "unavailable", Some(111)),
        ("and not in time", refused(unavailable()), 4, 140, "failed", "unavailable", None),
        (
            "the token is gone",
            refused(SendError::Unregistered { since: None, reason: reason() }),
            1,
            101,
            "failed",
            "unregistered",
            None,
        ),
        (
            "the token was never good",
            refused(SendError::BadToken { reason: reason() }),
            1,
            101,
            "failed",
            "bad_token",
            None,
        ),
        (
            "our key is wrong",
            refused(SendError::ConfigFault { blame: Blame::Everybody, reason: reason() }),
            1,
            101,
            "failed",
            "config_fault",
            None,
        ),
    ] {
        // The highest chance is the longest wait.
        let TestResult { state: found, outcome: word, next_try_at } =
            result_of(sent, &taken(tries), at(now), 1.0);
        assert_eq!(
            (found.as_str(), word, next_try_at.map(Timestamp::as_second)),
            (state, outcome, next),
            "{why}"
        );
    }
}

#[test]
fn a_test_says_that_it_is_one() {
    let content = content_of(&taken(1));
    assert_eq!(
        (content.alert.as_str(), content.title.as_str(), content.unread),
        ("~test", "Test notification", 3)
    );
    assert_eq!(content.expires_at, at(160), "nobody is shown it later");
}
