//! Which file of a crate imports which: its modules, and the paths in its code, followed through re-exports.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::source::{Source, code_of};

/// One crate of ours, as its modules.
pub struct Crate {
    /// The folder of its `lib.rs` or `main.rs`.
    pub root: String,
    /// The name by which others, and its own binaries, import it.
    name: String,
    /// By its path in the crate, such as `["pod", "hub"]`; the root is empty.
    modules: HashMap<Vec<String>, Module>,
}

struct Module {
    file: String,
    /// Its code without comments, literals, unit tests and re-exports.
    code: String,
    /// Names that it makes public from elsewhere, and the path each stands for.
    re_exports: HashMap<String, Vec<String>>,
}

/// The crates of the product: a library with its modules, or a binary that has no library beside it.
pub fn crates(sources: &[Source]) -> Vec<Crate> {
    let by_path: BTreeMap<&str, &Source> =
        sources.iter().filter(|file| file.is_product()).map(|file| (file.path.as_str(), file)).collect();
    let roots = by_path.keys().filter(|path| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs"));
    let has_library = |path: &str| by_path.contains_key(path.replace("main.rs", "lib.rs").as_str());
    let roots = roots.filter(|path| path.ends_with("lib.rs") || !has_library(path));
    roots.map(|path| Crate::read(path, &by_path)).collect()
}

impl Crate {
    fn read(lib: &str, by_path: &BTreeMap<&str, &Source>) -> Self {
        let root = lib.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let worker = root.split('/').nth(1).map(|worker| format!("watchbell_{worker}"));
        let name = worker.unwrap_or_else(|| "watchbell".to_owned());
        let mut modules = HashMap::new();
        let mut next = vec![(Vec::new(), lib.to_owned())];
        while let Some((path, file)) = next.pop() {
            let Some(source) = by_path.get(file.as_str()) else { continue };
            let code = without_tests(&code_of(&source.text));
            for child in declared(&code) {
                let below = below(&file, &path);
                let candidates = [format!("{below}/{child}.rs"), format!("{below}/{child}/mod.rs")];
                let found = candidates.into_iter().find(|file| by_path.contains_key(file.as_str()));
                next.extend(
                    found.map(|file| ([path.as_slice(), std::slice::from_ref(&child)].concat(), file)),
                );
            }
            let (code, re_exports) = split_re_exports(&code);
            modules.insert(path, Module { file, code, re_exports });
        }
        Self { root, name, modules }
    }

    /// Each file, and the files that its code names.
    pub fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph = BTreeMap::new();
        for (at, module) in &self.modules {
            let named = paths_in(&module.code).into_iter().filter_map(|path| self.resolve(at, &path, 0));
            let others = named.filter(|file| *file != module.file).collect();
            graph.insert(module.file.clone(), others);
        }
        graph
    }

    /// The file that a path in the module `at` leads to, if it is one of this crate.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<String> {
        /// Re-exports of re-exports that are followed.
        const DEPTH_MAX: usize = 8;
        let mut here: Vec<String> = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => at.to_vec(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            name if name == self.name => Vec::new(),
            // A module that this one declares.
            name if self.modules.contains_key(&[at, &[name.to_owned()]].concat()) => {
                [at, &[name.to_owned()]].concat()
            }
            _ => return None,
        };
        for name in &path[1..] {
            if name == "super" {
                here.pop()?;
                continue;
            }
            let child = [here.as_slice(), std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                here = child;
                continue;
            }
            let module = self.modules.get(&here)?;
            if let Some(target) = module.re_exports.get(name).filter(|_| depth < DEPTH_MAX) {
                return self.resolve(&here, target, depth + 1);
            }
            return Some(module.file.clone());
        }
        // The path of a module, whose names stand behind its own elsewhere in the code.
        self.modules.get(&here).filter(|_| path.len() > 1).map(|module| module.file.clone())
    }
}

/// The folder in which a module's children are.
fn below(file: &str, path: &[String]) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    if path.is_empty() || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") }
}

/// The modules that `code` declares in files of their own.
fn declared(code: &str) -> Vec<String> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let names = words.windows(2).filter(|pair| pair[0] == "mod").filter_map(|pair| pair[1].strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// `code` without items behind `#[cfg(test)]` or `#[test]`, in whichever order their attributes are.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    let marks = ["#[cfg(test)]", "#[test]", "#[tokio::test"];
    while let Some(at) = marks.iter().filter_map(|mark| rest.find(mark)).min() {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        rest = &item[end_of_item(item)..];
    }
    kept + rest
}

/// Where the item ends that `text` begins with: at a `;` or a closing brace outside of all brackets.
fn end_of_item(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (c == ';' || c == '}') {
            return at + 1;
        }
    }
    text.len()
}

/// `code` without its public `use` declarations, and the names that these make public.
fn split_re_exports(code: &str) -> (String, HashMap<String, Vec<String>>) {
    let mut kept = String::with_capacity(code.len());
    let mut names = HashMap::new();
    let mut rest = code;
    while let Some(at) = rest.find("pub") {
        let item = &rest[at..];
        let after = item.strip_prefix("pub").map(str::trim_start).unwrap_or_default();
        let after = match after.strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, after)| after.trim_start()),
            None => after,
        };
        let end = item.find(';').map_or(item.len(), |end| end + 1);
        match after.strip_prefix("use ") {
            Some(tree) if !rest[..at].ends_with(is_word) => {
                kept.push_str(&rest[..at]);
                let tree = tree.split(';').next().unwrap_or_default();
                for (path, name) in leaves(tree) {
                    names.insert(name, path);
                }
                rest = &item[end..];
            }
            _ => {
                kept.push_str(&rest[..at + "pub".len()]);
                rest = &item["pub".len()..];
            }
        }
    }
    (kept + rest, names)
}

/// The paths of a `use` tree, each with the name that it gets.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let segments = |text: &str| -> Vec<String> {
        text.split("::")
            .map(|segment| segment.trim().to_owned())
            .filter(|segment| !segment.is_empty())
            .collect()
    };
    if let Some((prefix, group)) = tree.split_once('{') {
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let below = split_at_commas(group).into_iter().flat_map(leaves);
        return below.map(|(path, name)| ([segments(prefix), path].concat(), name)).collect();
    }
    let (path, renamed) =
        tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut path = segments(path);
    let Some(last) = path.last().cloned() else { return Vec::new() };
    if last == "self" {
        path.pop();
    }
    let name = renamed.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    vec![(path, name)]
}

fn split_at_commas(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[begin..]);
    parts
}

/// Every path in `code`: those of `use` declarations, and those that stand in the code itself.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("::") {
        let start = rest[..at].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
        let first = &rest[start..at];
        let path = &rest[start..];
        let end = end_of_path(path);
        // What is left of a longer path was found with its beginning.
        if !first.is_empty() {
            found.extend(leaves(&path[..end]).into_iter().map(|(path, _)| path));
        }
        rest = &path[end.max(first.len() + "::".len())..];
    }
    found
}

/// Where a path ends that `text` begins with; a group in braces is a part of it.
fn end_of_path(text: &str) -> usize {
    let (mut depth, mut after_separator) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '*' if after_separator => return at + 1,
            '{' if depth > 0 || after_separator => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' if depth > 1 => depth -= 1,
            c if depth > 0 || is_word(c) || c == ':' => {}
            _ => return at,
        }
        after_separator = c == ':';
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_uses_and_from_code() {
        for (code, expected) in [
            ("use crate::a::B;", vec!["crate::a::B"]),
            (
                "use crate::{a, b::{C, D as E}, f::{self, G}};",
                vec!["crate::a", "crate::b::C", "crate::b::D", "crate::f", "crate::f::G"],
            ),
            ("use super::*;", vec!["super::*"]),
            ("let x = crate::a::b(c::D::new());", vec!["crate::a::b", "c::D::new"]),
            ("Vec::<crate::a::B>::new()", vec!["Vec::", "crate::a::B"]),
            ("match x { A::B { y } => y }", vec!["A::B"]),
        ] {
            let found: Vec<String> = paths_in(code).iter().map(|path| path.join("::")).collect();
            let expected: Vec<String> =
                expected.iter().map(|path| path.trim_end_matches(':').to_owned()).collect();
            assert_eq!(found, expected, "{code}");
        }
    }

    #[test]
    fn tests_and_re_exports_are_taken_out() {
        let code = "use a::B;\n#[cfg(test)]\n#[path = x]\nmod tests;\n#[cfg(test)]\nmod more { fn f() {} }\npub(crate) use c::{D, E as F};\npub fn g() {}\n#[test]\nfn t() { h() }\nmod last;";
        let (kept, names) = split_re_exports(&without_tests(code));
        assert_eq!(
            kept.split_whitespace().collect::<Vec<_>>().join(" "),
            "use a::B; pub fn g() {} mod last;"
        );
        let mut names: Vec<String> =
            names.iter().map(|(name, path)| format!("{name} = {}", path.join("::"))).collect();
        names.sort();
        assert_eq!(names, ["D = c::D", "F = c::E"]);
    }
}
