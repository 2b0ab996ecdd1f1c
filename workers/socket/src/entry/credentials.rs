//! The token in the headers of a request.

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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value))).collect()
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
