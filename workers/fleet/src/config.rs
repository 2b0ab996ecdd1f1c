//! All of the configuration: what workers share, and the section of each worker, which is that worker's.
//!
//! What several sections have to agree on is checked here.

use std::{fmt, path::Path, time::Duration};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use watchbell::runtime::config::{Config, Sources};
use watchbell_dispatch::DispatchConfig;
use watchbell_fallback::{ChannelSections, FallbackConfig};
use watchbell_ingest::{HookConfig, IngestConfig, RouteConfig, check_hooks};
use watchbell_simulator::SimulatorSection;
use watchbell_socket::{MountConfig, SocketConfig, check_mounts};

use crate::{console::OperationsSection, oidc::config::ConsoleSection};

/// What moving the last sessions and answering the last requests may take after the drain.
const LEAVE_MARGIN: Duration = Duration::from_secs(12);

/// Everything, checked. Made once, in `main`; trusted after.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct FleetConfig {
    /// What several workers share.
    #[serde(flatten)]
    pub(crate) shared: Config,
    /// The channels by which `fallback` tells people.
    #[serde(flatten)]
    pub(crate) channels: ChannelSections,
    /// The `ingest` worker, which takes alerts from producers over HTTP.
    pub(crate) ingest: IngestConfig,
    /// Other products' alerts, read by expressions.
    pub(crate) hook: Vec<HookConfig>,
    /// Whom the alerts of hooks are for, by their labels. The first that matches decides.
    pub(crate) route: Vec<RouteConfig>,
    /// The `dispatch` worker, which records alerts in inboxes.
    pub(crate) dispatch: DispatchConfig,
    /// The `socket` worker, which holds the sessions of users.
    pub(crate) socket: SocketConfig,
    /// Streams under a team's existing addresses.
    pub(crate) mount: Vec<MountConfig>,
    /// The `fallback` worker, which tells by push and email what nobody looked at.
    pub(crate) fallback: FallbackConfig,
    /// The stand-in for all providers.
    pub(crate) simulator: SimulatorSection,
    /// Who operates this installation.
    pub(crate) operations: OperationsSection,
    /// The operators' console.
    pub(crate) console: ConsoleSection,
    /// Variables that may be misspelt ones of ours, in words: for whoever starts it.
    #[serde(skip)]
    pub(crate) passed_over: Vec<String>,
}

impl FleetConfig {
    /// Reads `file` (or `watchbell.toml` here, when there is one) and the environment given as pairs.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub(crate) fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let config = Self::read(file, env)?;
        config.check()?;
        Ok(config)
    }

    /// Whether somebody wrote `log.filter`, and so wants to read what is logged.
    ///
    /// # Errors
    /// As of [`Self::load`], where a file cannot be read or is no TOML.
    pub(crate) fn chooses_logs(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<bool> {
        #[derive(Default, Deserialize)]
        struct Written {
            filter: Option<String>,
        }
        let written: Written = Sources::open(file, env)?.take("log")?;
        Ok(written.filter.is_some())
    }

    /// Whether anything in it is for workers that run by themselves.
    pub(crate) fn is_for_a_fleet(&self) -> bool {
        self.shared.store.url.is_some() || self.shared.broker.url.is_some()
    }

    fn read(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut sources = Sources::open(file, env)?;
        let mut config = Self {
            shared: Config::read(&mut sources)?,
            channels: ChannelSections::read(&mut sources)?,
            ingest: sources.take("ingest")?,
            hook: sources.take("hook")?,
            route: sources.take("route")?,
            dispatch: sources.take("dispatch")?,
            socket: sources.take("socket")?,
            mount: sources.take("mount")?,
            fallback: sources.take("fallback")?,
            simulator: sources.take("simulator")?,
            operations: sources.take("operations")?,
            console: sources.take("console")?,
            passed_over: Vec::new(),
        };
        config.passed_over = sources.finish()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        self.shared.check()?;
        self.channels.check()?;
        self.ingest.check()?;
        check_hooks(&self.hook)?;
        self.dispatch.check()?;
        self.socket.check()?;
        check_mounts(&self.mount)?;
        self.fallback.check()?;
        self.operations.tenant()?;
        self.console.oidc()?;
        self.check_grace()
    }

    /// Whoever is killed while it leaves hands nothing over (I10).
    fn check_grace(&self) -> anyhow::Result<()> {
        let sessions = self.shared.http.leave_wait + self.socket.drain_window;
        let tracing = &self.shared.tracing;
        let flush = tracing.endpoint.as_ref().map_or(Duration::ZERO, |_| tracing.flush_timeout);
        let leaving = sessions.max(self.fallback.drain_timeout) + LEAVE_MARGIN + flush;
        ensure!(
            leaving <= self.shared.http.grace_period,
            "http.grace_period must be at least {}s: http.leave_wait and socket.drain_window, or \
             fallback.drain_timeout, and then {}s to end",
            leaving.as_secs_f64().ceil(),
            (LEAVE_MARGIN + flush).as_secs_f64().ceil()
        );
        Ok(())
    }
}

/// Everything that holds, as TOML, as `watchbell config show` prints it. Secrets print as `redacted`; what is not set and
/// has no default is left out.
impl fmt::Display for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod texts_tests;
