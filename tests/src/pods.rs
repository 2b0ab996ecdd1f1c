//! What a test of many pods asks of a fleet: more of them, where they say how they are, their metrics, and somebody who
//! publishes meanwhile.

use reqwest::RequestBuilder;

use crate::fleet::Fleet;

impl Fleet {
    /// Starts one more socket pod and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn add_pod(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.start_role(name, &["run", "socket"], &[])?;
        self.ready(name).await
    }

    /// The value of a line of a process's metrics: a name with its labels, as they are written there. `None`: it is not
    /// there, or the process does not answer.
    pub async fn metric(&self, name: &str, line: &str) -> Option<f64> {
        let answer =
            self.http().get(format!("{}/metrics", self.operations_url(name).ok()?)).send().await.ok()?;
        let text = answer.text().await.ok()?;
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// Where a process has `/healthz`, `/readyz` and `/metrics`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn operations_url(&self, name: &str) -> anyhow::Result<String> {
        match self.operations.get(name) {
            Some(port) => Ok(format!("http://127.0.0.1:{port}")),
            None => self.url(name),
        }
    }

    /// Makes requests that publish what they are given, for a task of its own.
    ///
    /// # Errors
    /// There is no ingest.
    pub fn publisher(&self) -> anyhow::Result<impl Fn() -> RequestBuilder + Send + 'static + use<>> {
        let (http, key) = (self.http().clone(), self.key().to_owned());
        let url = format!("{}/v1/alerts", self.url("ingest")?);
        Ok(move || http.post(&url).bearer_auth(&key))
    }
}
