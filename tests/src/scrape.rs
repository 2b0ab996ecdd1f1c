//! What a process tells Prometheus, taken apart.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

/// One scrape.
#[derive(Debug, Default)]
pub struct Scrape {
    /// What is told of each metric in words.
    pub help: BTreeMap<String, String>,
    /// The kind of each metric.
    pub kinds: BTreeMap<String, String>,
    /// Each sample: its name, its labels, its value.
    pub samples: BTreeMap<(String, Labels), f64>,
}

/// The labels of a sample, by their names.
pub type Labels = BTreeMap<String, String>;

impl Scrape {
    /// Reads Prometheus' text format.
    ///
    /// # Errors
    /// A line is not of it.
    pub fn of(text: &str) -> anyhow::Result<Self> {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words = |prefix: &str| line.strip_prefix(prefix)?.split_once(' ');
            if let Some((name, help)) = words("# HELP ") {
                scrape.help.insert(name.to_owned(), help.to_owned());
            } else if let Some((name, kind)) = words("# TYPE ") {
                scrape.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').with_context(|| line.to_owned())?;
                scrape.samples.insert((name.to_owned(), labels_of(labels)), value.parse()?);
            }
        }
        Ok(scrape)
    }

    /// The sum of the samples with this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |all: &Labels| {
            labels.iter().all(|(name, value)| all.get(*name).is_some_and(|held| held == value))
        };
        self.samples.iter().filter(|((of, all), _)| of == name && has(all)).map(|(_, value)| value).sum()
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }
}

/// Values hold no quotes: nothing that anybody wrote is among them.
fn labels_of(text: &str) -> Labels {
    let mut parts = text.split('"');
    let mut labels = Labels::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        labels.insert(name.trim_matches([',', '=']).to_owned(), value.to_owned());
    }
    labels
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_scrape_is_taken_apart() {
    let scrape = Scrape::of("# HELP a_total Things, \"all\".\n# TYPE a_total counter\na_total{x=\"1 2\",y=\"b\"} 3\na_total{x=\"2\",y=\"b\"} 4\n\nb 0.5\n").unwrap();
    assert_eq!(scrape.sum("a_total", &[("y", "b")]), 7.0);
    assert_eq!(scrape.sum("a_total", &[("x", "1 2")]), 3.0);
    assert_eq!(
        (scrape.help["a_total"].as_str(), scrape.kinds["a_total"].as_str()),
        ("Things, \"all\".", "counter")
    );
    assert_eq!(scrape.names().into_iter().collect::<Vec<_>>(), ["a_total", "b"]);
}
