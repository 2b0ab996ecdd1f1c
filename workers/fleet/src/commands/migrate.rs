//! `watchbell migrate`

use watchbell::{runtime::Config, store::Store};

use crate::{compose, output};

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = Store::open(&compose::store_config(config)?)?;
    store.migrate().await?;
    store.close().await;
    output::line("The store is up to this version.");
    Ok(())
}
