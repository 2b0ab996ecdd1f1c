//! What Apple's answers mean: one pure function, and the table that specifies it.
//!
//! Source: "Handling notification responses from APNs",
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http, reason,
    sender::Accepted,
};

/// Reasons after which the client itself does something before it reports.
pub(super) const EXPIRED_PROVIDER_TOKEN: &str = "ExpiredProviderToken";
pub(super) const TOO_MANY_TOKEN_UPDATES: &str = "TooManyProviderTokenUpdates";
pub(super) const PAYLOAD_TOO_LARGE: &str = "PayloadTooLarge";
/// The connection is at fault, or on its way out: the next request belongs on a new one.
pub(super) const CONNECTION_IS_OVER: [&str; 3] = ["IdleTimeout", "ServiceUnavailable", "Shutdown"];

/// The body of a refusal.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    reason: Option<String>,
    /// When Apple learned that the token is gone, in milliseconds; with 410 only.
    #[serde(default)]
    timestamp: Option<i64>,
}

/// What an answer means. Knows every documented reason; an unknown one is kept by name and goes by its class:
/// 4xx costs the message, 5xx is tried again. A token is dropped for the named reasons only (I7).
#[expect(clippy::match_same_arms, reason = "an arm is a row of the provider's table")]
pub(in crate::channel) fn classify(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    if status == 200 {
        let id = headers.get("apns-id").and_then(|id| id.to_str().ok());
        return Ok(Accepted { provider_id: id.map(|id| reason::tidy(id, &[])) });
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let reason = match refusal.reason.as_deref().and_then(reason::code_word) {
        Some(word) => word.to_owned(),
        None => format!("HTTP {status}"),
    };
    let retry_after = http::retry_after(headers, now);
    let config_fault = |reason| SendError::ConfigFault { blame: Blame::Device, reason };
    let error = match (status, reason.as_str()) {
        (410, "Unregistered" | "ExpiredToken") => {
            let since = refusal.timestamp.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            SendError::Unregistered { since, reason }
        }
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => SendError::BadToken { reason },
        (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => config_fault(reason),
        (400, "IdleTimeout") => SendError::Unavailable { retry_after, reason },
        (
            403,
            EXPIRED_PROVIDER_TOKEN
            | "InvalidProviderToken"
            | "MissingProviderToken"
            | "BadCertificate"
            | "BadCertificateEnvironment"
            | "Forbidden"
            | "UnrelatedKeyIdInToken"
            | "BadEnvironmentKeyIdInToken"
            // Not in Apple's list, yet seen in answers.
            | "BadEnvironmentKeyInToken",
        ) => config_fault(reason),
        (429, word) => {
            let scope = match word {
                "TooManyRequests" => ThrottleScope::Device,
                TOO_MANY_TOKEN_UPDATES => ThrottleScope::Provider,
                _ => ThrottleScope::Unnamed,
            };
            SendError::Throttled { retry_after, scope, reason }
        }
        // Covers the faults of our own making (BadCollapseId, BadExpirationDate, BadMessageId, BadPriority,
        // DuplicateHeaders, InvalidPushType, PayloadEmpty, MissingDeviceToken, BadPath, MethodNotAllowed,
        // PayloadTooLarge) and what we do not know.
        (400..=499, _) => SendError::Rejected { reason },
        // 500 InternalServerError, 503 ServiceUnavailable and Shutdown, and whatever stands in between.
        (_, _) => SendError::Unavailable { retry_after, reason },
    };
    Err(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::channel::Disposition;

    fn answer(status: u16, body: &str, headers: &[(&'static str, &str)]) -> Result<Accepted, SendError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()));
        classify(status, body.as_bytes(), &headers.collect(), Timestamp::UNIX_EPOCH)
    }

    /// Every row of Apple's table, and what follows from it.
    #[test]
    fn every_reason_has_its_consequence() {
        let forget = Disposition::ForgetToken { unless_registered_after: None };
        let retry = Disposition::Retry { wait_min: Duration::ZERO };
        for (status, reasons, code, expected) in [
            (400, &["BadDeviceToken", "DeviceTokenNotForTopic"][..], "bad_token", forget),
            (
                400,
                &[
                    "BadCollapseId",
                    "BadExpirationDate",
                    "BadMessageId",
                    "BadPriority",
                    "DuplicateHeaders",
                    "InvalidPushType",
                    "PayloadEmpty",
                    "MissingDeviceToken",
                ],
                "rejected",
                Disposition::DropMessage,
            ),
            (400, &["BadTopic", "MissingTopic", "TopicDisallowed"], "config_fault", Disposition::ConfigFault),
            (400, &["IdleTimeout"], "unavailable", retry),
            (
                403,
                &[
                    "ExpiredProviderToken",
                    "InvalidProviderToken",
                    "MissingProviderToken",
                    "BadCertificate",
                    "BadCertificateEnvironment",
                    "Forbidden",
                    "UnrelatedKeyIdInToken",
                    "BadEnvironmentKeyIdInToken",
                    "BadEnvironmentKeyInToken",
                ],
                "config_fault",
                Disposition::ConfigFault,
            ),
            (404, &["BadPath"], "rejected", Disposition::DropMessage),
            (405, &["MethodNotAllowed"], "rejected", Disposition::DropMessage),
            (410, &["Unregistered", "ExpiredToken"], "unregistered", forget),
            (413, &["PayloadTooLarge"], "rejected", Disposition::DropMessage),
            (429, &["TooManyRequests", "TooManyProviderTokenUpdates"], "throttled", retry),
            (500, &["InternalServerError"], "unavailable", retry),
            (503, &["ServiceUnavailable", "Shutdown"], "unavailable", retry),
            // Reasons that Apple has yet to think of.
            (400, &["BadMoonPhase"], "rejected", Disposition::DropMessage),
            (403, &["BadMoonPhase"], "rejected", Disposition::DropMessage),
            (410, &["BadMoonPhase"], "rejected", Disposition::DropMessage),
            (429, &["BadMoonPhase"], "throttled", retry),
            (507, &["BadMoonPhase"], "unavailable", retry),
        ] {
            for reason in reasons {
                let error = answer(status, &format!(r#"{{"reason":"{reason}"}}"#), &[]).unwrap_err();
                assert_eq!(error.code(), code, "{status} {reason}");
                assert_eq!(error.disposition(), expected, "{status} {reason}");
                assert_eq!(error.reason(), *reason, "the word is kept");
            }
        }
    }

    #[test]
    fn accepted_carries_apples_id() {
        let id = "eabeae54-14a8-11e5-b60b-1697f925ec7b";
        let accepted = answer(200, "", &[("apns-id", id)]).unwrap();
        assert_eq!(accepted.provider_id.as_deref(), Some(id));
    }

    #[test]
    fn a_gone_token_carries_apples_time() {
        let error = answer(410, r#"{"reason":"Unregistered","timestamp":1454402113123}"#, &[]).unwrap_err();
        let since = Some(Timestamp::from_millisecond(1_454_402_113_123).unwrap());
        assert_eq!(error.disposition(), Disposition::ForgetToken { unless_registered_after: since });
    }

    #[test]
    fn only_too_many_requests_is_about_the_device() {
        let seven = [("retry-after", "7")];
        for (body, expected) in [
            (r#"{"reason":"TooManyRequests"}"#, ThrottleScope::Device),
            (r#"{"reason":"TooManyProviderTokenUpdates"}"#, ThrottleScope::Provider),
            ("", ThrottleScope::Unnamed),
        ] {
            match answer(429, body, &seven).unwrap_err() {
                SendError::Throttled { retry_after, scope, .. } => {
                    assert_eq!((retry_after, scope), (Some(Duration::from_secs(7)), expected), "{body}");
                }
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    /// What stands between us and Apple, or pretends to be Apple, does not stop the worker.
    #[test]
    fn bodies_that_are_not_apples_go_by_their_class() {
        let token = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";
        for (why, status, body, code) in [
            ("a proxy's page", 502, "<html>Bad Gateway</html>".to_owned(), "unavailable"),
            ("nothing", 410, String::new(), "rejected"),
            ("a reason of another type", 400, r#"{"reason":7}"#.to_owned(), "rejected"),
            ("a redirect", 302, String::new(), "unavailable"),
            ("an echoed token", 400, format!(r#"{{"reason":"{token}"}}"#), "rejected"),
        ] {
            let error = answer(status, &body, &[]).unwrap_err();
            assert_eq!(error.code(), code, "{why}");
            assert_eq!(error.reason(), format!("HTTP {status}"), "{why}");
        }
    }
}
