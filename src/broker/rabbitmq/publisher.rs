//! One supervised publishing connection: confirms, a bounded window, and publishing again after every failure.
//!
//! What holds here:
//! - `Ok` is said only for a confirm, and a message that was returned is [`PublishError::Unroutable`].
//! - What is unconfirmed when a connection ends goes out first on the next one, in its old order and with its old
//!   `message_id`, until its publisher's deadline has passed.
//! - A socket that is up proves nothing: a hung node was silent for 25 s. Ours is the time-out that counts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::bail;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use lapin::{
    Channel, Confirmation, ConnectionStatus, Event,
    options::{BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{debug, info, warn};

use super::{
    CALL_MAX, RabbitConfig,
    connect::Connector,
    convert, declare,
    fault::Trouble,
    owned::{Owned, call},
    route::Route,
};
use crate::{
    broker::{Message, PublishError, topology::ALERTS_EXCHANGE},
    domain::Untrusted,
    runtime::health::Fault,
};

/// Publishes that wait for the window, or for a connection. More wait with their callers.
const REQUESTS_MAX: usize = 1024;

/// Unconfirmed publishes on the way. More would only add latency (measured).
const WINDOW: usize = 256;

/// Between two tries of a message that the broker refused: a queue was full, or its leader is just moving.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// When nothing but refusals came for this long, another connection is tried. RabbitMQ 3.10 refuses everything on
/// a channel that first publishes to a quorum queue while its leader's node is down, until that node is back: such a
/// channel asks the node that it remembers, and a new one asks the new leader.
const REFUSED_MAX: Duration = Duration::from_secs(3);

/// After this long without a confirm, a live message is settled by asking the channel instead.
const LIVE_CONFIRM_MAX: Duration = Duration::from_secs(1);

/// How often an idle connection is looked at, should its end have made no event.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which of the process's publishing connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything that is kept. Connects at once, and declares the topology if that is wished.
    Alerts,
    /// Live frames and pulses. Connects when there is a first one.
    Live,
    /// Outcomes. Connects when there is a first one.
    Outcomes,
}

#[derive(Debug)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
    current: Current,
    trouble: Trouble,
    alive: CancellationToken,
    _ends: DropGuard,
}

/// The connection in use, for whoever else has a question to the broker.
type Current = Arc<Mutex<Option<Arc<Owned>>>>;

#[derive(Debug)]
struct Request {
    route: Route,
    message: Message,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

impl Publisher {
    pub(super) fn start(config: Arc<RabbitConfig>, part: Part, tasks: &TaskTracker) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let (current, trouble) = (Current::default(), Trouble::default());
        let alive = CancellationToken::new();
        let task = Task {
            config,
            part,
            waiting,
            unconfirmed: BTreeMap::new(),
            numbers: 0,
            refused_since: None,
            current: Arc::clone(&current),
            trouble: trouble.clone(),
        };
        tasks.spawn(task.run(alive.clone()));
        let _ends = alive.clone().drop_guard();
        Self { requests, current, trouble, alive, _ends }
    }

    pub(super) async fn publish(
        &self,
        route: Route,
        message: Message,
        deadline: Duration,
    ) -> Result<(), PublishError> {
        let (answer, answered) = oneshot::channel();
        let published = timeout(deadline, async {
            self.requests.send(Request { route, message, answer }).await.ok()?;
            answered.await.ok()
        });
        // Dropping `answered` is what tells the task that nobody waits any more.
        published.await.ok().flatten().unwrap_or(Err(PublishError::Unavailable(deadline)))
    }

    /// Closes its connection in order, and publishes no more.
    pub(super) fn end(&self) {
        self.alive.cancel();
    }

    pub(super) fn connection(&self) -> Option<Arc<Owned>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.connection().is_some_and(|connection| {
            let status = connection.status();
            status.connected() && !status.blocked()
        })
    }

    /// Why it takes no publishes at the moment.
    pub(super) fn obstacle(&self) -> Option<Fault> {
        if self.is_blocked() {
            return Some(Fault::new(
                "RabbitMQ takes no publishes: it is short of memory or of disk",
                "give it more, or let its queues be consumed",
            ));
        }
        (!self.is_ready()).then(|| self.trouble.cause())
    }

    /// Attempts that found no connection, since the process began.
    pub(super) fn failures(&self) -> u64 {
        self.trouble.failures()
    }

    /// The broker said that it takes no publishes at the moment.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection().is_some_and(|connection| connection.status().blocked())
    }
}

struct Task {
    config: Arc<RabbitConfig>,
    part: Part,
    waiting: mpsc::Receiver<Request>,
    /// At most [`WINDOW`], in the order they were taken.
    unconfirmed: BTreeMap<u64, Request>,
    numbers: u64,
    /// Since when this connection has only refused.
    refused_since: Option<Instant>,
    current: Current,
    trouble: Trouble,
}

/// What became of one publish.
enum Fate {
    Confirmed,
    Returned,
    Refused,
    /// The pause after a refusal is over.
    Again,
    Silent,
    Failed(lapin::Error),
}

type Fates = FuturesUnordered<BoxFuture<'static, (u64, Fate)>>;

impl Task {
    async fn run(mut self, alive: CancellationToken) {
        let part = self.part.name();
        if self.part != Part::Alerts {
            let first = alive.run_until_cancelled(self.waiting.recv()).await;
            let Some(Some(first)) = first else { return };
            self.take(first);
        }
        let mut connector = Connector::new(Arc::clone(&self.config), part).telling(self.trouble.clone());
        loop {
            let Some(connection) = alive.run_until_cancelled(connector.next()).await else { return };
            let connection = Arc::new(connection);
            // Waited for also when publishing ends meanwhile. A channel that opens while its connection closes is an error to the client
            // library.
            let ended = match connection.lasting_channel().await {
                Ok(channel) => {
                    let session = self.session(&connection, channel, || connector.works());
                    alive.run_until_cancelled(session).await
                }
                Err(error) => Some(Err(error)),
            };
            self.set_current(None);
            let Some(Err(error)) = ended else { return connection.close().await };
            // Somebody may still have a question on it.
            connection.give_up();
            let unconfirmed = self.unconfirmed.len();
            let what =
                format!("Publishing begins anew on another node, with {unconfirmed} messages unconfirmed");
            connector.failed(&what, error);
        }
    }

    /// Publishes on one connection until it fails; `works` is told when that can begin. `Ok` when there is nobody left to publish for.
    async fn session(
        &mut self,
        connection: &Arc<Owned>,
        channel: Channel,
        works: impl FnOnce(),
    ) -> anyhow::Result<()> {
        if self.config.declare
            && self.part == Part::Alerts
            && let Err(error) = declare::apply(connection).await
        {
            // What is there may still do: publishing finds out.
            warn!("The topology could not be declared: {:#}", Untrusted(error));
        }
        call("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        let status = connection.status().clone();
        let user = self.config.names_user.then(|| status.username());
        let way = Way { channel: channel.clone(), status: status.clone(), user };
        let mut events = std::pin::pin!(connection.connection().events_listener());
        let mut look = interval(LOOK_EVERY);
        works();
        self.set_current(Some(Arc::clone(connection)));
        self.refused_since = None;

        self.unconfirmed.retain(|_, request| !request.answer.is_closed());
        let mut fates: Fates =
            self.unconfirmed.iter().map(|(number, request)| send(&way, *number, request)).collect();
        loop {
            // An error event may be about somebody else's channel on this connection: only a look tells.
            if fates.is_empty() && !(status.connected() && channel.status().connected()) {
                bail!("the connection ended");
            }
            let may_send = fates.len() < WINDOW && !status.blocked();
            tokio::select! {
                // Fates first: an error is a fate before it is an event, and says more there.
                biased;
                Some((number, fate)) = fates.next() => {
                    self.settle(number, fate, |request| send(&way, number, request), &mut fates)?;
                }
                Some(event) = events.next() => self.hear(event),
                _ = look.tick() => {}
                request = self.waiting.recv(), if may_send => {
                    let Some(request) = request else { return Ok(()) };
                    if !request.answer.is_closed() {
                        let number = self.take(request);
                        fates.push(send(&way, number, &self.unconfirmed[&number]));
                    }
                }
            }
        }
    }

    fn take(&mut self, request: Request) -> u64 {
        self.numbers += 1;
        self.unconfirmed.insert(self.numbers, request);
        self.numbers
    }

    fn settle(
        &mut self,
        number: u64,
        fate: Fate,
        send_again: impl FnOnce(&Request) -> BoxFuture<'static, (u64, Fate)>,
        fates: &mut Fates,
    ) -> anyhow::Result<()> {
        match fate {
            Fate::Confirmed => {
                self.refused_since = None;
                self.answer(number, Ok(()));
            }
            Fate::Returned => self.answer(number, Err(PublishError::Unroutable)),
            Fate::Refused => {
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > REFUSED_MAX {
                    bail!("the broker has refused everything for {REFUSED_MAX:?}");
                }
                if self.part == Part::Outcomes {
                    // Another of the queues may have taken it, and would get a copy with each try.
                    self.answer(number, Err(PublishError::Refused));
                    return Ok(());
                }
                debug!("The broker refused a message; trying again");
                fates.push(sleep(REFUSED_PAUSE).map(move |()| (number, Fate::Again)).boxed());
            }
            Fate::Again => match self.unconfirmed.get(&number) {
                Some(request) if !request.answer.is_closed() => fates.push(send_again(request)),
                _ => drop(self.unconfirmed.remove(&number)),
            },
            Fate::Silent => bail!("no confirm within {CALL_MAX:?}"),
            Fate::Failed(error) => {
                self.refuse_missing_exchange(&error.to_string());
                bail!(error);
            }
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, outcome: Result<(), PublishError>) {
        if let Some(request) = self.unconfirmed.remove(&number) {
            // Nobody listens if the deadline has passed.
            let _ = request.answer.send(outcome);
        }
    }

    /// A missing exchange costs the channel. Publishing to it again would cost the next one, for ever, and
    /// everybody else's messages with it. The broker says `no exchange 'name' in vhost …`.
    fn refuse_missing_exchange(&mut self, error: &str) {
        let missing =
            |exchange: &str| !exchange.is_empty() && error.contains(&format!("no exchange '{exchange}'"));
        let refused: Vec<u64> = self
            .unconfirmed
            .iter()
            .filter(|(_, request)| missing(&request.route.exchange))
            .map(|(number, _)| *number)
            .collect();
        for number in refused {
            self.answer(number, Err(PublishError::Unroutable));
        }
    }

    fn hear(&self, event: Event) {
        let part = self.part.name();
        match event {
            Event::ConnectionBlocked(reason) => {
                warn!(part, reason = %Untrusted(&reason), "The broker blocks publishers: {}", Untrusted(&reason));
            }
            Event::ConnectionUnblocked => info!(part, "The broker unblocked publishers"),
            // Waking up is enough: the loop looks at the connection.
            _ => {}
        }
    }

    fn set_current(&self, connection: Option<Arc<Owned>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Alerts => "publish",
            Self::Live => "publish-live",
            Self::Outcomes => "publish-outcomes",
        }
    }
}

/// What a message goes by.
struct Way {
    channel: Channel,
    status: ConnectionStatus,
    /// Whom the connection signed in as, where messages for dispatch say so.
    user: Option<String>,
}

/// Queues the frames at once, so that messages leave in the order of the calls; the future is their fate.
fn send(way: &Way, number: u64, request: &Request) -> BoxFuture<'static, (u64, Fate)> {
    let (channel, status) = (way.channel.clone(), way.status.clone());
    let (route, body) = (request.route.clone(), request.message.body.clone());
    let user = way.user.as_deref().filter(|_| route.exchange == ALERTS_EXCHANGE);
    let properties = convert::properties(&request.message, &route, user);
    let mut sending = async move {
        let publish = async {
            let options = BasicPublishOptions { mandatory: route.mandatory, immediate: false };
            let (exchange, key) = (route.exchange.as_str().into(), route.key.as_str().into());
            channel.basic_publish(exchange, key, options, &body, properties).await?.await
        };
        let fate = match route.persistent {
            true => fate(publish, CALL_MAX, &status).await,
            false => live_fate(fate(publish, LIVE_CONFIRM_MAX, &status).await, &channel).await,
        };
        (number, fate)
    }
    .boxed();
    match (&mut sending).now_or_never() {
        Some(fate) => ready(fate).boxed(),
        None => sending,
    }
}

async fn fate(
    publish: impl Future<Output = lapin::Result<Confirmation>>,
    confirm_max: Duration,
    status: &ConnectionStatus,
) -> Fate {
    let mut publish = std::pin::pin!(publish);
    loop {
        return match timeout(confirm_max, &mut publish).await {
            Ok(Ok(Confirmation::Ack(None))) => Fate::Confirmed,
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => Fate::Returned,
            // Without confirms nothing is known, so it counts as refused.
            Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => Fate::Refused,
            Ok(Err(error)) => Fate::Failed(error),
            // An alarm holds the whole cluster: another node would not take it either.
            Err(_) if status.blocked() => continue,
            Err(_) => Fate::Silent,
        };
    }
}

/// A live message's confirm waits for every pod's queue, so one hung pod would hold up all. Its exchange is enough:
/// a channel works in order, so when it answers any question, the exchange has routed what was published before.
/// The pods that did not get it are deaf or gone, and heal.
async fn live_fate(fate: Fate, channel: &Channel) -> Fate {
    match fate {
        Fate::Refused => Fate::Confirmed,
        // This question needs no permission and changes nothing: nobody consumes here.
        Fate::Silent => match timeout(CALL_MAX, channel.basic_qos(1, BasicQosOptions::default())).await {
            Ok(Ok(())) => Fate::Confirmed,
            Ok(Err(error)) => Fate::Failed(error),
            Err(_) => Fate::Silent,
        },
        other => other,
    }
}
