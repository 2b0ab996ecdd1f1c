//! A Prometheus of one's own, with the rules of `monitoring/` on a clock that runs faster.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    monitoring::in_workspace,
    ports,
    service::{Service, log_tail},
    until::until,
};

const START_MAX: Duration = Duration::from_secs(30);
/// How often it scrapes, and looks at the rules.
const EVERY: &str = "1s";

/// One Prometheus. Dropped, it is killed; its folder is the caller's.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    http: reqwest::Client,
    _process: Service,
}

impl Prometheus {
    /// Starts it in `dir`. It scrapes these addresses (`127.0.0.1:9000`) each second, and computes the rules with every time in
    /// them as [`faster`] has it.
    ///
    /// # Errors
    /// When it is not installed, or refuses what it is given; the end of its log is in the message.
    pub async fn start(dir: &Path, targets: &[String]) -> anyhow::Result<Self> {
        let port = ports::free()?;
        for file in ["recording.yml", "alerts.yml"] {
            let rules = fs::read_to_string(in_workspace("monitoring/rules")?.join(file))?;
            fs::write(dir.join(file), faster(&rules))?;
        }
        let config = dir.join("prometheus.yml");
        let targets = targets.join("', '");
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: {EVERY}, evaluation_interval: {EVERY}}}\n\
                 rule_files: [recording.yml, alerts.yml]\n\
                 scrape_configs: [{{job_name: watchbell, static_configs: [{{targets: ['{targets}']}}]}}]\n"
            ),
        )?;
        let option = |name: &str, value: PathBuf| format!("--{name}={}", value.display());
        let mut command = Command::new("prometheus");
        command
            .current_dir(dir)
            .arg(option("config.file", config))
            .arg(option("storage.tsdb.path", dir.join("prometheus")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = dir.join("prometheus.log");
        let mut process = Service::start("prometheus", &mut command, &log)?;
        let (url, http) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        let ready = until("Prometheus to be ready", START_MAX, async || match process.try_wait() {
            Some(status) => Some(Err(status)),
            None => {
                let answer = http.get(format!("{url}/-/ready")).send().await.ok()?;
                answer.status().is_success().then_some(Ok(()))
            }
        });
        let ready = ready.await.with_context(|| log_tail(&log))?;
        ensure!(ready.is_ok(), "Prometheus ended at once; {}", log_tail(&log));
        Ok(Self { url, http, _process: process })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The alerts that fire now, by their names.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn firing(&self) -> anyhow::Result<BTreeSet<String>> {
        let answer = self.http.get(format!("{}/api/v1/alerts", self.url)).send().await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        let alerts = answer["data"]["alerts"].as_array().context("no alerts in the answer")?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        Ok(firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect())
    }
}

/// Rules with shorter times: what they look back on is a twentieth, and they wait for one second.
fn faster(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let line = match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s"),
            _ => line.to_owned(),
        };
        let shorter = [("[5m]", "[15s]"), ("[15m]", "[45s]"), ("[30m]", "[90s]"), ("[1h]", "[3m]")];
        text.push_str(&shorter.iter().fold(line, |line, (long, short)| line.replace(long, short)));
        text.push('\n');
    }
    text
}

#[test]
fn rules_become_faster_and_stay_the_same_otherwise() {
    let rules = "  - alert: A\n    expr: rate(x[5m]) > 5\n    for: 10m\n    summary: for: ever\n";
    let expected = "  - alert: A\n    expr: rate(x[15s]) > 5\n    for: 1s\n    summary: for: ever\n";
    assert_eq!(faster(rules), expected);
}
