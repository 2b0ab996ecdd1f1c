//! Maps: a table of a folder's files lists all of them, and nothing that is not there.
//!
//! A table counts when its first column is headed `file`: it is about the folder of its README, or about the module whose
//! head it stands in. With `file in X` it is about the folder X below that. A row may name several files, or a folder for
//! all that is in it. A name is relative to the folder, to its `src/`, or to the page.
//!
//! Listed is what is read as code: Rust and TypeScript. The files that stand for their folder (`mod.rs`, `lib.rs`,
//! `main.rs`, `index.ts`) and unit tests beside the code (`…_tests.rs`, `tests.rs`) need no row.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::markdown::{cells, code_spans, prose};
use super::source::Source;

/// Endings of what has to be listed.
const CODE: [&str; 3] = [".rs", ".ts", ".tsx"];
/// Files that stand for their folder, or are the tests of what stands beside them.
const UNLISTED: [&str; 5] = ["mod.rs", "lib.rs", "main.rs", "index.ts", "tests.rs"];

/// What all tables of one page say of one folder.
#[derive(Default)]
struct Map {
    number: usize,
    listed: Vec<(usize, String)>,
}

/// Files that their folder's table leaves out, and rows of what is not there.
pub fn untrue(sources: &[Source], paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in sources {
        for (named, map) in maps_of(page) {
            let folder = in_src_if_only_there(named, paths);
            let beside = page.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let within = |name: &str| {
                [format!("{folder}{name}"), format!("{folder}src/{name}"), format!("{beside}/{name}")]
            };
            let covers = |name: &str, path: &str| {
                let is_folder = name.ends_with('/');
                within(name).iter().any(|at| path == at || (is_folder && path.starts_with(at.as_str())))
            };
            let gone = |(_, name): &&(usize, String)| !paths.iter().any(|path| covers(name, path));
            found.extend(map.listed.iter().filter(gone).map(|(number, name)| Finding {
                place: format!("{}:{number}", page.path),
                what: format!("lists {name}, which is not in {folder}"),
                because: "A map of what was leads astray. Correct the row, or take it out.",
            }));
            let left_out = paths.iter().filter(|path| path.starts_with(&folder) && has_row(path));
            let left_out = left_out.filter(|path| !map.listed.iter().any(|(_, name)| covers(name, path)));
            found.extend(left_out.map(|path| Finding {
                place: format!("{}:{}", page.path, map.number),
                what: format!("does not list {path}"),
                because: "Whoever looks for it looks here. Add a row that says what the file is for.",
            }));
        }
    }
    found
}

/// `a/b/`, or `a/src/b/` when there is nothing in the first.
fn in_src_if_only_there(folder: String, paths: &BTreeSet<String>) -> String {
    let is_there = |folder: &str| paths.iter().any(|path| path.starts_with(folder));
    let (parent, name) = folder.trim_end_matches('/').rsplit_once('/').unwrap_or(("", &folder));
    let in_src = format!("{parent}/src/{name}/");
    if !is_there(&folder) && is_there(&in_src) { in_src } else { folder }
}

/// Whether a file has to be listed.
fn has_row(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    CODE.iter().any(|ending| name.ends_with(ending))
        && !UNLISTED.contains(&name)
        && !name.ends_with("_tests.rs")
}

/// By folder, with a slash at its end.
fn maps_of(page: &Source) -> BTreeMap<String, Map> {
    let Some((folder, text)) = subject(page) else { return BTreeMap::new() };
    let mut maps: BTreeMap<String, Map> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in prose(&text) {
        let Some(row) = cells(line.text) else {
            current = None;
            continue;
        };
        let first = row.first().copied().unwrap_or_default();
        match &current {
            Some(folder) => {
                let names = code_spans(first).into_iter().map(|name| (line.number, name.to_owned()));
                maps.entry(folder.clone()).or_default().listed.extend(names);
            }
            None => {
                current = Some(folder_of(first, &folder).unwrap_or_default());
                if let Some(folder) = current.as_ref().filter(|folder| !folder.is_empty()) {
                    let map = maps.entry(folder.clone()).or_default();
                    map.number = if map.number == 0 { line.number } else { map.number };
                }
            }
        }
    }
    // Tables of other things.
    maps.remove("");
    maps
}

/// The folder that a table with this first heading is about, when it is about files.
fn folder_of(heading: &str, folder: &str) -> Option<String> {
    let rest = heading.strip_prefix("file")?;
    if rest.is_empty() {
        return Some(folder.to_owned());
    }
    let below = code_spans(rest.strip_prefix(" in ")?).first()?.trim_end_matches('/');
    Some(format!("{folder}{below}/"))
}

/// The folder that a page's tables are about, and the page; for Rust, the head of a module.
fn subject(page: &Source) -> Option<(String, String)> {
    let (parent, name) = page.path.rsplit_once('/')?;
    if name == "README.md" {
        return Some((format!("{parent}/"), page.text.clone()));
    }
    let stem = name.strip_suffix(".rs")?;
    let folder = if UNLISTED.contains(&name) { format!("{parent}/") } else { format!("{parent}/{stem}/") };
    let head = page.text.lines().take_while(|line| line.starts_with("//!"));
    Some((folder, head.map(|line| line.trim_start_matches("//!").trim()).collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(page: &Source, paths: &[&str]) -> Vec<String> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        untrue(std::slice::from_ref(page), &paths).into_iter().map(|finding| finding.what).collect()
    }

    const TABLE: &str =
        "# a\n\n| file | what |\n|---|---|\n| `one.rs` `two.rs` | both |\n| `deep/` | more |\n";

    #[test]
    fn a_file_without_a_row_and_a_row_without_a_file_are_found() {
        let page = Source::new("workers/a/README.md", TABLE);
        let fine = [
            "workers/a/src/lib.rs",
            "workers/a/src/one.rs",
            "workers/a/src/one_tests.rs",
            "workers/a/src/two.rs",
            "workers/a/src/deep/any.rs",
            "workers/a/src/style.css",
            "workers/b/src/other.rs",
        ];
        assert_eq!(whats(&page, &fine), [""; 0]);
        let changed = ["workers/a/src/one.rs", "workers/a/src/three.rs", "workers/a/src/deep/any.rs"];
        assert_eq!(
            whats(&page, &changed),
            ["lists two.rs, which is not in workers/a/", "does not list workers/a/src/three.rs"]
        );
    }

    #[test]
    fn a_table_may_be_about_a_folder_below_and_stand_in_a_modules_head() {
        let below = TABLE.replace("| file |", "| file in `x/` |");
        let paths = ["src/a/x/one.rs", "src/a/x/two.rs", "src/a/x/deep/b.rs", "src/a/x/new.rs", "src/a/y.rs"];
        let expected = ["does not list src/a/x/new.rs"];
        assert_eq!(whats(&Source::new("src/a/README.md", &below), &paths), expected);
        let in_src = ["a/src/x/one.rs", "a/src/x/two.rs", "a/src/x/deep/b.rs", "a/src/x/new.rs"];
        let found = whats(&Source::new("a/README.md", &below), &in_src);
        assert_eq!(found, ["does not list a/src/x/new.rs"]);
        let head: String = TABLE.lines().map(|line| format!("//! {line}\n")).collect();
        assert_eq!(whats(&Source::new("src/a/x.rs", &head), &paths), expected);
        assert_eq!(whats(&Source::new("src/a/x/mod.rs", &head), &paths), expected);
    }

    #[test]
    fn tables_of_other_things_are_not_maps() {
        let other = TABLE.replace("| file |", "| hook |");
        assert_eq!(whats(&Source::new("workers/a/README.md", &other), &["workers/a/src/new.rs"]), [""; 0]);
    }
}
