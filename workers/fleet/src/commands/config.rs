//! `watchbell config check|show`

use std::path::Path;

use jiff::Timestamp;
use watchbell::{
    domain::Channel,
    runtime::{Config, config::HttpConfig, http::ClientAddressSource},
    store::Store,
};
use watchbell_fallback::Channels;
use watchbell_ingest::{ConfiguredHooks, Routes, Setting, routes_of_sample};
use watchbell_socket::Authenticator;

use crate::{
    addresses,
    cli::{ConfigArgs, ConfigCommand, Role},
    config::FleetConfig,
    doctor::{policies, proxies, requirements, retention},
    output,
    traces::Collector,
};

pub(crate) fn run(args: &ConfigArgs, config: &FleetConfig) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::Show => output::line(config),
        ConfigCommand::Check { sample: None, roles, .. } => check(config, roles)?,
        ConfigCommand::Check { sample: Some(sample), tenant, .. } => {
            explain(config, sample, tenant.as_deref())?;
        }
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

/// What is written is right, or it is an error, as it is for `run`; what is missing only narrows what can run, unless
/// `roles` have to.
fn check(config: &FleetConfig, roles: &[Role]) -> anyhow::Result<()> {
    refuse_what_is_wrong(config)?;
    requirements::ensure_met(roles, config)?;
    output::line("The configuration is valid.");
    if roles.is_empty() {
        output::line(
            "  up: yes, with a broker and a store of its own, and with the simulator in place of every provider that is not configured",
        );
    }
    if roles.is_empty() && !config.is_for_a_fleet() {
        output::line(
            "  run: not yet, and `up` does not need it. A fleet has its broker and its store at broker.url and store.url; \
             `watchbell config check ROLE…` says what else a worker needs",
        );
    } else {
        tell_of_a_fleet(config, roles)?;
    }
    say("traces", config.shared.tracing.endpoint.is_none().then(|| "tracing.endpoint is not set".to_owned()));
    for line in retention::lines(config) {
        output::line(format!("  {line}"));
    }
    if let Some(found) = proxies::too_wide(&config.shared.http) {
        output::line(format!("  http.trusted_proxies: {found}: {}", proxies::REMEDY));
    }
    for (policy, found) in policies::late_steps(&config.shared.policies(), config.dispatch.expires_after) {
        output::line(format!("  {policy}: {found}: {}", policies::REMEDY));
    }
    Ok(())
}

/// What its workers have and lack.
fn tell_of_a_fleet(config: &FleetConfig, roles: &[Role]) -> anyhow::Result<()> {
    let workers = if roles.is_empty() { &requirements::WORKERS } else { roles };
    for role in workers {
        let missing = requirements::unmet(&[*role], config);
        say(&format!("run {}", role.word()), (!missing.is_empty()).then(|| missing.join("; ")));
    }
    let browsers = config.shared.webpush.is_none().then(|| "[webpush] is not configured".to_owned());
    say("subscriptions of browsers", browsers);
    // Only fallback sends, so only it is asked for the keys.
    let channels = Channels::from_config(&config.channels, &without_half_a_key(&config.shared))?;
    let unconfigured =
        |channel: Channel| channels.get(channel).is_none().then(|| channel.facts().phrases.setup);
    for channel in Channel::ALL {
        let missing = unconfigured(channel).map(|setup| format!("{setup} is not configured"));
        say(channel.as_str(), missing);
    }
    output::line(match config.shared.producers().is_mapped() {
        true => "  producers over AMQP: each publishes for the tenants of its [[broker.producer]]",
        false => {
            "  producers over AMQP: whoever may publish may name any tenant, because no [[broker.producer]] maps users to tenants"
        }
    });
    output::line(format!("  {}", whose_address_counts(&config.shared.http)));
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

/// A key or a file that is there but wrong is an error, whichever worker it is for.
fn refuse_what_is_wrong(config: &FleetConfig) -> anyhow::Result<()> {
    let shared = &config.shared;
    if shared.store.url.is_some() {
        Store::open(&addresses::store_config(shared)?)?;
    }
    if shared.broker.url.is_some() {
        addresses::rabbit_config(shared, &[])?.check()?;
    }
    Collector::of(&shared.tracing, "")?;
    ConfiguredHooks::new(&config.hook)?;
    Routes::new(&config.route, &shared.policies())?;
    let auth = &shared.auth;
    if auth.hs256_secret.is_some() || !auth.public_key_files.is_empty() || auth.jwks_url.is_some() {
        Authenticator::new(auth)?;
    }
    Channels::from_config(&config.channels, &without_half_a_key(shared)).map(drop)
}

fn say(what: &str, missing: Option<String>) {
    output::line(match missing {
        None => format!("  {what}: yes"),
        Some(missing) => format!("  {what}: no, {missing}"),
    });
}

/// What limits by address go by. A balancer that hides addresses cannot be seen from here, so it is said what it would do.
fn whose_address_counts(http: &HttpConfig) -> String {
    let named = match (http.trusted_proxies.is_empty(), http.client_address) {
        (true, _) => {
            return format!(
                "limits by address: of whoever connects. A proxy or a balancer that puts its own address in the place of \
                 its clients' (SNAT) makes them one, with the {} connections of a private address: name it in \
                 http.trusted_proxies",
                http.connections_per_private_address_max
            );
        }
        (false, ClientAddressSource::XForwardedFor) => "the header X-Forwarded-For",
        (false, ClientAddressSource::Forwarded) => "the header Forwarded",
        (false, ClientAddressSource::ProxyProtocol) => "the PROXY protocol",
    };
    format!(
        "limits by address: of whom the trusted proxies name by {named}. Before a proxy, a balancer of connections must \
         not hide addresses (SNAT), or all its clients are one"
    )
}

/// Without `[webpush]` when only its public half is there, as socket has it, which sends nothing.
fn without_half_a_key(config: &Config) -> Config {
    let mut config = config.clone();
    config.webpush = config.webpush.filter(|webpush| webpush.private_key.is_some());
    config
}
