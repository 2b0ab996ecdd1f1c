//! Logs and metrics. Nothing secret reaches them: secrets have no `Display` (I12).

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{
    config::LogConfig,
    log_lines::log_lines,
    metric::{Kind, Metric},
    metric_table::BUILD_INFO,
    process,
};

/// Sends logs to standard error, as configured. Call it once.
///
/// # Errors
/// The filter cannot be read, or there is a subscriber already.
pub fn start_logs(config: &LogConfig) -> anyhow::Result<()> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = log_lines(config, is_terminal, std::io::stderr)?.try_init();
    started.map_err(|error| anyhow::anyhow!("logging was started already: {error}"))
}

/// The metrics of this process, for whoever scrapes them.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Collects metrics from now on, into the buckets that their tables name. Call it once, before anything is measured.
    ///
    /// # Errors
    /// There is a recorder already.
    pub fn start<'a>(tables: impl IntoIterator<Item = &'a Metric>) -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new();
        for metric in tables {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets)?;
            }
        }
        Ok(Self(builder.install_recorder().context("metrics were started already")?))
    }

    /// As Prometheus scrapes them, with what the system says of this process now.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        text.push_str(&process::rendered());
        text
    }

    /// Folds together what was measured since the last time.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// Says which program this is.
pub fn tell_build(version: &'static str, roles: &str) {
    metrics::gauge!(BUILD_INFO.name, "version" => version, "roles" => roles.to_owned()).set(1.0);
}
