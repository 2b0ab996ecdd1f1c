//! One child process of the harness: its own process group, its log in a file, watched by the guard.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::guard;
use crate::until::until;

/// How much of a log's end an error message shows.
const LOG_TAIL_BYTES_MAX: usize = 4096;

/// A running child. Dropped, it is killed with everything it started, and waited for.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Service {
    /// Starts `command` with its output appended to `log`.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        Self::spawn(name, command)
    }

    /// Starts `command` as it is.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).spawn();
        let child = child.with_context(|| {
            let program = command.get_program().display();
            format!("starting {program} (tests/services/install.sh installs the services)")
        })?;
        guard::watch(child.id());
        Ok(Self { name, child, ended: None })
    }

    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the process alone; nothing if it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // It may end at this very moment, which is no error; the number is ours until we wait.
            let _ = kill_process(self.leader(), signal);
        }
    }

    /// Freezes the process; returns when every thread of it stands still. `SIGSTOP` alone does not wait for that:
    /// on a busy machine a thread on another core still answers a request or two.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        while fs::read_dir(&tasks).into_iter().flatten().flatten().any(|task| runs(&task.path())) {
            std::thread::yield_now();
        }
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                guard::forget(self.pid());
            }
        }
        self.ended
    }

    /// Waits for its end.
    pub(crate) async fn wait_exit(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} (pid {}) ends", self.name, self.pid());
        until(&what, deadline, async || self.try_wait()).await
    }

    /// Asks with `signal`, and waits for a clean end.
    pub(crate) async fn stop(&mut self, signal: Signal, deadline: Duration) -> anyhow::Result<()> {
        if self.try_wait().is_some() {
            return Ok(());
        }
        self.signal(signal);
        let status = self.wait_exit(deadline).await?;
        // Erlang and the JVM answer some signals by dying of them, in order.
        if !status.success() && status.signal() != Some(signal.as_raw()) {
            bail!("{} ended with {status} when asked to stop", self.name);
        }
        Ok(())
    }

    /// kill -9 for the process and everything it started; returns when the process is gone.
    pub(crate) fn kill9(&mut self) {
        if self.try_wait().is_some() {
            return;
        }
        // PostgreSQL puts each backend in a session of its own, so the group is not everything.
        let mut below = Vec::new();
        collect_descendants(self.pid(), &mut below);
        let _ = kill_process_group(self.leader(), Signal::KILL);
        for pid in below {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.ended = self.child.wait().ok();
        guard::forget(self.pid());
    }

    fn leader(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Whether a thread, by its folder in `/proc`, is neither stopped nor over.
fn runs(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may itself contain any.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
}

/// The children of `pid`, theirs, and so on, as Linux lists them at this moment, thread by thread.
fn collect_descendants(pid: u32, into: &mut Vec<Pid>) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|raw| raw.parse::<i32>().ok()) {
            into.extend(Pid::from_raw(child));
            collect_descendants(child.unsigned_abs(), into);
        }
    }
}

/// The end of a log file, for an error message.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_TAIL_BYTES_MAX);
    let tail = String::from_utf8_lossy(&text[from..]);
    format!("{} ends with:\n{tail}", log.display())
}
