//! The metrics of this worker.

use watchbell::runtime::{
    SECONDS,
    metric::{Metric, bounded, label},
};

/// What became of what was published, as `count.rs` and its callers name it.
const OUTCOMES: &[&str] = &[
    "accepted",
    "invalid",
    "too_large",
    "conflict",
    "forbidden",
    "rate",
    "recipients",
    "busy",
    "unavailable",
    "unroutable",
];

/// What ingest counts.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "watchbell_ingest_alerts_total",
        "Alerts that producers sent over HTTP, by what became of them.",
    )
    .by(&[label("outcome", OUTCOMES)]),
    Metric::counter(
        "watchbell_ingest_events_total",
        "Events that producers sent over HTTP, by what became of them.",
    )
    .by(&[label("outcome", OUTCOMES)]),
    Metric::histogram("watchbell_ingest_seconds", SECONDS, "How long requests took, by route and status.")
        .by(&[
            bounded("route", "routes of the API, by their patterns"),
            bounded("status", "statuses that the API answers with"),
        ]),
    Metric::counter(
        "watchbell_ingest_keys_believed_total",
        "Requests let in by an API key that was read before the store stopped answering.",
    ),
];
