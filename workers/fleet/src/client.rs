//! HTTP for the commands that talk to a running fleet.

use anyhow::{Context as _, bail};
use serde_json::Value;
use watchbell::domain::Secret;

use crate::{cli::ProducerArgs, up::Demo};

/// A running fleet, and the right to publish to it.
#[derive(Clone)]
pub(crate) struct Producer {
    http: reqwest::Client,
    url: String,
    key: Secret,
}

impl Producer {
    /// From the arguments, or from what `up` left in its folder.
    pub(crate) fn new(args: &ProducerArgs) -> anyhow::Result<Self> {
        let (url, key) = match (&args.url, &args.key) {
            (Some(url), Some(key)) => (url.clone(), key.clone()),
            (None, None) => {
                let demo = Demo::read(&args.data)?;
                (demo.url, demo.producer_key)
            }
            _ => bail!("--url and --key go together"),
        };
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(60)).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key: Secret::from(key) })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Publishes alerts as one request.
    pub(crate) async fn publish(&self, alerts: &Value) -> anyhow::Result<Value> {
        let request =
            self.http.post(format!("{}/v1/alerts", self.url)).bearer_auth(self.key.expose()).json(alerts);
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.with_context(|| format!("{} cannot be reached", self.url))?;
        answer(response).await
    }
}

/// The body of a success, or the problem in words.
async fn answer(response: reqwest::Response) -> anyhow::Result<Value> {
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let at = body["index"].as_u64().map(|index| format!("alert {index}: ")).unwrap_or_default();
    let field = body["field"].as_str().map(|field| format!("{field} ")).unwrap_or_default();
    bail!("{status}: {}: {at}{field}{}", text("title"), text("detail"))
}
