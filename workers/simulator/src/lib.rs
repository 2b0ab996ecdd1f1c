//! Stands in for Apple, Google, push services of browsers, a mail relay, programs that take webhooks, Slack, Telegram and Twilio, with a page of what arrived and faults to inject.
//!
//! The senders that talk to the real hosts talk to this unchanged; only addresses and trusted roots
//! differ. [`Simulator::bind`] opens four listeners: plain HTTP for `/arrivals`, `/faults` and the
//! page; TLS for APNs, FCM, Google's token endpoint, Web Push, webhooks, Slack, Telegram and Twilio, and the same once more as Apple's
//! sandbox; SMTP with STARTTLS.
//!
//! What holds here:
//! - Whoever is refused by the simulator would be refused by the real host, for the same reason.
//! - It takes in anything that is valid and forwards nothing; it is for tests and local use, and its
//!   own interface has no authentication.
//!
//! Elsewhere: each provider in the module of its name (`apns`, `oauth` and `fcm`, `webpush`, `webhook`, `slack`, `telegram`, `sms`, `smtp` with `line`, `mime` and `bounce`), what the relay offers in `extensions`, what
//! phones show of Live Activities in `activities` (`activities_http`) and are told all at once in `broadcasts` (`channels`), how they confirm a push in `extension`, what
//! its people and their programs reply to mails in `replies` (handed over by `smtp_client`), what mail providers tell of them in
//! `mail_events` and `mail_event_bodies`, what
//! arrived in `arrivals`, what is to go wrong in `faults`, connections in `serve`, keys in `tls`,
//! the section `[simulator]` in `config`.

mod activities;
mod activities_http;
mod apns;
mod arrivals;
mod bounce;
mod broadcasts;
mod browser_services;
mod channels;
mod config;
mod extension;
mod extensions;
mod faults;
mod fcm;
mod http;
mod line;
mod mail_event_bodies;
mod mail_events;
mod mime;
mod oauth;
mod replies;
mod serve;
mod slack;
mod sms;
mod smtp;
mod smtp_client;
mod telegram;
mod tls;
mod webhook;
mod webpush;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::{Extension, Router};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use crate::config::SimulatorSection;
use crate::faults::Environment;
pub use crate::tls::{ApnsCredentials, Credentials, TwilioCredentials};

/// Where the simulator listens and what it keeps.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// The JSON interface and the page, plain HTTP. Port 0 takes a free one, here and below.
    pub listen: SocketAddr,
    /// APNs, FCM and the OAuth token endpoint: TLS, HTTP/2 and HTTP/1.1.
    pub push_listen: SocketAddr,
    /// The same once more: what comes here is for Apple's sandbox.
    pub sandbox_listen: SocketAddr,
    /// The mail relay.
    pub smtp_listen: SocketAddr,
    /// Keeps the authority and the senders' keys across restarts, readable by their owner only.
    pub state_dir: Option<PathBuf>,
    /// The name in the certificate and in URLs. The certificate covers `localhost` and 127.0.0.1 as well.
    pub public_host: String,
}

impl Default for SimulatorConfig {
    /// Free ports of this machine, `localhost`, nothing kept.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any,
            push_listen: any,
            sandbox_listen: any,
            smtp_listen: any,
            state_dir: None,
            public_host: "localhost".into(),
        }
    }
}

/// The addresses that were bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The JSON interface and the page.
    pub listen: SocketAddr,
    /// APNs, FCM and the token endpoint.
    pub push: SocketAddr,
    /// Apple's sandbox.
    pub sandbox: SocketAddr,
    /// The mail relay.
    pub smtp: SocketAddr,
}

/// What the listeners share.
pub(crate) struct Shared {
    arrivals: Mutex<arrivals::Arrivals>,
    faults: faults::Faults,
    activities: activities::Activities,
    extension: extension::Extension,
    relay_offer: extensions::CurrentOffer,
    apple: apns::Apple,
    oauth: oauth::OAuth,
    fcm_project: String,
    browsers: webpush::Browsers,
    receivers: webhook::Receivers,
    slack_token: String,
    slack_clock: slack::Clock,
    bot: telegram::Bot,
    twilio: tls::TwilioCredentials,
    mail_providers: mail_events::MailProviders,
}

impl Shared {
    fn record(&self, incoming: arrivals::Incoming) {
        self.extension.is_given(&incoming);
        self.arrivals().record(incoming, Timestamp::now());
    }

    fn arrivals(&self) -> MutexGuard<'_, arrivals::Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulator, bound and not yet serving.
pub struct Simulator {
    shared: Arc<Shared>,
    credentials: Credentials,
    receipts: Receiver<extension::PushReceipt>,
    receipts_client: extension::Client,
    acceptor: TlsAcceptor,
    public_host: String,
    addresses: Addresses,
    listener: TcpListener,
    push_listener: TcpListener,
    sandbox_listener: TcpListener,
    smtp_listener: TcpListener,
    /// The JSON interface and the page, as they are served on their own port.
    own: Router,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Simulator {
    /// Binds the four listeners and makes the keys, or reads those kept in the state directory.
    ///
    /// # Errors
    /// An address that cannot be bound, or a state directory that cannot be read or written.
    pub async fn bind(config: SimulatorConfig) -> anyhow::Result<Self> {
        let SimulatorConfig { listen, push_listen, sandbox_listen, smtp_listen, state_dir, public_host } =
            config;
        let listener = bind(listen).await?;
        let push_listener = bind(push_listen).await?;
        let sandbox_listener = bind(sandbox_listen).await?;
        let smtp_listener = bind(smtp_listen).await?;
        let addresses = Addresses {
            listen: listener.local_addr()?,
            push: push_listener.local_addr()?,
            sandbox: sandbox_listener.local_addr()?,
            smtp: smtp_listener.local_addr()?,
        };
        let (host, port) = (public_host.clone(), addresses.push.port());
        let make = move || tls::Keys::load_or_make(state_dir.as_deref(), &host, port);
        let keys = tokio::task::spawn_blocking(make).await??;
        let (extension, receipts) = extension::extension();
        let shared = Shared {
            activities: activities::Activities::default(),
            extension,
            arrivals: Mutex::default(),
            faults: faults::Faults::default(),
            relay_offer: extensions::CurrentOffer::default(),
            apple: apns::Apple::new(&keys)?,
            oauth: oauth::OAuth::new(&keys)?,
            fcm_project: keys.credentials.fcm_project.clone(),
            browsers: webpush::Browsers::new(&keys)?,
            receivers: webhook::Receivers::new(&keys)?,
            slack_token: keys.credentials.slack_token.clone(),
            slack_clock: slack::Clock::default(),
            twilio: keys.credentials.twilio.clone(),
            bot: telegram::Bot::new(&keys),
            mail_providers: mail_events::MailProviders::new(&keys)?,
        };
        let shared = Arc::new(shared);
        Ok(Self {
            own: own_interface(&shared),
            shared,
            credentials: keys.credentials,
            receipts,
            receipts_client: extension::client()?,
            acceptor: keys.acceptor,
            public_host,
            addresses,
            listener,
            push_listener,
            sandbox_listener,
            smtp_listener,
        })
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What a sender needs to be let in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The JSON interface and the page, to be served under another address as well, at any prefix.
    pub fn router(&self) -> Router {
        own_interface(&self.shared)
    }

    /// Puts something before the JSON interface and the page on their own port, such as a check of who asks.
    #[must_use]
    pub fn guarded(self, guard: impl FnOnce(Router) -> Router) -> Self {
        Self { own: guard(self.own), ..self }
    }

    /// Serves until `shutdown`, then waits for what is in flight, for a few seconds at most.
    ///
    /// # Errors
    /// None so far: what goes wrong on one connection ends that connection.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Addresses { listen, push, sandbox, smtp } = self.addresses;
        info!(%listen, %push, %sandbox, %smtp, "The simulator listens on {listen}, for pushes on {push}, for email on {smtp}");
        let own = self.own;
        let providers = apns::router(Arc::clone(&self.shared))
            .merge(broadcasts::router(Arc::clone(&self.shared)))
            .merge(fcm::router(Arc::clone(&self.shared)))
            .merge(oauth::router(Arc::clone(&self.shared)))
            .merge(webpush::router(Arc::clone(&self.shared)))
            .merge(webhook::router(Arc::clone(&self.shared)))
            .merge(slack::router(Arc::clone(&self.shared)))
            .merge(telegram::router(Arc::clone(&self.shared)))
            .merge(sms::router(Arc::clone(&self.shared)))
            .merge(mail_events::sns_router(Arc::clone(&self.shared)));
        let say_receipts = extension::say_all(
            Arc::clone(&self.shared),
            self.receipts,
            self.receipts_client,
            shutdown.clone(),
        );
        let relay = Arc::new(smtp::Relay {
            shared: self.shared,
            acceptor: self.acceptor.clone(),
            host: self.public_host,
            shutdown: shutdown.clone(),
        });

        let tasks = serve::Tasks::default();
        let serve_own = serve::accept(self.listener, &shutdown, &tasks, |stream, number| {
            serve::serve_http(stream, (number, false), own.clone(), tasks.clone(), shutdown.clone())
        });
        let push_tasks = serve::Tasks::default();
        let in_environment = |environment: Environment| providers.clone().layer(Extension(environment));
        let production = in_environment(Environment::Production);
        let serve_push = serve::accept(self.push_listener, &shutdown, &push_tasks, |stream, number| {
            let (acceptor, router) = (self.acceptor.clone(), production.clone());
            serve::serve_tls(stream, number, acceptor, router, push_tasks.clone(), shutdown.clone())
        });
        let sandbox_tasks = serve::Tasks::default();
        let sandbox = in_environment(Environment::Sandbox);
        let serve_sandbox =
            serve::accept(self.sandbox_listener, &shutdown, &sandbox_tasks, |stream, number| {
                let (acceptor, router) = (self.acceptor.clone(), sandbox.clone());
                serve::serve_tls(stream, number, acceptor, router, sandbox_tasks.clone(), shutdown.clone())
            });
        let smtp_tasks = serve::Tasks::default();
        let serve_smtp = serve::accept(self.smtp_listener, &shutdown, &smtp_tasks, |stream, number| {
            smtp::serve(Arc::clone(&relay), stream, number)
        });
        tokio::join!(serve_own, serve_push, serve_sandbox, serve_smtp, say_receipts);
        Ok(())
    }
}

fn own_interface(shared: &Arc<Shared>) -> Router {
    http::router(Arc::clone(shared))
        .merge(webpush::subscriptions(Arc::clone(shared)))
        .merge(activities_http::router(Arc::clone(shared)))
        .merge(broadcasts::list_router(Arc::clone(shared)))
        .merge(extension::router(Arc::clone(shared)))
        .merge(replies::router(Arc::clone(shared)))
        .merge(mail_events::router(Arc::clone(shared)))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let remedy = "stop what listens there, or give another address in [simulator]";
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("the simulator cannot listen on {address}: {remedy}"))
}
