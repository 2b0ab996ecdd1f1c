//! The arguments of `watchbell explain`.

use std::path::PathBuf;

use clap::{Args, value_parser};

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The alert's id. Without one, what became of all alerts of a user is explained.
    pub(crate) alert: Option<String>,
    /// The recipient to explain the alert for; by default its first recipients. Without an alert, whose alerts to explain.
    #[arg(long)]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) which: WhichAlerts,
    /// The tenant of the alert. By default `auth.default_tenant`.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The data folder of `watchbell up`, used if no store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

/// Which alerts of a user, where no alert is named.
#[derive(Args)]
pub(crate) struct WhichAlerts {
    /// Only alerts that came since then: a duration (1h, 7d) or a time (2026-11-30T12:00:00Z).
    #[arg(long, value_name = "SINCE", default_value = "24h", conflicts_with = "alert")]
    pub(crate) since: String,
    /// Only alerts that came up to then: a duration or a time. By default, up to now.
    #[arg(long, value_name = "UNTIL", conflicts_with = "alert")]
    pub(crate) until: Option<String>,
    /// Only alerts that are info, warning or critical now.
    #[arg(long, conflicts_with = "alert")]
    pub(crate) severity: Option<String>,
    /// Only alerts that the user did not look at.
    #[arg(long, conflicts_with = "alert")]
    pub(crate) not_seen: bool,
    /// The greatest number of alerts.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..=10_000), conflicts_with = "alert")]
    pub(crate) limit: u64,
    /// Print it as one JSON object.
    #[arg(long, conflicts_with = "alert")]
    pub(crate) json: bool,
}
