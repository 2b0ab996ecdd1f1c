//! Circles: two files that import each other, directly or over others, can only be read together.
//!
//! The files of each crate are the nodes of a graph. A file points to another when its code names a path into it, with
//! `crate::`, `super::`, `self::`, the name of a module that it declares, or the name of its own crate. A circle is a set of
//! files each of which leads to all the others. No crate has one, and there is no list of exceptions.
//! In the crates of [`STRICT`] the folders below the root form no circle either.
//!
//! What does not count:
//! - `mod` declarations, and `use` declarations that are public to anybody (`pub use`, `pub(crate) use`): a `mod.rs` or
//!   `lib.rs` that declares and re-exports is only an address. A path through it leads to the file that the re-exported
//!   name comes from.
//! - What a child takes from a parent: modules below a `mod.rs` or `lib.rs` are parts of it, and may use the types that it
//!   defines for all of them. In the crates of [`STRICT`] it does count: a parent with code of its own is a file like any
//!   other there, because a parent that holds everything hides which file needs what.
//! - Unit tests: modules behind `#[cfg(test)]`, in the file or beside it, and `#[test]` functions.
//! - Methods: an inherent method that is called without its type being named is not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::imports::{Crate, crates};
use super::source::Source;

/// Crates in which parents count as well, and whose folders may not form circles either. The others have parents whose types
/// their children take.
const STRICT: [&str; 3] = ["workers/fallback/src", "workers/fleet/src", "workers/socket/src"];

const BECAUSE: &str = "Whoever changes one has to read them all. Move what both need into a file of its own, or pass it as an argument.";

/// Each node, and what it points to.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Circles of files in any crate, and circles of folders in strict ones.
pub fn found(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &crates(sources) {
        let is_strict = STRICT.contains(&one.root.as_str());
        let graph = if is_strict { one.imports() } else { without_parents(one.imports()) };
        found.extend(circles(&graph).iter().map(|circle| finding(one, "files", circle, &graph)));
        if is_strict {
            let graph = folders(one);
            found.extend(circles(&graph).iter().map(|circle| finding(one, "folders", circle, &graph)));
        }
    }
    found
}

fn finding(one: &Crate, what: &str, circle: &BTreeSet<String>, graph: &Graph) -> Finding {
    let arrows = circle.iter().flat_map(|from| {
        let to = graph.get(from).into_iter().flatten().filter(|to| circle.contains(*to));
        to.map(move |to| format!("{from} -> {to}"))
    });
    Finding {
        place: one.root.clone(),
        what: format!("a circle of {} {what}: {}", circle.len(), arrows.collect::<Vec<_>>().join(", ")),
        because: BECAUSE,
    }
}

/// The graph without what a child takes from a parent.
fn without_parents(graph: Graph) -> Graph {
    let is_parent = |parent: &str, child: &str| {
        let below = ["/mod.rs", "/lib.rs", "/main.rs"].iter().find_map(|name| parent.strip_suffix(name));
        // The files `a.rs` and `a/b.rs` stand to each other as `a/mod.rs` and `a/b.rs` do.
        let below = below.or_else(|| parent.strip_suffix(".rs"));
        below.and_then(|below| child.strip_prefix(below)).is_some_and(|rest| rest.starts_with('/'))
    };
    let files = graph.into_iter().map(|(from, mut to)| {
        to.retain(|to| !is_parent(to, &from));
        (from, to)
    });
    files.collect()
}

/// The folders directly below the root of a crate, with the files of the root itself left out.
fn folders(one: &Crate) -> Graph {
    let folder = |path: &str| {
        let below = path.strip_prefix(&one.root)?.strip_prefix('/')?;
        below.split_once('/').map(|(folder, _)| folder.to_owned())
    };
    let mut graph = Graph::new();
    for (from, to) in one.imports() {
        let Some(from) = folder(&from) else { continue };
        let others = to.iter().filter_map(|to| folder(to)).filter(|to| *to != from);
        graph.entry(from.clone()).or_default().extend(others);
    }
    graph
}

/// The sets of more than one node in which each leads to all the others.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|node| (node.as_str(), reachable(graph, node))).collect();
    let lead_to_each_other = |a: &str, b: &str| {
        reached.get(a).is_some_and(|to| to.contains(b)) && reached.get(b).is_some_and(|to| to.contains(a))
    };
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for node in graph.keys().filter(|node| lead_to_each_other(node, node)) {
        match circles.iter_mut().find(|circle| circle.iter().any(|other| lead_to_each_other(node, other))) {
            Some(circle) => {
                circle.insert(node.clone());
            }
            None => circles.push(BTreeSet::from([node.clone()])),
        }
    }
    circles.retain(|circle| circle.len() > 1);
    circles
}

/// What `from` leads to, itself only if it does.
fn reachable<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(node) = next.pop() {
        if reached.insert(node) {
            next.extend(graph.get(node).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        found(&files).into_iter().map(|finding| finding.what).collect()
    }

    const LIB: (&str, &str) = (
        "workers/a/src/lib.rs",
        "mod one;\nmod two;\nmod three;\npub use one::One;\npub fn run() { two::go() }",
    );

    #[test]
    fn a_circle_is_found_however_the_files_name_each_other() {
        for (why, one, two, three, is_circle) in [
            ("two files", "use crate::two::Two;", "use crate::one::One;", "", true),
            (
                "over a third",
                "use crate::two::Two;",
                "use crate::three;",
                "fn f() { crate::one::go() }",
                true,
            ),
            ("with super", "use super::two::Two;", "use super::{three, one::One};", "", true),
            ("in a group", "use crate::{three, two::{Two, Other}};", "use crate::{one};", "", true),
            ("over a re-export", "use crate::two::Two;", "use crate::One;", "", true),
            ("with the parent's own code", "use crate::run;", "use crate::one::One;", "", false),
            ("in a tree", "use crate::{two::Two, three::Three};", "use crate::three::Three;", "", false),
            ("in a comment", "use crate::two::Two;", "// see crate::one::One", "", false),
            (
                "in a unit test",
                "use crate::two::Two;",
                "#[cfg(test)]\nmod tests { use crate::one::One; }",
                "",
                false,
            ),
            ("in a test function", "use crate::two::Two;", "#[test]\nfn t() { crate::one::go() }", "", false),
            ("another crate's file", "use crate::two::Two;", "use other::one::One;", "", false),
        ] {
            let files = [
                LIB,
                ("workers/a/src/one.rs", one),
                ("workers/a/src/two.rs", two),
                ("workers/a/src/three.rs", three),
            ];
            assert_eq!(!whats(&files).is_empty(), is_circle, "{why}: {:?}", whats(&files));
        }
    }

    #[test]
    fn a_parent_that_only_declares_and_re_exports_is_no_part_of_a_circle() {
        let parent = (
            "workers/a/src/part/mod.rs",
            "mod child;\nmod other;\npub(crate) use child::{Child, Twin as Double};",
        );
        let files = |other| {
            [
                ("workers/a/src/lib.rs", "mod part;"),
                parent,
                ("workers/a/src/part/child.rs", "pub struct Child;"),
                ("workers/a/src/part/other.rs", other),
            ]
        };
        assert_eq!(whats(&files("use super::Child;")), [""; 0]);
        let mutual = [
            ("workers/a/src/lib.rs", "mod part;"),
            parent,
            ("workers/a/src/part/child.rs", "use super::other::Other;"),
            ("workers/a/src/part/other.rs", "use crate::part::Double;"),
        ];
        let arrows = "workers/a/src/part/child.rs -> workers/a/src/part/other.rs, \
                      workers/a/src/part/other.rs -> workers/a/src/part/child.rs";
        assert_eq!(whats(&mutual), [format!("a circle of 2 files: {arrows}")]);
    }

    #[test]
    fn a_module_and_its_unit_tests_beside_it_are_no_circle() {
        let files = [
            ("workers/a/src/lib.rs", "mod one;"),
            ("workers/a/src/one.rs", "#[cfg(test)]\n#[path = \"one_tests.rs\"]\nmod tests;"),
            ("workers/a/src/one_tests.rs", "use super::*;"),
        ];
        assert_eq!(whats(&files), [""; 0]);
    }

    #[test]
    fn a_parent_with_code_counts_in_a_strict_crate() {
        let lib = format!("{}/lib.rs", STRICT[0]);
        let one = format!("{}/one.rs", STRICT[0]);
        let files = [(lib.as_str(), "mod one;\nfn run() { one::go() }"), (one.as_str(), "use crate::run;")];
        assert_eq!(whats(&files).len(), 1);
        let files = [(lib.as_str(), "mod one;\npub use one::go;"), (one.as_str(), "use crate::go;")];
        assert_eq!(whats(&files), [""; 0]);
    }

    #[test]
    fn folders_of_a_strict_crate_may_not_import_each_other() {
        let root = STRICT[0];
        let lib = format!("{root}/lib.rs");
        let (low, high, mid) =
            (format!("{root}/low/a.rs"), format!("{root}/high/b.rs"), format!("{root}/low/c.rs"));
        let (low_mod, high_mod) = (format!("{root}/low/mod.rs"), format!("{root}/high/mod.rs"));
        let files = [
            (lib.as_str(), "mod low;\nmod high;"),
            (low_mod.as_str(), "pub(crate) mod a;\npub(crate) mod c;"),
            (high_mod.as_str(), "pub(crate) mod b;"),
            (low.as_str(), "use crate::high::b::B;"),
            (high.as_str(), "use crate::low::c::C;"),
            (mid.as_str(), ""),
        ];
        assert_eq!(whats(&files), ["a circle of 2 folders: high -> low, low -> high"]);
    }
}
