//! Where a producer's trace goes on: from the headers of a request to the message of each of its alerts.
//!
//! What holds here:
//! - What is no W3C trace context is ignored, and refuses nothing.
//! - A request has a span only once its API key is known: a stranger makes none.
//! - Where spans are not wanted, the headers are carried on as they came.

use std::collections::BTreeMap;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;
use watchbell::{
    broker::{Message, PublishError},
    runtime::traces::{
        self, Span,
        span_table::{MESSAGE_ID, METHOD, PUBLISH, REQUEST, ROUTE, STATUS},
    },
    wire::{
        TraceContext,
        trace_context::{TRACEPARENT, TRACESTATE},
    },
};

/// The producer's trace, if its headers name one.
pub fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    // Of several nobody knows which one it is (W3C Trace Context, section 4.3): they are none, and no reason to refuse the request.
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(traceparent), None) = (parents.next(), parents.next()) else { return None };
    let traceparent = traceparent.to_str().ok()?;
    let states: Vec<&str> =
        headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    // Several of them are one list.
    TraceContext::parse(traceparent, Some(states.join(",").as_str()).filter(|state| !state.is_empty()))
}

/// Has a message carry a trace on.
pub fn carry(trace: Option<&TraceContext>, headers: &mut BTreeMap<String, String>) {
    if let Some(trace) = trace {
        trace.write_to(|name, value| {
            headers.insert(name.to_owned(), value);
        });
    }
}

/// A request with a known key, in a span. The layer is there only where spans are wanted.
pub async fn follow(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut span = begin(&mut parts);
    let response = next.run(Request::from_parts(parts, body)).instrument(span.log()).await;
    end(&mut span, response.status().as_u16());
    response
}

/// The span of a request, if it has one. Its headers then name it in the place of the producer's, so that everything made of the
/// request goes on from there.
pub fn begin(parts: &mut Parts) -> Span {
    if !traces::is_on() {
        return Span::NONE;
    }
    let producer = trace_of(&parts.headers);
    let route = parts.extensions.get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    let mut span =
        traces::first(&REQUEST, || format!("{} {route}", parts.method).into(), || producer.clone());
    span.tell(|told| {
        told.say(&METHOD, parts.method.as_str().to_owned()).say(&ROUTE, route.to_owned());
    });
    match (span.context(), producer) {
        (Some(context), _) => replace(context, &mut parts.headers),
        // Who takes it from the queue is not to decide otherwise.
        (None, Some(producer)) => replace(&producer.unsampled(), &mut parts.headers),
        (None, None) => {}
    }
    span
}

fn replace(context: &TraceContext, headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
    context.write_to(|name, value| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    });
}

/// What was answered. What the producer did wrong is no error of ours.
pub fn end(span: &mut Span, status: u16) {
    span.tell(|told| {
        told.say(&STATUS, i64::from(status));
    });
    if status >= 500 {
        span.fail(status.to_string());
    }
}

/// The span of one publish, which the message carries on from here.
pub fn publishing(message: &mut Message) -> Span {
    let mut span = traces::below(&PUBLISH, traces::context_of(&message.headers).as_ref());
    span.carry_in(&mut message.headers);
    span.tell(|told| {
        told.say(&MESSAGE_ID, message.message_id.clone());
    });
    span
}

/// How it ended.
pub fn published(mut span: Span, outcome: &Result<(), PublishError>) {
    if let Err(error) = outcome {
        span.fail(match error {
            PublishError::Unavailable(_) => "unavailable",
            PublishError::Refused => "refused",
            PublishError::Unroutable => "unroutable",
            PublishError::TooLarge { .. } => "too_large",
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PRODUCER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_trace_is_carried_only_if_it_is_one() {
        for (why, given, expected) in [
            ("none", &[][..], None),
            ("one", &[(TRACEPARENT, PRODUCER)], Some(PRODUCER)),
            ("none that is one", &[(TRACEPARENT, "not a trace")], None),
            ("two", &[(TRACEPARENT, PRODUCER), (TRACEPARENT, PRODUCER)], None),
            ("a state alone is none", &[(TRACESTATE, "a=b")], None),
        ] {
            let mut carried = BTreeMap::new();
            carry(trace_of(&headers(given)).as_ref(), &mut carried);
            assert_eq!(carried.get(TRACEPARENT).map(String::as_str), expected, "{why}");
            assert!(!carried.contains_key(TRACESTATE), "{why}");
        }
    }

    #[test]
    fn states_in_several_headers_are_one_list() {
        let given = headers(&[(TRACEPARENT, PRODUCER), (TRACESTATE, "a=b"), (TRACESTATE, "c=d")]);
        assert_eq!(trace_of(&given).unwrap().tracestate(), Some("a=b,c=d"));
    }
}
