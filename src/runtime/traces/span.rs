//! One span, or none.

use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanBuilder, SpanContext, Status, TraceContextExt as _, TraceState, Tracer as _},
};
use opentelemetry_sdk::trace::Span as SdkSpan;

use super::{
    span_table::{self, Attribute, SpanDef},
    tracer::Tracer,
};
use crate::{domain::UserId, wire::TraceContext};

/// A span while it is open; it ends when it is dropped. Where nothing is recorded, it is a null pointer: it costs no memory, and
/// what would be told of it is not even worked out.
#[derive(Default)]
pub struct Span(Option<Box<Open>>);

struct Open {
    def: &'static SpanDef,
    span: SdkSpan,
    /// Where what comes below it belongs.
    context: TraceContext,
    has_users: bool,
}

/// When something began whose span is made later. Spans take their times from the system, as OpenTelemetry does.
#[derive(Debug, Clone, Copy)]
pub struct Began(SystemTime);

impl Began {
    /// Now.
    pub fn now() -> Self {
        Self(SystemTime::now())
    }
}

/// What an open span is told.
pub struct Told<'a>(&'a mut Open);

impl Span {
    /// None at all.
    pub const NONE: Self = Self(None);

    /// A span below `parent`, or the first of its trace.
    pub(super) fn begin(
        tracer: &Tracer,
        def: &'static SpanDef,
        name: Cow<'static, str>,
        parent: Option<&TraceContext>,
    ) -> Self {
        Self::begin_at(tracer, def, name, parent, None)
    }

    /// The same of what began at some other time.
    pub(super) fn begin_at(
        tracer: &Tracer,
        def: &'static SpanDef,
        name: Cow<'static, str>,
        parent: Option<&TraceContext>,
        began: Option<Began>,
    ) -> Self {
        let mut builder = SpanBuilder::from_name(name).with_kind(def.kind.clone());
        if let Some(messaging) = &def.messaging {
            let said = [
                (span_table::MESSAGING_SYSTEM, tracer.messaging_system),
                (span_table::OPERATION_TYPE, messaging.operation),
                (span_table::OPERATION_NAME, messaging.operation),
                (span_table::DESTINATION, messaging.destination),
            ];
            let said = said.into_iter().map(|(attribute, value)| KeyValue::new(attribute.name, value));
            builder = builder.with_attributes(said.collect::<Vec<_>>());
        }
        if let Some(Began(at)) = began {
            builder = builder.with_start_time(at);
        }
        let above = match parent {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        let span = tracer.sdk.build_with_context(builder, &above);
        let Some(context) = context_of(&span, parent) else { return Self::NONE };
        Self(Some(Box::new(Open { def, span, context, has_users: tracer.user_ids })))
    }

    /// Whether anything is recorded.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Where what comes below it belongs.
    pub fn context(&self) -> Option<&TraceContext> {
        self.0.as_deref().map(|open| &open.context)
    }

    /// Tells what it is about. Not called where nothing is recorded.
    pub fn tell(&mut self, tell: impl FnOnce(&mut Told<'_>)) {
        if let Some(open) = self.0.as_deref_mut() {
            tell(&mut Told(open));
        }
    }

    /// It failed, for this reason: a word of few.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        self.tell(|told| {
            let why = why.into();
            told.say(&span_table::ERROR_TYPE, why.clone());
            // A text of its own could hold what somebody wrote.
            opentelemetry::trace::Span::set_status(&mut told.0.span, Status::error(why));
        });
    }

    /// Links it to a place in another trace, or in its own.
    pub fn link_to(&mut self, other: &TraceContext) {
        self.tell(|told| {
            opentelemetry::trace::Span::add_link(&mut told.0.span, remote(other), Vec::new());
        });
    }

    /// Has a message carry it on, in the place of what it carried before.
    pub fn carry_in(&self, headers: &mut BTreeMap<String, String>) {
        if let Some(context) = self.context() {
            context.write_to(|name, value| {
                headers.insert(name.to_owned(), value);
            });
        }
    }

    /// What log lines are written in, so that they have its `trace_id`. Never left out by the log's filter.
    pub fn log(&self) -> tracing::Span {
        match self.context() {
            None => tracing::Span::none(),
            Some(context) => {
                tracing::error_span!("trace", trace_id = %format_args!("{:032x}", context.trace_id))
            }
        }
    }
}

impl Told<'_> {
    /// An attribute that the table has for this span.
    pub fn say(&mut self, attribute: &Attribute, value: impl Into<Value>) -> &mut Self {
        debug_assert!(
            self.0.def.attributes.contains(attribute),
            "{} is not declared for {}",
            attribute.name,
            self.0.def.name
        );
        opentelemetry::trace::Span::set_attribute(&mut self.0.span, KeyValue::new(attribute.name, value));
        self
    }

    /// Whose it is, where an operator wants to know. An id that is an address does not print.
    pub fn user(&mut self, user: &UserId) -> &mut Self {
        match self.0.has_users {
            true => self.say(&span_table::USER, format!("{user:?}")),
            false => self,
        }
    }
}

/// As OpenTelemetry has it. A state that only we could read is left out there.
fn remote(context: &TraceContext) -> SpanContext {
    let state = context.tracestate().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    SpanContext::new(
        TraceId::from(context.trace_id),
        SpanId::from(context.span_id),
        TraceFlags::SAMPLED,
        true,
        state,
    )
}

fn context_of(span: &SdkSpan, parent: Option<&TraceContext>) -> Option<TraceContext> {
    let own = opentelemetry::trace::Span::span_context(span);
    let trace_id = u128::from_be_bytes(own.trace_id().to_bytes());
    let span_id = u64::from_be_bytes(own.span_id().to_bytes());
    TraceContext::sampled(trace_id, span_id, parent.and_then(TraceContext::tracestate))
}
