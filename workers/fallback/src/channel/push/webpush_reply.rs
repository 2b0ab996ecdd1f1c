//! What push services of browsers answer: one pure function, and the table that specifies it.
//!
//! Sources: RFC 8030, sections 5 to 8; RFC 8292, section 4 (401 and 403); and, for Safari,
//! <https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers>.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http, reason,
    sender::Accepted,
};

/// What an answer means. A subscription is dropped for 404 and 410 only (I7): the standard says so of no other.
#[expect(clippy::match_same_arms, reason = "an arm is a row of the standard's table")]
pub(in crate::channel) fn classify(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    let reason = word_of(status, body);
    let retry_after = http::retry_after(headers, now);
    Err(match status {
        // 202 is an answer to `Prefer: respond-async`, which we do not ask for; some services give it all the same.
        200..=204 => return Ok(Accepted::default()),
        404 | 410 => SendError::Unregistered { since: None, reason },
        // Our VAPID key is not the one that the browser subscribed with, or our token is wrong.
        401 | 403 => SendError::ConfigFault { blame: Blame::Device, reason },
        413 => SendError::Rejected { reason },
        // The standard does not say of whom: this subscription, or all that we send there.
        429 => SendError::Throttled { retry_after, scope: ThrottleScope::Unnamed, reason },
        // 400 is a header of ours that this service does not like, or a subscription it cannot read: nobody can tell.
        400..=499 => SendError::Rejected { reason },
        // A redirect is not followed: it would take the push out of what was checked.
        300..=399 => SendError::Rejected { reason },
        _ => SendError::Unavailable { retry_after, reason },
    })
}

/// Apple and Mozilla give a word, each under another name; without one, the status.
fn word_of(status: u16, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = ["reason", "error"].iter().find_map(|name| body[*name].as_str());
    match word.and_then(reason::code_word) {
        Some(word) => word.to_owned(),
        None => format!("HTTP {status}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::channel::Disposition;

    /// Every row of the table, and what follows from it.
    #[test]
    fn every_status_has_its_consequence() {
        let forget = Disposition::ForgetToken { unless_registered_after: None };
        let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
        for (why, status, body, word, expected) in [
            ("the subscription expired", 404, "", "HTTP 404", forget),
            ("it is gone", 410, r#"{"reason":"Unregistered"}"#, "Unregistered", forget),
            ("our token", 403, r#"{"reason":"BadJwtToken"}"#, "BadJwtToken", Disposition::ConfigFault),
            (
                "no token",
                401,
                r#"{"errno":109,"error":"Unauthorized"}"#,
                "Unauthorized",
                Disposition::ConfigFault,
            ),
            ("too large", 413, "", "HTTP 413", Disposition::DropMessage),
            ("a header they do not like", 400, "<p>no", "HTTP 400", Disposition::DropMessage),
            ("too many", 429, "", "HTTP 429", retry(7)),
            ("elsewhere", 307, "", "HTTP 307", Disposition::DropMessage),
            ("unknown, ours", 418, r#"{"reason":"Teapot"}"#, "Teapot", Disposition::DropMessage),
            ("theirs", 500, "", "HTTP 500", retry(7)),
            ("overloaded", 503, "", "HTTP 503", retry(7)),
        ] {
            let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, "7".parse().unwrap())]);
            let error = classify(status, body.as_bytes(), &headers, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!(error.disposition(), expected, "{why}");
            assert_eq!(error.reason(), word, "{why}");
        }
        for status in [200, 201, 202, 204] {
            let taken = classify(status, b"", &HeaderMap::new(), Timestamp::UNIX_EPOCH);
            assert!(taken.is_ok(), "{status}");
        }
    }
}
