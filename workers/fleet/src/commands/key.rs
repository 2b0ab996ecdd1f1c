//! `watchbell key create|list|revoke|vapid`

use anyhow::ensure;
use jiff::Timestamp;
use watchbell::{runtime::Config, store::KeyRights};
use watchbell_fallback::channel::VapidKey;
use watchbell_ingest::key;

use crate::{
    cli::{KeyArgs, KeyCommand},
    output,
};

/// Characters of a hash that are shown, and that name a key.
const HASH_SHOWN: usize = 12;

pub(crate) async fn run(config: &Config, args: KeyArgs) -> anyhow::Result<()> {
    if matches!(args.command, KeyCommand::Vapid) {
        let key = VapidKey::generate()?;
        output::note("For [webpush]. Keep both: with another pair, every browser has to subscribe again.");
        output::line(format!(
            "public_key = \"{}\"\nprivate_key = \"{}\"",
            key.public(),
            key.private().expose()
        ));
        return Ok(());
    }
    let store = super::store(config, &args.data).await?;
    match args.command {
        KeyCommand::Create { tenant, name, own_alerts } => {
            let tenant = super::tenant(tenant.as_deref(), config)?;
            let made = key::generate(&mut rand::rng());
            let rights = KeyRights { tenant, own_alerts };
            store.add_api_key(&key::hash(made.expose()), &rights, &name, Timestamp::now()).await?;
            output::note("Keep it: only its hash is stored, and it is not shown again.");
            output::line(made.expose());
        }
        KeyCommand::Vapid => {} // Needs no store: done above.
        KeyCommand::List => {
            for key in store.api_keys().await? {
                let state = key.revoked_at.map_or("works".to_owned(), |at| format!("revoked {at}"));
                let hash = key.hash.get(..HASH_SHOWN).unwrap_or(&key.hash);
                output::line(format!(
                    "{hash}  {:<16} {:<20} made {}  {state}{}",
                    key.tenant,
                    output::inline(&key.name),
                    key.created_at,
                    if key.own_alerts { ", its own alerts only" } else { "" }
                ));
            }
        }
        KeyCommand::Revoke { hash } => {
            ensure!(hash.len() >= 8, "give at least 8 characters of the hash, as `key list` prints it");
            let revoked = store.revoke_api_key(&hash, Timestamp::now()).await?;
            ensure!(revoked > 0, "no working key has a hash that begins so");
            output::line(format!("{revoked} revoked. Running workers refuse it within seconds."));
        }
    }
    store.close().await;
    Ok(())
}
