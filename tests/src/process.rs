//! The program itself as a child process: its log, its signals, its end.
//!
//! Builds nothing: `cargo build` first, or `tests/run`, which does.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;

use crate::service::Service;
use crate::until::until;

/// How much of the output is kept in memory. The file has all of it.
const LOG_LINES_MAX: usize = 10_000;

/// A running `watchbell`. Dropped, it is killed with -9.
#[derive(Debug)]
pub struct WatchbellProcess {
    process: Service,
    log: Arc<Mutex<VecDeque<String>>>,
    log_file: PathBuf,
}

impl WatchbellProcess {
    /// Runs `watchbell ARGS…` in `dir`, where its output goes to `NAME.log`.
    ///
    /// `env` is all it gets of `WATCHBELL…`: the developer's own variables are taken out.
    ///
    /// # Errors
    /// When there is no binary, or it cannot be started.
    pub fn start(name: &str, dir: &Path, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_program(&binary()?, name, dir, args, env)
    }

    /// [`Self::start`] with another binary, such as that of another version.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_program(
        program: &Path,
        name: &str,
        dir: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        for (key, _) in env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("WATCHBELL")) {
            command.env_remove(key);
        }
        command.current_dir(dir).args(args).envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let log_file = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log_file);
        let file = file.with_context(|| format!("opening {}", log_file.display()))?;

        let mut process = Service::spawn("watchbell", &mut command)?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let child = process.child_mut();
        if let Some(stdout) = child.stdout.take() {
            keep_lines(stdout, Arc::clone(&log), file.try_clone()?);
        }
        if let Some(stderr) = child.stderr.take() {
            keep_lines(stderr, Arc::clone(&log), file);
        }
        Ok(Self { process, log, log_file })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has in memory now, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The last 10,000 lines it wrote, to stdout and stderr alike.
    pub fn log(&self) -> String {
        locked(&self.log).iter().map(|line| format!("{line}\n")).collect()
    }

    /// Everything it wrote.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// Waits for a line that contains `text`, and gives the first one.
    ///
    /// # Errors
    /// After `deadline`, or when the process has ended without it; the log is in the message.
    pub async fn wait_log(&mut self, text: &str, deadline: Duration) -> anyhow::Result<String> {
        let what = format!("watchbell logs {text:?}");
        let (log, process) = (&self.log, &mut self.process);
        let found = until(&what, deadline, async || {
            // Asked before the log is read: what it wrote last still counts.
            let ended = process.try_wait();
            let line = locked(log).iter().find(|line| line.contains(text)).cloned();
            line.map(Ok).or(ended.map(Err))
        });
        match found.await.with_context(|| self.log())? {
            Ok(line) => Ok(line),
            Err(status) => bail!("watchbell ended with {status} and never logged {text:?}:\n{}", self.log()),
        }
    }

    /// kill -9; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGTERM: asks it to drain and leave. [`Self::wait_exit`] waits for that.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Freezes it; its connections stay open.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets a paused one go on.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits for its end and says how it ended.
    ///
    /// # Errors
    /// After `deadline`; the log is in the message.
    pub async fn wait_exit(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let ended = self.process.wait_exit(deadline).await;
        ended.with_context(|| self.log())
    }

    /// How it ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.process.try_wait()
    }
}

/// The binary under test: `WATCHBELL_BIN`, or the one cargo put beside the test's own executable.
///
/// # Errors
/// When it is not there; the message says how to build it.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("WATCHBELL_BIN") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "WATCHBELL_BIN is {}, and there is no file", path.display());
        return Ok(path);
    }
    // Tests run from target/PROFILE/deps, the binary is in target/PROFILE.
    let test = env::current_exe()?;
    let profile = test.ancestors().nth(2).context("the test executable is in no target folder")?;
    let path = profile.join("watchbell");
    ensure!(path.is_file(), "no {}: run `cargo build`, or set WATCHBELL_BIN", path.display());
    Ok(path)
}

/// Copies `from` line by line until its end, on a thread: tests come and go with their runtimes.
fn keep_lines(from: impl Read + Send + 'static, log: Arc<Mutex<VecDeque<String>>>, mut file: File) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            // A full disk costs the file, not the test.
            let _ = writeln!(file, "{line}");
            let mut log = locked(&log);
            log.push_back(line);
            if log.len() > LOG_LINES_MAX {
                log.pop_front();
            }
        }
    });
}

fn locked(log: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
