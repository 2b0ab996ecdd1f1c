//! `watchbell key create|list|rotate|revoke|vapid`

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::Scopes,
    runtime::Config,
    store::{ApiKey, KeyRights, KeyStanding, Store},
};
use watchbell_fallback::channel::VapidKey;
use watchbell_ingest::key;

use crate::{
    cli::{KeyArgs, KeyCommand},
    output,
};

/// Characters of an id that are shown, and that name a key.
const ID_SHOWN: usize = 12;
/// The fewest characters that name one.
const ID_CHARS_MIN: usize = 8;
const KEEP_IT: &str = "Keep it: only its hash is stored, and it is not shown again.";

pub(crate) async fn run(config: &Config, args: KeyArgs) -> anyhow::Result<()> {
    if matches!(args.command, KeyCommand::Vapid) {
        return make_vapid();
    }
    let store = super::store(config, &args.data).await?.by(super::operator());
    let now = Timestamp::now();
    let done = match args.command {
        KeyCommand::Create { tenant, name, scope, own_alerts, expires } => {
            let tenant = super::tenant(tenant.as_deref(), config)?;
            let scopes = if scope.is_empty() { Scopes::DEFAULT } else { Scopes::of(&scope) };
            let expires_at = expires.map(|after| end_of_key(now, after)).transpose()?;
            create(&store, &KeyRights { tenant, scopes, own_alerts, expires_at }, &name, now).await
        }
        KeyCommand::Vapid => Ok(()), // Needs no store: done above.
        KeyCommand::List { json } => list(&store, json, now).await,
        KeyCommand::Rotate { id, overlap, expires } => {
            let expires_at = expires.map(|after| end_of_key(now, after)).transpose()?;
            rotate(&store, &id, overlap, expires_at, now).await
        }
        KeyCommand::Revoke { id } => revoke(&store, &id, now).await,
    };
    store.close().await;
    done
}

fn make_vapid() -> anyhow::Result<()> {
    let key = VapidKey::generate()?;
    output::note("For [webpush]. Keep both: with another pair, every browser has to subscribe again.");
    output::line(format!("public_key = \"{}\"\nprivate_key = \"{}\"", key.public(), key.private().expose()));
    Ok(())
}

async fn create(store: &Store, rights: &KeyRights, name: &str, now: Timestamp) -> anyhow::Result<()> {
    // Without one it is known by its id alone.
    let name = if name.is_empty() { name } else { key::name_of(name).context("--name")? };
    let made = key::generate(&mut rand::rng());
    store.add_api_key(&key::hash(made.expose()), rights, name, now).await?;
    output::note(format!("A key for {}, with the scopes {}. {KEEP_IT}", rights.tenant, rights.scopes));
    output::line(made.expose());
    Ok(())
}

async fn rotate(
    store: &Store,
    id: &str,
    overlap: Duration,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<()> {
    check_id(id)?;
    ending(now, overlap).context("--overlap")?;
    let made = key::generate(&mut rand::rng());
    let rotated = store.rotate_api_key(id, &key::hash(made.expose()), overlap, expires_at, now).await??;
    output::note(format!("The secret of before works until {}. {KEEP_IT}", rotated.before_until));
    output::line(made.expose());
    Ok(())
}

async fn revoke(store: &Store, id: &str, now: Timestamp) -> anyhow::Result<()> {
    check_id(id)?;
    let revoked = store.revoke_api_key(id, now).await?;
    ensure!(revoked > 0, "no working key has an id that begins so");
    output::line(format!("{revoked} revoked. Running workers refuse it within seconds."));
    Ok(())
}

fn check_id(id: &str) -> anyhow::Result<()> {
    ensure!(
        id.len() >= ID_CHARS_MIN,
        "give at least {ID_CHARS_MIN} characters of the id, as `key list` prints it"
    );
    Ok(())
}

fn end_of_key(now: Timestamp, after: Duration) -> anyhow::Result<Timestamp> {
    ensure!(!after.is_zero(), "--expires must be longer than 0s; `watchbell key revoke` ends a key at once");
    ending(now, after).context("--expires")
}

fn ending(now: Timestamp, after: Duration) -> anyhow::Result<Timestamp> {
    now.checked_add(after).context("the time is too far away")
}

async fn list(store: &Store, as_json: bool, now: Timestamp) -> anyhow::Result<()> {
    let secrets = store.api_keys().await?;
    for key in keys_of(&secrets) {
        match as_json {
            true => output::line(key.to_json(now).to_string()),
            false => output::line(key.to_line(now)),
        }
    }
    Ok(())
}

/// One key: its newest secret says what it is, and those of before may still work.
pub(crate) struct ListedKey<'a> {
    newest: &'a ApiKey,
    secrets: Vec<&'a ApiKey>,
}

/// The keys of these secrets, by when the first secret of each was made.
pub(crate) fn keys_of(secrets: &[ApiKey]) -> Vec<ListedKey<'_>> {
    let mut places = BTreeMap::new();
    let mut keys: Vec<ListedKey<'_>> = Vec::new();
    for secret in secrets {
        let place = *places.entry(&secret.id).or_insert(keys.len());
        match keys.get_mut(place) {
            Some(key) => {
                key.newest = secret;
                key.secrets.push(secret);
            }
            None => keys.push(ListedKey { newest: secret, secrets: vec![secret] }),
        }
    }
    keys
}

impl ListedKey<'_> {
    fn last_used_at(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|secret| secret.last_used_at).max()
    }

    /// Until when a secret of before works.
    fn old_secret_until(&self, now: Timestamp) -> Option<Timestamp> {
        let before = self.secrets.iter().filter(|secret| secret.hash != self.newest.hash);
        let working = before.filter(|secret| secret.standing(now) == KeyStanding::Works);
        working
            .filter_map(|secret| secret.replaced_at.into_iter().chain(secret.rights.expires_at).min())
            .max()
    }

    fn to_line(&self, now: Timestamp) -> String {
        let ApiKey { id, name, rights, created_at, .. } = self.newest;
        let id = id.get(..ID_SHOWN).unwrap_or(id);
        let mut line = format!("{id}  {:<16} {:<20} {}", rights.tenant, output::inline(name), rights.scopes);
        if self.newest.is_before_scopes {
            line.push_str(" (made before there were scopes)");
        }
        if rights.own_alerts {
            line.push_str(", its own alerts only");
        }
        let made_at = self.secrets.first().map_or(*created_at, |first| first.created_at);
        line.push_str(&format!("  made {made_at}"));
        if self.secrets.len() > 1 {
            line.push_str(&format!(", rotated {created_at}"));
        }
        match self.last_used_at() {
            Some(at) => line.push_str(&format!(", last used {at}")),
            None => line.push_str(", never used"),
        }
        match self.newest.standing(now) {
            KeyStanding::Works => line.push_str(", works"),
            KeyStanding::Revoked(at) => line.push_str(&format!(", revoked {at}")),
            KeyStanding::Expired(at) => line.push_str(&format!(", expired {at}")),
            KeyStanding::Replaced(at) => line.push_str(&format!(", ended {at}")),
        }
        if let (KeyStanding::Works, Some(at)) = (self.newest.standing(now), rights.expires_at) {
            line.push_str(&format!(" until {at}"));
        }
        if let Some(at) = self.old_secret_until(now) {
            line.push_str(&format!(", its secret of before until {at}"));
        }
        line
    }

    /// All of it, for programs.
    pub(crate) fn to_json(&self, now: Timestamp) -> Value {
        let ApiKey { id, name, rights, created_at, revoked_at, is_before_scopes, .. } = self.newest;
        let state = match self.newest.standing(now) {
            KeyStanding::Works => "works",
            KeyStanding::Revoked(_) => "revoked",
            KeyStanding::Expired(_) => "expired",
            KeyStanding::Replaced(_) => "ended",
        };
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let scopes: Vec<&str> = rights.scopes.iter().map(|scope| scope.as_str()).collect();
        json!({
            "id": id,
            "tenant": rights.tenant.as_str(),
            "name": name,
            "scopes": scopes,
            "made_before_scopes": is_before_scopes,
            "own_alerts": rights.own_alerts,
            "state": state,
            "created_at": text(self.secrets.first().map(|first| first.created_at)),
            "rotated_at": text((self.secrets.len() > 1).then_some(*created_at)),
            "last_used_at": text(self.last_used_at()),
            "expires_at": text(rights.expires_at),
            "revoked_at": text(*revoked_at),
            "old_secret_until": text(self.old_secret_until(now)),
        })
    }
}
