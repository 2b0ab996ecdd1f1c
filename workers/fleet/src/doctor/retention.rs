//! What a configuration says of retention, in words, and where it deletes alerts before they expire.

use watchbell::{
    domain::{Tenant, retention::Retention},
    runtime::config::values::written_duration,
};

use crate::config::FleetConfig;

/// What is deleted when, and where that is before alerts expire: what is still escalated stays until it ends, and the rest of
/// such an alert goes.
pub(crate) fn lines(config: &FleetConfig) -> Vec<String> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines_of(toml: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("watchbell.toml");
        std::fs::write(&file, toml).unwrap();
        lines(&FleetConfig::load(Some(&file), []).unwrap())
    }

    #[test]
    fn it_is_said_what_is_deleted_and_where_that_is_before_alerts_expire() {
        let all = lines_of("");
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].contains("2160h") && all[0].contains("1000") && all[0].contains("720h"), "{all:?}");

        let all = lines_of(
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
