//! Declaring the topology, and checking that it is there. What and why is in [`topology`].

use anyhow::ensure;
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    RabbitConfig, connect,
    owned::{Owned, call},
};
use crate::broker::{
    WorkQueue,
    topology::{ALERTS_EXCHANGE, DEAD_EXCHANGE, OUTCOMES_EXCHANGE, PARTITIONS, live_exchange},
};

/// Declares everything; what is there already stays as it is.
///
/// # Errors
/// When no node can be reached, when something is there with other arguments (which is never changed: it would
/// have to be deleted, with what is in it), or when the user may not declare.
pub async fn apply_topology(config: &RabbitConfig) -> anyhow::Result<()> {
    let connection = connect::once(config, "topology").await?;
    let applied = apply(&connection).await;
    connection.close().await;
    applied
}

/// Whether every exchange and queue is there. Bindings cannot be asked for by AMQP; declaring them again is harmless.
///
/// # Errors
/// When no node can be reached, or something is missing: the message names all of it.
pub async fn check_topology(config: &RabbitConfig) -> anyhow::Result<()> {
    let connection = connect::once(config, "topology").await?;
    let missing = missing(&connection).await;
    connection.close().await;
    let missing = missing?;
    ensure!(
        missing.is_empty(),
        "missing in the broker: {}; `watchbell topology apply` declares them",
        missing.join(", ")
    );
    Ok(())
}

/// On a channel of its own, which a refusal costs.
pub(super) async fn apply(connection: &Owned) -> anyhow::Result<()> {
    let channel = connection.channel().await?;
    for exchange in exchanges() {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        exchange_declare(&channel, &exchange, durable).await?;
    }
    for queue in WorkQueue::ALL {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        call("declaring a queue", channel.queue_declare(queue.name().into(), durable, arguments(queue)))
            .await?;
    }
    for (exchange, queue) in [(ALERTS_EXCHANGE, WorkQueue::Dispatch), (DEAD_EXCHANGE, WorkQueue::Dead)] {
        let (exchange, queue) = (exchange.into(), queue.name().into());
        let bound = channel.queue_bind(
            queue,
            exchange,
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        call("binding a queue", bound).await?;
    }
    Ok(())
}

pub(super) async fn missing(connection: &Owned) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    // Each question on its own channel, because "not found" closes it.
    for exchange in exchanges() {
        let channel = connection.channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        if exchange_declare(&channel, &exchange, passive).await.is_err() {
            missing.push(exchange);
        }
    }
    for queue in WorkQueue::ALL {
        let channel = connection.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asked = channel.queue_declare(queue.name().into(), passive, FieldTable::default());
        if call("asking for a queue", asked).await.is_err() {
            missing.push(queue.name().to_owned());
        }
    }
    Ok(missing)
}

fn exchanges() -> impl Iterator<Item = String> {
    let fixed = [ALERTS_EXCHANGE, DEAD_EXCHANGE, OUTCOMES_EXCHANGE].map(str::to_owned);
    fixed.into_iter().chain((0..PARTITIONS).map(live_exchange))
}

async fn exchange_declare(
    channel: &Channel,
    exchange: &str,
    options: ExchangeDeclareOptions,
) -> anyhow::Result<()> {
    let declared =
        channel.exchange_declare(exchange.into(), ExchangeKind::Fanout, options, FieldTable::default());
    call("declaring an exchange", declared).await
}

fn arguments(queue: WorkQueue) -> FieldTable {
    let mut table = FieldTable::default();
    let mut text = |name: &str, value: &str| {
        table.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    text("x-queue-type", "quorum");
    // Leaders spread over the nodes, whoever declares.
    text("x-queue-leader-locator", "balanced");
    if queue.dead_letters() {
        text("x-dead-letter-exchange", DEAD_EXCHANGE);
        // At most once would lose poison when a node dies at the wrong moment. It needs `reject-publish`:
        // with the default overflow it silently falls back to at most once.
        text("x-dead-letter-strategy", "at-least-once");
        text("x-overflow", "reject-publish");
    }
    table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(queue.delivery_limit()));
    table
}
