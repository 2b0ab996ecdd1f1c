//! Who asks: the API key of a request, the tenant behind it, and whether it may do this.
//!
//! What holds here:
//! - A key lives as a [`Secret`] between its header and its hash, and the headers are taken off the request, so that
//!   nothing after this module can print one (I12).
//! - A route is reached only with the scope that stands in its row of the table of routes. Without it the answer is 403, with
//!   the scope and the command that makes a key which has it.
//!
//! Elsewhere: which keys work, and for how long they are remembered, in `api_keys`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use watchbell::{
    domain::{
        Scope, Scopes, Secret, Tenant,
        audit::{Actor, operator_object},
        publication::Maker,
    },
    store::{ApiKey, KeyStanding},
    wire::Problem,
};

use crate::{Shared, api_keys::ApiKeys, key};

const KEY_HEADER: &str = "x-api-key";

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Whom its key belongs to.
    pub tenant: Tenant,
    /// The key, as alerts remember it.
    pub maker: Maker,
    scopes: Scopes,
    /// What a sign-in service knows an operator by who has no key.
    operator: Option<Arc<str>>,
}

impl Producer {
    /// An operator who has no key: a sign-in service says who it is (`subject`). What they make is theirs as what a key makes
    /// is that key's.
    pub fn operator(subject: &Arc<str>, tenant: Tenant, scopes: Scopes) -> Self {
        let maker = Maker { key: operator_object(subject).into(), own_alerts: false };
        Self { tenant, maker, scopes, operator: Some(Arc::clone(subject)) }
    }

    fn of(key: &ApiKey) -> Self {
        Self {
            tenant: key.rights.tenant.clone(),
            maker: Maker { key: key.id.as_str().into(), own_alerts: key.rights.own_alerts },
            scopes: key.rights.scopes,
            operator: None,
        }
    }

    /// The same one, at work for another tenant. Only an operator is.
    #[must_use]
    pub fn working_for(self, tenant: Tenant) -> Self {
        Self { tenant, ..self }
    }

    /// What it may do.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Who this is, for the audit log.
    pub fn actor(&self) -> Actor {
        match &self.operator {
            Some(subject) => Actor::Operator(Arc::clone(subject)),
            None => Actor::Key(Arc::clone(&self.maker.key)),
        }
    }

    /// Whether this producer may change, or read of, an alert that `maker` made.
    pub fn may_touch(&self, maker: Option<&Arc<str>>) -> bool {
        !self.maker.own_alerts || maker == Some(&self.maker.key)
    }

    /// Refuses what the key is not for.
    ///
    /// # Errors
    /// 403, with the command that makes a key which is.
    pub fn expect(&self, scope: Scope) -> Result<(), Problem> {
        match (self.scopes.has(scope), &self.operator) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(Problem::forbidden(format!(
                "You do not have the scope `{scope}` here: `[[console.oidc.allow]]` gives it to a value of yours.",
            ))),
            (false, None) => Err(Problem::forbidden(format!(
                "The API key does not have the scope `{scope}`. `watchbell key create --scope {scope}` makes a key that has it.",
            ))),
        }
    }
}

/// A route's lock: the keys that there are, and the scope that is asked of them.
#[derive(Clone)]
pub struct Lock {
    pub shared: Arc<Shared>,
    pub scope: Scope,
}

/// Lets a request with a key that has the scope pass, with its [`Producer`], and their [`Tenant`], as extensions.
pub async fn enter(State(lock): State<Lock>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let producer = lock.shared.ingest.keys.producer_of(request.headers(), None, lock.scope).await?;
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(KEY_HEADER);
    request.extensions_mut().insert(producer.tenant.clone());
    request.extensions_mut().insert(producer);
    Ok(next.run(request).await)
}

/// Lets a request pass whose [`Producer`] is known already and has the scope.
pub async fn enter_known(
    State(scope): State<Scope>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let producer = request.extensions().get::<Producer>();
    let producer = producer.ok_or_else(|| Problem::unauthorized("Sign in first."))?;
    producer.expect(scope)?;
    let tenant = producer.tenant.clone();
    request.extensions_mut().insert(tenant);
    Ok(next.run(request).await)
}

impl ApiKeys {
    /// The producer with the key in the headers, or else with the one the body gave, if it may do this.
    ///
    /// # Errors
    /// 401 for no key, and for one that does not work; 403 for one without the scope; 503 when nobody knows.
    pub async fn producer_of(
        &self,
        headers: &HeaderMap,
        in_body: Option<Secret>,
        scope: Scope,
    ) -> Result<Producer, Problem> {
        let Some(given) = credential(headers).or(in_body) else {
            return Err(Problem::unauthorized(
                "Give an API key: `Authorization: Bearer wbk_…`, `X-Api-Key: wbk_…`, or as the password of HTTP basic.",
            ));
        };
        if !key::may_be_key(given.expose()) {
            return Err(unknown());
        }
        self.producer_with_hash(key::hash(given.expose()), scope).await
    }

    /// The producer whose key has this hash, if it may do this.
    ///
    /// # Errors
    /// As [`ApiKeys::producer_of`].
    pub async fn producer_with_hash(&self, hash: String, scope: Scope) -> Result<Producer, Problem> {
        let (found, now) = (self.find(&hash).await?, self.now());
        let key = found.ok_or_else(unknown)?;
        expect_working(key.standing(now))?;
        let producer = Producer::of(&key);
        producer.expect(scope)?;
        self.note_use(hash, now);
        Ok(producer)
    }
}

fn unknown() -> Problem {
    Problem::unauthorized("The API key is not known, or was revoked: make one with `watchbell key`.")
}

/// The answer to a key that has ended says so, because whoever has it could use it until then.
fn expect_working(standing: KeyStanding) -> Result<(), Problem> {
    match standing {
        KeyStanding::Works => Ok(()),
        KeyStanding::Revoked(_) => Err(unknown()),
        KeyStanding::Expired(at) => Err(Problem::unauthorized(format!(
            "The API key expired at {at}: make another one with `watchbell key create`."
        ))),
        KeyStanding::Replaced(at) => Err(Problem::unauthorized(format!(
            "The API key was rotated, and its old secret ended at {at}: use the one that `watchbell key rotate` printed."
        ))),
    }
}

/// Whether there is a key in the headers, good or not.
pub fn has_key(headers: &HeaderMap) -> bool {
    credential(headers).is_some()
}

/// The key as it was sent. Alertmanager's `http_config` knows bearer and basic.
fn credential(headers: &HeaderMap) -> Option<Secret> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return headers.get(KEY_HEADER)?.to_str().ok().map(Secret::from);
    };
    let (scheme, rest) = authorization.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(Secret::from(rest)),
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            decoded.split_once(':').map(|(_, password)| Secret::from(password))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        for (why, name, value, expected) in [
            ("bearer", "authorization", "Bearer wbk_x", Some("wbk_x")),
            ("schemes have no case", "authorization", "bearer  wbk_x", Some("wbk_x")),
            (
                "basic, any user, colons in the password",
                "authorization",
                "Basic YW06d2JrX3g6eQ==",
                Some("wbk_x:y"),
            ),
            ("its own header", "x-api-key", "wbk_x", Some("wbk_x")),
            ("basic that is not base64", "authorization", "Basic !", None),
            ("a scheme we do not know", "authorization", "Digest wbk_x", None),
            ("no scheme", "authorization", "wbk_x", None),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(credential(&headers).as_ref().map(Secret::expose), expected, "{why}");
        }
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say() {
        let rights = watchbell::store::KeyRights::of(Tenant::parse("acme").unwrap());
        let producer = Producer {
            tenant: rights.tenant,
            maker: Maker { key: "k".into(), own_alerts: false },
            scopes: Scopes::DEFAULT,
            operator: None,
        };
        for scope in Scope::ALL {
            let refused = producer.expect(scope).err();
            assert_eq!(refused.is_none(), Scopes::DEFAULT.has(scope), "{scope}");
            let Some(refused) = refused else { continue };
            assert_eq!(refused.status, 403);
            let detail = refused.detail.unwrap();
            assert!(detail.contains(&format!("scope `{scope}`")), "{detail}");
            assert!(detail.contains(&format!("`watchbell key create --scope {scope}`")), "{detail}");
        }
    }
}
