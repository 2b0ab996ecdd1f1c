//! The push services of browsers, and the habits of each: one table.
//!
//! A browser names its own push service, so a service is known by the host of an endpoint. What every service has to do
//! stands in RFC 8030 and 8292; a row says where one is stricter, or answers in its own words. One that is not in the table is
//! taken at the standards' word.
//!
//! Sources: Apple's "Sending web push notifications in web apps and browsers"; Chromium's budget for silent pushes; Mozilla's
//! autopush; Microsoft's "Push notification service request and response headers". `docs/providers.md` has the table for people.

use reqwest::Url;

/// What becomes of a push that shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// The subscription ends after a few, without an error: none is sent.
    EndsSubscription,
    /// The browser counts them: it shows a notice of its own, or ends the subscription once there were too many. So our service worker
    /// shows something quiet in the place of what it takes away, and closes it again.
    IsCounted,
}

/// One push service.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::channel) struct BrowserService {
    /// Its name in logs.
    pub(super) name: &'static str,
    /// A host, or with a dot before it every host below.
    hosts: &'static [&'static str],
    pub(super) silence: Silence,
    /// Whether `Topic` is sent. Google makes a collapse key of it, of which it sends a browser 20 at once and then one in three
    /// minutes, so that an alert would wait.
    pub(super) takes_topic: bool,
    /// Whether its browsers show a declarative push by themselves, so that it has to be one whatever is cut for it.
    pub(super) is_declarative: bool,
    /// Whether `sub` has to name a host of the public internet.
    pub(super) needs_public_subject: bool,
    /// The status of "slow down" beside 429.
    pub(super) throttles_with: Option<u16>,
    /// Says, with 400, that the subscription was made with another key.
    pub(super) key_mismatch: Option<&'static str>,
    /// The header in which a push that was accepted is said to have been dropped or put off.
    pub(super) fate_header: Option<&'static str>,
}

const STANDARD: BrowserService = BrowserService {
    name: "another",
    hosts: &[],
    silence: Silence::IsCounted,
    takes_topic: true,
    is_declarative: false,
    needs_public_subject: false,
    throttles_with: None,
    key_mismatch: None,
    fate_header: None,
};

/// A push service that is in no row.
pub(super) static OTHER: BrowserService = STANDARD;

/// The services of today's browsers.
pub(in crate::channel) static SERVICES: [BrowserService; 4] = [
    // Chrome, and browsers made of Chromium.
    BrowserService { name: "fcm", hosts: &["fcm.googleapis.com"], takes_topic: false, ..STANDARD },
    // Mozilla's, which Firefox uses.
    BrowserService { name: "mozilla", hosts: &[".push.services.mozilla.com"], ..STANDARD },
    // Microsoft's, which Edge on Windows uses.
    BrowserService {
        name: "wns",
        hosts: &[".notify.windows.com"],
        throttles_with: Some(406),
        fate_header: Some("x-wns-notificationstatus"),
        ..STANDARD
    },
    // Apple's, which Safari uses.
    BrowserService {
        name: "apple",
        hosts: &["push.apple.com", ".push.apple.com"],
        silence: Silence::EndsSubscription,
        is_declarative: true,
        needs_public_subject: true,
        key_mismatch: Some("VapidPkHashMismatch"),
        ..STANDARD
    },
];

/// The push service at this address.
pub(in crate::channel) fn service_at(url: &Url) -> &'static BrowserService {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let is_at = |service: &&BrowserService| {
        service.hosts.iter().any(|named| match named.starts_with('.') {
            true => host.ends_with(named),
            false => host == *named,
        })
    };
    SERVICES.iter().find(is_at).unwrap_or(&OTHER)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_push_service_is_known_by_its_host() {
        for (why, endpoint, expected) in [
            ("Safari", "https://web.push.apple.com/QGVsbG8", "apple"),
            ("in capitals, as an older registration may have it", "https://WEB.Push.Apple.com/Q", "apple"),
            ("another of Apple's", "https://eu.web.push.apple.com/QGVsbG8", "apple"),
            ("with the root's dot", "https://web.push.apple.com./Q", "apple"),
            ("Chrome", "https://fcm.googleapis.com/fcm/send/a", "fcm"),
            ("Firefox", "https://updates.push.services.mozilla.com/wpush/v2/a", "mozilla"),
            ("Edge", "https://wns2-db5p.notify.windows.com/w/?token=a", "wns"),
            ("one's own", "https://push.example.org/a", "another"),
            ("a name that only ends like it", "https://notpush.apple.com.example.org/a", "another"),
            ("a name before it", "https://evilpush.apple.com/a", "another"),
            ("an address", "https://127.0.0.1/a", "another"),
        ] {
            assert_eq!(service_at(&Url::parse(endpoint).unwrap()).name, expected, "{why}");
        }
    }
}
