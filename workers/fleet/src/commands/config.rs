//! `watchbell config check|show`

use std::path::Path;

use jiff::Timestamp;
use watchbell::runtime::Config;
use watchbell_ingest::{ConfiguredHooks, Routes, Setting, routes_of_sample};
use watchbell_socket::Authenticator;

use crate::{
    cli::{ConfigArgs, ConfigCommand},
    compose, output, providers,
};

pub(crate) fn run(args: &ConfigArgs, config: &Config) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Show => output::line(config),
        ConfigCommand::Check { sample: None, .. } => check(config)?,
        ConfigCommand::Check { sample: Some(sample), tenant } => explain(config, sample, tenant.as_deref())?,
    }
    Ok(())
}

/// Which route an alert takes, and why.
fn explain(config: &Config, sample: &Path, tenant: Option<&str>) -> anyhow::Result<()> {
    let policies = config.policies();
    let tenant = super::tenant_or_demo(tenant, config)?;
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

/// What is written is right, or `Config::load` would have said so; this says what it is enough for.
fn check(config: &Config) -> anyhow::Result<()> {
    // A key or a file that is there but wrong is an error; one that is missing only narrows what can run.
    providers::from_config(config)?;
    ConfiguredHooks::new(&config.hook)?;
    Routes::new(&config.route, &config.policies())?;
    let auth = &config.auth;
    if auth.hs256_secret.is_some() || !auth.public_key_files.is_empty() || auth.jwks_url.is_some() {
        Authenticator::new(&config.auth)?;
    }
    output::line("The configuration holds together.");
    let seams = compose::store_config(config).and(compose::rabbit_config(config, &[])).map(drop);
    for (what, missing) in [
        ("run (any worker)", seams.err().map(|error| error.to_string())),
        ("run socket", Authenticator::new(&config.auth).err().map(|error| error.to_string())),
        ("push to Apple", config.apns.is_none().then(|| "[apns] is not there".to_owned())),
        ("push to Google", config.fcm.is_none().then(|| "[fcm] is not there".to_owned())),
        ("email", config.email.is_none().then(|| "[email] is not there".to_owned())),
    ] {
        output::line(match missing {
            None => format!("  {what}: yes"),
            Some(missing) => format!("  {what}: no, {missing}"),
        });
    }
    Ok(())
}
