//! `watchbell migrate`, and `migrate --check --wait`: what a pod waits for before it starts.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};
use watchbell::{
    runtime::{
        Config,
        health::{Fault, Seen},
    },
    store::Store,
};

use super::{in_words, obstacle};
use crate::{addresses, cli::MigrateArgs, output};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(config: &Config, args: &MigrateArgs) -> anyhow::Result<()> {
    let store = Store::open(&addresses::store_config(config)?)?;
    if args.check {
        let outcome = wait(&store, args.wait.unwrap_or_default()).await;
        store.close().await;
        return outcome;
    }
    store.migrate().await?;
    let schema = store.look().await.schema;
    store.close().await;
    match schema {
        Seen::Degraded(fault) => output::line(format!("Nothing to do: {}.", fault.cause)),
        Seen::Ok | Seen::Failing(_) | Seen::Hidden => {
            output::line("The store has the schema of this version.");
        }
    }
    Ok(())
}

/// Waits until a worker of this version can work on the store; says each cause once.
async fn wait(store: &Store, wait_max: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + wait_max;
    let mut told: Option<Fault> = None;
    loop {
        let Some(fault) = obstacle(store.look().await) else {
            output::line("The store has the schema that this version needs.");
            return Ok(());
        };
        if Instant::now() >= until {
            bail!("{}", in_words(&fault));
        }
        if told.as_ref() != Some(&fault) {
            output::note(format!("Waiting: {}", in_words(&fault)));
            told = Some(fault);
        }
        sleep(LOOK_EVERY).await;
    }
}
