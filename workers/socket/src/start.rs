//! Starts the worker: makes its parts from what it is given, and hands each the others that it needs. Nothing keeps all
//! of them.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use axum::Router;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watchbell::{
    broker::{Announcer, LiveControl, SharedBroker},
    runtime::{Clock, Current, http::AnswerBudget, log_limit::LogLimit, waiting_room::WaitingRoom},
    store::Store,
    wire::{answer_link::AnswerLinks, push_receipt::PushReceipts, unsubscribe::Unsubscribe},
};

use crate::{
    config::{MountConfig, SocketConfig},
    entry::{
        capacity::Capacity,
        origin::{AllowedOrigins, OriginCheck},
        sign_in::SignIn,
        upgrade::Upgrades,
    },
    feed::inbox::Inbox,
    frames::{epoch::Epochs, sent::SentFrames},
    http::{
        answer_links::AnswerLinkReader,
        devices::{BrowserPush, Devices},
        poll::Polls,
        preferences::{self, Preferences},
        push_receipts::PushReceiptReader,
        routes::{RouteState, routes},
        unsubscribe::UnsubscribeLinks,
    },
    pod::{
        direct_writes::DirectWrites,
        heads::{self, Heads},
        history::HistoryWatch,
        hub::Hub,
        leaving::{Departure, Leaving},
        limits::{Addresses, ReceiptTurns, SEARCHES_PER_SECOND, SearchTurns, Turns},
        live::Live,
        mailbox::Backlog,
        partitions::Partitions,
        pings::Pinger,
        presence::Presence,
        presence_writer::PresenceWriter,
        rebalance::{Rebalancer, Rules},
        receipt_writer::{self, ReceiptWriter},
        receipts::Receipts,
        sessions::Sessions,
        status::PodStatus,
    },
    session::parts::SessionParts,
    token::{Authenticator, Verifier},
};

/// What the worker is made of.
pub struct SocketParts {
    /// Carries live frames.
    pub broker: SharedBroker,
    /// The inboxes.
    pub store: Store,
    /// Whose tokens are believed.
    pub authenticator: Arc<Authenticator>,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub config: SocketConfig,
    /// Memory for snapshots and pages.
    pub answers: AnswerBudget,
    /// How long after it is told to leave a pod is still sent new sessions by balancers.
    pub leave_wait: Duration,
    /// The address people reach this worker under, whose pages are ours.
    pub public_url: Option<String>,
    /// Streams under other addresses.
    pub mounts: Vec<MountConfig>,
    /// For browsers that subscribe to pushes; none when they cannot.
    pub webpush: Option<BrowserPush>,
    /// Reads the unsubscribe links of emails; none when emails have none.
    pub unsubscribe: Current<Option<Unsubscribe>>,
    /// Reads the answer links of mails and pushes; none when they have none.
    pub answer_links: Current<Option<AnswerLinks>>,
    /// Reads the receipt tokens of pushes; none when they have none.
    pub push_receipts: Current<Option<PushReceipts>>,
    /// Ends when the store has the tables that this pod needs, or the process leaves. Until then the store is not told
    /// who is here; whoever asks for a session is turned away as by any store that does not answer.
    pub schema: BoxFuture<'static, ()>,
}

/// The halves of a started worker.
pub struct Started {
    /// Its routes.
    pub routes: Router,
    /// Returns when the pod was told to leave and everybody has left. HTTP is to be served until then.
    pub leave: BoxFuture<'static, ()>,
    /// What sessions and requests need: runs until HTTP is not served any more.
    pub run: BoxFuture<'static, ()>,
    /// Knows whether it hears live frames.
    pub live: Arc<dyn LiveControl>,
}

/// Starts the worker. It needs nothing of the store yet: sessions that begin before the store is there are turned away.
/// `leaving` tells it to leave; `served` says that the last request was answered.
pub async fn start(parts: SocketParts, leaving: CancellationToken, served: CancellationToken) -> Started {
    let source = parts.broker.live().await;
    let live = source.control();
    let SocketParts { broker, store, clock, .. } = parts;
    let config = Arc::new(parts.config);
    let tasks = TaskTracker::new();

    // What every session is a part of.
    let epochs = Arc::new(Epochs::default());
    let backlog = Backlog { frames_max: config.backlog_frames_max, bytes_max: config.backlog_bytes_max };
    let sent = Arc::new(SentFrames::new(clock.clone()));
    let cores = available_parallelism().map_or(1, usize::from);
    let direct = Arc::new(DirectWrites::new(sent.clone(), backlog, cores));
    let hub = Arc::new(Hub::new(backlog, direct.clone()));
    let presence = Arc::new(Presence::default());
    let departs = Arc::new(Leaving::when(leaving.clone()));
    let partitions = Arc::new(Partitions::new(live.clone()));
    let sessions = Arc::new(Sessions {
        hub: hub.clone(),
        partitions: partitions.clone(),
        presence: presence.clone(),
        turns: Turns::per_second(config.accepts_per_second),
        per_user_max: config.sessions_per_user_max,
    });

    // What it reads and writes.
    let (receipts, receipt_queue) = Receipts::new();
    let (heads, head_requests) = Heads::new();
    let inbox =
        Inbox { store: store.clone(), heads, epochs: epochs.clone(), receipts, answers: parts.answers };
    let authenticator = parts.authenticator;
    let verifier = Verifier::new(authenticator.clone(), clock.clone());

    // What runs beside the sessions.
    let status = PodStatus {
        hub: hub.clone(),
        leaving: departs.clone(),
        sessions_max: config.sessions_max,
        started_at: clock.now(),
        clock: clock.clone(),
    };
    let pinger =
        Pinger { store: store.clone(), epochs: epochs.clone(), hub: hub.clone(), every: config.ping_every };
    let live_messages = Live {
        hub: hub.clone(),
        epochs: epochs.clone(),
        pinger: pinger.clone(),
        direct,
        tasks: tasks.clone(),
    };
    let history = HistoryWatch {
        store: store.clone(),
        epochs,
        hub: hub.clone(),
        pinger: pinger.clone(),
        sessions_per_second: config.accepts_per_second,
    };
    let presence_writer = PresenceWriter {
        store: store.clone(),
        presence: presence.clone(),
        status: status.clone(),
        rebalance_every: config.rebalance_every,
    };
    let rebalancer =
        Rebalancer { store: store.clone(), status, pod: presence.pod.clone(), rules: Rules::of(&config) };
    let receipt_writer = ReceiptWriter {
        store: store.clone(),
        announcer: Announcer { broker: broker.clone(), deadline: receipt_writer::PUBLISH_DEADLINE },
        clock: clock.clone(),
    };
    let departure = Departure { leaving: departs.clone(), presence, hub: hub.clone(), tasks: tasks.clone() };

    // What requests come to.
    let sign_in = SignIn { verifier: verifier.clone(), inbox: inbox.clone() };
    let origins = OriginCheck {
        allowed: AllowedOrigins::new(&config.allowed_origins, parts.public_url.as_deref()),
        clock: clock.clone(),
        refusals: LogLimit::per_minute(1),
    };
    let capacity = Arc::new(Capacity {
        hub,
        sessions_max: config.sessions_max,
        addresses: Addresses::default(),
        share: config.session_share(),
        tasks,
    });
    let session = Arc::new(SessionParts {
        sent: sent.clone(),
        verifier,
        sessions: sessions.clone(),
        inbox: inbox.clone(),
        leaving: departs.clone(),
        config: config.clone(),
        unsigned: WaitingRoom::new(config.unsigned_max, config.unsigned_share()),
    });
    let preferences = Preferences {
        store: store.clone(),
        announcer: Announcer { broker, deadline: preferences::PUBLISH_DEADLINE },
        clock: clock.clone(),
    };
    let state = RouteState {
        upgrades: Arc::new(Upgrades {
            sign_in: sign_in.clone(),
            capacity: capacity.clone(),
            leaving: departs.clone(),
            session,
            allowed_origins: config.allowed_origins.clone().into(),
        }),
        polls: Arc::new(Polls {
            sign_in: sign_in.clone(),
            capacity,
            sessions,
            inbox: inbox.clone(),
            leaving: departs,
            sent,
            places: Semaphore::new(config.polls_max),
        }),
        sign_in,
        inbox,
        receipt_turns: Arc::new(ReceiptTurns::per_second(config.messages_per_second)),
        search_turns: Arc::new(SearchTurns::per_second(SEARCHES_PER_SECOND)),
        clock: clock.clone(),
        devices: Devices { store: store.clone(), clock, webpush: parts.webpush },
        unsubscribe: UnsubscribeLinks { preferences: preferences.clone(), reader: parts.unsubscribe },
        answer_links: AnswerLinkReader(parts.answer_links),
        push_receipts: PushReceiptReader(parts.push_receipts),
        preferences,
    };
    let routes = routes(state, origins, &parts.mounts, &config.allowed_origins);

    let (leave_wait, schema) = (parts.leave_wait, parts.schema);
    let leave = departure.run(leave_wait, config.drain_window);
    let run = async move {
        tokio::join!(
            live_messages.run(source, served.clone()),
            pinger.run(served.clone()),
            history.run(served.clone()),
            heads::answer_requests(store, head_requests, served.clone()),
            receipt_writer.run(receipt_queue, served.clone()),
            async {
                schema.await;
                presence_writer.run(served.clone()).await;
            },
            partitions.unfollow_unneeded(served.clone()),
            rebalancer.run(leaving),
            authenticator.keep_keys(&served),
        );
    };
    Started { routes, leave: Box::pin(leave), run: Box::pin(run), live }
}
