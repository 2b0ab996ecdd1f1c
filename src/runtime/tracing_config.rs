//! The section `[tracing]`: which traces are recorded, and where they are sent.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::{
    config::{
        checks::{web_address, within},
        duration, maybe_secret,
    },
    traces::TracerSettings,
};
use crate::domain::Secret;

/// The path of traces below a collector's address (OTLP/HTTP).
const TRACES_PATH: &str = "/v1/traces";
/// A span takes about a kibibyte, so this is 64 MiB.
const QUEUE_MAX: usize = 65_536;
/// Spans of one request; collectors take 4 MiB and more.
const BATCH_MAX: usize = 4_096;

/// `[tracing]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingSection {
    /// The collector that takes OTLP over HTTP with protobuf, such as `http://collector:4318`; without a path, `/v1/traces` is
    /// added. Not set: nothing is traced.
    pub endpoint: Option<String>,
    /// The share of alerts that are traced, from 0 to 1, of those whose producer did not decide.
    pub sample_ratio: f64,
    /// Whether a producer decides by its `traceparent` which of its own alerts are traced. Turned off, `sample_ratio` decides
    /// about those as well.
    pub follow_producers: bool,
    /// Headers for the collector, such as a token: `name=value`, with commas between several.
    #[serde(with = "maybe_secret")]
    pub headers: Option<Secret>,
    /// A PEM file of further trust roots, for a collector whose certificate an authority of your own signed.
    pub trust_root_file: Option<PathBuf>,
    /// How long the collector may take for one batch.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long spans are gathered before a batch is sent that is not full.
    #[serde(with = "duration")]
    pub batch_wait: Duration,
    /// Spans that are sent at once.
    pub batch_max: usize,
    /// Spans that may wait to be sent. More are dropped, and counted in `watchbell_tracing_spans_total`.
    pub queue_max: usize,
    /// How long the end of the process waits until the last spans are sent.
    #[serde(with = "duration")]
    pub flush_timeout: Duration,
    /// What collectors call this fleet (`service.name`).
    pub service_name: String,
    /// Whether spans say whose they are. The ids of users are then with whoever keeps the traces.
    pub user_ids: bool,
}

impl Default for TracingSection {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: 0.01,
            follow_producers: true,
            headers: None,
            trust_root_file: None,
            timeout: Duration::from_secs(5),
            batch_wait: Duration::from_secs(1),
            batch_max: 512,
            queue_max: 4_096,
            flush_timeout: Duration::from_secs(2),
            service_name: "watchbell".into(),
            user_ids: false,
        }
    }
}

impl TracingSection {
    /// Where batches are posted to, if anything is traced.
    pub fn url(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?;
        let after_scheme = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
        let has_path = after_scheme.split_once('/').is_some_and(|(_, path)| !path.is_empty());
        match has_path {
            true => Some(endpoint.to_owned()),
            false => Some(format!("{}{TRACES_PATH}", endpoint.trim_end_matches('/'))),
        }
    }

    /// How spans are made; none when nothing is traced.
    pub fn tracer(&self, messaging_system: &'static str) -> Option<TracerSettings> {
        self.endpoint.as_ref()?;
        let Self { sample_ratio, follow_producers, queue_max, user_ids, .. } = *self;
        Some(TracerSettings { sample_ratio, follow_producers, queue_max, user_ids, messaging_system })
    }

    /// The headers for the collector.
    ///
    /// # Errors
    /// One of them cannot be read; its value is not repeated.
    pub fn header_pairs(&self) -> anyhow::Result<HashMap<String, String>> {
        let Some(headers) = &self.headers else { return Ok(HashMap::new()) };
        let pair = |text: &str| {
            let (name, value) = text.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            name.parse::<axum::http::HeaderName>().ok()?;
            value.parse::<axum::http::HeaderValue>().ok()?;
            (!value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        let pairs = headers.expose().split(',').filter(|text| !text.trim().is_empty()).map(pair);
        let pairs: Option<_> = pairs.collect();
        pairs.context("tracing.headers must be name=value, with commas between several")
    }

    /// Further trust roots, as PEM.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trust_root_pem(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.trust_root_file else { return Ok(None) };
        let read = std::fs::read_to_string(file);
        read.map(Some).with_context(|| format!("tracing.trust_root_file {} cannot be read", file.display()))
    }

    /// Whether it holds together. Files are not read: only who sends spans needs them.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let Some(endpoint) = &self.endpoint {
            web_address("tracing.endpoint", endpoint)?;
            ensure!(
                !endpoint.contains('@'),
                "tracing.endpoint must hold no password: give it in tracing.headers"
            );
        }
        ensure!(
            (0.0..=1.0).contains(&self.sample_ratio),
            "tracing.sample_ratio must be at least 0 and at most 1"
        );
        self.header_pairs()?;
        within("tracing.timeout", self.timeout, Duration::from_millis(100)..=Duration::from_secs(60))?;
        within("tracing.batch_wait", self.batch_wait, Duration::from_millis(10)..=Duration::from_secs(60))?;
        within("tracing.batch_max", self.batch_max, 1..=BATCH_MAX)?;
        within("tracing.queue_max", self.queue_max, 1..=QUEUE_MAX)?;
        within(
            "tracing.flush_timeout",
            self.flush_timeout,
            Duration::from_millis(100)..=Duration::from_secs(5),
        )?;
        ensure!(!self.service_name.is_empty(), "tracing.service_name must not be empty");
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_where_none_is_given() {
        for (endpoint, expected) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example.com/tenant/v1/traces", "https://otlp.example.com/tenant/v1/traces"),
        ] {
            let section = TracingSection { endpoint: Some(endpoint.into()), ..TracingSection::default() };
            assert_eq!(section.url().unwrap(), expected);
            section.check().unwrap();
        }
        assert_eq!(TracingSection::default().url(), None);
        assert_eq!(TracingSection::default().tracer("rabbitmq"), None);
    }

    #[test]
    fn a_ratio_is_read_from_wherever_it_is_written() {
        let env = |text: &str| vec![("WATCHBELL__TRACING__SAMPLE_RATIO".to_owned(), text.to_owned())];
        let read = |toml: &str, env: Vec<(String, String)>| {
            let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
            std::fs::write(file.path(), toml).unwrap();
            let mut sources = crate::runtime::config::Sources::open(Some(file.path()), env)?;
            sources.take::<TracingSection>("tracing").map(|section| section.sample_ratio)
        };
        for (why, toml, env, expected) in [
            ("the environment", "", env("0.25"), 0.25),
            ("a whole number there", "", env("1"), 1.0),
            ("a file", "[tracing]\nsample_ratio = 0.5", vec![], 0.5),
            ("a whole number there", "[tracing]\nsample_ratio = 1", vec![], 1.0),
        ] {
            assert_eq!(read(toml, env).unwrap(), expected, "{why}");
        }
        for (toml, env) in [("", env("often")), ("[tracing]\nsample_ratio = \"0.5\"", vec![])] {
            let error = format!("{:#}", read(toml, env).unwrap_err());
            assert!(error.contains("tracing.sample_ratio") && error.contains("must be a number"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        let section = |change: fn(&mut TracingSection)| {
            let mut section = TracingSection::default();
            change(&mut section);
            section.check().map_err(|error| error.to_string()).unwrap_err()
        };
        for (said, error) in [
            ("tracing.endpoint", section(|it| it.endpoint = Some("collector:4318".into()))),
            ("tracing.endpoint", section(|it| it.endpoint = Some("http://ana:hunter2@collector".into()))),
            ("tracing.sample_ratio", section(|it| it.sample_ratio = 1.5)),
            ("tracing.sample_ratio", section(|it| it.sample_ratio = f64::NAN)),
            ("tracing.headers", section(|it| it.headers = Some(Secret::from("hunter2")))),
            ("tracing.headers", section(|it| it.headers = Some(Secret::from("a b=hunter2")))),
            ("tracing.service_name", section(|it| it.service_name.clear())),
        ] {
            assert!(error.starts_with(said) && !error.contains("hunter2"), "{error}");
        }
        let headers = Some(Secret::from("authorization=Bearer a=b, x-team=ops,"));
        let pairs = TracingSection { headers, ..TracingSection::default() }.header_pairs().unwrap();
        assert_eq!((pairs["authorization"].as_str(), pairs["x-team"].as_str()), ("Bearer a=b", "ops"));
    }
}
