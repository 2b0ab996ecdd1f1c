//! Bytes a connection: resident memory before and after so many idle sessions, level both times.

use std::{collections::VecDeque, fs, time::Duration};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use super::{session::Session, target::Target};
use crate::output;

/// Sessions that are opened at once, and how often: 1,000 a second at the most.
const OPEN_AT_ONCE: usize = 50;
const OPEN_EVERY: Duration = Duration::from_millis(50);
/// Sessions opened and closed beforehand, so that what is made once is not counted.
const WARM_UP: usize = 64;
/// Memory is level when it stayed within [`LEVEL_BYTES`] for so long.
const LEVEL_FOR: Duration = Duration::from_secs(2);
const LEVEL_BYTES: u64 = 256 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it may take to become level.
const LEVEL_TIMEOUT: Duration = Duration::from_secs(60);
/// Files a process has open beside its sessions.
const OTHER_FILES: u64 = 256;

/// What each of `sessions` idle ones costs the process `pid`, in bytes.
pub(super) async fn per_session(target: &Target, pid: u32, sessions: u32) -> anyhow::Result<f64> {
    for process in ["self", &pid.to_string()] {
        check_room(process, sessions)?;
    }
    let run = format!("{:08x}", rand::random::<u32>());
    drop(open(target, &run, WARM_UP).await?);
    let before = level(pid).await?;
    let mut opened = open(target, &run, sessions as usize).await?;
    let after = level(pid).await?;
    if let Some(ended) = opened.try_join_next() {
        return Err(ended?.context("an idle session has ended"));
    }
    Ok((after as f64 - before as f64) / f64::from(sessions))
}

/// Sessions of as many users, at the target's first address. Dropped, they are closed.
async fn open(target: &Target, run: &str, sessions: usize) -> anyhow::Result<JoinSet<anyhow::Error>> {
    let mut opened = JoinSet::new();
    let mut tick = interval(OPEN_EVERY);
    let users: Vec<usize> = (0..sessions).collect();
    for users in users.chunks(OPEN_AT_ONCE) {
        tick.tick().await;
        let open = async |user: &usize| {
            let token = target.token(&format!("bench-{run}-idle-{user}"))?;
            Session::open(target.ws_url(0), &token).await
        };
        for mut session in try_join_all(users.iter().map(open)).await? {
            opened.spawn(async move { session.read(|_, _| {}).await });
        }
    }
    Ok(opened)
}

/// Resident memory, once it is level.
async fn level(pid: u32) -> anyhow::Result<u64> {
    let looks = (LEVEL_FOR.as_millis() / LOOK_EVERY.as_millis()) as usize;
    let (mut seen, begun) = (VecDeque::with_capacity(looks), Instant::now());
    loop {
        let resident = resident(pid)?;
        if seen.len() == looks {
            seen.pop_front();
        }
        seen.push_back(resident);
        let (least, most) = (seen.iter().min().unwrap_or(&0), seen.iter().max().unwrap_or(&0));
        if seen.len() == looks && most - least <= LEVEL_BYTES {
            return Ok(resident);
        }
        if begun.elapsed() > LEVEL_TIMEOUT {
            output::note(format!("The memory of {pid} did not become level; what it is now counts."));
            return Ok(resident);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// In bytes.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.with_context(|| format!("the process {pid} cannot be looked at"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.with_context(|| format!("the process {pid} has no memory"))? * 1024)
}

/// Whether a process may have that many connections open. `process` is its id, or `self`.
fn check_room(process: &str, sessions: u32) -> anyhow::Result<()> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits"));
    let limits = limits.with_context(|| format!("the process {process} cannot be looked at"))?;
    let Some(files) = files_max(&limits) else {
        bail!("/proc/{process}/limits does not say `Max open files`")
    };
    let fit = files.saturating_sub(OTHER_FILES);
    let whose = if process == "self" { "this process".to_owned() } else { format!("the process {process}") };
    ensure!(
        u64::from(sessions) <= fit,
        "{sessions} sessions do not fit: {whose} may have {files} files open. Start it after `ulimit -n`, or ask for \
         at most {fit} --sessions"
    );
    Ok(())
}

/// The soft limit.
fn files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[test]
fn the_limit_that_holds_is_the_first_of_the_two() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max processes             63479                63479                processes \n\
                  Max open files            1024                 20000                files     \n";
    assert_eq!(files_max(limits), Some(1024));
    assert_eq!(files_max(&limits.replace("1024 ", "unlimited")), Some(u64::MAX));
    assert_eq!(files_max("Max processes 1 1"), None);
}
