//! API keys and tenants: `GET` and `POST /console/api/keys`, `DELETE /console/api/keys/{id}`.
//!
//! What holds here:
//! - Nobody gives a key what their own key may not do.
//! - A secret is answered once, to whoever made it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell::{
    domain::{Scope, Scopes, Tenant, UnknownScope},
    runtime::http::{BodyRules, JsonBody, Path},
    store::{KEY_ID_CHARS, KeyRights},
    wire::Problem,
};
use watchbell_ingest::{Producer, key};

use super::shared::Shared;
use crate::commands::key::keys_of;

/// Keys that are listed: the newest.
const LISTED_MAX: usize = 1_000;
/// Characters of a key's name.
const NAME_CHARS_MAX: usize = 200;
/// The longest time after which a key ends: ten years.
const EXPIRES_MAX_S: u64 = 10 * 366 * 24 * 60 * 60;

/// Keys, as `watchbell key list --json` tells them, and tenants.
#[derive(Serialize)]
pub(super) struct KeysAnswer {
    /// The newest first.
    keys: Vec<Value>,
    more: bool,
    /// Tenants that have a key, or a section in the configuration.
    tenants: BTreeSet<String>,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<KeysAnswer>, Problem> {
    let secrets = shared.store.api_keys().await?;
    let now = Timestamp::now();
    let keys = keys_of(&secrets);
    let tenants = secrets.iter().map(|secret| secret.rights.tenant.to_string());
    Ok(Json(KeysAnswer {
        tenants: tenants.chain(shared.config.shared.tenant_names().map(str::to_owned)).collect(),
        more: keys.len() > LISTED_MAX,
        keys: keys.iter().rev().take(LISTED_MAX).map(|key| key.to_json(now)).collect(),
    }))
}

/// A key that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    tenant: String,
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    own_alerts: bool,
    expires_in_s: Option<u64>,
}

/// A short form.
pub(super) enum Form {}

impl BodyRules for Form {
    const BYTES_MAX: usize = 16 * 1024;
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

/// The secret of a new key.
#[derive(Serialize)]
pub(super) struct Made {
    secret: String,
}

pub(super) async fn make(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
    JsonBody(wanted, _): JsonBody<NewKey, Form>,
) -> Result<Json<Made>, Problem> {
    let now = Timestamp::now();
    let rights = rights_of(&wanted, operator.scopes(), now)?;
    let made = key::generate(&mut rand::rng());
    let store = shared.store.by(operator.actor());
    store.add_api_key(&key::hash(made.expose()), &rights, wanted.name.trim(), now).await?;
    Ok(Json(Made { secret: made.expose().to_owned() }))
}

fn rights_of(wanted: &NewKey, own: Scopes, now: Timestamp) -> Result<KeyRights, Problem> {
    let tenant =
        Tenant::parse(&wanted.tenant).map_err(|error| Problem::invalid("tenant", error.to_string()))?;
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Problem::invalid("name", format!("must be a text of 1 to {NAME_CHARS_MAX} characters")));
    }
    let mut scopes = Vec::new();
    for word in &wanted.scopes {
        let scope: Scope =
            word.parse().map_err(|error: UnknownScope| Problem::invalid("scopes", error.to_string()))?;
        if !own.has(scope) {
            return Err(Problem::forbidden(format!(
                "Your own key does not have the scope `{scope}`, so you cannot give it to another one."
            )));
        }
        scopes.push(scope);
    }
    if scopes.is_empty() {
        return Err(Problem::invalid("scopes", "must be one or more"));
    }
    let expires_at = match wanted.expires_in_s {
        None => None,
        Some(seconds @ 1..=EXPIRES_MAX_S) => now.checked_add(Duration::from_secs(seconds)).ok(),
        Some(_) => {
            return Err(Problem::invalid("expires_in_s", format!("must be from 1 to {EXPIRES_MAX_S}")));
        }
    };
    Ok(KeyRights { tenant, scopes: Scopes::of(&scopes), own_alerts: wanted.own_alerts, expires_at })
}

/// How many keys were revoked: 1, or 0 for one that did not work any more.
#[derive(Serialize)]
pub(super) struct Revoked {
    revoked: u64,
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
    Path(id): Path<String>,
) -> Result<Json<Revoked>, Problem> {
    // The store takes a beginning, which may be that of several.
    if id.len() != KEY_ID_CHARS {
        return Err(Problem::not_found("No key has this id: give all of it."));
    }
    let store = shared.store.by(operator.actor());
    Ok(Json(Revoked { revoked: store.revoke_api_key(&id, Timestamp::now()).await? }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_given_no_more_than_its_maker_has() {
        let own = Scopes::of(&[Scope::Operations, Scope::Read]);
        let day = 24 * 60 * 60;
        for (why, tenant, name, scopes, expires_in_s, expected) in [
            ("less than one's own", "acme", "bot", &["read"][..], Some(day), Ok(())),
            ("as much", "acme", "bot", &["read", "operations"][..], None, Ok(())),
            ("more", "acme", "bot", &["read", "people"][..], None, Err((403, None))),
            ("nothing", "acme", "bot", &[][..], None, Err((422, Some("scopes")))),
            ("no scope", "acme", "bot", &["all"][..], None, Err((422, Some("scopes")))),
            ("no tenant", "", "bot", &["read"][..], None, Err((422, Some("tenant")))),
            ("no name", "acme", " ", &["read"][..], None, Err((422, Some("name")))),
            ("a name of two lines", "acme", "a\nb", &["read"][..], None, Err((422, Some("name")))),
            ("over at once", "acme", "bot", &["read"][..], Some(0), Err((422, Some("expires_in_s")))),
            ("never over", "acme", "bot", &["read"][..], Some(u64::MAX), Err((422, Some("expires_in_s")))),
        ] {
            let wanted = NewKey {
                tenant: tenant.to_owned(),
                name: name.to_owned(),
                scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                own_alerts: false,
                expires_in_s,
            };
            let rights = rights_of(&wanted, own, Timestamp::UNIX_EPOCH);
            let found = rights.map(drop).map_err(|problem| (problem.status, problem.field));
            let expected = expected.map_err(|(status, field)| (status, field.map(str::to_owned)));
            assert_eq!(found, expected, "{why}");
        }
    }
}
