//! The metrics of this worker.

use watchbell::{
    domain::Severity,
    runtime::metric::{Metric, label},
    wire::frame::ServerFrame,
};

/// What a session is carried by.
const TRANSPORTS: &[&str] = &["ws", "sse", "poll"];
/// Why sessions end: the reasons of close codes, and what needs none.
const REASONS: &[&str] = &[
    "protocol",
    "bad token",
    "forbidden",
    "kicked",
    "no auth",
    "overloaded",
    "too many connections",
    "no pong",
    "slow",
    "too many messages",
    "drain",
    "rebalance",
    "token expired",
    "closed",
    "gone",
];
/// How long sessions last: from a reload of the page to a day.
const SESSION_SECONDS: &[f64] =
    &[1.0, 10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];
/// How long a push takes to a phone: from at once to one that was off for a night.
const REACHED_SECONDS: &[f64] =
    &[0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0];
/// How long an alert takes to a screen: from at once to a broker that was away.
const WRITTEN_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

pub(crate) const FRAMES: Metric = Metric::counter(
    "watchbell_socket_frames_total",
    "Live frames that were made, one for each user or topic with a session here, however many sessions get it.",
)
.by(&[label("type", &["alert", "receipt", "event", "preferences"])]);
pub(crate) const FRAMES_SENT: Metric = Metric::counter(
    "watchbell_socket_frames_sent_total",
    "Frames that were written to sockets, one for each session, live and replayed; those of long polls, when they are answered.",
)
.by(&[label("type", &ServerFrame::NAMES)]);
pub(crate) const ALERT_WRITTEN: Metric = Metric::histogram(
    "watchbell_alert_written_seconds",
    WRITTEN_SECONDS,
    "From the acceptance of an alert by ingest to its live frame being written to a socket, for each session. Not for alerts \
     published over AMQP, whose time of publishing nobody knows, nor for what is replayed, nor for the later pages of a large \
     audience.",
)
.by(&[label("severity", Severity::WORDS)]);

/// What a pod counts.
pub const METRICS: &[Metric] = &[
    Metric::gauge("watchbell_socket_sessions", "Sessions that are open on this pod, long polls included."),
    Metric::counter(
        "watchbell_socket_opened_total",
        "Sessions that began, by what they are carried by. A long poll counts each time it is answered.",
    )
    .by(&[label("transport", TRANSPORTS)]),
    Metric::counter(
        "watchbell_socket_closed_total",
        "Sessions that ended, by what they were carried by and the reason.",
    )
    .by(&[label("transport", &["ws", "sse"]), label("reason", REASONS)]),
    Metric::counter("watchbell_socket_closes_total", "Sessions that ended, by the reason.")
        .by(&[label("reason", REASONS)]),
    Metric::histogram("watchbell_socket_session_seconds", SESSION_SECONDS, "How long sessions lasted.")
        .by(&[label("transport", &["ws", "sse"])]),
    Metric::counter(
        "watchbell_socket_refused_total",
        "Requests for a session that were refused before it began.",
    )
    .by(&[label("reason", &["overload", "origin", "leaving"])]),
    FRAMES,
    FRAMES_SENT,
    ALERT_WRITTEN,
    Metric::counter(
        "watchbell_socket_overflows_total",
        "Times the backlog of a session that does not read was dropped.",
    ),
    Metric::counter("watchbell_socket_resyncs_total", "Times a client was told to fetch its inbox."),
    Metric::counter(
        "watchbell_socket_heals_total",
        "Times a session missed a live frame and got it from the store.",
    ),
    Metric::counter(
        "watchbell_socket_gaps_total",
        "Times live frames may have been lost, and every session was compared with the store.",
    ),
    Metric::counter(
        "watchbell_socket_epochs_total",
        "Times the store told another history, because it was restored from a backup.",
    ),
    Metric::counter("watchbell_socket_receipts_total", "Receipts of clients that were written."),
    Metric::counter(
        "watchbell_socket_push_receipts_total",
        "Receipts that devices gave by the tokens of pushes: `reached` the first of a push, `repeated` the same again; `expired` and \
         `refused` were not taken.",
    )
    .by(&[label("outcome", &["reached", "repeated", "expired", "refused"])]),
    Metric::counter(
        "watchbell_socket_push_priorities_total",
        "Pushes that reached Android phones whose app said whether Google had `kept` or `lowered` their priority.",
    )
    .by(&[label("priority", &["kept", "lowered"])]),
    Metric::histogram(
        "watchbell_socket_push_reached_seconds",
        REACHED_SECONDS,
        "From a push being begun to the first receipt of its device.",
    ),
    Metric::counter(
        "watchbell_socket_throttled_total",
        "Times a client said more than it may and was not heard for a while.",
    ),
    Metric::counter(
        "watchbell_socket_rebalance_rounds_total",
        "Looks at what the other pods hold, by what followed.",
    )
    .by(&[label("outcome", &["level", "left_out", "moved"])]),
    Metric::counter("watchbell_socket_rebalanced_total", "Sessions that were asked to move to another pod."),
    Metric::counter("watchbell_socket_jwks_readings_total", "Readings of the keys at `auth.jwks_url`.")
        .by(&[label("outcome", &["read", "failed"])]),
    Metric::counter(
        "watchbell_socket_tokens_refused_total",
        "Tokens that were refused, by what is wrong with them.",
    )
    .by(&[label(
        "reason",
        &[
            "not_a_token",
            "too_long",
            "critical",
            "signature",
            "audience",
            "issuer",
            "not_yet",
            "from_the_future",
            "claim",
        ],
    )]),
    Metric::counter(
        "watchbell_socket_unsubscribed_total",
        "People who turned off a channel by the link in an email.",
    ),
];

#[test]
fn each_close_code_is_a_reason() {
    for code in watchbell::wire::CloseCode::ALL {
        assert!(REASONS.contains(&code.parts().1), "{code:?}");
    }
}
