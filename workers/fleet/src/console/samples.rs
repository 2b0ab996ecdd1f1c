//! What this process measured of itself in the last hour: for the charts of the console.
//!
//! Every [`SAMPLE_EVERY`] the page that Prometheus would scrape is read, and what the charts show of it is kept: at most
//! [`SAMPLES_MAX`] times. Figures of other processes are not here. Whoever has Prometheus has all of it and for longer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use watchbell::runtime::{Clock, telemetry::Metrics};

/// How often this process is looked at.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// How soon the second sample comes: a chart begins with it.
const FIRST_AFTER: Duration = Duration::from_secs(1);
/// Samples that are kept: those of an hour.
const SAMPLES_MAX: usize = 360;

/// What is made of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What it was.
    Value,
    /// How much it grew a second.
    PerSecond,
    /// The mean of what a histogram took in since the sample before.
    Mean,
}

/// One line of a chart.
struct Series {
    /// What the page calls it.
    key: &'static str,
    kind: Kind,
    metric: &'static str,
    /// A label that has this value, as it is written; empty: all series of the metric together.
    label: &'static str,
}

const fn series(key: &'static str, kind: Kind, metric: &'static str, label: &'static str) -> Series {
    Series { key, kind, metric, label }
}

/// Everything that is kept.
const SERIES: [Series; 21] = [
    series("alerts_accepted", Kind::PerSecond, "watchbell_ingest_alerts_total", "outcome=\"accepted\""),
    series("alerts_recorded", Kind::PerSecond, "watchbell_dispatch_alerts_total", "outcome=\"recorded\""),
    series("alerts_rejected", Kind::PerSecond, "watchbell_dispatch_alerts_total", "outcome=\"rejected\""),
    series("rows_recorded", Kind::PerSecond, "watchbell_dispatch_rows_total", "outcome=\"recorded\""),
    series("sessions", Kind::Value, "watchbell_socket_sessions", ""),
    series("frames", Kind::PerSecond, "watchbell_socket_frames_sent_total", ""),
    series("written_s", Kind::Mean, "watchbell_alert_written_seconds", ""),
    series("timer_late_s", Kind::Mean, "watchbell_fallback_timer_lateness_seconds", ""),
    series("oldest_due_s", Kind::Value, "watchbell_fallback_oldest_due_seconds", ""),
    series("backlog", Kind::Value, "watchbell_fallback_backlog", ""),
    series("calls", Kind::PerSecond, "watchbell_fallback_provider_calls_total", ""),
    series(
        "calls_accepted",
        Kind::PerSecond,
        "watchbell_fallback_provider_calls_total",
        "outcome=\"accepted\"",
    ),
    series("put_off", Kind::PerSecond, "watchbell_fallback_put_off_total", ""),
    series("queue_dispatch", Kind::Value, QUEUE, "queue=\"watchbell.dispatch\""),
    series("queue_undelivered", Kind::Value, QUEUE, "queue=\"watchbell.undelivered\""),
    series("queue_rejected", Kind::Value, QUEUE, "queue=\"watchbell.rejected\""),
    series("queue_dead", Kind::Value, QUEUE, "queue=\"watchbell.dead\""),
    series("store_s", Kind::Mean, "watchbell_store_seconds", ""),
    series("commit_s", Kind::Mean, "watchbell_store_commit_seconds", ""),
    series("memory_bytes", Kind::Value, "process_resident_memory_bytes", ""),
    series("cpu", Kind::PerSecond, "process_cpu_seconds_total", ""),
];

const QUEUE: &str = "watchbell_queue_messages";
const GATES: &str = "watchbell_fallback_gates_shut";
const SUSPECTS: &str = "watchbell_fallback_suspects";
const CALLS: &str = "watchbell_fallback_provider_calls_total";

/// What a series was at one moment: its value, and for a histogram how many there were.
type Reading = Option<(f64, f64)>;

struct Sample {
    at: Timestamp,
    readings: [Reading; SERIES.len()],
}

/// The last hour.
pub(crate) struct Samples {
    metrics: Metrics,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    providers: BTreeMap<String, ProviderNow>,
}

/// How a provider is, as this process sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct ProviderNow {
    /// Breakers that are open now: for everybody, or for one tenant.
    gates_shut: f64,
    /// Devices that are not called for a while.
    suspects: f64,
    /// Calls since the process began, by what was answered.
    calls: BTreeMap<String, f64>,
}

/// The charts.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Charts {
    /// When each point was, in milliseconds since 1970.
    times: Vec<i64>,
    /// The points; `null` where this process has no such figure.
    series: BTreeMap<&'static str, Vec<Option<f64>>>,
    providers: BTreeMap<String, ProviderNow>,
}

impl Samples {
    pub(crate) fn new(metrics: Metrics, clock: Clock) -> Self {
        Self { metrics, clock, kept: Mutex::default() }
    }

    /// Takes a sample from time to time, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut wait = FIRST_AFTER;
        loop {
            self.take(&self.metrics.render(), self.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => wait = SAMPLE_EVERY,
            }
        }
    }

    fn take(&self, page: &str, at: Timestamp) {
        let lines: Vec<Line<'_>> = page.lines().filter_map(Line::of).collect();
        let readings = std::array::from_fn(|place| read(&SERIES[place], &lines));
        let providers = providers(&lines);
        // Nothing panics while it is held.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.samples.len() == SAMPLES_MAX {
            kept.samples.pop_front();
        }
        kept.samples.push_back(Sample { at, readings });
        kept.providers = providers;
    }

    /// What was measured, a point for each sample but the first.
    pub(super) fn charts(&self) -> Charts {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = || kept.samples.iter().zip(kept.samples.iter().skip(1));
        let points = |place: usize| {
            pairs().map(move |(before, after)| {
                let seconds = after.at.duration_since(before.at).as_secs_f64();
                point(SERIES[place].kind, before.readings[place], after.readings[place], seconds)
            })
        };
        Charts {
            times: pairs().map(|(_, after)| after.at.as_millisecond()).collect(),
            series: SERIES
                .iter()
                .enumerate()
                .map(|(place, series)| (series.key, points(place).collect()))
                .collect(),
            providers: kept.providers.clone(),
        }
    }
}

/// A line of the page: a name, labels as they are written, a value.
struct Line<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Self { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    }

    /// The value of a label. Values are words of ours: none holds a quote or a comma.
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.labels.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(label, _)| *label == name).map(|(_, value)| value.trim_matches('"'))
    }
}

fn read(series: &Series, lines: &[Line<'_>]) -> Reading {
    let of = |suffix: &str| {
        let is_meant = |line: &&Line<'_>| {
            line.name.strip_suffix(suffix) == Some(series.metric) && line.labels.contains(series.label)
        };
        let values: Vec<f64> = lines.iter().filter(is_meant).map(|line| line.value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>())
    };
    match series.kind {
        Kind::Value | Kind::PerSecond => of("").map(|value| (value, 0.0)),
        Kind::Mean => of("_sum").zip(of("_count")),
    }
}

/// The point between two samples.
fn point(kind: Kind, before: Reading, after: Reading, seconds: f64) -> Option<f64> {
    let (value, count) = after?;
    let point = match kind {
        Kind::Value => value,
        Kind::PerSecond => (value - before?.0) / seconds,
        // A histogram that begins with its first event took in all of it since the sample before.
        Kind::Mean => (value - before.unwrap_or_default().0) / (count - before.unwrap_or_default().1),
    };
    // Nothing happened, or the clock stood still: there is no point.
    point.is_finite().then_some(point)
}

fn providers(lines: &[Line<'_>]) -> BTreeMap<String, ProviderNow> {
    let mut providers: BTreeMap<String, ProviderNow> = BTreeMap::new();
    for line in lines {
        if ![GATES, SUSPECTS, CALLS].contains(&line.name) {
            continue;
        }
        let Some(name) = line.label("provider") else { continue };
        let provider = providers.entry(breaker_of(name).to_owned()).or_default();
        match line.name {
            GATES => provider.gates_shut += line.value,
            SUSPECTS => provider.suspects += line.value,
            _ if line.value > 0.0 => {
                let outcome = line.label("outcome").unwrap_or_default();
                *provider.calls.entry(outcome.to_owned()).or_default() += line.value;
            }
            _ => {}
        }
    }
    providers
}

/// The name that breakers have for a provider. Calls are told of two by another.
fn breaker_of(provider: &str) -> &str {
    match provider {
        "smtp" => "email",
        "sms" => "twilio",
        same => same,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_value_a_rate_or_a_mean() {
        for (why, kind, before, after, expected) in [
            ("a value", Kind::Value, None, Some((7.0, 0.0)), Some(7.0)),
            ("a rate", Kind::PerSecond, Some((10.0, 0.0)), Some((30.0, 0.0)), Some(2.0)),
            ("no rate without a sample before", Kind::PerSecond, None, Some((30.0, 0.0)), None),
            ("a mean", Kind::Mean, Some((1.0, 10.0)), Some((2.0, 14.0)), Some(0.25)),
            ("a mean of the first ones", Kind::Mean, None, Some((2.0, 4.0)), Some(0.5)),
            ("nothing came in", Kind::Mean, Some((1.0, 10.0)), Some((1.0, 10.0)), None),
            ("this process has no such figure", Kind::Value, None, None, None),
        ] {
            assert_eq!(point(kind, before, after, 10.0), expected, "{why}");
        }
    }

    #[test]
    fn a_page_is_read_as_prometheus_would() {
        let page = "# TYPE watchbell_queue_messages gauge\n\
                    watchbell_queue_messages{queue=\"watchbell.dispatch\"} 3\n\
                    watchbell_queue_messages{queue=\"watchbell.dead\"} 1\n\
                    watchbell_socket_frames_sent_total{type=\"alert\"} 4\n\
                    watchbell_socket_frames_sent_total{type=\"hello\"} 2\n\
                    watchbell_alert_written_seconds_bucket{severity=\"info\",le=\"0.1\"} 2\n\
                    watchbell_alert_written_seconds_sum{severity=\"info\"} 0.5\n\
                    watchbell_alert_written_seconds_count{severity=\"info\"} 2\n\
                    watchbell_fallback_gates_shut{provider=\"apns\",of=\"tenant\"} 1\n\
                    watchbell_fallback_gates_shut{provider=\"apns\",of=\"everybody\"} 1\n\
                    watchbell_fallback_provider_calls_total{provider=\"apns\",outcome=\"accepted\"} 9\n\
                    watchbell_fallback_provider_calls_total{provider=\"apns\",outcome=\"throttled\"} 0\n";
        let lines: Vec<Line<'_>> = page.lines().filter_map(Line::of).collect();
        let reading = |key: &str| read(SERIES.iter().find(|series| series.key == key).unwrap(), &lines);
        assert_eq!(reading("queue_dispatch"), Some((3.0, 0.0)));
        assert_eq!(reading("queue_dead"), Some((1.0, 0.0)));
        assert_eq!(reading("frames"), Some((6.0, 0.0)), "all types together");
        assert_eq!(reading("written_s"), Some((0.5, 2.0)));
        assert_eq!(reading("sessions"), None);
        let apns = &providers(&lines)["apns"];
        assert_eq!((apns.gates_shut, apns.suspects), (2.0, 0.0));
        assert_eq!(apns.calls, BTreeMap::from([("accepted".to_owned(), 9.0)]));
    }

    #[test]
    fn each_line_of_a_chart_has_a_metric_that_there_is() {
        let known = crate::metric_tables::names();
        for series in SERIES.iter().map(|series| series.metric).chain([QUEUE, GATES, SUSPECTS, CALLS]) {
            assert!(known.contains(&series), "{series}");
        }
    }
}
