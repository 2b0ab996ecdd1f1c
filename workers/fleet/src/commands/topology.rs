//! `watchbell topology show|apply|check`

use watchbell::{
    broker::{rabbitmq, topology},
    runtime::Config,
};

use crate::{
    addresses,
    cli::{TopologyArgs, TopologyCommand},
    output,
};

/// `config` is read only where it is needed: `show` works anywhere.
pub(crate) async fn run(
    args: TopologyArgs,
    config: impl Fn() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    match args.command {
        TopologyCommand::Show => output::line(topology::describe()),
        TopologyCommand::Apply => {
            rabbitmq::apply_topology(&addresses::rabbit_config(&config()?, &[])?).await?;
            output::line("Every exchange, queue and binding is there.");
        }
        TopologyCommand::Check => {
            rabbitmq::check_topology(&addresses::rabbit_config(&config()?, &[])?).await?;
            output::line("Every exchange and queue is there.");
        }
    }
    Ok(())
}
