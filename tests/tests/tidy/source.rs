//! The files of the tree, and Rust code with its comments and string literals blanked out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that are made, not written.
const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "dist", "watchbell-data", "playwright-report"];
/// Files that tools write.
const GENERATED: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// One text file. `path` is relative to the workspace, with `/`.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    #[cfg(test)]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Shared or worker code: what the walls are about. The package `tests` stands outside them.
    pub fn is_product(&self) -> bool {
        self.is_rust() && (self.path.starts_with("src/") || self.path.starts_with("workers/"))
    }

    /// A worker's own integration tests, which play its clients and so may use theirs.
    pub fn is_worker_test(&self) -> bool {
        self.path.starts_with("workers/") && self.path.split('/').nth(2) == Some("tests")
    }

    /// The code lines with their numbers from 1, without comments and literals.
    pub fn code_lines(&self) -> Vec<(usize, String)> {
        let code = code_of(&self.text);
        code.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
    }
}

/// Every text file under `root` that people write, sorted by path.
pub fn read_all(root: &Path) -> Vec<Source> {
    let written = |path: &String| !GENERATED.iter().any(|name| path.rsplit('/').next() == Some(name));
    // What is not UTF-8 is a picture or the like.
    let read = |path: String| fs::read_to_string(root.join(&path)).ok().map(|text| Source { path, text });
    paths(root).into_iter().filter(written).filter_map(read).collect()
}

/// The path of every file under `root`, relative to it.
pub fn paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(root, "", &mut found);
    found
}

fn collect(root: &Path, below: &str, into: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let Ok(kind) = entry.file_type() else { continue };
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, into);
        } else if kind.is_file() {
            into.insert(path);
        }
    }
}

/// `text` with everything in comments, strings and character literals replaced by blanks. Lines stay.
pub fn code_of(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let skipped = match bytes[at] {
            '/' if bytes.get(at + 1) == Some(&'/') => line_comment(&bytes[at..]),
            '/' if bytes.get(at + 1) == Some(&'*') => block_comment(&bytes[at..]),
            '"' => quoted(&bytes[at..]),
            'r' if !in_word(&bytes, at) => raw_string(&bytes[at..]),
            '\'' => character(&bytes[at..]),
            _ => 0,
        };
        if skipped == 0 {
            code.push(bytes[at]);
            at += 1;
        } else {
            let blanked = bytes[at..at + skipped].iter();
            code.extend(blanked.map(|&was| if was == '\n' { '\n' } else { ' ' }));
            at += skipped;
        }
    }
    code
}

fn in_word(text: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too; any other letter before makes `r` part of a name.
    at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_') && text[at - 1] != 'b'
}

fn line_comment(text: &[char]) -> usize {
    text.iter().position(|&c| c == '\n').unwrap_or(text.len())
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|&&c| c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0; // A name that starts with r, or r#ident.
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &text[hashes + 2..];
    let length = body.windows(end.len()).position(|window| window == end);
    length.map_or(text.len(), |length| hashes + 2 + length + end.len())
}

/// A character literal, or 0 for a lifetime.
fn character(text: &[char]) -> usize {
    match (text.get(1), text.get(2)) {
        (Some('\\'), _) => text.iter().skip(3).position(|&c| c == '\'').map_or(0, |at| at + 4),
        (Some(_), Some('\'')) => 3,
        _ => 0,
    }
}

#[test]
fn comments_and_literals_are_not_code() {
    for (why, text, code) in [
        ("a line comment", "a // lapin\nb", "a\nb"),
        ("a nested block", "a /* /* x */ y */ b", "a b"),
        ("a string with a quote", r#"a "x\"// y" b"#, "a b"),
        ("a raw string", "a r#\"x \" y\"# b", "a b"),
        ("a name with an r", "var r#type", "var r#type"),
        ("a quote character", "a '\"' b '\\'' c", "a b c"),
        ("a lifetime", "&'a str // x", "&'a str"),
    ] {
        let squeezed: Vec<String> =
            code_of(text).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(squeezed.join("\n"), code, "{why}");
    }
}
