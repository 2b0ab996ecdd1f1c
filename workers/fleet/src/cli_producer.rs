//! Where a running fleet is, for the commands that talk to one.

use std::path::PathBuf;

use clap::Args;

use crate::given_address::fleet_address;

/// A running fleet and the key to publish to it. By default those in the `demo.json` that `up` writes.
#[derive(Args, Clone)]
pub(crate) struct ProducerArgs {
    /// The address of the fleet, like `http://host:7700`.
    #[arg(long, global = true, env = "WATCHBELL_URL", value_parser = fleet_address)]
    pub(crate) url: Option<String>,
    /// An API key.
    #[arg(long, global = true, env = "WATCHBELL_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// The data folder of `watchbell up`, whose `demo.json` is used if no address is given.
    #[arg(long, global = true, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}
