//! `watchbell restored`: for the operator who put a backup back in a way that nothing else gives away.

use watchbell::runtime::Config;

use crate::{cli::RestoredArgs, output};

pub(crate) async fn run(config: &Config, args: &RestoredArgs) -> anyhow::Result<()> {
    let store = super::store(config, &args.data).await?;
    store.begin_history(None).await?;
    let history = store.history().await?;
    store.close().await;
    output::line(format!(
        "A new history begins: {}. Pods notice within seconds, and every client fetches its inbox once.",
        history.name
    ));
    Ok(())
}
