//! The operator's commands, one file each.

pub(crate) mod bench;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod explain;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod restored;
pub(crate) mod send;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod topology;

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use watchbell::{
    domain::Tenant,
    runtime::Config,
    store::{Store, StoreConfig},
};

use crate::{
    cli::{Cli, CompletionsArgs},
    compose, output, up,
};

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "watchbell", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
}

/// The configured store, or that of `up` in its folder.
pub(crate) fn store(config: &Config, data: &Path) -> anyhow::Result<Store> {
    if config.store.url.is_some() {
        return Store::open(&compose::store_config(config)?);
    }
    let file = data.join("watchbell.db");
    anyhow::ensure!(file.exists(), "store.url is not configured, and {} is not there", file.display());
    Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 })
}

/// The tenant asked for, the configured one, or that of `up`.
pub(crate) fn tenant(asked: Option<&str>, config: &Config) -> anyhow::Result<Tenant> {
    let name = asked.or(config.auth.default_tenant.as_deref()).unwrap_or(up::TENANT);
    Tenant::parse(name).context("--tenant")
}
