//! Traces: which way an alert took, from its producer to the provider, as spans for OpenTelemetry.
//!
//! What holds here:
//! - Without `[tracing]` there is no tracer. Every function here then takes one branch: it allocates nothing, and what it would
//!   tell is not worked out.
//! - With it, only what is sampled has a span. Who first knows of an alert decides, ingest or dispatch, and everybody after that
//!   goes by the context that the alert carries.
//! - Whoever ends a span waits for nobody ([`queue`]).
//! - The context is in headers of HTTP and AMQP and in the store, and in nothing that people or providers are given.
//!
//! Elsewhere: the headers in `wire::trace_context`; who exports the spans in `workers/fleet`.
//!
//! | file | what |
//! |---|---|
//! | `span_table.rs` | every span and attribute |
//! | `span.rs` | one span, or none |
//! | `tracer.rs` | who makes them, and what is sampled |
//! | `queue.rs` | what waits to be exported |
//! | `samples.rs` | spans for the tests of other packages |

mod queue;
#[doc(hidden)] // For tests of other packages.
pub mod samples;
mod span;
pub mod span_table;
#[cfg(test)]
mod tests;
mod tracer;

use std::{borrow::Cow, collections::BTreeMap};

pub use self::{
    queue::EndedSpans,
    span::{Began, Span, Told},
    span_table::SpanDef,
    tracer::{LINKS_MAX, TracerSettings, install},
};
use crate::wire::{
    TraceContext,
    trace_context::{TRACEPARENT, TRACESTATE},
};

/// Whether anybody wants spans.
pub fn is_on() -> bool {
    tracer::tracer().is_some()
}

/// A span of whoever is the first of ours to know of something: below the producer's, if there is one and it is sampled; else, of
/// some, the first of a trace.
pub fn first(
    def: &'static SpanDef,
    name: impl FnOnce() -> Cow<'static, str>,
    producer: impl FnOnce() -> Option<TraceContext>,
) -> Span {
    let Some(tracer) = tracer::tracer() else { return Span::NONE };
    let producer = producer();
    let is_sampled = producer.as_ref().map(TraceContext::is_sampled);
    match tracer.samples(is_sampled, rand::random) {
        true => Span::begin(tracer, def, name(), producer.as_ref()),
        false => Span::NONE,
    }
}

/// A span below what is sampled already; none below anything else.
pub fn below(def: &'static SpanDef, parent: Option<&TraceContext>) -> Span {
    named_below(def, || def.name.into(), parent)
}

/// The same with a name that says more than the table's.
pub fn named_below(
    def: &'static SpanDef,
    name: impl FnOnce() -> Cow<'static, str>,
    parent: Option<&TraceContext>,
) -> Span {
    let (Some(tracer), Some(parent)) = (tracer::tracer(), parent) else { return Span::NONE };
    if !parent.is_sampled() {
        return Span::NONE;
    }
    Span::begin(tracer, def, name(), Some(parent))
}

/// A span of something that began before, and ends now.
pub fn since(def: &'static SpanDef, parent: &TraceContext, began: Began) -> Span {
    match tracer::tracer() {
        Some(tracer) => Span::begin_at(tracer, def, def.name.into(), Some(parent), Some(began)),
        None => Span::NONE,
    }
}

/// A span that begins a trace because others that are sampled have part in it.
pub fn beside<'a>(def: &'static SpanDef, others: impl Iterator<Item = &'a TraceContext>) -> Span {
    let Some(tracer) = tracer::tracer() else { return Span::NONE };
    let mut others = others.peekable();
    if others.peek().is_none() {
        return Span::NONE;
    }
    let mut span = Span::begin(tracer, def, def.name.into(), None);
    others.take(LINKS_MAX as usize).for_each(|other| span.link_to(other));
    span
}

/// What a message says of its trace; not looked for when nobody wants spans.
pub fn context_of(headers: &BTreeMap<String, String>) -> Option<TraceContext> {
    is_on().then(|| carried_in(headers)).flatten()
}

/// What a message says of its trace.
pub fn carried_in(headers: &BTreeMap<String, String>) -> Option<TraceContext> {
    TraceContext::parse(headers.get(TRACEPARENT)?, headers.get(TRACESTATE).map(String::as_str))
}

/// Counts spans by what became of them.
pub fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("watchbell_tracing_spans_total", "outcome" => outcome).increment(spans as u64);
}
