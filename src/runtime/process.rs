//! What the system says of this process: processor time, memory, threads and open files, under the names that Prometheus'
//! own client libraries give them.
//!
//! Read from Linux' `/proc` when somebody scrapes; elsewhere there is none of it. Written here because the crate for it
//! (`metrics-process`) brings seventeen others into the lock file, most of them for other systems.

use std::{fmt::Write as _, fs, path::Path};

use super::metric::{Kind, Metric};

const CPU: Metric = Metric::counter("process_cpu_seconds_total", "Processor time that this process used.");
const THREADS: Metric = Metric::gauge("process_threads", "Threads of this process.");
const VIRTUAL: Metric = Metric::gauge("process_virtual_memory_bytes", "Address space of this process.");
const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", "Memory that this process has in use.");
const STARTED: Metric =
    Metric::gauge("process_start_time_seconds", "When this process began, in seconds since 1970.");
const OPEN_FILES: Metric =
    Metric::gauge("process_open_fds", "Open files of this process; each connection is one.");
const OPEN_FILES_MAX: Metric = Metric::gauge("process_max_fds", "How many files this process may have open.");

/// What is told of each process.
pub const PROCESS: &[Metric] = &[CPU, THREADS, VIRTUAL, RESIDENT, STARTED, OPEN_FILES, OPEN_FILES_MAX];

/// What `/proc` says of one process.
#[derive(Debug, Clone, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    started_seconds: f64,
}

/// What the kernel counts in.
#[derive(Debug, Clone, Copy)]
struct Units {
    ticks_per_second: f64,
    page_bytes: f64,
}

/// The metrics of this process now, as Prometheus reads them. Empty where the system does not say.
pub(super) fn rendered() -> String {
    let units = Units {
        ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
        page_bytes: rustix::param::page_size() as f64,
    };
    let read = |path: &str| fs::read_to_string(path).ok();
    let mut text = String::new();
    let files = read("/proc/self/stat").zip(read("/proc/stat"));
    let usage = files.and_then(|(process, machine)| usage_of(&process, &machine, units));
    if let Some(usage) = usage {
        write(&mut text, CPU, usage.cpu_seconds);
        write(&mut text, THREADS, usage.threads);
        write(&mut text, VIRTUAL, usage.virtual_bytes);
        write(&mut text, RESIDENT, usage.resident_bytes);
        write(&mut text, STARTED, usage.started_seconds);
    }
    if let Some(open) = open_files(Path::new("/proc/self/fd")) {
        write(&mut text, OPEN_FILES, open as f64);
    }
    if let Some(max) = read("/proc/self/limits").as_deref().and_then(open_files_max) {
        write(&mut text, OPEN_FILES_MAX, max);
    }
    text
}

fn write(text: &mut String, Metric { name, help, kind, .. }: Metric, value: f64) {
    let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
    // Writing to a String cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)) with `/proc/stat`, which says when the machine began.
fn usage_of(process: &str, machine: &str, units: Units) -> Option<Usage> {
    // The second field is the program's name in parentheses, which may hold anything. What follows it begins with field 3.
    let (_, fields) = process.rsplit_once(')')?;
    let fields: Vec<f64> = fields.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let field = |number: usize| fields.get(number - 4).copied();
    let booted: f64 = machine.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(Usage {
        cpu_seconds: (field(14)? + field(15)?) / units.ticks_per_second,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * units.page_bytes,
        started_seconds: booted + field(22)? / units.ticks_per_second,
    })
}

fn open_files(folder: &Path) -> Option<usize> {
    // The folder itself is open while it is read.
    Some(fs::read_dir(folder).ok()?.count().saturating_sub(1))
}

/// The soft limit in `/proc/PID/limits`.
fn open_files_max(limits: &str) -> Option<f64> {
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limit.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read_by_their_fields() {
        // A name with a space and a parenthesis, as anybody may give a program.
        let stat = "42 (watch) bell) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 7 0 1000 1048576 300 18446744073709551615";
        let usage = usage_of(
            stat,
            "cpu 1 2\nbtime 1700000000\n",
            Units { ticks_per_second: 100.0, page_bytes: 4096.0 },
        );
        let expected = Usage {
            cpu_seconds: 2.0,
            threads: 7.0,
            virtual_bytes: 1_048_576.0,
            resident_bytes: 1_228_800.0,
            started_seconds: 1_700_000_010.0,
        };
        assert_eq!(usage, Some(expected));
        assert_eq!(
            usage_of("42 (x) S 1", "btime 1", Units { ticks_per_second: 100.0, page_bytes: 1.0 }),
            None
        );
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let limits = "Limit Soft Limit Hard Limit Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files_max(limits), Some(1024.0));
        assert_eq!(open_files_max("Max open files  unlimited unlimited files"), None, "there is none");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_metric_of_this_process_is_told() {
        let text = rendered();
        for metric in PROCESS {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{} ", metric.name)));
            let value: f64 =
                line.unwrap_or_else(|| panic!("{} is missing: {text}", metric.name)).parse().unwrap();
            assert!(value >= 0.0 && value.is_finite(), "{}: {value}", metric.name);
        }
    }
}
