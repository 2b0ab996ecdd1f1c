//! Pages: what they name exists, and what the code says of them is there.
//!
//! A page is a Markdown file. What it names is a link's target, with the section behind `#`, and whatever stands in
//! backticks and has the form of one of our paths. Code names a page as `docs/NAME.md`, and a section of it by its title
//! in quotation marks after a comma.

use std::collections::{BTreeSet, HashMap};

use super::Finding;
use super::markdown::{anchor, code_spans, links, prose, titles};
use super::source::Source;

/// Endings that a file of ours has, and little else in a text.
const ENDINGS: [&str; 9] = [".rs", ".ts", ".tsx", ".sql", ".sh", ".py", ".mjs", ".md", ".yaml"];
/// Files that pages name as examples, or that running the program makes.
const NOT_KEPT: [&str; 1] = ["watchbell-data/"];
/// Files whose tests name pages that are not there.
const SAMPLES: [&str; 3] =
    ["tests/tests/tidy/markdown.rs", "tests/tests/tidy/pages.rs", "tests/tests/tidy/maps.rs"];

/// Links that lead nowhere: to a file, a folder or a section that is not there.
pub fn broken_links(sources: &[Source], paths: &BTreeSet<String>) -> Vec<Finding> {
    let anchors = anchors_by_page(sources);
    let mut found = Vec::new();
    for page in pages(sources) {
        for line in prose(&page.text) {
            for link in links(line.text).into_iter().filter(|link| !link.contains("://")) {
                let (file, section) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() { page.path.clone() } else { resolved(&page.path, file) };
                let readme = format!("{target}/README.md");
                let shown = if anchors.contains_key(&readme) { &readme } else { &target };
                let has_section = || anchors.get(shown).is_some_and(|known| known.contains(section));
                let what = match exists(paths, &target) {
                    false => format!("links to {target}, which is not there"),
                    true if !section.is_empty() && !has_section() => {
                        format!("links to a section of {shown} that is not there: {section}")
                    }
                    true => continue,
                };
                found.push(finding(page, line.number, what, "Correct the link, or take it out."));
            }
        }
    }
    found
}

/// Paths in backticks that are nowhere in the tree. A path may leave out its first folders.
pub fn unknown_paths(sources: &[Source], paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in pages(sources) {
        for line in prose(&page.text) {
            for name in code_spans(line.text).into_iter().filter(|span| is_path(span, paths)) {
                if !ends_some(paths, name) {
                    let what = format!("names {name}, which is not there");
                    found.push(finding(
                        page,
                        line.number,
                        what,
                        "Name what is there now, or take the sentence out.",
                    ));
                }
            }
        }
    }
    found
}

/// Comments and texts of the code that name a page or a section that is not there.
pub fn unknown_sections(sources: &[Source], paths: &BTreeSet<String>) -> Vec<Finding> {
    const REMEDY: &str = "A reader cannot follow it. Name a page of docs/ and the title of a section of it.";
    let pages: HashMap<&str, &Source> = pages(sources).map(|page| (page.path.as_str(), page)).collect();
    let mut found = Vec::new();
    for file in sources.iter().filter(|file| !SAMPLES.contains(&file.path.as_str())) {
        for (number, name, title) in page_names(&file.text) {
            let place = |what| Finding { place: format!("{}:{number}", file.path), what, because: REMEDY };
            if !ends_some(paths, &name) {
                found.push(place(format!("names the page {name}, which is not there")));
            } else if let Some(title) = title
                && pages.get(name.as_str()).is_some_and(|page| !titles(&page.text).contains(&title))
            {
                found.push(place(format!("names the section \"{title}\" of {name}, which is not there")));
            }
        }
    }
    found
}

fn pages(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|file| file.path.ends_with(".md"))
}

fn anchors_by_page(sources: &[Source]) -> HashMap<String, BTreeSet<String>> {
    let anchors = |page: &Source| titles(&page.text).iter().map(|title| anchor(title)).collect();
    pages(sources).map(|page| (page.path.clone(), anchors(page))).collect()
}

fn finding(page: &Source, number: usize, what: String, because: &'static str) -> Finding {
    Finding { place: format!("{}:{number}", page.path), what, because }
}

/// `link` as seen from the folder of `page`, relative to the workspace.
fn resolved(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether there is a file or a folder of exactly this path.
fn exists(paths: &BTreeSet<String>, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty() || paths.contains(path) || paths.iter().any(|file| file.starts_with(&folder))
}

/// Whether some file's or folder's path ends with this one.
fn ends_some(paths: &BTreeSet<String>, name: &str) -> bool {
    let name = name.trim_end_matches('/');
    let (inner, folder) = (format!("/{name}"), format!("/{name}/"));
    paths.iter().any(|path| {
        path == name || path.ends_with(&inner) || path.starts_with(&folder[1..]) || path.contains(&folder)
    })
}

/// Whether a code span has the form of a path of ours: it ends as our files do, or begins with a folder of the root.
fn is_path(span: &str, paths: &BTreeSet<String>) -> bool {
    let shaped = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    if !shaped || span.starts_with(['/', '.']) || NOT_KEPT.iter().any(|made| span.starts_with(made)) {
        return false;
    }
    let of_root = || {
        let first = span.split_once('/').map(|(first, _)| format!("{first}/"));
        first.is_some_and(|first| paths.iter().any(|path| path.starts_with(&first)))
    };
    ENDINGS.iter().any(|ending| span.len() > ending.len() && span.ends_with(ending)) || of_root()
}

/// Every `NAME.md` in `text` with its line, and the title in quotation marks that follows a page of `docs/`.
fn page_names(text: &str) -> Vec<(usize, String, Option<String>)> {
    let (flat, numbers) = flattened(text);
    let mut found = Vec::new();
    for (at, ending) in flat.match_indices(".md") {
        let end = at + ending.len();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let begin = flat[..at].rfind(|c: char| !is_part(c)).map_or(0, |before| before + 1);
        let goes_on = flat[end..].starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_elsewhere = flat[begin..].starts_with("//") || flat[..begin].ends_with(['}', '{', '*']);
        // `.md` alone is an ending; `../x.md` and `./x.md` are links, which have a check of their own.
        if begin == at || goes_on || is_elsewhere || flat[begin..].starts_with('.') {
            continue;
        }
        let name = flat[begin..end].trim_start_matches('/').to_owned();
        let title = name.starts_with("docs/").then(|| title_after(&flat[end..])).flatten();
        found.push((numbers[at], name, title));
    }
    found
}

/// `` `, "Title" `` or `, \"Title\"`.
fn title_after(rest: &str) -> Option<String> {
    let rest = rest.trim_start_matches('`').strip_prefix(", ")?;
    let rest = rest.trim_start_matches('\\').strip_prefix('"')?;
    let end = rest.find('"')?;
    Some(rest[..end].trim_end_matches('\\').to_owned())
}

/// `text` as one line without the marks that begin comments, and the number of the line of each of its bytes.
fn flattened(text: &str) -> (String, Vec<usize>) {
    let (mut flat, mut numbers) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (index, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches(['/', '!', '*', '#']).trim();
        // A Rust string that goes on on the next line.
        let line = line.strip_suffix('\\').map_or(line, str::trim_end);
        flat.push_str(line);
        flat.push(' ');
        numbers.resize(flat.len(), index + 1);
    }
    (flat, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    fn tree(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let lines = [
            "[a](../src) [b](../src/README.md#two-words) [c](https://example.com/x) [d](#here)",
            "[gone](../src/gone.rs)",
            "[no section](../src#three)",
            "[nor here](#there)",
            "# Here",
        ];
        let pages = [
            Source::new("docs/page.md", &lines.join("\n")),
            Source::new("src/README.md", "# src\n## Two words\n"),
        ];
        let paths = tree(&["docs/page.md", "src/README.md", "src/lib.rs"]);
        assert_eq!(
            places(&broken_links(&pages, &paths)),
            ["docs/page.md:2", "docs/page.md:3", "docs/page.md:4"]
        );
    }

    #[test]
    fn a_path_that_is_nowhere_is_found() {
        let paths = tree(&["src/broker/mod.rs", "tests/run", "web/client/src/protocol.ts"]);
        for (why, span, expected) in [
            ("a file", "src/broker/mod.rs", 0),
            ("its last part", "broker/mod.rs", 0),
            ("a folder", "src/broker/", 0),
            ("a folder without a slash", "src/broker", 0),
            ("a script", "tests/run", 0),
            ("a word", "broker", 0),
            ("an address", "/v1/alerts", 0),
            ("a media type", "application/json", 0),
            ("a pattern", "src/*/mod.rs", 0),
            ("a file that is gone", "gone.rs", 1),
            ("a folder that is gone", "src/gone", 1),
            ("a part of a name", "ker/mod.rs", 1),
        ] {
            let page = Source::new("docs/page.md", &format!("see `{span}`"));
            assert_eq!(unknown_paths(&[page], &paths).len(), expected, "{why}");
        }
    }

    #[test]
    fn a_page_or_section_that_code_names_and_is_not_there_is_found() {
        let docs = "docs/page.md";
        let paths = tree(&[docs, "src/README.md"]);
        for (why, text, expected) in [
            ("a page", format!("//! See `{docs}`."), 0),
            ("a section", format!("//! (`{docs}`, \"Two words\")"), 0),
            ("in a Rust string", format!("because: \"({docs}, \\\"Two words\\\")\""), 0),
            ("over two lines", format!("/// As {docs},\n/// \"Two words\", says."), 0),
            ("an address elsewhere", "<https://example.com/x.md>".to_owned(), 0),
            ("a README", "see src/README.md".to_owned(), 0),
            ("no such section", format!("//! (`{docs}`, \"Three words\")"), 1),
            ("over two lines", format!("/// As {docs},\n/// \"Three words\", says."), 1),
            ("no such page", "// design.md, section 4".to_owned(), 1),
        ] {
            let page = Source::new(docs, "# Page\n## Two words\n");
            let found = unknown_sections(&[page, Source::new("src/a.rs", &text)], &paths);
            assert_eq!(found.len(), expected, "{why}: {found:?}");
        }
    }
}
