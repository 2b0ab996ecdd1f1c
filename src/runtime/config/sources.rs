//! Where settings are written: `WATCHBELL__SECTION__KEY` in the environment, over a TOML file, over the defaults.
//!
//! Each setting of the environment may also be given as `WATCHBELL__SECTION__KEY_FILE`, the path of a file that holds
//! it. Line breaks at the file's end are no part of the value, as in a shell's `$(cat FILE)`: editors and `echo` add one.
//! Nothing else is changed.
//!
//! A variable that is nearly one of ours is not lost in silence: [`misspelt`].

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use ::config::{ConfigError, FileFormat, Map, Source, Value, ValueKind};
use anyhow::{Context as _, anyhow, bail, ensure};
use serde::de::DeserializeOwned;

use super::{
    misspelt::{self, PREFIX, Section},
    written::{Written, in_environment},
};

/// Between a section and its key.
const SEPARATOR: &str = "__";
/// The file that is read when none is named.
const FILE: &str = "watchbell.toml";
/// Settings that are paths by nature and end in `_file` themselves.
const PATHS: [&str; 1] = ["__TRUST_ROOT_FILE"];

/// The variables of this process that are ours, and the names of those that nearly are, without what they hold.
///
/// # Errors
/// One of ours is not UTF-8. It is named.
pub fn environment(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut ours = Vec::new();
    for (name, value) in all {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with(PREFIX) {
            let value = value.into_string().map_err(|_| anyhow!("{name}: must be a text in UTF-8"))?;
            ours.push((name, value));
        } else if misspelt::is_alike(&name) {
            ours.push((name, String::new()));
        }
    }
    Ok(ours)
}

/// What was written, before it is read: sections by name.
#[derive(Debug)]
pub struct Sources {
    sections: Map<String, Value>,
    /// Sections that were asked for.
    known: Vec<Section>,
    /// Names of variables that are ours, or alike.
    variables: Vec<String>,
}

impl Sources {
    /// Reads `file` (or `watchbell.toml` here, when there is one) and the environment given as pairs.
    ///
    /// # Errors
    /// A file cannot be read, or is no TOML. Never repeats a value.
    pub fn open(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let env: Vec<(String, String)> = env.into_iter().collect();
        let variables = env.iter().map(|(name, _)| name.clone()).collect();
        let mut builder = ::config::Config::builder();
        if let Some((path, text)) = read(file)? {
            let written = written(&text).with_context(|| path.display().to_string())?;
            builder = builder.add_source(Layer(written));
        }
        let built = builder.add_source(Layer(nested(with_files(env)?)?)).build()?;
        Ok(Self { sections: built.cache.into_table()?, known: Vec::new(), variables })
    }

    /// Reads the text of a file and nothing else.
    ///
    /// # Errors
    /// It is no TOML. Never repeats a value.
    pub(super) fn of_text(text: &str) -> anyhow::Result<Self> {
        Ok(Self { sections: written(text)?, known: Vec::new(), variables: Vec::new() })
    }

    /// Reads a section, or its default when nothing was written.
    ///
    /// # Errors
    /// Names the key and says what is accepted. Never repeats a value.
    pub fn take<T: DeserializeOwned + Default>(&mut self, name: &'static str) -> anyhow::Result<T> {
        self.known.push(Section::of::<T>(name));
        let Some(section) = self.sections.remove(name) else { return Ok(T::default()) };
        serde_path_to_error::deserialize(Written(section)).map_err(|error| {
            let (path, message) = (error.path().to_string(), error.into_inner());
            match path.as_str() {
                "." => anyhow!("{name}: {message}"),
                path if path.starts_with('[') => anyhow!("{name}{path}: {message}"),
                path => anyhow!("{name}.{path}: {message}"),
            }
        })
    }

    /// Says whether something was written that nobody asked for. The answer is what may be a misspelt variable of ours, and may be
    /// somebody else's: a line for each.
    ///
    /// # Errors
    /// Names the section, and those that there are; or a variable, and what is meant by it.
    pub fn finish(self) -> anyhow::Result<Vec<String>> {
        let meant = |name: &str| misspelt::near_miss(name, &self.known);
        let (ours, alike): (Vec<_>, Vec<_>) =
            self.variables.iter().partition(|name| name.starts_with(PREFIX));
        if let Some(name) = self.sections.keys().min() {
            let known: Vec<&str> = self.known.iter().map(|section| section.name).collect();
            let known = known.join(", ");
            let is_its = |variable: &&&String| section_of(variable) == *name;
            let variable = ours.iter().find(is_its);
            match variable.and_then(|variable| Some((variable, meant(variable)?.meant))) {
                Some((variable, meant)) => bail!("{variable}: unknown section `{name}`: write {meant}"),
                None => bail!("unknown section `{name}`, expected one of {known}"),
            }
        }
        let mut passed_over = Vec::new();
        for variable in alike {
            match meant(variable) {
                Some(miss) if miss.is_sure => {
                    bail!(
                        "{variable} is no setting: write {}, with two underscores before and after the section",
                        miss.meant
                    )
                }
                Some(miss) => passed_over.push(format!(
                    "{variable} is no setting, and is passed over: if it was meant for Watchbell, write {}",
                    miss.meant
                )),
                None => {}
            }
        }
        Ok(passed_over)
    }
}

/// The section that one of our variables is about.
fn section_of(variable: &str) -> String {
    let path = variable.get(PREFIX.len()..).unwrap_or_default().to_lowercase();
    let first = path.split(SEPARATOR).next().unwrap_or_default();
    // `with_files` has taken that off.
    let is_whole = first.len() == path.len();
    first.strip_suffix("_file").filter(|_| is_whole).unwrap_or(first).to_owned()
}

/// The file's text, with its path.
fn read(file: Option<&Path>) -> anyhow::Result<Option<(&Path, String)>> {
    let path = file.unwrap_or(Path::new(FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// What a file says.
fn written(text: &str) -> anyhow::Result<Map<String, Value>> {
    ::config::File::from_str(text, FileFormat::Toml).collect().map_err(|error| no_toml(text, error))
}

/// What is wrong and where, without the line itself: the parser's own words repeat it, and it may hold a secret.
fn no_toml(text: &str, error: ConfigError) -> anyhow::Error {
    let ConfigError::FileParse { cause, .. } = error else { return anyhow!("is not TOML") };
    match cause.downcast_ref::<toml::de::Error>() {
        Some(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            anyhow!("line {line} is not TOML: {}", error.message())
        }
        None => anyhow!("holds a number that is out of bounds"),
    }
}

/// Replaces each `…_FILE` variable by the content of the file it names, without the line breaks at its end.
fn with_files(env: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut resolved = BTreeMap::new();
    for (name, value) in env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let is_path = PATHS.iter().any(|end| name.ends_with(end));
        let (key, value) = match name.strip_suffix("_FILE").filter(|_| !is_path) {
            Some(key) => {
                let text = std::fs::read_to_string(&value);
                let text = text.with_context(|| format!("{name}: its file cannot be read"))?;
                (key.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => (name, value),
        };
        ensure!(
            !resolved.contains_key(&key),
            "{key} is given twice, also as {key}_FILE: take one of them out"
        );
        resolved.insert(key, value);
    }
    Ok(resolved)
}

/// Variables as sections in sections.
fn nested(env: BTreeMap<String, String>) -> anyhow::Result<Map<String, Value>> {
    let mut root = Map::new();
    for (name, value) in env {
        let path = name[PREFIX.len()..].to_lowercase();
        let mut sections: Vec<&str> = path.split(SEPARATOR).collect();
        let key = sections.pop().unwrap_or_default();
        let mut at = &mut root;
        for section in sections {
            let table = at
                .entry(section.to_owned())
                .or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
            at = match &mut table.kind {
                ValueKind::Table(table) => table,
                _ => bail!("{name}: there is a value for all of `{section}` already"),
            };
        }
        ensure!(
            !at.contains_key(key),
            "{name}: there is another variable whose name differs only in capital letters"
        );
        at.insert(key.to_owned(), in_environment(value));
    }
    Ok(root)
}

/// One place where settings are written, read already.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
