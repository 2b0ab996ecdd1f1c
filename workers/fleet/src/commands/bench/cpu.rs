//! The processor time that a flood takes, by process: where the cost of an alert goes.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;

use crate::cli_bench::NamedProcess;

/// Ticks of `/proc/PID/stat` in a second: Linux shows programs 100, whatever the kernel counts with.
const TICKS_PER_S: u64 = 100;

/// The processor time so far of each process and of everything below it.
pub(super) fn spent(processes: &[NamedProcess]) -> anyhow::Result<Vec<Duration>> {
    let all = all_processes(Path::new("/proc"))?;
    let of = |process: &NamedProcess| {
        let own = all.contains_key(&process.pid);
        own.then(|| below(&all, process.pid))
            .with_context(|| format!("the process {} of {} cannot be looked at", process.pid, process.name))
    };
    processes.iter().map(of).collect()
}

/// Of one process, with what its ended children took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    spent: Duration,
}

fn all_processes(proc: &Path) -> anyhow::Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is none.
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        all.extend(stat(&text).map(|stat| (pid, stat)));
    }
    Ok(all)
}

/// `proc_pid_stat(5)`: the fields after the name, which is in parentheses and may have any character.
fn stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let (parent, ticks) = (number(4)?, number(14)? + number(15)? + number(16)? + number(17)?);
    Some(Stat {
        parent: u32::try_from(parent).ok()?,
        spent: Duration::from_millis(ticks * 1_000 / TICKS_PER_S),
    })
}

fn below(all: &BTreeMap<u32, Stat>, pid: u32) -> Duration {
    let own = all.get(&pid).map(|stat| stat.spent).unwrap_or_default();
    let children = all.iter().filter(|(_, stat)| stat.parent == pid);
    children.fold(own, |sum, (child, _)| sum + below(all, *child))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_process_and_of_all_below_it() {
        let line = |name: &str, parent: u32, ticks: [u32; 4]| {
            let [user, system, ended_user, ended_system] = ticks;
            format!(
                "1 ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {user} {system} {ended_user} {ended_system} 20 0"
            )
        };
        let all: BTreeMap<u32, Stat> = [
            (10, line("postgres", 1, [100, 50, 20, 30])),
            (11, line("a ) name", 10, [10, 0, 0, 0])),
            (12, line("below it", 11, [1, 0, 0, 0])),
            (20, line("another", 1, [900, 0, 0, 0])),
        ]
        .into_iter()
        .map(|(pid, text)| (pid, stat(&text).unwrap()))
        .collect();
        assert_eq!(below(&all, 10), Duration::from_millis(2_110));
        assert_eq!(stat("no stat"), None);
    }

    #[test]
    fn our_own_time_is_read() {
        let spent = spent(&[NamedProcess::new("self", std::process::id())]).unwrap();
        assert_eq!(spent.len(), 1);
        assert!(super::spent(&[NamedProcess::new("nobody", u32::MAX)]).is_err());
    }
}
