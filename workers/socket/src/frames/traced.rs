//! What is traced of a live message: its arrival at the pod, and the first of the writes that it leads to.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use watchbell::{
    broker::Message,
    runtime::traces::{
        self, Began, Span,
        span_table::{LIVE, MESSAGE_ID, RECIPIENTS, TENANT, WRITE},
    },
    wire::TraceContext,
};

/// Writes of one live message that have a span: an alert for everybody has a hundred thousand.
const WRITES_MAX: u32 = 16;

/// The span of a live message; none of almost all.
pub(crate) fn arrived(message: &Message) -> Span {
    let mut span = traces::below(&LIVE, traces::context_of(&message.headers).as_ref());
    span.tell(|told| {
        told.say(&MESSAGE_ID, message.message_id.clone());
    });
    span
}

/// Whose message it is, and for how many people it is here; who follows a topic is not known before it is given to them.
pub(crate) fn told(span: &mut Span, tenant: &str, recipients: Option<usize>) {
    span.tell(|told| {
        told.say(&TENANT, tenant.to_owned());
        if let Some(recipients) = recipients {
            told.say(&RECIPIENTS, recipients as i64);
        }
    });
}

/// The frames of one traced live message, until they are written.
#[derive(Debug)]
pub(crate) struct FrameTrace {
    context: TraceContext,
    began: Began,
    /// Writes that may still have a span.
    left: AtomicU32,
}

impl FrameTrace {
    /// Of the live message with this span; none without one.
    pub(crate) fn of(span: &Span) -> Option<Arc<Self>> {
        let context = span.context()?.clone();
        Some(Arc::new(Self { context, began: Began::now(), left: AtomicU32::new(WRITES_MAX) }))
    }

    /// One session's frame was written.
    pub(crate) fn written(&self) {
        let take = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            drop(traces::since(&WRITE, &self.context, self.began));
        }
    }
}
