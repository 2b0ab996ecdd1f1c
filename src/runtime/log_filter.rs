//! What is logged: `log.filter`.

use tracing_subscriber::EnvFilter;

/// Reads a filter.
///
/// # Errors
/// It cannot be read.
pub(super) fn log_filter(text: &str) -> anyhow::Result<EnvFilter> {
    // Its own words repeat what was written.
    EnvFilter::try_new(text)
        .map_err(|_| anyhow::anyhow!("log.filter must be a filter such as info,watchbell=debug"))
}
