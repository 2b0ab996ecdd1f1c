//! Signing in to the console with an account of a sign-in service: OpenID Connect Core 1.0, the authorization code flow with PKCE
//! (RFC 7636), as the security practice of OAuth has it (RFC 9700).
//!
//! What holds here:
//! - The page begins a sign-in by `POST /console/oidc/begin` and goes to the service, which sends the browser back to the page. The page
//!   shows the code and the `state` by `POST /console/oidc/finish`. So the code is worth nothing to a foreign page, and no cookie has to
//!   be sent with a request that another site caused: all are `SameSite=Strict`.
//! - A sign-in ends once, in the browser that began it. Its ID token is of the service's keys as they are now, for this client, by this
//!   issuer, not over, and made for this sign-in.
//! - The claim that is configured decides what a person may do. Whoever has no value that signs in is not let in.
//! - The session that follows is one as of a key, and shorter: nobody tells us when an account is closed.
//!
//! By hand, because the crate `openidconnect` brings an OAuth client and a JWT implementation of its own (with its own RSA and elliptic
//! curves) beside `jsonwebtoken`, which checks the tokens of users here. What is needed of the protocol is two requests and the
//! comparisons in `person.rs`; signature, audience, issuer and times are checked by the code that checks users' tokens.
//!
//! | file | what |
//! |---|---|
//! | `sign_in.rs` | the sign-in service that is configured, and who is away to it |
//! | `pending.rs` | sign-ins that have not come back yet |
//! | `person.rs` | who an ID token is about, and whether they are let in |
//! | `rights.rs` | what a person's values are worth, and for which tenants |
//!
//! Elsewhere: `[console.oidc]`, and what is asked of the service, in `oidc`.

mod pending;
mod person;
mod rights;
mod sign_in;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};
use watchbell::{
    domain::audit::{AuditAction, operator_object},
    runtime::http::{BodyRules, ClientAddress, JsonBody},
    store::AuditedChange,
    wire::Problem,
};
use watchbell_ingest::Producer;
use watchbell_socket::{
    TokenError,
    token::{FreshKeysError, Refusal, claims_by_fresh_keys},
};

use self::{
    pending::{Asked, Begun},
    person::{Person, person_of},
};
pub(super) use self::{rights::Rights, sign_in::SignIn};
use super::{cookies, entry, sessions::Operator, shared::Shared};
use crate::oidc::{
    config::OidcConfig,
    service::{self, ServiceError, auth_of},
};

/// When to come back where the service, or a place among those, is not there.
const COME_BACK_S: u32 = 5;

/// How one signs in besides by a key.
#[derive(Serialize)]
pub(super) struct Ways {
    /// What the sign-in service is called, where there is one.
    oidc: Option<String>,
}

pub(super) async fn ways(State(shared): State<Arc<Shared>>) -> Json<Ways> {
    Json(Ways { oidc: shared.sign_in.as_ref().map(|sign_in| sign_in.config.name.clone()) })
}

/// Nothing: whose browser it is, the request says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginRequest {}

/// What the service sent the browser back with (RFC 6749, section 4.1.2; RFC 9207 for `iss`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishRequest {
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// A code, which some services make long.
pub(super) enum Returned {}

impl BodyRules for Returned {
    const BYTES_MAX: usize = 16 * 1024;
    // A type that a foreign page may not send without being asked about (CORS).
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

/// Where the page goes.
#[derive(Serialize)]
struct Go {
    to: String,
}

/// Begins a sign-in, and answers where the page goes for it.
pub(super) async fn begin(
    State(shared): State<Arc<Shared>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    JsonBody(BeginRequest {}, _): JsonBody<BeginRequest, Returned>,
) -> Result<Response, Problem> {
    entry::check_origin(&headers)?;
    let sign_in = configured(&shared)?;
    check_page(&headers, &sign_in.config)?;
    shared.take_try(address)?;
    let _call = sign_in.calls.try_acquire().map_err(|_| busy())?;
    let endpoints =
        service::discover(&sign_in.http, &sign_in.config.issuer).await.map_err(|error| told(&error))?;
    let to = endpoints.authorization.clone();
    let asked = sign_in.pending.begin(endpoints, &mut rand::rng(), Instant::now());
    let to = address_of(&to, &sign_in.config, &asked)?;
    let cookie = cookies::OIDC.set(asked.cookie.expose(), pending::AGE_MAX, sign_in.is_https())?;
    Ok(([(header::SET_COOKIE, cookie), entry::NO_STORE], Json(Go { to })).into_response())
}

/// Ends it, and begins a session.
pub(super) async fn finish(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    JsonBody(returned, _): JsonBody<FinishRequest, Returned>,
) -> Result<Response, Problem> {
    entry::check_origin(&headers)?;
    let sign_in = configured(&shared)?;
    let cookie = cookies::OIDC.of(&headers);
    let begun = sign_in.pending.take(&returned.state, cookie, Instant::now());
    let begun = begun.ok_or_else(|| {
        Problem::malformed(format!(
            "This sign-in was not begun in this browser, was used already, or is older than {} minutes: begin again.",
            pending::AGE_MAX.as_secs() / 60
        ))
    })?;
    let code = code_of(&returned, &sign_in.config)?;
    let _call = sign_in.calls.try_acquire().map_err(|_| busy())?;
    let person = person_by(sign_in, &begun, code).await?;
    let Person { subject, name, rights } = person;
    let tenant = rights.home(&shared.tenant).clone();
    let scopes = rights.within(&tenant);
    // Whoever cannot be named in the log is not let in.
    let actor = Producer::operator(&subject, tenant, scopes).actor();
    let change =
        AuditedChange::done(&shared.tenant, AuditAction::OperatorSignedIn, operator_object(&subject));
    let change = change.with_outcome(format!("{name}: {scopes}"));
    shared.store.by(actor).note_change(&change, Timestamp::now()).await?;
    info!("An operator signed in by {}", sign_in.config.name);
    let operator = Operator::person(subject, name, rights);
    let over = cookies::OIDC.set("", Duration::ZERO, sign_in.is_https())?;
    let mut answer = entry::let_in(&shared, operator, sign_in.is_https())?;
    answer.headers_mut().append(header::SET_COOKIE, over);
    Ok(answer)
}

fn configured(shared: &Shared) -> Result<&SignIn, Problem> {
    shared.sign_in.as_ref().ok_or_else(|| {
        Problem::not_found("No sign-in service is configured (`[console.oidc]`): sign in with an API key.")
    })
}

/// The service sends back to one address, and the cookie has to be there.
fn check_page(headers: &HeaderMap, config: &OidcConfig) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    match origin {
        Some(origin) if origin != config.redirect_url.origin().ascii_serialization() => {
            Err(Problem::forbidden(format!(
                "Signing in by {} works at {}: open the console there, or sign in with an API key.",
                config.name, config.redirect_url
            )))
        }
        _ => Ok(()),
    }
}

fn address_of(endpoint: &str, config: &OidcConfig, asked: &Asked) -> Result<String, Problem> {
    let url = Url::parse(endpoint);
    let mut url = url.map_err(|_| Problem::internal("The address of the sign-in service cannot be read."))?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &config.client_id)
        .append_pair("redirect_uri", config.redirect_url.as_str())
        .append_pair("scope", &config.scope)
        .append_pair("state", &asked.state)
        .append_pair("nonce", &asked.nonce)
        .append_pair("code_challenge", &asked.challenge)
        .append_pair("code_challenge_method", "S256");
    Ok(url.into())
}

fn code_of<'a>(returned: &'a FinishRequest, config: &OidcConfig) -> Result<&'a str, Problem> {
    if returned.iss.as_ref().is_some_and(|issuer| *issuer != config.issuer) {
        return Err(Problem::forbidden(
            "The answer is of another sign-in service (`iss`) than console.oidc.issuer: begin again.",
        ));
    }
    match (&returned.error, &returned.code) {
        (Some(error), _) => Err(Problem::forbidden(refused_by_service(error, &config.name))),
        (None, Some(code)) => Ok(code),
        (None, None) => Err(Problem::malformed("The sign-in service sent no code: begin again.")),
    }
}

/// The codes of RFC 6749, section 4.1.2.1, and of OpenID Connect Core 1.0, section 3.1.2.6.
fn refused_by_service(error: &str, name: &str) -> String {
    let remedy = match error {
        "access_denied" | "interaction_required" | "login_required" | "consent_required" => {
            "sign in there and agree, or ask whoever runs it to let you use this client"
        }
        "invalid_scope" => "console.oidc.scope asks for a word that it does not know",
        "unauthorized_client" | "unsupported_response_type" | "invalid_request" => {
            "its client has to allow the authorization code flow, with console.oidc.redirect_url as it is written"
        }
        "server_error" | "temporarily_unavailable" => "begin again a little later",
        _ => "look at its log",
    };
    let code = service::word(error).unwrap_or_else(|| "an error".to_owned());
    format!("{name} did not sign you in ({code}): {remedy}.")
}

async fn person_by(sign_in: &SignIn, begun: &Begun, code: &str) -> Result<Person, Problem> {
    let SignIn { config, http, .. } = sign_in;
    let token = service::exchange(http, config, &begun.endpoints, &begun.verifier, code)
        .await
        .map_err(|error| told(&error))?;
    let asked = auth_of(config, &begun.endpoints);
    let claims =
        claims_by_fresh_keys(&asked, &token, Timestamp::now()).await.map_err(|error| not_believed(&error))?;
    person_of(&claims, config, &begun.nonce).map_err(|refused| {
        info!("Somebody was not let in to the console: {refused}");
        Problem::forbidden(refused.to_string())
    })
}

fn not_believed(error: &FreshKeysError) -> Problem {
    let detail = match error {
        FreshKeysError::Keys(_) => {
            warn!("The keys of the operators' sign-in service cannot be read: {error}");
            return Problem::unavailable(
                "The keys of the sign-in service cannot be read now: begin again.",
                COME_BACK_S,
            );
        }
        FreshKeysError::Token(TokenError::Expired) => {
            "The ID token has expired: begin again, and compare the clocks of this machine and of the sign-in service."
        }
        FreshKeysError::Token(TokenError::Invalid(Refusal::Audience)) => {
            "The ID token is for another client (`aud`): console.oidc.client_id has to be the client that the service knows."
        }
        FreshKeysError::Token(TokenError::Invalid(Refusal::Issuer)) => {
            "The ID token is of another issuer (`iss`): write console.oidc.issuer as the tokens have it."
        }
        FreshKeysError::Token(
            TokenError::UnknownKey
            | TokenError::Invalid(Refusal::Signature | Refusal::NotAToken | Refusal::Critical),
        ) => {
            "The ID token is not signed by a key of the sign-in service with RS256, ES256 or EdDSA: have the service sign ID tokens of \
             this client so."
        }
        FreshKeysError::Token(TokenError::Invalid(other)) => {
            warn!("An ID token of the operators' sign-in service is refused: {other}");
            return Problem::forbidden(format!("The ID token is refused: {other}."));
        }
    };
    warn!("An ID token of the operators' sign-in service is refused: {error}");
    Problem::forbidden(detail)
}

fn told(error: &ServiceError) -> Problem {
    warn!("The operators' sign-in service gave nothing that can be used: {error}");
    match error {
        ServiceError::Refused { code: Some(code), .. } if code == "invalid_grant" => Problem::forbidden(
            "The sign-in service does not take this code: it was used already, is too old, or was given to another. Begin again.",
        ),
        ServiceError::Refused { code: Some(code), .. }
            if code == "invalid_client" || code == "unauthorized_client" =>
        {
            Problem::forbidden(format!(
                "The sign-in service does not know this client ({code}): console.oidc.client_id and client_secret have to be those that it has."
            ))
        }
        ServiceError::NotUnderstood { .. } | ServiceError::Refused { .. } => Problem::unavailable(
            format!("{}. `watchbell doctor --connect` looks at it.", capital(&error.to_string())),
            COME_BACK_S,
        ),
        ServiceError::Unreachable { .. } => Problem::unavailable(
            format!("{}: begin again, or sign in with an API key.", capital(&error.to_string())),
            COME_BACK_S,
        ),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn busy() -> Problem {
    Problem::unavailable("Others are signing in at this moment: begin again.", COME_BACK_S)
}
