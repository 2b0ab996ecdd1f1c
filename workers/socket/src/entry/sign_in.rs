//! Who sends a request. Used by every route that needs a token, whatever it then does.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use watchbell::{
    domain::Secret,
    runtime::http::{FailureKind, RETRY_AFTER_S},
    store::Head,
    wire::Problem,
};

use crate::{
    entry::credentials::token_of,
    feed::inbox::Inbox,
    token::{Identity, TokenError, Verifier},
};

/// Finds out who sends a request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) verifier: Verifier,
    pub(crate) inbox: Inbox,
}

impl<S: Send + Sync> FromRequestParts<S> for Identity
where
    SignIn: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let sign_in = SignIn::from_ref(state);
        let token = token_of(&parts.headers);
        let identity = sign_in.identity_of(token.as_ref().map(Secret::expose)).await?;
        let head = sign_in.inbox.head(&identity.user).await;
        let head = head.map_err(|_| FailureKind::StoreUnavailable.problem())?;
        check_revoked(&identity, &head)?;
        Ok(identity)
    }
}

impl SignIn {
    /// Whose token it is; a problem for whoever has none that is good.
    pub(crate) async fn identity_of(&self, token: Option<&str>) -> Result<Identity, Problem> {
        let token =
            token.ok_or_else(|| Problem::unauthorized("send a token as `Authorization: Bearer …`"))?;
        self.verifier.identify(token).await.map_err(|error| match error {
            TokenError::Expired | TokenError::Invalid(_) => Problem::unauthorized(error.to_string()),
            TokenError::UnknownKey => Problem::unavailable(error.to_string(), RETRY_AFTER_S),
        })
    }
}

/// A token that was issued before its user's sessions were revoked opens nothing any more.
pub(crate) fn check_revoked(identity: &Identity, head: &Head) -> Result<(), Problem> {
    match head.refuses(identity.issued_at) {
        true => Err(sessions_ended()),
        false => Ok(()),
    }
}

/// What is answered to a token whose sessions have ended.
pub(crate) fn sessions_ended() -> Problem {
    Problem::unauthorized("the sessions of this user were revoked: sign in again")
}
