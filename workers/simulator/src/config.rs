//! `[simulator]`: where it listens when it is a process of its own.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::SimulatorConfig;

/// `[simulator]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorSection {
    /// Its page and JSON.
    pub listen: SocketAddr,
    /// In place of Apple and Google (TLS).
    pub push_listen: SocketAddr,
    /// In place of the mail relay.
    pub smtp_listen: SocketAddr,
    /// Where it keeps its keys and certificates.
    pub dir: PathBuf,
    /// The name others reach it by.
    pub host: String,
}

impl Default for SimulatorSection {
    fn default() -> Self {
        Self {
            listen: local(7701),
            push_listen: local(7702),
            smtp_listen: local(7703),
            dir: "watchbell-data/simulator".into(),
            host: "localhost".into(),
        }
    }
}

impl SimulatorSection {
    /// What [`crate::Simulator::bind`] needs. Its sandbox is for tests that start it themselves: here both environments
    /// share one listener.
    pub fn as_a_process(&self) -> SimulatorConfig {
        SimulatorConfig {
            listen: self.listen,
            push_listen: self.push_listen,
            smtp_listen: self.smtp_listen,
            state_dir: Some(self.dir.clone()),
            public_host: self.host.clone(),
            ..SimulatorConfig::default()
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
