//! The push services of browsers, told apart by the host that a request names, each with its own words.
//!
//! The simulator's certificate covers a host of each, so that a sender which is told where that host is meets it. Written from the
//! vendors' pages and not from Watchbell's table, so that the two can differ.

use axum::http::StatusCode;

/// A push service that has words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Google,
    Mozilla,
    Microsoft,
    Apple,
    /// One at the standards' word.
    Other,
}

/// Vendors' hosts that the certificate covers.
pub(crate) const HOSTS: [&str; 4] = [
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "wns2-db5p.notify.windows.com",
    "web.push.apple.com",
];

impl Service {
    pub(crate) fn at(host: &str) -> Self {
        let ends = |end: &str| host.ends_with(end);
        match host {
            "fcm.googleapis.com" => Self::Google,
            _ if ends(".push.services.mozilla.com") => Self::Mozilla,
            _ if ends(".notify.windows.com") => Self::Microsoft,
            _ if ends(".push.apple.com") => Self::Apple,
            _ => Self::Other,
        }
    }

    /// The answer to a sender with another key than the browser subscribed with.
    pub(crate) fn other_key(self) -> (StatusCode, &'static str) {
        match self {
            Self::Mozilla => (StatusCode::UNAUTHORIZED, "VAPID public key mismatch"),
            Self::Apple => (StatusCode::BAD_REQUEST, "VapidPkHashMismatch"),
            Self::Google | Self::Microsoft | Self::Other => (StatusCode::FORBIDDEN, "VapidPkHashMismatch"),
        }
    }

    /// Whether it takes somebody to write to. Apple wants a host of the public internet.
    pub(crate) fn takes_contact(self, sub: &str) -> bool {
        let host =
            sub.strip_prefix("mailto:").and_then(|address| address.rsplit_once('@')).map(|(_, host)| host);
        let host = host.or_else(|| sub.strip_prefix("https://")?.split(['/', ':']).next());
        host.is_some_and(|host| self != Self::Apple || (host.contains('.') && !host.ends_with(".local")))
    }
}
