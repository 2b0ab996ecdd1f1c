//! The commands and their arguments.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use watchbell::runtime::{config::parse_duration, health};

/// Alerts to screens, then phones, then mailboxes, once, until they are seen.
#[derive(Parser)]
#[command(name = "watchbell", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file; `watchbell.toml` here, when there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything in this process, with nothing else: embedded broker, SQLite, simulator, demo page.
    Up(UpArgs),
    /// Run chosen workers against RabbitMQ and PostgreSQL.
    Run(RunArgs),
    /// Publish an alert or a later version of one, or every line of an NDJSON file.
    Send(SendArgs),
    /// Say that alerts are over: nobody is chased any more, and pushes are taken off phones.
    Resolve(ChangeArgs),
    /// Say that somebody took alerts on: nobody is chased any more, and they stay on screens.
    Ack(ChangeArgs),
    /// Follow a user's session.
    Tail(TailArgs),
    /// Make a user's token (HS256), for trying things out.
    Token(TokenArgs),
    /// Producers' API keys.
    Key(KeyArgs),
    /// What happened to an alert, step by step, and why.
    Explain(ExplainArgs),
    /// What was delivered too often: look at it, send it again, throw it away.
    Dead(DeadArgs),
    /// Bring the store's schema up to this version.
    Migrate(MigrateArgs),
    /// After a backup was restored: begin a new history, so that every client fetches its inbox.
    Restored(RestoredArgs),
    /// The broker's exchanges and queues.
    Topology(TopologyArgs),
    /// The configuration.
    Config(ConfigArgs),
    /// What a hook would make of another product's payload.
    Hook(HookArgs),
    /// Measure a running fleet.
    Bench(BenchArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

#[derive(Args)]
pub(crate) struct UpArgs {
    /// Where the page and the API are served; `http.listen` otherwise.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct MigrateArgs {
    /// Change nothing: succeed when the schema is what this version needs.
    #[arg(long)]
    pub(crate) check: bool,
    /// Wait so long for it (30s, 10m), as a pod does that starts beside the one that migrates. With --check.
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct RestoredArgs {
    /// The data folder of `watchbell up`, when no store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a duration with its unit, such as 30s or 10m".to_owned())
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Which workers.
    #[arg(required = true)]
    pub(crate) roles: Vec<Role>,
}

/// A worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// HTTP for producers.
    Ingest,
    /// Alerts into inboxes.
    Dispatch,
    /// Sessions.
    Socket,
    /// Push and email.
    Fallback,
    /// In place of Apple, Google and a mail relay.
    Simulator,
}

impl Role {
    /// The role as readiness sees it; the simulator needs nothing.
    pub(crate) fn standing(self) -> Option<health::Role> {
        match self {
            Self::Ingest => Some(health::Role::Ingest),
            Self::Dispatch => Some(health::Role::Dispatch),
            Self::Socket => Some(health::Role::Socket),
            Self::Fallback => Some(health::Role::Fallback),
            Self::Simulator => None,
        }
    }
}

/// A running fleet and the right to publish to it. Without them: the fleet that `up` left its address of.
#[derive(Args, Clone)]
pub(crate) struct ProducerArgs {
    /// The fleet's address.
    #[arg(long, env = "WATCHBELL_URL")]
    pub(crate) url: Option<String>,
    /// An API key.
    #[arg(long, env = "WATCHBELL_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// The data folder of `watchbell up`, whose `demo.json` is used when no address is given.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
    /// To these users. Repeat, or separate with commas; a comma in a name is written `\,`.
    #[arg(long)]
    pub(crate) to: Vec<String>,
    /// To these groups, written likewise.
    #[arg(long)]
    pub(crate) group: Vec<String>,
    /// To everybody who was registered or has ever signed in.
    #[arg(long)]
    pub(crate) everyone: bool,
    /// One line that makes sense alone. Without it, the alert of --id is changed by what else is given, for whoever has it.
    #[arg(required_unless_present_any = ["file", "id"])]
    pub(crate) title: Option<String>,
    /// More, for those who look.
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// info, warning or critical.
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Where to read on.
    #[arg(long)]
    pub(crate) link: Option<String>,
    /// The escalation policy.
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// The alert's id, to send it again or to send a later version.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// The version; a higher one updates the alert in place.
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// firing, acknowledged, suppressed or resolved.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// A file of alerts, one JSON object a line; `-` reads standard input. Ids are printed; lines that are refused are
    /// told by their number, and the others are sent.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["title", "to", "group", "everyone"])]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
    /// The alerts' ids.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Args)]
pub(crate) struct TailArgs {
    /// The fleet's address.
    #[arg(long, env = "WATCHBELL_URL")]
    pub(crate) url: Option<String>,
    /// A token; otherwise `demo.json` has one for `--user`.
    #[arg(long, env = "WATCHBELL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The user whose token in `demo.json` is used; `ana` when there is no `--token` either.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Go on after this cursor.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Say `seen` of every alert that arrives.
    #[arg(long)]
    pub(crate) seen: bool,
    /// Print frames as they come, one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many alerts.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<usize>,
    /// The data folder of `watchbell up`.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct TokenArgs {
    /// The user.
    #[arg(long)]
    pub(crate) user: String,
    /// The tenant; `auth.default_tenant` otherwise, and `demo` for `up`. A fleet without one asks for it.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// How long it is good, in seconds.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) seconds: u32,
    /// Topics it may read: `monitor:7`, `monitor:*` or `*`. Several with commas, or given again.
    #[arg(long, value_delimiter = ',', value_name = "PATTERN")]
    pub(crate) topics: Vec<String>,
    /// Groups its user belongs to. Several with commas, or given again.
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// The data folder of `watchbell up`, when no secret is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
    /// The data folder of `watchbell up`, when no store is configured.
    #[arg(long, global = true, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. It is printed once and only its hash is kept.
    Create {
        /// The tenant for which it may publish; `auth.default_tenant` otherwise, and `demo` for `up`.
        #[arg(long)]
        tenant: Option<String>,
        /// What it is for.
        #[arg(long, default_value = "")]
        name: String,
        /// It may change only alerts that it made itself; otherwise any of its tenant.
        #[arg(long)]
        own_alerts: bool,
    },
    /// Make the key pair that browsers subscribe with, for `[webpush]`.
    Vapid,
    /// List keys by the beginning of their hash.
    List,
    /// Make a key stop working, by the beginning of its hash (at least 8 characters).
    Revoke {
        /// As `list` prints it.
        hash: String,
    },
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The alert's id.
    pub(crate) alert: String,
    /// For this user; otherwise for its first recipients.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The tenant of the alert; `auth.default_tenant` otherwise.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The data folder of `watchbell up`, when no store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
    /// The data folder of `watchbell up`, when no broker is configured.
    #[arg(long, global = true, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    /// One line each, oldest first. Changes nothing.
    List {
        /// So many at the most.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// Print one whole, with its body.
    Show {
        /// As `list` prints it.
        id: String,
    },
    /// Send it to where it came from. Whatever was done already is not done twice.
    Replay(DeadWhich),
    /// Throw it away for good.
    Drop(DeadWhich),
}

#[derive(Args)]
pub(crate) struct DeadWhich {
    /// As `list` prints them.
    pub(crate) ids: Vec<String>,
    /// All that are there now.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct TopologyArgs {
    #[command(subcommand)]
    pub(crate) command: TopologyCommand,
}

#[derive(Clone, Copy, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Print it with reasons and least permissions.
    Show,
    /// Declare it. Harmless to repeat.
    Apply,
    /// Say what is missing, without declaring anything.
    Check,
}

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether it holds together, and what it would not let you run.
    Check {
        /// An alert as JSON, or only its labels: say which `[[route]]` it takes and why.
        #[arg(long, value_name = "FILE")]
        sample: Option<PathBuf>,
        /// The tenant of the sample; `auth.default_tenant` otherwise, and `demo` for `up`.
        #[arg(long, requires = "sample")]
        tenant: Option<String>,
    },
    /// Print everything that holds, as TOML. Secrets print as `redacted`.
    Show,
}

#[derive(Args)]
pub(crate) struct HookArgs {
    #[command(subcommand)]
    pub(crate) command: HookCommand,
}

#[derive(Subcommand)]
pub(crate) enum HookCommand {
    /// Print the alerts that a payload would become, whom they are for and why. Nothing is published.
    Try {
        /// Which: `alertmanager`, `grafana`, …, or the path of a `[[hook]]`.
        name: String,
        /// The payload, as JSON; `-` reads standard input.
        file: PathBuf,
        /// What stands behind the address: `users=ana&policy=critical`.
        #[arg(long, default_value = "", value_name = "QUERY")]
        query: String,
        /// The tenant; `auth.default_tenant` otherwise, and `demo` for `up`.
        #[arg(long)]
        tenant: Option<String>,
    },
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
    /// Where sessions are opened, like `ws://host:7700` (repeat to spread them over socket pods); otherwise at the
    /// fleet's address.
    #[arg(long, value_name = "URL")]
    pub(crate) ws_url: Vec<String>,
    /// Alerts to publish at full speed, three times over.
    #[arg(long, default_value_t = 5_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) alerts: u32,
    /// Users to spread them over, with a session each.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) users: u32,
    /// Alerts in one request.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) batch: u32,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    pub(crate) concurrency: u32,
    /// Alerts a second in the latency part, one in a request.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// How long the latency part takes, in seconds.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Idle sessions to open for the memory part, all at the first address; 0 leaves it out.
    #[arg(long, default_value_t = 0, requires = "pid", value_parser = value_parser!(u32).range(0..=250_000))]
    pub(crate) sessions: u32,
    /// The process whose memory is measured (`up`, or the first address's socket pod).
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// The HS256 secret of the fleet, for tokens of bench users; by default that of `up`.
    #[arg(long, env = "WATCHBELL__AUTH__HS256_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// The tenant of the key.
    #[arg(long, default_value = "demo")]
    pub(crate) tenant: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// The bare server that `bench` compares with, and starts by itself. Ends with its standard input.
    #[command(hide = true)]
    Floor,
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}
