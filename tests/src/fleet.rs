//! A whole fleet for a test: `up` in one process, or every worker in its own on real RabbitMQ and PostgreSQL.
//!
//! Both are driven by the same calls, so that one test runs on both.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use watchbell::{
    domain::{Secret, Tenant, UserId, UserKey},
    runtime::config::AuthConfig,
};

use crate::{
    ports,
    process::{WatchbellProcess, binary},
    scratch::Scratch,
    senders, services,
    session::{Follower, Session},
    until::until,
};

/// How long a fleet may take to start.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long the fleet may take to become ready again after a restart of a worker.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a worker may take to leave.
const LEAVE_DEADLINE: Duration = Duration::from_secs(60);
/// The secret of tokens in a fleet of services.
const HS256_SECRET: &str = "a-secret-of-tests-that-opens-nothing-at-all";

/// Everything that a key may be used for.
pub const ALL_SCOPES: &str = "alerts,events,people,read,operations";

/// What a fleet runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `watchbell up`: embedded broker, SQLite, one process.
    Embedded,
    /// RabbitMQ, PostgreSQL, a process a worker, two socket pods.
    Services,
}

/// Where a fleet of services finds its broker and store.
#[derive(Debug, Clone)]
pub struct Urls {
    /// `amqp://…`
    pub broker: String,
    /// `postgres://…`
    pub store: String,
}

/// A running fleet. Dropped, it is killed.
pub struct Fleet {
    /// What it runs on.
    pub engine: Engine,
    /// Its broker and store, for a fleet of services.
    pub urls: Option<Urls>,
    scratch: Scratch,
    /// What its workers and commands are started from.
    program: PathBuf,
    env: Vec<(String, String)>,
    workers: BTreeMap<&'static str, Worker>,
    ports: BTreeMap<&'static str, u16>,
    /// Where processes have their operations endpoints; without one, beside everything else.
    pub(crate) operations: BTreeMap<&'static str, u16>,
    /// Keeps no connection, because one that is idle may be closed just when a request goes out on it.
    pub(crate) http: reqwest::Client,
    pub(crate) key: String,
    pub(crate) auth: AuthConfig,
    tenant: Tenant,
    pub(crate) simulator: String,
}

/// A process, with the arguments and variables it is started again with.
type Worker = (WatchbellProcess, Vec<&'static str>, Vec<(String, String)>);

impl Fleet {
    /// Starts a fleet whose default policy waits so long before push and then before email (in milliseconds).
    /// `env` is added to every process.
    ///
    /// # Errors
    /// It did not become ready; the log is in the error.
    pub async fn start(engine: Engine, waits_ms: (u64, u64), env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_configured(engine, &senders::policy(waits_ms), env).await
    }

    /// Starts a fleet with this as its `watchbell.toml`.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start_configured(engine: Engine, toml: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        match engine {
            Engine::Embedded => Self::start_embedded(toml, env).await,
            Engine::Services => {
                let urls = Urls {
                    broker: services::rabbit().await?.fresh_vhost("fleet").await?,
                    store: services::postgres().await?.migrated_database("fleet").await?,
                };
                Self::start_on(binary()?, urls, toml, env).await
            }
        }
    }

    /// Starts a fleet of services from this binary, which may be one of another version.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start_program(program: PathBuf, waits_ms: (u64, u64)) -> anyhow::Result<Self> {
        let urls = Urls {
            broker: services::rabbit().await?.fresh_vhost("fleet").await?,
            store: services::postgres().await?.fresh_database("fleet").await?,
        };
        Self::start_on(program, urls, &senders::policy(waits_ms), &[]).await
    }

    /// What is started from now on is started from this binary.
    pub fn use_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    async fn start_embedded(toml: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let scratch = Scratch::new("fleet")?;
        let mut fleet = Self::empty(binary()?, Engine::Embedded, scratch, toml, env)?;
        let port = ports::free()?;
        fleet.ports.insert("up", port);
        fleet.env.push(("WATCHBELL__HTTP__LISTEN".into(), format!("127.0.0.1:{port}")));
        // By itself `up` logs only what is wrong. Whoever reads why a test failed wants more.
        if !fleet.env.iter().any(|(name, _)| name == "WATCHBELL__LOG__FILTER") {
            fleet.env.push(("WATCHBELL__LOG__FILTER".into(), "info".into()));
        }
        // Where a test gives them a place of their own.
        let operations = fleet.env.iter().find(|(name, _)| name == "WATCHBELL__HTTP__OPERATIONS_LISTEN");
        let operations = operations.and_then(|(_, address)| address.rsplit(':').next()?.parse().ok());
        fleet.operations.extend(operations.map(|port| ("up", port)));
        fleet.start_worker("up", vec!["up", "--data", "data"], Vec::new())?;
        fleet.ready("up").await?;
        fleet.read_demo()?;
        Ok(fleet)
    }

    fn read_demo(&mut self) -> anyhow::Result<()> {
        let demo: Value = serde_json::from_slice(&std::fs::read(self.dir().join("data/demo.json"))?)?;
        let text = |name: &str| demo[name].as_str().unwrap_or_default().to_owned();
        (self.key, self.simulator) = (text("producer_key"), text("simulator"));
        let secret = std::fs::read_to_string(self.dir().join("data/auth.secret"))?;
        self.auth.hs256_secret = Some(Secret::from(secret.trim().to_owned()));
        self.tenant = Tenant::parse("demo")?;
        Ok(())
    }

    /// Starts a fleet of services on these.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start_services(
        urls: Urls,
        waits_ms: (u64, u64),
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_on(binary()?, urls, &senders::policy(waits_ms), env).await
    }

    async fn start_on(
        program: PathBuf,
        urls: Urls,
        toml: &str,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let scratch = Scratch::new("fleet")?;
        let mut fleet = Self::empty(program, Engine::Services, scratch, toml, env)?;
        fleet.auth.hs256_secret = Some(Secret::from(HS256_SECRET));
        fleet.tenant = Tenant::parse("acme")?;
        let [page, push, smtp] = [ports::free()?, ports::free()?, ports::free()?];
        fleet.simulator = format!("http://127.0.0.1:{page}");
        let set = [
            ("STORE__URL", urls.store.clone()),
            ("BROKER__URL", urls.broker.clone()),
            ("AUTH__HS256_SECRET", HS256_SECRET.to_owned()),
            ("SIMULATOR__LISTEN", format!("127.0.0.1:{page}")),
            ("SIMULATOR__PUSH_LISTEN", format!("127.0.0.1:{push}")),
            ("SIMULATOR__SMTP_LISTEN", format!("127.0.0.1:{smtp}")),
            ("SIMULATOR__DIR", "simulator".to_owned()),
            ("HTTP__LEAVE_WAIT", "0s".to_owned()),
        ];
        // Before what the test sets, which holds where both say something.
        fleet.env.splice(0..0, set.map(|(name, value)| (format!("WATCHBELL__{name}"), value)));
        fleet.urls = Some(urls);
        fleet.command(&["migrate"])?;
        fleet.command(&["topology", "apply"])?;
        let create = ["key", "create", "--tenant", "acme", "--name", "tests", "--scope", ALL_SCOPES];
        fleet.key = fleet.command(&create)?.trim().to_owned();

        fleet.start_role("simulator", &["run", "simulator"], &[])?;
        fleet.ready("simulator").await?;
        fleet.start_role("ingest", &["run", "ingest"], &[])?;
        fleet.start_role("dispatch", &["run", "dispatch"], &[])?;
        fleet.start_role("socket-1", &["run", "socket"], &[])?;
        fleet.start_role("socket-2", &["run", "socket"], &[])?;
        fleet.start_role("fallback", &["run", "fallback"], &senders::at_simulator(push, smtp))?;
        for name in ["ingest", "dispatch", "socket-1", "socket-2", "fallback"] {
            fleet.ready(name).await?;
        }
        Ok(fleet)
    }

    /// Starts one more dispatcher of a fleet of services, under this name, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Fleet::add`].
    pub async fn add_dispatcher(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.add(name, "dispatch").await
    }

    /// Starts another socket pod of a fleet of services, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub async fn add_socket_pod(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.add(name, "socket").await
    }

    /// Starts one more process of a role, under this name, with what the fleet's own one is given, and waits until it is ready.
    ///
    /// # Errors
    /// It did not become ready; the log is in the error.
    pub async fn add(&mut self, name: &'static str, role: &'static str) -> anyhow::Result<()> {
        self.add_with(name, role, &[]).await
    }

    /// The same with more of its environment.
    ///
    /// # Errors
    /// As [`Fleet::add`].
    pub async fn add_with(
        &mut self,
        name: &'static str,
        role: &'static str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let like = self.workers.get(role).map(|(_, _, env)| env.clone()).unwrap_or_default();
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: Vec<_> =
            like.into_iter().filter(|(name, _)| !name.contains("__HTTP__")).chain(more).collect();
        self.start_role(name, &["run", role], &env)?;
        self.ready(name).await
    }

    /// SIGTERM, and waits until it has left in order. [`Fleet::revive`] starts it again.
    ///
    /// # Errors
    /// It does not leave, or not with success.
    pub async fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        let process = self.worker(name)?;
        process.terminate();
        let left = process.wait_exit(LEAVE_DEADLINE).await?;
        ensure!(left.success(), "{name} left with {left}");
        Ok(())
    }

    fn empty(
        program: PathBuf,
        engine: Engine,
        scratch: Scratch,
        toml: &str,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        std::fs::write(scratch.path().join("watchbell.toml"), toml)?;
        Ok(Self {
            engine,
            urls: None,
            scratch,
            program,
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            workers: BTreeMap::new(),
            ports: BTreeMap::new(),
            operations: BTreeMap::new(),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .pool_max_idle_per_host(0)
                .build()?,
            key: String::new(),
            auth: AuthConfig::default(),
            tenant: Tenant::parse("none")?,
            simulator: String::new(),
        })
    }

    /// The fleet's folder.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The API key of the fleet's tenant.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The fleet's tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Names of the processes that can be killed.
    pub fn names(&self) -> Vec<&'static str> {
        self.workers.keys().copied().collect()
    }

    /// Everything every process has logged, by name.
    pub fn logs(&self) -> Vec<(&'static str, String)> {
        let read =
            |process: &WatchbellProcess| std::fs::read_to_string(process.log_file()).unwrap_or_default();
        self.workers.iter().map(|(name, (process, _, _))| (*name, read(process))).collect()
    }

    /// A process, to signal it.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn worker(&mut self, name: &str) -> anyhow::Result<&mut WatchbellProcess> {
        self.workers.get_mut(name).map(|(process, _, _)| process).with_context(|| format!("no worker {name}"))
    }

    /// SIGTERM, and started again with the same arguments when it has left in order. Does not wait until it is ready.
    ///
    /// # Errors
    /// It does not leave, or not with success, or cannot be started.
    pub async fn restart(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.stop(name).await?;
        self.revive(name)
    }

    /// kill -9, and started again with the same arguments. Does not wait until it is ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn crash(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.kill(name)?;
        self.revive(name)
    }

    /// kill -9; it stays dead until [`Self::revive`].
    ///
    /// # Errors
    /// There is none of that name.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.worker(name)?.kill9();
        Ok(())
    }

    /// Starts a process that was killed or stopped again with the same arguments. Does not wait until it is ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn revive(&mut self, name: &'static str) -> anyhow::Result<()> {
        let (process, args, env) = self.workers.remove(name).with_context(|| format!("no worker {name}"))?;
        drop(process);
        self.start_worker(name, args, env)
    }

    /// Waits until a process is ready.
    ///
    /// # Errors
    /// It is not, within the deadline.
    pub async fn ready(&self, name: &'static str) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.operations_url(name)?);
        let deadline = START_DEADLINE.max(READY_DEADLINE);
        let is_ready = async || {
            let response = self.http.get(&url).send().await.ok()?;
            response.status().is_success().then_some(())
        };
        until(&format!("{name} to be ready"), deadline, is_ready).await.with_context(|| {
            self.logs().into_iter().filter(|(log, _)| *log == name).map(|(_, text)| text).collect::<String>()
        })
    }

    pub(crate) fn start_role(
        &mut self,
        name: &'static str,
        args: &[&'static str],
        env: &[(String, String)],
    ) -> anyhow::Result<()> {
        let (port, operations) = (ports::free()?, ports::free()?);
        self.ports.insert(name, port);
        self.operations.insert(name, operations);
        let mut env = env.to_vec();
        env.push(("WATCHBELL__HTTP__LISTEN".into(), format!("127.0.0.1:{port}")));
        env.push(("WATCHBELL__HTTP__OPERATIONS_LISTEN".into(), format!("127.0.0.1:{operations}")));
        self.start_worker(name, args.to_vec(), env)
    }

    fn start_worker(
        &mut self,
        name: &'static str,
        args: Vec<&'static str>,
        env: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let all: Vec<(&str, &str)> =
            self.env.iter().chain(&env).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let process = WatchbellProcess::start_program(&self.program, name, self.dir(), &args, &all)?;
        self.workers.insert(name, (process, args, env));
        Ok(())
    }

    /// Runs a command of the binary with the fleet's configuration, and gives what it printed.
    ///
    /// # Errors
    /// It failed; what it said is in the error.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        self.command_with(args, &[])
    }

    /// [`Self::command`] with more in its environment.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn command_with(&self, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.current_dir(self.dir()).args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHBELL")) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value))).envs(env.iter().copied());
        let done = command.output()?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "watchbell {args:?}: {said}");
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The HTTP address of a process; of `up`, when that is all there is.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn url(&self, name: &str) -> anyhow::Result<String> {
        let port = self
            .ports
            .get(name)
            .or_else(|| self.ports.get("up"))
            .with_context(|| format!("no worker {name}"))?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// A token of a user, good for an hour.
    ///
    /// # Errors
    /// The name is not one.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        self.mint(self.tenant.as_str(), user, SignedDuration::from_hours(1))
    }

    /// A token of anybody for any time, properly signed.
    ///
    /// # Errors
    /// A name is not one.
    pub fn mint(&self, tenant: &str, user: &str, good_for: SignedDuration) -> anyhow::Result<String> {
        let secret = self.auth.hs256_secret.as_ref().context("no secret")?;
        let user = UserKey::new(Tenant::parse(tenant)?, UserId::parse(user)?);
        watchbell_socket::token::mint(secret, &self.auth, &user, Timestamp::now() + good_for)
    }

    /// The secret its tokens are signed with.
    pub fn secret(&self) -> &str {
        self.auth.hs256_secret.as_ref().map_or("", |secret| secret.expose())
    }

    /// A client for requests that have no method here.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where each process is scraped, as `host:port`.
    /// # Errors
    /// Never for processes of this fleet.
    pub fn scraped(&self) -> anyhow::Result<Vec<String>> {
        let names = self.workers.keys().filter(|name| **name != "simulator");
        names.map(|name| Ok(self.operations_url(name)?.trim_start_matches("http://").to_owned())).collect()
    }

    /// Opens a user's session on a pod (`socket-1` or `socket-2`; the same one when embedded).
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn session(&self, pod: &str, user: &str, cursor: Option<&str>) -> anyhow::Result<Session> {
        Session::open(&self.ws_url(pod)?, &self.token(user)?, cursor).await
    }

    /// Follows a user's inbox over both pods, beginning on the first.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn follower(&self, user: &str) -> anyhow::Result<Follower> {
        Follower::start(vec![self.ws_url("socket-1")?, self.ws_url("socket-2")?], self.token(user)?).await
    }

    /// Where sessions of a pod are opened.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn ws_url(&self, pod: &str) -> anyhow::Result<String> {
        Ok(format!("{}/v1/ws", self.url(pod)?.replacen("http", "ws", 1)))
    }
}
