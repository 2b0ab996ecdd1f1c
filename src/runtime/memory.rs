//! How much memory a process may spend on what others send it, from the limit of its container.
//!
//! What holds here:
//! - A worker is handed its budgets; it reads no limit itself. [`MemoryBudgets::within`] is a pure function, so that a test
//!   can be any container, and the limits in the deployment files are held to it.
//! - Budgets are shares of the limit, because the rest of a process grows with them: a body is held once as it came, and
//!   again as what was read from it. Without a limit, and from [`FULL_LIMIT_BYTES`] on, they are what they are at most.
//! - They have a floor, below which nothing sensible is accepted: a container should have [`LIMIT_BYTES_MIN`] at least.

use std::{fs, path::Path};

const MIB: u64 = 1024 * 1024;

/// The smallest limit that a container should have: the budgets' floors and the process itself fit into it.
pub const LIMIT_BYTES_MIN: u64 = 128 * MIB;

/// From this limit on no budget grows any more.
pub const FULL_LIMIT_BYTES: u64 = 2048 * MIB;

/// One over this means no limit: version 1 of control groups writes the largest number of pages there is.
const LIMIT_BYTES_BELIEVED_MAX: u64 = 1 << 50;

/// What a process may hold of each kind, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudgets {
    /// Bodies of requests that are being read or worked on, of all requests together.
    pub bodies: usize,
    /// Deliveries that a worker has taken from a queue and not settled, as the broker sent them.
    pub deliveries: usize,
    /// Snapshots and pages on their way to clients, of all answers together.
    pub answers: usize,
}

/// How one budget follows from the limit.
struct Share {
    /// One part of so many.
    divisor: u64,
    min: u64,
    max: u64,
}

impl Share {
    /// The largest body is 8 MiB, and one producer gets half of what there is. What is read from a body takes about three
    /// times as much as the body itself.
    const BODIES: Self = Self { divisor: 8, min: 16 * MIB, max: 256 * MIB };
    /// An alert is held as it came and as what was read from it.
    const DELIVERIES: Self = Self { divisor: 4, min: 16 * MIB, max: 256 * MIB };
    /// A page is read from the store and written as JSON.
    const ANSWERS: Self = Self { divisor: 8, min: 16 * MIB, max: 256 * MIB };

    fn of(&self, limit: Option<u64>) -> usize {
        let bytes = limit.map_or(self.max, |limit| (limit / self.divisor).clamp(self.min, self.max));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl MemoryBudgets {
    /// Those of a container with this limit in bytes.
    pub fn within(limit: Option<u64>) -> Self {
        Self {
            bodies: Share::BODIES.of(limit),
            deliveries: Share::DELIVERIES.of(limit),
            answers: Share::ANSWERS.of(limit),
        }
    }

    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self::within(limit_of_this_process())
    }
}

impl Default for MemoryBudgets {
    /// Those of a process without a limit.
    fn default() -> Self {
        Self::within(None)
    }
}

/// The limit of the control group that this process is in, or of one above it; `None` without one.
pub fn limit_of_this_process() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_in(&groups, |file| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok())
}

/// The smallest limit along the paths in `groups`, the text of `/proc/self/cgroup`
/// (<https://docs.kernel.org/admin-guide/cgroup-v2.html>). A container sees its own group at the root.
fn limit_in(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut smallest = None;
    for line in groups.lines() {
        // `number:controllers:path`; version 2 is number 0 and names no controllers.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (folder, file) = match controllers {
            "" => ("", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => ("memory/", "memory.limit_in_bytes"),
            _ => continue,
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = read(&format!("{folder}{}", group.join(file).display()));
            let limit = limit.and_then(|text| text.trim().parse().ok());
            let limit = limit.filter(|limit| *limit <= LIMIT_BYTES_BELIEVED_MAX);
            smallest = [smallest, limit].into_iter().flatten().min();
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn budgets_are_shares_of_the_limit_between_a_floor_and_what_they_are_without_one() {
        let mib = |bytes: usize| bytes as u64 / MIB;
        for (why, limit, expected) in [
            ("no limit", None, (256, 256, 256)),
            ("a pod of ingest", Some(256), (32, 64, 32)),
            ("a pod of dispatch", Some(512), (64, 128, 64)),
            ("a pod of socket", Some(2048), (256, 256, 256)),
            ("more than is of use", Some(64 * 1024), (256, 256, 256)),
            ("the smallest that is sensible", Some(128), (16, 32, 16)),
            ("less than is sensible", Some(8), (16, 16, 16)),
        ] {
            let budgets = MemoryBudgets::within(limit.map(|limit: u64| limit * MIB));
            let found = (mib(budgets.bodies), mib(budgets.deliveries), mib(budgets.answers));
            assert_eq!(found, expected, "{why}");
        }
        assert_eq!(MemoryBudgets::within(Some(FULL_LIMIT_BYTES)), MemoryBudgets::default());
    }

    #[test]
    fn what_is_held_fits_into_every_sensible_limit() {
        for limit in (LIMIT_BYTES_MIN / MIB)..=(FULL_LIMIT_BYTES / MIB) {
            let budgets = MemoryBudgets::within(Some(limit * MIB));
            let all = budgets.bodies + budgets.deliveries + budgets.answers;
            assert!(all as u64 <= limit * MIB / 2, "{limit} MiB: the other half is for what is made of them");
        }
    }

    #[test]
    fn the_limit_is_the_smallest_of_the_group_and_those_above_it() {
        let v1 = "5:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n";
        for (why, groups, files, expected) in [
            ("a container of version 2", "0::/\n", &[("memory.max", "268435456\n")][..], Some(256 * MIB)),
            ("no limit", "0::/\n", &[("memory.max", "max\n")], None),
            ("the group's own", "0::/a/b\n", &[("a/b/memory.max", "7"), ("a/memory.max", "max")], Some(7)),
            ("one above", "0::/a/b\n", &[("a/b/memory.max", "7"), ("a/memory.max", "5")], Some(5)),
            ("version 1", v1, &[("memory/docker/a/memory.limit_in_bytes", "9")], Some(9)),
            ("its container", v1, &[("memory/memory.limit_in_bytes", "9")], Some(9)),
            ("and none", v1, &[("memory/memory.limit_in_bytes", "9223372036854771712")], None),
            ("no control groups at all", "", &[("memory.max", "1")], None),
            ("a line of another form", "nonsense\n0::/\n", &[("memory.max", "3")], Some(3)),
        ] {
            let files: HashMap<_, _> = files.iter().copied().collect();
            let found = limit_in(groups, |file| files.get(file).map(|text| (*text).to_owned()));
            assert_eq!(found, expected, "{why}");
        }
    }
}
