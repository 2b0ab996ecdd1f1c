//! `watchbell config check|show`

use std::path::Path;

use jiff::Timestamp;
use watchbell::{domain::Channel, runtime::Config};
use watchbell_fallback::Channels;
use watchbell_ingest::{ConfiguredHooks, Routes, Setting, routes_of_sample};
use watchbell_socket::Authenticator;

use crate::{
    cli::{ConfigArgs, ConfigCommand},
    compose,
    config::FleetConfig,
    output,
};

pub(crate) fn run(args: &ConfigArgs, config: &FleetConfig) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Show => output::line(config),
        ConfigCommand::Check { sample: None, .. } => check(config)?,
        ConfigCommand::Check { sample: Some(sample), tenant } => explain(config, sample, tenant.as_deref())?,
    }
    Ok(())
}

/// Which route an alert takes, and why.
fn explain(config: &FleetConfig, sample: &Path, tenant: Option<&str>) -> anyhow::Result<()> {
    let policies = config.shared.policies();
    let tenant = super::tenant_or_demo(tenant, &config.shared)?;
    let setting = Setting {
        hooks: &ConfiguredHooks::default(),
        routes: &Routes::new(&config.route, &policies)?,
        policies: &policies,
        tenant: &tenant,
        query: "",
        now: Timestamp::now(),
    };
    let lines = routes_of_sample(&super::hook::read(sample)?, setting);
    for line in lines.map_err(|problem| super::hook::refused(&problem))? {
        output::line(output::inline(&line));
    }
    Ok(())
}

/// What is written is right, or it is an error, as it is for `run`; what is missing only narrows what can run.
fn check(config: &FleetConfig) -> anyhow::Result<()> {
    compose::check_seams(&config.shared)?;
    // A key or a file that is there but wrong is an error; one that is missing only narrows what can run.
    let channels = Channels::from_config(&config.channels, &without_half_a_key(&config.shared))?;
    let unconfigured =
        |channel: Channel| channels.get(channel).is_none().then(|| channel.facts().phrases.setup);
    ConfiguredHooks::new(&config.hook)?;
    Routes::new(&config.route, &config.shared.policies())?;
    let auth = &config.shared.auth;
    if auth.hs256_secret.is_some() || !auth.public_key_files.is_empty() || auth.jwks_url.is_some() {
        Authenticator::new(&config.shared.auth)?;
    }
    output::line("The configuration is valid.");
    let seams =
        compose::store_config(&config.shared).and(compose::rabbit_config(&config.shared, &[])).map(drop);
    let is_half = config.shared.webpush.as_ref().is_some_and(|webpush| webpush.private_key.is_none());
    let half = "webpush.private_key is not configured, which fallback needs and socket does not";
    let workers = [
        ("run (any worker)", seams.err().map(|error| error.to_string())),
        ("run socket", Authenticator::new(&config.shared.auth).err().map(|error| error.to_string())),
        ("run fallback", is_half.then(|| half.to_owned())),
        (
            "subscriptions of browsers",
            config.shared.webpush.is_none().then(|| "[webpush] is not configured".to_owned()),
        ),
    ];
    let by_channel = Channel::ALL.map(|channel| {
        let missing = unconfigured(channel).map(|setup| format!("{setup} is not configured"));
        (channel.as_str(), missing)
    });
    for (what, missing) in workers.into_iter().chain(by_channel) {
        output::line(match missing {
            None => format!("  {what}: yes"),
            Some(missing) => format!("  {what}: no, {missing}"),
        });
    }
    output::line(match config.shared.producers().is_mapped() {
        true => "  producers over AMQP: each publishes for the tenants of its [[broker.producer]]",
        false => {
            "  producers over AMQP: whoever may publish may name any tenant, because no [[broker.producer]] maps users to tenants"
        }
    });
    // A worker that sends nothing needs no channel, and reads the same policies.
    for (policy, channel) in config.shared.channels_of_policies() {
        if let Some(setup) = unconfigured(channel) {
            output::line(format!(
                "  {policy}: its step by {channel} is skipped, because {setup} is not configured"
            ));
        }
    }
    Ok(())
}

/// Without `[webpush]` when only its public half is there, as socket has it, which sends nothing.
fn without_half_a_key(config: &Config) -> Config {
    let mut config = config.clone();
    config.webpush = config.webpush.filter(|webpush| webpush.private_key.is_some());
    config
}
