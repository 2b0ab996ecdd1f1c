//! The metrics of this worker.

use watchbell::{
    broker::WorkQueue,
    runtime::{
        SECONDS,
        metric::{Metric, label},
    },
};

/// A round of retention: from a look to an afternoon.
const ROUND_SECONDS: &[f64] = &[0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0];

/// What dispatch counts.
pub const METRICS: &[Metric] = &[
    Metric::counter("watchbell_dispatch_alerts_total", "Alerts taken from the queue, by what became of them.")
        .by(&[label("outcome", &["recorded", "stale", "rejected"])]),
    Metric::counter("watchbell_dispatch_rows_total", "Rows of inboxes, one an alert and recipient: new or changed, or there already.")
        .by(&[label("outcome", &["recorded", "duplicate"])]),
    Metric::counter("watchbell_dispatch_events_total", "Events on topics: told at once, or kept and told.")
        .by(&[label("outcome", &["told", "kept"])]),
    Metric::counter(
        "watchbell_dispatch_live_lost_total",
        "Live messages that the broker did not confirm; sessions heal from the store.",
    ),
    Metric::histogram(
        "watchbell_dispatch_commit_seconds",
        SECONDS,
        "From the beginning of a batch's transaction to its commit, with waits for a store that does not answer.",
    ),
    Metric::gauge(
        "watchbell_queue_messages",
        "Messages that wait in a queue of the broker, without those that a worker holds. Each process with the role dispatch asks \
         every 15 s, so take the maximum of all processes.",
    )
    .by(&[label("queue", &WorkQueue::NAMES)])
    .absent_at_first(),
    Metric::gauge(
        "watchbell_queue_oldest_seconds",
        "How long the oldest message of a queue has waited at the most: since the queue was seen empty for the last time, since \
         this process began to look, or, for `watchbell.dispatch`, since the message that was taken last was published. A \
         broker does not tell it; take the minimum of all processes.",
    )
    .by(&[label("queue", &WorkQueue::NAMES)])
    .absent_at_first(),
    Metric::counter("watchbell_dispatch_snoozes_ended_total", "Snoozes that ended: the alerts came back."),
    Metric::counter(
        "watchbell_dispatch_returned_alerts_total",
        "Alerts that were suppressed until a time and fired again by themselves.",
    ),
    Metric::counter(
        "watchbell_dispatch_group_receipts_total",
        "Alerts that a person took on (`acknowledged`) or passed on (`passed_on`) under a policy with `first_acknowledges`, and of \
         which all others were told.",
    )
    .by(&[label("said", &["acknowledged", "passed_on"])]),
    Metric::counter("watchbell_dispatch_swept_events_total", "Kept events of topics that were deleted because of their age."),
    Metric::counter("watchbell_retention_deleted_total", "What retention deleted.")
        .by(&[label("what", &["inbox_rows", "alerts", "attempts", "timeline_lines", "audit_entries"])]),
    Metric::gauge("watchbell_retention_stayed", "Rows that the last round found old, or too many, and had to leave."),
    Metric::histogram("watchbell_retention_round_seconds", ROUND_SECONDS, "How long a round of retention took."),
];
