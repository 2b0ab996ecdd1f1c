//! Chosen workers in one process, from start to drain.
//!
//! Leaving (I10): not ready, and workers stop taking work; balancers learn of it for `http.leave_wait`; then sessions are
//! asked to move, while HTTP is still served; then HTTP stops; then what it was served with; then connections close.

use std::{future::Future, num::NonZeroU32, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};
use watchbell::{
    broker::{SharedBroker, embedded::EmbeddedBroker, rabbitmq::RabbitBroker},
    domain::policy::Policies,
    runtime::{
        Clock, Health, MemoryBudgets,
        health::Part,
        http::{self, AllowedHosts, AnswerBudget, Listening, Shutdown},
        telemetry::{self, Metrics},
    },
    store::Store,
};
use watchbell_dispatch::{Dispatch, RetentionSweeper};
use watchbell_fallback::{
    Channels, EscalationRules, Fallback, FallbackParts, Guard, IncomingMailParts, IncomingMailServer,
    OutcomeRelay, ProviderAccess, Randomness, Rates,
};
use watchbell_ingest::{ApiKeys, ConfiguredHooks, Ingest, Routes};
use watchbell_simulator::Simulator;
use watchbell_socket::{Authenticator, BrowserPush, SocketParts};

use crate::{
    addresses::{bind, bind_operations, broker_access, host, hosts, rabbit_config, store_config},
    cli::Role,
    config::FleetConfig,
    console::{self, ConsoleParts, ProcessName, Samples},
    health_checks::{broker_check, live_check, store_check},
    manual,
    message_links::MessageLinks,
    metric_tables,
    reload::{Part as SecretsPart, Reload},
    traces::{self, Collector, SpanExport},
};

/// How long metrics are folded together at a time.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What workers share.
pub(crate) struct Seams {
    pub(crate) broker: SharedBroker,
    pub(crate) store: Store,
}

/// A process: its routes and its work.
pub(crate) struct Process {
    config: FleetConfig,
    clock: Clock,
    metrics: Metrics,
    /// What workers may hold of what others send, by the limit of this process's container.
    memory: MemoryBudgets,
    routes: Router,
    /// What the workers answer, each in OpenAPI.
    documents: Vec<String>,
    /// The operators' console, where there is one.
    console: Option<Router>,
    /// Who may ask, once somebody needs to know.
    api_keys: Option<Arc<ApiKeys>>,
    health: Health,
    /// The hosts that it answers to; none: any.
    hosts: Option<AllowedHosts>,
    work: Vec<Work>,
    /// What takes its secrets anew when they are changed.
    secrets: Vec<SecretsPart>,
    /// What is closed when nobody works any more.
    broker: Option<SharedBroker>,
    /// What sends the spans of all of that, if they are wanted.
    traces: Option<SpanExport<Collector>>,
    /// What requests need until the last of them is answered.
    beneath: Vec<Work>,
    /// Fires when the process begins to leave.
    leaving: CancellationToken,
    /// Fires when no request is served any more.
    served: CancellationToken,
}

type Work = (&'static str, Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>);

/// What is added beside a simulator, for a page of what it took in.
pub(crate) type BesideSimulator =
    Box<dyn for<'a> FnOnce(&'a mut Process, &'a Simulator) -> BoxFuture<'a, anyhow::Result<()>> + Send>;

/// `watchbell run ROLE…`. A process with something beside its simulator is opened in browsers, and answers to known hosts alone.
pub(crate) async fn run_roles(
    config: FleetConfig,
    reload: Reload,
    roles: &[Role],
    beside: Option<BesideSimulator>,
) -> anyhow::Result<()> {
    let is_opened_in_browsers = beside.is_some();
    let mut process = Process::new(config)?;
    process.begin_traces("rabbitmq")?;
    if roles.contains(&Role::Simulator) {
        let simulator =
            Simulator::bind(process.config.simulator.as_a_process()).await.context("simulator")?;
        if let Some(add) = beside {
            add(&mut process, &simulator).await?;
        }
        process.add_simulator(simulator);
    }
    let workers: Vec<Role> = roles.iter().copied().filter(|role| role.standing().is_some()).collect();
    if !workers.is_empty() {
        let seams = process.connect(&workers)?;
        process.add_workers(&workers, seams).await?;
        process.add_reload(reload);
    }
    let http = &process.config.shared.http;
    let operations = bind_operations(http.operations_listen())?;
    let listener = bind(&process.config.shared)?;
    if is_opened_in_browsers || !http.allowed_hosts.is_empty() {
        process.hosts = Some(hosts(http, listener.local_addr()?));
    }
    process.run(listener, Some(operations)).await
}

impl Process {
    pub(crate) fn new(config: FleetConfig) -> anyhow::Result<Self> {
        telemetry::start_logs(&config.shared.log)?;
        for line in &config.passed_over {
            warn!("{line}");
        }
        Ok(Self {
            metrics: metric_tables::start()?,
            memory: MemoryBudgets::of_this_process(),
            config,
            health: Health::new(Clock::system()),
            hosts: None,
            clock: Clock::system(),
            routes: Router::new(),
            documents: Vec::new(),
            console: None,
            api_keys: None,
            work: Vec::new(),
            secrets: Vec::new(),
            broker: None,
            traces: None,
            beneath: Vec::new(),
            leaving: CancellationToken::new(),
            served: CancellationToken::new(),
        })
    }

    /// Makes spans from now on, if they are configured. Before workers are added: what they leave out without spans is decided then.
    pub(crate) fn begin_traces(&mut self, messaging_system: &'static str) -> anyhow::Result<()> {
        let instance = format!("{}/{}", host(), std::process::id());
        let begun = traces::begin(&self.config.shared.tracing, messaging_system, &instance)?;
        if let Some((export, access)) = begun {
            self.traces = Some(export);
            self.takes_secrets("traces", move |config| access.replace(&config.shared.tracing));
        }
        Ok(())
    }

    /// RabbitMQ and the store that are configured.
    fn connect(&mut self, roles: &[Role]) -> anyhow::Result<Seams> {
        let store = Store::open(&store_config(&self.config.shared)?)?;
        let rabbit = rabbit_config(&self.config.shared, roles)?;
        rabbit.check()?;
        let (of_store, access) = (store.clone(), rabbit.access.clone());
        self.takes_secrets("store", move |config| of_store.connect_with(&store_config(&config.shared)?.url));
        self.takes_secrets("broker", move |config| {
            let changed = broker_access(&config.shared)?;
            changed.check()?;
            access.replace(changed);
            Ok(())
        });
        Ok(Seams { broker: RabbitBroker::connect(rabbit, self.leaving.clone()), store })
    }

    /// Has a part take its secrets anew when they are changed.
    fn takes_secrets(
        &mut self,
        name: &'static str,
        take: impl Fn(&FleetConfig) -> anyhow::Result<()> + Send + 'static,
    ) {
        self.secrets.push((name, Box::new(take)));
    }

    /// Has every part that was added so far take its secrets anew when their files change.
    pub(crate) fn add_reload(&mut self, reload: Reload) {
        let (parts, leaving) = (std::mem::take(&mut self.secrets), self.leaving.clone());
        let reloading = reload.run(self.config.clone(), parts, leaving).map(Ok);
        self.work.push(("reload", Box::pin(reloading)));
    }

    /// Answers to these hosts alone.
    pub(crate) fn answer_only_to(&mut self, hosts: AllowedHosts) {
        self.hosts = Some(hosts);
    }

    /// What holds for all of the process.
    pub(crate) fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// Serves the document of routes that another process of the fleet answers, beside those of this one.
    pub(crate) fn add_document(&mut self, openapi: String) {
        self.documents.push(openapi);
    }

    /// Serves more routes.
    pub(crate) fn add_routes(&mut self, routes: Router) {
        self.routes = std::mem::take(&mut self.routes).merge(routes);
    }

    pub(crate) fn add_simulator(&mut self, simulator: Simulator) {
        let addresses = simulator.addresses();
        info!(page = %addresses.listen, push = %addresses.push, smtp = %addresses.smtp, "The simulator listens on {}", addresses.listen);
        let leaving = self.leaving.clone();
        self.work.push(("simulator", Box::pin(simulator.run(leaving))));
    }

    /// Has the embedded broker delete what was parked too long ago.
    pub(crate) fn add_parked_sweep(&mut self, broker: Arc<EmbeddedBroker>) {
        let (kept, leaving) = (self.config.shared.retention().parked_kept, self.leaving.clone());
        self.work.push((
            "parked",
            Box::pin(async move {
                broker.sweep_parked(kept, leaving).await;
                Ok(())
            }),
        ));
    }

    /// The API keys in this store, as all of the process knows them.
    pub(crate) fn api_keys(&mut self, store: &Store) -> Arc<ApiKeys> {
        let (clock, served) = (self.clock.clone(), self.served.clone());
        let keys = self.api_keys.get_or_insert_with(|| {
            let keys = Arc::new(ApiKeys::new(store.clone(), clock));
            let running = Arc::clone(&keys);
            self.beneath.push((
                "api keys",
                Box::pin(async move {
                    running.run(served).await;
                    Ok(())
                }),
            ));
            keys
        });
        Arc::clone(keys)
    }

    /// Adds workers; each works until the process leaves.
    pub(crate) async fn add_workers(&mut self, roles: &[Role], seams: Seams) -> anyhow::Result<()> {
        let Seams { broker, store } = seams;
        self.broker = Some(broker.clone());
        let policies = Arc::new(self.config.shared.policies());
        let store = store.telling(self.config.shared.outcomes().routes);
        let of_store = store.clone();
        self.takes_secrets("outcomes", move |config| {
            of_store.replace_outcome_addresses(config.shared.outcomes().routes);
            Ok(())
        });
        metric_tables::begin(roles);
        self.health.add_roles(roles.iter().filter_map(|role| role.standing()));
        self.health.add_check(broker_check(broker.clone()));
        self.health.add_check(store_check(store.clone()));
        let (checkpointed, served) = (store.clone(), self.served.clone());
        self.beneath.push((
            "checkpoints",
            Box::pin(async move {
                checkpointed.keep_checkpointing(served).await;
                Ok(())
            }),
        ));
        // One for the whole process, whatever its workers are.
        let answers = self.config.shared.http.answer_budget();
        let channels = match roles.contains(&Role::Fallback) {
            true => Channels::from_config(&self.config.channels, &self.config.shared)?,
            false => Channels::default(),
        };
        self.add_console(roles, &broker, &store, &answers, &channels)?;
        if roles.contains(&Role::Ingest) {
            let ingest = Ingest {
                answers: answers.clone(),
                hooks: Arc::new(ConfiguredHooks::new(&self.config.hook)?),
                routes: Arc::new(Routes::new(&self.config.route, &policies)?),
                rate_per_tenant: NonZeroU32::new(self.config.ingest.rate_per_tenant),
                recipients_per_tenant: NonZeroU32::new(self.config.ingest.recipients_per_tenant),
                memory: self.memory,
                keys: self.api_keys(&store),
                mail_events_tenant: self.config.ingest.mail_events_tenant()?,
                sns: Arc::new(self.config.ingest.sns.sns()?),
                mail_signatures: Arc::new(self.config.ingest.mail_signatures()?),
                ..Ingest::new(broker.clone(), store.clone(), policies.clone(), self.clock.clone())
            };
            self.add_routes(watchbell_ingest::router(ingest));
            self.documents.push(watchbell_ingest::openapi());
        }
        if roles.contains(&Role::Dispatch) {
            let (broker, store, policies) = (broker.clone(), store.clone(), policies.clone());
            let config = self.config.dispatch.clone();
            let (producers, memory) = (Arc::new(self.config.shared.producers()), self.memory);
            let holder = format!("{}/{}", host(), std::process::id());
            let rules = self.config.shared.retention();
            let sweeper = RetentionSweeper::new(store.clone(), self.clock.clone(), rules, holder);
            let clock = self.clock.clone();
            let dispatch = Dispatch { broker, store, policies, producers, clock, config, memory };
            let (leaving, health) = (self.leaving.clone(), self.health.clone());
            self.work.push((
                "retention",
                Box::pin(async move {
                    if health.works(Part::Schema, &leaving).await {
                        sweeper.run(leaving).await;
                    }
                    Ok(())
                }),
            ));
            let (leaving, health) = (self.leaving.clone(), self.health.clone());
            self.work.push((
                "dispatch",
                Box::pin(async move {
                    if health.works(Part::Schema, &leaving).await {
                        dispatch.run(leaving).await;
                    }
                    Ok(())
                }),
            ));
        }
        if roles.contains(&Role::Fallback) {
            self.add_fallback(broker.clone(), store.clone(), policies, channels).await?;
        }
        if roles.contains(&Role::Socket) {
            let authenticator = Arc::new(Authenticator::new(&self.config.shared.auth)?);
            let links = MessageLinks::new(&self.config.shared);
            let (keys, readers) = (authenticator.clone(), links.clone());
            self.takes_secrets("socket", move |config| {
                readers.replace(&config.shared);
                keys.replace_keys(&config.shared.auth)
            });
            let config = self.config.socket.clone();
            let (leaving, health) = (self.leaving.clone(), self.health.clone());
            let parts = SocketParts {
                broker,
                store: store.clone(),
                authenticator,
                clock: self.clock.clone(),
                config,
                answers,
                leave_wait: self.config.shared.http.leave_wait,
                public_url: self.config.shared.http.public_url.clone(),
                schema: Box::pin(async move {
                    health.works(Part::Schema, &leaving).await;
                }),
                mounts: self.config.mount.clone(),
                unsubscribe: links.unsubscribe,
                answer_links: links.answers,
                push_receipts: links.receipts,
                webpush: self.config.shared.webpush.as_ref().map(|webpush| BrowserPush {
                    public_key: webpush.public_key.clone(),
                    private_endpoints: webpush.private_endpoints,
                }),
            };
            let started = watchbell_socket::start(parts, self.leaving.clone(), self.served.clone()).await;
            self.health.add_check(live_check(started.live));
            self.add_routes(started.routes);
            self.documents.push(watchbell_socket::openapi());
            let endless = |run: BoxFuture<'static, ()>| -> Work { ("socket", Box::pin(run.map(Ok))) };
            self.work.push(endless(started.leave));
            self.beneath.push(endless(started.run));
        }
        Ok(())
    }

    /// Adds the operators' console, if the configuration says who they are.
    fn add_console(
        &mut self,
        roles: &[Role],
        broker: &SharedBroker,
        store: &Store,
        answers: &AnswerBudget,
        channels: &Channels,
    ) -> anyhow::Result<()> {
        let Some(tenant) = self.config.operations.tenant()? else { return Ok(()) };
        let samples = Arc::new(Samples::new(self.metrics.clone(), self.clock.clone()));
        self.console = Some(console::routes(ConsoleParts {
            tenant,
            config: self.config.clone(),
            keys: self.api_keys(store),
            store: store.clone(),
            broker: broker.clone(),
            channels: channels.clone(),
            clock: self.clock.clone(),
            answers: answers.clone(),
            health: self.health.clone(),
            samples: Arc::clone(&samples),
            process: ProcessName::new(host(), roles, self.clock.now()),
        })?);
        let served = self.served.clone();
        let sampling = async move { samples.run(served).await };
        self.beneath.push(("samples", Box::pin(sampling.map(Ok))));
        Ok(())
    }

    /// Adds fallback and, beside it, what tells producers of outcomes.
    async fn add_fallback(
        &mut self,
        broker: SharedBroker,
        store: Store,
        policies: Arc<Policies>,
        channels: Channels,
    ) -> anyhow::Result<()> {
        let restraint = self.config.shared.restraint.clone();
        let randomness = Randomness::of_the_system();
        let parts = (broker.clone(), store.clone(), self.clock.clone());
        let relay = OutcomeRelay::new(parts, &self.config.shared.outcomes(), randomness.jitter.clone())?;
        let (senders, outcomes) = (channels.clone(), relay.addresses());
        self.takes_secrets("fallback", move |config| {
            outcomes.replace(&config.shared.outcomes())?;
            senders.replace(&config.channels, &config.shared)
        });
        let parts_of_mail = (broker.clone(), store.clone());
        let fallback = Fallback::new(FallbackParts {
            broker,
            store,
            clock: self.clock.clone(),
            config: self.config.fallback.clone(),
            rules: EscalationRules {
                policies,
                restraint: restraint.bounds(),
                tenant_rates: Arc::new(Rates::new(restraint.tenant_per_s_max)),
            },
            providers: ProviderAccess {
                channels: Arc::new(channels),
                guard: Arc::new(Guard::new(self.config.fallback.in_flight_max)),
                withdrawals: Arc::default(),
            },
            randomness,
        });
        self.add_incoming_mail(parts_of_mail).await?;
        let (leaving, health) = (self.leaving.clone(), self.health.clone());
        self.work.push((
            "fallback",
            Box::pin(async move {
                if health.works(Part::Schema, &leaving).await {
                    tokio::join!(fallback.run(leaving.clone()), relay.run(leaving));
                }
                Ok(())
            }),
        ));
        Ok(())
    }

    /// Adds what takes mails that come back, and replies, where that is configured.
    async fn add_incoming_mail(&mut self, (broker, store): (SharedBroker, Store)) -> anyhow::Result<()> {
        let Some(email) = &self.config.channels.email else { return Ok(()) };
        let (Some(listen), Some(domain)) = (email.bounce_listen, &email.bounce_domain) else { return Ok(()) };
        let links = MessageLinks::new(&self.config.shared);
        let parts = IncomingMailParts {
            domain: domain.clone(),
            returns: links.returns.clone(),
            replies: email.reply_acknowledges.then(|| links.replies.clone()),
            broker,
            store,
            clock: self.clock.clone(),
        };
        let server = IncomingMailServer::bind(listen, parts).await?;
        self.takes_secrets("mails that come back", move |config| {
            links.replace(&config.shared);
            Ok(())
        });
        let leaving = self.leaving.clone();
        self.work.push((
            "bounces",
            Box::pin(async move {
                server.run(leaving).await;
                Ok(())
            }),
        ));
        Ok(())
    }

    /// Serves and works until a signal or a failure, then leaves in order. The operations endpoints are at `operations`,
    /// or, without it, beside everything else.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        operations: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let health = self.health.clone();
        let endpoints = http::operations(health.clone(), self.metrics.clone());
        let endpoints = self.console.into_iter().fold(endpoints, Router::merge);
        let (routes, operations) = match operations {
            // Beside the users' API, whose own page is at /docs.
            None => (self.routes.merge(endpoints).merge(manual::routes("/manual")), None),
            Some(listener) => {
                let endpoints = endpoints.merge(manual::routes("/docs"));
                (self.routes, Some((listener, http::with_fallbacks(endpoints))))
            }
        };
        let routes = match self.documents.as_slice() {
            [] => routes,
            documents => routes.merge(http::openapi(documents)),
        };
        let routes = http::with_fallbacks(routes);
        let routes = match self.hosts {
            Some(hosts) => http::only_for_hosts(routes, hosts, self.clock.clone()),
            None => routes,
        };
        let (leaving, stop) = (self.leaving.clone(), CancellationToken::new());
        let shutdown = Shutdown { leaving: leaving.clone(), stop: stop.clone() };
        let serving =
            tokio::spawn(http::serve(listener, routes, Listening::of(&self.config.shared.http), shutdown));
        // Who watches this process is answered until it ends.
        let gone = CancellationToken::new();
        let watched = operations.map(|(listener, routes)| {
            let listening = Listening::of_operations(&self.config.shared.http);
            let shutdown = Shutdown { stop: gone.clone(), ..Shutdown::default() };
            tokio::spawn(http::serve(listener, routes, listening, shutdown))
        });
        let (workers, beneath) = (begun(self.work, &leaving), begun(self.beneath, &leaving));
        let upkeep = tokio::spawn(upkeep(self.metrics, stop.clone()));
        let untraced = CancellationToken::new();
        let exporting = self.traces.map(|export| tokio::spawn(export.run(untraced.clone())));
        let watching = tokio::spawn(health.clone().watch(stop.clone()));

        tokio::select! {
            signal = signalled() => info!("{} received: shutting down", signal?),
            () = leaving.cancelled() => info!("A worker has ended: shutting down"),
        }
        health.leave();
        leaving.cancel();
        tokio::join!(workers.wait(), sleep(self.config.shared.http.leave_wait));
        stop.cancel();
        let served = serving.await?.context("HTTP");
        self.served.cancel();
        beneath.wait().await;
        upkeep.await?;
        watching.await?;
        if let Some(broker) = self.broker {
            broker.close().await;
        }
        // No span ends after this.
        untraced.cancel();
        if let Some(exporting) = exporting {
            exporting.await?;
        }
        gone.cancel();
        if let Some(watched) = watched {
            watched.await?.context("HTTP of operations")?;
        }
        served
    }
}

/// Begins all of it. One that ends early takes the process with it: an orchestrator starts it again whole.
fn begun(work: Vec<Work>, leaving: &CancellationToken) -> TaskTracker {
    let tracker = TaskTracker::new();
    for (name, work) in work {
        let leaving = leaving.clone();
        tracker.spawn(async move {
            if let Err(error) = work.await {
                error!("{name} failed: {error:#}");
            }
            leaving.cancel();
        });
    }
    tracker.close();
    tracker
}

async fn signalled() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(METRICS_UPKEEP) => metrics.fold(),
        }
    }
}
