//! A test push: a person asks whether one of their devices is reached.

use std::time::Duration;

use super::{AttemptState, Timestamp};

/// A person may ask for one test in so much time.
pub const DEVICE_TEST_EVERY: Duration = Duration::from_secs(10);
/// For so long a test is tried. A person waits in front of a screen, so later is too late.
pub const DEVICE_TEST_TRIED_FOR: Duration = Duration::from_secs(60);
/// What a test has in the place of an alert's id. No producer can use it, and no inbox has it.
pub const DEVICE_TEST_ALERT: &str = "~test";

/// Where the last test of a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceTest {
    /// When the person asked for it.
    pub asked_at: Timestamp,
    /// Accepted by the provider is not shown, as for every push.
    pub state: AttemptState,
    /// What the provider answered last, as a word; or `put_off`, `not_configured`.
    pub outcome: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What became of a wish for a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestAsked {
    /// It is sent.
    Done,
    /// The person has no such device.
    NoDevice,
    /// They asked for another one just now.
    TooSoon {
        /// When they may ask again.
        wait: Duration,
    },
}

/// How long somebody has to wait who last asked then.
pub fn wait_for_test(asked_at: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let since = now.duration_since(asked_at?);
    // A clock that was set back does not make anybody wait for longer.
    let since = Duration::try_from(since).ok()?;
    DEVICE_TEST_EVERY.checked_sub(since).filter(|wait| !wait.is_zero())
}

#[test]
fn a_person_asks_once_in_a_while() {
    let at = |secs| Timestamp::from_second(secs).unwrap_or_default();
    for (why, asked_at, now, expected) in [
        ("never before", None, at(0), None),
        ("just now", Some(at(100)), at(100), Some(DEVICE_TEST_EVERY)),
        ("a moment ago", Some(at(100)), at(107), Some(Duration::from_secs(3))),
        ("long enough ago", Some(at(100)), at(110), None),
        ("in the future, by another clock", Some(at(200)), at(100), None),
    ] {
        assert_eq!(wait_for_test(asked_at, now), expected, "{why}");
    }
}
