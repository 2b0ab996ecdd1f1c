//! Figures of Watchbell and of the floors, side by side.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Map, Value, json};

use super::load::{Latency, Throughput};
use crate::cli_bench::BenchArgs;

/// What was measured of one target.
#[derive(Debug, Default)]
pub(super) struct Figures {
    accepted_per_s: f64,
    delivered_per_s: f64,
    /// One at each rate, in the order that they were asked for.
    latencies: Vec<LatencyFigures>,
    bytes_per_session: Option<f64>,
    /// Processor time of one alert of a flood, by process.
    cpu: Vec<(String, Duration)>,
}

/// In milliseconds.
#[derive(Debug, Default)]
struct LatencyFigures {
    /// Alerts a second.
    rate: u32,
    accepted: Percentiles,
    delivered: Percentiles,
}

/// In milliseconds.
#[derive(Debug, Default)]
struct Percentiles {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// A line of the report: a name for programs, one for people, decimals, and the figure if it was measured.
type Row = (String, String, usize, Option<f64>);

impl Figures {
    pub(super) fn of(
        latencies: Vec<Latency>,
        floods: &[Throughput],
        bytes_per_session: Option<f64>,
        cpu: Vec<(String, Duration)>,
    ) -> Self {
        let latency = |of: Latency| LatencyFigures {
            rate: of.rate,
            accepted: Percentiles::of(of.accepted),
            delivered: Percentiles::of(of.delivered),
        };
        Self {
            accepted_per_s: median(floods.iter().map(|flood| flood.accepted).collect()),
            delivered_per_s: capacity(floods),
            latencies: latencies.into_iter().map(latency).collect(),
            bytes_per_session,
            cpu,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let row =
            |key: &str, name: &str, decimals, figure| (key.to_owned(), name.to_owned(), decimals, figure);
        let mut rows = vec![
            row("accepted_per_s", "alerts accepted a second", 0, Some(self.accepted_per_s)),
            row("delivered_per_s", "alerts delivered a second", 0, Some(self.delivered_per_s)),
        ];
        for (number, latency) in self.latencies.iter().enumerate() {
            rows.push((
                format!("latency_{number}_rate"),
                "then, alerts a second".to_owned(),
                0,
                Some(f64::from(latency.rate)),
            ));
            for (key, name, of) in [
                ("accepted", "publish to 202", &latency.accepted),
                ("delivered", "publish to socket", &latency.delivered),
            ] {
                for (percent, figure) in [("50", of.p50), ("99", of.p99), ("99.9", of.p999)] {
                    let percent_key = percent.replace('.', "");
                    let key = format!("latency_{number}_{key}_p{percent_key}_ms");
                    rows.push((key, format!("  {name}, p{percent}, ms"), 2, Some(figure)));
                }
            }
        }
        if self.bytes_per_session.is_some() {
            rows.push(row("bytes_per_session", "bytes an idle session", 0, self.bytes_per_session));
        }
        rows
    }

    /// Processor time of one alert by process, and of all of them, in microseconds.
    fn cpu_rows(&self) -> Vec<(String, f64)> {
        let micros = |time: &Duration| time.as_secs_f64() * 1e6;
        let mut rows: Vec<(String, f64)> =
            self.cpu.iter().map(|(name, time)| (name.clone(), micros(time))).collect();
        rows.push(("all".to_owned(), self.cpu.iter().map(|(_, time)| micros(time)).sum()));
        rows
    }
}

impl Percentiles {
    fn of(times: Vec<Duration>) -> Self {
        let mut sorted = times;
        sorted.sort_unstable();
        let ms = |permille| percentile(&sorted, permille).as_secs_f64() * 1_000.0;
        Self { p50: ms(500), p99: ms(990), p999: ms(999) }
    }
}

/// What was measured in one run.
pub(super) struct Report {
    pub(super) watchbell: Figures,
    /// Where it was asked for.
    pub(super) durable: Option<Figures>,
    pub(super) floor: Figures,
}

impl Report {
    /// For people. A ratio is Watchbell's figure divided by the floor's beside it.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:<30}{:>12}", "", "Watchbell");
        for (name, _) in self.floors() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name:>16}{:>8}", "ratio");
        }
        let floors: Vec<Vec<Row>> = self.floors().map(|(_, floor)| floor.rows()).collect();
        for (line, (_, name, decimals, ours)) in self.watchbell.rows().into_iter().enumerate() {
            let Some(ours) = ours else { continue };
            let _ = write!(text, "\n{name:<30}{ours:>12.decimals$}");
            for floor in &floors {
                let bare = floor.get(line).and_then(|(.., figure)| *figure).unwrap_or(f64::NAN);
                let _ = write!(text, "{bare:>16.decimals$}{:>8.2}", ours / bare);
            }
        }
        text.push_str(&self.cpu_table());
        text
    }

    /// Where the processor time of an alert goes. Nothing where no process was named.
    fn cpu_table(&self) -> String {
        let mut text = String::new();
        if self.watchbell.cpu.is_empty() {
            return text;
        }
        let all = std::iter::once(("Watchbell", &self.watchbell)).chain(self.floors());
        for (target, figures) in all {
            let _ = write!(text, "\n\nprocessor time of an alert, microseconds: {target}");
            for (name, micros) in figures.cpu_rows() {
                let _ = write!(text, "\n  {name:<28}{micros:>12.0}");
            }
        }
        text
    }

    /// For programs: one line.
    pub(super) fn json(&self, args: &BenchArgs) -> Value {
        let floors: Vec<(&str, Vec<Row>)> = self.floors().map(|(name, floor)| (name, floor.rows())).collect();
        let figure = |(line, (key, _, _, ours)): (usize, Row)| {
            let mut figure = Map::from_iter([("watchbell".to_owned(), json!(ours))]);
            for (name, rows) in &floors {
                let bare = rows.get(line).and_then(|(.., figure)| *figure);
                let name = name.replace(' ', "_");
                figure.insert(format!("{name}_ratio"), json!(ours.zip(bare).map(|(ours, bare)| ours / bare)));
                figure.insert(name, json!(bare));
            }
            (key, Value::Object(figure))
        };
        let figures: Map<String, Value> = self.watchbell.rows().into_iter().enumerate().map(figure).collect();
        let all = std::iter::once(("watchbell", &self.watchbell)).chain(self.floors());
        let cpu: Map<String, Value> = all
            .map(|(name, figures)| {
                let rows = figures.cpu_rows().into_iter().map(|(name, micros)| (name, json!(micros)));
                (name.replace(' ', "_"), Value::Object(rows.collect()))
            })
            .collect();
        json!({
            "alerts": args.alerts,
            "users": args.users,
            "batch": args.batch,
            "concurrency": args.concurrency,
            "seconds": args.seconds,
            "sessions": args.sessions,
            "figures": figures,
            "cpu_us_per_alert": cpu,
        })
    }

    /// The more a floor does, the earlier it comes.
    fn floors(&self) -> impl Iterator<Item = (&'static str, &Figures)> {
        let durable = self.durable.iter().map(|figures| ("durable floor", figures));
        durable.chain([("floor", &self.floor)])
    }
}

/// Alerts delivered a second by the flood in the middle.
pub(super) fn capacity(floods: &[Throughput]) -> f64 {
    median(floods.iter().map(|flood| flood.delivered).collect())
}

/// The least of these times, which are sorted, that so many of a thousand did not exceed; zero when there are none.
fn percentile(sorted: &[Duration], permille: usize) -> Duration {
    let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
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
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (why, times, permille, expected_ms) in [
            ("half", &times[..], 500, 100),
            ("nearly all", &times[..], 990, 198),
            ("all of so few", &times[..], 999, 200),
            ("one alone", &times[..1], 990, 1),
            ("none", &[], 500, 0),
        ] {
            assert_eq!(percentile(times, permille), Duration::from_millis(expected_ms), "{why}");
        }
    }

    #[test]
    fn the_flood_in_the_middle_counts() {
        let flood = |delivered| Throughput { accepted: 0.0, delivered };
        assert_eq!(capacity(&[flood(9.0), flood(1.0), flood(2.0)]), 2.0);
    }

    fn figures(rates: &[u32], bytes: Option<f64>) -> Figures {
        let times = || (1..=100).rev().map(Duration::from_millis).collect();
        let latency = |rate: &u32| Latency { rate: *rate, accepted: times(), delivered: times() };
        let cpu = vec![
            ("ingest".to_owned(), Duration::from_micros(40)),
            ("broker".to_owned(), Duration::from_micros(60)),
        ];
        let flood = Throughput { accepted: 10.0, delivered: 5.0 };
        Figures::of(rates.iter().map(latency).collect(), &[flood], bytes, cpu)
    }

    #[test]
    fn every_figure_stands_beside_each_floor() {
        let report = |durable, bytes| Report {
            watchbell: figures(&[500, 2_000], bytes),
            durable,
            floor: figures(&[500, 2_000], bytes),
        };
        let bare = report(None, None).table();
        assert_eq!(bare.lines().filter(|line| line.contains("1.00")).count(), 2 + 2 * 7, "{bare}");
        let both = report(Some(figures(&[500, 2_000], Some(3_000.0))), Some(3_000.0)).table();
        assert_eq!(
            both.lines().filter(|line| line.matches("1.00").count() == 2).count(),
            3 + 2 * 7,
            "{both}"
        );
        assert!(both.contains("durable floor"), "{both}");
        assert!(both.ends_with("all                                  100"), "{both}");
    }
}
