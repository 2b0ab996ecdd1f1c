//! What PostgreSQL said about one statement: how it was carried out, and what it read.

use serde_json::Value;

use super::{history::GROWS, recorder::evened};

/// A statement with its plan, as it was executed.
pub struct Plan {
    pub sql: String,
    plan: Value,
}

impl Plan {
    pub fn read(json: &str) -> anyhow::Result<Self> {
        let mut value: Value = serde_json::from_str(json)?;
        let sql = evened(value["Query Text"].as_str().unwrap_or_default());
        Ok(Self { sql, plan: value["Plan"].take() })
    }

    /// Pages looked at, in memory or not.
    pub fn pages(&self) -> u64 {
        number(&self.plan, "Shared Hit Blocks") + number(&self.plan, "Shared Read Blocks")
    }

    /// Rows looked at in tables that grow, kept or not.
    pub fn rows(&self) -> u64 {
        let mut rows = 0;
        self.each_scan(&mut |scan| rows += kept(scan) + discarded(scan));
        rows
    }

    /// By which index how many rows of which table were looked at.
    pub fn scans(&self) -> String {
        let mut scans = Vec::new();
        self.each_scan(&mut |scan| {
            let (index, cond) = (&scan["Index Name"], &scan["Index Cond"]);
            scans.push(format!(
                "{} by {index} {cond}: {}",
                scan["Relation Name"],
                kept(scan) + discarded(scan)
            ));
        });
        scans.join(", ")
    }

    /// What must never be there, whatever the size.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.each_scan(&mut |scan| {
            let table = &scan["Relation Name"];
            if scan["Node Type"] == "Seq Scan" {
                faults.push(format!("scans all of {table}"));
            }
            let (kept, discarded) = (kept(scan), discarded(scan));
            if discarded > kept + DISCARDED_MAX {
                let (index, filter) = (&scan["Index Name"], &scan["Filter"]);
                faults.push(format!(
                    "keeps {kept} rows of {table} and discards {discarded}: {index}, {filter}"
                ));
            }
        });
        faults
    }

    fn each_scan(&self, then: &mut dyn FnMut(&Value)) {
        let mut nodes = vec![&self.plan];
        while let Some(node) = nodes.pop() {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            let grows = node["Relation Name"].as_str().is_some_and(|table| GROWS.contains(&table));
            if grows && node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan")) {
                then(node);
            }
        }
    }
}

/// A filter may discard so many more rows than it keeps: a table of a few pages is gone through where a batch would look
/// up as many keys, because PostgreSQL knows the size of a file without statistics.
const DISCARDED_MAX: u64 = 300;

fn kept(scan: &Value) -> u64 {
    number(scan, "Actual Rows") * number(scan, "Actual Loops")
}

/// PostgreSQL counts them as the average of a loop.
fn discarded(scan: &Value) -> u64 {
    let removed = number(scan, "Rows Removed by Filter") + number(scan, "Rows Removed by Index Recheck");
    removed * number(scan, "Actual Loops")
}

fn number(node: &Value, name: &str) -> u64 {
    node[name].as_f64().unwrap_or(0.0) as u64
}
