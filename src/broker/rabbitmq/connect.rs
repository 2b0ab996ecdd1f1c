//! Finding a node that answers: shuffled order, bounded waits, growing pauses.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use lapin::{Connection, ConnectionProperties, tcp::OwnedTLSConfig, uri::AMQPUri};
use rand::{Rng, seq::SliceRandom};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{CALL_MAX, CONNECT_MAX, RabbitConfig};

/// The pause after a first failure, without its jitter, which doubles it at most.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Seconds. Twice this without a sign and either end gives the connection up; the pulse is faster.
const HEARTBEAT: u16 = 10;

/// Gives one connection after the other to one supervised part.
pub(super) struct Connector {
    config: Arc<RabbitConfig>,
    part: &'static str,
    order: Vec<usize>,
    tried: usize,
    failures: u32,
    last: Option<Instant>,
    /// Attempts that outlasted [`CONNECT_MAX`]. A hung node never answers, and each attempt costs a thread until
    /// it does, so a node has one at most; when it wakes up, this is the connection.
    pending: BTreeMap<usize, JoinHandle<lapin::Result<Connection>>>,
}

impl Connector {
    pub(super) fn new(config: Arc<RabbitConfig>, part: &'static str) -> Self {
        let mut order: Vec<usize> = (0..config.urls.len()).collect();
        order.shuffle(&mut rand::rng());
        Self { config, part, order, tried: 0, failures: 0, last: None, pending: BTreeMap::new() }
    }

    /// The next connection, to the next node. Waits and tries until there is one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Connection {
        let part = self.part;
        if let Some(last) = self.last.take() {
            metrics::counter!("watchbell_broker_reconnects_total", "part" => part).increment(1);
            self.failures = if last.elapsed() < HEALTHY_AFTER { self.failures + 1 } else { 0 };
            self.pause().await;
        }
        loop {
            match self.attempt().await {
                Ok((connection, node)) => {
                    info!(part, node, "Connected to the broker at {node}");
                    self.last = Some(Instant::now());
                    return connection;
                }
                // The first failure is told, the rest of an outage would only repeat it.
                Err(error) if self.failures == 0 => warn!(part, "The broker cannot be reached: {error:#}"),
                Err(error) => debug!(part, "The broker cannot be reached: {error:#}"),
            }
            self.failures += 1;
            self.pause().await;
        }
    }

    async fn attempt(&mut self) -> anyhow::Result<(Connection, String)> {
        let Some(&number) = self.order.get(self.tried % self.order.len().max(1)) else {
            bail!("no broker URL is given");
        };
        self.tried += 1;
        let uri = uri(&self.config, number)?;
        let node = format!("{}:{}", uri.authority.host, uri.authority.port);
        let config = Arc::clone(&self.config);
        let part = self.part;
        let pending = self
            .pending
            .entry(number)
            .or_insert_with(|| tokio::spawn(async move { open(&config, part, uri).await }));
        let Ok(connected) = timeout(CONNECT_MAX, &mut *pending).await else {
            bail!("{node} does not answer");
        };
        self.pending.remove(&number);
        if matches!(connected, Ok(Ok(_))) {
            self.give_up_pending();
        }
        Ok((connected?.with_context(|| node.clone())?, node))
    }

    async fn pause(&self) {
        let base = BACKOFF_MIN.saturating_mul(1 << self.failures.min(6)).min(BACKOFF_MAX / 2);
        let jitter = rand::rng().random_range(1.0..2.0);
        sleep(base.mul_f64(jitter)).await;
    }

    fn give_up_pending(&mut self) {
        for attempt in std::mem::take(&mut self.pending).into_values() {
            attempt.abort();
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.give_up_pending();
    }
}

/// Connects once, to the first node that answers.
pub(super) async fn once(config: &RabbitConfig, part: &'static str) -> anyhow::Result<Connection> {
    let mut failed = anyhow::anyhow!("no broker URL is given");
    for number in 0..config.urls.len() {
        let uri = uri(config, number)?;
        let node = format!("{}:{}", uri.authority.host, uri.authority.port);
        match timeout(CONNECT_MAX, open(config, part, uri)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failed = anyhow::Error::new(error).context(node),
            Err(_) => failed = anyhow::anyhow!("{node} does not answer"),
        }
    }
    Err(failed)
}

async fn open(config: &RabbitConfig, part: &str, uri: AMQPUri) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("{} {part}", config.name).into())
        .with_client_property("product".into(), "watchbell".into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: config.ca_pem.clone() };
    Connection::connect_uri_with_config(uri, properties, tls, lapin::runtime::default_runtime()?).await
}

/// Reads one of the URLs. The parser's own message may quote the URL, so it is not passed on.
pub(super) fn uri(config: &RabbitConfig, number: usize) -> anyhow::Result<AMQPUri> {
    let url = config.urls.get(number).context("no such broker URL")?;
    let mut uri: AMQPUri = url.expose().parse().map_err(|_| {
        anyhow::anyhow!("broker URL {} is not like amqp://user:password@host:5672/%2f", number + 1)
    })?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

/// One AMQP call, time-boxed.
pub(super) async fn call<T>(
    what: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> anyhow::Result<T> {
    match timeout(CALL_MAX, answer).await {
        Ok(answer) => answer.context(what),
        Err(_) => bail!("{what}: no answer within {CALL_MAX:?}"),
    }
}

/// Closes politely, so that the broker's log has no complaint; a broker that does not answer is left.
pub(super) async fn close(connection: &Connection) {
    if connection.status().connected() && !connection.status().blocked() {
        // There is nothing to do about a failure: it is over either way.
        let _ = timeout(CALL_MAX, connection.close(200, "done".into())).await;
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_url_that_cannot_be_read_is_not_quoted() {
    let config = |urls: &[&str]| RabbitConfig {
        urls: urls.iter().map(|url| (*url).into()).collect(),
        declare: false,
        name: "test".into(),
        ca_pem: None,
    };
    let good = "amqp://guest:hunter2@localhost:5672/%2f";
    assert_eq!(uri(&config(&[good]), 0).unwrap().query.heartbeat, Some(HEARTBEAT));
    let own = format!("{good}?heartbeat=4");
    assert_eq!(uri(&config(&[&own]), 0).unwrap().query.heartbeat, Some(4), "the operator's wish wins");
    for bad in
        ["", "guest:hunter2@localhost", "http://guest:hunter2@localhost", "amqp://guest:hunter2@local host:x"]
    {
        let error = config(&[good, bad]).check().unwrap_err();
        assert!(format!("{error:#?}").contains("broker URL 2"), "{error:#?}");
        assert!(!format!("{error:#?}").contains("hunter2"), "{error:#?}");
    }
    assert!(config(&[]).check().is_err());
    assert!(!format!("{:?}", config(&[good])).contains("hunter2"));
}
