//! What a metric is: its name, kind, unit, labels, and what it tells an operator.
//!
//! Each part of the program declares its metrics in one table (`METRICS` in `broker`, `store`, `runtime` and each worker).
//! What holds here:
//! - A label has few values, and none of them comes from whoever uses the program: no tenant, user, topic, address or text.
//! - A counter or a histogram whose label values are all known exists from the start, at zero: a rate over a series that
//!   begins with its first event misses that event.
//! - A name says the unit: `_seconds`, `_bytes`; anything else is a number of things.
//!
//! Where something is counted for each frame or message, its series are looked up once ([`Metric::counters`],
//! [`Metric::histograms`]); elsewhere the macros of the crate `metrics` look them up each time.

use metrics::{Counter, Histogram, Unit};

/// One metric, as its part of the program declares it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The public name.
    pub name: &'static str,
    /// What is done with it.
    pub kind: Kind,
    /// What it tells, in one sentence or two.
    pub help: &'static str,
    /// Its labels, if it has any.
    pub labels: &'static [Label],
    /// Whether its series exist from the start, at zero.
    is_there_at_first: bool,
}

/// What is done with a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Is a distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A label and the values that it may have.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
}

/// The values of a label.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// These.
    OneOf(&'static [&'static str]),
    /// A number that the program bounds, in words: "routes of this process".
    Bounded(&'static str),
}

/// A label with these values.
pub const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::OneOf(values) }
}

/// A label whose values the program bounds.
pub const fn bounded(name: &'static str, by: &'static str) -> Label {
    Label { name, values: Values::Bounded(by) }
}

impl Metric {
    /// What only grows.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help, labels: &[], is_there_at_first: true }
    }

    /// What is set.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help, labels: &[], is_there_at_first: true }
    }

    /// A distribution over these buckets.
    pub const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram(buckets), help, labels: &[], is_there_at_first: true }
    }

    /// With labels.
    pub const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// Not there before it is known: zero would be wrong.
    pub const fn absent_at_first(self) -> Self {
        Self { is_there_at_first: false, ..self }
    }

    /// The unit of its values, which its name says.
    pub fn unit(&self) -> Unit {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        match name.rsplit('_').next() {
            Some("seconds") => Unit::Seconds,
            Some("bytes") => Unit::Bytes,
            _ => Unit::Count,
        }
    }

    /// Tells what it is to whoever scrapes this process, and begins those of its series that are known.
    pub fn begin(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.unit(), self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.unit(), self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.unit(), self.help),
        }
        if !self.is_there_at_first {
            return;
        }
        for labels in self.known_series() {
            match self.kind {
                Kind::Counter => metrics::counter!(self.name, &labels).increment(0),
                Kind::Gauge => metrics::gauge!(self.name, &labels).set(0.0),
                // A histogram is there as soon as somebody has it.
                Kind::Histogram(_) => drop(metrics::histogram!(self.name, &labels)),
            }
        }
    }

    /// The labels of each series that can be, when all values are known; else none.
    fn known_series(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut series = vec![Vec::new()];
        for label in self.labels {
            let Values::OneOf(values) = label.values else { return Vec::new() };
            series = series
                .iter()
                .flat_map(|before| {
                    values.iter().map(|value| {
                        let mut labels = before.clone();
                        labels.push((label.name, *value));
                        labels
                    })
                })
                .collect();
        }
        series
    }

    /// Its counters by the values of its first label.
    pub fn counters(&self) -> BySeries<Counter> {
        self.counters_with(&[])
    }

    /// The same of a metric with more labels, for these values of the others.
    pub fn counters_with(&self, others: &[(&'static str, &'static str)]) -> BySeries<Counter> {
        self.by_value(others, |labels| metrics::counter!(self.name, labels))
    }

    /// Its histograms by the values of its first label.
    pub fn histograms(&self) -> BySeries<Histogram> {
        self.by_value(&[], |labels| metrics::histogram!(self.name, labels))
    }

    fn by_value<T>(
        &self,
        others: &[(&'static str, &'static str)],
        of: impl Fn(&Vec<(&'static str, &'static str)>) -> T,
    ) -> BySeries<T> {
        let series = self.known_series().into_iter().filter(|labels| labels.get(1..) == Some(others));
        BySeries(series.filter_map(|labels| Some((labels.first()?.1, of(&labels)))).collect())
    }
}

/// The series of a metric by one label, looked up beforehand.
#[derive(Debug)]
pub struct BySeries<T>(Vec<(&'static str, T)>);

impl<T> BySeries<T> {
    /// Uses the series with this value; does nothing for a value that the metric does not declare.
    pub fn with(&self, value: &str, use_it: impl FnOnce(&T)) {
        if let Some((_, series)) = self.0.iter().find(|(known, _)| *known == value) {
            use_it(series);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    const COLOUR: Label = label("colour", &["red", "blue"]);
    const THINGS: Metric = Metric::counter("things_total", "Things.").by(&[COLOUR]);
    const SIZED: Metric =
        Metric::counter("things_total", "Things.").by(&[COLOUR, label("size", &["big", "small"])]);
    const ROUTES: Metric = Metric::counter("routes_total", "By route.").by(&[bounded("route", "routes")]);

    fn rendered(metric: &Metric, use_it: impl FnOnce()) -> Vec<String> {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0]).unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metric.begin();
            use_it();
        });
        let mut lines: Vec<String> =
            handle.render().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_known_of_a_metric_is_there_before_anything_happens() {
        let expected = [
            "# HELP things_total Things.",
            "# TYPE things_total counter",
            r#"things_total{colour="blue"} 0"#,
            r#"things_total{colour="red"} 0"#,
        ];
        assert_eq!(rendered(&THINGS, || ()), expected);
        assert_eq!(rendered(&SIZED, || ()).len(), 2 + 4, "each value of one with each of the other");
        assert_eq!(rendered(&ROUTES, || ()), [""; 0], "its values are not known yet");

        let unknown = Metric::gauge("depth", "Depth.").absent_at_first();
        assert_eq!(rendered(&unknown, || ()), [""; 0], "zero would be wrong");

        let waits = Metric::histogram("wait_seconds", &[1.0], "Waits.");
        assert!(rendered(&waits, || ()).contains(&"wait_seconds_count 0".to_owned()));
    }

    #[test]
    fn series_that_were_looked_up_count_into_the_same_metric() {
        let lines = rendered(&THINGS, || {
            THINGS.counters().with("red", |counter| counter.increment(2));
            THINGS.counters().with("green", |_| panic!("it is not declared"));
        });
        assert!(lines.contains(&r#"things_total{colour="red"} 2"#.to_owned()), "{lines:?}");
    }

    #[test]
    fn of_several_labels_the_others_are_given() {
        let lines = rendered(&SIZED, || {
            SIZED.counters_with(&[("size", "small")]).with("red", |counter| counter.increment(1));
        });
        assert!(lines.contains(&r#"things_total{colour="red",size="small"} 1"#.to_owned()), "{lines:?}");
        assert!(lines.contains(&r#"things_total{colour="red",size="big"} 0"#.to_owned()), "{lines:?}");
    }

    #[test]
    fn the_name_says_the_unit() {
        for (name, unit) in [
            ("a_seconds", Unit::Seconds),
            ("a_seconds_total", Unit::Seconds),
            ("a_bytes", Unit::Bytes),
            ("a_total", Unit::Count),
            ("a", Unit::Count),
        ] {
            assert_eq!(Metric::counter(name, "").unit(), unit, "{name}");
        }
    }
}
