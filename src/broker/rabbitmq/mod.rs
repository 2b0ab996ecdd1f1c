//! RabbitMQ behind the seam, by AMQP 0-9-1. The only place for lapin.
//!
//! What holds here, besides the contract of [`super`]:
//! - The connections are ours to supervise: lapin's own recovery hangs or loses consumers (4 of 22 and 6 of 12
//!   restarts, measured), so it stays off. Any error, silence or time-out means a new connection to the next node.
//! - Every call is time-boxed. A broker that hangs keeps its sockets open and says nothing. Beginning to consume has
//!   more time than the others, as long as the node answers them: a queue without a leader is being elected one.
//! - Consuming, live frames, alerts, live publishing and outcomes have a connection each, so that none can hold up
//!   another: an alarm blocks whole connections, and a hung pod's or a producer's full queue stalls whoever publishes to it.
//! - No URL, and so no password, is ever printed: logs name nodes as `host:port` (I12).
//!
//! - A connection has one owner (`owned`), and ends with it for certain: its socket is shut down, so nothing is
//!   delivered to nobody. The broker's bytes are checked before lapin reads them (`amqp`).
//!
//! Elsewhere: finding a node in `connect`; a connection's owner, socket and stream in `owned`, `gate`, `stream`;
//! confirms in `publisher`; work in `consumer` and, on one connection, `session`, with how much at a time in `ramp`
//! and whether it adds up in `watchdog`; an operator's look in `browse`; live frames and the pulse in `live` and
//! `hearing`; the topology in `declare`; addresses, properties and headers in `route` and `convert`; all that a
//! producer's message carries besides in `envelope`; why there is no connection in `fault`; what an operator asks of a
//! cluster before workers run in `survey`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    browse::RabbitBrowser, consumer::RabbitConsumer, live::RabbitLive, publisher::Publisher, route::Route,
};
pub use self::{
    declare::{apply_topology, check_topology},
    envelope::Envelope,
    survey::{BrokerSurvey, NodeSeen, Permission, PermissionSeen, survey},
};
use super::{
    Address, BODY_BYTES_MAX, Broker, Browser, Consumer, LiveSource, Message, PublishError, WorkQueue, meter,
    topology,
};
use crate::{
    domain::Secret,
    runtime::{Current, certificate::certificates, health::Fault},
};

mod amqp;
mod browse;
mod connect;
mod consumer;
mod convert;
mod declare;
mod deliveries;
mod envelope;
mod fault;
#[doc(hidden)] // For `fuzz/`.
pub mod fuzzing;
mod gate;
mod hearing;
mod live;
mod owned;
mod publisher;
mod ramp;
mod route;
mod session;
mod settling;
mod short_string;
mod stream;
mod survey;
mod watchdog;

/// The longest wait for a node to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// The longest wait for an answer to one AMQP call, and for a publisher's confirm.
const CALL_MAX: Duration = Duration::from_secs(5);

/// The longest wait for the broker to agree that a connection ends. Then it ends without that.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// How to reach the cluster.
#[derive(Debug, Clone)]
pub struct RabbitConfig {
    /// What a connection needs. When it is replaced, because a password or a certificate was, the next connection takes the new
    /// one; those that are open go on.
    pub access: Current<BrokerAccess>,
    /// Whether to declare the topology when connecting; otherwise `watchbell topology apply` has done it.
    pub declare: bool,
    /// What the operator reads in RabbitMQ's list of connections: this process's name.
    pub name: String,
    /// Whether what is published for dispatch says which user published it (`user_id`). RabbitMQ compares it with the user
    /// that the connection signed in as.
    pub names_user: bool,
}

/// Where the nodes are, and how a connection and they prove who they are.
#[derive(Debug, Clone, Default)]
pub struct BrokerAccess {
    /// One a node, `amqp://` or `amqps://`, with user and password. Each connection tries them in an order of its own.
    pub urls: Vec<Secret>,
    /// The authorities that signed the nodes' certificates, besides those of the system.
    pub trust_roots_pem: Option<String>,
    /// A certificate and its private key, one after the other, for nodes that ask for one.
    pub client_certificate_pem: Option<Secret>,
}

impl BrokerAccess {
    /// To one node, whose certificate the system trusts and which asks for none.
    pub fn to(url: impl Into<Secret>) -> Self {
        Self { urls: vec![url.into()], ..Self::default() }
    }

    /// Whether the URLs and the certificates can be understood. The text of a failure has no URL in it.
    ///
    /// # Errors
    /// When there is none, one is not a URL of a broker, or a certificate is none.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.urls.is_empty(), "broker.url: no broker URL is given");
        for number in 0..self.urls.len() {
            connect::uri(&self.urls, number).context("broker.url")?;
        }
        if let Some(pem) = &self.trust_roots_pem {
            let roots = certificates(pem.as_bytes()).context("broker.trust_root_file")?;
            anyhow::ensure!(!roots.is_empty(), "broker.trust_root_file holds no certificate");
        }
        if let Some(pem) = &self.client_certificate_pem {
            let own = certificates(pem.expose().as_bytes()).context("broker.client_certificate")?;
            anyhow::ensure!(
                !own.is_empty() && pem.expose().contains("PRIVATE KEY-----"),
                "broker.client_certificate must hold a certificate and its private key as PEM"
            );
        }
        Ok(())
    }
}

impl RabbitConfig {
    /// As [`BrokerAccess::check`], of what holds now.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self) -> anyhow::Result<()> {
        self.access.get().check()
    }
}

/// See the module. One per process; dropped, its connections close.
#[derive(Debug)]
pub struct RabbitBroker {
    config: Arc<RabbitConfig>,
    shutdown: CancellationToken,
    alerts: Publisher,
    /// Apart from [`Self::alerts`], because pods' queues hang on the live exchanges.
    live: Arc<Publisher>,
    /// Apart from both, because producers' queues hang on that exchange: one that is full refuses what is published.
    outcomes: Publisher,
    /// Publishes that were not confirmed in time, since the process began.
    unconfirmed: AtomicU64,
    /// Each has a connection, which it closes at its end.
    tasks: TaskTracker,
}

impl RabbitBroker {
    /// Begins to connect, and keeps at it: a broker that is down shows in [`Broker::is_ready`].
    ///
    /// When `shutdown` fires, consumers end. Publishing and live frames go on as long as somebody holds the
    /// broker or the source, so that work that was begun can be finished.
    pub fn connect(config: RabbitConfig, shutdown: CancellationToken) -> Arc<Self> {
        let config = Arc::new(config);
        let tasks = TaskTracker::new();
        let start = |part| Publisher::start(Arc::clone(&config), part, &tasks);
        let (alerts, live) = (start(publisher::Part::Alerts), Arc::new(start(publisher::Part::Live)));
        let outcomes = start(publisher::Part::Outcomes);
        Arc::new(Self { config, shutdown, alerts, live, outcomes, unconfirmed: AtomicU64::new(0), tasks })
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, to: Address, message: Message, deadline: Duration) -> Result<(), PublishError> {
        let began = Instant::now();
        let outcome = match (to, message.body.len()) {
            (_, len) if len > BODY_BYTES_MAX => Err(PublishError::TooLarge { len }),
            (Address::Live(partition), _) if partition >= topology::PARTITIONS => {
                Err(PublishError::Unroutable)
            }
            (Address::Live(_), _) => self.live.publish(Route::to(to), message, deadline).await,
            (Address::Outcomes, _) => self.outcomes.publish(Route::to(to), message, deadline).await,
            _ => self.alerts.publish(Route::to(to), message, deadline).await,
        };
        if let Err(PublishError::Unavailable(_)) = &outcome {
            self.unconfirmed.fetch_add(1, Ordering::Relaxed);
        }
        meter::published(to, &outcome, began.elapsed());
        outcome
    }

    async fn consume(&self, queue: WorkQueue, prefetch: u16) -> Box<dyn Consumer> {
        let config = Arc::clone(&self.config);
        Box::new(RabbitConsumer::start(config, queue, prefetch, self.shutdown.clone(), &self.tasks))
    }

    async fn browse(&self, queue: WorkQueue) -> Result<Box<dyn Browser>, PublishError> {
        Ok(Box::new(RabbitBrowser::open(&self.config, queue).await?))
    }

    async fn live(&self) -> Box<dyn LiveSource> {
        Box::new(RabbitLive::start(Arc::clone(&self.config), Arc::clone(&self.live), &self.tasks))
    }

    async fn depth(&self, queue: WorkQueue) -> Result<u64, PublishError> {
        let asked = timeout(CALL_MAX, async {
            // A channel of its own: a queue that is missing costs the channel it is asked on.
            let channel = self.alerts.connection()?.channel().await.ok()?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare(queue.name().into(), passive, Default::default()).await.ok()?;
            Some(u64::from(queue.message_count()))
        });
        asked.await.ok().flatten().ok_or(PublishError::Unavailable(CALL_MAX))
    }

    fn is_ready(&self) -> bool {
        self.alerts.is_ready()
    }

    fn obstacle(&self) -> Option<Fault> {
        self.alerts.obstacle()
    }

    async fn close(&self) {
        for publisher in [&self.alerts, &*self.live, &self.outcomes] {
            publisher.end();
        }
        self.tasks.close();
        // Consumers and live sources end with whoever had them. What does not end in time ends with the process.
        let _ = timeout(2 * CLOSE_MAX, self.tasks.wait()).await;
    }

    fn failed_calls(&self) -> u64 {
        self.alerts.failures() + self.unconfirmed.load(Ordering::Relaxed)
    }
}
