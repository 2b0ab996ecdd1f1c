//! Steps of policies that come only after the alert has expired. Pure.

use std::time::Duration;

use watchbell::{
    domain::policy::{Policies, Policy},
    runtime::config::values::written_duration,
};

/// What is done about it.
pub(crate) const REMEDY: &str =
    "shorten the waits (`after`), or have its alerts expire later (`expires_after`)";

/// The policies with such steps by their keys, with the first of the steps. `expires_after` is that of `dispatch`.
pub(crate) fn late_steps(policies: &Policies, expires_after: Duration) -> Vec<(String, String)> {
    let found = policies.all().filter_map(|(tenant, name, policy)| {
        let key = match tenant {
            Some(tenant) => format!("tenants.{tenant}.policies.{name}"),
            None => format!("policies.{name}"),
        };
        Some((key, late_step(policy, expires_after)?))
    });
    found.collect()
}

/// The first step that is due when the alert has expired, if every wait before it is waited. A wait falls away where nobody is
/// connected, or where a step reached nobody.
fn late_step(policy: &Policy, expires_after: Duration) -> Option<String> {
    let (expiry, setting) = match policy.expires_after {
        Some(own) => (own, "its expires_after"),
        None => (expires_after, "dispatch.expires_after"),
    };
    let mut due = Duration::ZERO;
    for (at, step) in policy.steps.iter().enumerate() {
        due = due.saturating_add(step.after);
        if due >= expiry {
            return Some(format!(
                "its step {} by {} is due {} after the alert, which expires after {} ({setting}): it runs only where waits before \
                 it fall away",
                at + 1,
                step.channel,
                written_duration(due),
                written_duration(expiry)
            ));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Channel, PolicyStep};

    use super::*;

    #[test]
    fn a_step_after_the_expiry_is_found() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let policy = |waits: &[u64], own: Option<u64>| Policy {
            steps: waits.iter().map(|wait| PolicyStep::new(Channel::Email, hours(*wait))).collect(),
            expires_after: own.map(hours),
            ..Policy::default()
        };
        for (why, policy, step) in [
            ("no steps", policy(&[], None), None),
            ("in time", policy(&[1, 22], None), None),
            ("the first", policy(&[25, 1], None), Some("its step 1 by email is due 25h after the alert")),
            ("both together", policy(&[12, 12], None), Some("its step 2 by email is due 24h after")),
            (
                "after an expiry of its own",
                policy(&[1, 1], Some(2)),
                Some("expires after 2h (its expires_after)"),
            ),
            ("which goes before the worker's", policy(&[12, 12], Some(48)), None),
        ] {
            let late = late_step(&policy, hours(24));
            match (late, step) {
                (None, None) => {}
                (late, step) => assert!(late.as_deref().unwrap().contains(step.unwrap()), "{why}: {late:?}"),
            }
        }
    }
}
