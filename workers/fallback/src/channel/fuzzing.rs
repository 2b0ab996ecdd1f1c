//! A way in for [fuzz](../../../../fuzz), which sees only what is public: what providers answer. A stranger chooses the push
//! service of their browser, and a producer the receiver of a webhook. It panics where something does not hold.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::{
    error::SendError,
    http::RETRY_AFTER_MAX,
    push::{apns_reply, fcm_reply, webpush_reply, webpush_services},
    reason, slack, sms, telegram, webhook,
};

/// More than this is kept of no reason, in characters.
const REASON_CHARS_MAX: usize = 250;

/// Whom the message was for.
const ADDRESS: &str = "ana@example.com";

/// An answer: two bytes of its status, `Retry-After` up to a line break, and the body.
pub fn reply(bytes: &[u8]) {
    let Some((status, rest)) = bytes.split_first_chunk::<2>() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (Some(wait), Some(body)) = (parts.next(), parts.next()) else { return };
    // What HTTP has no status for does not come through its parser either.
    let status = 100 + u16::from_be_bytes(*status) % 900;
    let mut headers = HeaderMap::new();
    if let Ok(wait) = HeaderValue::from_bytes(wait) {
        headers.insert(RETRY_AFTER, wait);
    }
    let now = Timestamp::UNIX_EPOCH;
    let refused = [
        apns_reply::classify(status, body, &headers, now).err(),
        fcm_reply::classify(status, body, &headers, now).err(),
        slack::reply::of_method(status, body, &headers, now).err().map(SendError::from),
        slack::reply::of_hook(status, body, &headers, now).err(),
        sms::reply::classify(status, body, &headers, now).err(),
        telegram::reply::read(status, body).err(),
        webhook::reply::classify(status, &headers, false, now).err(),
    ];
    let of_browsers = webpush_services::SERVICES
        .iter()
        .map(|service| webpush_reply::classify(service, status, body, &headers, now).err());
    for error in refused.into_iter().chain(of_browsers).flatten() {
        // As every sender does before it hands one on.
        let error = error.without(&[ADDRESS]);
        let reason = error.reason();
        assert!(reason.chars().count() <= REASON_CHARS_MAX, "a reason that is no word: {reason}");
        assert!(!reason.chars().any(char::is_control), "a reason of several lines: {reason:?}");
        assert!(wait_of(&error).is_none_or(|wait| wait <= RETRY_AFTER_MAX), "a wait without end: {error:?}");
    }
    // What a relay says is written down as it is read, without the address that it was about.
    let text = String::from_utf8_lossy(body);
    let tidy = reason::tidy(&text, &[ADDRESS]);
    assert!(!tidy.contains('@') && !tidy.chars().any(char::is_control), "{tidy:?}");
}

fn wait_of(error: &SendError) -> Option<Duration> {
    match error {
        SendError::Throttled { retry_after, .. } | SendError::Unavailable { retry_after, .. } => *retry_after,
        _ => None,
    }
}
