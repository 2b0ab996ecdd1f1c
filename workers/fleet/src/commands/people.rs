//! `watchbell user`, `device`, `group` and `alert`: what a backend can ask over HTTP, for a person at a terminal.
//!
//! Lists are read page by page and printed as they come, so their length needs no memory.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli_people::{
        AlertArgs, AlertCommand, DeviceArgs, DeviceCommand, GroupArgs, GroupCommand, ListArgs, UserArgs,
        UserCommand,
    },
    client::Producer,
    output,
};

/// How often an erasure, or the deletion of a group, is asked to go on: each time takes up to 10 s.
const ROUNDS_MAX: usize = 10_000;

pub(crate) async fn user(args: UserArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    match args.command {
        UserCommand::List { prefix, group, list } => {
            let query = given([("prefix", prefix), ("group", group)]);
            let pages = Pages { producer: &producer, path: &["users"], query, items: "users" };
            pages.print(&list, |user| user_line(user, &user["unread"])).await
        }
        UserCommand::Show { user, json } => {
            let found = producer.ask_for(Method::GET, &["users", &user], &[]).await?;
            match json {
                true => output::line(found),
                false => show(&found),
            }
            Ok(())
        }
        UserCommand::Erase { user, yes, json } => {
            ensure!(yes, "everything about this user would be erased, which cannot be undone: say --yes");
            let receipt = repeat_until_complete(&producer, &["users", &user], "rows").await?;
            match json {
                true => output::line(receipt),
                false => print_receipt(&receipt),
            }
            Ok(())
        }
        UserCommand::Export { user, out } => {
            let mut file = match &out {
                Some(path) => {
                    Some(BufWriter::new(File::create_new(path).with_context(|| path.display().to_string())?))
                }
                None => None,
            };
            let mut after = None;
            loop {
                let query: Vec<_> = after.into_iter().map(|after| ("after", after)).collect();
                let page = producer.ask_for(Method::GET, &["users", &user, "export"], &query).await?;
                for record in page["records"].as_array().into_iter().flatten() {
                    match &mut file {
                        Some(file) => writeln!(file, "{record}")?,
                        None => output::line(record),
                    }
                }
                after = page["next"].as_str().map(str::to_owned);
                if after.is_none() {
                    break;
                }
            }
            if let Some(mut file) = file {
                file.flush()?;
            }
            Ok(())
        }
    }
}

pub(crate) async fn device(args: DeviceArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    match args.command {
        DeviceCommand::List { user, json } => {
            let found = producer.ask_for(Method::GET, &["users", &user, "devices"], &[]).await?;
            for device in found["devices"].as_array().into_iter().flatten() {
                match json {
                    true => output::line(device),
                    false => output::line(device_line(device)),
                }
            }
            Ok(())
        }
        DeviceCommand::Remove { user, device, all: _ } => {
            let path: Vec<&str> =
                ["users", user.as_str(), "devices"].into_iter().chain(device.as_deref()).collect();
            producer.ask_for(Method::DELETE, &path, &[]).await?;
            output::line("Nothing is pushed there any more.");
            Ok(())
        }
    }
}

pub(crate) async fn group(args: GroupArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    match args.command {
        GroupCommand::List { list } => {
            let pages = Pages { producer: &producer, path: &["groups"], query: Vec::new(), items: "groups" };
            pages.print(&list, word).await
        }
        GroupCommand::Show { group, list } => {
            let path = ["groups", group.as_str(), "members"];
            let pages = Pages { producer: &producer, path: &path, query: Vec::new(), items: "members" };
            pages.print(&list, word).await
        }
        GroupCommand::Delete { group, yes } => {
            ensure!(yes, "everybody would be taken out of this group: say --yes");
            let deleted = repeat_until_complete(&producer, &["groups", &group], "removed").await?;
            output::line(format!("{} members were taken out.", deleted["removed"]));
            Ok(())
        }
    }
}

pub(crate) async fn alert(args: AlertArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    let AlertCommand::List { user, status, severity, source, label, since, until, list } = args.command;
    let (since, until) = times(since.as_deref(), until.as_deref(), Timestamp::now())?;
    let query = given([
        ("user", user),
        ("status", status),
        ("severity", severity),
        ("source", source),
        ("label", label),
        ("since", since),
        ("until", until),
    ]);
    Pages { producer: &producer, path: &["alerts"], query, items: "alerts" }.print(&list, alert_line).await
}

/// Both times as a server reads them.
fn times(
    since: Option<&str>,
    until: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<(Option<String>, Option<String>)> {
    let since = since.map(|text| super::moment("--since", text, now)).transpose()?;
    let until = until.map(|text| super::moment("--until", text, now)).transpose()?;
    if let (Some(since), Some(until)) = (since, until) {
        super::in_order(since, until)?;
    }
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    Ok((text(since), text(until)))
}

/// The parameters that were given.
fn given<const N: usize>(all: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A list that is read page by page.
struct Pages<'a> {
    producer: &'a Producer,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    /// The field of the page that has them.
    items: &'static str,
}

impl Pages<'_> {
    async fn print(self, list: &ListArgs, line: impl Fn(&Value) -> String) -> anyhow::Result<()> {
        let (mut printed, mut after) = (0, None);
        loop {
            let mut query = self.query.clone();
            query.extend(after.map(|after| ("after", after)));
            let page = self.producer.ask_for(Method::GET, self.path, &query).await?;
            for item in page[self.items].as_array().into_iter().flatten() {
                if printed == list.limit {
                    output::note(format!("There are more than {}: raise --limit.", list.limit));
                    return Ok(());
                }
                printed += 1;
                match list.json {
                    true => output::line(item),
                    false => output::line(line(item)),
                }
            }
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Sends a DELETE again until its answer is complete, and adds up what it counts in `field`.
async fn repeat_until_complete(producer: &Producer, path: &[&str], field: &str) -> anyhow::Result<Value> {
    let mut all = Value::Null;
    for _ in 0..ROUNDS_MAX {
        let answer = producer.ask_for(Method::DELETE, path, &[]).await?;
        let counted = sum(&all[field], &answer[field]);
        all = answer;
        all[field] = counted;
        if all["complete"] == json!(true) {
            return Ok(all);
        }
    }
    anyhow::bail!("it is not complete after {ROUNDS_MAX} requests: {all}")
}

/// Two counts, or two objects of counts, as one.
fn sum(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut all = one.clone();
            for (name, count) in other {
                let before = all.get(name).cloned().unwrap_or_default();
                all.insert(name.clone(), sum(&before, count));
            }
            Value::Object(all)
        }
        (Value::Null, other) => other.clone(),
        (one, other) => json!(one.as_u64().unwrap_or_default() + other.as_u64().unwrap_or_default()),
    }
}

fn word(value: &Value) -> String {
    output::inline(value.as_str().unwrap_or_default()).to_string()
}

fn user_line(user: &Value, unread: &Value) -> String {
    let known = if user["known"] == json!(true) { "" } else { "  only named, never registered" };
    format!("{:<24} since {}  unread {unread}{known}", word(&user["user"]), word(&user["created_at"]))
}

fn device_line(device: &Value) -> String {
    let of = |name: &str| word(&device[name]);
    format!(
        "{:<24} {:<8} {:<12} registered {}",
        of("device"),
        of("service"),
        of("environment"),
        of("registered_at")
    )
}

fn alert_line(listed: &Value) -> String {
    let of = |name: &str| word(&listed["alert"][name]);
    let recorded_at = word(&listed["recorded_at"]);
    format!("{recorded_at}  {:<8} {:<12} {:<24} {}", of("severity"), of("status"), of("id"), of("title"))
}

fn show(user: &Value) {
    output::line(user_line(user, &user["counts"]["unread"]));
    for (what, value) in [("locale", &user["locale"]), ("time zone", &user["time_zone"])] {
        if value.is_string() {
            output::line(format!("{what}: {}", word(value)));
        }
    }
    for (channel, known) in user["addresses"].as_object().into_iter().flatten() {
        let refused = if known["refused"] == json!(true) { "  refuses messages" } else { "" };
        output::line(format!("{channel}: {}{refused}", word(&known["address"])));
    }
    for device in user["devices"].as_array().into_iter().flatten() {
        output::line(format!("device: {}", device_line(device)));
    }
    for group in user["groups"].as_array().into_iter().flatten() {
        output::line(format!("group: {}", word(group)));
    }
    let more = if user["counts"]["more_alerts"] == json!(true) { " or more" } else { "" };
    output::line(format!("alerts: {}{more}", user["counts"]["alerts"]));
}

fn print_receipt(receipt: &Value) {
    output::line(format!("Erased at {}. Receipt {}", word(&receipt["erased_at"]), word(&receipt["id"])));
    let rows = receipt["rows"].as_object();
    if rows.is_none_or(serde_json::Map::is_empty) {
        output::line("There was nothing about this user.");
    }
    for (table, rows) in rows.into_iter().flatten() {
        output::line(format!("  {table:<16} {rows}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_listed_by_durations_and_by_times() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (why, since, until, expected) in [
            ("all", None, None, Some((None, None))),
            ("the last hour", Some("1h"), None, Some((Some("2026-11-30T11:00:00Z"), None))),
            (
                "until a time",
                Some("2026-11-29T00:00:00Z"),
                Some("1d"),
                Some((Some("2026-11-29T00:00:00Z"), Some("2026-11-29T12:00:00Z"))),
            ),
            ("nothing in between", Some("1h"), Some("2h"), None),
            ("no time", Some("lately"), None, None),
        ] {
            let read = times(since, until, now).ok();
            let text = |at: Option<&str>| at.map(str::to_owned);
            assert_eq!(read, expected.map(|(since, until)| (text(since), text(until))), "{why}");
        }
    }

    #[test]
    fn counts_of_several_requests_are_added_up() {
        for (one, other, all) in [
            (json!(null), json!({"inbox": 5}), json!({"inbox": 5})),
            (json!({"inbox": 5}), json!({"inbox": 2, "users": 1}), json!({"inbox": 7, "users": 1})),
            (json!(null), json!(4), json!(4)),
            (json!(4), json!(3), json!(7)),
        ] {
            assert_eq!(sum(&one, &other), all);
        }
    }
}
