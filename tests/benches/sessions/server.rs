//! The fleet that is measured.

use std::{fs, time::Duration};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use watchbell::{
    domain::{Secret, TopicPattern, UserId, UserKey},
    runtime::config::AuthConfig,
};
use watchbell_socket::token::{Grants, NewToken};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use super::client::PATIENCE;

/// Where the server runs, and where its clients do.
pub const SERVER_CORE: usize = 0;
pub const CLIENT_CORE: usize = 1;
/// What every session here subscribes to.
pub const TOPIC: &str = "bench";
/// What those also subscribe to who never read.
pub const STUFFED: &str = "bench-stuffed";
/// A limit that is none.
const ANY: &str = "1000000";
/// Escalations are not what this is about.
const WAITS_MS: (u64, u64) = (3_600_000, 3_600_000);

/// Keeps this process, all its threads to come and its children on one core.
pub fn stay_on_core(core: usize) -> anyhow::Result<()> {
    let mut only = rustix::thread::CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only).context("choosing a core")
}

/// Starts a fleet on the server's core, where sessions begin as fast as they can.
pub async fn start(engine: Engine) -> anyhow::Result<Fleet> {
    rationed(engine, ANY).await
}

/// The same, with so many that may begin a second.
pub async fn rationed(engine: Engine, accepts_per_second: &str) -> anyhow::Result<Fleet> {
    let env = [
        ("WATCHBELL__SOCKET__ACCEPTS_PER_SECOND", accepts_per_second),
        ("WATCHBELL__SOCKET__SESSIONS_PER_USER_MAX", ANY),
        ("WATCHBELL__SOCKET__SESSIONS_PER_PRIVATE_ADDRESS_MAX", "0"),
        ("WATCHBELL__SOCKET__UNSIGNED_MAX", ANY),
        ("WATCHBELL__HTTP__CONNECTIONS_PER_PRIVATE_ADDRESS_MAX", "0"),
        ("WATCHBELL__LOG__FILTER", "warn"),
    ];
    stay_on_core(SERVER_CORE)?;
    let fleet = Fleet::start(engine, WAITS_MS, &env).await;
    stay_on_core(CLIENT_CORE)?;
    fleet
}

/// Where a pod is, as `host:port`.
pub fn address(fleet: &Fleet, pod: &str) -> anyhow::Result<String> {
    Ok(fleet.url(pod)?.trim_start_matches("http://").to_owned())
}

/// A token for each of so many users.
pub fn tokens(fleet: &Fleet, count: usize) -> anyhow::Result<Vec<String>> {
    let secret = Secret::from(fleet.secret().to_owned());
    let now = Timestamp::now();
    let grants = Grants { topics: [TopicPattern::parse("bench*")?].into(), groups: Box::default() };
    let token = |number| {
        let user = UserKey::new(fleet.tenant().clone(), UserId::parse(format!("bench-{number}"))?);
        let expires_at = now + SignedDuration::from_hours(2);
        NewToken { user: &user, issued_at: now, expires_at, grants: &grants }
            .sign(&secret, &AuthConfig::default())
    };
    (0..count).map(token).collect()
}

/// Publishes one event to everybody who subscribed.
pub async fn publish(fleet: &Fleet, topic: &str, mark: &str, padding: usize) -> anyhow::Result<()> {
    let event = json!({"type": "tick", "data": {"mark": mark, "padding": "x".repeat(padding)}});
    let path = format!("/v1/topics/{topic}/events");
    let (status, answer) = fleet.producer(reqwest::Method::POST, &path, Some(&event)).await?;
    anyhow::ensure!(status == 202, "answered {status}: {answer}");
    Ok(())
}

/// A process's resident memory in bytes, once two looks a tenth of a second apart agree within 64 KiB, ten times.
pub async fn resident(pid: u32) -> anyhow::Result<u64> {
    let mut looks = Vec::new();
    let level = until("the memory to be level", PATIENCE, async || {
        looks.push(resident_now(pid).unwrap_or_default());
        let last = looks.rchunks(50).next()?;
        let (least, most) = (last.iter().min()?, last.iter().max()?);
        (last.len() == 50 && most - least <= 64 * 1024).then_some(*most)
    });
    level.await
}

pub fn resident_now(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// The processor time that a process has used, all its threads together.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut spent = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // Nanoseconds on a processor, then two more numbers: proc(5).
        let times = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds = times.split(' ').next().context("no schedstat")?.parse()?;
        spent += Duration::from_nanos(nanoseconds);
    }
    Ok(spent)
}

/// What a counter without labels is at.
pub async fn counted(fleet: &Fleet, name: &str) -> anyhow::Result<u64> {
    let metrics = fleet.http().get(format!("{}/metrics", fleet.url("up")?)).send().await?.text().await?;
    let counter = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    counter.map_or(Ok(0), |value| Ok(value.trim().parse()?))
}
