//! The metrics of all parts of the program: when their series begin, and the table of `docs/metrics.md`.

use watchbell::{
    broker,
    runtime::{
        self,
        metric::Metric,
        telemetry::{Metrics, tell_build},
    },
    store,
};

use crate::cli::Role;

/// What a table is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Every process.
    Process,
    /// Every process with one of the four roles.
    Worker,
    /// Processes with this role.
    Role(Role),
}

/// One table: its title, whose metrics it has, and the metrics.
type Table = (&'static str, Owner, &'static [Metric]);

const TABLES: [Table; 7] = [
    ("Every process", Owner::Process, runtime::METRICS),
    ("The broker", Owner::Worker, broker::METRICS),
    ("The store", Owner::Worker, store::METRICS),
    ("The role ingest", Owner::Role(Role::Ingest), watchbell_ingest::METRICS),
    ("The role dispatch", Owner::Role(Role::Dispatch), watchbell_dispatch::METRICS),
    ("The role socket", Owner::Role(Role::Socket), watchbell_socket::METRICS),
    ("The role fallback", Owner::Role(Role::Fallback), watchbell_fallback::METRICS),
];

/// Collects metrics from now on. Call it once.
///
/// # Errors
/// There is a recorder already.
pub(crate) fn start() -> anyhow::Result<Metrics> {
    let metrics = Metrics::start(TABLES.iter().flat_map(|(.., metrics)| *metrics))?;
    begin_owned_by(|owner| owner == Owner::Process);
    Ok(metrics)
}

/// Begins the series of a process with these roles.
pub(crate) fn begin(roles: &[Role]) {
    begin_owned_by(|owner| match owner {
        Owner::Process => false,
        Owner::Worker => !roles.is_empty(),
        Owner::Role(role) => roles.contains(&role),
    });
    let roles: Vec<String> = roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    tell_build(env!("CARGO_PKG_VERSION"), &roles.join("+"));
}

/// The names of all metrics.
#[cfg(test)]
pub(crate) fn names() -> Vec<&'static str> {
    let all = TABLES.iter().flat_map(|(.., metrics)| *metrics).chain(runtime::PROCESS);
    all.map(|metric| metric.name).collect()
}

fn begin_owned_by(is_meant: impl Fn(Owner) -> bool) {
    let tables = TABLES.iter().filter(|(_, owner, _)| is_meant(*owner));
    tables.flat_map(|(.., metrics)| *metrics).for_each(Metric::begin);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "metric_tables_tests.rs"]
mod tests;
