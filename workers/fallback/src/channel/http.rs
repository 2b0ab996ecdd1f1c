//! The HTTP client that the channels share: one exchange, bounded in time and size.

use std::{error::Error as _, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Certificate, Client, Identity, RequestBuilder, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use watchbell::domain::Secret;

use super::{
    error::{SendError, SetupError},
    public_only::PublicOnly,
};

/// An answer is an id or a short JSON text; more than this is not read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The longest wait we accept from a provider: after an hour a push is given up anyway.
/// <https://firebase.google.com/docs/cloud-messaging/scale-fcm>
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// How long one connection may take to open; the whole exchange has its own bound.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// How often an idle HTTP/2 connection is asked whether it is alive, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections kept to one host whose protocol is negotiated.
const IDLE_PER_HOST_MAX: usize = 4;

/// Which HTTP a client speaks. It is known beforehand, because a client that waits for ALPN opens a
/// connection for every request that waits with it (hyperium/hyper#1485).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    /// Whatever the host offers: browsers name hosts that we know nothing of.
    Negotiated,
}

/// How one provider is called.
pub(crate) struct Calls<'a> {
    pub protocol: Protocol,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    /// Trusted besides the system's roots.
    pub trust_root_pem: Option<&'a str>,
    /// A certificate and its key, to be known by.
    pub identity_pem: Option<&'a Secret>,
    /// Names that lead to private networks are not followed.
    pub resolver: Option<Arc<PublicOnly>>,
    /// Hosts whose addresses are not looked up.
    pub stand_ins: &'a [(String, SocketAddr)],
}

/// An HTTP client for one provider.
pub(crate) fn client(calls: Calls<'_>) -> Result<Client, SetupError> {
    let Calls { protocol, timeout, trust_root_pem, identity_pem, resolver, stand_ins } = calls;
    let builder = Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        // A redirect would carry the token to somewhere else.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false);
    let builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Negotiated => builder
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX),
        // An idle connection is kept: Apple takes frequent reconnecting for an attack.
        Protocol::Http2 => builder
            .http2_prior_knowledge()
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(None),
    };
    let roots = match trust_root_pem {
        None => Vec::new(),
        Some(pem) => match Certificate::from_pem_bundle(pem.as_bytes()) {
            Ok(roots) if !roots.is_empty() => roots,
            _ => return Err(SetupError::TrustRoot),
        },
    };
    let builder = match identity_pem {
        None => builder,
        Some(pem) => builder.identity(
            Identity::from_pem(pem.expose().as_bytes()).map_err(|_| SetupError::ClientCertificate)?,
        ),
    };
    let builder = match resolver {
        None => builder,
        Some(resolver) => builder.dns_resolver(resolver).no_proxy(),
    };
    let builder = stand_ins.iter().fold(builder, |builder, (host, at)| builder.resolve(host, *at));
    let built = builder.tls_certs_merge(roots).build();
    built.map_err(|error| SetupError::Client(innermost(&error)))
}

/// `text` as an origin, `setting` being its name for the error.
pub(super) fn origin(text: &str, setting: &'static str) -> Result<Url, SetupError> {
    let url = Url::parse(text).map_err(|_| SetupError::Endpoint(setting))?;
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    match url.scheme() {
        "http" | "https" if bare && url.has_host() => Ok(url),
        _ => Err(SetupError::Endpoint(setting)),
    }
}

/// A provider's answer.
pub(crate) struct HttpAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends `request` and reads the answer.
///
/// # Errors
/// [`SendError::Unreachable`] when there was no status. When only the body is lost, the status counts.
pub(crate) async fn exchange(request: RequestBuilder) -> Result<HttpAnswer, SendError> {
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(HttpAnswer { status, headers, body })
}

/// `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3), at most [`RETRY_AFTER_MAX`].
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // So many digits that they do not fit mean "long".
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The text of a `reqwest` error shows the URL, which holds the token at Apple; so the kind and the
/// innermost cause are told, and nothing between.
fn unreachable(error: &reqwest::Error) -> SendError {
    let kind = if error.is_connect() {
        "could not connect"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    SendError::Unreachable { reason: format!("{kind}: {}", innermost(error)) }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no cause given".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (why, text, expected) in [
            ("seconds", "7", Some(7)),
            ("a date", "Sat, 21 Nov 2026 10:00:30 GMT", Some(30)),
            ("a date gone by means now", "Sat, 21 Nov 2026 09:59:00 GMT", Some(0)),
            ("never longer than an hour", "99999999999999999999999", Some(3_600)),
            ("nonsense is no advice", "soon", None),
            ("negative is nonsense", "-5", None),
            ("so is nothing", "", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{why}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn an_endpoint_is_an_origin() {
        for (text, good) in [
            ("https://api.push.apple.com", true),
            ("http://127.0.0.1:8443", true),
            ("https://example.org/path", false),
            ("https://user@example.org", false),
            ("ftp://example.org", false),
            ("example.org", false),
        ] {
            assert_eq!(origin(text, "endpoint").is_ok(), good, "{text}");
        }
    }
}
