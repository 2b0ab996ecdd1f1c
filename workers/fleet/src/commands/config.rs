//! `watchbell config check|show`

use watchbell::runtime::Config;
use watchbell_socket::Authenticator;

use crate::{
    cli::{ConfigArgs, ConfigCommand},
    compose, output, providers,
};

pub(crate) fn run(args: &ConfigArgs, config: &Config) -> anyhow::Result<()> {
    match args.command {
        ConfigCommand::Show => output::line(config),
        ConfigCommand::Check => check(config)?,
    }
    Ok(())
}

/// What is written is right, or `Config::load` would have said so; this says what it is enough for.
fn check(config: &Config) -> anyhow::Result<()> {
    // A key or a file that is there but wrong is an error; one that is missing only narrows what can run.
    providers::from_config(config)?;
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
