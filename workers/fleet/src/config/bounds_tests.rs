//! Every number and every duration of the configuration has bounds. The fields come from the example file, which has all
//! of them (`example_tests.rs`), so a new field without bounds fails here.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use toml::Value;
use watchbell::runtime::config::parse_duration;

use super::{
    example_tests::{ALTERNATIVES, switched_on},
    *,
};

/// Where zero says something: any number, never, none, or at once.
const ZERO_IS_MEANT: [&str; 20] = [
    "http.leave_wait",
    "http.connections_per_address_max",
    "http.connections_per_private_address_max",
    "auth.leeway",
    "ingest.rate_per_tenant",
    "ingest.recipients_per_tenant",
    "dispatch.batch_wait",
    "socket.drain_window",
    "socket.sessions_per_address_max",
    "socket.sessions_per_private_address_max",
    "socket.unsigned_per_address_max",
    "socket.rebalance_every",
    "fallback.drain_timeout",
    "restraint.bundle_window",
    "restraint.bundle_after",
    "restraint.digest_window",
    "restraint.channels.email.window",
    "restraint.channels.email.alone_max",
    "policies.page.steps[0].after",
    "policies.page.steps[1].after",
];

/// Where ten years, the longest duration of all, are meant: that is how long things may be kept.
const TEN_YEARS_ARE_MEANT: [&str; 6] = [
    "retention.alerts_kept",
    "retention.timelines_kept",
    "retention.audit_kept",
    "retention.parked_kept",
    "tenants.demo.retention.alerts_kept",
    "tenants.demo.retention.timelines_kept",
];

/// Where four billion are meant: they are bytes.
const FOUR_BILLION_ARE_MEANT: [&str; 1] = ["http.answer_bytes_max"];

/// A place in the configuration: keys of sections, and numbers of list elements.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    At(usize),
}

fn name_of(path: &[Step]) -> String {
    let mut name = String::new();
    for step in path {
        match step {
            Step::Key(key) if name.is_empty() => name.push_str(key),
            Step::Key(key) => name.push_str(&format!(".{key}")),
            Step::At(at) => name.push_str(&format!("[{at}]")),
        }
    }
    name
}

/// Every number and every duration below `value`.
fn gather(value: &Value, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                path.push(Step::Key(key.clone()));
                gather(value, path, found);
                path.pop();
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                path.push(Step::At(at));
                gather(value, path, found);
                path.pop();
            }
        }
        Value::Integer(_) => found.push((path.clone(), value.clone())),
        Value::String(text) if parse_duration(text).is_some() => found.push((path.clone(), value.clone())),
        _ => {}
    }
}

fn at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::At(at) => &mut value[*at],
    })
}

/// What the program says of the whole, with this value there.
fn said_of(whole: &Value, path: &[Step], value: Value) -> Result<(), String> {
    let mut changed = whole.clone();
    *at(&mut changed, path) = value;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(&file, toml::to_string(&changed).unwrap()).unwrap();
    let loaded = catch_unwind(AssertUnwindSafe(|| FleetConfig::load(Some(&file), [])));
    match loaded {
        Ok(loaded) => loaded.map(drop).map_err(|error| format!("{error:#}")),
        Err(_) => panic!("{} ends the program", name_of(path)),
    }
}

#[test]
fn zeros_and_absurd_values_are_refused_by_name_with_a_bound() {
    let mut whole: Value = toml::from_str(&switched_on(&ALTERNATIVES)).unwrap();
    // One field of its kind is not in the example as a table of its own.
    let mut email = toml::Table::new();
    for (key, value) in [
        ("window", "5m".into()),
        ("alone_max", 1.into()),
        ("per_hour_max", 10.into()),
        ("age_max", "12h".into()),
    ] {
        let value: Value = value;
        email.insert(key.to_owned(), value);
    }
    let channels = Value::Table([("email".to_owned(), Value::Table(email))].into_iter().collect());
    whole["restraint"].as_table_mut().unwrap().insert("channels".to_owned(), channels);
    let mut fields = Vec::new();
    gather(&whole, &mut Vec::new(), &mut fields);
    assert!(fields.len() > 70, "only {} fields were found", fields.len());

    let mut wrong = Vec::new();
    for (path, value) in &fields {
        let name = name_of(path);
        let last = name.rsplit('.').next().unwrap().to_owned();
        let values: Vec<(&str, Value, bool)> = match value {
            Value::Integer(_) => vec![
                ("zero", 0.into(), !ZERO_IS_MEANT.contains(&name.as_str())),
                ("less than zero", (-1).into(), true),
                (
                    "an absurd number",
                    4_000_000_000_i64.into(),
                    !FOUR_BILLION_ARE_MEANT.contains(&name.as_str()),
                ),
                ("the largest number", i64::MAX.into(), true),
            ],
            _ => vec![
                ("no time", "0s".into(), !ZERO_IS_MEANT.contains(&name.as_str())),
                ("less than no time", "-1s".into(), true),
                ("ten years", "87600h".into(), !TEN_YEARS_ARE_MEANT.contains(&name.as_str())),
                ("more than a duration may be", "99999999h".into(), true),
            ],
        };
        for (what, value, is_refused) in values {
            match (said_of(&whole, path, value), is_refused) {
                (Ok(()), false) => {}
                (Ok(()), true) => wrong.push(format!("{name}: {what} is accepted")),
                (Err(text), false) => wrong.push(format!("{name}: {what} is refused: {text}")),
                (Err(text), true) => {
                    let has_bound = text.chars().any(|c| c.is_ascii_digit());
                    if !text.contains(&last) || !has_bound {
                        wrong.push(format!("{name}: {what}: {text}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
