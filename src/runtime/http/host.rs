//! The hosts that a process answers to.
//!
//! A web page can have its own name resolve to 127.0.0.1, and then reads what is served there as if it were its own (DNS
//! rebinding). The browser still sends the page's name as `Host`, so a process that knows its own names turns it away.
//!
//! What holds here:
//! - A name is allowed whole and as it was given, whatever its case and port; what is below it is another name. `localhost` and
//!   what is below that never leave this machine (RFC 6761, section 6.3).
//! - An address in place of a name is no rebinding: a browser sends it only to that address. Those of this machine are
//!   allowed, the one that we listen on, and all when we listen on every address, because with a forwarded port the
//!   browser names the address of another machine.
//! - A request without any host does not come from a browser. HTTP/1.0 allows it, and health checks of balancers do it.
//!
//! Elsewhere: which pages may use what is served, in `workers/socket`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tracing::warn;

use super::super::{Clock, log_limit::LogLimit};
use crate::wire::Problem;

/// Characters of a refused host that are logged.
const LOGGED_CHARS_MAX: usize = 100;
/// The longest port, in digits.
const PORT_DIGITS_MAX: usize = 5;

/// The host of an authority, without its port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// In small letters, without the dot of the root.
    Name(String),
    /// IPv4 that is written as IPv6 is IPv4.
    Address(IpAddr),
}

impl Host {
    /// Reads `name`, `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; none for anything else, such as a user before
    /// the host.
    pub fn of(authority: &str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let address = address.parse::<Ipv6Addr>().ok()?;
                let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
                (Self::Address(IpAddr::V6(address).to_canonical()), port)
            }
            None => {
                let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
                (Self::name_or_ipv4(name)?, port)
            }
        };
        let is_port = port.len() <= PORT_DIGITS_MAX && port.bytes().all(|digit| digit.is_ascii_digit());
        is_port.then_some(host)
    }

    fn name_or_ipv4(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
        };
        text.split('.').all(is_label).then(|| Self::Name(text.to_ascii_lowercase()))
    }

    /// Whether it is this machine under any circumstances.
    fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// Which hosts a process answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts {
    listen: IpAddr,
    named: BTreeSet<Host>,
}

impl AllowedHosts {
    /// Those of this machine, of the address that is listened on, of `http.public_url`, and `http.allowed_hosts`.
    pub fn new(listen: IpAddr, public_url: Option<&str>, names: &[String]) -> Self {
        let public = public_url.and_then(|url| url.parse::<Uri>().ok());
        let public = public.as_ref().and_then(Uri::authority).map(|authority| authority.as_str());
        let named = names.iter().map(String::as_str).chain(public).filter_map(Host::of).collect();
        Self { listen: listen.to_canonical(), named }
    }

    /// Whether a request for this authority is for us.
    pub fn allow(&self, authority: &str) -> bool {
        let Some(host) = Host::of(authority) else { return false };
        let is_listened_on =
            matches!(host, Host::Address(address) if self.listen.is_unspecified() || address == self.listen);
        host.is_this_machine() || is_listened_on || self.named.contains(&host)
    }

    /// Whether a request is for us by every host that it names.
    pub(super) fn allow_request<B>(&self, request: &Request<B>) -> bool {
        self.refused_of(request).is_none()
    }

    /// The first host that a request names and that is not one of ours.
    fn refused_of<'a, B>(&self, request: &'a Request<B>) -> Option<&'a str> {
        let named =
            request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        // A request to a proxy names its host here, and this one counts (RFC 9112, section 3.2.2).
        let of_target = request.uri().authority().map(|authority| authority.as_str());
        named.chain(of_target).find(|host| !self.allow(host))
    }
}

/// The routes, for requests to these hosts; all others are answered 421 (RFC 9110, section 15.5.20).
pub fn only_for_hosts(routes: Router, hosts: AllowedHosts, clock: Clock) -> Router {
    let check = Arc::new(HostCheck { hosts, clock, refusals: LogLimit::per_minute(1) });
    routes.layer(middleware::from_fn_with_state(check, refuse_other_hosts))
}

struct HostCheck {
    hosts: AllowedHosts,
    clock: Clock,
    refusals: LogLimit,
}

async fn refuse_other_hosts(
    State(check): State<Arc<HostCheck>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let refused = check.hosts.refused_of(&request);
    match refused.map(|host| host.chars().take(LOGGED_CHARS_MAX).collect::<String>()) {
        Some(host) => check.refuse(&host),
        None => next.run(request).await,
    }
}

impl HostCheck {
    fn refuse(&self, host: &str) -> Response {
        metrics::counter!("watchbell_http_refused_total", "reason" => "host").increment(1);
        if let Some(left_out) = self.refusals.admit(self.clock.now()) {
            warn!(
                ?host,
                left_out,
                "A request for another host was refused. If {host:?} is a name of this process, add it to http.allowed_hosts"
            );
        }
        let detail = "This process does not answer to the host that was asked for. Use an address that it has, or add the name to http.allowed_hosts.";
        Problem::misdirected(detail).into_response()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::{http::StatusCode, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn a_host_is_read_without_its_port() {
        let name = |text: &str| Some(Host::Name(text.to_owned()));
        let address = |text: &str| Some(Host::Address(text.parse().unwrap()));
        for (why, authority, expected) in [
            ("a name", "alerts.example.com", name("alerts.example.com")),
            ("its port", "alerts.example.com:7700", name("alerts.example.com")),
            (
                "a port that is left out (RFC 3986, section 3.2.3)",
                "alerts.example.com:",
                name("alerts.example.com"),
            ),
            ("in any case", "Alerts.EXAMPLE.com", name("alerts.example.com")),
            ("the root's dot", "alerts.example.com.", name("alerts.example.com")),
            ("punycode", "xn--bcher-kva.example", name("xn--bcher-kva.example")),
            ("underscores, as Compose names services", "my_socket:7700", name("my_socket")),
            ("IPv4", "192.0.2.1:80", address("192.0.2.1")),
            ("IPv6", "[2001:db8::1]:80", address("2001:db8::1")),
            ("IPv6, longer", "[2001:db8:0:0:0:0:0:1]", address("2001:db8::1")),
            ("IPv4 as IPv6", "[::ffff:192.0.2.1]", address("192.0.2.1")),
            ("an older form of IPv4 is a name, which nobody allows", "127.1", name("127.1")),
            ("two dots", "localhost..", None),
            ("only a dot", ".", None),
            ("nothing", "", None),
            ("only a port", ":7700", None),
            ("a user", "ana@localhost", None),
            ("a user with a password that looks like us", "localhost:80@evil.example", None),
            ("IPv6 without brackets", "::1", None),
            ("a zone", "[fe80::1%25eth0]", None),
            ("no address in brackets", "[localhost]", None),
            ("something behind the brackets", "[::1]evil.example", None),
            ("a bracket that does not end", "[::1", None),
            ("a port of letters", "localhost:http", None),
            ("a port that is too long", "localhost:000080", None),
            ("two ports", "localhost:80:80", None),
            ("a path", "localhost/x", None),
            ("a blank", "local host", None),
            ("two in one", "localhost,evil.example", None),
            ("not ASCII", "b\u{fc}cher.example", None),
        ] {
            assert_eq!(Host::of(authority), expected, "{why}: {authority}");
        }
    }

    #[test]
    fn literals_are_allowed_as_far_as_they_can_be_ours() {
        for (listen, authority, expected) in [
            ("127.0.0.1", "127.0.0.1:7700", true),
            ("127.0.0.1", "[::1]:7700", true),
            ("127.0.0.1", "192.168.1.5:7700", false),
            ("192.168.1.5", "192.168.1.5:7700", true),
            ("192.168.1.5", "127.0.0.1:7700", true),
            ("192.168.1.5", "192.168.1.6:7700", false),
            ("0.0.0.0", "192.168.1.5:7700", true),
            ("0.0.0.0", "[2001:db8::1]:7700", true),
            ("::", "192.168.1.5:7700", true),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("2001:db8::1", "[2001:db8::2]", false),
            ("0.0.0.0", "rebind.evil.example:7700", false),
            ("::", "rebind.evil.example", false),
        ] {
            let hosts = AllowedHosts::new(listen.parse().unwrap(), None, &[]);
            assert_eq!(hosts.allow(authority), expected, "{authority} while {listen} is listened on");
        }
    }

    #[test]
    fn names_are_those_that_were_given() {
        let names = ["box.lan".to_owned(), "192.0.2.9".to_owned()];
        let hosts =
            AllowedHosts::new([127, 0, 0, 1].into(), Some("https://Alerts.example.com:8443/inbox"), &names);
        for (authority, expected) in [
            ("localhost:7700", true),
            ("a.b.localhost", true),
            ("box.lan", true),
            ("BOX.LAN.:80", true),
            ("alerts.example.com", true),
            ("192.0.2.9", true),
            ("192.0.2.8", false),
            ("a.box.lan", false),
            ("lan", false),
            ("localhost.evil.example", false),
            ("notlocalhost", false),
            (".localhost", false),
        ] {
            assert_eq!(hosts.allow(authority), expected, "{authority}");
        }
    }

    #[tokio::test]
    async fn every_host_of_a_request_has_to_be_ours() {
        let hosts = AllowedHosts::new([127, 0, 0, 1].into(), None, &[]);
        let routes = Router::new().route("/there", get(|| async { "yes" }));
        let routes = only_for_hosts(routes, hosts, Clock::system());
        for (why, target, hosts, expected) in [
            ("ours", "/there", &["localhost"][..], StatusCode::OK),
            ("another's", "/there", &["evil.example"], StatusCode::MISDIRECTED_REQUEST),
            (
                "another's, of an address that is not there",
                "/x",
                &["evil.example"],
                StatusCode::MISDIRECTED_REQUEST,
            ),
            (
                "the second is another's",
                "/there",
                &["localhost", "evil.example"],
                StatusCode::MISDIRECTED_REQUEST,
            ),
            (
                "the target is another's",
                "http://evil.example/there",
                &["localhost"],
                StatusCode::MISDIRECTED_REQUEST,
            ),
            ("a check of HTTP/1.0 has none", "/there", &[], StatusCode::OK),
        ] {
            let mut request = Request::builder().uri(target);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), expected, "{why}");
        }
    }
}
