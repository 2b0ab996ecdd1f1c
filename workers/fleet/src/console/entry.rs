//! Signing in to the console, and who is let in after that.
//!
//! What holds here:
//! - Whoever has an API key of the operators' tenant with the scope `operations` signs in with it. The key is looked up again
//!   at each request, so one that was revoked or has expired opens nothing more within seconds.
//! - Whoever signed in by a sign-in service (`oidc/`) may do what the values of their claim were worth then.
//! - A request that names a page (`Origin`) is of this page, or it is refused. A request of a session shows both halves of it.
//! - Tries to sign in have a rate for each address, whether they are right or wrong.
//! - What is asked for is done for the tenant that the header [`TENANT_HEADER`] names, by the scopes that the operator has there. What is
//!   of the whole installation ([`Reach::Installation`]) takes scopes for all tenants.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use watchbell::{
    domain::{Scope, Secret, Tenant},
    runtime::{
        http::{AddressPrefix, BodyRules, ClientAddress, JsonBody},
        rate_limit::{Rate, RateLimiter, TooSoon},
    },
    wire::Problem,
};
use watchbell_ingest::{Producer, key};

use super::{
    cookies,
    oidc::Rights,
    sessions::{Credential, Operator},
    shared::Shared,
};

/// The header with the other half.
pub(super) const TOKEN_HEADER: &str = "x-watchbell-console";
/// The header that names the tenant which is looked at. Without it: the operators' own.
const TENANT_HEADER: &str = "x-watchbell-tenant";
/// What one try to sign in costs, in seconds.
const TRY_COSTS_S: usize = 5;
/// Tries are for free until they cost more than this together.
const TRIES_AHEAD_MAX: Duration = Duration::from_secs(40);
/// Addresses whose tries are remembered.
const ADDRESSES_MAX: usize = 1_024;
/// When to come back if too many requests are answered.
const COME_BACK_S: u32 = 1;

/// How often each address may try.
pub(super) fn tries() -> RateLimiter<AddressPrefix, Instant> {
    RateLimiter::new(Rate::per_second(1).ahead(TRIES_AHEAD_MAX), ADDRESSES_MAX)
}

/// The key of an operator.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInRequest {
    key: String,
}

/// A key and nothing else.
pub(super) enum OneKey {}

impl BodyRules for OneKey {
    const BYTES_MAX: usize = 1024;
    // A type that a foreign page may not send without being asked about (CORS).
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

/// What the page is told when somebody signs in.
#[derive(Serialize)]
struct SignedIn<'a> {
    token: &'a str,
}

/// Begins a session.
pub(super) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    JsonBody(request, _): JsonBody<SignInRequest, OneKey>,
) -> Result<Response, Problem> {
    check_origin(&headers)?;
    shared.take_try(address)?;
    let key_hash = key::hash(Secret::from(request.key).expose());
    let producer = shared.keys.producer_with_hash(key_hash.clone(), Scope::Operations).await?;
    check_tenant(&producer, &shared.tenant)?;
    let name = shared.store.api_key(&key_hash).await?.map(|key| key.name).unwrap_or_default();
    let_in(&shared, Operator::with_key(key_hash, name), is_https(&headers))
}

impl Shared {
    /// Counts a try to sign in.
    ///
    /// # Errors
    /// 429: too many came from this address.
    pub(super) fn take_try(&self, address: IpAddr) -> Result<(), Problem> {
        let taken = self.tries.take(&AddressPrefix::of(address), TRY_COSTS_S, Instant::now(), Duration::ZERO);
        taken.map(drop).map_err(too_many_tries)
    }
}

/// Begins the session of whoever is known.
pub(super) fn let_in(shared: &Shared, operator: Operator, is_https: bool) -> Result<Response, Problem> {
    let age_max = operator.age_max();
    let halves = shared.sessions.begin(operator, &mut rand::rng(), Instant::now());
    let cookie = cookies::SESSION.set(halves.cookie.expose(), age_max, is_https)?;
    let answer = Json(SignedIn { token: halves.token.expose() });
    Ok(([(header::SET_COOKIE, cookie), NO_STORE], answer).into_response())
}

/// Ends a session.
pub(super) async fn sign_out(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_origin(&headers)?;
    if let Some(cookie) = cookies::SESSION.of(&headers) {
        shared.sessions.end(cookie);
    }
    let cookie = cookies::SESSION.set("", Duration::ZERO, is_https(&headers))?;
    Ok(([(header::SET_COOKIE, cookie), NO_STORE], Json(serde_json::json!({}))).into_response())
}

pub(super) const NO_STORE: (header::HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The tenant that is looked at.
    Tenant,
    /// All tenants, or this process.
    Installation,
}

/// Lets requests of a session pass, with the [`Producer`] that its key is, and with its [`Operator`].
pub(super) async fn enter(
    State((shared, reach)): State<(Arc<Shared>, Reach)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    check_origin(headers)?;
    let (cookie, token) = (cookies::SESSION.of(headers), text_of(headers, TOKEN_HEADER));
    let operator =
        cookie.zip(token).and_then(|(cookie, token)| shared.sessions.operator(cookie, token, Instant::now()));
    let operator = operator.ok_or_else(|| {
        Problem::unauthorized("You are not signed in, or no more: open /console and sign in.")
    })?;
    let producer = producer_of(&shared, &operator, tenant_of(headers)?, reach).await?;
    // Kept until the answer is made.
    let _place = shared.places.take(operator.id()).ok_or_else(|| {
        Problem::unavailable(
            "The console has as many requests as it takes, or as it takes of one operator: send it again.",
            COME_BACK_S,
        )
    })?;
    request.extensions_mut().insert(producer);
    request.extensions_mut().insert(operator);
    let mut response = next.run(request).await;
    response.headers_mut().insert(NO_STORE.0, NO_STORE.1);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// What an operator may do in a tenant, or in their own; with the installation, what they may do everywhere.
async fn producer_of(
    shared: &Shared,
    operator: &Operator,
    wanted: Option<Tenant>,
    reach: Reach,
) -> Result<Producer, Problem> {
    match &operator.credential {
        Credential::Key { hash } => {
            let producer = shared.keys.producer_with_hash(hash.clone(), Scope::Operations).await?;
            check_tenant(&producer, &shared.tenant)?;
            Ok(wanted.into_iter().fold(producer, Producer::working_for))
        }
        Credential::Person { subject, rights } => {
            let tenant = wanted.unwrap_or_else(|| rights.home(&shared.tenant).clone());
            let scopes = match reach {
                Reach::Tenant => rights.within(&tenant),
                Reach::Installation => rights.everywhere(),
            };
            match scopes.has(Scope::Operations) {
                true => Ok(Producer::operator(subject, tenant, scopes)),
                false => Err(not_theirs(rights, reach)),
            }
        }
    }
}

fn not_theirs(rights: &Rights, reach: Reach) -> Problem {
    let bound_to = rights.bound_to();
    Problem::forbidden(match reach {
        Reach::Tenant => {
            format!(
                "You are let in for {bound_to} alone (`[[console.oidc.allow]]`): write that into the field Tenant."
            )
        }
        Reach::Installation => {
            format!(
                "This is of the whole installation, and you are let in for {bound_to} alone (`[[console.oidc.allow]]`)."
            )
        }
    })
}

/// The tenant that is looked at, where it is another than the operators'. One that cannot be read is never taken for none.
fn tenant_of(headers: &HeaderMap) -> Result<Option<Tenant>, Problem> {
    let invalid = |problem: String| Problem::invalid(TENANT_HEADER, problem);
    let mut lines = headers.get_all(TENANT_HEADER).iter();
    let (line, more) = (lines.next(), lines.next());
    if more.is_some() {
        return Err(invalid("must be given once".to_owned()));
    }
    match line
        .map(|line| line.to_str().map_err(|_| invalid("must be of ASCII characters".to_owned())))
        .transpose()?
    {
        None | Some("") => Ok(None),
        Some(name) => Tenant::parse(name).map(Some).map_err(|error| invalid(error.to_string())),
    }
}

fn too_many_tries(TooSoon { wait }: TooSoon) -> Problem {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Problem::too_many("Too many tries to sign in came from this address: wait.", seconds)
}

/// A key of another tenant works, but not here.
fn check_tenant(producer: &Producer, operators: &Tenant) -> Result<(), Problem> {
    match producer.tenant == *operators {
        true => Ok(()),
        false => Err(Problem::forbidden(format!(
            "The console is for operators: sign in with a key of the tenant `{operators}`, `watchbell key create --tenant \
             {operators} --scope operations,read,alerts,people --name YOURS`."
        ))),
    }
}

/// A request of a page has to be of a page of this address.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = text_of(headers, header::HOST.as_str());
    match origin.zip(host) {
        Some(((_, authority), host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Problem::forbidden(
            "The request comes from another page (`Origin` is not this address). A proxy in between has to pass `Host` on.",
        )),
    }
}

/// Whether the browser reached this page over TLS, as it says itself. Operators come through proxies that nobody configured here.
fn is_https(headers: &HeaderMap) -> bool {
    text_of(headers, header::ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("https://"))
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        HeaderMap::from_iter::<Vec<(header::HeaderName, HeaderValue)>>(pairs.collect())
    }

    #[test]
    fn a_page_of_another_address_is_refused() {
        for (why, host, origin, expected) in [
            ("the page itself", "127.0.0.1:7709", Some("http://127.0.0.1:7709"), true),
            ("behind TLS that ends before us", "ops.example.com", Some("https://ops.example.com"), true),
            ("no browser", "127.0.0.1:7709", None, true),
            ("another port of this machine", "127.0.0.1:7709", Some("http://127.0.0.1:8080"), false),
            ("another host", "127.0.0.1:7709", Some("http://evil.example"), false),
            ("a sandboxed frame", "127.0.0.1:7709", Some("null"), false),
            ("it only begins so", "ops.example", Some("https://ops.example.evil"), false),
        ] {
            let pairs = [Some(("host", host)), origin.map(|origin| ("origin", origin))];
            let headers = headers(&pairs.into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(check_origin(&headers).is_ok(), expected, "{why}");
        }
    }

    #[test]
    fn a_tenant_that_cannot_be_read_is_not_the_operators_own() {
        for (why, lines, expected) in [
            ("none", &[][..], Some(None)),
            ("empty", &[&b""[..]], Some(None)),
            ("another one", &[b"acme"], Some(Some("acme"))),
            ("twice", &[b"acme", b"acme"], None),
            ("of other letters", &["othér".as_bytes()], None),
            ("no name", &[b"a b"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TENANT_HEADER, HeaderValue::from_bytes(line).unwrap());
            }
            let found = tenant_of(&headers).ok().map(|tenant| tenant.map(|tenant| tenant.to_string()));
            assert_eq!(found, expected.map(|tenant| tenant.map(str::to_owned)), "{why}");
        }
    }

    #[test]
    fn the_browser_says_whether_it_came_over_tls() {
        assert!(is_https(&headers(&[("origin", "https://ops.example.com")])));
        assert!(!is_https(&headers(&[])));
    }
}
