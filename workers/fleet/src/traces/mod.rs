//! Traces leave the process: ended spans are gathered and sent to a collector, by OTLP over HTTP with protobuf.
//!
//! What holds here:
//! - Nobody waits for the collector: one that is slow or away costs spans, which are counted, and nothing else.
//! - A batch is sent once. Sent again it could be there twice, and what waits meanwhile would push newer spans out.
//! - The log says once that the collector is away, and once that it is back with how many spans were lost.
//! - The end of the process waits for the last spans, and no longer than `tracing.flush_timeout`.
//!
//! Elsewhere: what spans there are, and the queue that they wait in, in `watchbell::runtime::traces`.
//!
//! | file | what |
//! |---|---|
//! | `collector.rs` | one request to the collector, and what it answers |
//! | `export.rs` | gathers batches and sends them until the process ends |
//! | `page_tests.rs` | `docs/traces.md` is what the table says |

mod collector;
mod export;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod page_tests;

pub(crate) use collector::{Collector, CollectorAccess, CollectorError};
pub(crate) use export::SpanExport;

use watchbell::runtime::{config::TracingSection, traces};

/// Makes spans from now on, if they are wanted; what is given sends them, and takes another token for the collector. `instance` tells this process from the others.
///
/// # Errors
/// The collector's trust roots cannot be used.
pub(crate) fn begin(
    section: &TracingSection,
    messaging_system: &'static str,
    instance: &str,
) -> anyhow::Result<Option<(SpanExport<Collector>, CollectorAccess)>> {
    let Some(settings) = section.tracer(messaging_system) else { return Ok(None) };
    let Some(collector) = Collector::of(section, instance)? else { return Ok(None) };
    // Called once a process; a second one's spans would have nobody to send them.
    let (spans, access) = (traces::install(settings), collector.access());
    Ok(spans.map(|spans| (SpanExport::new(spans, collector, section.into()), access)))
}
