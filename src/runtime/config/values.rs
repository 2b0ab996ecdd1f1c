//! How values are written: secrets in files, durations with their unit.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::domain::Secret;

/// Replaces each `…_FILE` variable by the content of the file it names, without its last line break.
pub(super) fn with_files(
    env: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut resolved = BTreeMap::new();
    let ours = env.into_iter().filter(|(name, _)| name.starts_with("WATCHBELL__"));
    for (name, value) in ours {
        // Keys that are paths by nature end in `_file` themselves.
        let is_path = ["__TRUST_ROOT_FILE", "__PUBLIC_KEY_FILES"].iter().any(|end| name.ends_with(end));
        match name.strip_suffix("_FILE").filter(|_| !is_path) {
            Some(key) => {
                let text = std::fs::read_to_string(&value)
                    .with_context(|| format!("{name}: its file cannot be read"))?;
                resolved.insert(key.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned());
            }
            None => {
                resolved.insert(name, value);
            }
        }
    }
    Ok(resolved)
}

pub(in crate::runtime) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom("must be a duration with its unit, such as 250ms, 30s, 5m or 24h"))
}

pub(in crate::runtime) fn maybe_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// A duration with its unit, such as `250ms`, `30s`, `5m`, `24h` or `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let ms = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

pub(in crate::runtime) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

pub(in crate::runtime) fn maybe_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
}
