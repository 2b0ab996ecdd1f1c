//! The broker's metrics, the same for every implementation. `watchbell_broker_…`, labels of few values only.

use std::time::Duration;

use super::{Address, PublishError};

/// One publish is over, confirmed or not.
pub(super) fn published(to: Address, outcome: &Result<(), PublishError>, took: Duration) {
    let outcome = match outcome {
        Ok(()) => "confirmed",
        Err(PublishError::Unavailable(_)) => "unavailable",
        Err(PublishError::Refused) => "refused",
        Err(PublishError::Unroutable) => "unroutable",
        Err(PublishError::TooLarge { .. }) => "too_large",
    };
    metrics::counter!("watchbell_broker_publishes_total", "to" => to.label(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("watchbell_broker_publish_seconds", "to" => to.label()).record(took.as_secs_f64());
}
