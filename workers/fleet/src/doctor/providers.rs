//! What each provider says to a dry run.

use jiff::Timestamp;
use watchbell::domain::Channel;
use watchbell_fallback::{
    Channels,
    channel::{DryRun, SendError},
};

use super::finding::Finding;
use crate::config::FleetConfig;

/// Asks every provider that is configured, and sends nobody anything.
pub(super) async fn look(config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    // That they cannot be made is said by what the worker needs.
    let Ok(channels) = Channels::from_config(&config.channels, &config.shared) else { return Vec::new() };
    let mut findings = Vec::new();
    for channel in Channel::ALL {
        let Some(sender) = channels.get(channel) else { continue };
        let runs = Box::pin(sender.dry_run(now)).await;
        if runs.is_empty() {
            findings.push(Finding::ok(
                format!("provider {channel}"),
                "is configured; whoever is told by it cannot be asked without being told something",
            ));
        }
        findings.extend(runs.iter().map(of_dry_run));
    }
    findings
}

/// What a dry run means.
pub(super) fn of_dry_run(run: &DryRun) -> Finding {
    let check = match run.environment {
        Some(environment) => format!("provider {} {}", run.provider, environment.as_str()),
        None => format!("provider {}", run.provider),
    };
    match &run.outcome {
        Ok(found) => Finding::ok(check, *found),
        Err(error) => {
            let (found, remedy) = (error.to_string(), remedy(error, run.provider));
            match error {
                SendError::Throttled { .. } | SendError::Unavailable { .. } => {
                    Finding::warn(check, found, remedy)
                }
                _ => Finding::fail(check, found, remedy),
            }
        }
    }
}

fn remedy(error: &SendError, provider: &str) -> String {
    match error {
        SendError::ConfigFault { .. } => {
            format!("correct the credentials of {provider} in the configuration")
        }
        SendError::Unreachable { .. } => {
            "look at the network and name server from here to it, and at the trust roots".to_owned()
        }
        SendError::Throttled { .. } | SendError::Unavailable { .. } => "ask again later".to_owned(),
        SendError::Unregistered { .. }
        | SendError::BadToken { .. }
        | SendError::Unusable { .. }
        | SendError::Rejected { .. }
        | SendError::AddressRefused { .. } => {
            format!("look at what {provider} says; docs/providers.md explains its words")
        }
    }
}
