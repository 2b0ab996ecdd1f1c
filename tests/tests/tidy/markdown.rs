//! As much of Markdown as the checks of pages need: prose without code blocks, code spans, links, headings, tables.

/// One line of prose, with its number from 1.
pub struct Line<'a> {
    pub number: usize,
    pub text: &'a str,
}

/// The lines outside fenced code blocks and comments. Lines that are indented by four are prose here, because list items
/// and tables of ours go on that way.
pub fn prose(text: &str) -> Vec<Line<'_>> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced && !line.trim_start().starts_with("<!--") {
            found.push(Line { number: index + 1, text: line });
        }
    }
    found
}

/// What stands between backticks on one line.
pub fn code_spans(line: &str) -> Vec<&str> {
    let parts: Vec<&str> = line.split('`').collect();
    // What follows the last backtick of an odd number of them is no span: it goes on on the next line.
    let closed = parts.len() - (1 - parts.len() % 2);
    parts[..closed].iter().skip(1).step_by(2).copied().collect()
}

/// The targets of `[text](target)`.
pub fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        found.extend(rest.find(')').map(|end| &rest[..end]));
    }
    found
}

/// The titles of the page's sections.
pub fn titles(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.text.starts_with('#'));
    headings.map(|line| line.text.trim_start_matches('#').trim().to_owned()).collect()
}

/// What follows `#` in a link to the section of this title, as GitHub makes it.
pub fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The cells of a table's row; none when it is not one.
pub fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

#[test]
fn prose_is_what_is_in_no_fence() {
    let text = "one `a.rs`\n```sh\n`b.rs`\n```\n<!-- `c.rs` -->\n    two\n";
    let lines: Vec<(usize, &str)> = prose(text).iter().map(|line| (line.number, line.text)).collect();
    assert_eq!(lines, [(1, "one `a.rs`"), (6, "    two")]);
}

#[test]
fn spans_and_links_are_taken_from_a_line() {
    assert_eq!(code_spans("`a` and `b`, and `not closed"), ["a", "b"]);
    assert_eq!(code_spans("none"), [""; 0]);
    assert_eq!(links("[a](b.md#c) and [d](https://e)"), ["b.md#c", "https://e"]);
    assert_eq!(cells("| a | `b` |"), Some(vec!["a", "`b`"]));
    assert_eq!(cells("a | b"), None);
}

#[test]
fn an_anchor_is_made_as_github_makes_it() {
    for (title, expected) in [
        ("The nine rules", "the-nine-rules"),
        ("The user's HTTP API", "the-users-http-api"),
        ("`/arrivals`", "arrivals"),
        ("Decisions, 2026-11-29", "decisions-2026-11-29"),
    ] {
        assert_eq!(anchor(title), expected);
    }
}
