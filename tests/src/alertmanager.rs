//! A Prometheus Alertmanager of one's own: the real thing behind `POST /v1/hooks/alertmanager`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::ports;
use crate::service::{Service, log_tail};
use crate::until::until;

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(10);

/// One Alertmanager, alone (no cluster port). Dropped, it is killed; its folder is the caller's.
#[derive(Debug)]
pub struct Alertmanager {
    port: u16,
    process: Service,
}

impl Alertmanager {
    /// Starts it in `dir` with `config`, the YAML of `alertmanager.yml`, and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed or refuses the configuration; the end of its log is in the message.
    pub async fn start(dir: &Path, config: &str) -> anyhow::Result<Self> {
        let port = ports::free()?;
        let file = dir.join("alertmanager.yml");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        let option = |name: &str, value: PathBuf| format!("--{name}={}", value.display());
        let mut command = Command::new("prometheus-alertmanager");
        command
            .current_dir(dir)
            .arg(option("config.file", file))
            .arg(option("storage.path", dir.join("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let log = dir.join("alertmanager.log");
        let mut process = Service::start("alertmanager", &mut command, &log)?;
        let ready = until("Alertmanager listens", START_MAX, async || match process.try_wait() {
            Some(status) => Some(Err(status)),
            None => TcpStream::connect(("127.0.0.1", port)).await.ok().map(Ok),
        });
        let ready = ready.await.with_context(|| log_tail(&log))?;
        ensure!(ready.is_ok(), "Alertmanager ended at once; {}", log_tail(&log));
        Ok(Self { port, process })
    }

    /// Its base URL, for its API and for Prometheus.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs `amtool` with `args` against it (`["alert", "add", "DiskFull", "severity=critical"]`)
    /// and gives its output.
    ///
    /// # Errors
    /// When it fails; the message has what it printed.
    pub async fn amtool(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut amtool = Command::new("amtool");
        amtool.arg(format!("--alertmanager.url={}", self.url())).args(args);
        let output = tokio::task::spawn_blocking(move || amtool.output()).await??;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "amtool {}: {complained}", args.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(Signal::TERM, STOP_MAX).await
    }
}
