//! A PostgreSQL server of one's own.
//!
//! It refuses to run as root, so under root it runs as Debian's `postgres`, or else as `nobody`, and
//! that user owns the data folder. `fsync` is on unless a caller says otherwise: what we promise is that
//! an accepted alert survives (I1), and a test that crashes the server should crash the real thing. The one that tests share
//! is crashed by nobody, and does not wait for the disk (`services.rs`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::process::{Signal, geteuid};
use tokio::sync::OnceCell;
use watchbell::domain::Secret;
use watchbell::store::{Store, StoreConfig};

use crate::ports;
use crate::service::{Service, log_tail};
use crate::until::until;

const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// As in production.
    On,
    /// For tests that need speed and never crash the server.
    Off,
}

/// One server. Dropped, it is killed; its folder is the caller's.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    dir: PathBuf,
    port: u16,
    fsync: Fsync,
    databases: AtomicU32,
    /// The name of the database that [`Self::migrated_database`] copies.
    migrated: OnceCell<String>,
    server: Service,
}

impl Postgres {
    /// Makes a cluster in `dir`, starts a server on it, and waits until it takes connections.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the end of its log is in the message.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, Fsync::On).await
    }

    /// As [`Self::start`], and says whether commits wait for the disk.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(dir: &Path, fsync: Fsync) -> anyhow::Result<Self> {
        let (programs, port, dir) = (Programs::find()?, ports::free()?, dir.to_owned());
        programs.own(&dir)?;
        programs.init(&dir).await?;
        let server = programs.serve(&dir, port, fsync)?;
        let (databases, migrated) = (AtomicU32::new(0), OnceCell::new());
        let mut started = Self { programs, dir, port, fsync, databases, migrated, server };
        started.takes_connections().await?;
        Ok(started)
    }

    /// The database every server has. Tests take a [`Self::fresh_database`].
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Its first process: each connection has one below it.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The port of [`Self::url`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database that nobody else has, and gives its URL.
    /// `name` (lower-case letters, digits, `_`) is for whoever reads the server's log.
    ///
    /// # Errors
    /// When the server is not running.
    pub async fn fresh_database(&self, name: &str) -> anyhow::Result<String> {
        let database = self.new_name(name);
        self.psql(&format!("CREATE DATABASE {database}")).await?;
        Ok(self.url_of(&database))
    }

    /// Makes a database with this version's tables that nobody else has, and gives its URL. It is a copy of one that is migrated
    /// once for each server, because to migrate takes several times as long as to copy.
    ///
    /// # Errors
    /// As [`Self::fresh_database`].
    pub async fn migrated_database(&self, name: &str) -> anyhow::Result<String> {
        let template = self.migrated.get_or_try_init(async || {
            let database = self.new_name("migrated");
            self.psql(&format!("CREATE DATABASE {database}")).await?;
            let url = Secret::from(self.url_of(&database));
            let store = Store::open(&StoreConfig { url, connections_max: 1 })?;
            store.migrate().await?;
            // Nobody may be connected to what is copied.
            store.close().await;
            anyhow::Ok(database)
        });
        let (template, database) = (template.await?, self.new_name(name));
        self.psql(&format!("CREATE DATABASE {database} TEMPLATE {template}")).await?;
        Ok(self.url_of(&database))
    }

    fn new_name(&self, name: &str) -> String {
        format!("{name}_{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs one statement in the database `postgres` and gives what it prints, bare and tab-separated.
    ///
    /// # Errors
    /// When it fails; the message has what the server said.
    pub async fn psql(&self, statement: &str) -> anyhow::Result<String> {
        self.psql_on(&self.url(), statement).await
    }

    /// Runs statements in the database of this URL, in one transaction when there are several.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub async fn psql_on(&self, url: &str, statements: &str) -> anyhow::Result<String> {
        let mut psql = self.client();
        psql.args(["--tuples-only", "--no-align", "--field-separator=\t", "--command", statements, url]);
        run(psql, "psql").await
    }

    /// Everything in a database, as `pg_dump` writes it with these options.
    ///
    /// # Errors
    /// When it fails; the message has what it said.
    pub async fn dump(&self, url: &str, options: &[&str]) -> anyhow::Result<String> {
        let mut dump = Command::new(self.programs.bin.join("pg_dump"));
        dump.args(options).arg(url);
        run(dump, "pg_dump").await
    }

    /// Reads what [`Self::dump`] wrote into the database of this URL.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub async fn load(&self, url: &str, dump: &str) -> anyhow::Result<()> {
        let file = self.dir.join("restore.sql");
        fs::write(&file, dump)?;
        let mut psql = self.client();
        psql.arg("--file").arg(&file).arg(url);
        run(psql, "psql --file").await.map(drop)
    }

    /// Throws a database away, with everybody who is connected to it, and makes it again from a dump.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub async fn restore(&self, url: &str, dump: &str) -> anyhow::Result<()> {
        let name = url.rsplit('/').next().context("a URL ends with its database")?;
        self.psql(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        self.psql(&format!("CREATE DATABASE {name}")).await?;
        self.load(url, dump).await
    }

    /// From now on this user exists and has to show this password.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub async fn add_user_with_password(&self, user: &str, password: &str) -> anyhow::Result<()> {
        self.psql(&format!("CREATE USER {user} PASSWORD '{password}'")).await?;
        let rules = self.dir.join("data/pg_hba.conf");
        let others = fs::read_to_string(&rules)?;
        fs::write(&rules, format!("host all {user} 127.0.0.1/32 scram-sha-256\n{others}"))?;
        self.psql("SELECT pg_reload_conf()").await.map(drop)
    }

    /// A standby in `dir` that follows this server.
    ///
    /// # Errors
    /// When it cannot be made or does not start.
    pub async fn standby(&self, dir: &Path) -> anyhow::Result<Self> {
        let (programs, port) = (Programs::find()?, ports::free()?);
        programs.own(dir)?;
        let mut copy = programs.command("pg_basebackup", dir);
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--host=127.0.0.1"]);
        copy.args(["--username=postgres", "--port", &self.port.to_string(), "--pgdata"])
            .arg(dir.join("data"));
        run(copy, "pg_basebackup").await?;
        let server = programs.serve(dir, port, self.fsync)?;
        let (dir, databases, migrated) = (dir.to_owned(), AtomicU32::new(0), OnceCell::new());
        let mut started = Self { programs, dir, port, fsync: self.fsync, databases, migrated, server };
        started.takes_connections().await?;
        Ok(started)
    }

    /// A standby hears nothing more of its primary.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub async fn fall_behind(&self) -> anyhow::Result<()> {
        self.psql("ALTER SYSTEM SET primary_conninfo = ''").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        let alone = async || {
            let receivers = self.psql("SELECT count(*) FROM pg_stat_wal_receiver").await.ok()?;
            (receivers == "0").then_some(())
        };
        until("the standby hears nothing more", START_MAX, alone).await
    }

    /// A standby becomes the primary, at the address of the one that is dead.
    ///
    /// # Errors
    /// When it does not.
    pub async fn take_over(&mut self, dead: &mut Self) -> anyhow::Result<()> {
        ensure!(dead.server.try_wait().is_some(), "the primary still runs");
        self.psql("SELECT pg_promote()").await?;
        self.stop().await?;
        std::mem::swap(&mut self.port, &mut dead.port);
        self.start_again().await
    }

    /// `psql` as every use here wants it.
    fn client(&self) -> Command {
        let mut psql = Command::new(self.programs.bin.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql
    }

    /// Stops the server as an operator would ("fast": open sessions are ended), and waits for it.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::INT, STOP_MAX).await
    }

    /// Starts the server again after [`Self::stop`] or [`Self::kill9`]: same port, same data.
    ///
    /// # Errors
    /// When it still runs, or does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.server.try_wait().is_some(), "the server still runs");
        self.server = self.programs.serve(&self.dir, self.port, self.fsync)?;
        self.takes_connections().await
    }

    /// Kills the server and its sessions with -9; returns when the server is gone.
    pub fn kill9(&mut self) {
        self.server.kill9();
    }

    /// Freezes the server's main process: sessions go on, new connections hang.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    async fn takes_connections(&mut self) -> anyhow::Result<()> {
        let mut ready = Command::new(self.programs.bin.join("pg_isready"));
        ready.args(["--quiet", "--host=127.0.0.1", "--port", &self.port.to_string()]);
        let (programs, dir, port, fsync) = (&self.programs, &self.dir, self.port, self.fsync);
        let server = &mut self.server;
        let probe = async || {
            if server.try_wait().is_some() {
                // After kill -9 the last sessions hold the shared memory for a moment, and a new
                // server refuses to start beside them.
                match programs.serve(dir, port, fsync) {
                    Ok(again) => *server = again,
                    Err(error) => return Some(Err(error)),
                }
            }
            ready.status().is_ok_and(|status| status.success()).then_some(Ok(()))
        };
        let took = until("PostgreSQL takes connections", START_MAX, probe).await;
        took.with_context(|| log_tail(&self.dir.join("postgres.log")))?
    }
}

/// Where PostgreSQL's programs are, and whom they run as.
#[derive(Debug)]
struct Programs {
    bin: PathBuf,
    /// The user and group to become, when we are root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// The newest version installed: Debian keeps one folder each.
    fn find() -> anyhow::Result<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path())))
            .filter(|(_, path)| path.join("bin/initdb").exists())
            .max();
        let (_, path) = newest.context("PostgreSQL is not installed: run tests/services/install.sh")?;
        let user = if geteuid().is_root() { Some(unprivileged()?) } else { None };
        Ok(Self { bin: path.join("bin"), user })
    }

    /// Gives `dir` to the user the server runs as.
    fn own(&self, dir: &Path) -> anyhow::Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        chown(dir, Some(uid), Some(gid)).with_context(|| format!("chown {}", dir.display()))?;
        let parents = dir.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        for parent in parents {
            let reachable = fs::metadata(parent)?.permissions().mode() & 0o001 != 0;
            ensure!(
                reachable,
                "{} is closed to other users, and PostgreSQL does not run as root: \
                 use a folder of scratch::Scratch",
                parent.display()
            );
        }
        Ok(())
    }

    async fn init(&self, dir: &Path) -> anyhow::Result<()> {
        let mut initdb = self.command("initdb", dir);
        // The cluster is made anew after a crash, so making it need not wait for the disk.
        initdb
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--pgdata"])
            .arg(dir.join("data"));
        run(initdb, "initdb").await.map(drop)
    }

    fn serve(&self, dir: &Path, port: u16, fsync: Fsync) -> anyhow::Result<Service> {
        let mut postgres = self.command("postgres", dir);
        postgres.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("unix_socket_directories={}", dir.display()),
            // A fleet has five processes or more with up to ten connections each, and six fleets and more run at once on one server.
            "max_connections=500",
            match fsync {
                Fsync::On => "fsync=on",
                Fsync::Off => "fsync=off",
            },
        ] {
            postgres.args(["-c", setting]);
        }
        Service::start("postgres", &mut postgres, &dir.join("postgres.log"))
    }

    fn command(&self, program: &str, dir: &Path) -> Command {
        let program = self.bin.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
                command.args([&uid, &gid, "--clear-groups"]).arg(program);
                command
            }
        };
        command.current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        command
    }
}

/// The ids of `postgres`, which the package makes, or of `nobody`.
fn unprivileged() -> anyhow::Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let ids = |name: &str| {
        let row = passwd.lines().find(|row| row.split(':').next() == Some(name))?;
        let mut columns = row.split(':').skip(2);
        Some((columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).context("there is no user postgres or nobody")
}

async fn run(mut command: Command, what: &'static str) -> anyhow::Result<String> {
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.with_context(|| format!("starting {what}"))?;
    if !output.status.success() {
        let complained = String::from_utf8_lossy(&output.stderr);
        return Err(anyhow!("{what} failed with {}: {complained}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
