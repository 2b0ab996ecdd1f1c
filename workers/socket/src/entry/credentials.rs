//! What the headers of a request say about who sends it: the token, and the page that it comes from.

use axum::http::{HeaderMap, header};
use watchbell::domain::Secret;

/// The name of the cookie a team's page may keep the token in.
const COOKIE: &str = "watchbell_token";

/// The token of a request: as bearer, or as a cookie.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<Secret> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    bearer.or_else(|| cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)).map(Secret::from)
}

/// A page may connect when it is ours or named. No origin at all is not a page.
pub(crate) fn origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, host)| host);
    (own.is_some() && own == host) || allowed.iter().any(|allowed| allowed == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_foreign_page_may_not_connect() {
        let named = ["https://app.example.com".to_owned()];
        for (why, origin, allowed, expected) in [
            ("not a page", None, &[][..], true),
            ("our own page", Some("http://alerts.example.com:7700"), &[], true),
            ("a page that is named", Some("https://app.example.com"), &named[..], true),
            ("the same host, not encrypted", Some("http://app.example.com"), &named[..], false),
            ("another page", Some("https://evil.example"), &named[..], false),
            ("a file", Some("null"), &named[..], false),
        ] {
            let mut request = headers(&[(header::HOST, "alerts.example.com:7700")]);
            if let Some(origin) = origin {
                request.insert(header::ORIGIN, header::HeaderValue::from_static(origin));
            }
            assert_eq!(origin_is_allowed(&request, allowed), expected, "{why}");
        }
    }

    #[test]
    fn a_token_may_be_a_bearer_or_a_cookie() {
        for (why, request, expected) in [
            ("bearer", headers(&[(header::AUTHORIZATION, "Bearer abc")]), Some("abc")),
            ("cookie among others", headers(&[(header::COOKIE, "a=b; watchbell_token=abc")]), Some("abc")),
            ("neither", headers(&[(header::COOKIE, "a=b")]), None),
            ("basic is not a token", headers(&[(header::AUTHORIZATION, "Basic abc")]), None),
        ] {
            assert_eq!(token_of(&request), expected.map(Secret::from), "{why}");
        }
    }
}
