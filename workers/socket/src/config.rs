//! `[socket]` and `[[mount]]`: sessions, and our streams under other addresses.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::alert::bounds::ALERT_BYTES_MAX,
    runtime::{
        config::{
            checks::{origin, within},
            values::duration,
        },
        http::ShareBounds,
    },
};

/// Sessions of one process: more than any has files.
const SESSIONS_MAX: usize = 10_000_000;
/// More than a pod can take, or move, in its time.
const RATE_MAX: u32 = 1_000_000;

/// A client's first message has its token in it, which may have 8 KiB.
const MESSAGE_BYTES_MIN: u32 = 12 * 1024;
/// The longest message a pod should gather for anybody.
const MESSAGE_BYTES_MAX: u32 = 1024 * 1024;
/// Bounds of `socket.rebalance_every`: time for sessions to move, and not so seldom that it is no help.
const REBALANCE_EVERY: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(60 * 60);
/// What may wait for one session.
const BACKLOG_FRAMES_MAX: usize = 100_000;
const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest alert, with what a frame adds.
const BACKLOG_BYTES_MIN: usize = 2 * ALERT_BYTES_MAX;

/// `[socket]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SocketConfig {
    /// How often a session is pinged, give or take a fifth.
    #[serde(with = "duration")]
    pub ping_every: Duration,
    /// How long a session may take to authenticate.
    #[serde(with = "duration")]
    pub auth_timeout: Duration,
    /// Over how long clients are asked to leave after SIGTERM.
    #[serde(with = "duration")]
    pub drain_window: Duration,
    /// Sessions of this process at the most; more are refused with 503.
    pub sessions_max: usize,
    /// Sessions of one user on this pod at the most.
    pub sessions_per_user_max: usize,
    /// Sessions from one public address (of version 6, one /64) on this pod at the most; 0: any number.
    pub sessions_per_address_max: usize,
    /// The same for a loopback or private address, which is a proxy more often than a person (see `http.trusted_proxies`).
    pub sessions_per_private_address_max: usize,
    /// WebSockets that have not said who they are, at once. One more closes the one that has waited longest.
    pub unsigned_max: usize,
    /// How many of them one public address may have; 0: any number. A loopback or private address may have half of all.
    pub unsigned_per_address_max: usize,
    /// Polls that wait at once; more are refused with 503.
    pub polls_max: usize,
    /// Sessions that begin each second at the most; more wait their turn.
    pub accepts_per_second: u32,
    /// Messages a client may send each second, on average.
    pub messages_per_second: u32,
    /// Bytes of one message of a client at the most; a longer one ends its session.
    pub message_bytes_max: u32,
    /// Frames that wait for one session at the most; beyond it they are dropped, and it is told once to fetch its inbox.
    pub backlog_frames_max: usize,
    /// The same in bytes.
    pub backlog_bytes_max: usize,
    /// How long a client may take nothing of what is written before its session ends as slow.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How old a session gets before it is asked to connect anew, give or take a fifth, so that load spreads again.
    #[serde(with = "duration")]
    pub age_max: Duration,
    /// How often pods compare how many sessions they hold; one that holds more than its share asks some to move. `0s`:
    /// never.
    #[serde(with = "duration")]
    pub rebalance_every: Duration,
    /// How far a pod may be from its share before sessions move, in percent of it.
    pub rebalance_band_percent: u32,
    /// The same in sessions, for small fleets: the larger of both holds.
    pub rebalance_sessions_min: u32,
    /// Sessions that one pod asks to move each minute at the most.
    pub rebalance_per_minute_max: u32,
    /// Web pages that may connect, as origins (`https://app.example.com`). Empty: only pages of this same host.
    pub allowed_origins: Vec<String>,
}

impl SocketConfig {
    /// Sessions of one address at the most.
    pub(crate) fn session_share(&self) -> ShareBounds {
        ShareBounds {
            public_max: self.sessions_per_address_max,
            private_max: self.sessions_per_private_address_max,
        }
    }

    /// Sockets of one address that have not said who they are.
    pub(crate) fn unsigned_share(&self) -> ShareBounds {
        ShareBounds { public_max: self.unsigned_per_address_max, private_max: self.unsigned_max / 2 }
    }

    /// Whether it holds together.
    ///
    /// # Errors
    /// Names the key and says what is accepted.
    pub fn check(&self) -> anyhow::Result<()> {
        let (ms, minutes) = (Duration::from_millis, |n: u64| Duration::from_secs(n * 60));
        within("socket.ping_every", self.ping_every, ms(100)..=minutes(60))?;
        within("socket.auth_timeout", self.auth_timeout, ms(100)..=minutes(5))?;
        within("socket.write_timeout", self.write_timeout, ms(100)..=minutes(10))?;
        within("socket.age_max", self.age_max, ms(1_000)..=minutes(30 * 24 * 60))?;
        within("socket.sessions_max", self.sessions_max, 1..=SESSIONS_MAX)?;
        within("socket.sessions_per_user_max", self.sessions_per_user_max, 1..=SESSIONS_MAX)?;
        for (key, number) in [
            ("socket.sessions_per_address_max", self.sessions_per_address_max),
            ("socket.sessions_per_private_address_max", self.sessions_per_private_address_max),
            ("socket.unsigned_per_address_max", self.unsigned_per_address_max),
        ] {
            within(key, number, 0..=SESSIONS_MAX)?;
        }
        within("socket.unsigned_max", self.unsigned_max, 2..=SESSIONS_MAX)?;
        within("socket.polls_max", self.polls_max, 1..=SESSIONS_MAX)?;
        within("socket.accepts_per_second", self.accepts_per_second, 1..=RATE_MAX)?;
        within("socket.messages_per_second", self.messages_per_second, 1..=RATE_MAX)?;
        // A token has to fit.
        within("socket.message_bytes_max", self.message_bytes_max, MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX)?;
        within("socket.backlog_frames_max", self.backlog_frames_max, 1..=BACKLOG_FRAMES_MAX)?;
        // The longest alert has to fit.
        within("socket.backlog_bytes_max", self.backlog_bytes_max, BACKLOG_BYTES_MIN..=BACKLOG_BYTES_MAX)?;
        for (at, text) in self.allowed_origins.iter().enumerate() {
            origin(format!("socket.allowed_origins[{at}]"), text)?;
        }
        ensure!(
            self.rebalance_every.is_zero() || REBALANCE_EVERY.contains(&self.rebalance_every),
            "socket.rebalance_every must be 0s (never) or 2s to 1h"
        );
        within("socket.rebalance_band_percent", self.rebalance_band_percent, 1..=100)?;
        within("socket.rebalance_sessions_min", self.rebalance_sessions_min, 1..=RATE_MAX)?;
        within("socket.rebalance_per_minute_max", self.rebalance_per_minute_max, 1..=RATE_MAX)
    }
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(25),
            auth_timeout: Duration::from_secs(5),
            drain_window: Duration::from_secs(20),
            sessions_max: 50_000,
            sessions_per_user_max: 20,
            sessions_per_address_max: 10,
            sessions_per_private_address_max: 20_000,
            unsigned_max: 4_096,
            unsigned_per_address_max: 32,
            polls_max: 8_192,
            accepts_per_second: 2_000,
            messages_per_second: 10,
            message_bytes_max: 16 * 1024,
            backlog_frames_max: 256,
            backlog_bytes_max: 256 * 1024,
            write_timeout: Duration::from_secs(10),
            age_max: Duration::from_secs(45 * 60),
            rebalance_every: Duration::from_secs(30),
            rebalance_band_percent: 10,
            rebalance_sessions_min: 50,
            rebalance_per_minute_max: 3_000,
            allowed_origins: Vec::new(),
        }
    }
}

/// `[[mount]]`: one of our streams under another address, so that clients a team has already need not change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountConfig {
    /// The address, with parameters in braces: `/api/v1/ws/{monitor_id}`.
    pub path: String,
    /// Topics that whoever connects there is subscribed to. Parameters are filled in: `monitor:{monitor_id}`.
    #[serde(default)]
    pub topics: Vec<String>,
    /// What goes out there.
    #[serde(default)]
    pub shape: MountShape,
}

/// What goes out at a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountShape {
    /// Frames of `watchbell.v1`, over WebSocket or SSE.
    #[default]
    Frames,
    /// Only the topics' events, each as it was published, over WebSocket or SSE.
    Bare,
    /// The topics' kept events as one JSON array; `?limit=`.
    History,
}

/// What our own addresses begin with, up to the second slash: a mount there would be in the way of one, now or in a later version.
pub const OWN_BEGINNINGS: [&str; 15] = [
    "",
    "v1",
    "docs",
    "console",
    "operations",
    "simulator",
    "demo",
    "demo.json",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
    "asyncapi.json",
    "favicon.ico",
    "push-worker.js",
];

/// Checks every mount, and that no two are one address.
///
/// # Errors
/// Names the mount.
pub fn check_mounts(mounts: &[MountConfig]) -> anyhow::Result<()> {
    for (at, mount) in mounts.iter().enumerate() {
        mount.check().with_context(|| format!("mount {}", mount.path))?;
        let is_there = mounts[..at].iter().any(|other| other.shape_of_path() == mount.shape_of_path());
        ensure!(!is_there, "mount {}: there is another one at this address", mount.path);
    }
    Ok(())
}

impl MountConfig {
    /// The path without the parameters' names, which tell no addresses apart.
    fn shape_of_path(&self) -> Vec<&str> {
        self.path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect()
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.path.starts_with('/'), "path must begin with /");
        let beginning = self.path.split('/').nth(1).unwrap_or_default();
        ensure!(
            !OWN_BEGINNINGS.contains(&beginning),
            "path must not begin with /{beginning}, where Watchbell has addresses of its own: \
             choose another beginning, such as /ws/"
        );
        for segment in self.path.split('/').skip(1) {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(segment);
            let is_plain = !name.contains(['{', '}']) && !name.starts_with([':', '*']);
            let is_named = !segment.starts_with('{') || !name.is_empty();
            ensure!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@{}".contains(&byte)),
                "path must have letters, digits and - . _ ~ between its slashes: clients ask for nothing else as it is written"
            );
            ensure!(
                is_plain && is_named,
                "path must have each parameter alone between slashes, as in /ws/{{id}}"
            );
        }
        let in_braces = |text: &str| -> Vec<String> {
            text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
        };
        let parameters = in_braces(&self.path);
        for name in self.topics.iter().flat_map(|topic| in_braces(topic)) {
            ensure!(parameters.contains(&name), "topics names {{{name}}}, which is no parameter of the path");
        }
        ensure!(
            self.shape == MountShape::Frames || !self.topics.is_empty(),
            "topics must name at least one topic: this shape shows nothing else"
        );
        Ok(())
    }
}
