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
    owned::{Owned, node},
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
    /// What the log tells of an outage: its first failure, and its end.
    outage: Outage,
    /// The node of the connection that was given last.
    node: String,
}

/// An outage as the log tells it: one line when it begins and one when it is over, with how often something failed.
#[derive(Debug, Default)]
struct Outage {
    failures: u64,
}

impl Outage {
    /// Counts a failure. Only the first is worth a line.
    fn fails(&mut self) -> bool {
        self.failures += 1;
        self.failures == 1
    }

    /// It works. How often it failed before, when it did.
    fn ends(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.failures)).filter(|failures| *failures > 0)
    }
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
            outage: Outage::default(),
            node: String::new(),
        }
    }

    /// Tells here why there is no connection.
    pub(super) fn telling(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    /// The next connection, to the next node. Waits and tries until there is one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Owned {
        if let Some(last) = self.last.take() {
            metrics::counter!("watchbell_broker_reconnects_total", "part" => self.part).increment(1);
            self.failures = if last.elapsed() < HEALTHY_AFTER { self.failures + 1 } else { 0 };
            self.pause().await;
        }
        loop {
            let attempt = self.attempt().await;
            self.trouble.set(attempt.as_ref().err().map(fault_of));
            match attempt {
                Ok((connection, node)) => {
                    self.last = Some(Instant::now());
                    self.node = node;
                    return connection;
                }
                Err(error) => self.failed("The broker cannot be reached", error),
            }
            self.failures += 1;
            self.pause().await;
        }
    }

    /// What is done over the connection that was given last works: an outage is over.
    pub(super) fn works(&mut self) {
        let (part, node) = (self.part, &self.node);
        match self.outage.ends() {
            None => info!(part, node, "Connected to the broker at {node}"),
            Some(failures) => {
                info!(
                    part,
                    node, failures, "Connected to the broker again, at {node}, after {failures} failures"
                );
            }
        }
    }

    /// Something failed: told when it is the first of an outage, because the rest would only repeat it.
    pub(super) fn failed(&mut self, what: &str, error: anyhow::Error) {
        let (part, node) = (self.part, &self.node);
        match self.outage.fails() {
            true => warn!(part, node, "{what}: {:#}", Untrusted(error)),
            false => debug!(part, node, "{what}: {:#}", Untrusted(error)),
        }
    }

    async fn attempt(&mut self) -> anyhow::Result<(Owned, String)> {
        let access = self.config.access.get();
        if self.order.len() != access.urls.len() {
            self.order = (0..access.urls.len()).collect();
            self.order.shuffle(&mut rand::rng());
        }
        let Some(&number) = self.order.get(self.tried % self.order.len().max(1)) else {
            bail!("no broker URL is given");
        };
        self.tried += 1;
        let uri = uri(&access.urls, number)?;
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
    let access = config.access.get();
    for number in 0..access.urls.len() {
        match open(config, part, uri(&access.urls, number)?).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

pub(super) async fn open(config: &RabbitConfig, part: &'static str, uri: AMQPUri) -> anyhow::Result<Owned> {
    let node = node(&uri);
    match timeout(CONNECT_MAX, Owned::open(config, part, uri)).await {
        Ok(connected) => connected.context(node),
        Err(_) => bail!("{node} does not answer"),
    }
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
fn an_outage_is_told_when_it_begins_and_when_it_ends() {
    let mut outage = Outage::default();
    assert_eq!(outage.ends(), None, "there was none");
    assert_eq!([outage.fails(), outage.fails(), outage.fails()], [true, false, false]);
    assert_eq!((outage.ends(), outage.ends()), (Some(3), None), "its end is told once, with the count");
    assert!(outage.fails(), "the next one is told again");
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_url_that_cannot_be_read_is_not_quoted() {
    use super::BrokerAccess;
    let access = |urls: &[&str]| BrokerAccess {
        urls: urls.iter().map(|url| Secret::from(*url)).collect(),
        ..BrokerAccess::default()
    };
    let good = "amqp://guest:hunter2@localhost:5672/%2f";
    assert_eq!(uri(&[good.into()], 0).unwrap().query.heartbeat, Some(HEARTBEAT));
    let own = format!("{good}?heartbeat=4");
    assert_eq!(uri(&[own.as_str().into()], 0).unwrap().query.heartbeat, Some(4), "the operator's wish wins");
    for bad in
        ["", "guest:hunter2@localhost", "http://guest:hunter2@localhost", "amqp://guest:hunter2@local host:x"]
    {
        let error = access(&[good, bad]).check().unwrap_err();
        assert!(format!("{error:#?}").contains("broker URL 2"), "{error:#?}");
        assert!(!format!("{error:#?}").contains("hunter2"), "{error:#?}");
    }
    assert!(access(&[]).check().is_err());
    assert!(!format!("{:?}", access(&[good])).contains("hunter2"));
}
