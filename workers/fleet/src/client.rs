//! HTTP for the commands that talk to a running fleet.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use watchbell::domain::{AlertId, Secret};

use crate::{cli::ProducerArgs, demo_file::Demo};

/// A running fleet, and the right to publish to it.
#[derive(Clone)]
pub(crate) struct Producer {
    http: reqwest::Client,
    url: String,
    key: Secret,
    /// Where the address is from, if nobody gave one.
    demo_of: Option<PathBuf>,
}

impl Producer {
    /// From the arguments, or from what `up` left in its folder.
    pub(crate) fn new(args: &ProducerArgs) -> anyhow::Result<Self> {
        let (url, key, demo_of) = match (&args.url, &args.key) {
            (Some(url), Some(key)) => (url.clone(), key.clone(), None),
            (None, None) => {
                let demo = Demo::read(&args.data)?;
                (demo.reached_at().to_owned(), demo.producer_key, Some(args.data.clone()))
            }
            (Some(_), None) => bail!(
                "--url (or WATCHBELL_URL) is given and no key: give --key or WATCHBELL_KEY too, or neither for the `up` of this folder"
            ),
            (None, Some(_)) => bail!(
                "--key (or WATCHBELL_KEY) is given and no address: give --url or WATCHBELL_URL too, or neither for the `up` of this folder"
            ),
        };
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(60)).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key: Secret::from(key), demo_of })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Publishes alerts as one request.
    pub(crate) async fn publish(&self, alerts: &Value) -> anyhow::Result<Value> {
        Ok(self.offer(alerts).await??)
    }

    /// The same, for those who go on when the answer is a refusal.
    ///
    /// # Errors
    /// Nobody answered.
    pub(crate) async fn offer(&self, alerts: &Value) -> anyhow::Result<Result<Value, Refusal>> {
        self.ask(self.http.post(format!("{}/v1/alerts", self.url)).json(alerts)).await
    }

    /// Publishes a later version of an alert that is recorded.
    pub(crate) async fn change(&self, alert: &AlertId, change: &Value) -> anyhow::Result<Value> {
        // An id has nothing in it that an address takes for something else.
        Ok(self.ask(self.http.patch(format!("{}/v1/alerts/{alert}", self.url)).json(change)).await??)
    }

    /// A request of any kind to `/v1`, by the parts of its path, which may be any text.
    ///
    /// # Errors
    /// Nobody answered, or the answer is a refusal.
    pub(crate) async fn ask_for(
        &self,
        method: reqwest::Method,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&self.url).context("--url")?;
        match url.path_segments_mut() {
            Ok(mut parts) => {
                parts.pop_if_empty().push("v1").extend(path);
            }
            Err(()) => bail!("--url must be an address such as http://host:7700"),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.ask(self.http.request(method, url)).await??)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Result<Value, Refusal>> {
        let response =
            request.bearer_auth(self.key.expose()).send().await.map_err(reqwest::Error::without_url);
        let response = response.with_context(|| unreachable(&self.url, self.demo_of.as_deref()))?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        Ok(if status.is_success() {
            Ok(body)
        } else {
            Err(Refusal { status: status.as_u16(), problem: body })
        })
    }
}

/// What somebody does about an address that nobody answers at: it may be that of an `up` which has ended.
fn unreachable(url: &str, demo_of: Option<&Path>) -> String {
    match demo_of {
        None => format!("{url} cannot be reached"),
        Some(folder) => format!(
            "{url} cannot be reached, which {} names: start `watchbell up` there, or, if one runs with another folder, give that folder \
             as `--data`",
            folder.join("demo.json").display()
        ),
    }
}

#[test]
fn an_address_of_a_folder_is_said_with_the_remedy() {
    let said = unreachable("http://127.0.0.1:7700", Some(Path::new("watchbell-data")));
    assert!(said.contains("watchbell-data/demo.json") && said.contains("`--data`"), "{said}");
    assert_eq!(unreachable("http://fleet:7700", None), "http://fleet:7700 cannot be reached");
}

/// An answer that is no success: a problem document, whoever it is from.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    problem: Value,
}

impl Refusal {
    /// Which of several alerts it is about; the others were not published for it.
    pub(crate) fn index(&self) -> Option<usize> {
        self.problem["index"].as_u64().and_then(|index| usize::try_from(index).ok())
    }

    /// A problem that stands in the answer about one of several.
    pub(crate) fn of(problem: &Value) -> Option<Self> {
        let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok())?;
        Some(Self { status, problem: problem.clone() })
    }

    /// The same without its place, for whoever names a better one.
    pub(crate) fn without_index(mut self) -> Self {
        if let Some(index) = self.problem.get_mut("index") {
            *index = json!(null);
        }
        self
    }
}

/// In words, for a person.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.problem[name].as_str().unwrap_or_default();
        let at = self.index().map(|index| format!("alert {index}: ")).unwrap_or_default();
        let field = self.problem["field"].as_str().map(|field| format!("{field} ")).unwrap_or_default();
        write!(f, "{}: {}: {at}{field}{}", self.status, text("title"), text("detail"))
    }
}

impl std::error::Error for Refusal {}
