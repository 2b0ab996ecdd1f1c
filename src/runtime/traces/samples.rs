//! Spans without a process that makes them, for the tests of whoever exports them.

use super::{EndedSpans, Span, TracerSettings, span_table::RECORD, tracer::Tracer};

/// Where such spans come from.
#[derive(Debug)]
pub struct SpanSource(Tracer);

impl SpanSource {
    /// A source, and what has ended there: so many spans may wait.
    pub fn new(queue_max: usize) -> (Self, EndedSpans) {
        let (tracer, ended) = Tracer::new(TracerSettings {
            sample_ratio: 1.0,
            follow_producers: true,
            queue_max,
            user_ids: false,
            messaging_system: "rabbitmq",
        });
        (Self(tracer), ended)
    }

    /// So many spans end.
    pub fn end(&self, spans: usize) {
        (0..spans).for_each(|_| drop(Span::begin(&self.0, &RECORD, RECORD.name.into(), None)));
    }
}
