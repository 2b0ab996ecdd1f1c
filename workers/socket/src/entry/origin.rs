//! Which web pages may use what a browser lets them send: sessions and the user's HTTP API.
//!
//! A browser sends the cookie with the requests of any page, some of which CORS does not ask about, and it asks nobody
//! before a WebSocket. So every request that names a page (`Origin`) is held to the list here, before anything else.
//!
//! What holds here:
//! - Our own page is one of our own scheme, host and port. `http://` of a host that is reached by `https://` is foreign:
//!   whoever is on the way can answer for it, and cookies are sent to both.
//! - The scheme is that of `http.public_url` for its host, else what a trusted proxy says (`X-Forwarded-Proto`), else
//!   `http`, which is what we speak.
//! - A page of `http.public_url` is ours, also behind a proxy that changes the host.
//! - No `Origin` at all is not a page, and needs a token like any other.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::warn;
use watchbell::{
    runtime::{
        Clock,
        http::{ClientScheme, Host},
        log_limit::LogLimit,
    },
    wire::Problem,
};

/// Characters of a refused origin that are logged.
const LOGGED_CHARS_MAX: usize = 100;

/// A page's origin (RFC 6454): a scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
    /// None: the usual one of the scheme.
    port: Option<u16>,
}

impl Origin {
    fn new(scheme: &str, authority: &str) -> Option<Self> {
        let host = Host::of(authority)?;
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
        let port = after_host.split_once(':').map(|(_, port)| port).filter(|port| !port.is_empty());
        // Beyond 65,535 it is none.
        let port = port.map(str::parse).transpose().ok()?;
        let usual = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self { scheme: scheme.to_owned(), host, port: port.filter(|port| Some(*port) != usual) })
    }

    /// Of an origin as browsers send it, or of an address.
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        Self::new(scheme, rest.split_once('/').map_or(rest, |(authority, _)| authority))
    }
}

/// The pages that may connect.
#[derive(Debug, Clone)]
pub(crate) struct AllowedOrigins {
    named: Arc<[String]>,
    public: Option<Origin>,
}

impl AllowedOrigins {
    /// Those of `socket.allowed_origins` besides our own, which `http.public_url` says more about.
    pub(crate) fn new(named: &[String], public_url: Option<&str>) -> Self {
        Self { named: named.into(), public: public_url.and_then(Origin::of) }
    }

    /// Whether the page that sends this, if it is one, may connect. Of several origins each has to be one that may.
    pub(crate) fn allow(&self, headers: &HeaderMap, scheme: ClientScheme) -> bool {
        headers
            .get_all(header::ORIGIN)
            .iter()
            .all(|origin| origin.to_str().is_ok_and(|origin| self.allow_page(origin, headers, scheme)))
    }

    fn allow_page(&self, origin: &str, headers: &HeaderMap, scheme: ClientScheme) -> bool {
        if self.named.iter().any(|named| named == origin) {
            return true;
        }
        // A browser sends nothing after the port.
        let Some(page) = Origin::of(origin).filter(|_| origin.matches('/').count() == 2) else {
            return false;
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = host.and_then(|authority| self.own(authority, scheme));
        own.as_ref() == Some(&page) || self.public.as_ref() == Some(&page)
    }

    /// The origin of our own pages for a request to this authority.
    fn own(&self, authority: &str, scheme: ClientScheme) -> Option<Origin> {
        let host = Host::of(authority)?;
        let public = self.public.as_ref().filter(|public| public.host == host);
        Origin::new(public.map_or(scheme.word(), |public| &public.scheme), authority)
    }
}

/// Turns away foreign pages, and tells the operator.
pub(crate) struct OriginCheck {
    pub(crate) allowed: AllowedOrigins,
    pub(crate) clock: Clock,
    pub(crate) refusals: LogLimit,
}

/// The layer before every route that a user's credentials open.
pub(crate) async fn refuse_foreign_pages(
    State(check): State<Arc<OriginCheck>>,
    request: Request,
    next: Next,
) -> Response {
    let scheme = request.extensions().get::<ClientScheme>().copied().unwrap_or_default();
    match check.allowed.allow(request.headers(), scheme) {
        true => next.run(request).await,
        false => check.refuse(request.headers()),
    }
}

impl OriginCheck {
    fn refuse(&self, headers: &HeaderMap) -> Response {
        metrics::counter!("watchbell_socket_refused_total", "reason" => "origin").increment(1);
        if let Some(left_out) = self.refusals.admit(self.clock.now()) {
            let origin =
                headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
            let origin: String = origin.chars().take(LOGGED_CHARS_MAX).collect();
            warn!(
                ?origin,
                left_out,
                "A page of another origin was refused. If {origin:?} is yours, add it to socket.allowed_origins; if it is our own page behind a proxy that ends TLS, set http.public_url or http.trusted_proxies"
            );
        }
        Problem::forbidden("this page's origin is not in socket.allowed_origins").into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const HTTP: ClientScheme = ClientScheme::Http;
    const HTTPS: ClientScheme = ClientScheme::Https;
    const PUBLIC: Option<&str> = Some("https://alerts.example.com/inbox");

    fn allows(public: Option<&str>, scheme: ClientScheme, host: &'static str, origin: &'static str) -> bool {
        let named = ["https://app.example.com".to_owned(), "capacitor://localhost".to_owned()];
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(header::HOST, HeaderValue::from_static(host));
        }
        if !origin.is_empty() {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        AllowedOrigins::new(&named, public).allow(&headers, scheme)
    }

    #[test]
    fn a_foreign_page_may_not_connect() {
        for (why, host, origin, expected) in [
            ("not a page", "a.example:7700", "", true),
            ("our own page", "a.example:7700", "http://a.example:7700", true),
            ("the usual port is left out", "a.example:80", "http://a.example", true),
            ("hosts are not told apart by case", "A.example", "http://a.example", true),
            ("IPv6", "[::1]:7700", "http://[::1]:7700", true),
            ("another port of IPv6", "[::1]:7700", "http://[::1]:7701", false),
            ("a page that is named", "a.example:7700", "https://app.example.com", true),
            ("an app that is named", "a.example:7700", "capacitor://localhost", true),
            ("the same host, not encrypted", "a.example:7700", "http://app.example.com", false),
            ("another page", "a.example:7700", "https://evil.example", false),
            ("another port", "a.example:7700", "http://a.example:3000", false),
            ("below our host", "a.example:7700", "http://b.a.example:7700", false),
            ("our host as a user", "a.example:7700", "http://a.example:7700@evil.example", false),
            ("a file", "a.example:7700", "null", false),
            ("a file of our host", "a.example:7700", "file://a.example:7700", false),
            ("a scheme of nobody's", "a.example:7700", "x://a.example:7700", false),
            ("a path", "a.example:7700", "http://a.example:7700/x", false),
            ("a port that is none", "a.example", "http://a.example:99999", false),
            ("and the same one of ours", "a.example:99999", "http://a.example:99999", false),
            ("no host to compare with", "", "http://a.example:7700", false),
            ("a host that is none", "a b", "http://a b", false),
        ] {
            assert_eq!(allows(None, HTTP, host, origin), expected, "{why}: {origin} at {host}");
        }
    }

    #[test]
    fn each_of_several_origins_has_to_be_one_that_may_connect() {
        const OWN: &str = "http://a.example";
        let allowed = AllowedOrigins::new(&[], None);
        for (why, origins, expected) in [
            ("our own", &[OWN][..], true),
            ("our own twice", &[OWN, OWN], true),
            ("another's after our own", &[OWN, "http://evil.example"], false),
            ("another's before our own", &["http://evil.example", OWN], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("a.example"));
            for origin in origins {
                headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(allowed.allow(&headers, HTTP), expected, "{why}");
        }
    }

    #[test]
    fn our_own_scheme_is_the_one_that_we_are_reached_by() {
        for (why, public, scheme, host, origin, expected) in [
            ("plain HTTP", None, HTTP, "a.example", "http://a.example", true),
            ("nobody says that TLS ends before us", None, HTTP, "a.example", "https://a.example", false),
            ("a proxy says so", None, HTTPS, "a.example", "https://a.example", true),
            ("then plain HTTP is another page", None, HTTPS, "a.example", "http://a.example", false),
            ("the public address", PUBLIC, HTTP, "alerts.example.com", "https://alerts.example.com", true),
            ("its twin", PUBLIC, HTTP, "alerts.example.com", "http://alerts.example.com", false),
            (
                "its twin on another port",
                PUBLIC,
                HTTP,
                "alerts.example.com:81",
                "http://alerts.example.com:81",
                false,
            ),
            (
                "it goes before an inner proxy's word",
                PUBLIC,
                HTTP,
                "alerts.example.com",
                "https://alerts.example.com",
                true,
            ),
            ("the proxy changes the host", PUBLIC, HTTP, "socket-1:7700", "https://alerts.example.com", true),
            ("and its twin", PUBLIC, HTTP, "socket-1:7700", "http://alerts.example.com", false),
            ("past the proxy, without TLS", PUBLIC, HTTP, "127.0.0.1:7700", "http://127.0.0.1:7700", true),
        ] {
            assert_eq!(allows(public, scheme, host, origin), expected, "{why}");
        }
    }
}
