//! `watchbell config check|show`

use std::path::Path;

use jiff::Timestamp;
use watchbell::{
    domain::{Channel, Tenant, retention::Retention},
    runtime::{
        Config,
        config::{HttpConfig, values::written_duration},
        http::ClientAddressSource,
    },
};
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
    for line in retention(config) {
        output::line(format!("  {line}"));
    }
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

/// What is deleted when, and where that is before alerts expire: what is still escalated stays until it ends, and the rest of
/// such an alert goes.
fn retention(config: &FleetConfig) -> Vec<String> {
    let (rules, policies) = (config.shared.retention(), config.shared.policies());
    let written = |retention: Retention| {
        format!(
            "alerts go {} after their last version and beyond {} in one inbox, attempts and timelines after {}",
            written_duration(retention.alerts_kept),
            retention.alerts_per_person_max,
            written_duration(retention.timelines_kept)
        )
    };
    let mut lines = vec![
        format!("retention: {}", written(rules.everybody)),
        format!(
            "retention: the audit log goes after {}, and what `up` parked after {}",
            written_duration(rules.audit_kept),
            written_duration(rules.parked_kept)
        ),
    ];
    lines.extend(
        rules.tenants.iter().map(|(tenant, own)| format!("tenants.{tenant}.retention: {}", written(*own))),
    );
    let expiries: Vec<_> = policies
        .expiries()
        .map(|(tenant, name, after)| match tenant {
            Some(of) => (tenant, format!("tenants.{of}.policies.{name}.expires_after"), after),
            None => (None, format!("policies.{name}.expires_after"), after),
        })
        .chain([(None, "dispatch.expires_after".to_owned(), config.dispatch.expires_after)])
        .collect();
    let own =
        rules.tenants.iter().map(|(tenant, own)| (Some(tenant), format!("tenants.{tenant}.retention"), *own));
    for (tenant, section, retention) in own.chain([(None, "retention".to_owned(), rules.everybody)]) {
        // What holds for everybody holds for a tenant as well; a tenant's policy is judged by the rules it has.
        let concerns = |of: Option<&Tenant>| match (of, tenant) {
            (Some(of), Some(tenant)) => of == tenant,
            (Some(of), None) => !rules.tenants.contains_key(of),
            (None, _) => true,
        };
        for (_, key, after) in
            expiries.iter().filter(|(of, _, after)| concerns(*of) && retention.alerts_kept < *after)
        {
            lines.push(format!(
                "{section}.alerts_kept ({}) is shorter than {key} ({}): an alert that was seen, or whose steps are used up, is \
                 deleted before it expires; one that is still escalated stays until that ends",
                written_duration(retention.alerts_kept),
                written_duration(*after)
            ));
        }
    }
    lines
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(toml: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("watchbell.toml");
        std::fs::write(&file, toml).unwrap();
        retention(&FleetConfig::load(Some(&file), []).unwrap())
    }

    #[test]
    fn it_is_said_what_is_deleted_and_where_that_is_before_alerts_expire() {
        let all = lines("");
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].contains("2160h") && all[0].contains("1000") && all[0].contains("720h"), "{all:?}");
        assert!(all[1].contains("9600h") && all[1].contains("2160h"), "{all:?}");

        let all = lines(
            "[retention]\nalerts_kept = \"24h\"\n[policies.long]\nsteps = []\nexpires_after = \"48h\"\n\
             [tenants.acme.retention]\nalerts_kept = \"100h\"\n\
             [tenants.acme.policies.own]\nsteps = []\nexpires_after = \"99h\"\n\
             [tenants.other.policies.own]\nsteps = []\nexpires_after = \"25h\"",
        );
        let shorter: Vec<(&str, &str)> = all
            .iter()
            .filter_map(|line| line.split_once(" is shorter than "))
            .map(|(kept, expiry)| (kept.split_once(' ').unwrap().0, expiry.split_once(' ').unwrap().0))
            .collect();
        assert_eq!(
            shorter,
            [
                ("tenants.acme.retention.alerts_kept", "dispatch.expires_after"),
                ("retention.alerts_kept", "tenants.other.policies.own.expires_after"),
                ("retention.alerts_kept", "policies.long.expires_after"),
                ("retention.alerts_kept", "dispatch.expires_after"),
            ],
            "{all:?}"
        );
    }
}
