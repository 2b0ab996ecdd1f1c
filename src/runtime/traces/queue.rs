//! Spans that have ended and wait to be exported: a queue with a bound. Whoever ends a span never waits; what finds the queue
//! full is dropped and counted.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc;

/// What has ended, in the order in which it did.
#[derive(Debug)]
pub struct EndedSpans(mpsc::Receiver<SpanData>);

/// A queue for so many spans, and who reads it.
pub(super) fn queue(spans_max: usize) -> (QueueProcessor, EndedSpans) {
    let (ended, spans) = mpsc::channel(spans_max.max(1));
    (QueueProcessor { ended }, EndedSpans(spans))
}

impl EndedSpans {
    /// Adds what waits, until there are `batch_max`; waits for one at the least. False when no span can end any more. Cancel-safe.
    pub async fn wait_for_more(&mut self, batch: &mut Vec<SpanData>, batch_max: usize) -> bool {
        let room = batch_max.saturating_sub(batch.len());
        self.0.recv_many(batch, room.max(1)).await > 0
    }

    /// Adds what has come meanwhile, until there are `batch_max`.
    pub fn fill(&mut self, batch: &mut Vec<SpanData>, batch_max: usize) {
        while batch.len() < batch_max
            && let Ok(span) = self.0.try_recv()
        {
            batch.push(span);
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }
}

/// Puts what ends into the queue.
#[derive(Debug)]
pub(super) struct QueueProcessor {
    ended: mpsc::Sender<SpanData>,
}

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.ended.try_send(span).is_err() {
            super::count("overflowed", 1);
        }
    }

    /// Whoever reads the queue exports what is in it, and ends within its own bound.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
