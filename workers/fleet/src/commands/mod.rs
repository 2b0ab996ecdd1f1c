//! The operator's commands, one file each.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod explain;
mod explain_person;
pub(crate) mod hook;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod people;
pub(crate) mod restored;
pub(crate) mod send;
mod send_file;
mod send_notes;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod topology;
pub(crate) mod welcome;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::CommandFactory as _;
use jiff::Timestamp;
use watchbell::{
    domain::{Tenant, audit::Actor},
    runtime::{
        Config,
        config::{InvalidDuration, read_duration},
        health::{Fault, Seen},
    },
    store::{Look, Store, StoreConfig},
    wire::time::time_of,
};

use crate::{
    addresses,
    cli::{Cli, CompletionsArgs, DocsArgs},
    demo_people, manual, output,
};

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "watchbell", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
}

/// Writes the manual.
pub(crate) fn docs(args: &DocsArgs) -> anyhow::Result<()> {
    let files = manual::write(&args.out)?;
    output::line(format!("{files} files in {}: open index.html.", args.out.display()));
    Ok(())
}

/// The configured store, in a state to work with, or that of `up` in its folder.
pub(crate) async fn store(config: &Config, data: &Path) -> anyhow::Result<Store> {
    if config.store.url.is_some() {
        let store = Store::open(&addresses::store_config(config)?)?;
        return match obstacle(store.look().await) {
            Some(fault) => bail!("{}", in_words(&fault)),
            None => Ok(store),
        };
    }
    let file = data.join("watchbell.db");
    ensure!(file.exists(), "store.url is not configured, and {} is not there", file.display());
    Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 })
}

/// Characters of an operator's name that are noted.
const OPERATOR_CHARS_MAX: usize = 64;

/// Whoever typed the command, for the audit log: their name on this machine, as far as it says.
pub(crate) fn operator() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.map(|name| name.chars().take(OPERATOR_CHARS_MAX).collect::<String>());
    Actor::CommandLine(name.filter(|name| !name.is_empty()))
}

/// The tenant asked for, the configured one, or that of `up`. Of a fleet, which is configured, it must be one of the first
/// two: `demo` is nobody's there.
pub(crate) fn tenant(asked: Option<&str>, config: &Config) -> anyhow::Result<Tenant> {
    let is_up = config.store.url.is_none() && config.auth.hs256_secret.is_none();
    if asked.is_none() && config.auth.default_tenant.is_none() && !is_up {
        bail!("give --tenant: auth.default_tenant is not configured");
    }
    tenant_or_demo(asked, config)
}

/// The same for samples, of which nothing is kept.
pub(crate) fn tenant_or_demo(asked: Option<&str>, config: &Config) -> anyhow::Result<Tenant> {
    let name = asked.or(config.auth.default_tenant.as_deref()).unwrap_or(demo_people::TENANT);
    Tenant::parse(name).context("--tenant")
}

/// What keeps a worker from working.
pub(crate) fn obstacle(look: Look) -> Option<Fault> {
    [look.store, look.schema].into_iter().find_map(|seen| match seen {
        Seen::Failing(fault) => Some(fault),
        Seen::Ok | Seen::Degraded(_) | Seen::Hidden => None,
    })
}

/// For a person at a terminal.
pub(crate) fn in_words(Fault { cause, remedy }: &Fault) -> String {
    match remedy {
        Some(remedy) => format!("{cause}: {remedy}"),
        None => cause.clone().into_owned(),
    }
}

/// A time, or how long before `now` it was, as `option` says it.
fn moment(option: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    match read_duration(text) {
        Ok(ago) => now.checked_sub(ago).with_context(|| format!("{option} is too long ago")),
        Err(too_long @ InvalidDuration::TooLong) => bail!("{option}: a duration {too_long}"),
        Err(InvalidDuration::NotOne) => time_of(text).ok().with_context(|| {
            format!("{option} must be a duration such as 24h or 7d, or a time such as 2026-11-30T12:00:00Z")
        }),
    }
}

/// Refuses times between which there is nothing.
fn in_order(since: Timestamp, until: Timestamp) -> anyhow::Result<()> {
    ensure!(since <= until, "--since ({since:.0}) is later than --until ({until:.0}): nothing is in between");
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", Some("2026-11-29T12:00:00Z")),
            ("7d", Some("2026-11-23T12:00:00Z")),
            ("2026-11-30T08:00:00Z", Some("2026-11-30T08:00:00Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-30T22:00:00Z")),
            ("yesterday", None),
            ("24", None),
            ("100000d", None),
        ] {
            let at = moment("--since", text, now).ok();
            assert_eq!(at, expected.map(|text| text.parse().unwrap()), "{text}");
        }
        let refused = |text| moment("--since", text, now).unwrap_err().to_string();
        assert_eq!(refused("100000d"), "--since: a duration must be at most 87600h (3650d)");
        assert!(refused("24").contains("such as 24h or 7d, or a time such as"));
    }

    #[test]
    fn times_with_nothing_in_between_are_refused() {
        let [early, late]: [Timestamp; 2] =
            ["2026-11-30T11:00:00Z", "2026-11-30T12:00:00Z"].map(|text| text.parse().unwrap());
        assert!(in_order(early, late).is_ok() && in_order(early, early).is_ok());
        let refused = in_order(late, early).unwrap_err().to_string();
        let said = "--since (2026-11-30T12:00:00Z) is later than --until (2026-11-30T11:00:00Z): nothing is in between";
        assert_eq!(refused, said);
    }
}
