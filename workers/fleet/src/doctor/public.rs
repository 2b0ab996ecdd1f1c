//! The address as clients see it, with everything that stands in between: whether WebSocket upgrades and server-sent events
//! come through, whether the origins that may connect do, and until when its certificate is good.
//!
//! What is seen is gathered first and judged by [`of_public`], which does nothing else.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::{Client, Url, header, tls::TlsInfo};
use tokio::time::timeout;
use watchbell::{domain::Secret, runtime::certificate};

use super::{
    advice,
    finding::{Finding, Verdict},
};
use crate::given_address::web_address;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A page that is nobody's (RFC 2606).
const FOREIGN_ORIGIN: &str = "https://watchbell-doctor.invalid";
/// Any key of 16 bytes does (RFC 6455, section 4.1): nothing is said on this connection.
const WEBSOCKET_KEY: &str = "d2F0Y2hiZWxsLWRvY3Rvcg==";

/// What was seen at the address.
#[derive(Debug, Clone)]
pub(super) struct PublicSeen {
    /// The answer to a request without a token, as a status; why there was none.
    pub(super) inbox: Result<u16, String>,
    /// Until when the certificate is good, when it is https.
    pub(super) certificate_end: Option<Timestamp>,
    /// The status of an upgrade without an origin, as programs ask for it.
    pub(super) upgrade: Result<u16, String>,
    /// The status of an upgrade by pages of these origins, with whether they should be let in.
    pub(super) origins: Vec<(String, bool, Result<u16, String>)>,
    /// What came of server-sent events; `None` without a token to ask with.
    pub(super) events: Option<EventsSeen>,
}

/// What came of server-sent events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EventsSeen {
    /// The first event came while the answer was open.
    InTime,
    /// Nothing came for so long, although it is written at once: something holds it back.
    HeldBack,
    /// It was refused with this status.
    Refused(u16),
    /// There was no answer.
    Broken(String),
}

/// Looks at `address` as a client does.
///
/// # Errors
/// It is no address, or no client can be made.
pub(super) async fn look(
    address: &str,
    token: Option<&Secret>,
    allowed_origins: &[String],
) -> anyhow::Result<PublicSeen> {
    let base =
        web_address(address).context("--public must be an address such as https://alerts.example.com")?;
    let client = Client::builder().http1_only().tls_info(true).connect_timeout(ANSWER_MAX);
    let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
    let at = |path: &str| {
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        url
    };
    let (inbox, certificate_end) = ask_inbox(&client, at("/v1/inbox")).await;
    let upgrade = upgrade(&client, at("/v1/ws"), None).await;
    let mut origins = Vec::new();
    for (origin, is_allowed) in
        allowed_origins.iter().map(|origin| (origin.as_str(), true)).chain([(FOREIGN_ORIGIN, false)])
    {
        let answer = self::upgrade(&client, at("/v1/ws"), Some(origin)).await;
        origins.push((origin.to_owned(), is_allowed, answer));
    }
    let events = match token {
        Some(token) => Some(events(&client, at("/v1/sse"), token).await),
        None => None,
    };
    Ok(PublicSeen { inbox, certificate_end, upgrade, origins, events })
}

async fn ask_inbox(client: &Client, url: Url) -> (Result<u16, String>, Option<Timestamp>) {
    match client.get(url).timeout(ANSWER_MAX).send().await {
        Ok(answer) => {
            let der = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
            (Ok(answer.status().as_u16()), der.and_then(|der| certificate::end_of(der).ok()))
        }
        Err(error) => (Err(why(error)), None),
    }
}

/// Asks for a WebSocket; the connection ends with the answer.
async fn upgrade(client: &Client, url: Url, origin: Option<&str>) -> Result<u16, String> {
    let mut request = client
        .get(url)
        .timeout(ANSWER_MAX)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, WEBSOCKET_KEY);
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    request.send().await.map(|answer| answer.status().as_u16()).map_err(why)
}

/// The first event is written at once. If it does not come while the answer is open, somebody waits for its end.
async fn events(client: &Client, url: Url, token: &Secret) -> EventsSeen {
    let request = client.get(url).bearer_auth(token.expose()).header(header::ACCEPT, "text/event-stream");
    let first = async {
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return EventsSeen::Broken(why(error)),
        };
        match answer.status().as_u16() {
            200 => match answer.chunk().await {
                Ok(Some(_)) => EventsSeen::InTime,
                Ok(None) => EventsSeen::Broken("it ended without an event".to_owned()),
                Err(error) => EventsSeen::Broken(why(error)),
            },
            status => EventsSeen::Refused(status),
        }
    };
    timeout(ANSWER_MAX, first).await.unwrap_or(EventsSeen::HeldBack)
}

/// The kind of a failure with its innermost cause. No address is repeated: it is known.
fn why(error: reqwest::Error) -> String {
    let kind = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "no answer in time",
        (false, true) => "could not connect",
        (false, false) => "the connection broke",
    };
    let mut cause: &dyn std::error::Error = &error.without_url();
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{kind}: {cause}")
}

/// What it means for clients.
pub(super) fn of_public(
    seen: &PublicSeen,
    public_url: Option<&str>,
    asked: &str,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = vec![inbox(&seen.inbox)];
    if let Some(end) = seen.certificate_end {
        findings.push(advice::until("public certificate", end, now));
    }
    if let Some(url) = public_url.filter(|url| url.trim_end_matches('/') != asked.trim_end_matches('/')) {
        findings.push(Finding::warn(
            "http.public_url",
            format!("is {url}, and clients were looked at under {asked}: links in mails lead to the former"),
            "make them one, unless both lead to socket",
        ));
    }
    // Where nobody answers, the rest would only repeat it.
    if seen.inbox.is_ok() {
        findings.push(websocket(&seen.upgrade));
        findings.extend(
            seen.origins.iter().map(|(origin, is_allowed, answer)| of_origin(origin, *is_allowed, answer)),
        );
        findings.push(of_events(seen.events.as_ref()));
    }
    findings
}

fn inbox(answer: &Result<u16, String>) -> Finding {
    let check = "public address";
    match answer {
        Ok(401) => Finding::ok(check, "a socket pod answers, and asks for a token"),
        Ok(421) => Finding::fail(
            check,
            "the pod does not answer to this host (421)",
            "add the host to http.allowed_hosts, or set http.public_url to this address",
        ),
        Ok(502..=504) => Finding::fail(
            check,
            "the balancer has no pod behind it that is ready",
            "look at /readyz of the pods, and at the balancer's health checks",
        ),
        Ok(status) => Finding::fail(
            check,
            format!("what answers to /v1/inbox says {status}, and not 401 as a socket pod does"),
            "have the balancer lead /v1 to socket",
        ),
        Err(error) => Finding::fail(
            check,
            error.clone(),
            "look at its name, its port, its certificate, and the balancer",
        ),
    }
}

fn websocket(answer: &Result<u16, String>) -> Finding {
    let check = "public WebSocket";
    let remedy =
        "have the balancer speak HTTP/1.1 to the pods, and pass the headers Connection and Upgrade on";
    match answer {
        Ok(101) => Finding::ok(check, "the upgrade comes through"),
        Ok(503) => {
            Finding::warn(check, "the pod takes no more sessions at the moment (503)", "add socket pods")
        }
        Ok(status) => {
            Finding::fail(check, format!("the upgrade is answered with {status}, and not with 101"), remedy)
        }
        Err(error) => Finding::fail(check, error.clone(), remedy),
    }
}

fn of_origin(origin: &str, is_allowed: bool, answer: &Result<u16, String>) -> Finding {
    let check = "socket.allowed_origins";
    match (is_allowed, answer) {
        (true, Ok(101)) => Finding::ok(check, format!("pages of {origin} may connect")),
        (true, Ok(status)) => Finding::fail(
            check,
            format!("pages of {origin} are refused with {status}"),
            "give the running pods the same socket.allowed_origins, and have the balancer pass Origin on",
        ),
        (false, Ok(101)) => Finding::fail(
            check,
            "pages of any origin may connect: the header Origin does not come through",
            "have the balancer pass Origin on as it came",
        ),
        (false, Ok(_)) => Finding::ok(check, "pages of other origins are refused"),
        (_, Err(error)) => Finding::warn(check, error.clone(), "look at the balancer"),
    }
}

fn of_events(seen: Option<&EventsSeen>) -> Finding {
    let check = "public server-sent events";
    match seen {
        None => Finding::warn(check, "not looked at", "give a user's token with --token or WATCHBELL_TOKEN"),
        Some(EventsSeen::InTime) => Finding::ok(check, "come through as they are written"),
        Some(EventsSeen::HeldBack) => Finding::fail(
            check,
            format!(
                "nothing came within {ANSWER_MAX:?}: the balancer gathers the answer before it passes it on"
            ),
            "turn buffering and compression off for /v1/sse (nginx: proxy_buffering off; gzip off)",
        ),
        Some(EventsSeen::Refused(401)) => {
            Finding::fail(check, "the token is refused (401)", "give one that is good for socket's [auth]")
        }
        Some(EventsSeen::Refused(status)) => Finding::fail(
            check,
            format!("are answered with {status}"),
            "have the balancer lead /v1/sse to socket",
        ),
        Some(EventsSeen::Broken(error)) => Finding {
            verdict: Verdict::Fail,
            ..Finding::warn(check, error.clone(), "look at the balancer's time-outs")
        },
    }
}
