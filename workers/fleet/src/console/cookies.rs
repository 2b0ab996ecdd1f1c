//! The console's cookies: the half of a session, and of a sign-in that was begun.
//!
//! What holds here:
//! - No script reads one (`HttpOnly`), and no request that another site caused has one (`SameSite=Strict`).
//! - Over TLS a cookie is `Secure` and its name begins with `__Host-`, so that no other host of the same domain, and nobody in the clear,
//!   puts another one in its place (RFC 6265bis, section 4.1.3.2). Such a cookie is for all paths; in the clear it is for `/console` alone.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use watchbell::wire::Problem;

/// One half of a session.
pub(super) const SESSION: Cookie = Cookie { name: "watchbell_console" };
/// That a sign-in was begun in this browser.
pub(super) const OIDC: Cookie = Cookie { name: "watchbell_console_oidc" };

const HOST_PREFIX: &str = "__Host-";

/// A cookie of ours.
pub(super) struct Cookie {
    name: &'static str,
}

impl Cookie {
    /// Has the browser keep it; with no age, has it forget it.
    ///
    /// # Errors
    /// The value cannot stand in a header.
    pub(super) fn set(&self, value: &str, age: Duration, is_https: bool) -> Result<HeaderValue, Problem> {
        let Self { name } = self;
        let age_s = age.as_secs();
        let rest = format!("Max-Age={age_s}; HttpOnly; SameSite=Strict");
        let text = match is_https {
            true => format!("{HOST_PREFIX}{name}={value}; Path=/; {rest}; Secure"),
            false => format!("{name}={value}; Path=/console; {rest}"),
        };
        HeaderValue::try_from(text).map_err(|_| Problem::internal("The cookie could not be written."))
    }

    /// What the browser shows. The one that only we can have set comes first.
    pub(super) fn of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let found = |is_ours: &dyn Fn(&str) -> bool| {
            let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
            let mut pairs =
                lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(name, _)| is_ours(name)).map(|(_, value)| value)
        };
        let hosts = found(&|name| name.strip_prefix(HOST_PREFIX) == Some(self.name));
        hosts.or_else(|| found(&|name| name == self.name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_is_bound_to_its_host_over_tls() {
        for (line, expected) in [
            ("watchbell_console=a", Some("a")),
            ("other=1; watchbell_console=a; more=2", Some("a")),
            ("watchbell_console=b; __Host-watchbell_console=a", Some("a")),
            ("watchbell_console_oidc=a", None),
            ("xwatchbell_console=a", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
            assert_eq!(SESSION.of(&headers), expected, "{line}");
        }
        let day = Duration::from_secs(86_400);
        assert_eq!(
            SESSION.set("a", day, false).unwrap(),
            "watchbell_console=a; Path=/console; Max-Age=86400; HttpOnly; SameSite=Strict"
        );
        assert_eq!(
            SESSION.set("a", day, true).unwrap(),
            "__Host-watchbell_console=a; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure"
        );
    }
}
