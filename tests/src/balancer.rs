//! A load balancer of one's own in front of pods: HAProxy or nginx, with exactly the configuration that we recommend.
//! Only addresses are put in place: `workers/socket/balancers` has the files, for four pods.
//!
//! There is also an nginx that nobody told about streams, for what watches balancers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::net::TcpStream;

use crate::{
    ports,
    scratch::Scratch,
    service::{Service, log_tail},
    until::until,
};

/// How long a balancer may take to listen.
const START_MAX: Duration = Duration::from_secs(20);
/// The pods of the recommended files.
const PODS: usize = 4;
/// The port that the recommended files listen on.
const PORT: &str = "8080";
/// What a balancer that asks a pod whether it is ready has there, in each pod's line.
const OPERATIONS: &str = "port 7709";

/// Where a pod is, as `http://host:port`.
#[derive(Debug, Clone)]
pub struct Pod {
    /// For everybody.
    pub url: String,
    /// Its operations endpoints.
    pub operations: String,
}

/// Which balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks every pod whether it is ready.
    HaProxy,
    /// Learns from what pods answer alone.
    Nginx,
}

/// A running balancer. Dropped, it is killed.
pub struct Balancer {
    port: u16,
    _process: Service,
    _dir: Scratch,
}

impl Balancer {
    /// Starts it in front of these four pods and waits until it listens.
    ///
    /// # Errors
    /// It is not installed or refuses the configuration; the end of its log is in the message.
    pub async fn start(kind: Kind, pods: &[Pod]) -> anyhow::Result<Self> {
        ensure!(pods.len() == PODS, "the recommended files have {PODS} pods, not {}", pods.len());
        let port = ports::free()?;
        Self::start_with(kind, &recommended(kind, pods, port)?, port).await
    }

    /// Starts an nginx in front of one pod as somebody sets it up who knows nothing of streams: it gathers answers before it
    /// passes them on, whatever the pod says of that, and passes no upgrade on.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_gathering(pod: &Pod) -> anyhow::Result<Self> {
        let port = ports::free()?;
        let config = format!(
            "server {{\n    listen 127.0.0.1:{port};\n    location / {{\n        proxy_pass {};\n        \
             proxy_ignore_headers X-Accel-Buffering;\n    }}\n}}\n",
            pod.url
        );
        Self::start_with(Kind::Nginx, &config, port).await
    }

    async fn start_with(kind: Kind, config: &str, port: u16) -> anyhow::Result<Self> {
        let dir = Scratch::new("balancer")?;
        let mut command = match kind {
            Kind::HaProxy => haproxy(dir.path(), config)?,
            Kind::Nginx => nginx(dir.path(), config)?,
        };
        let log = dir.path().join("balancer.log");
        let mut process = Service::start("balancer", &mut command, &log)?;
        let listens = until("the balancer listens", START_MAX, async || match process.try_wait() {
            Some(status) => Some(Err(status)),
            None => TcpStream::connect(("127.0.0.1", port)).await.ok().map(Ok),
        });
        let listens = listens.await.with_context(|| log_tail(&log))?;
        ensure!(listens.is_ok(), "{kind:?} ended at once; {}", log_tail(&log));
        Ok(Self { port, _process: process, _dir: dir })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The recommended file, with these addresses.
fn recommended(kind: Kind, pods: &[Pod], port: u16) -> anyhow::Result<String> {
    let (file, listen) = match kind {
        Kind::HaProxy => ("haproxy.cfg", "bind "),
        Kind::Nginx => ("nginx.conf", "listen "),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let path = root.join("workers/socket/balancers").join(file);
    let mut text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let own = format!("127.0.0.1:{port}");
    for (number, pod) in pods.iter().enumerate() {
        let name = format!("socket-{}:7700", number + 1);
        ensure!(text.matches(&name).count() == 1, "{file} does not name {name} once");
        let line = text.lines().find(|line| line.contains(&name)).context("it has a line")?;
        let port = pod.operations.rsplit(':').next().unwrap_or_default();
        let placed = line.replace(&name, pod.url.trim_start_matches("http://"));
        let placed = placed.replace(OPERATIONS, &format!("port {port}"));
        text = text.replace(line, &placed);
    }
    let named =
        text.lines().find(|line| line.trim_start().starts_with(listen)).context("it listens nowhere")?;
    let placed = named.replace(&format!(":{PORT}"), PORT).replace(PORT, &own);
    let text = text.replace(named, &placed);
    ensure!(text.contains(&own), "{file} does not listen on {PORT}");
    Ok(text)
}

fn haproxy(dir: &Path, config: &str) -> anyhow::Result<Command> {
    let file = written(dir, "haproxy.cfg", config)?;
    let mut command = Command::new(program("haproxy"));
    command.current_dir(dir).arg("-db").arg("-f").arg(file);
    Ok(command)
}

/// The file is what belongs into an `http` block; around it is what keeps this nginx to itself.
fn nginx(dir: &Path, config: &str) -> anyhow::Result<Command> {
    let included = written(dir, "watchbell.conf", config)?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {}/{name};\n", dir.display()))
        .concat();
    let around = format!(
        "daemon off;\nworker_processes 2;\npid {dir}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n    access_log off;\n{temporary}    include {included};\n}}\n",
        dir = dir.display(),
        included = included.display(),
    );
    let file = written(dir, "nginx.conf", &around)?;
    let mut command = Command::new(program("nginx"));
    command.current_dir(dir).arg("-p").arg(dir).arg("-e").arg("stderr").arg("-c").arg(file);
    Ok(command)
}

fn written(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let file = dir.join(name);
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Debian keeps both where only root's PATH looks.
fn program(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.is_file() { sbin } else { PathBuf::from(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommended_files_are_used_with_other_addresses() {
        let pod = |number| Pod {
            url: format!("http://127.0.0.1:1000{number}"),
            operations: format!("http://127.0.0.1:2000{number}"),
        };
        let pods: Vec<Pod> = (1..=4).map(pod).collect();
        for kind in [Kind::HaProxy, Kind::Nginx] {
            let text = recommended(kind, &pods, 9_999).unwrap();
            let line =
                |needle: &str| text.lines().find(|line| line.contains(needle)).unwrap().trim().to_owned();
            let (listens, last) = match kind {
                Kind::HaProxy => ("bind 127.0.0.1:9999", "server socket-4 127.0.0.1:10004 port 20004"),
                Kind::Nginx => {
                    ("listen 127.0.0.1:9999;", "server 127.0.0.1:10004 max_fails=1 fail_timeout=1s;")
                }
            };
            assert_eq!((line("9999").as_str(), line("10004").as_str()), (listens, last));
        }
    }
}
