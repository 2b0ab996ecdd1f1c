//! The commands about people, groups, devices and alerts, and their arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use crate::cli_producer::ProducerArgs;

/// How many are listed, and how.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// The greatest number to list.
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) limit: u64,
    /// Print one JSON object on each line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// List users, one on a line.
    List {
        /// Only users whose id begins so.
        #[arg(long)]
        prefix: Option<String>,
        /// Only members of this group.
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Print a user: addresses, groups, devices.
    Show {
        /// The user.
        user: String,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Erase a user: everything about them, everywhere. Prints a receipt.
    Erase {
        /// The user.
        user: String,
        /// Really erase. It cannot be undone.
        #[arg(long)]
        yes: bool,
        /// Print the receipt as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write everything that is kept about a user, one JSON object on each line. Push tokens are not part of it.
    Export {
        /// The user.
        user: String,
        /// The file to write, which must not exist. By default, standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct DeviceArgs {
    #[command(subcommand)]
    pub(crate) command: DeviceCommand,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
}

#[derive(Subcommand)]
pub(crate) enum DeviceCommand {
    /// List a user's devices, one on a line.
    List {
        /// The user.
        user: String,
        /// Print one JSON object on each line.
        #[arg(long)]
        json: bool,
    },
    /// Take a user's device out: nothing is pushed to it any more.
    Remove {
        /// The user.
        user: String,
        /// The device as `list` prints it.
        #[arg(required_unless_present = "all")]
        device: Option<String>,
        /// All devices of the user.
        #[arg(long, conflicts_with = "device")]
        all: bool,
    },
}

#[derive(Args)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
}

#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups that somebody is in, one on a line.
    List {
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the members of a group, one on a line.
    Show {
        /// The group.
        group: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Take everybody out of a group, and so the group away.
    Delete {
        /// The group.
        group: String,
        /// Really delete it.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct AlertArgs {
    #[command(subcommand)]
    pub(crate) command: AlertCommand,
    #[command(flatten)]
    pub(crate) producer: ProducerArgs,
}

#[derive(Subcommand)]
pub(crate) enum AlertCommand {
    /// List alerts, newest first, one on a line. All options have to hold.
    List {
        /// Only alerts in this user's inbox, by their last change there.
        #[arg(long)]
        user: Option<String>,
        /// Only alerts that are firing, acknowledged, suppressed or resolved now.
        #[arg(long)]
        status: Option<String>,
        /// Only alerts that are info, warning or critical now.
        #[arg(long)]
        severity: Option<String>,
        /// Only alerts of this source.
        #[arg(long)]
        source: Option<String>,
        /// Only alerts with this label, such as `env=prod`.
        #[arg(long)]
        label: Option<String>,
        /// Only alerts recorded since then: a duration (1h, 7d) or a time (2026-11-30T12:00:00Z).
        #[arg(long, value_name = "SINCE")]
        since: Option<String>,
        /// Only alerts recorded up to then: a duration or a time.
        #[arg(long, value_name = "UNTIL")]
        until: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}
