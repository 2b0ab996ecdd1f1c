//! The arguments of `watchbell bench`.

use clap::{Args, Subcommand, value_parser};

use crate::{cli_producer::ProducerArgs, given_address::session_address};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
    /// Where sessions are opened, like `ws://host:7700`. Repeat the option to spread them over socket pods. By default
    /// the fleet's address.
    #[arg(long, value_name = "URL", value_parser = session_address)]
    pub(crate) ws_url: Vec<String>,
    /// The number of alerts to publish at full speed, in each of three rounds.
    #[arg(long, default_value_t = 5_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) alerts: u32,
    /// The number of users who receive them, each with one session.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) users: u32,
    /// The number of alerts in one request.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) batch: u32,
    /// The number of requests in progress at once.
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    pub(crate) concurrency: u32,
    /// Alerts published a second in the latency parts, one in each request; or a share of the alerts that were delivered a
    /// second at full speed (80%), in requests of --batch.
    #[arg(long, value_name = "RATE,…", value_delimiter = ',', default_value = "500,2000,80%")]
    pub(crate) rate: Vec<Rate>,
    /// The length of each latency part, in seconds.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// The number of idle sessions to open for the memory part, all at the first address; 0 leaves it out.
    #[arg(long, default_value_t = 0, requires = "pid", value_parser = value_parser!(u32).range(0..=250_000))]
    pub(crate) sessions: u32,
    /// The process whose memory is measured: `up`, or the socket pod at the first address.
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Compare with a floor that does the durable work as well, on the broker and the database of the configuration. Its
    /// queue and its tables have names of their own, and are gone afterwards.
    #[arg(long)]
    pub(crate) durable: bool,
    /// A process of the fleet, whose processor time for an alert is told. Repeat the option. What is called `broker` or
    /// `database` counts for the durable floor, too.
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) process: Vec<NamedProcess>,
    /// The HS256 secret of the fleet, to make tokens for the users of the benchmark. By default that of `up`.
    #[arg(long, env = "WATCHBELL__AUTH__HS256_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// The tenant that the key belongs to.
    #[arg(long, default_value = "demo")]
    pub(crate) tenant: String,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How fast alerts are published while their latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// So many a second.
    Fixed(u32),
    /// So many percent of what was delivered a second at full speed.
    Share(u8),
}

/// Alerts a second at the most.
pub(crate) const RATE_MAX: u32 = 200_000;

impl Rate {
    pub(crate) fn fixed(&self) -> Option<u32> {
        match *self {
            Self::Fixed(rate) => Some(rate),
            Self::Share(_) => None,
        }
    }

    pub(crate) fn share(&self) -> Option<u8> {
        match *self {
            Self::Share(percent) => Some(percent),
            Self::Fixed(_) => None,
        }
    }

    /// The most alerts a second that it can come to.
    pub(crate) fn most(&self) -> u32 {
        self.fixed().unwrap_or(RATE_MAX)
    }
}

/// `500` or `80%`.
impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Share)
            }
            None => text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate)).map(Self::Fixed),
        };
        rate.ok_or_else(|| {
            format!("write alerts a second (1 to {RATE_MAX}), or percent of the full speed, as 80%")
        })
    }
}

/// A process by the name that the report gives it, with what it started: a database has a process for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedProcess {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl NamedProcess {
    pub(crate) fn new(name: &str, pid: u32) -> Self {
        Self { name: name.to_owned(), pid }
    }
}

/// `NAME=PID`, as it is given on the command line.
impl std::str::FromStr for NamedProcess {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let process = parts.and_then(|(name, pid)| Some(Self::new(name, pid.parse().ok()?)));
        process.ok_or_else(|| "write NAME=PID, such as ingest=4711".to_owned())
    }
}

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// The bare server that `bench` starts by itself to compare with. It ends with its standard input.
    #[command(hide = true)]
    Floor,
}

#[test]
fn a_rate_is_a_number_or_a_share() {
    for (text, expected) in [
        ("500", Some(Rate::Fixed(500))),
        ("80%", Some(Rate::Share(80))),
        ("0", None),
        ("200001", None),
        ("0%", None),
        ("101%", None),
        ("fast", None),
    ] {
        assert_eq!(text.parse::<Rate>().ok(), expected, "{text}");
    }
}

#[test]
fn a_process_is_named_on_the_command_line() {
    assert_eq!("ingest=42".parse::<NamedProcess>().unwrap(), NamedProcess::new("ingest", 42));
    for text in ["42", "=42", "ingest=", "ingest=x"] {
        assert!(text.parse::<NamedProcess>().is_err(), "{text}");
    }
}
