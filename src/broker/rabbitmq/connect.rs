//! Finding a node that answers: shuffled order, bounded waits, growing pauses.
//!
//! An attempt that takes too long is ended with its socket ([`Owned`]), and the thread that the client library has
//! for it ends with that: a node that hangs costs nothing but the wait.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use lapin::uri::AMQPUri;
use rand::{Rng, seq::SliceRandom};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::{
    CONNECT_MAX, RabbitConfig,
    fault::{Trouble, fault_of},
    owned::Owned,
};
use crate::domain::{Secret, Untrusted};

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
    /// Where the cause is told while there is no connection.
    trouble: Trouble,
}

impl Connector {
    pub(super) fn new(config: Arc<RabbitConfig>, part: &'static str) -> Self {
        Self {
            config,
            part,
            order: Vec::new(),
            tried: 0,
            failures: 0,
            last: None,
            trouble: Trouble::default(),
        }
    }

    /// Tells here why there is no connection.
    pub(super) fn telling(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    /// The next connection, to the next node. Waits and tries until there is one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Owned {
        let part = self.part;
        if let Some(last) = self.last.take() {
            metrics::counter!("watchbell_broker_reconnects_total", "part" => part).increment(1);
            self.failures = if last.elapsed() < HEALTHY_AFTER { self.failures + 1 } else { 0 };
            self.pause().await;
        }
        loop {
            let attempt = self.attempt().await;
            self.trouble.set(attempt.as_ref().err().map(fault_of));
            match attempt {
                Ok((connection, node)) => {
                    info!(part, node, "Connected to the broker at {node}");
                    self.last = Some(Instant::now());
                    return connection;
                }
                // The first failure is told, the rest of an outage would only repeat it.
                Err(error) if self.failures == 0 => {
                    warn!(part, "The broker cannot be reached: {:#}", Untrusted(error));
                }
                Err(error) => debug!(part, "The broker cannot be reached: {:#}", Untrusted(error)),
            }
            self.failures += 1;
            self.pause().await;
        }
    }

    async fn attempt(&mut self) -> anyhow::Result<(Owned, String)> {
        let urls = self.config.urls.get();
        if self.order.len() != urls.len() {
            self.order = (0..urls.len()).collect();
            self.order.shuffle(&mut rand::rng());
        }
        let Some(&number) = self.order.get(self.tried % self.order.len().max(1)) else {
            bail!("no broker URL is given");
        };
        self.tried += 1;
        let uri = uri(&urls, number)?;
        let node = node(&uri);
        let connection = open(&self.config, self.part, uri).await?;
        Ok((connection, node))
    }

    async fn pause(&self) {
        let base = BACKOFF_MIN.saturating_mul(1 << self.failures.min(6)).min(BACKOFF_MAX / 2);
        let jitter = rand::rng().random_range(1.0..2.0);
        sleep(base.mul_f64(jitter)).await;
    }
}

/// Connects once, to the first node that answers.
pub(super) async fn once(config: &RabbitConfig, part: &'static str) -> anyhow::Result<Owned> {
    let mut failed = anyhow::anyhow!("no broker URL is given");
    let urls = config.urls.get();
    for number in 0..urls.len() {
        match open(config, part, uri(&urls, number)?).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn open(config: &RabbitConfig, part: &'static str, uri: AMQPUri) -> anyhow::Result<Owned> {
    let node = node(&uri);
    match timeout(CONNECT_MAX, Owned::open(config, part, uri)).await {
        Ok(connected) => connected.context(node),
        Err(_) => bail!("{node} does not answer"),
    }
}

/// How logs name a node.
fn node(uri: &AMQPUri) -> String {
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

/// Reads one of the URLs. The parser's own message may quote the URL, so it is not passed on.
pub(super) fn uri(urls: &[Secret], number: usize) -> anyhow::Result<AMQPUri> {
    let url = urls.get(number).context("no such broker URL")?;
    let mut uri: AMQPUri = url.expose().parse().map_err(|_| {
        anyhow::anyhow!("broker URL {} is not like amqp://user:password@host:5672/%2f", number + 1)
    })?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_url_that_cannot_be_read_is_not_quoted() {
    let config = |urls: &[&str]| RabbitConfig {
        urls: urls.iter().map(|url| Secret::from(*url)).collect::<Vec<_>>().into(),
        declare: false,
        name: "test".into(),
        ca_pem: None,
        names_user: false,
    };
    let good = "amqp://guest:hunter2@localhost:5672/%2f";
    assert_eq!(uri(&[good.into()], 0).unwrap().query.heartbeat, Some(HEARTBEAT));
    let own = format!("{good}?heartbeat=4");
    assert_eq!(uri(&[own.as_str().into()], 0).unwrap().query.heartbeat, Some(4), "the operator's wish wins");
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
