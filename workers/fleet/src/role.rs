//! The workers that a process may run.

use clap::ValueEnum;
use watchbell::runtime::health;

/// A worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Serves HTTP to producers.
    Ingest,
    /// Records alerts in inboxes.
    Dispatch,
    /// Holds the sessions of users.
    Socket,
    /// Sends pushes, emails and messages on other channels.
    Fallback,
    /// Stands in for Apple, Google, a mail relay and other providers.
    Simulator,
    /// Serves the demo page of a fleet, with two people, their phones and their mailboxes. It needs `simulator` in the
    /// same process, and is for trying out.
    Demo,
}

impl Role {
    /// As an operator writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Dispatch => "dispatch",
            Self::Socket => "socket",
            Self::Fallback => "fallback",
            Self::Simulator => "simulator",
            Self::Demo => "demo",
        }
    }

    /// The role as readiness sees it; the simulator and the demo page need nothing.
    pub(crate) fn standing(self) -> Option<health::Role> {
        match self {
            Self::Ingest => Some(health::Role::Ingest),
            Self::Dispatch => Some(health::Role::Dispatch),
            Self::Socket => Some(health::Role::Socket),
            Self::Fallback => Some(health::Role::Fallback),
            Self::Simulator | Self::Demo => None,
        }
    }
}
