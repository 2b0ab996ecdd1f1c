//! The metrics of the broker, the same for every implementation of it.

use super::WorkQueue;
use crate::runtime::{
    SECONDS,
    metric::{Metric, label},
};

/// Where messages are published to, as `Address::label` names it.
const ADDRESSES: &[&str] = &["alerts", "live", "undelivered", "rejected", "dead", "outcomes"];
/// How a publish ends, as `meter.rs` names it.
const OUTCOMES: &[&str] = &["confirmed", "unavailable", "refused", "unroutable", "too_large"];
/// Where work is taken from.
const QUEUES: &[&str] = &WorkQueue::NAMES;
/// The connections of a process.
const CONNECTIONS: &[&str] = &[
    "publish",
    "publish-live",
    "publish-outcomes",
    "live",
    "watchbell.dispatch",
    "watchbell.undelivered",
    "watchbell.rejected",
    "watchbell.dead",
];

pub(super) const PUBLISHES: Metric =
    Metric::counter("watchbell_broker_publishes_total", "Messages published, by where to and how it ended.")
        .by(&[label("to", ADDRESSES), label("outcome", OUTCOMES)]);
pub(super) const PUBLISH_SECONDS: Metric = Metric::histogram(
    "watchbell_broker_publish_seconds",
    SECONDS,
    "From a publish to its confirm, or to giving it up.",
)
.by(&[label("to", ADDRESSES)]);

/// What every process that talks to the broker has.
pub const METRICS: &[Metric] = &[
    PUBLISHES,
    PUBLISH_SECONDS,
    Metric::counter("watchbell_broker_reconnects_total", "Connections to RabbitMQ that ended and were made anew.")
        .by(&[label("part", CONNECTIONS)]),
    Metric::counter(
        "watchbell_broker_deaf_total",
        "Times this pod heard nothing of the live exchanges, though connected, and was compared with the store.",
    ),
    Metric::counter(
        "watchbell_broker_cut_total",
        "Deliveries longer than their queue may have; only their beginning was kept, to be parked.",
    )
    .by(&[label("queue", QUEUES)]),
    Metric::counter("watchbell_broker_unreadable_total", "Deliveries whose properties cannot be read; they are parked.")
        .by(&[label("queue", QUEUES)]),
    Metric::counter(
        "watchbell_broker_unaccounted_total",
        "Times RabbitMQ counted deliveries as held that this process does not hold; the connection was given up.",
    )
    .by(&[label("queue", QUEUES)]),
];
