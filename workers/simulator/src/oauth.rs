//! Google's token endpoint: a signed assertion in, an access token for an hour out.
//!
//! What holds here:
//! - Only an assertion by the simulator's own service account, for this endpoint and with FCM's
//!   scope, is exchanged.
//! - At most [`ACCESS_TOKENS_MAX`] tokens are known; a restart forgets them, and senders have to cope.
//!
//! Elsewhere: where the tokens are needed, in `fcm`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::Shared;
use crate::faults::{Fault, Provider};
use crate::http::{html_page, with_retry_after};
use crate::serve::Connection;
use crate::tls::Keys;

/// Access tokens known at once; the oldest go first.
const ACCESS_TOKENS_MAX: usize = 1000;
const TOKEN_TTL: Duration = Duration::from_secs(3600);
/// The longest an assertion may live.
const ASSERTION_S_MAX: i64 = 3600;
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// Google's side of the service account, and the access tokens given out.
pub(crate) struct OAuth {
    key: DecodingKey,
    rules: Validation,
    issued: Mutex<VecDeque<(String, Instant)>>,
}

impl OAuth {
    pub(crate) fn new(keys: &Keys) -> anyhow::Result<Self> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&keys.fcm_client_email]);
        rules.set_audience(&[&keys.token_uri]);
        let key = DecodingKey::from_rsa_pem(keys.fcm_public_pem.as_bytes())?;
        Ok(Self { key, rules, issued: Mutex::default() })
    }

    /// Whether `token` was given out here within the hour.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        self.lock().iter().any(|(issued, at)| issued == token && at.elapsed() < TOKEN_TTL)
    }

    fn issue(&self) -> String {
        let token = format!("ya29.{}", Uuid::now_v7().simple());
        let mut issued = self.lock();
        if issued.len() >= ACCESS_TOKENS_MAX {
            issued.pop_front();
        }
        issued.push_back((token.clone(), Instant::now()));
        token
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Instant)>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/token", post(token)).with_state(shared)
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    assertion: String,
}

async fn token(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    request: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    let fault = shared.faults.take(Provider::Oauth, |_| true);
    connection.before(&fault).await;
    let response = match check(&shared.oauth, request.ok(), Timestamp::now()) {
        Err((error, why)) => answer(StatusCode::BAD_REQUEST, error, why),
        Ok(()) => failure(&fault).unwrap_or_else(|| {
            let access_token = shared.oauth.issue();
            let expires_in = TOKEN_TTL.as_secs();
            Json(json!({"access_token": access_token, "expires_in": expires_in, "token_type": "Bearer"}))
                .into_response()
        }),
    };
    connection.after(&fault).await;
    response
}

/// Whether an access token is due: OAuth's error code and a description if not.
fn check(
    oauth: &OAuth,
    request: Option<Form<TokenRequest>>,
    now: Timestamp,
) -> Result<(), (&'static str, &'static str)> {
    #[derive(Deserialize)]
    struct Claims {
        scope: String,
        iat: i64,
        exp: i64,
    }
    let Some(Form(request)) = request else {
        return Err(("invalid_request", "The body must be a form with grant_type and assertion."));
    };
    if request.grant_type != GRANT_TYPE {
        return Err(("unsupported_grant_type", "Only the JWT bearer grant is served."));
    }
    let decoded = jsonwebtoken::decode::<Claims>(&request.assertion, &oauth.key, &oauth.rules)
        .map_err(|_| ("invalid_grant", "The assertion's signature, iss, aud or exp is wrong."))?;
    let Claims { scope, iat, exp } = decoded.claims;
    if exp - iat > ASSERTION_S_MAX || iat > now.as_second() + 60 {
        return Err((
            "invalid_grant",
            "The assertion must be a short-lived token: iat in the past, exp within an hour.",
        ));
    }
    if !scope.split(' ').any(|scope| scope == SCOPE) {
        return Err(("invalid_scope", "The assertion's scope does not include firebase.messaging."));
    }
    Ok(())
}

fn failure(fault: &Fault) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let status = StatusCode::from_u16(fault.status?).ok()?;
    let error = fault.reason.as_deref().unwrap_or("internal_failure");
    Some(with_retry_after(fault, answer(status, error, "Asked for by a fault.")))
}

fn answer(status: StatusCode, error: &str, why: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": why}))).into_response()
}
