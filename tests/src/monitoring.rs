//! The files of `monitoring/` and the page `docs/metrics.md`, read for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// What the page says of one metric.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Its labels, with their values where they are known beforehand.
    pub labels: BTreeMap<String, Option<BTreeSet<String>>>,
}

/// A recording rule or an alert rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it records; none for an alert rule.
    pub record: Option<String>,
    /// The query.
    pub expr: String,
}

/// A file of the workspace.
///
/// # Errors
/// This package is not in a workspace.
pub fn in_workspace(path: &str) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    Ok(root.join(path))
}

/// All that `docs/metrics.md` declares.
///
/// # Errors
/// It cannot be read.
pub fn declared() -> anyhow::Result<BTreeMap<String, Declared>> {
    let page = fs::read_to_string(in_workspace("docs/metrics.md")?)?;
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let all: BTreeMap<_, _> = rows.map(declared_in).collect::<anyhow::Result<_>>()?;
    ensure!(all.len() > 50, "only {} metrics were found", all.len());
    Ok(all)
}

fn declared_in(row: &str) -> anyhow::Result<(String, Declared)> {
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    let [name, kind, _, what] = cells[..] else { anyhow::bail!("not four cells: {row}") };
    let name = name.trim_matches('`');
    let name = name.split('{').next().unwrap_or(name);
    let labels = what.split("<br>").skip(1).map(|label| {
        let (label, values) = label.split_once("`: ").with_context(|| row.to_owned())?;
        let known = (!values.starts_with('*')).then(|| values.split(", ").map(str::to_owned).collect());
        Ok((label.trim_start_matches('`').to_owned(), known))
    });
    let labels = labels.collect::<anyhow::Result<_>>()?;
    Ok((name.to_owned(), Declared { kind: kind.to_owned(), labels }))
}

/// The rules of `monitoring/rules`.
///
/// # Errors
/// They cannot be read.
pub fn rules() -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for file in ["recording.yml", "alerts.yml"] {
        rules.extend(rules_in(&fs::read_to_string(in_workspace("monitoring/rules")?.join(file))?));
    }
    ensure!(rules.len() > 40, "only {} rules were found", rules.len());
    Ok(rules)
}

/// Reads the YAML as it is written there: `expr` on one line, quoted or not, or folded below it.
fn rules_in(yaml: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut folds = false;
    for line in yaml.lines() {
        let text = line.trim();
        if let Some(name) = text.strip_prefix("- record: ") {
            rules.push(Rule { record: Some(name.to_owned()), expr: String::new() });
        } else if text.starts_with("- alert: ") {
            rules.push(Rule { record: None, expr: String::new() });
        }
        let Some(rule) = rules.last_mut() else { continue };
        if let Some(expr) = text.strip_prefix("expr: ") {
            folds = expr == ">-";
            if !folds {
                rule.expr = expr.trim_matches('\'').to_owned();
            }
        } else if folds && line.starts_with("          ") {
            rule.expr.push_str(text);
            rule.expr.push(' ');
        } else {
            folds = false;
        }
    }
    rules
}

/// The queries of the dashboard, each with the title of its panel.
///
/// # Errors
/// It cannot be read.
pub fn dashboard() -> anyhow::Result<Vec<(String, String)>> {
    let file = in_workspace("monitoring/grafana/watchbell.json")?;
    let dashboard: Value = serde_json::from_slice(&fs::read(file)?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let mut queries = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().with_context(|| title.to_owned())?;
            queries.push((title.to_owned(), query.replace("$__rate_interval", "1m")));
        }
    }
    ensure!(queries.len() > 30, "only {} queries were found", queries.len());
    Ok(queries)
}

#[test]
fn rules_are_read_as_they_are_written() {
    let yaml = "groups:\n  - name: g\n    rules:\n      - record: a:b\n        expr: >-\n          sum(x)\n          /\n          y\n      - alert: A\n        expr: '(x) == 0'\n        for: 1m\n      - alert: B\n        expr: z > 1\n";
    let rule =
        |record: Option<&str>, expr: &str| Rule { record: record.map(str::to_owned), expr: expr.to_owned() };
    let expected = [rule(Some("a:b"), "sum(x) / y "), rule(None, "(x) == 0"), rule(None, "z > 1")];
    assert_eq!(rules_in(yaml), expected);
}
