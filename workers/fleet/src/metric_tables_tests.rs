//! That the tables of metrics are whole: what is measured is declared, what is declared is measured, and the page about it is
//! the one that is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use metrics::Unit;
use watchbell::runtime::{
    PROCESS,
    metric::{Kind, Values},
};

use super::*;

/// Writes the kept page anew: `WATCHBELL_RENEW=1 cargo test -p watchbell-fleet metric`.
const RENEW: &str = "WATCHBELL_RENEW";
const PAGE: &str = "../../docs/metrics.md";
/// Between these lines of the page is what is made from the tables.
const BEGIN: &str = "<!-- made from the tables in the code -->\n";
const END: &str = "<!-- end of what is made -->\n";

/// Where the metrics of each table are measured.
const FOLDERS: [(&str, &str); 7] = [
    ("Every process", "../../src/runtime"),
    ("The broker", "../../src/broker"),
    ("The store", "../../src/store"),
    ("The role ingest", "../ingest/src"),
    ("The role dispatch", "../dispatch/src"),
    ("The role socket", "../socket/src"),
    ("The role fallback", "../fallback/src"),
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, all);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "metric_table.rs" {
            all.push(fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names that a source measures by a macro, with what it does to them, but for those in its tests.
fn measured(source: &str) -> Vec<(String, &'static str)> {
    let source = source.split("#[cfg(test)]\n#[allow").next().unwrap_or_default();
    let mut found = Vec::new();
    for (what, macro_name) in [("counter", "counter!("), ("gauge", "gauge!("), ("histogram", "histogram!(")] {
        for (at, _) in source.match_indices(macro_name) {
            let arguments = source[at + macro_name.len()..].trim_start();
            let name = arguments.strip_prefix('"').and_then(|rest| rest.split('"').next());
            found.extend(
                name.filter(|name| name.starts_with("watchbell_")).map(|name| (name.to_owned(), what)),
            );
        }
    }
    found
}

#[test]
fn what_is_measured_is_declared_and_what_is_declared_is_measured() {
    for (title, _, table) in TABLES {
        let folder = FOLDERS.iter().find(|(of, _)| *of == title).unwrap().1;
        let mut all = Vec::new();
        sources(&here(folder), &mut all);
        let declared: BTreeMap<&str, &str> = table
            .iter()
            .map(|metric| {
                let kind = match metric.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram(_) => "histogram",
                };
                (metric.name, kind)
            })
            .collect();
        for (name, what) in all.iter().flat_map(|source| measured(source)) {
            assert_eq!(
                declared.get(name.as_str()),
                Some(&what),
                "{folder}: {name} is not declared as a {what}"
            );
        }
        // By its name, or by the constant that its table keeps it in.
        let table_source = fs::read_to_string(here(folder).join("metric_table.rs")).unwrap();
        for name in declared.keys() {
            let constant = table_source.split("const ").find_map(|rest| {
                let (constant, value) = rest.split_once(": Metric")?;
                let value = value.split(';').next()?;
                value.contains(&format!("\"{name}\"")).then(|| constant.trim().to_owned())
            });
            let is_used = |source: &String| {
                source.contains(&format!("\"{name}\""))
                    || constant.as_ref().is_some_and(|constant| {
                        source.contains(&format!("metric_table::{constant}"))
                            || source.contains(&format!("{constant}.name"))
                    })
            };
            assert!(all.iter().any(is_used), "{folder}: nothing measures {name}");
        }
    }
}

#[test]
fn names_units_and_labels_are_as_prometheus_wants_them() {
    let mut names = BTreeSet::new();
    for metric in TABLES.iter().flat_map(|(.., metrics)| *metrics).chain(PROCESS) {
        let name = metric.name;
        assert!(names.insert(name), "{name} is declared twice");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(
            is_counter,
            name.ends_with("_total"),
            "{name}: counters end in _total, and nothing else does"
        );
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}: {}", metric.help);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted() && buckets.len() <= 20, "{name}: {buckets:?}");
            let is_duration = buckets.iter().any(|bound| bound.fract() != 0.0);
            assert!(!is_duration || metric.unit() == Unit::Seconds, "{name}: in which unit?");
        }
        // What whoever uses the program could make more of.
        let strangers =
            ["tenant", "user", "topic", "alert", "device", "session", "origin", "host", "path", "address"];
        for label in metric.labels {
            assert!(!strangers.contains(&label.name), "{name} has the label {}", label.name);
            if let Values::OneOf(values) = label.values {
                assert!((1..=20).contains(&values.len()), "{name}: {values:?}");
                assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len(), "{name}: {values:?}");
            }
        }
    }
}

/// A table of the page.
fn rows<'a>(metrics: impl IntoIterator<Item = &'a Metric>) -> String {
    let mut text = "| metric | kind | unit | what |\n|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(", ")) };
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let unit = match metric.unit() {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            _ => "",
        };
        let values: Vec<String> = metric
            .labels
            .iter()
            .map(|label| match label.values {
                Values::OneOf(values) => format!("`{}`: {}", label.name, values.join(", ")),
                Values::Bounded(by) => format!("`{}`: *{by}*", label.name),
            })
            .collect();
        let values = if values.is_empty() { String::new() } else { format!("<br>{}", values.join("<br>")) };
        text += &format!("| `{}{labels}` | {kind} | {unit} | {}{values} |\n", metric.name, metric.help);
    }
    text
}

#[test]
fn the_page_of_metrics_is_the_one_that_is_kept() {
    let mut made = String::new();
    for (title, _, table) in TABLES {
        made += &format!("\n## {title}\n\n{}", rows(table));
        if title == "Every process" {
            made += &format!("\nOf Linux, read when somebody scrapes:\n\n{}", rows(PROCESS));
        }
    }
    made.push('\n');
    let path = here(PAGE);
    let kept = fs::read_to_string(&path).unwrap();
    let (head, rest) = kept.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let whole = format!("{head}{BEGIN}{made}{END}{tail}");
    if std::env::var_os(RENEW).is_some() {
        fs::write(&path, &whole).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(
        kept == whole,
        "docs/metrics.md is not what the tables say. Renew it with `{RENEW}=1 cargo test -p watchbell-fleet metric`"
    );
}
