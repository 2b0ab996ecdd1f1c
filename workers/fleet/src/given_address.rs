//! Addresses that are given on the command line: refused at once where nothing could ever answer at them.

use reqwest::Url;

/// The path of a session.
const SESSION_PATH: &str = "/v1/ws";

/// A fleet's address, without the slash at its end.
///
/// # Errors
/// It is not of HTTP, or has more than a host and a path.
pub(crate) fn fleet_address(text: &str) -> Result<String, String> {
    match web_address(text) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => {
            Err("write an address such as http://host:7700, without what follows a `?` or a `#`".to_owned())
        }
    }
}

/// The same, which may also be that of a WebSocket.
///
/// # Errors
/// It is of neither, or has more than a host and a path.
pub(crate) fn session_address(text: &str) -> Result<String, String> {
    match given(text, &["http", "https", "ws", "wss"]) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err(
            "write an address such as http://host:7700 or ws://host:7700, without what follows a `?` or a `#`".to_owned()
        ),
    }
}

/// An address of HTTP with a host, and with no more than a path besides.
pub(crate) fn web_address(text: &str) -> Option<Url> {
    given(text, &["http", "https"])
}

fn given(text: &str, schemes: &[&str]) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_whole = schemes.contains(&url.scheme()) && url.has_host();
    (is_whole && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

/// Where sessions are opened at an address of a fleet.
pub(crate) fn session_url(address: &str) -> String {
    let address = address.trim_end_matches('/');
    let url = match address.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => address.to_owned(),
    };
    if url.ends_with(SESSION_PATH) { url } else { format!("{url}{SESSION_PATH}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_answers_at_is_refused() {
        for (why, text, fleet, session) in [
            ("plain", "http://host:7700", Some("http://host:7700"), Some("http://host:7700")),
            (
                "below a path",
                "https://host/alerts/",
                Some("https://host/alerts"),
                Some("https://host/alerts"),
            ),
            ("of a session", "ws://host:7700", None, Some("ws://host:7700")),
            ("of an encrypted session", "wss://host/v1/ws", None, Some("wss://host/v1/ws")),
            ("capital letters", "HTTP://Host:7700", Some("http://host:7700"), Some("http://host:7700")),
            ("of something else", "ftp://host", None, None),
            ("without a scheme", "host:7700", None, None),
            ("without a host", "http://", None, None),
            ("a path", "/v1/alerts", None, None),
            ("the page of `up`", "http://127.0.0.1:7700/#key=x", None, None),
            ("with a query", "http://host/?a=b", None, None),
            ("nothing", "", None, None),
        ] {
            assert_eq!(fleet_address(text).ok().as_deref(), fleet, "{why}");
            assert_eq!(session_address(text).ok().as_deref(), session, "{why}");
        }
    }

    #[test]
    fn a_session_is_opened_at_whatever_address_was_given() {
        for (why, given, expected) in [
            ("the fleet's address", "http://host:7700", "ws://host:7700/v1/ws"),
            ("encrypted", "https://host/", "wss://host/v1/ws"),
            ("a pod's", "ws://pod:7700", "ws://pod:7700/v1/ws"),
            ("whole", "ws://pod:7700/v1/ws", "ws://pod:7700/v1/ws"),
            ("a host that is called so", "ws://http.example", "ws://http.example/v1/ws"),
        ] {
            assert_eq!(session_url(given), expected, "{why}");
        }
    }
}
