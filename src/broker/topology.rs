//! The broker's names and arguments, each with its reason. Works unchanged on RabbitMQ 3.10 to 4.x.
//!
//! What holds here:
//! - Nothing is bound per user: a hundred thousand bindings take a minute to build.
//! - Every durable queue is a quorum queue with an explicit delivery limit. Never -1: RabbitMQ 3.10 takes it
//!   and throws the message away at its first requeue.
//! - A pod's own queue hangs on the live exchanges only, so no pod can hold back a producer's confirm.

use super::{Address, WorkQueue};

/// Live exchanges, and so the number of partitions of users.
pub const PARTITIONS: u16 = 16;

/// Producers publish here.
pub const ALERTS_EXCHANGE: &str = "watchbell.alerts";
/// Where a message goes that was delivered too often.
pub const DEAD_EXCHANGE: &str = "watchbell.dead";
/// What became of alerts, for producers. Nothing is bound to it but what they bind themselves.
pub const OUTCOMES_EXCHANGE: &str = "watchbell.outcomes";
/// Deliveries of one message before it is taken for poison.
pub const DELIVERY_LIMIT: i64 = 20;
/// Frames kept for a pod that does not read. More are dropped, oldest first, and healed from the store.
pub const POD_QUEUE_MESSAGES_MAX: i64 = 100_000;

/// How long a delivery may be held before the broker takes it back, milliseconds. The broker's own 30 minutes are
/// long when somebody holds deliveries who will never settle them. Much less would be wrong: a store that is away
/// makes dispatch hold what it has, and each taking back counts against the delivery limit.
pub const CONSUMER_TIMEOUT_MS: u32 = 300_000;

/// How long the broker keeps what is parked for an operator, milliseconds, where the policy is set that [`describe`] prints:
/// 30 days. RabbitMQ takes 49 at the most.
pub const PARKED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Where a delivery's AMQP property `type` is found among its headers, and what sets it when publishing.
pub const TYPE_HEADER: &str = "type";

impl Address {
    /// The AMQP property `type` of what is published there, unless the message brings its own.
    pub fn message_type(self) -> &'static str {
        match self {
            Self::Alerts => "alert.v1",
            Self::Live(_) => "live.v1",
            Self::Undelivered => "undelivered.v1",
            Self::Rejected => "rejected.v1",
            Self::Dead => "dead.v1",
            Self::Outcomes => "outcome.v1",
        }
    }

    /// For metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Live(_) => "live",
            Self::Undelivered => "undelivered",
            Self::Rejected => "rejected",
            Self::Dead => "dead",
            Self::Outcomes => "outcomes",
        }
    }
}

/// The live exchange of a partition.
pub fn live_exchange(partition: u16) -> String {
    format!("watchbell.live.{partition}")
}

impl WorkQueue {
    /// Every work queue.
    pub const ALL: [Self; 4] = [Self::Dispatch, Self::Undelivered, Self::Rejected, Self::Dead];

    /// Their names.
    pub const NAMES: [&str; 4] =
        [Self::Dispatch.name(), Self::Undelivered.name(), Self::Rejected.name(), Self::Dead.name()];

    /// Its public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dispatch => "watchbell.dispatch",
            Self::Undelivered => "watchbell.undelivered",
            Self::Rejected => "watchbell.rejected",
            Self::Dead => "watchbell.dead",
        }
    }

    /// Whether poison of this queue goes to [`DEAD_EXCHANGE`]. What an operator reads stays where it is.
    pub fn dead_letters(self) -> bool {
        matches!(self, Self::Dispatch | Self::Undelivered)
    }

    /// The delivery limit declared. A queue that operators browse must not lose a message for being looked at.
    pub fn delivery_limit(self) -> i64 {
        if self.dead_letters() { DELIVERY_LIMIT } else { 1_000_000 }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Dispatch => "every alert once, until dispatch has recorded it",
            Self::Undelivered => "who is due for push or email, until a sender has recorded the attempt",
            Self::Rejected => "input that could not be understood, with the reason in its headers",
            Self::Dead => {
                "what was delivered too often: `watchbell.dispatch` and `watchbell.undelivered` lead here"
            }
        }
    }
}

/// Prints the topology with reasons and the least permissions of each part.
pub fn describe() -> String {
    use std::fmt::Write as _;
    let mut out = String::from("exchanges\n");
    let mut line = |name: &str, what: &str, why: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<24} {what:<34} {why}");
    };
    line(ALERTS_EXCHANGE, "fanout, durable", "producers publish here: persistent, confirms, mandatory");
    line(
        "watchbell.live.0 … .15",
        "fanout, durable",
        "one a partition of users; pods bind what their users need",
    );
    line(DEAD_EXCHANGE, "fanout, durable", "takes poison");
    line(
        OUTCOMES_EXCHANGE,
        "fanout, durable",
        "what became of alerts; producers bind queues of their own, and without any it is dropped",
    );
    out.push_str("queues\n");
    for queue in WorkQueue::ALL {
        let what = match queue.dead_letters() {
            true => format!("quorum, delivery limit {DELIVERY_LIMIT}, DLX"),
            false => "quorum".to_owned(),
        };
        let _ = writeln!(out, "  {:<24} {what:<34} {}", queue.name(), queue.why());
    }
    let _ = writeln!(
        out,
        "  {:<24} {:<34} a pod's live frames; exclusive, gone with its connection",
        "watchbell.pod.<uuid>",
        format!("classic, at most {POD_QUEUE_MESSAGES_MAX}")
    );
    let names = |parked: bool| {
        let all = WorkQueue::ALL.into_iter().filter(|queue| queue.dead_letters() != parked);
        all.map(short_name).collect::<Vec<_>>().join("|")
    };
    let _ = writeln!(
        out,
        "policy, for an operator to set: what is held for {} minutes without an answer goes back\n  \
         RabbitMQ 3.11.15, 3.12 or later:\n    \
         rabbitmqctl set_policy --apply-to queues watchbell-consumer-timeout '^watchbell\\.({})$' '{{\"consumer-timeout\": {CONSUMER_TIMEOUT_MS}}}'\n  \
         before that, in rabbitmq.conf, for all queues of the node:\n    \
         consumer_timeout = {CONSUMER_TIMEOUT_MS}",
        CONSUMER_TIMEOUT_MS / 60_000,
        names(false),
    );
    let _ = writeln!(
        out,
        "policy, for an operator to set: what was parked and not decided about goes after {} days\n    \
         rabbitmqctl set_policy --apply-to queues watchbell-parked-kept '^watchbell\\.({})$' '{{\"message-ttl\": {PARKED_KEPT_MS}}}'",
        PARKED_KEPT_MS / 86_400_000,
        names(true),
    );
    out.push_str(
        "bindings\n  watchbell.alerts -> watchbell.dispatch\n  watchbell.dead -> watchbell.dead\n\
         permissions (configure / write / read); with `broker.declare = false` no worker needs `configure` but for its own queue\n  \
         producer                 '' / ^watchbell\\.alerts$ / ''\n  \
         reader of outcomes       ^NAME$ / ^NAME$ / ^(watchbell\\.outcomes|NAME)$   with NAME for its own queue\n  \
         ingest                   '' / ^watchbell\\.(alerts|live\\..*)$ / ''\n  \
         dispatch                 '' / ^(watchbell\\.live\\..*|amq\\.default)$ / ^watchbell\\.dispatch$\n  \
         socket                   ^watchbell\\.pod\\..* / ^(watchbell\\.live\\..*|watchbell\\.pod\\..*|amq\\.default)$ / ^(watchbell\\.live\\..*|watchbell\\.pod\\..*)$\n  \
         fallback                 '' / ^(watchbell\\.outcomes|amq\\.default)$ / ^watchbell\\.undelivered$\n  \
         dead                     '' / ^(watchbell\\.alerts|amq\\.default)$ / ^watchbell\\.dead$\n  \
         topology apply           ^watchbell\\..* / ^watchbell\\..* / ^watchbell\\..*\n",
    );
    out
}

/// Its name without what all have in common.
fn short_name(queue: WorkQueue) -> &'static str {
    queue.name().trim_start_matches("watchbell.")
}

#[test]
fn the_description_names_every_queue_and_the_policies() {
    let text = describe();
    let policy = r#"'^watchbell\.(dispatch|undelivered)$' '{"consumer-timeout": 300000}'"#;
    assert!(text.contains(policy), "{text}");
    let parked = r#"'^watchbell\.(rejected|dead)$' '{"message-ttl": 2592000000}'"#;
    assert!(text.contains(parked), "{text}");
    assert!(text.contains(OUTCOMES_EXCHANGE), "{text}");
    for queue in WorkQueue::ALL {
        assert!(text.contains(queue.name()), "{}", queue.name());
    }
}
