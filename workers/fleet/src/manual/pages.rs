//! Which files of the repository are pages of the manual, and at which address each stands.

/// A file that is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Its path in the repository.
    pub(super) source: &'static str,
    /// Its address below the manual's own, without a slash at its beginning.
    pub(super) address: &'static str,
    /// What the list of pages calls it.
    pub(super) name: &'static str,
    /// The heading that it stands under in the list of pages.
    pub(super) group: &'static str,
    /// What the file says.
    pub(super) text: &'static str,
}

/// The page that is shown first.
pub(super) const FIRST: &str = "index.html";

macro_rules! pages {
    ($($group:literal: { $($source:literal => ($address:literal, $name:literal)),+ $(,)? })+) => {
        &[$($(Page {
            source: $source,
            address: $address,
            name: $name,
            group: $group,
            text: include_str!(concat!("../../../../", $source)),
        }),+),+]
    };
}

/// Every page, in the order of the list. A test holds that no page of `docs/` is missing.
pub(super) const PAGES: &[Page] = pages! {
    "Begin": {
        "docs/README.md" => ("index.html", "The manual"),
        "docs/getting-started.md" => ("getting-started.html", "Getting started"),
        "docs/architecture.md" => ("architecture.html", "Architecture"),
        "CHANGELOG.md" => ("changelog.html", "Changelog"),
    }
    "Build with it": {
        "workers/ingest/README.md" => ("publish.html", "Publishing"),
        "workers/socket/README.md" => ("sessions.html", "Sessions"),
        "web/README.md" => ("inbox.html", "Inbox and client"),
        "docs/mobile.md" => ("mobile.html", "Phones"),
        "docs/outcomes.md" => ("outcomes.html", "Outcomes"),
        "examples/README.md" => ("examples.html", "Examples"),
    }
    "Operate it": {
        "docs/operations.md" => ("operations.html", "Operating"),
        "docs/console.md" => ("console.html", "Console"),
        "docs/why-not.md" => ("why-not.html", "Why not told?"),
        "docs/metrics.md" => ("metrics.html", "Metrics"),
        "docs/traces.md" => ("traces.html", "Traces"),
        "monitoring/README.md" => ("monitoring.html", "Monitoring"),
        "docs/people.md" => ("people.html", "People's data"),
        "docs/providers.md" => ("providers.html", "Providers"),
        "docs/rabbitmq.md" => ("rabbitmq.html", "RabbitMQ"),
        "docs/scale.md" => ("scale.html", "Scale"),
        "docs/perf/README.md" => ("perf.html", "Where time goes"),
        "compose/README.md" => ("compose.html", "On one machine"),
        "k8s/README.md" => ("kubernetes.html", "Kubernetes"),
        "watchbell.example.toml" => ("settings.html", "Settings"),
        "SECURITY.md" => ("security.html", "Security"),
        "docs/authorization.md" => ("authorization.html", "Who may ask what"),
    }
    "Runbook": {
        "docs/runbook/README.md" => ("runbook/index.html", "Where to begin"),
        "docs/runbook/alerts.md" => ("runbook/alerts.html", "Alerts of Prometheus"),
        "docs/runbook/not-delivered.md" => ("runbook/not-delivered.html", "Not delivered"),
        "docs/runbook/backup.md" => ("runbook/backup.html", "Backup and failover"),
        "docs/runbook/upgrade.md" => ("runbook/upgrade.html", "Upgrade"),
        "docs/runbook/secrets.md" => ("runbook/secrets.html", "Rotate secrets"),
        "docs/runbook/tenants.md" => ("runbook/tenants.html", "Tenants"),
        "docs/runbook/sizing.md" => ("runbook/sizing.html", "Sizing"),
    }
    "How it works": {
        "workers/dispatch/README.md" => ("dispatch.html", "Dispatch"),
        "workers/fallback/README.md" => ("escalation.html", "Escalation"),
        "workers/fleet/README.md" => ("program.html", "The program"),
        "workers/simulator/README.md" => ("simulator.html", "Simulator"),
        "src/broker/README.md" => ("broker.html", "The broker"),
    }
};

/// The page of this file, or of the README of this folder.
pub(super) fn page_of(path: &str) -> Option<&'static Page> {
    let is_it = |page: &&Page| {
        page.source == path || page.source.strip_suffix("/README.md").is_some_and(|folder| folder == path)
    };
    PAGES.iter().find(is_it)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_page_of_the_docs_is_shown_and_no_address_is_used_twice() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders = vec![root.join("docs")];
        let mut missing = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let source = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if source.ends_with(".md") && page_of(&source).is_none() {
                    missing.push(source);
                }
            }
        }
        assert_eq!(missing, Vec::<String>::new(), "add them to PAGES");

        let addresses: BTreeSet<&str> = PAGES.iter().map(|page| page.address).collect();
        assert_eq!(addresses.len(), PAGES.len());
        assert_eq!(PAGES[0].address, FIRST);
    }

    #[test]
    fn a_page_is_found_by_its_file_and_by_its_folder() {
        assert_eq!(page_of("workers/socket").unwrap().address, "sessions.html");
        assert_eq!(page_of("docs/people.md").unwrap().address, "people.html");
        assert_eq!(page_of("src/domain/inbox.rs"), None);
    }
}
