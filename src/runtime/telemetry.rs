//! Logs and metrics. Nothing secret reaches them: secrets have no `Display` (I12).

use anyhow::Context as _;
pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{config::LogConfig, log_lines::log_lines};

/// Seconds: from a local call to a provider that takes its time.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Sends logs to standard error, as configured. Call it once.
///
/// # Errors
/// The filter cannot be read, or there is a subscriber already.
pub fn start_logs(config: &LogConfig) -> anyhow::Result<()> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = log_lines(config, is_terminal, std::io::stderr)?.try_init();
    started.map_err(|error| anyhow::anyhow!("logging was started already: {error}"))
}

/// Collects metrics; the handle renders them for `/metrics`. Call it once.
///
/// # Errors
/// There is a recorder already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .install_recorder()
        .context("metrics were started already")
}
