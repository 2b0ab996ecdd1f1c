//! Headers that say one thing and so may be given once (RFC 9110, section 5.3): of two, whoever stands in between might have
//! read the other one.

use axum::http::HeaderMap;

use crate::wire::Problem;

/// Those that Watchbell reads. `Host` and `Origin` have rules of their own.
const SINGLE: [&str; 7] = [
    "authorization",
    "x-api-key",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "sec-websocket-key",
    "sec-websocket-version",
];
/// How others begin: the attributes of a CloudEvent in binary mode, what SendGrid signs with, and what may come to be ours.
const BEGINNINGS: [&str; 3] = ["ce-", "x-twilio-email-event-webhook-", "x-watchbell-"];

/// Refuses a request that has one of them twice, also where both say the same.
///
/// # Errors
/// 400 that names the header.
pub(super) fn expect_single(headers: &HeaderMap) -> Result<(), Problem> {
    // There are as many names as values: each is given once.
    if headers.keys_len() == headers.len() {
        return Ok(());
    }
    let is_single =
        |name: &str| SINGLE.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    let twice =
        headers.keys().find(|name| is_single(name.as_str()) && headers.get_all(*name).iter().count() > 1);
    match twice {
        Some(name) => {
            Err(Problem::malformed(format!("The header `{name}` was given more than once: send it once.")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_says_one_thing_is_given_once() {
        for (why, given, expected) in [
            ("each once", &["authorization", "content-type", "accept"][..], None),
            ("a list may go on in another line", &["accept", "accept", "cookie", "cookie"], None),
            ("an origin has its own rule", &["origin", "origin"], None),
            ("two keys of one request", &["idempotency-key", "idempotency-key"], Some("idempotency-key")),
            ("two keys of an application", &["x-api-key", "accept", "x-api-key"], Some("x-api-key")),
            ("two credentials", &["authorization", "authorization"], Some("authorization")),
            ("two types of one body", &["content-type", "content-type"], Some("content-type")),
            ("two places to go on from", &["last-event-id", "last-event-id"], Some("last-event-id")),
            ("an attribute of a CloudEvent", &["ce-id", "ce-type", "ce-id"], Some("ce-id")),
            (
                "two keys of a handshake",
                &["sec-websocket-key", "sec-websocket-key"],
                Some("sec-websocket-key"),
            ),
            ("protocols are a list", &["sec-websocket-protocol", "sec-websocket-protocol"], None),
            (
                "two signatures",
                &["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-signature"],
                Some("x-twilio-email-event-webhook-signature"),
            ),
            ("one of ours", &["x-watchbell-attempt", "x-watchbell-attempt"], Some("x-watchbell-attempt")),
        ] {
            let mut headers = HeaderMap::new();
            for name in given {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static("a"));
            }
            let refusal = expect_single(&headers).err().map(|problem| (problem.status, problem.detail));
            match expected {
                None => assert_eq!(refusal, None, "{why}"),
                Some(name) => {
                    let (status, detail) = refusal.unwrap();
                    assert_eq!(status, 400, "{why}");
                    assert!(format!("{detail:?}").contains(name), "{why}: {detail:?}");
                }
            }
        }
    }
}
