//! Checks that several sections need. Each names the key and says what is accepted, and none repeats the value.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use anyhow::ensure;
use axum::http::Uri;

use super::values::written_duration;
use crate::runtime::http::Host;

/// A value with a least and a most: durations and counts.
pub trait Bounded: PartialOrd + Copy {
    /// As an operator writes it.
    fn written(self) -> String;
}

impl Bounded for Duration {
    fn written(self) -> String {
        written_duration(self)
    }
}

macro_rules! counts {
    ($($number:ty),+) => {$(
        impl Bounded for $number {
            fn written(self) -> String {
                self.to_string()
            }
        }
    )+};
}

counts!(u16, u32, u64, usize);

/// Refuses what is less or more than the bounds say.
///
/// # Errors
/// Names the key and the bound that does not hold.
pub fn within<T: Bounded>(key: impl Display, value: T, bounds: RangeInclusive<T>) -> anyhow::Result<()> {
    let (least, most) = bounds.into_inner();
    ensure!(value >= least, "{key} must be at least {}", least.written());
    ensure!(value <= most, "{key} must be at most {}", most.written());
    Ok(())
}

/// Refuses what is no address of a web page: links are made from it.
///
/// # Errors
/// Names the key.
pub fn web_address(key: impl Display, text: &str) -> anyhow::Result<()> {
    let remedy = "must be an address with its scheme, such as https://alerts.example.com";
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let is_whole =
        uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none());
    ensure!(is_whole && !text.contains('#'), "{key} {remedy}");
    Ok(())
}

/// Refuses what no client sends as `Host`: it would never match.
///
/// # Errors
/// Names the key and says what is too much or too little.
pub fn host_name(key: impl Display, text: &str) -> anyhow::Result<()> {
    ensure!(!text.contains('*'), "{key} must name each host: * is not among them");
    ensure!(!text.contains("://"), "{key} must be a host without a scheme, such as alerts.example.com");
    ensure!(
        text.is_ascii(),
        "{key} must be written as clients send it, which is in punycode: xn--bcher-kva.example"
    );
    // An address of IPv6 has its colons in brackets.
    let has_port = text.rsplit_once(']').map_or(text, |(_, after)| after).contains(':');
    ensure!(!has_port, "{key} must be a host without a port, such as alerts.example.com or [2001:db8::1]");
    ensure!(
        Host::of(text).is_some(),
        "{key} must be a host without anything after it, such as alerts.example.com"
    );
    Ok(())
}

/// Refuses what no browser sends as `Origin`: it would never match.
///
/// # Errors
/// Names the key and says what is too much or too little.
pub fn origin(key: impl Display, text: &str) -> anyhow::Result<()> {
    ensure!(text != "*", "{key} must name each origin: * is not among them");
    let remedy =
        "must be an origin, a scheme and a host without anything after it, such as https://app.example.com";
    let Some((scheme, host)) = text.split_once("://") else { anyhow::bail!("{key} {remedy}") };
    let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_host = host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*,".contains(&b));
    ensure!(!scheme.is_empty() && !host.is_empty() && is_scheme && is_host, "{key} {remedy}");
    ensure!(
        !text.bytes().any(|b| b.is_ascii_uppercase()),
        "{key} must be in small letters, as browsers send it"
    );
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Ok(()),
    };
    ensure!(
        !host.ends_with(default_port),
        "{key} must not end with {default_port}: browsers leave the usual port out"
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_named_as_they_are_written() {
        let said = |value: Duration| {
            within("a.b", value, Duration::from_millis(100)..=Duration::from_secs(300))
                .map_err(|e| e.to_string())
        };
        assert_eq!(said(Duration::from_millis(100)), Ok(()));
        assert_eq!(said(Duration::from_secs(300)), Ok(()));
        assert_eq!(said(Duration::ZERO), Err("a.b must be at least 100ms".into()));
        assert_eq!(said(Duration::from_secs(301)), Err("a.b must be at most 5m".into()));
        assert_eq!(within("a.b", 0_u32, 1..=9).unwrap_err().to_string(), "a.b must be at least 1");
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (text, remedy) in [
            ("https://app.example.com", None),
            ("http://localhost:3000", None),
            ("http://[::1]:3000", None),
            ("capacitor://localhost", None),
            ("https://app.example.com/", Some("without anything after it")),
            ("https://app.example.com/inbox", Some("without anything after it")),
            ("https://app.example.com?x", Some("without anything after it")),
            ("app.example.com", Some("such as https://app.example.com")),
            ("https://", Some("such as https://app.example.com")),
            ("://app", Some("such as https://app.example.com")),
            ("https://*.example.com", Some("such as https://app.example.com")),
            ("*", Some("must name each origin")),
            ("null", Some("such as https://app.example.com")),
            ("", Some("such as https://app.example.com")),
            ("https://App.example.com", Some("small letters")),
            ("https://app.example.com:443", Some("must not end with :443")),
            ("http://app.example.com:80", Some("must not end with :80")),
            ("http://app.example.com:443", None),
        ] {
            let said = origin("socket.allowed_origins", text).err().map(|error| error.to_string());
            match (said, remedy) {
                (None, None) => {}
                (Some(said), Some(remedy)) if said.contains(remedy) => {}
                (said, _) => panic!("{text}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_host_is_what_clients_send() {
        for (text, remedy) in [
            ("alerts.example.com", None),
            ("Alerts.example.com.", None),
            ("socket-1", None),
            ("192.0.2.7", None),
            ("[2001:db8::1]", None),
            ("xn--bcher-kva.example", None),
            ("https://alerts.example.com", Some("without a scheme")),
            ("alerts.example.com:443", Some("without a port")),
            ("[2001:db8::1]:443", Some("without a port")),
            ("2001:db8::1", Some("[2001:db8::1]")),
            ("alerts.example.com/", Some("without anything after it")),
            ("ana@alerts.example.com", Some("without anything after it")),
            ("*", Some("must name each host")),
            ("*.example.com", Some("must name each host")),
            ("b\u{fc}cher.example", Some("punycode")),
            ("two words", Some("such as alerts.example.com")),
            ("", Some("such as alerts.example.com")),
        ] {
            let said = host_name("http.allowed_hosts", text).err().map(|error| error.to_string());
            match (said, remedy) {
                (None, None) => {}
                (Some(said), Some(remedy)) if said.contains(remedy) => {}
                (said, _) => panic!("{text}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_web_address_has_a_scheme_and_a_host() {
        for (text, is_one) in [
            ("https://alerts.example.com", true),
            ("http://127.0.0.1:7700", true),
            ("https://example.com/alerts/", true),
            ("alerts.example.com", false),
            ("//alerts.example.com", false),
            ("ftp://alerts.example.com", false),
            ("https://", false),
            ("https://example.com?x=1", false),
            ("https://example.com#x", false),
            ("https://two words", false),
            ("", false),
        ] {
            assert_eq!(web_address("http.public_url", text).is_ok(), is_one, "{text}");
        }
    }
}
