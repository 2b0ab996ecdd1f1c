//! Our addresses in AMQP's words: exchange, routing key, and how much it matters that a message arrives.

use crate::broker::{
    Address, WorkQueue,
    topology::{ALERTS_EXCHANGE, OUTCOMES_EXCHANGE, live_exchange},
};

/// What a pulse's AMQP `type` says.
pub(super) const PULSE_TYPE: &str = "pulse.v1";

/// Where in AMQP's words, and how.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) exchange: String,
    pub(super) key: String,
    /// Comes back when no queue takes it.
    pub(super) mandatory: bool,
    /// Kept, and confirmed by every queue; otherwise it is a live message, which its exchange confirms.
    pub(super) persistent: bool,
    pub(super) message_type: &'static str,
    /// Waits there for an operator, so it keeps what it came with and goes nowhere by itself.
    pub(super) sets_aside: bool,
}

impl Route {
    pub(super) fn to(address: Address) -> Self {
        let kind = address.message_type();
        // The default exchange, which leads to the queue named by the key.
        let queue = |queue: WorkQueue| Self::durable(String::new(), queue.name(), kind);
        match address {
            Address::Alerts => Self::durable(ALERTS_EXCHANGE.to_owned(), "", kind),
            Address::Live(partition) => Self::transient(live_exchange(partition), "", kind),
            // Producers who want none have bound no queue.
            Address::Outcomes => {
                Self { mandatory: false, ..Self::durable(OUTCOMES_EXCHANGE.to_owned(), "", kind) }
            }
            Address::Undelivered => queue(WorkQueue::Undelivered),
            Address::Rejected => Self { sets_aside: true, ..queue(WorkQueue::Rejected) },
            Address::Dead => Self { sets_aside: true, ..queue(WorkQueue::Dead) },
        }
    }

    /// A pulse for one pod. It has to arrive, so that a queue that is gone is known at once.
    pub(super) fn pulse_queue(queue: &str) -> Self {
        Self { mandatory: true, ..Self::transient(String::new(), queue, PULSE_TYPE) }
    }

    /// A pulse for everybody who follows the partition.
    pub(super) fn pulse_partition(partition: u16) -> Self {
        Self::transient(live_exchange(partition), "", PULSE_TYPE)
    }

    fn durable(exchange: String, key: &str, message_type: &'static str) -> Self {
        Self {
            exchange,
            key: key.to_owned(),
            mandatory: true,
            persistent: true,
            message_type,
            sets_aside: false,
        }
    }

    fn transient(exchange: String, key: &str, message_type: &'static str) -> Self {
        Self {
            exchange,
            key: key.to_owned(),
            mandatory: false,
            persistent: false,
            message_type,
            sets_aside: false,
        }
    }
}
