//! Gathers ended spans into batches and sends them, until the process ends.

use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::runtime::{
    config::TracingSection,
    traces::{EndedSpans, count},
};

use super::collector::{CollectorError, SpanSink};

/// How batches are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportBounds {
    batch_max: usize,
    batch_wait: Duration,
    flush_timeout: Duration,
}

impl From<&TracingSection> for ExportBounds {
    fn from(section: &TracingSection) -> Self {
        let TracingSection { batch_max, batch_wait, flush_timeout, .. } = *section;
        Self { batch_max, batch_wait, flush_timeout }
    }
}

/// Sends the spans of this process.
pub(crate) struct SpanExport<S> {
    spans: EndedSpans,
    sink: S,
    bounds: ExportBounds,
    /// What is gathered and not yet sent.
    batch: Vec<SpanData>,
    /// Spans that are being sent.
    in_flight: usize,
    /// Spans that were lost since the collector did not answer; none while it does.
    lost: Option<usize>,
}

impl<S: SpanSink> SpanExport<S> {
    pub(crate) fn new(spans: EndedSpans, sink: S, bounds: ExportBounds) -> Self {
        Self { spans, sink, bounds, batch: Vec::new(), in_flight: 0, lost: None }
    }

    /// Sends until `stop`, and then what is left, for `tracing.flush_timeout` at the longest. Call it off when no span can end any
    /// more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let flush_timeout = self.bounds.flush_timeout;
        let too_late = async {
            stop.cancelled().await;
            sleep(flush_timeout).await;
        };
        let is_whole = tokio::select! {
            () = self.send_all(&stop) => true,
            () = too_late => false,
        };
        if !is_whole {
            let lost = self.in_flight + self.batch.len() + self.spans.waiting();
            count("failed", lost);
            warn!(lost, "{lost} spans were not sent within tracing.flush_timeout and are lost");
        }
    }

    async fn send_all(&mut self, stop: &CancellationToken) {
        loop {
            let goes_on = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                is_open = self.gather() => is_open,
            };
            if !goes_on {
                break;
            }
            self.send().await;
        }
        loop {
            self.spans.fill(&mut self.batch, self.bounds.batch_max);
            if self.batch.is_empty() {
                return;
            }
            self.send().await;
        }
    }

    /// Waits for a first span, and then until the batch is full or has waited long enough. False when no span can end any more.
    /// Cancel-safe: what was gathered stays.
    async fn gather(&mut self) -> bool {
        let ExportBounds { batch_max, batch_wait, .. } = self.bounds;
        let mut is_open = self.spans.wait_for_more(&mut self.batch, batch_max).await;
        let until = Instant::now() + batch_wait;
        while is_open && self.batch.len() < batch_max {
            match timeout_at(until, self.spans.wait_for_more(&mut self.batch, batch_max)).await {
                Ok(more) => is_open = more,
                Err(_) => break,
            }
        }
        is_open
    }

    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.in_flight = batch.len();
        let sent = self.sink.send(batch).await;
        let spans = std::mem::take(&mut self.in_flight);
        match &sent {
            Ok(refused) => {
                let refused = (*refused).min(spans);
                count("exported", spans - refused);
                count("failed", refused);
                if refused > 0 {
                    warn!(refused, spans, "The collector refused {refused} of {spans} spans");
                }
            }
            Err(_) => count("failed", spans),
        }
        self.tell(sent.err(), spans);
    }

    /// Once when it goes, and once when it is back.
    fn tell(&mut self, error: Option<CollectorError>, spans: usize) {
        match (error, &mut self.lost) {
            (Some(_), Some(lost)) => *lost += spans,
            (Some(error), lost) => {
                *lost = Some(spans);
                warn!("Traces do not reach the collector: {error}. Alerts go on; look at tracing.endpoint");
            }
            (None, lost) => {
                if let Some(lost) = lost.take() {
                    info!(lost, "Traces reach the collector again; {lost} spans were lost");
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use watchbell::runtime::traces::samples::SpanSource;

    use super::*;

    /// Answers from a list, and remembers how many spans it was sent. Without an answer it does not come back.
    #[derive(Clone, Default)]
    struct ScriptedSink {
        answers: Arc<Mutex<VecDeque<Result<usize, CollectorError>>>>,
        sent: Arc<Mutex<Vec<usize>>>,
    }

    impl SpanSink for ScriptedSink {
        async fn send(&self, batch: Vec<SpanData>) -> Result<usize, CollectorError> {
            self.sent.lock().unwrap().push(batch.len());
            let answer = self.answers.lock().unwrap().pop_front();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    const BOUNDS: ExportBounds = ExportBounds {
        batch_max: 3,
        batch_wait: Duration::from_secs(1),
        flush_timeout: Duration::from_secs(2),
    };

    fn answers(answers: impl IntoIterator<Item = Result<usize, CollectorError>>) -> ScriptedSink {
        let sink = ScriptedSink::default();
        sink.answers.lock().unwrap().extend(answers);
        sink
    }

    /// What became of so many spans that had ended when the process was told to stop, and the counts by outcome.
    async fn flushed(spans: usize, sink: &ScriptedSink) -> Vec<String> {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let stop = CancellationToken::new();
        stop.cancel();
        let (source, ended) = SpanSource::new(100);
        source.end(spans);
        SpanExport::new(ended, sink.clone(), BOUNDS).run(stop).await;
        let text = handle.render();
        let lines = text.lines().filter(|line| line.starts_with("watchbell_tracing_spans_total"));
        let counted = lines.filter(|line| !line.ends_with(" 0"));
        let mut counted: Vec<String> = counted.map(|line| line.split('"').skip(1).collect()).collect();
        counted.sort();
        counted
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_has_ended_and_for_no_more_than_its_bound() {
        let away = || Err(CollectorError::Refused(503));
        for (why, sink, sent, counted) in [
            ("all of it, in batches", answers([Ok(0), Ok(0)]), vec![3, 2], vec!["exported} 5"]),
            ("some are refused", answers([Ok(1), Ok(0)]), vec![3, 2], vec!["exported} 4", "failed} 1"]),
            ("one batch is lost", answers([away(), Ok(0)]), vec![3, 2], vec!["exported} 2", "failed} 3"]),
            ("it does not answer", answers([Ok(0)]), vec![3, 2], vec!["exported} 3", "failed} 2"]),
            ("it never answers", answers([]), vec![3], vec!["failed} 5"]),
        ] {
            let began = Instant::now();
            assert_eq!(flushed(5, &sink).await, counted, "{why}");
            assert_eq!(*sink.sent.lock().unwrap(), sent, "{why}");
            assert!(began.elapsed() <= BOUNDS.flush_timeout + Duration::from_millis(2), "{why}");
        }
        assert_eq!(flushed(0, &answers([])).await, [""; 0], "nothing is sent of nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_when_it_is_full_or_has_waited() {
        let sink = answers([Ok(0), Ok(0), Ok(0)]);
        let stop = CancellationToken::new();
        let (source, ended) = SpanSource::new(100);
        source.end(7);
        let running = tokio::spawn(SpanExport::new(ended, sink.clone(), BOUNDS).run(stop.clone()));
        let began = Instant::now();
        while sink.sent.lock().unwrap().len() < 3 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*sink.sent.lock().unwrap(), [3, 3, 1]);
        assert!(began.elapsed() >= BOUNDS.batch_wait, "the last one waited for others");
        stop.cancel();
        running.await.unwrap();
    }
}
