//! A RabbitMQ node of one's own, as hermetic as Debian's package allows.
//!
//! What holds here:
//! - The real script is run, not Debian's wrapper, with an empty environment and a private `HOME`: nothing
//!   in `/etc/rabbitmq` or `/var/lib/rabbitmq` is read or written, and no default port is used.
//! - epmd, Erlang's port mapper, cannot be avoided. We run a private one in the foreground, as a child like
//!   any other, so that the node finds it and does not leave a daemon behind.
//!
//! A trap for tests that kill a node: a quorum queue younger than about 6 s may come back without a
//! leader for ever. [`RabbitNode::QUEUE_SETTLES_IN`] is how long to let it settle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ports;
use crate::service::{Service, log_tail};
use crate::until::until;

const BIN: &str = "/usr/lib/rabbitmq/bin";
const START_MAX: Duration = Duration::from_secs(90);
const STOP_MAX: Duration = Duration::from_secs(30);

/// One node. Dropped, it and its epmd are killed; its folder is the caller's.
#[derive(Debug)]
pub struct RabbitNode {
    place: Place,
    vhosts: AtomicU32,
    // Fields are dropped in order, and the node goes before its epmd.
    node: Service,
    _epmd: Arc<Service>,
}

/// Where a node lives, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// Where clients connect, on 127.0.0.1.
    pub(crate) amqp_port: u16,
    pub(crate) epmd_port: u16,
    /// Where other nodes connect, and on which address.
    pub(crate) dist_port: u16,
    pub(crate) address: [u8; 4],
    /// With its host; a host with dots is a long name.
    pub(crate) name: String,
    /// Further lines of `rabbitmq.conf`.
    pub(crate) configuration: String,
    /// Where the management API listens; `None`: it is not there. It costs about 30 MB and a second of starting.
    pub(crate) management_port: Option<u16>,
}

impl RabbitNode {
    /// How long a fresh quorum queue needs before its node may be killed: its Raft metadata
    /// is flushed late. <https://github.com/rabbitmq/rabbitmq-server/issues/10070>
    pub const QUEUE_SETTLES_IN: Duration = Duration::from_secs(6);

    /// Starts a node with its data, configuration and logs in `dir`, and waits until it speaks AMQP.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start; the end of its log is in the message.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, None).await
    }

    /// Starts a node that has its management API, too; gives its address, with a user and a password.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_managed(dir: &Path) -> anyhow::Result<(Self, String)> {
        let port = ports::free()?;
        let node = Self::start_with(dir, Some(port)).await?;
        Ok((node, format!("http://guest:guest@127.0.0.1:{port}")))
    }

    async fn start_with(dir: &Path, management_port: Option<u16>) -> anyhow::Result<Self> {
        let (amqp_port, epmd_port) = (ports::free()?, ports::free()?);
        let epmd = epmd(dir, epmd_port, "127.0.0.1").await?;
        let place = Place {
            dir: dir.to_owned(),
            amqp_port,
            epmd_port,
            dist_port: ports::free()?,
            address: [127, 0, 0, 1],
            name: format!("watchbell-{amqp_port}@localhost"),
            configuration: String::new(),
            management_port,
        };
        let mut started = Self::begin(place, epmd)?;
        started.speaks_amqp().await?;
        Ok(started)
    }

    /// Starts a node there, and does not wait for it.
    pub(crate) fn begin(place: Place, epmd: Arc<Service>) -> anyhow::Result<Self> {
        write_configuration(&place)?;
        let mut script = place.command("rabbitmq-server");
        let node = Service::start("rabbitmq", &mut script, &place.dir.join("stdout.log"))?;
        Ok(Self { place, vhosts: AtomicU32::new(0), node, _epmd: epmd })
    }

    /// Where clients connect, to the vhost `/`, as guest.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.place.amqp_port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// The port of [`Self::url`].
    pub fn port(&self) -> u16 {
        self.place.amqp_port
    }

    /// Makes a vhost that nobody else has, and gives the URL that connects to it.
    /// `name` (letters, digits, `-`) is for whoever reads the broker's log.
    ///
    /// # Errors
    /// When the node is not running.
    pub async fn fresh_vhost(&self, name: &str) -> anyhow::Result<String> {
        let number = self.vhosts.fetch_add(1, Ordering::Relaxed);
        let vhost = format!("{name}-{number}");
        // What `add_vhost` and `set_permissions` do, in one call: each starts an Erlang VM of its own.
        let expression = format!(
            r#"V = <<"{vhost}">>, By = <<"tests">>, All = <<".*">>, ok = rabbit_vhost:add(V, By),
            rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, All, All, All, By)."#
        );
        self.ctl(&["eval", &expression]).await?;
        Ok(format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.place.amqp_port))
    }

    /// Runs `rabbitmqctl` with `args` against this node (about half a second) and gives its output.
    ///
    /// # Errors
    /// When it fails; the message has what it printed.
    pub async fn ctl(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut ctl = self.place.command("rabbitmqctl");
        ctl.args(["--quiet"]).args(args);
        let what = format!("rabbitmqctl {}", args.join(" "));
        let output = tokio::task::spawn_blocking(move || ctl.output()).await?;
        let output = output.with_context(|| what.clone())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{what}: {said}{complained}");
        Ok(said)
    }

    /// Stops the node as an operator would, and waits until it is gone. Its epmd stays.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.node.stop(Signal::TERM, STOP_MAX).await
    }

    /// Starts the node again after [`Self::stop`] or [`Self::kill9`]: same ports, same data.
    ///
    /// # Errors
    /// When it still runs, or does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.node.try_wait().is_some(), "the node still runs");
        let mut script = self.place.command("rabbitmq-server");
        self.node = Service::start("rabbitmq", &mut script, &self.place.dir.join("stdout.log"))?;
        self.speaks_amqp().await
    }

    /// Kills the node with -9; returns when it is gone.
    pub fn kill9(&mut self) {
        self.node.kill9();
    }

    /// Freezes the node: its connections stay open and nothing answers. The nastiest fault.
    pub fn pause(&self) {
        self.node.pause();
    }

    /// Lets a paused node go on.
    pub fn resume(&self) {
        self.node.signal(Signal::CONT);
    }

    /// The node's name in its cluster.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    pub(crate) async fn speaks_amqp(&mut self) -> anyhow::Result<()> {
        let (port, node) = (self.place.amqp_port, &mut self.node);
        let ready = until("RabbitMQ speaks AMQP", START_MAX, async || match node.try_wait() {
            Some(status) => Some(Err(status)),
            None => greeted(port).await.then_some(Ok(())),
        });
        let log = || log_tail(&self.place.dir.join("log/node.log"));
        match ready.await.with_context(log)? {
            Ok(()) => Ok(()),
            Err(status) => Err(anyhow::anyhow!("rabbitmq-server ended with {status}; {}", log())),
        }
    }
}

fn write_configuration(place: &Place) -> anyhow::Result<()> {
    let in_dir = |name: &str| place.dir.join(name);
    let (amqp_port, more) = (place.amqp_port, &place.configuration);
    let (plugins, management) = match place.management_port {
        None => ("[].\n", String::new()),
        Some(port) => (
            "[rabbitmq_management].\n",
            format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n"),
        ),
    };
    let conf = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp_port}\n\
         loopback_users = none\n\
         log.console = false\n\
         log.file.level = info\n\
         disk_free_limit.absolute = 500MB\n\
         {management}{more}"
    );
    fs::write(in_dir("rabbitmq.conf"), conf).context("writing rabbitmq.conf")?;
    fs::write(in_dir("enabled_plugins"), plugins)?;
    let cookie = in_dir(".erlang.cookie");
    fs::write(&cookie, "WATCHBELLTESTS")?;
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    Ok(())
}

impl Place {
    /// A program of RabbitMQ's, with the environment that points it at this node.
    fn command(&self, program: &str) -> Command {
        let dir = &self.dir;
        let in_dir = |name: &str| dir.join(name);
        let [a, b, c, d] = self.address;
        let mut erlang = format!(
            "-kernel inet_dist_use_interface {{{a},{b},{c},{d}}} +sbwt none +sbwtdcpu none +sbwtdio none"
        );
        let is_long = self.name.contains('.');
        if is_long {
            // A node that dies is missed after 8 s, not after a minute.
            erlang.push_str(&format!(
                " -kernel inet_dist_connect_options [{{ip,{{{a},{b},{c},{d}}}}}] -kernel net_ticktime 8"
            ));
        }
        let mut command = Command::new(Path::new(BIN).join(program));
        command
            .current_dir(dir)
            .env_clear()
            .env("PATH", format!("{BIN}:/usr/local/bin:/usr/bin:/bin"))
            .env("LANG", "C.UTF-8")
            .env("HOME", dir)
            // Makes the script become the Erlang VM, so that our child is the node itself.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.amqp_port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", in_dir("mnesia"))
            .env("RABBITMQ_LOG_BASE", in_dir("log"))
            .env("RABBITMQ_LOGS", in_dir("log/node.log"))
            .env("RABBITMQ_PID_FILE", in_dir("node.pid"))
            .env("RABBITMQ_CONFIG_FILE", in_dir("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", in_dir("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", in_dir("gen"))
            .env("RABBITMQ_PLUGINS_EXPAND_DIR", in_dir("expand"))
            // Without +sbwt an idle node spins for a while after each message, on cores the tests need.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang);
        if is_long {
            command.env("RABBITMQ_USE_LONGNAME", "true");
        }
        command
    }
}

/// Starts an epmd of our own, and waits for it.
pub(crate) async fn epmd(dir: &Path, port: u16, addresses: &str) -> anyhow::Result<Arc<Service>> {
    let mut epmd = Command::new("epmd");
    epmd.args(["-port", &port.to_string(), "-address", addresses]);
    let epmd = Service::start("epmd", &mut epmd, &dir.join("epmd.log"))?;
    until("epmd listens", Duration::from_secs(10), async || connects(port).await).await?;
    Ok(Arc::new(epmd))
}

/// Whether the node answers the AMQP 0-9-1 header with `connection.start`: a method frame of
/// class 10, method 10, on channel 0.
async fn greeted(port: u16) -> bool {
    let greet = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).await?;
        Ok::<_, std::io::Error>(frame)
    };
    greet.await.is_ok_and(|frame| frame[..3] == [1, 0, 0] && frame[7..] == [0, 10, 0, 10])
}

async fn connects(port: u16) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).await.ok()
}
