//! What is in line to be written to a client, and what is counted of it once it is written.
//!
//! Every frame of every session comes through here, so the series are looked up once.

use std::sync::Arc;

use bytes::Bytes;
use metrics::{Counter, Histogram};
use watchbell::{
    runtime::{Clock, metric::BySeries},
    wire::live::LivePublished,
};

use crate::{frames::traced::FrameTrace, metric_table};

/// Bytes in line, with the frames that end with them.
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    pub(crate) marks: Marks,
}

/// The frames in some bytes.
pub(crate) enum Marks {
    /// None: the head of an answer, or a frame of WebSocket's own.
    None,
    One(FrameMark),
    /// Gathered into one message.
    Many(Vec<FrameMark>),
}

/// What is counted of one frame.
#[derive(Debug, Clone)]
pub(crate) struct FrameMark {
    pub(crate) kind: &'static str,
    /// For a live alert, as far as it is known.
    pub(crate) published: Option<LivePublished>,
    /// For a live alert that is traced.
    pub(crate) trace: Option<Arc<FrameTrace>>,
}

impl Marks {
    pub(crate) fn as_slice(&self) -> &[FrameMark] {
        match self {
            Self::None => &[],
            Self::One(mark) => std::slice::from_ref(mark),
            Self::Many(marks) => marks,
        }
    }
}

/// Counts what is written.
pub(crate) struct SentFrames {
    clock: Clock,
    sent: BySeries<Counter>,
    alert_written: BySeries<Histogram>,
}

impl SentFrames {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sent: metric_table::FRAMES_SENT.counters(),
            alert_written: metric_table::ALERT_WRITTEN.histograms(),
        }
    }

    /// These were written just now.
    pub(crate) fn count(&self, marks: &[FrameMark]) {
        for FrameMark { kind, published, trace } in marks {
            self.sent.with(kind, |counter| counter.increment(1));
            if let Some(LivePublished { at_ms, severity }) = published {
                // The clock of whoever took it may be ahead of ours.
                let took_ms = self.clock.now().as_millisecond().saturating_sub(*at_ms).max(0);
                self.alert_written
                    .with(severity.as_str(), |histogram| histogram.record(took_ms as f64 / 1_000.0));
            }
            if let Some(trace) = trace {
                trace.written();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use watchbell::domain::Severity;

    use super::*;

    #[test]
    fn a_frame_counts_for_its_type_and_a_live_alert_for_its_time() {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0, 2.0]).unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let sent = SentFrames::new(Clock::at(Timestamp::from_millisecond(10_000).unwrap()));
            let live = |at_ms| FrameMark {
                kind: "alert",
                published: Some(LivePublished { at_ms, severity: Severity::Critical }),
                trace: None,
            };
            let untimed = |kind| FrameMark { kind, published: None, trace: None };
            sent.count(&[live(8_500), untimed("alert"), untimed("ping")]);
            sent.count(&[live(11_000)]);
        });
        let text = handle.render();
        for line in [
            r#"watchbell_socket_frames_sent_total{type="alert"} 3"#,
            r#"watchbell_socket_frames_sent_total{type="ping"} 1"#,
            r#"watchbell_alert_written_seconds_bucket{severity="critical",le="1"} 1"#,
            r#"watchbell_alert_written_seconds_sum{severity="critical"} 1.5"#,
            r#"watchbell_alert_written_seconds_count{severity="critical"} 2"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
