//! Measures publishes, the same for every implementation. Each live frame is one, so the series are looked up once.

use std::{sync::LazyLock, time::Duration};

use metrics::{Counter, Histogram};

use super::{Address, PublishError, metric_table};
use crate::runtime::metric::BySeries;

static CONFIRMED: LazyLock<BySeries<Counter>> =
    LazyLock::new(|| metric_table::PUBLISHES.counters_with(&[("outcome", "confirmed")]));
static SECONDS: LazyLock<BySeries<Histogram>> = LazyLock::new(|| metric_table::PUBLISH_SECONDS.histograms());

/// One publish is over, confirmed or not.
pub(super) fn published(to: Address, outcome: &Result<(), PublishError>, took: Duration) {
    let to = to.label();
    let outcome = match outcome {
        Ok(()) => "confirmed",
        Err(PublishError::Unavailable(_)) => "unavailable",
        Err(PublishError::Refused) => "refused",
        Err(PublishError::Unroutable) => "unroutable",
        Err(PublishError::TooLarge { .. }) => "too_large",
    };
    if outcome == "confirmed" {
        CONFIRMED.with(to, |counter| counter.increment(1));
    } else {
        metrics::counter!("watchbell_broker_publishes_total", "to" => to, "outcome" => outcome).increment(1);
    }
    SECONDS.with(to, |histogram| histogram.record(took.as_secs_f64()));
}
