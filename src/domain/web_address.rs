//! A web address that somebody gives to be called: `http` or `https`, one host, and no part that does not reach it.
//!
//! What holds here:
//! - What is taken is a plain ASCII address, so that it means the same to whoever reads it next.
//! - There is no name or password in it, which proxies and logs would repeat, and no fragment, which is never sent.
//! - An address is never repeated in a refusal (I12).
//!
//! Elsewhere: whether it may lead into a private network is decided where it is called, because a name's addresses change.

use super::Secret;

/// The longest one, in bytes.
pub const WEB_ADDRESS_BYTES_MAX: usize = 2048;

/// The longest address that people are led to, in bytes.
pub const LINK_BYTES_MAX: usize = 2_048;

/// Whether a text is an address that people can be led to: http or https, of at most [`LINK_BYTES_MAX`] bytes. It is opened
/// by whoever reads it and called by nobody here, so it may be in any script.
pub fn is_link(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web && text.len() <= LINK_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Why a text is no web address, and what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an address such as https://example.com/alerts, of at most 2048 ASCII characters, without a password and a #"
)]
pub struct InvalidWebAddress;

/// An address as it was given.
///
/// # Errors
/// [`InvalidWebAddress`] says what is accepted.
pub fn web_address(text: &str) -> Result<Secret, InvalidWebAddress> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.filter(|_| text.len() <= WEB_ADDRESS_BYTES_MAX).ok_or(InvalidWebAddress)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // The colons of an IPv6 address are within its brackets.
    let host_ends = authority.rfind(']').map(|bracket| bracket + 1).or_else(|| authority.find(':'));
    let (host, port) = authority.split_at(host_ends.unwrap_or(authority.len()));
    match is_host(host) && is_port(port) && path.bytes().all(may_be_in_path) {
        true => Ok(Secret::from(text)),
        false => Err(InvalidWebAddress),
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let (inside, allowed): (_, fn(u8) -> bool) =
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inside) => (inside, |byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            None => (host, |byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
        };
    !inside.is_empty() && inside.bytes().all(allowed)
}

/// Nothing, or a colon and up to five digits.
fn is_port(port: &str) -> bool {
    let is_number =
        |digits: &str| (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    port.is_empty() || port.strip_prefix(':').is_some_and(is_number)
}

/// The characters of RFC 3986 but for `#`.
fn may_be_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_can_be_called() {
        for (why, text, good) in [
            ("the usual one", "https://example.com/alerts?key=1", true),
            ("no path", "https://example.com", true),
            ("a query at once", "https://example.com?key=1", true),
            ("a port", "http://localhost:8080/x", true),
            ("an address of numbers", "https://[2001:db8::1]:8443/", true),
            ("an address without a port", "https://[2001:db8::1]", true),
            ("another protocol", "ftp://example.com/", false),
            ("no protocol", "example.com/alerts", false),
            ("no host", "https:///alerts", false),
            ("only a port", "https://:80/", false),
            ("nothing after the colon", "https://example.com:/", false),
            ("a port of letters", "https://example.com:http/", false),
            ("a password", "https://ana:canary@example.com/", false),
            ("a fragment", "https://example.com/#top", false),
            ("a blank", "https://example.com/a b", false),
            ("a line break", "https://example.com/\r\nX: y", false),
            ("letters beyond ASCII", "https://exämple.com/", false),
            ("the same, where a port would be", "https://ä:80/", false),
            ("an open bracket", "https://[::1/", false),
            ("nothing", "", false),
        ] {
            assert_eq!(web_address(text).is_ok(), good, "{why}");
        }
        let of = |bytes: usize| format!("https://example.com/{}", "a".repeat(bytes - 20));
        assert!(web_address(&of(WEB_ADDRESS_BYTES_MAX)).is_ok());
        let refused = web_address(&of(WEB_ADDRESS_BYTES_MAX + 1)).map_err(|why| why.to_string());
        assert!(refused.is_err_and(|why| !why.contains("aaa")));
    }
}
