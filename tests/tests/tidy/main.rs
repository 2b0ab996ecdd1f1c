//! The architecture as a test: who may import whom, where each vendor's crate lives, and the hygiene
//! that review forgets. Reads the sources as text; `docs/architecture.md`, "Layout and imports", is what it
//! holds them to.
//!
//! Every ban says why it is there and what to do instead, and every check has a test on a small bad
//! sample, which proves that it can fail.

mod circles;
mod files;
mod imports;
mod maps;
mod markdown;
mod pages;
mod proofs;
mod source;
mod walls;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use source::Source;

/// What a check found: where, what, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    what: String,
    /// Why it is banned, and the remedy.
    because: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.what, self.because)
    }
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the workspace").to_owned()
}

fn expect_none(findings: &[Finding]) {
    let listed: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(listed.is_empty(), "{} to tidy:\n\n{}\n", listed.len(), listed.join("\n\n"));
}

fn sources() -> Vec<Source> {
    let found = source::read_all(&root());
    assert!(found.iter().any(|file| file.path == "src/lib.rs"), "the tree was not found");
    found
}

fn paths() -> BTreeSet<String> {
    source::paths(&root())
}

#[test]
fn a_part_imports_only_what_it_may() {
    expect_none(&walls::imports(&sources()));
}

#[test]
fn no_files_import_each_other() {
    expect_none(&circles::found(&sources()));
}

#[test]
fn a_vendor_crate_is_used_in_its_one_place() {
    expect_none(&walls::vendors(&sources()));
}

#[test]
fn a_manifest_depends_only_on_what_the_code_may_use() {
    expect_none(&walls::manifests(&sources()));
}

#[test]
fn every_rust_file_is_reached_from_its_crate() {
    expect_none(&files::dead(&sources()));
}

#[test]
fn every_folder_with_code_has_a_readme() {
    expect_none(&files::readmes(&sources()));
}

#[test]
fn nothing_is_a_stub_or_skipped() {
    expect_none(&files::unfinished(&sources()));
}

#[test]
fn no_rust_file_is_too_long() {
    expect_none(&files::long(&sources()));
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    expect_none(&files::machine_paths(&sources()));
}

#[test]
fn tests_wait_for_conditions() {
    expect_none(&files::sleeps(&sources()));
}

#[test]
fn every_race_and_case_of_escalation_has_its_test() {
    expect_none(&proofs::unproved(&sources()));
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    expect_none(&pages::broken_links(&sources(), &paths()));
}

#[test]
fn every_path_that_a_page_names_is_there() {
    expect_none(&pages::unknown_paths(&sources(), &paths()));
}

#[test]
fn every_page_and_section_that_is_cited_is_there() {
    expect_none(&pages::unknown_sections(&sources(), &paths()));
}

#[test]
fn a_table_of_files_lists_its_folder() {
    expect_none(&maps::untrue(&sources(), &paths()));
}
