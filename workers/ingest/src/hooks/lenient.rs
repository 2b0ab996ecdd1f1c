//! How every hook reads what other products send: taking what can be taken.
//!
//! What holds here:
//! - `null` is absent, and so is a text in which nothing can be seen. Numbers and booleans become texts where a text is wanted.
//! - Whatever cannot be read is absent; no reader fails. What has to be there is asked for by the hook itself.
//! - A word for how bad something is becomes the nearest of ours, and never silently less.

use std::collections::BTreeMap;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    fmt::{rfc2822, strtime},
    tz::TimeZone,
};
use serde_json::Value;
use watchbell::domain::{Severity, Status, text::is_invisible};

/// What stands at a path such as `data.event.title`; none where something on the way is not there or is `null`.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let found = path.split('.').try_fold(value, |value, name| value.get(name))?;
    (!found.is_null()).then_some(found)
}

/// The text at a path.
pub fn text(value: &Value, path: &str) -> Option<String> {
    text_of(at(value, path)?)
}

/// The first text there is among several paths.
pub fn first_text(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| text(value, path))
}

/// A text, a number or a boolean as a text.
pub fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!is_invisible(&text)).then_some(text)
}

/// The texts of an object by their names, and how many values were no texts. An empty text is one: labels have them.
pub fn texts(value: Option<&Value>) -> (BTreeMap<String, String>, usize) {
    let Some(object) = value.and_then(Value::as_object) else { return (BTreeMap::new(), 0) };
    let (mut found, mut left_out) = (BTreeMap::new(), 0);
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        match text_of(value).or_else(|| value.as_str().map(str::to_owned)) {
            Some(text) => drop(found.insert(name.clone(), text)),
            None => left_out += 1,
        }
    }
    (found, left_out)
}

/// The elements of a list; something that is no list is a list of one.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    match at(value, path) {
        None => &[],
        Some(Value::Array(list)) => list,
        Some(one) => std::slice::from_ref(one),
    }
}

/// A whole number, also one that is written as a text, with a point (`1.0`), or as a boolean, which is 0 or 1.
pub fn number(value: &Value, path: &str) -> Option<i64> {
    let text = text(value, path)?;
    match text.trim() {
        "true" => Some(1),
        "false" => Some(0),
        // Behind the point there may be zeros only.
        digits => match digits.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole.parse().ok(),
            Some(_) => None,
            None => digits.parse().ok(),
        },
    }
}

/// The time at the first of several paths where there is one.
pub fn first_time(value: &Value, paths: &[&str]) -> Option<Timestamp> {
    paths.iter().find_map(|path| time_of(at(value, path)?))
}

/// A time: RFC 3339, RFC 1123, RFC 850, as web servers log it (`29/Nov/2026:08:00:00 +0000`), seconds or milliseconds since 1970, with `+0000`, `UTC` or no offset, which is UTC.
/// Nothing was before 1970: year 1 and 0 are how products write "not yet".
pub fn time_of(value: &Value) -> Option<Timestamp> {
    let time = match value {
        Value::Number(number) => epoch(&number.to_string()),
        Value::String(text) => time_of_text(text.trim()),
        _ => None,
    };
    time.filter(|time| *time > Timestamp::UNIX_EPOCH)
}

fn time_of_text(text: &str) -> Option<Timestamp> {
    // Go prints its monotonic clock behind the time.
    let text = text.split(" m=").next().unwrap_or(text);
    let zoneless = ["UTC", "GMT", "utc", "gmt"].iter().find_map(|zone| text.strip_suffix(zone));
    let bare = zoneless.map_or(text, str::trim_end);
    let with_offset = |format: &str| strtime::parse(format, bare).ok()?.to_timestamp().ok();
    let mail = || rfc2822::DateTimeParser::new().parse_timestamp(bare).ok();
    let named = || rfc2822::DateTimeParser::new().parse_timestamp(format!("{bare} +0000")).ok();
    bare.parse()
        .ok()
        .or_else(mail)
        .or_else(named)
        // Before the forms without an offset, which would pass over one that is there.
        .or_else(|| with_offset("%Y-%m-%dT%H:%M:%S%.f%z"))
        .or_else(|| with_offset("%Y-%m-%d %H:%M:%S%.f %z"))
        .or_else(|| with_offset("%Y-%m-%d %H:%M:%S%.f%z"))
        .or_else(|| with_offset("%d/%b/%Y:%H:%M:%S %z"))
        .or_else(|| utc(bare.parse::<DateTime>().ok()?))
        .or_else(|| utc(strtime::parse("%a %b %e %H:%M:%S %Y", bare).ok()?.to_datetime().ok()?))
        .or_else(|| utc(strtime::parse("%A, %d-%b-%y %H:%M:%S", bare).ok()?.to_datetime().ok()?))
        .or_else(|| utc(bare.parse::<Date>().ok()?.at(0, 0, 0, 0)))
        .or_else(|| epoch(bare))
}

fn utc(time: DateTime) -> Option<Timestamp> {
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Digits since 1970. How many there are says of what: seconds reach 100 thousand million in the year 5138. Few digits
/// are a number of something else.
fn epoch(text: &str) -> Option<Timestamp> {
    const SECONDS_MIN: f64 = 1e8;
    const PER_UNIT: [(f64, i128); 4] =
        [(1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (f64::MAX, 1)];
    let is_digits =
        text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'e' || b == b'E' || b == b'+');
    let size: f64 =
        text.parse().ok().filter(|_| is_digits && text.starts_with(|c: char| c.is_ascii_digit()))?;
    if size < SECONDS_MIN {
        return None;
    }
    let (_, ns) = PER_UNIT.into_iter().find(|(below, _)| size < *below)?;
    let total = match text.parse::<i128>() {
        Ok(whole) => whole.checked_mul(ns)?,
        // A fraction of a second, which has fewer digits than a float can hold.
        Err(_) => (size * ns as f64).round() as i128,
    };
    Timestamp::from_nanosecond(total).ok()
}

/// Words for "look at it now", "look at it soon" and "good to know", as products and teams write them.
const CRITICAL: [&str; 27] = [
    "catastrophic",
    "immediate",
    "down",
    "critical",
    "crit",
    "page",
    "fatal",
    "emergency",
    "emerg",
    "panic",
    "alert",
    "disaster",
    "error",
    "err",
    "errors",
    "high",
    "highest",
    "severe",
    "urgent",
    "major",
    "blocker",
    "p0",
    "p1",
    "sev0",
    "sev1",
    "s1",
    "red",
];
const WARNING: [&str; 16] = [
    "warning", "warn", "warnings", "average", "medium", "moderate", "minor", "degraded", "p2", "p3", "sev2",
    "sev3", "s2", "s3", "yellow", "orange",
];
const INFO: [&str; 22] = [
    "info",
    "information",
    "informational",
    "notice",
    "none",
    "ok",
    "okay",
    "debug",
    "trace",
    "low",
    "lowest",
    "normal",
    "success",
    "trivial",
    "p4",
    "p5",
    "sev4",
    "sev5",
    "s4",
    "s5",
    "green",
    "unclassified",
];

/// The worst on every scale that counts downwards, as syslog's does; of 2 and more the scales disagree.
const CRITICAL_NUMBERS: [&str; 2] = ["0", "1"];

/// The nearest of ours. A word nobody knows is a warning, and so is a number but 0 and 1: a product whose scale is known
/// is read by it in its own hook.
pub fn severity(word: &str) -> Severity {
    match CRITICAL_NUMBERS.contains(&word.trim()) {
        true => Severity::Critical,
        false => known_severity(word).unwrap_or(Severity::Warning),
    }
}

/// The nearest of ours, if the word is known. `SEV-1`, `P1 - page now` and `[Critical]` are read by their parts.
pub fn known_severity(word: &str) -> Option<Severity> {
    let lower = word.to_lowercase();
    let parts: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let pairs = parts.windows(2).map(<[&str]>::concat);
    let whole = [parts.concat()];
    let words = whole.into_iter().chain(parts.iter().map(|part| (*part).to_owned())).chain(pairs);
    words.into_iter().find_map(|word| {
        let is = |known: &[&str]| known.contains(&word.as_str());
        match () {
            () if is(&CRITICAL) => Some(Severity::Critical),
            () if is(&WARNING) => Some(Severity::Warning),
            () if is(&INFO) => Some(Severity::Info),
            () => None,
        }
    })
}

/// Where something stands. Whatever is not known to be over, or in somebody's hands, goes on.
pub fn status(word: &str) -> Status {
    let word: String = word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    match word.as_str() {
        "resolve" | "resolved" | "ok" | "okay" | "closed" | "close" | "up" | "recovered" | "recovery"
        | "recover" | "success" | "succeeded" | "normal" | "inactive" | "green" | "fixed" | "done"
        | "cleared" | "clear" | "healthy" | "false" | "0" => Status::Resolved,
        "acknowledge" | "acknowledged" | "ack" | "acked" | "assigned" | "inprogress" | "investigating" => {
            Status::Acknowledged
        }
        "suppressed" | "muted" | "silenced" | "snoozed" | "ignored" | "archived" => Status::Suppressed,
        _ => Status::Firing,
    }
}

#[cfg(test)]
#[path = "lenient_tests.rs"]
mod tests;
