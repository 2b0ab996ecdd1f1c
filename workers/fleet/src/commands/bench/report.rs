//! Figures of Watchbell and of the floor, side by side.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Map, Value, json};

use super::load::{Latency, Throughput};
use crate::cli::BenchArgs;

/// What was measured of one target.
#[derive(Debug, Default)]
pub(super) struct Figures {
    accepted_per_s: f64,
    delivered_per_s: f64,
    accepted_p50_ms: f64,
    accepted_p99_ms: f64,
    delivered_p50_ms: f64,
    delivered_p99_ms: f64,
    bytes_per_session: Option<f64>,
}

impl Figures {
    pub(super) fn of(latency: &Latency, floods: &[Throughput], bytes_per_session: Option<f64>) -> Self {
        let middle = |of: fn(&Throughput) -> f64| median(floods.iter().map(of).collect());
        let ms = |times: &[Duration], percent| percentile(times, percent).as_secs_f64() * 1_000.0;
        Self {
            accepted_per_s: middle(|flood| flood.accepted),
            delivered_per_s: middle(|flood| flood.delivered),
            accepted_p50_ms: ms(&latency.accepted, 50),
            accepted_p99_ms: ms(&latency.accepted, 99),
            delivered_p50_ms: ms(&latency.delivered, 50),
            delivered_p99_ms: ms(&latency.delivered, 99),
            bytes_per_session,
        }
    }

    /// Name for programs, name for people, decimals, figure.
    fn rows(&self) -> Vec<(&'static str, &'static str, usize, f64)> {
        let mut rows = vec![
            ("accepted_per_s", "alerts accepted a second", 0, self.accepted_per_s),
            ("delivered_per_s", "alerts delivered a second", 0, self.delivered_per_s),
            ("accepted_p50_ms", "publish to 202, p50, ms", 2, self.accepted_p50_ms),
            ("accepted_p99_ms", "publish to 202, p99, ms", 2, self.accepted_p99_ms),
            ("delivered_p50_ms", "publish to socket, p50, ms", 2, self.delivered_p50_ms),
            ("delivered_p99_ms", "publish to socket, p99, ms", 2, self.delivered_p99_ms),
        ];
        rows.extend(
            self.bytes_per_session.map(|bytes| ("bytes_per_session", "bytes an idle session", 0, bytes)),
        );
        rows
    }
}

/// For people. The ratio is Watchbell's figure divided by the floor's.
pub(super) fn table(watchbell: &Figures, floor: &Figures) -> String {
    let mut text = format!("{:<28}{:>12}{:>12}{:>10}", "", "Watchbell", "floor", "ratio");
    for ((_, name, decimals, ours), (.., bare)) in watchbell.rows().into_iter().zip(floor.rows()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{name:<28}{ours:>12.decimals$}{bare:>12.decimals$}{:>10.2}", ours / bare);
    }
    text
}

/// For programs: one line.
pub(super) fn json(args: &BenchArgs, watchbell: &Figures, floor: &Figures) -> Value {
    let pairs = watchbell.rows().into_iter().zip(floor.rows());
    let figures: Map<String, Value> = pairs
        .map(|((key, _, _, ours), (.., bare))| {
            (key.to_owned(), json!({"watchbell": ours, "floor": bare, "ratio": ours / bare}))
        })
        .collect();
    json!({
        "alerts": args.alerts,
        "users": args.users,
        "batch": args.batch,
        "concurrency": args.concurrency,
        "rate": args.rate,
        "seconds": args.seconds,
        "sessions": args.sessions,
        "figures": figures,
    })
}

/// The least time that so many percent did not exceed; zero when there are none.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        for (why, times, percent, expected_ms) in [
            ("half", &times[..], 50, 100),
            ("nearly all", &times[..], 99, 198),
            ("one alone", &times[..1], 99, 200),
            ("none", &[], 50, 0),
        ] {
            assert_eq!(percentile(times, percent), Duration::from_millis(expected_ms), "{why}");
        }
    }

    #[test]
    fn the_flood_in_the_middle_counts() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn memory_is_a_row_only_when_it_was_measured() {
        let without = Figures::default();
        let with = Figures { bytes_per_session: Some(3_000.0), ..Figures::default() };
        assert_eq!(table(&without, &without).lines().count(), 7);
        assert!(table(&with, &with).ends_with("1.00"));
    }
}
