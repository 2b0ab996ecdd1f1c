//! Files: none dead, none without a map, none too long, none unfinished, none that knows one machine.

use std::collections::{HashMap, HashSet};

use super::Finding;
use super::source::Source;

const LINES_MAX: usize = 600;
/// Files that may be longer, and why.
const LONG: [(&str, &str); 0] = [];
/// Files under `tests/` that may sleep, and why.
const SLEEPS: [(&str, &str); 1] = [("tests/src/until.rs", "it is the one place")];
/// Folders that must have a README.md.
const MAPPED: [&str; 12] = [
    "src",
    "workers/ingest",
    "workers/dispatch",
    "workers/socket",
    "workers/fallback",
    "workers/simulator",
    "workers/fleet",
    "web",
    "tests",
    "examples",
    "fuzz",
    "k8s",
];

/// Rust files that no `mod` reaches: the compiler does not see them, so nothing in them is checked.
pub fn dead(sources: &[Source]) -> Vec<Finding> {
    let by_path: HashMap<&str, &Source> = sources.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut reached = HashSet::new();
    let mut next: Vec<String> =
        by_path.keys().filter(|path| is_crate_root(path)).map(|&path| path.to_owned()).collect();
    while let Some(path) = next.pop() {
        let Some(file) = by_path.get(path.as_str()) else { continue };
        if reached.insert(path.clone()) {
            next.extend(declared(file));
        }
    }
    let rust = sources.iter().filter(|file| file.is_rust() && !reached.contains(&file.path));
    rust.map(|file| Finding {
        place: file.path.clone(),
        what: "no `mod` declares this file".to_owned(),
        because: "A file the compiler does not read rots unseen. Declare it, or delete it.",
    })
    .collect()
}

/// Folders with code and no README.md.
pub fn readmes(sources: &[Source]) -> Vec<Finding> {
    let has = |path: &str| sources.iter().any(|file| file.path == path);
    let missing = MAPPED.iter().map(|folder| format!("{folder}/README.md")).filter(|path| !has(path));
    missing
        .map(|place| Finding {
            place,
            what: "is missing".to_owned(),
            because: "A newcomer starts at the folder. Write its map: what is here, what holds, what is elsewhere.",
        })
        .collect()
}

/// Stubs and skipped tests.
pub fn unfinished(sources: &[Source]) -> Vec<Finding> {
    in_code(sources.iter().filter(|file| file.is_rust()), |line| {
        let found = ["todo!", "unimplemented!", "#[ignore"].into_iter().find(|mark| line.contains(mark));
        found.map(|mark| Finding {
            place: String::new(),
            what: format!("{mark} is left here"),
            because: "On main everything works and every test runs. Finish it, or take it out and open an issue.",
        })
    })
}

/// Rust files over the length that a reader can hold.
pub fn long(sources: &[Source]) -> Vec<Finding> {
    let excused = |path: &str| LONG.iter().any(|(long, _)| *long == path);
    let rust = sources.iter().filter(|file| file.is_rust() && !excused(&file.path));
    rust.filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| Finding {
            place: file.path.clone(),
            what: format!("{lines} lines, at most {LINES_MAX}"),
            because: "A file is about one subject. Split it where the second begins, or list it in LONG with a reason.",
        })
    })
    .collect()
}

/// Absolute paths that exist on somebody's machine only.
pub fn machine_paths(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in sources {
        for (index, line) in file.text.lines().enumerate() {
            // Written apart, so that this file does not find itself.
            for path in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
                let absolute = |at: usize| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "_.-/$}".contains(c))
                };
                if line.match_indices(path).any(|(at, _)| absolute(at)) {
                    found.push(Finding {
                        place: format!("{}:{}", file.path, index + 1),
                        what: format!("names {path}"),
                        because: "It is there on one machine. Use a path relative to the file or the workspace, or a setting.",
                    });
                }
            }
        }
    }
    found
}

/// Sleeps in tests: too short on a slow machine, too long on a fast one.
pub fn sleeps(sources: &[Source]) -> Vec<Finding> {
    let excused = |path: &str| SLEEPS.iter().any(|(file, _)| *file == path);
    let is_test = |path: &str| path.starts_with("tests/") || path.ends_with("_tests.rs");
    let tests = sources.iter().filter(|file| file.is_rust() && is_test(&file.path));
    in_code(tests.filter(|file| !excused(&file.path)), |line| {
        let sleeps = line.contains("sleep(") || line.contains("::sleep;") || line.contains("sleep_until(");
        sleeps.then(|| Finding {
            place: String::new(),
            what: "sleeps".to_owned(),
            because: "A guessed wait is flaky or slow. Wait for the condition with watchbell_tests::until, or pause the clock.",
        })
    })
}

fn in_code<'a>(
    sources: impl Iterator<Item = &'a Source>,
    check: impl Fn(&str) -> Option<Finding>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in sources {
        for (number, line) in file.code_lines() {
            if let Some(finding) = check(&line) {
                found.push(Finding { place: format!("{}:{number}", file.path), ..finding });
            }
        }
    }
    found
}

/// Whether cargo compiles this file by itself: a library, a binary, a test, a bench, a build script.
fn is_crate_root(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    let of_targets = |folder: &str| {
        let last = folder.rsplit('/').next().unwrap_or_default();
        // `tests` is also the name of our package's folder, whose files are not targets.
        ["benches", "examples", "bin"].contains(&last) || (last == "tests" && folder != "tests")
    };
    let in_src = folder == "src" || folder.ends_with("/src");
    (in_src && (name == "lib.rs" || name == "main.rs"))
        || of_targets(folder)
        || (name == "main.rs" && of_targets(parent))
        || name == "build.rs"
}

/// The files that the `mod name;` lines of `file` may mean.
fn declared(file: &Source) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    let owns_folder = stem == "mod" || is_crate_root(&file.path);
    let below = if owns_folder { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut paths = Vec::new();
    let mut renamed = None;
    for ((_, line), written) in file.code_lines().iter().zip(file.text.lines()) {
        if line.trim_start().starts_with("#[path") {
            renamed = written.split('"').nth(1).map(|path| format!("{folder}/{path}"));
        }
        for module in modules_in(line) {
            if let Some(path) = renamed.take() {
                paths.push(path);
            }
            paths.push(format!("{below}/{module}.rs"));
            paths.push(format!("{below}/{module}/mod.rs"));
        }
    }
    paths
}

fn modules_in(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "mod").filter_map(|pair| pair[1].strip_suffix(';')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    fn rust(path: &str, text: &str) -> Source {
        Source::new(path, text)
    }

    #[test]
    fn a_file_that_no_mod_reaches_is_dead() {
        let tree = [
            rust("src/lib.rs", "pub mod broker;\n// mod gone;\n"),
            rust("src/broker/mod.rs", "mod topology;\n#[cfg(test)] mod proof;"),
            rust("src/broker/topology.rs", "#[cfg(test)]\n#[path = \"topology_tests.rs\"]\nmod tests;"),
            rust("src/broker/topology_tests.rs", ""),
            rust("src/broker/proof.rs", "mod deep;"),
            rust("src/broker/proof/deep.rs", ""),
            rust("src/gone.rs", ""),
            rust("src/broker/old.rs", "mod older;"),
            rust("src/broker/old/older.rs", ""),
            rust("tests/tests/fleet.rs", "mod helper;"),
            rust("tests/tests/helper/mod.rs", ""),
            rust("tests/tests/chaos/main.rs", "mod kill;"),
            rust("tests/tests/chaos/kill.rs", ""),
        ];
        assert_eq!(places(&dead(&tree)), ["src/gone.rs", "src/broker/old.rs", "src/broker/old/older.rs"]);
    }

    #[test]
    fn a_folder_without_a_map_is_found() {
        let written = MAPPED[1..].iter().map(|folder| Source::new(&format!("{folder}/README.md"), "# x"));
        assert_eq!(places(&readmes(&written.collect::<Vec<_>>())), ["src/README.md"]);
    }

    #[test]
    fn a_stub_is_found_in_code_and_not_in_words() {
        let file = rust("src/a.rs", "// todo!()\nlet x = \"#[ignore]\";\ntodo!()\n#[ignore = \"slow\"]\n");
        assert_eq!(places(&unfinished(&[file])), ["src/a.rs:3", "src/a.rs:4"]);
    }

    #[test]
    fn a_file_is_too_long_from_one_line_over_the_bound() {
        let (fits, over) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        assert_eq!(places(&long(&[rust("src/a.rs", &fits), rust("src/b.rs", &over)])), ["src/b.rs"]);
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        let bad = concat!("see /wo", "rk/main\n");
        let fine = concat!("src/wo", "rk/x.rs and $HOME/wo", "rk/ and a net", "work/\n");
        let found = machine_paths(&[Source::new("README.md", bad), Source::new("k8s/x.yaml", fine)]);
        assert_eq!(places(&found), ["README.md:1"]);
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        let bad = rust("tests/tests/chaos.rs", "tokio::time::sleep(SECOND).await;");
        let product = rust("src/runtime/clock.rs", "tokio::time::sleep(SECOND).await;");
        assert_eq!(places(&sleeps(&[bad, product])), ["tests/tests/chaos.rs:1"]);
    }
}
