//! `watchbell doctor`: what can be found out before workers run, and while they do, each with what to do about it.
//!
//! What holds here:
//! - Gathering is apart from judging. What was seen of the broker, the store, the providers and the public address is
//!   data; what it means is decided by pure functions, which the tests plant faults in.
//! - What a worker needs of the configuration is in [`requirements`], where `run` and `config check` ask as well.
//! - Nothing is changed, nobody is told anything, and no secret is printed.
//!
//! | file | what |
//! |---|---|
//! | `finding.rs` | what one check found, and how it is written |
//! | `requirements.rs` | what each worker needs of the configuration |
//! | `retention.rs` | what is deleted when, in words |
//! | `advice.rs` | what else an operator should know of it |
//! | `policies.rs` | steps of policies that no alert comes to |
//! | `proxies.rs` | proxies that cannot all be the operator's |
//! | `up.rs` | what concerns `watchbell up` |
//! | `broker.rs`, `management.rs` | the broker, by AMQP and by its management API |
//! | `store.rs` | the store |
//! | `providers.rs` | the providers |
//! | `tracing.rs` | the collector of traces |
//! | `sign_in.rs` | the sign-in service of operators |
//! | `public.rs` | the address as clients see it |
//! | `tests.rs`, `seen_tests.rs` | planted faults of the configuration and of services, each found with its remedy |

mod advice;
mod broker;
pub(crate) mod finding;
mod management;
pub(crate) mod policies;
mod providers;
pub(crate) mod proxies;
mod public;
pub(crate) mod requirements;
pub(crate) mod retention;
mod sign_in;
mod store;
mod tracing;
mod up;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::json;

use crate::{addresses, cli::Role, cli_doctor::DoctorArgs, config::FleetConfig, output};
use finding::{Finding, Verdict, without_repetitions};

/// Prints a line for each check, and fails when something does not work.
///
/// # Errors
/// Says how many checks failed.
pub(crate) async fn run(args: DoctorArgs, config: anyhow::Result<FleetConfig>) -> anyhow::Result<()> {
    let findings = match &config {
        Ok(config) => without_repetitions(Box::pin(examine(&args, config)).await),
        Err(error) => {
            let remedy = "correct it; watchbell.example.toml has every setting with its meaning";
            vec![Finding::fail("configuration", format!("{error:#}"), remedy)]
        }
    };
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (warned, failed) = (count(Verdict::Warn), count(Verdict::Fail));
    if args.json {
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
        output::line(json!({"verdict": verdict, "warned": warned, "failed": failed, "findings": findings}));
    } else {
        for finding in &findings {
            output::line(output::inline(&finding.to_string()));
        }
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", findings.len());
    }
    Ok(())
}

async fn examine(args: &DoctorArgs, config: &FleetConfig) -> Vec<Finding> {
    let now = Timestamp::now();
    if up::is_meant(args, config) {
        return examine_up(args, config, now).await;
    }
    let roles: &[Role] = if args.roles.is_empty() { &requirements::WORKERS } else { &args.roles };
    let mut findings: Vec<Finding> = roles.iter().flat_map(|role| requirements::of(*role, config)).collect();
    findings.extend(advice::of(roles, config, now));
    if args.connect {
        findings.extend(connect(args, roles, config, now).await);
    }
    if let Some(address) = &args.public {
        findings.extend(look_at_public(address, args, config, now).await);
    }
    findings
}

async fn examine_up(args: &DoctorArgs, config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    let mut findings = up::of(&args.data, config, now);
    if args.connect {
        findings.push(up::look(&args.data, config).await);
        findings.extend(providers::look(config, now).await);
        findings.extend(tracing::look(&config.shared.tracing).await);
        findings.extend(sign_in::look(&config.console, now).await);
    }
    if let Some(address) = &args.public {
        findings.extend(look_at_public(address, args, config, now).await);
    }
    findings
}

/// Looks at everything that workers connect to. What is not configured was said before.
async fn connect(args: &DoctorArgs, roles: &[Role], config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(store) = addresses::store_config(&config.shared) {
        findings.extend(store::look(&store).await);
    }
    if let Some(url) = &config.shared.broker.url
        && let Ok(rabbit) = addresses::rabbit_config(&config.shared, &[])
        && rabbit.check().is_ok()
    {
        findings.extend(broker::look(&rabbit, roles, config, now).await);
        findings.extend(match &args.management {
            Some(address) => management::look(address, url.expose()).await,
            None => vec![Finding::warn(
                "broker management",
                "nodes, members of queues and policies were not looked at: AMQP does not tell them",
                "give --management http://USER:PASSWORD@HOST:15672",
            )],
        });
    }
    if roles.contains(&Role::Fallback) {
        findings.extend(providers::look(config, now).await);
    }
    findings.extend(tracing::look(&config.shared.tracing).await);
    findings.extend(sign_in::look(&config.console, now).await);
    findings
}

async fn look_at_public(
    address: &str,
    args: &DoctorArgs,
    config: &FleetConfig,
    now: Timestamp,
) -> Vec<Finding> {
    let token = args.token.as_deref().map(Into::into);
    match public::look(address, token.as_ref(), &config.socket.allowed_origins).await {
        Ok(seen) => public::of_public(&seen, config.shared.http.public_url.as_deref(), address, now),
        Err(error) => vec![Finding::fail("public address", format!("{error:#}"), "correct --public")],
    }
}

#[cfg(test)]
mod seen_tests;
#[cfg(test)]
mod tests;
