//! What was counted beside what is committed. Pure.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::callgrind::Counted;

/// How many times as much something may cost as it did.
const MOST: f64 = 1.10;
/// When it costs so much less, what is committed should follow.
const LEAST: f64 = 0.90;

/// What is committed, by profile and case.
#[derive(Debug, Default)]
pub struct Committed(BTreeMap<String, BTreeMap<String, Value>>);

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Compared {
    /// One for each case.
    pub lines: Vec<String>,
    /// What costs more, or is not known.
    pub faults: Vec<String>,
}

impl Committed {
    /// Reads the file. One that is empty has nothing.
    pub fn read(file: &str) -> anyhow::Result<Self> {
        if file.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(file).map(Self).context("counts.json is not what this writes")
    }

    /// The file.
    pub fn written(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// Whether anything is known of a profile.
    pub fn knows(&self, profile: &str) -> bool {
        self.0.contains_key(profile)
    }

    /// Takes what was counted in place of what was known of this profile.
    pub fn renew(&mut self, profile: &str, counted: &[(&str, Counted)]) {
        let cases = counted.iter().map(|(name, Counted { instructions, allocations })| {
            ((*name).to_owned(), json!({"instructions": instructions, "allocations": allocations}))
        });
        self.0.insert(profile.to_owned(), cases.collect());
    }

    /// Compares each case. Of a profile that is not known, nothing is a fault.
    pub fn compared(&self, profile: &str, counted: &[(&str, Counted)]) -> Compared {
        let mut compared = Compared::default();
        let known = self.0.get(profile);
        for (name, Counted { instructions, allocations }) in counted {
            let case = known.and_then(|known| known.get(*name));
            let mut line = format!("{name}:");
            for (what, now) in [("instructions", *instructions), ("allocations", *allocations)] {
                let before = case.and_then(|case| case[what].as_u64());
                line += &format!(" {now} {what}");
                match before {
                    Some(before) if now as f64 > before as f64 * MOST => {
                        compared.faults.push(format!("{name}: {now} {what}, {before} are committed"));
                        line += &format!(" (more than {before})");
                    }
                    Some(before) if (now as f64) < before as f64 * LEAST => {
                        line += &format!(" (less than {before}: commit it, so that it stays)");
                    }
                    None if known.is_some() => {
                        compared.faults.push(format!("{name}: no {what} are committed"));
                    }
                    Some(_) | None => {}
                }
            }
            compared.lines.push(line);
        }
        compared
    }
}
