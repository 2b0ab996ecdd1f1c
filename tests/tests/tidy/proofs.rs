//! Promises have tests: the table of races and cases in the README of fallback names them, and they are there.

use std::collections::BTreeSet;

use super::Finding;
use super::source::{Source, code_of};

/// Where the table is.
const TABLE: &str = "workers/fallback/README.md";
const RACES: usize = 20;
const CASES: usize = 12;

/// Races and cases without a test, and tests that nobody wrote.
pub fn unproved(sources: &[Source]) -> Vec<Finding> {
    let Some(table) = sources.iter().find(|file| file.path == TABLE) else { return Vec::new() };
    let tests: BTreeSet<String> = sources.iter().filter(|file| file.is_rust()).flat_map(tests_in).collect();
    let rows: Vec<(&str, Vec<&str>)> = table.text.lines().filter_map(row_of).collect();
    let races = (1..=RACES).map(|number| format!("R{number}"));
    let cases = (1..=CASES).map(|number| format!("case {number}"));
    let mut found = Vec::new();
    for name in races.chain(cases) {
        let named = rows.iter().filter(|(row, _)| *row == name).flat_map(|(_, tests)| tests);
        let named: Vec<&&str> = named.collect();
        if named.is_empty() {
            found.push(finding(format!("{name} names no test")));
        }
        let missing = named.iter().filter(|test| !tests.contains(***test));
        found.extend(missing.map(|test| finding(format!("{name} names {test}, and there is no such test"))));
    }
    found
}

fn finding(what: String) -> Finding {
    Finding {
        place: TABLE.to_owned(),
        what,
        because: "A promise is kept by a test. Write it, or correct its name in the table.",
    }
}

/// `| R7 | what it is | `one_test`, `another` |` as `R7` and the tests.
fn row_of(line: &str) -> Option<(&str, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let (name, tests) = (cells.first()?, cells.get(2)?);
    Some((name, tests.split('`').skip(1).step_by(2).collect()))
}

/// The functions that carry a `#[test]` or a `#[tokio::test]`.
fn tests_in(file: &Source) -> Vec<String> {
    let code = code_of(&file.text);
    let (mut names, mut is_test) = (Vec::new(), false);
    for line in code.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.split("fn ").nth(1).filter(|_| is_test) {
            is_test = false;
            names.extend(rest.split('(').next().map(str::to_owned));
        } else if !line.starts_with("#[") {
            is_test = false;
        }
    }
    names
}

#[test]
fn a_promise_without_a_test_is_found() {
    let row = |name: &str, tests: &str| format!("| {name} | what it is | {tests} |\n");
    let (first, gone) = ("`a_test`, `another`".to_owned(), "`gone`".to_owned());
    let mut table = row("R1", &first) + &row("R2", &gone) + &row("R3", "none");
    for name in (4..=RACES).map(|n| format!("R{n}")).chain((1..=CASES).map(|n| format!("case {n}"))) {
        table += &row(&name, "`a_test`");
    }
    let code = "#[tokio::test(start_paused = true)]\nasync fn a_test() {}\n#[test]\n#[allow(x)]\nfn another() {}\n// #[test]\nfn gone() {}\n";
    let tree = [Source::new(TABLE, &table), Source::new("tests/tests/a.rs", code)];
    let found: Vec<String> = unproved(&tree).into_iter().map(|finding| finding.what).collect();
    assert_eq!(found, ["R2 names gone, and there is no such test", "R3 names no test"]);
}
