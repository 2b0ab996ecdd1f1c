//! The metrics of every process, whatever its workers are.

use super::metric::{Metric, bounded, label};

/// Bounds of buckets in seconds, from a local call to a provider that takes its time.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of buckets for how many things were done together: powers of two.
pub const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// How severe alerts are.
pub const SEVERITY: &[&str] = crate::domain::Severity::WORDS;

const PARTS: &[&str] = &["broker", "live", "store", "schema", "leaving"];
const ROLES: &[&str] = &["ingest", "dispatch", "socket", "fallback"];

/// The program itself. It is set by [`super::telemetry::tell_build`].
pub(super) const BUILD_INFO: Metric = Metric::gauge(
    "watchbell_build_info",
    "1, with the version of the program and the roles of the process as labels.",
)
.by(&[bounded("version", "one a process"), bounded("roles", "one a process")])
.absent_at_first();

/// What every process has.
pub const METRICS: &[Metric] = &[
    BUILD_INFO,
    Metric::gauge(
        "watchbell_ready",
        "How a part that this process needs is: 1 well, 0.5 degraded, 0 failing. `/readyz` says why.",
    )
    .by(&[label("part", PARTS)])
    .absent_at_first(),
    Metric::gauge(
        "watchbell_role_ready",
        "Whether a role of this process can work: 1 ready, 0.5 degraded, 0 not ready.",
    )
    .by(&[label("role", ROLES)])
    .absent_at_first(),
    Metric::counter(
        "watchbell_http_answers_refused_total",
        "Requests answered 503 because the memory for answers (`http.answer_bytes_max`) was taken.",
    ),
    Metric::counter(
        "watchbell_http_refused_total",
        "Requests refused before any route: by a host that is not ours.",
    )
    .by(&[label("reason", &["host"])]),
    Metric::counter(
        "watchbell_tracing_spans_total",
        "Spans that ended: exported to the collector, refused by it or lost with it (failed), or dropped because the queue of \
         `tracing.queue_max` was full (overflowed).",
    )
    .by(&[label("outcome", &["exported", "failed", "overflowed"])]),
    Metric::counter("watchbell_http_cut_total", "Connections of HTTP that were cut off, by the reason.")
        .by(&[label("reason", &["idle", "head", "body", "write", "gave_way", "share"])]),
];
