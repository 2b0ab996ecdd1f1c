//! What Twilio answers to a message: one pure function, and the table that specifies it.
//!
//! Sources: <https://www.twilio.com/docs/usage/twilios-response> (statuses), <https://www.twilio.com/docs/api/errors> (a page for
//! each code, such as `…/errors/21610`) and <https://www.twilio.com/docs/messaging/api/message-resource>. Codes of 30000 and above
//! are about messages that were accepted. Twilio posts them to a status callback, which we do not ask for.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http,
    sender::Accepted,
};

/// What is read of an answer, whether it is a message or a refusal. The rest may repeat the number.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseBody {
    sid: Option<String>,
    code: Option<u32>,
}

/// What an answer means. A code that is not known costs the message and never the number.
pub(in crate::channel) fn classify(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Accepted, SendError> {
    // What stands between us and Twilio may answer with a page; then the status alone counts.
    let answer: ResponseBody = serde_json::from_slice(body).unwrap_or_default();
    let retry_after = http::retry_after(headers, now);
    let code = answer.code.filter(|_| (400..=499).contains(&status));
    let reason = match code.map(|code| (code, meaning_of(code))) {
        Some((code, Some(meaning))) => format!("{code}: {meaning}"),
        Some((code, None)) => format!("code {code}, HTTP {status}"),
        None => format!("HTTP {status}"),
    };
    let throttled = |reason| SendError::Throttled { retry_after, scope: ThrottleScope::Provider, reason };
    Err(match (status, code) {
        // Only the body was lost: the message is Twilio's.
        (201, _) => return Ok(Accepted { provider_id: answer.sid }),
        (200..=299, _) if answer.sid.is_some() => return Ok(Accepted { provider_id: answer.sid }),
        (_, Some(21211 | 21610 | 21614)) => SendError::AddressRefused { reason },
        (_, Some(21408 | 21608 | 21612)) => SendError::Rejected { reason },
        // It may be that our number cannot write to this one only.
        (_, Some(21606)) => SendError::ConfigFault { blame: Blame::Device, reason },
        (429, _) | (_, Some(20429 | 21611)) => throttled(reason),
        // The token or the key, what the key may do, the account, or our sender.
        (401 | 403 | 404, _) | (_, Some(20003 | 21212 | 21601 | 21603 | 21661 | 21701 | 21705)) => {
            SendError::ConfigFault { blame: Blame::Everybody, reason }
        }
        (300..=499, _) => SendError::Rejected { reason },
        // 5xx, and a success that is not Twilio's.
        _ => SendError::Unavailable { retry_after, reason },
    })
}

/// What a code says, in our words.
fn meaning_of(code: u32) -> Option<&'static str> {
    Some(match code {
        20003 => "Twilio does not know the token or the key",
        20404 => "Twilio does not know the account",
        20429 => "the account makes too many requests at once",
        21211 => "it is not a phone number",
        21212 => "our sender is not valid",
        21408 => "the account may not send text messages to this country",
        21601 | 21661 => "our number cannot send text messages",
        21603 => "our sender is missing",
        21606 => "our sender cannot send to this number",
        21608 => "a trial account may write to verified numbers only",
        21610 => "the person wrote STOP",
        21611 => "too many messages of our number wait at Twilio",
        21612 => "our sender cannot reach this number",
        21614 => "the number does not take text messages",
        21701 | 21705 => "Twilio does not know the messaging service",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use reqwest::header::RETRY_AFTER;

    use super::*;
    use crate::channel::Disposition;

    const DROP: Disposition = Disposition::DropMessage;
    const RETRY: Disposition = Disposition::Retry { wait_min: Duration::from_secs(7) };
    const FAULT: Disposition = Disposition::ConfigFault;
    const SUPPRESS: Disposition = Disposition::SuppressAddress;

    fn read(status: u16, body: &str) -> Result<Accepted, SendError> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        classify(status, body.as_bytes(), &headers, Timestamp::UNIX_EPOCH)
    }

    /// Every row of the table.
    #[test]
    fn every_code_has_its_consequence() {
        for (status, code, expected, consequence) in [
            (400, 21610, "address_refused", SUPPRESS),
            (400, 21211, "address_refused", SUPPRESS),
            (400, 21614, "address_refused", SUPPRESS),
            (400, 21408, "rejected", DROP),
            (403, 21408, "rejected", DROP),
            (400, 21608, "rejected", DROP),
            (400, 21612, "rejected", DROP),
            (400, 21603, "config_fault", FAULT),
            (400, 21212, "config_fault", FAULT),
            (400, 21601, "config_fault", FAULT),
            (400, 21606, "config_fault", FAULT),
            (400, 21661, "config_fault", FAULT),
            (404, 21701, "config_fault", FAULT),
            (400, 21705, "config_fault", FAULT),
            (401, 20003, "config_fault", FAULT),
            (403, 20003, "config_fault", FAULT),
            (404, 20404, "config_fault", FAULT),
            (429, 20429, "throttled", RETRY),
            (429, 21611, "throttled", RETRY),
            (400, 21611, "throttled", RETRY),
            (400, 21617, "rejected", DROP),
            (400, 30003, "rejected", DROP),
            (400, 30007, "rejected", DROP),
            (500, 20500, "unavailable", RETRY),
            (503, 21610, "unavailable", RETRY),
        ] {
            let error = read(status, &format!(r#"{{"code": {code}, "status": {status}}}"#)).unwrap_err();
            assert_eq!((error.code(), error.disposition()), (expected, consequence), "{status} {code}");
            assert_eq!(error.reason().contains(&code.to_string()), status < 500, "{error}");
        }
    }

    #[test]
    fn without_a_code_the_status_counts() {
        for (why, status, body, expected) in [
            ("a message", 201, r#"{"sid": "SM1", "status": "queued", "code": null}"#, Ok(Some("SM1"))),
            ("its body was lost", 201, "", Ok(None)),
            ("another success that is Twilio's", 200, r#"{"sid": "SM1"}"#, Ok(Some("SM1"))),
            ("a page that somebody else made", 200, "<html>", Err("unavailable")),
            ("nothing was done", 204, "", Err("unavailable")),
            ("a redirect", 302, "", Err("rejected")),
            ("a page of a front end", 400, "<html>", Err("rejected")),
            ("not signed in", 401, "", Err("config_fault")),
            ("another account", 404, "<html>", Err("config_fault")),
            ("too fast", 429, "<html>", Err("throttled")),
            ("down", 502, "<html>", Err("unavailable")),
        ] {
            let read = read(status, body).map_err(|error| error.code());
            let expected = expected.map(|id| Accepted { provider_id: id.map(str::to_owned) });
            assert_eq!(read, expected, "{why}");
        }
    }

    #[test]
    fn nothing_that_twilio_says_is_repeated_but_its_code() {
        let body = r#"{"code": 21211, "message": "The 'To' number +49 151 canary is not valid"}"#;
        assert_eq!(read(400, body).unwrap_err().reason(), "21211: it is not a phone number");
        let odd = read(400, r#"{"code": "21211"}"#).unwrap_err();
        assert_eq!(odd.reason(), "HTTP 400", "a code that is a text is none of Twilio's");
    }
}
