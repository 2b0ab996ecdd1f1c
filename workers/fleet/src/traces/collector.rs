//! One collector: what a batch is as a request, and what the collector says to it.

use std::{future::Future, time::Duration};

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message as _;
use reqwest::{
    Certificate, Client, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use watchbell::runtime::{Current, config::TracingSection};

/// What OTLP over HTTP calls protobuf.
const PROTOBUF: &str = "application/x-protobuf";
/// An answer says how many spans were refused and why; more than this is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long one connection may take to open, within `tracing.timeout`.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// Where batches go.
pub(crate) trait SpanSink: Send {
    /// Sends a batch, and says how many of its spans were refused.
    fn send(&self, batch: Vec<SpanData>) -> impl Future<Output = Result<usize, CollectorError>> + Send;
}

/// Why a batch did not get there. Says nothing of its headers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectorError {
    /// Not reached, or not in time.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It answered so.
    #[error("it answered {0}")]
    Refused(u16),
}

/// A collector, by OTLP over HTTP.
pub(crate) struct Collector {
    /// Replaced when its token or the authorities change.
    http: Current<Client>,
    url: Url,
    resource: ResourceAttributesWithSchema,
}

/// What a collector lets in: the headers of requests to it, and whom it is known by.
pub(crate) struct CollectorAccess(Current<Client>);

impl CollectorAccess {
    /// From now on batches are sent with these headers. A batch that is on its way goes on with those before.
    ///
    /// # Errors
    /// The headers or the trust roots cannot be used; then nothing changes.
    pub(crate) fn replace(&self, section: &TracingSection) -> anyhow::Result<()> {
        self.0.replace(client_of(section)?);
        Ok(())
    }
}

impl Collector {
    /// The configured one, if there is one. `instance` tells this process from the others.
    ///
    /// # Errors
    /// Its address, headers or trust roots cannot be used.
    pub(crate) fn of(section: &TracingSection, instance: &str) -> anyhow::Result<Option<Self>> {
        let Some(url) = section.url() else { return Ok(None) };
        let url = Url::parse(&url).context("tracing.endpoint is no address")?;
        let http = Current::new(client_of(section)?);
        // With what OTEL_RESOURCE_ATTRIBUTES adds, as orchestrators set it.
        let resource = Resource::builder()
            .with_service_name(section.service_name.clone())
            .with_attribute(attribute("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(attribute("service.instance.id", instance))
            .build();
        Ok(Some(Self { http, url, resource: (&resource).into() }))
    }

    /// What it lets in, to be replaced while spans are sent.
    pub(crate) fn access(&self) -> CollectorAccess {
        CollectorAccess(self.http.clone())
    }

    /// Sends a request with these spans; with none it only asks.
    async fn post(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, CollectorError> {
        let http = self.http.get();
        let sent = http.post(self.url.clone()).header(CONTENT_TYPE, PROTOBUF).body(request.encode_to_vec());
        let mut answer = sent.send().await.map_err(|error| unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(CollectorError::Refused(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        // Some answer with nothing, or with JSON: they took it.
        Ok(ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default())
    }

    /// Whether it takes spans: it is sent none.
    ///
    /// # Errors
    /// It does not.
    pub(crate) async fn ask(&self) -> Result<(), CollectorError> {
        self.post(&ExportTraceServiceRequest::default()).await.map(drop)
    }
}

impl SpanSink for Collector {
    async fn send(&self, batch: Vec<SpanData>) -> Result<usize, CollectorError> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let answer = self.post(&ExportTraceServiceRequest { resource_spans }).await?;
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(refused).unwrap_or_default())
    }
}

fn client_of(section: &TracingSection) -> anyhow::Result<Client> {
    let mut headers = HeaderMap::new();
    for (name, value) in section.header_pairs()? {
        let mut value = HeaderValue::from_str(&value).context("tracing.headers")?;
        value.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>().context("tracing.headers")?, value);
    }
    let roots = match section.trust_root_pem()? {
        None => Vec::new(),
        Some(pem) => Certificate::from_pem_bundle(pem.as_bytes())
            .ok()
            .filter(|roots| !roots.is_empty())
            .context("tracing.trust_root_file holds no certificate")?,
    };
    Client::builder()
        .timeout(section.timeout)
        .connect_timeout(section.timeout.min(CONNECT_TIMEOUT_MAX))
        // A redirect would carry the headers to somewhere else.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .default_headers(headers)
        .tls_certs_merge(roots)
        .build()
        .context("tracing: the HTTP client cannot be made")
}

fn attribute(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, value.to_owned())
}

/// The innermost cause; the outer ones name the address.
fn unreachable(error: &reqwest::Error) -> CollectorError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    CollectorError::Unreachable(cause.to_string())
}
