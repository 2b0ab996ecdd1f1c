//! What receivers of webhooks answer: one pure function, and the table that specifies it.
//!
//! Sources: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Deliverability and
//! reliability" (2xx is success, 410 ends it, 429 and 503 slow down, a redirect is a failure); RFC 9110, section 15.

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http,
};

/// What a status means. `is_ours`: the address is one of the configuration, not one that was given for the person, so
/// that an operator has to mend it and nobody's address is to be forgotten.
pub(in crate::channel) fn classify(
    status: u16,
    headers: &HeaderMap,
    is_ours: bool,
    now: Timestamp,
) -> Result<(), SendError> {
    let reason = format!("HTTP {status}");
    let retry_after = http::retry_after(headers, now);
    Err(match status {
        200..=299 => return Ok(()),
        410 if is_ours => SendError::ConfigFault { blame: Blame::Device, reason },
        410 => SendError::AddressRefused { reason },
        // The receiver does not say of whom.
        429 => SendError::Throttled { retry_after, scope: ThrottleScope::Unnamed, reason },
        300..=399 => SendError::Rejected { reason: format!("{reason}: a redirect is not followed") },
        400..=499 => SendError::Rejected { reason },
        _ => SendError::Unavailable { retry_after, reason },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use reqwest::header::RETRY_AFTER;

    use super::*;
    use crate::channel::Disposition;

    /// Every row of the table, and what follows from it.
    #[test]
    fn every_status_has_its_consequence() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let retry = Disposition::Retry { wait_min: Duration::from_secs(7) };
        for (why, status, is_ours, code, expected) in [
            ("gone", 410, false, "address_refused", Disposition::SuppressAddress),
            ("gone, and we configured it", 410, true, "config_fault", Disposition::ConfigFault),
            ("too many", 429, false, "throttled", retry),
            ("moved", 301, false, "rejected", Disposition::DropMessage),
            ("elsewhere for now", 307, false, "rejected", Disposition::DropMessage),
            ("malformed", 400, false, "rejected", Disposition::DropMessage),
            ("the signature is not taken", 401, false, "rejected", Disposition::DropMessage),
            ("nothing is there yet", 404, false, "rejected", Disposition::DropMessage),
            ("theirs", 500, false, "unavailable", retry),
            ("overloaded", 503, true, "unavailable", retry),
            ("no status that there is", 700, false, "unavailable", retry),
        ] {
            let error = classify(status, &headers, is_ours, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!((error.code(), error.disposition()), (code, expected), "{why}");
            assert!(error.reason().starts_with(&format!("HTTP {status}")), "{why}: {error}");
        }
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(classify(status, &headers, false, Timestamp::UNIX_EPOCH), Ok(()), "{status}");
        }
    }
}
