//! What an operator asks of a cluster before workers run: whether each node lets us in, whether the topology is there, and
//! whether the user may do what a worker does.
//!
//! What holds here:
//! - Nothing is changed and nothing is taken. A right is found out by asking for what can be refused for one reason only
//!   after the right was looked at: a publish whose expiration is no number, a consumer whose priority is none. Both rules
//!   are RabbitMQ's, from 3.10 to 4.x: without the right the answer is 403, with it 406.
//! - A pod's queue is really declared, because its name is ours: exclusive, and gone with the connection.

use lapin::{
    BasicProperties, Channel, ErrorKind,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

use super::{
    RabbitConfig, connect, declare,
    fault::fault_of,
    owned::{Owned, call, node},
};
use crate::{
    broker::{
        WorkQueue,
        topology::{ALERTS_EXCHANGE, OUTCOMES_EXCHANGE, live_exchange},
    },
    runtime::health::Fault,
};

/// What was seen of a cluster.
#[derive(Debug, Clone)]
pub struct BrokerSurvey {
    /// Each node of `broker.url`, in its order.
    pub nodes: Vec<NodeSeen>,
    /// What is missing of the topology; the cause when it could not be looked at. `None` without a connection.
    pub missing: Option<Result<Vec<String>, String>>,
    /// What a worker needs, and whether the user may do it; empty without a connection.
    pub permissions: Vec<PermissionSeen>,
    /// Whether the broker takes no publishes, because it is short of memory or of disk.
    pub is_blocked: bool,
}

/// A node, and what came of connecting to it.
#[derive(Debug, Clone)]
pub struct NodeSeen {
    /// Its host and port.
    pub node: String,
    /// Why it does not let us in.
    pub fault: Option<Fault>,
    /// Its certificate (DER), when the connection is over TLS.
    pub certificate: Option<Vec<u8>>,
}

/// Something that a worker does with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Declares the whole topology.
    Declare,
    /// Publishes alerts.
    PublishAlerts,
    /// Publishes to the pods.
    PublishLive,
    /// Publishes outcomes.
    PublishOutcomes,
    /// Publishes to a queue by its name.
    PublishToQueues,
    /// Takes work from this queue.
    Consume(WorkQueue),
    /// Has a queue of its own with live frames.
    HearLive,
}

/// A permission, and whether the user has it.
#[derive(Debug, Clone)]
pub struct PermissionSeen {
    /// Which.
    pub permission: Permission,
    /// Whether it is there; the cause where that could not be found out.
    pub is_given: Result<bool, String>,
}

impl Permission {
    /// As an operator reads it: the kind of right, and what it is about.
    pub fn describe(&self) -> String {
        match self {
            Self::Declare => "configure watchbell.*, because broker.declare is on".to_owned(),
            Self::PublishAlerts => format!("write {ALERTS_EXCHANGE}"),
            Self::PublishLive => "write watchbell.live.*".to_owned(),
            Self::PublishOutcomes => format!("write {OUTCOMES_EXCHANGE}"),
            Self::PublishToQueues => "write amq.default".to_owned(),
            Self::Consume(queue) => format!("read {}", queue.name()),
            Self::HearLive => {
                "configure, write and read watchbell.pod.*, and read watchbell.live.*".to_owned()
            }
        }
    }
}

/// Looks at every node, and on the first that lets us in at the topology and these permissions.
pub async fn survey(config: &RabbitConfig, needed: &[Permission]) -> BrokerSurvey {
    let mut seen =
        BrokerSurvey { nodes: Vec::new(), missing: None, permissions: Vec::new(), is_blocked: false };
    let access = config.access.get();
    for number in 0..access.urls.len() {
        let (node, opened) = match connect::uri(&access.urls, number) {
            Ok(uri) => (node(&uri), connect::open(config, "survey", uri).await),
            Err(error) => (format!("number {}", number + 1), Err(error)),
        };
        match opened {
            Ok(connection) => {
                let certificate = connection.certificate();
                seen.nodes.push(NodeSeen { node, fault: None, certificate });
                if seen.missing.is_none() {
                    look_at(&connection, needed, &mut seen).await;
                }
                connection.close().await;
            }
            Err(error) => {
                seen.nodes.push(NodeSeen { node, fault: Some(fault_of(&error)), certificate: None });
            }
        }
    }
    seen
}

async fn look_at(connection: &Owned, needed: &[Permission], seen: &mut BrokerSurvey) {
    let missing = declare::missing(connection).await;
    let is_whole = matches!(&missing, Ok(missing) if missing.is_empty());
    seen.missing = Some(missing.map_err(|error| format!("{error:#}")));
    for permission in needed {
        // What is missing is neither declared nor asked for its rights.
        if is_whole && !seen.permissions.iter().any(|asked| asked.permission == *permission) {
            let is_given = is_given(connection, permission).await.map_err(|error| format!("{error:#}"));
            seen.permissions.push(PermissionSeen { permission: permission.clone(), is_given });
        }
    }
    seen.is_blocked = connection.status().blocked();
}

async fn is_given(connection: &Owned, permission: &Permission) -> anyhow::Result<bool> {
    // On a channel of its own, which a refusal costs.
    let channel = connection.channel().await?;
    match permission {
        Permission::Declare => unless_refused(declare::apply(connection).await),
        Permission::PublishAlerts => may_publish(&channel, ALERTS_EXCHANGE).await,
        Permission::PublishLive => may_publish(&channel, &live_exchange(0)).await,
        Permission::PublishOutcomes => may_publish(&channel, OUTCOMES_EXCHANGE).await,
        Permission::PublishToQueues => may_publish(&channel, "").await,
        Permission::Consume(queue) => may_consume(&channel, queue.name()).await,
        Permission::HearLive => unless_refused(hear(&channel).await),
    }
}

/// A publish that is refused for its expiration, unless it is refused before for want of the right.
async fn may_publish(channel: &Channel, exchange: &str) -> anyhow::Result<bool> {
    let properties = BasicProperties::default().with_expiration("none".into());
    let published = async {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let nowhere = "watchbell.nowhere".into();
        let options = BasicPublishOptions::default();
        // In place of a confirm comes the reason for which the channel was closed.
        channel.basic_publish(exchange.into(), nowhere, options, &[], properties).await?.await
    };
    judged(call("asking for a right to publish", published).await)
}

/// A consumer that is refused for its priority, unless it is refused before for want of the right.
async fn may_consume(channel: &Channel, queue: &str) -> anyhow::Result<bool> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongString("none".into()));
    let consumer = "watchbell-survey".into();
    let consumed = channel.basic_consume(queue.into(), consumer, BasicConsumeOptions::default(), arguments);
    judged(call("asking for a right to consume", consumed).await)
}

/// Declares a queue as a pod does, binds it and reads from it; it goes with the connection.
async fn hear(channel: &Channel) -> anyhow::Result<()> {
    let name = format!("watchbell.pod.{}", Uuid::new_v4());
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
    call("declaring a pod's queue", declared).await?;
    let (queue, exchange) = (name.as_str().into(), live_exchange(0).into());
    let bound =
        channel.queue_bind(queue, exchange, "".into(), QueueBindOptions::default(), FieldTable::default());
    call("binding a pod's queue", bound).await?;
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let consumed = channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default());
    call("reading from a pod's queue", consumed).await?;
    Ok(())
}

/// Whether the answer to a question that is always refused shows that the right is there.
fn judged<T>(answer: anyhow::Result<T>) -> anyhow::Result<bool> {
    match answer {
        Ok(_) => anyhow::bail!("the broker took what it has to refuse"),
        Err(error) => match soft(&error) {
            Some(AMQPSoftError::PRECONDITIONFAILED) => Ok(true),
            Some(AMQPSoftError::ACCESSREFUSED) => Ok(false),
            _ => Err(error),
        },
    }
}

fn unless_refused(done: anyhow::Result<()>) -> anyhow::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if soft(&error) == Some(AMQPSoftError::ACCESSREFUSED) => Ok(false),
        Err(error) => Err(error),
    }
}

fn soft(error: &anyhow::Error) -> Option<AMQPSoftError> {
    let error = error.chain().find_map(|cause| cause.downcast_ref::<lapin::Error>())?;
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(kind) => Some(kind.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}
