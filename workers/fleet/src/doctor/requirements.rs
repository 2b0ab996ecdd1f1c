//! What each worker needs of the configuration. `run`, `config check` and `doctor` ask here and nowhere else, so they agree.
//!
//! Nothing is dialled: addresses and files are read as `run` reads them.

use anyhow::{Context as _, ensure};
use watchbell::{runtime::Config, store::Store};
use watchbell_fallback::Channels;
use watchbell_ingest::{ConfiguredHooks, Routes};
use watchbell_socket::Authenticator;

use super::finding::{Finding, Verdict};
use crate::{addresses, cli::Role, config::FleetConfig, traces::Collector};

/// The workers of a fleet. The simulator and the demo page are none: they are for trying out.
pub(crate) const WORKERS: [Role; 4] = [Role::Ingest, Role::Dispatch, Role::Socket, Role::Fallback];

/// What this worker needs, each with whether it is there.
pub(crate) fn of(role: Role, config: &FleetConfig) -> Vec<Finding> {
    let shared = &config.shared;
    if role.standing().is_none() {
        return Vec::new();
    }
    let mut findings = vec![
        judged("store.url", store(shared), "is an address", "set store.url, or correct it"),
        judged(
            "broker.url",
            broker(shared),
            "is an address, and its certificates can be read",
            "set broker.url, or correct it",
        ),
    ];
    findings.extend(collector(shared));
    if config.console.oidc.is_some() {
        let operators = config
            .operations
            .tenant
            .as_ref()
            .context("console.oidc needs operations.tenant, or there is no console");
        let found = "operators sign in by console.oidc as well";
        findings.push(judged("console.oidc", operators.map(drop), found, "set operations.tenant"));
    }
    match role {
        Role::Ingest => findings.extend(hooks_and_routes(config)),
        Role::Socket => findings.push(sign_in(shared)),
        Role::Fallback => findings.push(senders(config)),
        Role::Dispatch | Role::Simulator | Role::Demo => {}
    }
    findings
}

/// What `up` needs, which makes itself whatever is not written: that what is written can be used.
pub(super) fn of_up(config: &FleetConfig) -> Vec<Finding> {
    let (shared, auth) = (&config.shared, &config.shared.auth);
    let mut findings: Vec<Finding> = collector(shared).into_iter().collect();
    findings.extend(hooks_and_routes(config));
    if auth.hs256_secret.is_some() || !auth.public_key_files.is_empty() || auth.jwks_url.is_some() {
        findings.push(sign_in(shared));
    }
    findings.push(senders(config));
    findings
}

fn collector(shared: &Config) -> Option<Finding> {
    shared.tracing.endpoint.as_ref()?;
    let sent = Collector::of(&shared.tracing, "").map(drop);
    Some(judged("tracing", sent, "spans can be sent to tracing.endpoint", "correct [tracing]"))
}

fn hooks_and_routes(config: &FleetConfig) -> [Finding; 2] {
    let hooks = ConfiguredHooks::new(&config.hook).map(drop);
    let routes = Routes::new(&config.route, &config.shared.policies()).map(drop);
    [
        judged("hook", hooks, "every [[hook]] can be read", "correct the [[hook]]"),
        judged("route", routes, "every [[route]] can be read", "correct the [[route]]"),
    ]
}

fn sign_in(shared: &Config) -> Finding {
    let signed_in = Authenticator::new(&shared.auth).map(drop);
    judged("auth", signed_in, "tokens of users can be judged", "correct [auth]")
}

fn senders(config: &FleetConfig) -> Finding {
    let remedy = "correct that section, or take it out whole";
    judged("channels", channels(config), "what is configured of them can be used", remedy)
}

/// Refuses to begin with what would not work.
///
/// # Errors
/// Says all that is wrong.
pub(crate) fn ensure_met(roles: &[Role], config: &FleetConfig) -> anyhow::Result<()> {
    let missing = unmet(roles, config);
    ensure!(missing.is_empty(), "{}", missing.join("; "));
    Ok(())
}

/// What is wrong, or missing, for these workers.
pub(crate) fn unmet(roles: &[Role], config: &FleetConfig) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for finding in roles.iter().flat_map(|role| of(*role, config)) {
        if finding.verdict == Verdict::Fail && !missing.contains(&finding.found) {
            missing.push(finding.found);
        }
    }
    missing
}

fn judged(check: &str, needed: anyhow::Result<()>, found: &str, remedy: &str) -> Finding {
    match needed {
        Ok(()) => Finding::ok(check, found),
        Err(error) => Finding::fail(check, format!("{error:#}"), remedy),
    }
}

fn store(config: &Config) -> anyhow::Result<()> {
    Store::open(&addresses::store_config(config)?).map(drop)
}

fn broker(config: &Config) -> anyhow::Result<()> {
    addresses::rabbit_config(config, &[])?.check()
}

fn channels(config: &FleetConfig) -> anyhow::Result<()> {
    if let Some(webpush) = &config.shared.webpush {
        webpush
            .private_key
            .as_ref()
            .context("webpush.private_key is not configured, which fallback needs and socket does not")?;
    }
    Channels::from_config(&config.channels, &config.shared).map(drop)
}
