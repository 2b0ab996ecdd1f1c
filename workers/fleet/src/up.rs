//! `watchbell up`: everything in this process, with nothing else on the machine.
//!
//! Embedded broker, SQLite, the simulator in place of Apple, Google, the mail relay and other providers, two demo users, one page.
//! `DIR/demo.json` tells scripts where everything is.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use watchbell::{
    broker::embedded::EmbeddedBroker,
    domain::{Channel, Secret, Tenant},
    runtime::{Clock, config::WebPushSection, http::only_for_hosts},
    store::{Store, StoreConfig},
};
use watchbell_fallback::channel::{
    ApnsSection, EmailSection, EmailTls, FcmSection, SlackSection, SmsSection, TelegramSection, VapidKey,
    WebhookSection,
};
use watchbell_simulator::{Addresses, Credentials, Simulator, SimulatorConfig, SimulatorSection};

use crate::{
    addresses::{self, bind_operations, bind_up},
    cli::{Role, UpArgs},
    compose::{Process, Seams},
    config::FleetConfig,
    data_folder::{self, DataFolder, make_files_private, secret_in, vapid_key_in},
    dead, demo,
    demo_access::DemoAccess,
    demo_people::{Places, TENANT, furnish, with_new_tokens},
    output,
    reload::Reload,
};

/// What is logged unless `log.filter` is written: only what is wrong, so that the address is the last thing on the terminal.
pub(crate) const LOG_FILTER: &str = "warn";
/// Waits of the default policy: the whole escalation is watched in half a minute.
const PUSH_AFTER: Duration = Duration::from_secs(5);
const EMAIL_AFTER: Duration = Duration::from_secs(20);
/// How long a demo's emails wait for others.
const DIGEST_WINDOW: Duration = Duration::from_secs(1);
/// Segments of a demo's text messages.
const SMS_SEGMENTS_MAX: usize = 3;
/// The drain window of a process that has nowhere to send its sessions.
const DRAIN_WINDOW: Duration = Duration::from_millis(500);

/// Runs until a signal.
pub(crate) async fn run(mut config: FleetConfig, reload: Reload, args: UpArgs) -> anyhow::Result<()> {
    config.shared.http.listen = args.listen.unwrap_or(config.shared.http.listen);
    check_exposure(config.shared.http.listen, args.expose)?;
    make_files_private();
    let dir = DataFolder::open(args.data)?;
    let listener = bind_up(&config.shared)?;
    let operations = config.shared.http.operations_listen.map(bind_operations).transpose()?;
    let bound = listener.local_addr()?;
    let url = format!("http://{}", reachable(bound));

    let hosts = addresses::hosts(&config.shared.http, bound);
    let simulator = start_simulator(&config.simulator, dir.path()).await?;
    let simulator_url = format!("http://{}", simulator.addresses().listen);
    let hooks = format!("https://localhost:{}/hooks", simulator.addresses().push.port());
    // A web page may find its port by trying.
    let (own_hosts, clock) =
        (addresses::hosts(&config.shared.http, simulator.addresses().listen), Clock::system());
    let simulator = simulator.guarded(|routes| only_for_hosts(routes, own_hosts, clock));
    let defaults = UpDefaults {
        listen: config.shared.http.listen,
        url: url.clone(),
        secret: secret_in(&dir.join("auth.secret"))?,
        providers: SimulatedProviders::of(&simulator, &dir)?,
    };
    defaults.complete(&mut config);
    let reload = reload.completed_by(move |config| defaults.complete(config));

    let store =
        Store::open(&StoreConfig { url: Store::sqlite_url(&dir.join("watchbell.db")), connections_max: 1 })?;
    store.migrate().await.context("the store in the data folder cannot be brought up to this version")?;
    // Nobody else works on this store, so whoever held a timer is dead.
    store.release_leases().await?;
    let broker = EmbeddedBroker::open(Some(dir.path().to_owned()))?;

    let places = Places { url: url.clone(), reach: None, simulator: simulator_url, hooks };
    let demo = furnish(&store, &config.shared, dir.path(), places).await?;
    let shared = config.shared.clone();
    let renew = Box::new(move |demo| with_new_tokens(demo, &shared, Timestamp::now()));
    let mut process = Process::new(config)?;
    process.begin_traces("watchbell")?;
    process.answer_only_to(hosts);
    let access = DemoAccess::new(dir.join("demo.json"), demo, renew)?;
    process.add_routes(demo::routes(&access, simulator.router(), operations.is_none()));
    let keys = process.api_keys(&store);
    process.add_routes(dead::routes(broker.clone(), store.clone(), keys, Tenant::parse(TENANT)?));
    process.add_simulator(simulator);
    process.add_parked_sweep(broker.clone());
    let roles = [Role::Ingest, Role::Dispatch, Role::Socket, Role::Fallback];
    process.add_workers(&roles, Seams { broker, store }).await?;
    process.add_reload(reload);

    if args.expose {
        output::note(
            "Others on this network can reach it, over plain HTTP: whoever reads along reads the key, too.",
        );
    }
    output::line(format!(
        "\n  Everything is kept in {}. Ctrl-C stops it. This address opens one browser tab:\n\n  Watchbell is up: {}\n",
        dir.path().display(),
        access.page(),
    ));
    process.run(listener, operations).await
}

/// What holds in an `up` where nothing else is configured. The same each time the configuration is read.
struct UpDefaults {
    listen: SocketAddr,
    url: String,
    secret: Secret,
    providers: SimulatedProviders,
}

impl UpDefaults {
    fn complete(&self, config: &mut FleetConfig) {
        let shared = &mut config.shared;
        shared.http.listen = self.listen;
        shared.auth.hs256_secret.get_or_insert(self.secret.clone());
        shared.auth.unsubscribe_secret.get_or_insert(self.secret.clone());
        shared.auth.default_tenant.get_or_insert(TENANT.to_owned());
        config.operations.tenant.get_or_insert(TENANT.to_owned());
        shared.http.public_url.get_or_insert(self.url.clone());
        // Nobody but this process publishes here, and ingest takes the tenant from the API key.
        shared.broker.producer.clear();
        shared.http.leave_wait = Duration::ZERO;
        config.socket.drain_window = config.socket.drain_window.min(DRAIN_WINDOW);
        shared.set_policy_if_absent("default", &[(Channel::Push, PUSH_AFTER), (Channel::Email, EMAIL_AFTER)]);
        shared
            .set_policy_if_absent("critical", &[(Channel::Push, PUSH_AFTER), (Channel::Email, EMAIL_AFTER)]);
        shared.restraint.digest_window = shared.restraint.digest_window.min(DIGEST_WINDOW);
        send_to(&self.providers, config);
    }
}

/// Refuses to listen beyond this machine unless that is asked for: `up` is for trying out and developing, and everything it
/// does is for whoever has one key.
fn check_exposure(listen: SocketAddr, expose: bool) -> anyhow::Result<()> {
    ensure!(
        expose || listen.ip().to_canonical().is_loopback(),
        "{listen} lets others on the network in: listen on 127.0.0.1:{}, or add --expose if they are meant to",
        listen.port()
    );
    Ok(())
}

/// An address that a browser can open.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], bound.port())),
        false => bound,
    }
}

async fn start_simulator(section: &SimulatorSection, dir: &Path) -> anyhow::Result<Simulator> {
    // Free ports unless configured: `up` promises one address, and these are found in demo.json.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let defaults = SimulatorSection::default();
    let chosen = |given: SocketAddr, default: SocketAddr| if given == default { any } else { given };
    Simulator::bind(SimulatorConfig {
        listen: chosen(section.listen, defaults.listen),
        push_listen: chosen(section.push_listen, defaults.push_listen),
        smtp_listen: chosen(section.smtp_listen, defaults.smtp_listen),
        state_dir: Some(dir.join(data_folder::SIMULATOR)),
        sandbox_listen: any,
        public_host: "localhost".to_owned(),
    })
    .await
    .context("the simulator cannot start")
}

/// Where the simulator listens, and what it lets in.
struct SimulatedProviders {
    addresses: Addresses,
    credentials: Credentials,
    vapid: VapidKey,
    root: PathBuf,
}

impl SimulatedProviders {
    /// Those of this simulator. Its authority and the key pair of browsers are kept in the folder.
    fn of(simulator: &Simulator, dir: &DataFolder) -> anyhow::Result<Self> {
        let credentials = simulator.credentials().clone();
        let root = dir.join("simulator-ca.pem");
        fs::write(&root, &credentials.ca_pem)
            .with_context(|| format!("{} cannot be written", root.display()))?;
        let vapid = vapid_key_in(&dir.join("vapid.key"))?;
        Ok(Self { addresses: simulator.addresses(), credentials, vapid, root })
    }
}

/// Points every provider that is not configured at the simulator.
fn send_to(simulated: &SimulatedProviders, config: &mut FleetConfig) {
    let SimulatedProviders { addresses, credentials, vapid, root } = simulated;
    let push = format!("https://localhost:{}", addresses.push.port());
    let sandbox = format!("https://localhost:{}", addresses.sandbox.port());
    let trust_root_file: Option<PathBuf> = Some(root.clone());
    let channels = &mut config.channels;
    channels.apns.get_or_insert_with(|| ApnsSection {
        team_id: Some(credentials.apns.team_id.clone()),
        key_id: Some(credentials.apns.key_id.clone()),
        key: Some(Secret::from(credentials.apns.key_pem.clone())),
        keys: Vec::new(),
        certificate: None,
        topic: credentials.apns.topic.clone(),
        endpoint: Some(push.clone()),
        endpoint_sandbox: Some(sandbox.clone()),
        broadcast: true,
        endpoint_channels: Some(push.clone()),
        endpoint_channels_sandbox: Some(sandbox),
        trust_root_file: trust_root_file.clone(),
    });
    channels.fcm.get_or_insert_with(|| FcmSection {
        service_account: Secret::from(credentials.fcm_service_account_json.clone()),
        endpoint: Some(push.clone()),
        data_only: false,
        channel_id: None,
        channel_id_by_severity: Default::default(),
        validate_only: false,
        trust_root_file: trust_root_file.clone(),
    });
    config.shared.webpush.get_or_insert_with(|| WebPushSection {
        public_key: vapid.public(),
        private_key: Some(vapid.private().clone()),
        previous_private_key: None,
        page: None,
        subject: "mailto:alerts@watchbell.test".to_owned(),
        private_endpoints: true,
        trust_root_file: trust_root_file.clone(),
    });
    channels.email.get_or_insert_with(|| EmailSection {
        host: "localhost".to_owned(),
        port: addresses.smtp.port(),
        tls: EmailTls::StartTls,
        username: None,
        password: None,
        from: "Watchbell <alerts@watchbell.test>".to_owned(),
        connections_max: 2,
        templates_dir: None,
        bounce_domain: None,
        reply_acknowledges: false,
        bounce_listen: None,
        dkim: None,
        trust_root_file: trust_root_file.clone(),
    });
    channels.webhook.get_or_insert_with(|| WebhookSection {
        secret: Secret::from(credentials.webhook_secret.clone()),
        url: None,
        tenants: BTreeMap::new(),
        private_endpoints: true,
        trust_root_file: trust_root_file.clone(),
    });
    channels.slack.get_or_insert_with(|| SlackSection {
        token: Some(Secret::from(credentials.slack_token.clone())),
        endpoint: Some(push.clone()),
        hooks_endpoint: Some(push.clone()),
        trust_root_file: trust_root_file.clone(),
    });
    channels.telegram.get_or_insert_with(|| TelegramSection {
        bot_token: Secret::from(credentials.telegram_bot_token.clone()),
        endpoint: Some(push.clone()),
        trust_root_file: trust_root_file.clone(),
    });
    let twilio = &credentials.twilio;
    channels.sms.get_or_insert_with(|| SmsSection {
        account_sid: twilio.account_sid.clone(),
        auth_token: Some(Secret::from(twilio.auth_token.clone())),
        api_key: None,
        api_key_secret: None,
        from: Some(twilio.from.clone()),
        messaging_service_sid: None,
        segments_max: SMS_SEGMENTS_MAX,
        endpoint: Some(push),
        trust_root_file,
    });
}

/// What the tokens of an `up` in this folder are signed with.
pub(crate) fn secret_of(dir: &Path) -> anyhow::Result<Secret> {
    let file = dir.join("auth.secret");
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(Secret::from(text.trim().to_owned()))
}

#[test]
#[allow(clippy::unwrap_used)]
fn others_are_let_in_only_when_they_are_meant_to() {
    for (listen, expose, expected) in [
        ("127.0.0.1:7700", false, true),
        ("127.8.8.8:7700", false, true),
        ("[::1]:7700", false, true),
        ("[::ffff:127.0.0.1]:7700", false, true),
        ("0.0.0.0:7700", false, false),
        ("[::]:7700", false, false),
        ("192.168.1.5:7700", false, false),
        ("0.0.0.0:7700", true, true),
        ("127.0.0.1:7700", true, true),
    ] {
        let checked = check_exposure(listen.parse().unwrap(), expose);
        assert_eq!(checked.is_ok(), expected, "{listen}, --expose {expose}");
        if let Err(error) = checked {
            assert!(error.to_string().contains("--expose"), "{error}");
        }
    }
}
