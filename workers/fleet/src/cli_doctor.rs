//! The arguments of `watchbell doctor`.

use std::path::PathBuf;

use clap::Args;

use crate::role::Role;

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// The workers to look at: by default all four, or `up` where it has run and no fleet is configured. A pod's own
    /// configuration is looked at with its own worker: `watchbell doctor socket`.
    pub(crate) roles: Vec<Role>,
    /// The data folder of `watchbell up`, looked at if neither a broker nor a store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
    /// Look at the broker and the store, or at the process of `up`, and ask every provider, too. Nothing is changed, and nobody is told anything.
    #[arg(long)]
    pub(crate) connect: bool,
    /// RabbitMQ's management API, like `http://user:password@host:15672`, for what AMQP does not tell: nodes, members of
    /// queues, policies.
    #[arg(long, value_name = "URL", env = "WATCHBELL_MANAGEMENT_URL", hide_env_values = true)]
    pub(crate) management: Option<String>,
    /// The address at which clients reach socket, like `https://alerts.example.com`: look at it as they do.
    #[arg(long, value_name = "URL")]
    pub(crate) public: Option<String>,
    /// A user's token, with which --public opens server-sent events for a moment.
    #[arg(long, value_name = "TOKEN", env = "WATCHBELL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
