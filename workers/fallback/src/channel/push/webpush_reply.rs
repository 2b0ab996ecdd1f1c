//! What push services of browsers answer: one pure function, and the table that specifies it.
//!
//! Sources: RFC 8030, sections 5 to 8; RFC 8292, section 4 (401 and 403); and, for Safari,
//! <https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers>.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::webpush_services::BrowserService;
use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http, reason,
    sender::Accepted,
};

/// What an answer means. A subscription is dropped for 404 and 410 only (I7): the standard says so of no other.
#[expect(clippy::match_same_arms, reason = "an arm is a row of the standard's table")]
pub(in crate::channel) fn classify(
    service: &BrowserService,
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    let reason = word_of(status, body);
    let retry_after = http::retry_after(headers, now);
    Err(match status {
        // 202 is an answer to `Prefer: respond-async`, which we do not ask for; some services give it all the same.
        200..=204 => match fate(service, headers) {
            Some("dropped") => SendError::Rejected { reason: "dropped".to_owned() },
            Some("channelthrottled") => {
                let (scope, reason) = (ThrottleScope::Device, "channelthrottled".to_owned());
                SendError::Throttled { retry_after, scope, reason }
            }
            _ => return Ok(Accepted::default()),
        },
        404 | 410 => SendError::Unregistered { since: None, reason },
        // Our VAPID key is not the one that the browser subscribed with, or our token is wrong.
        401 | 403 => SendError::ConfigFault { blame: Blame::Device, reason },
        400 if service.key_mismatch == Some(&*reason) => {
            SendError::ConfigFault { blame: Blame::Device, reason }
        }
        413 => SendError::Rejected { reason },
        // The standard does not say of whom: this subscription, or all that we send there.
        status if status == 429 || service.throttles_with == Some(status) => {
            SendError::Throttled { retry_after, scope: ThrottleScope::Unnamed, reason }
        }
        // 400 is a header of ours that this service does not like, or a subscription it cannot read: nobody can tell.
        400..=499 => SendError::Rejected { reason },
        // A redirect is not followed: it would take the push out of what was checked.
        300..=399 => SendError::Rejected { reason },
        _ => SendError::Unavailable { retry_after, reason },
    })
}

/// What a service that takes every push says of one all the same.
fn fate<'a>(service: &BrowserService, headers: &'a HeaderMap) -> Option<&'a str> {
    headers.get(service.fate_header?)?.to_str().ok()
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

    use reqwest::{Url, header::HeaderName};

    use super::*;
    use crate::channel::{Disposition, push::webpush_services::service_at};

    const FCM: &str = "https://fcm.googleapis.com/fcm/send/a";
    const MOZILLA: &str = "https://updates.push.services.mozilla.com/wpush/v2/a";
    const WNS: &str = "https://wns2-db5p.notify.windows.com/w/?token=a";
    const APPLE: &str = "https://web.push.apple.com/a";

    fn at(endpoint: &str) -> &'static BrowserService {
        service_at(&Url::parse(endpoint).unwrap())
    }

    /// Every row of the table, and what follows from it, at every service.
    #[test]
    fn every_status_has_its_consequence() {
        let forget = Disposition::ForgetToken { unless_registered_after: None };
        let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
        let (drop, config) = (Disposition::DropMessage, Disposition::ConfigFault);
        for (why, status, body, word, expected) in [
            ("the subscription expired", 404, "", "HTTP 404", forget),
            ("it is gone", 410, r#"{"reason":"Unregistered"}"#, "Unregistered", forget),
            ("our token", 403, r#"{"reason":"BadJwtToken"}"#, "BadJwtToken", config),
            ("no token", 401, r#"{"errno":109,"error":"Unauthorized"}"#, "Unauthorized", config),
            ("too large", 413, "", "HTTP 413", drop),
            ("a header they do not like", 400, "<p>no", "HTTP 400", drop),
            ("too many", 429, "", "HTTP 429", retry(7)),
            ("elsewhere", 307, "", "HTTP 307", drop),
            ("unknown, ours", 418, r#"{"reason":"Teapot"}"#, "Teapot", drop),
            ("theirs", 500, "", "HTTP 500", retry(7)),
            ("overloaded", 503, "", "HTTP 503", retry(7)),
        ] {
            let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, "7".parse().unwrap())]);
            for endpoint in [FCM, MOZILLA, WNS, APPLE, "https://push.example.org/a"] {
                let answer = classify(at(endpoint), status, body.as_bytes(), &headers, Timestamp::UNIX_EPOCH);
                let error = answer.unwrap_err();
                assert_eq!(error.disposition(), expected, "{why}: {endpoint}");
                assert_eq!(error.reason(), word, "{why}: {endpoint}");
            }
        }
        for status in [200, 201, 202, 204] {
            let taken = classify(at(FCM), status, b"", &HeaderMap::new(), Timestamp::UNIX_EPOCH);
            assert!(taken.is_ok(), "{status}");
        }
    }

    /// What one service says in its own way, and what the same is of another.
    #[test]
    fn a_service_has_words_of_its_own() {
        let mismatch = r#"{"reason":"VapidPkHashMismatch"}"#;
        for (why, endpoint, status, body, fate, expected) in [
            ("Apple names the key", APPLE, 400, mismatch, None, Err("config_fault")),
            ("the word says nothing elsewhere", MOZILLA, 400, mismatch, None, Err("rejected")),
            ("Microsoft's 429", WNS, 406, "", None, Err("throttled")),
            ("of others it is what it is", FCM, 406, "", None, Err("rejected")),
            ("accepted", WNS, 201, "", Some("received"), Ok(())),
            ("accepted, and dropped", WNS, 201, "", Some("dropped"), Err("rejected")),
            ("accepted, and put off", WNS, 201, "", Some("channelthrottled"), Err("throttled")),
            ("another's header", FCM, 201, "", Some("dropped"), Ok(())),
        ] {
            let fate = fate.map(|word| (HeaderName::from_static("x-wns-notificationstatus"), word));
            let headers = fate.into_iter().map(|(name, word)| (name, word.parse().unwrap())).collect();
            let answer = classify(at(endpoint), status, body.as_bytes(), &headers, Timestamp::UNIX_EPOCH);
            assert_eq!(answer.map(drop).map_err(|error| error.code()), expected, "{why}");
        }
    }
}
