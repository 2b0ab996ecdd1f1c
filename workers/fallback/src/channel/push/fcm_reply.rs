//! What Google's answers mean: one pure function, and the table that specifies it.
//!
//! Source: <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode> and, for the waits,
//! <https://firebase.google.com/docs/cloud-messaging/scale-fcm>.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http, reason,
    sender::Accepted,
};

/// The wait after a quota is used up, when none is named.
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// The least wait before a first retry.
const RETRY_WAIT: Duration = Duration::from_secs(10);

/// What an answer means. The body may be anything: Google's front ends answer in HTML.
///
/// `INVALID_ARGUMENT` is ambiguous: it is the token's fault only when Google says so. Clients that took every
/// such answer for a dead token have lost good ones (I7; firebase/firebase-admin-java#1064).
#[expect(clippy::match_same_arms, reason = "an arm is a row of the provider's table")]
pub(in crate::channel) fn classify(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if status == 200 {
        let name = body["name"].as_str().map(|name| reason::tidy(name, &[]));
        return Ok(Accepted { provider_id: name });
    }
    let error = &body["error"];
    let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
    let code = details.iter().find_map(|detail| detail["errorCode"].as_str());
    // Google's `message` may quote the text that was sent, so only code words are kept.
    let word = code.or_else(|| error["status"].as_str()).and_then(reason::code_word);
    let reason = word.map_or_else(|| format!("HTTP {status}"), str::to_owned);
    let message = error["message"].as_str().unwrap_or_default().to_ascii_lowercase();
    let asked = http::retry_after(headers, now);
    let unavailable = |reason| SendError::Unavailable { retry_after: asked.or(Some(RETRY_WAIT)), reason };
    let throttled = |reason| SendError::Throttled {
        retry_after: asked.or(Some(QUOTA_WAIT)),
        scope: whose_quota(details),
        reason,
    };
    let invalid = |reason| {
        if blames_the_token(details, &message) {
            SendError::BadToken { reason }
        } else {
            SendError::Rejected { reason }
        }
    };
    let config_fault = |reason| SendError::ConfigFault { blame: Blame::Device, reason };
    Err(match (code, status) {
        (Some("UNREGISTERED"), _) => SendError::Unregistered { since: None, reason },
        (Some("INVALID_ARGUMENT"), _) => invalid(reason),
        (Some("SENDER_ID_MISMATCH"), _) => SendError::BadToken { reason },
        (Some("QUOTA_EXCEEDED"), _) => throttled(reason),
        (Some("UNAVAILABLE" | "INTERNAL"), _) => unavailable(reason),
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => config_fault(reason),
        // UNSPECIFIED_ERROR, a code yet to come, or none: the status decides.
        (_, 400) => invalid(reason),
        // Our credentials (after the one refresh), our rights, or our project's name in the path.
        (_, 401 | 403 | 404) => config_fault(reason),
        (_, 429) => throttled(reason),
        (_, 402..=499) => SendError::Rejected { reason },
        (_, _) => unavailable(reason),
    })
}

/// Whether the access token was refused, for which there is a remedy: another one.
pub(super) fn wants_new_access_token(outcome: &Result<Accepted, SendError>, status: u16) -> bool {
    status == 401 && outcome.as_ref().is_err_and(|error| error.reason() != "THIRD_PARTY_AUTH_ERROR")
}

/// The quota of one device is 240 a minute, that of a project 600,000. Google names it in a `QuotaFailure` by the subject of each
/// violation, or in an `ErrorInfo` by the limit and the consumer. Its text is for people and may change.
fn whose_quota(details: &[Value]) -> ThrottleScope {
    let of = |kind: &'static str| details.iter().filter(move |detail| is_of_kind(detail, kind));
    let subjects =
        of("google.rpc.QuotaFailure").filter_map(|failure| failure["violations"].as_array()).flatten();
    let subjects = subjects.filter_map(|violation| violation["subject"].as_str());
    let info = of("google.rpc.ErrorInfo").map(|info| &info["metadata"]);
    let named = info.flat_map(|info| [info["quota_limit"].as_str(), info["consumer"].as_str()]).flatten();
    // `device:NAME`, `projects/NUMBER`: what is named may be called anything.
    let kinds = subjects.chain(named).filter_map(|name| name.split([':', '/']).next());
    let named: Vec<String> = kinds.map(str::to_ascii_lowercase).collect();
    let is_any = |words: &[&str]| named.iter().any(|name| words.iter().any(|word| name.contains(word)));
    // The narrower one first: a project is named as the consumer of a device's quota as well.
    if is_any(&["device", "token", "registration"]) {
        ThrottleScope::Device
    } else if is_any(&["project"]) && !is_any(&["topic"]) {
        ThrottleScope::Provider
    } else {
        ThrottleScope::Unnamed
    }
}

/// Whether a detail is of this kind of Google's.
fn is_of_kind(detail: &Value, kind: &str) -> bool {
    detail["@type"].as_str().and_then(|name| name.rsplit('/').next()) == Some(kind)
}

fn blames_the_token(details: &[Value], message: &str) -> bool {
    let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array());
    violations.flatten().any(|violation| violation["field"] == "message.token")
        || message.contains("not a valid fcm registration token")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::channel::Disposition;

    fn refusal(code: Option<&str>, status: &str, message: &str, field: Option<&str>) -> Value {
        let mut details = Vec::new();
        if let Some(code) = code {
            let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
            details.push(json!({"@type": kind, "errorCode": code}));
        }
        if let Some(field) = field {
            let kind = "type.googleapis.com/google.rpc.BadRequest";
            let violations = json!([{"field": field, "description": "Invalid value"}]);
            details.push(json!({"@type": kind, "fieldViolations": violations}));
        }
        json!({"error": {"code": 400, "message": message, "status": status, "details": details}})
    }

    fn answer(status: u16, body: &Value) -> SendError {
        let body = body.to_string();
        classify(status, body.as_bytes(), &HeaderMap::new(), Timestamp::UNIX_EPOCH).unwrap_err()
    }

    /// Every row of Google's table, and what follows from it.
    #[test]
    fn every_code_has_its_consequence() {
        let forget = Disposition::ForgetToken { unless_registered_after: None };
        let retry = |secs| Disposition::Retry { wait_min: Duration::from_secs(secs) };
        let drop = Disposition::DropMessage;
        let config = Disposition::ConfigFault;
        for (why, status, code, rpc_status, field, message, expected) in [
            ("the token is gone", 404, Some("UNREGISTERED"), "NOT_FOUND", None, "", forget),
            ("the path is wrong, not the token", 404, None, "NOT_FOUND", None, "", config),
            (
                "the payload is wrong, not the token",
                400,
                Some("INVALID_ARGUMENT"),
                "INVALID_ARGUMENT",
                Some("message.android.ttl"),
                "Invalid value at 'message.android.ttl'",
                drop,
            ),
            (
                "the token is named as the fault",
                400,
                Some("INVALID_ARGUMENT"),
                "INVALID_ARGUMENT",
                Some("message.token"),
                "Request contains an invalid argument.",
                forget,
            ),
            (
                "the text blames the token",
                400,
                Some("INVALID_ARGUMENT"),
                "INVALID_ARGUMENT",
                None,
                "The registration token is not a valid FCM registration token",
                forget,
            ),
            ("nothing is said", 400, Some("INVALID_ARGUMENT"), "INVALID_ARGUMENT", None, "", drop),
            ("no code either", 400, None, "INVALID_ARGUMENT", None, "", drop),
            (
                "another project's token",
                403,
                Some("SENDER_ID_MISMATCH"),
                "PERMISSION_DENIED",
                None,
                "",
                forget,
            ),
            ("our rights", 403, None, "PERMISSION_DENIED", None, "", config),
            ("a quota", 429, Some("QUOTA_EXCEEDED"), "RESOURCE_EXHAUSTED", None, "", retry(60)),
            ("a quota without a code", 429, None, "RESOURCE_EXHAUSTED", None, "", retry(60)),
            ("overload", 503, Some("UNAVAILABLE"), "UNAVAILABLE", None, "", retry(10)),
            ("theirs", 500, Some("INTERNAL"), "INTERNAL", None, "", retry(10)),
            ("their keys at Apple", 401, Some("THIRD_PARTY_AUTH_ERROR"), "UNAUTHENTICATED", None, "", config),
            ("our access token, after the refresh", 401, None, "UNAUTHENTICATED", None, "", config),
            ("unspecified, ours", 400, Some("UNSPECIFIED_ERROR"), "UNKNOWN", None, "", drop),
            ("unspecified, theirs", 500, Some("UNSPECIFIED_ERROR"), "UNKNOWN", None, "", retry(10)),
            ("yet unknown, ours", 418, Some("TEAPOT"), "TEAPOT", None, "", drop),
            ("yet unknown, theirs", 599, Some("TEAPOT"), "TEAPOT", None, "", retry(10)),
        ] {
            let error = answer(status, &refusal(code, rpc_status, message, field));
            assert_eq!(error.disposition(), expected, "{why}");
            assert_eq!(error.reason(), code.unwrap_or(rpc_status), "{why}: the word is kept");
        }
    }

    #[test]
    fn a_wait_that_google_names_counts() {
        let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, "30".parse().unwrap())]);
        for (status, code) in [(429, "QUOTA_EXCEEDED"), (503, "UNAVAILABLE")] {
            let body = refusal(Some(code), code, "", None).to_string();
            let error = classify(status, body.as_bytes(), &headers, Timestamp::UNIX_EPOCH).unwrap_err();
            let wait_min = Duration::from_secs(30);
            assert_eq!(error.disposition(), Disposition::Retry { wait_min }, "{code}");
        }
    }

    #[test]
    fn a_quota_brakes_the_device_or_all_as_its_details_say() {
        let failure = |subject: &str| json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"subject": subject, "description": "x"}]});
        let info = |limit: &str| {
            let metadata =
                json!({"quota_limit": limit, "consumer": "projects/1234", "service": "fcm.googleapis.com"});
            json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "metadata": metadata})
        };
        let fcm = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "QUOTA_EXCEEDED"});
        for (why, message, details, expected) in [
            ("the device", "", vec![failure("device:fGh-1")], ThrottleScope::Device),
            ("its token", "", vec![failure("token:fGh-1")], ThrottleScope::Device),
            ("the project", "", vec![failure("project:watchbell")], ThrottleScope::Provider),
            ("a project of that name", "", vec![failure("project:device-farm")], ThrottleScope::Provider),
            ("a topic, which is nobody of ours", "", vec![failure("topic:news")], ThrottleScope::Unnamed),
            (
                "the limit of a project",
                "",
                vec![info("SendRequestsPerMinutePerProject")],
                ThrottleScope::Provider,
            ),
            ("the limit of a device", "", vec![info("MessagesPerMinutePerDevice")], ThrottleScope::Device),
            ("both", "", vec![info("PerProject"), failure("device:fGh-1")], ThrottleScope::Device),
            ("the text alone says nothing", "Device message rate exceeded", vec![], ThrottleScope::Unnamed),
            ("nor does one of a project", "The project sends too much", vec![], ThrottleScope::Unnamed),
            (
                "another type of detail",
                "",
                vec![json!({"violations": [{"subject": "device:x"}]})],
                ThrottleScope::Unnamed,
            ),
            (
                "of another shape",
                "",
                vec![json!({"@type": "x/google.rpc.QuotaFailure", "violations": 7})],
                ThrottleScope::Unnamed,
            ),
        ] {
            let details: Vec<Value> = std::iter::once(fcm.clone()).chain(details).collect();
            let body = json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}});
            match answer(429, &body) {
                SendError::Throttled { scope, .. } => assert_eq!(scope, expected, "{why}"),
                other => panic!("{why}: {other:?}"),
            }
        }
    }

    #[test]
    fn bodies_that_are_not_googles_go_by_their_class() {
        for (why, status, body, code) in [
            ("a front end's page", 502, "<!DOCTYPE html><title>Error 502</title>", "unavailable"),
            ("half a body", 503, r#"{"error":{"code""#, "unavailable"),
            ("an error of another type", 400, r#"{"error":"invalid_grant"}"#, "rejected"),
            ("details of another type", 404, r#"{"error":{"details":{"errorCode":7}}}"#, "config_fault"),
            ("nothing", 500, "", "unavailable"),
        ] {
            let error =
                classify(status, body.as_bytes(), &HeaderMap::new(), Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!(error.code(), code, "{why}");
            assert_eq!(error.reason(), format!("HTTP {status}"), "{why}");
        }
    }

    #[test]
    fn what_google_quotes_is_not_repeated() {
        let message = "Invalid value at 'message.notification.body' (TYPE_STRING), \"c4nary5ecret\"";
        let error = answer(400, &refusal(Some("INVALID_ARGUMENT"), "INVALID_ARGUMENT", message, None));
        assert!(!format!("{error} {error:?}").contains("c4nary5ecret"));
    }

    #[test]
    fn accepted_carries_googles_name() {
        let body = br#"{"name":"projects/p/messages/0:1500415314455276%31bd1c9631bd1c96"}"#;
        let accepted = classify(200, body, &HeaderMap::new(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(accepted.provider_id.unwrap().starts_with("projects/p/messages/"));
    }
}
