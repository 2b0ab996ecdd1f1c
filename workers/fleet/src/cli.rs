//! The commands and their arguments.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, value_parser};
use watchbell::{
    domain::{
        audit::{ACTORS, OBJECTS},
        scope::{Scope, UnknownScope},
    },
    runtime::config::{InvalidDuration, read_duration},
};

pub(crate) use crate::cli_bench::BenchArgs;
use crate::cli_doctor::DoctorArgs;
use crate::cli_explain::ExplainArgs;
use crate::cli_people::{AlertArgs, DeviceArgs, GroupArgs, UserArgs};
pub(crate) use crate::cli_producer::ProducerArgs;
use crate::given_address::{fleet_address, session_address};
pub(crate) use crate::role::Role;

/// Delivers alerts to people: to their screens, then to their phones, then by email, until they have seen them.
#[derive(Parser)]
#[command(name = "watchbell", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file. By default `watchbell.toml` in the current folder, if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process that needs no other service: embedded broker, SQLite, simulator, demo page.
    Up(UpArgs),
    /// Run the chosen workers on RabbitMQ and PostgreSQL.
    Run(RunArgs),
    /// Publish an alert, a later version of one, or every line of an NDJSON file.
    Send(SendArgs),
    /// Resolve alerts: their escalation ends, and their pushes are removed from phones.
    Resolve(ChangeArgs),
    /// Acknowledge alerts: their escalation ends, and they stay on screens.
    Ack(ChangeArgs),
    /// Open a session of a user and print what it receives.
    Tail(TailArgs),
    /// Print where the demo page is, its producer key, a user's token, and three commands to try.
    Welcome(WelcomeArgs),
    /// Make a token (HS256) for a user, to try things out.
    Token(TokenArgs),
    /// Create, list, rotate and revoke the API keys of producers.
    Key(KeyArgs),
    /// Print who changed what: keys, people, groups, sessions, dead letters. The newest first.
    Audit(AuditArgs),
    /// List, show, erase and export users.
    User(UserArgs),
    /// List and remove the devices of a user.
    Device(DeviceArgs),
    /// List, show and delete groups.
    Group(GroupArgs),
    /// List alerts.
    Alert(AlertArgs),
    /// Print what happened to an alert for each recipient, step by step, or what a user got and did not get, and why.
    Explain(ExplainArgs),
    /// List, show, replay or drop dead letters: messages that were delivered too often.
    Dead(DeadArgs),
    /// Migrate the store's schema to this version.
    Migrate(MigrateArgs),
    /// Tell Watchbell that a backup was restored, so that every client fetches its inbox again.
    Restored(RestoredArgs),
    /// Show, declare or check the broker's exchanges and queues.
    Topology(TopologyArgs),
    /// Look at the configuration, and at the broker, the store and the providers, and say what is wrong and what to do.
    Doctor(DoctorArgs),
    /// Check or print the configuration.
    Config(ConfigArgs),
    /// Try a hook on another product's payload.
    Hook(HookArgs),
    /// Measure the throughput and latency of a running fleet.
    Bench(BenchArgs),
    /// Write the manual of this version as HTML files.
    Docs(DocsArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

#[derive(Args)]
pub(crate) struct UpArgs {
    /// The address at which the page and the API are served. By default `http.listen`.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Let others on the network in: without it, `up` listens on this machine only.
    #[arg(long)]
    pub(crate) expose: bool,
    /// The folder that keeps everything.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct MigrateArgs {
    /// Change nothing. Succeed if the schema is the one that this version needs.
    #[arg(long)]
    pub(crate) check: bool,
    /// With --check: wait this long (30s, 10m) for the schema, while another process migrates it.
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct DocsArgs {
    /// The folder to write to. It is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct RestoredArgs {
    /// The data folder of `watchbell up`, used if no store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

fn scope(text: &str) -> Result<Scope, UnknownScope> {
    text.trim().parse()
}

fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    read_duration(text)
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The workers to run.
    #[arg(required = true)]
    pub(crate) roles: Vec<Role>,
    /// With `demo`: the folder of its `demo.json`.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
    /// With `demo`: where commands that read its `demo.json` reach the fleet, if that is not `http.public_url`.
    #[arg(long, value_name = "URL", value_parser = fleet_address)]
    pub(crate) reach: Option<String>,
}

#[derive(Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
    /// Recipients: users. Repeat the option, or separate names with commas; write a comma in a name as `\,`.
    #[arg(long)]
    pub(crate) to: Vec<String>,
    /// Recipients: groups, written in the same way.
    #[arg(long)]
    pub(crate) group: Vec<String>,
    /// Send it to everybody who was registered or has ever signed in.
    #[arg(long)]
    pub(crate) everyone: bool,
    /// The title, one line. Without it, the other options change the recorded alert that --id names.
    #[arg(required_unless_present_any = ["file", "id"])]
    pub(crate) title: Option<String>,
    /// The text below the title.
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// The severity: info, warning or critical.
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// The body is Markdown: **bold**, *emphasis*, `code`, links and line breaks.
    #[arg(long, requires = "body")]
    pub(crate) markdown: bool,
    /// A web address with more about it.
    #[arg(long)]
    pub(crate) link: Option<String>,
    /// A picture beside it, at an https address.
    #[arg(long, value_name = "URL")]
    pub(crate) image: Option<String>,
    /// Alerts of one key are shown as one group.
    #[arg(long, value_name = "KEY")]
    pub(crate) group_key: Option<String>,
    /// A button, as ID=TITLE=ANSWER or ID=TITLE=URL: `approve=Approve=yes`. Repeat the option for up to three.
    #[arg(long = "action", value_name = "ID=TITLE=ANSWER")]
    pub(crate) actions: Vec<String>,
    /// The name of the escalation policy.
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// The alert's id. Give one to repeat an alert safely or to send a later version of it.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// The version. A higher one updates the alert in place.
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// The status: firing, acknowledged, suppressed or resolved.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// A file of alerts, one JSON object on each line; `-` reads standard input. Prints the ids. A line that is
    /// refused is reported by its number, and the other lines are sent.
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
    /// The address of the fleet, like `http://host:7700`.
    #[arg(long, env = "WATCHBELL_URL", value_parser = session_address)]
    pub(crate) url: Option<String>,
    /// The user's token. By default the one that `demo.json` has for `--user`.
    #[arg(long, env = "WATCHBELL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The user whose token in `demo.json` is used. By default `ana`.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Continue after this cursor.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Send the receipt `seen` for every alert that arrives.
    #[arg(long)]
    pub(crate) seen: bool,
    /// Print the frames as they come, one JSON object on each line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit after this many alerts.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<usize>,
    /// The data folder of `watchbell up`.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct WelcomeArgs {
    /// What the printed commands begin with, where `watchbell` runs in a container: `docker compose exec demo`.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) through: Option<String>,
    /// The folder that has the `demo.json` of `watchbell up`, or of `watchbell run simulator demo`.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct TokenArgs {
    /// The user whom the token is for.
    #[arg(long)]
    pub(crate) user: String,
    /// The tenant. By default `auth.default_tenant`, and `demo` for `up`; required if there is neither.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// How long the token is valid, in seconds.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) seconds: u32,
    /// Topics that the token may read: `monitor:7`, `monitor:*` or `*`. Repeat the option, or separate with commas.
    #[arg(long, value_delimiter = ',', value_name = "PATTERN")]
    pub(crate) topics: Vec<String>,
    /// Groups that the user belongs to. Repeat the option, or separate with commas.
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// The data folder of `watchbell up`, used if no secret is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
    /// The data folder of `watchbell up`, used if no store is configured.
    #[arg(long, global = true, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key. It is printed once; only its hash is stored.
    Create {
        /// The tenant for which the key may publish. By default `auth.default_tenant`, and `demo` for `up`.
        #[arg(long)]
        tenant: Option<String>,
        /// A note of what the key is for.
        #[arg(long, default_value = "")]
        name: String,
        /// What the key may be used for: alerts, events, people, read, operations. Repeat the option, or separate with
        /// commas. By default `alerts,events`: the key publishes, and can neither read nor change people.
        #[arg(long, value_delimiter = ',', value_name = "SCOPE", value_parser = scope)]
        scope: Vec<Scope>,
        /// Let the key change and read only alerts that it published itself, instead of any alert of its tenant.
        #[arg(long)]
        own_alerts: bool,
        /// End the key after this time (12h, 90d), ten years (3650d) at the most. By default it works until it is revoked.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Create the key pair (VAPID) for `[webpush]`, with which browsers subscribe.
    Vapid,
    /// List the keys, with their scopes, when they end, and when they were last used.
    List {
        /// Print each key as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Give a key another secret, which is printed once. The secret of before works until the overlap ends.
    Rotate {
        /// The beginning of its id as `list` prints it, at least 8 characters.
        id: String,
        /// How long the secret of before still works (0s, 24h, 7d).
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
        overlap: Duration,
        /// End the key this long from now. By default it ends when it would have ended before.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Revoke a key, with all its secrets.
    Revoke {
        /// The beginning of its id as `list` prints it, at least 8 characters.
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct AuditArgs {
    /// Nothing older than this: a duration (24h, 7d) or a time (2026-11-30T12:00:00Z).
    #[arg(long, value_name = "SINCE")]
    pub(crate) since: Option<String>,
    #[arg(long, help = format!("Only what this one did: {ACTORS}"))]
    pub(crate) actor: Option<String>,
    #[arg(long, help = format!("Only what was done to this: {OBJECTS}"))]
    pub(crate) object: Option<String>,
    /// Only entries of this tenant. By default all, with those of the whole installation.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The greatest number of entries.
    #[arg(long, default_value_t = 100, value_parser = entries)]
    pub(crate) limit: usize,
    /// Print each entry as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// The data folder of `watchbell up`, used if no store is configured.
    #[arg(long, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

fn entries(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| "write a number from 1 to 10000".to_owned())
}

#[derive(Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
    /// The data folder of `watchbell up`, used if no broker is configured.
    #[arg(long, global = true, value_name = "DIR", default_value = "watchbell-data")]
    pub(crate) data: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    /// List the dead letters, one on a line, oldest first.
    List {
        /// The greatest number of letters to list.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// Print one dead letter with its headers and its body.
    Show {
        /// The letter's id as `list` prints it.
        id: String,
    },
    /// Send dead letters back to the queue that they came from. Work that was done already is not repeated.
    Replay(DeadWhich),
    /// Delete dead letters for good.
    Drop(DeadWhich),
}

#[derive(Args)]
pub(crate) struct DeadWhich {
    /// The letters' ids as `list` prints them.
    pub(crate) ids: Vec<String>,
    /// All letters that are there now.
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
    /// Print each exchange and queue with its reason, and the permissions that each worker needs.
    Show,
    /// Declare what is missing. It is harmless to repeat.
    Apply,
    /// Report what is missing, without declaring anything.
    Check,
}

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration, and report which workers it is not enough for.
    Check {
        /// Workers that it has to be enough for. `run` asks the same of it.
        roles: Vec<Role>,
        /// A file with an alert as JSON, or with only its labels: report which `[[route]]` it takes and why.
        #[arg(long, value_name = "FILE")]
        sample: Option<PathBuf>,
        /// The tenant of the sample. By default `auth.default_tenant`, and `demo` for `up`.
        #[arg(long, requires = "sample")]
        tenant: Option<String>,
    },
    /// Print the configuration in effect as TOML. Secrets are printed as `redacted`.
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
        /// The hook: `alertmanager`, `grafana`, …, or the path of a `[[hook]]`.
        name: String,
        /// A file with the payload as JSON; `-` reads standard input.
        file: PathBuf,
        /// The query of the hook's address: `users=ana&policy=critical`.
        #[arg(long, default_value = "", value_name = "QUERY")]
        query: String,
        /// The tenant. By default `auth.default_tenant`, and `demo` for `up`.
        #[arg(long)]
        tenant: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
