//! The metrics of the store.

use crate::{
    domain::StopReason,
    runtime::{
        BATCH, SECONDS, SEVERITY,
        metric::{Metric, bounded, label},
    },
};

const OPERATION: &str = "operations of the store, as the program names them";
const OUTCOMES: &[&str] = &["ok", "unavailable", "refused", "unreadable"];
/// What is written for many at once, as the operations are named.
const BATCHED: &[&str] = &["record", "steps", "apply_receipts", "claim_due", "record_events"];

/// From a local glance to the next working day, in seconds.
const PEOPLE_SECONDS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 28_800.0, 86_400.0];

pub(super) const BATCH_SIZE: Metric = Metric::histogram(
    "watchbell_store_batch_size",
    BATCH,
    "How many rows, steps, receipts, timers or events one transaction had.",
)
.by(&[label("operation", BATCHED)]);
pub(super) const ESCALATIONS_ENDED: Metric = Metric::counter(
    "watchbell_escalations_ended_total",
    "Escalations that came to an end, by the reason: somebody looked (`seen`, `read`, `dismissed`), put it off (`snoozed`) or \
     took it on (`acknowledged`), the producer ended it (`suppressed`, `resolved`), its time passed (`expired`), or no step is \
     left (`exhausted`). One that was acknowledged, snoozed or exhausted may come to another end later, and counts for both.",
)
.by(&[label("end", StopReason::WORDS)]);
pub(super) const ALERT_SEEN: Metric = Metric::histogram(
    "watchbell_alert_seen_seconds",
    PEOPLE_SECONDS,
    "From the time an alert was put into a person's inbox to the first receipt that says they saw, read or dismissed it.",
)
.by(&[label("severity", SEVERITY)]);

/// What every process that uses the store has.
pub const METRICS: &[Metric] = &[
    Metric::histogram(
        "watchbell_store_seconds",
        SECONDS,
        "How long operations of the store took, with their waits for a connection and for locks.",
    )
    .by(&[bounded("operation", OPERATION), label("outcome", OUTCOMES)]),
    Metric::histogram(
        "watchbell_store_commit_seconds",
        SECONDS,
        "How long the commit itself took, at the end of a transaction.",
    )
    .by(&[bounded("operation", OPERATION)]),
    BATCH_SIZE,
    Metric::counter(
        "watchbell_store_conflicts_total",
        "Transactions that lost a race for locks and were tried again.",
    )
    .by(&[bounded("operation", OPERATION)]),
    ESCALATIONS_ENDED,
    ALERT_SEEN,
];
