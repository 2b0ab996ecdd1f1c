//! A collector of traces: it takes OTLP over HTTP, decodes it by OpenTelemetry's own definitions, and keeps the spans. It can be told to
//! be of no use.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::ensure;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;
use tokio::net::TcpListener;

use crate::http_by_hand::{Answer, Request, Served};

/// What a test's batches never are, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Takes,
    /// With 503.
    Refuses,
    /// Not at all, with the connection open.
    Stalls,
    /// It hangs up.
    HangsUp,
}

/// One span, as it came.
#[derive(Debug, Clone)]
pub struct SeenSpan {
    /// `service.name` of who sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// OpenTelemetry's number of its kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Its own id, in hexadecimal.
    pub id: String,
    /// The span above it; empty for the first of a trace.
    pub parent: String,
    /// `tracestate`.
    pub state: String,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it is linked to: trace and id.
    pub links: Vec<(String, String)>,
    /// Whether it failed.
    pub is_error: bool,
}

/// A running collector. Dropped, it is gone.
pub struct OtlpCollector {
    port: u16,
    state: Arc<Mutex<State>>,
    _served: Served,
}

struct State {
    mood: Mood,
    spans: Vec<SeenSpan>,
    authorized: Vec<String>,
}

impl OtlpCollector {
    /// Starts one.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state =
            Arc::new(Mutex::new(State { mood: Mood::Takes, spans: Vec::new(), authorized: Vec::new() }));
        let shared = Arc::clone(&state);
        let served = Served::at(listener, BODY_BYTES_MAX, move |request| answer(&mut lock(&shared), request));
        Ok(Self { port, state, _served: served })
    }

    /// The value of `tracing.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How it answers from now on.
    pub fn be(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<SeenSpan> {
        lock(&self.state).spans.clone()
    }

    /// The `Authorization` of each request that was taken.
    pub fn authorized(&self) -> Vec<String> {
        lock(&self.state).authorized.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &mut State, request: &Request) -> anyhow::Result<Answer> {
    ensure!(request.method == "POST" && request.target == "/v1/traces", "{request:?}");
    ensure!(request.header("content-type") == Some("application/x-protobuf"), "{request:?}");
    let said = match state.mood {
        Mood::Takes => {
            state.spans.extend(seen(ExportTraceServiceRequest::decode(request.body.as_slice())?));
            state.authorized.extend(request.header("authorization").map(str::to_owned));
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        }
        Mood::Refuses => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        Mood::Stalls => return Ok(Answer::Stalls),
        Mood::HangsUp => return Ok(Answer::HangsUp),
    };
    Ok(Answer::Says(said.to_owned()))
}

fn seen(request: ExportTraceServiceRequest) -> Vec<SeenSpan> {
    let mut all = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = texts(resource_spans.resource.map(|it| it.attributes).unwrap_or_default());
        let service = resource.get("service.name").cloned().unwrap_or_default();
        let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| seen_span(service.clone(), span)));
    }
    all
}

fn seen_span(service: String, span: Span) -> SeenSpan {
    SeenSpan {
        service,
        kind: span.kind,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state,
        attributes: texts(span.attributes),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        is_error: span.status.is_some_and(|status| status.code == StatusCode::Error as i32),
        name: span.name,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|it| it.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
