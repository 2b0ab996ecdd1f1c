//! API keys and tenants: `GET` and `POST /console/api/keys`, `DELETE /console/api/keys/{id}`.
//!
//! What holds here:
//! - Nobody gives a key what they may not do themselves. That of somebody without a key ends after [`KEY_OF_PERSON_MAX`].
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

use super::{
    sessions::{Credential, Operator},
    shared::Shared,
};
use crate::commands::key::keys_of;

/// Keys that are listed: the newest.
const LISTED_MAX: usize = 1_000;
/// The longest time after which a key ends: ten years.
const EXPIRES_MAX_S: u64 = 10 * 366 * 24 * 60 * 60;

/// How long a key lasts that somebody makes who has none: it outlives their account, which nobody tells us of.
const KEY_OF_PERSON_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

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
    Extension(Operator { credential, .. }): Extension<Operator>,
    JsonBody(wanted, _): JsonBody<NewKey, Form>,
) -> Result<Json<Made>, Problem> {
    let now = Timestamp::now();
    let own = match &credential {
        Credential::Key { hash } => {
            let own = shared.store.api_key(hash).await?;
            own.ok_or_else(|| Problem::unauthorized("Your key is not known any more: sign in anew."))?.rights
        }
        Credential::Person { rights, .. } => KeyRights {
            tenant: shared.tenant.clone(),
            scopes: rights.everywhere(),
            own_alerts: false,
            expires_at: now.checked_add(KEY_OF_PERSON_MAX).ok(),
        },
    };
    let rights = rights_of(&wanted, &own, now)?;
    let made = key::generate(&mut rand::rng());
    let store = shared.store.by(operator.actor());
    store.add_api_key(&key::hash(made.expose()), &rights, wanted.name.trim(), now).await?;
    Ok(Json(Made { secret: made.expose().to_owned() }))
}

fn rights_of(wanted: &NewKey, own: &KeyRights, now: Timestamp) -> Result<KeyRights, Problem> {
    let tenant =
        Tenant::parse(&wanted.tenant).map_err(|error| Problem::invalid("tenant", error.to_string()))?;
    key::name_of(&wanted.name).map_err(|error| Problem::invalid("name", error.to_string()))?;
    let mut scopes = Vec::new();
    for word in &wanted.scopes {
        let scope: Scope =
            word.parse().map_err(|error: UnknownScope| Problem::invalid("scopes", error.to_string()))?;
        if !own.scopes.has(scope) {
            return Err(Problem::forbidden(format!(
                "You do not have the scope `{scope}` yourself, so you cannot give it to a key."
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
    if own.own_alerts && !wanted.own_alerts {
        return Err(Problem::forbidden(
            "Your own key is for its own alerts alone, so a key that you make has to be as well: `own_alerts`.",
        ));
    }
    // Without an end of its own, it ends with the key of whoever makes it.
    let expires_at = expires_at.or(own.expires_at);
    if let (Some(end), Some(own_end)) = (expires_at, own.expires_at)
        && end > own_end
    {
        return Err(Problem::forbidden(format!(
            "A key that you make lasts until {own_end} at the longest, as your own does or because you have none: give a shorter \
             `expires_in_s`."
        )));
    }
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
        let own = KeyRights {
            tenant: Tenant::parse("ops").unwrap(),
            scopes: Scopes::of(&[Scope::Operations, Scope::Read]),
            own_alerts: false,
            expires_at: None,
        };
        let day = 24 * 60 * 60;
        for (why, tenant, name, scopes, expires_in_s, expected) in [
            ("less than one's own", "acme", "bot", &["read"][..], Some(day), Ok(())),
            ("as much", "acme", "bot", &["read", "operations"][..], None, Ok(())),
            ("more", "acme", "bot", &["read", "people"][..], None, Err((403, None))),
            ("nothing", "acme", "bot", &[][..], None, Err((422, Some("scopes")))),
            ("no scope", "acme", "bot", &["all"][..], None, Err((422, Some("scopes")))),
            ("no tenant", "", "bot", &["read"][..], None, Err((422, Some("tenant")))),
            ("no name", "acme", " ", &["read"][..], None, Err((422, Some("name")))),
            ("a name that nobody sees", "acme", "a\u{200b}", &["read"][..], None, Err((422, Some("name")))),
            (
                "a name that turns its line",
                "acme",
                "a\u{202e}b",
                &["read"][..],
                None,
                Err((422, Some("name"))),
            ),
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
            let rights = rights_of(&wanted, &own, Timestamp::UNIX_EPOCH);
            let found = rights.map(drop).map_err(|problem| (problem.status, problem.field));
            let expected = expected.map_err(|(status, field)| (status, field.map(str::to_owned)));
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn a_key_ends_with_its_makers_and_is_as_narrow() {
        let hour = Timestamp::UNIX_EPOCH + Duration::from_secs(3_600);
        let own = |own_alerts, expires_at| KeyRights {
            tenant: Tenant::parse("ops").unwrap(),
            scopes: Scopes::of(&[Scope::Read]),
            own_alerts,
            expires_at,
        };
        for (why, own, own_alerts, expires_in_s, expected) in [
            ("no end, as the maker's", own(false, None), false, None, Some(None)),
            ("none of its own: the maker's", own(false, Some(hour)), false, None, Some(Some(hour))),
            (
                "an earlier one",
                own(false, Some(hour)),
                false,
                Some(60),
                Some(Some(Timestamp::UNIX_EPOCH + Duration::from_secs(60))),
            ),
            ("a later one", own(false, Some(hour)), false, Some(7_200), None),
            ("wider than the maker's", own(true, None), false, None, None),
            ("as narrow", own(true, None), true, None, Some(None)),
        ] {
            let (tenant, name) = ("acme".to_owned(), "bot".to_owned());
            let wanted = NewKey { tenant, name, scopes: vec!["read".to_owned()], own_alerts, expires_in_s };
            let rights = rights_of(&wanted, &own, Timestamp::UNIX_EPOCH);
            assert_eq!(rights.ok().map(|rights| rights.expires_at), expected, "{why}");
        }
    }
}
