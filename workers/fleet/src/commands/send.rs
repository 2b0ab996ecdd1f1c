//! `watchbell send`, `watchbell resolve` and `watchbell ack`

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};
use watchbell::{domain::AlertId, wire::names_of};

use super::{send_file, send_notes::notes};
use crate::{
    cli::{ChangeArgs, SendArgs},
    client::Producer,
    output,
};

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    if let Some(file) = &args.file {
        return send_file::run(&producer, file).await;
    }
    let answer = match (&args.title, &args.id) {
        // What is not given stays as it is, the audience too: it is the next version of what is recorded.
        (None, Some(id)) => {
            ensure!(
                !args.names_somebody(),
                "give a title: without one an alert is only changed, for whom it is"
            );
            ensure!(args.policy.is_none(), "give a title: the policy of an alert is not changed by itself");
            let id = AlertId::parse(id).context("--id")?;
            producer.change(&id, &Value::Object(fields_of(&args)?)).await?
        }
        (None, None) => bail!("give a title, or --id to change an alert"),
        (Some(_), _) => {
            // A later version is for whoever holds the alert.
            ensure!(
                args.names_somebody() || args.version.is_some_and(|version| version > 1),
                "give --to, --group or --everyone"
            );
            producer.publish(&alert_of(&args)?).await?
        }
    };
    output::line(answer["id"].as_str().unwrap_or_default());
    for note in notes(&answer) {
        output::note(note);
    }
    Ok(())
}

/// Publishes the next version of each of these alerts, with this status.
pub(crate) async fn change(args: ChangeArgs, status: &str) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    let mut refused = 0;
    for id in &args.ids {
        let changed = match AlertId::parse(id) {
            Ok(id) => producer.change(&id, &json!({ "status": status })).await,
            Err(error) => Err(error.into()),
        };
        match changed {
            Ok(answer) => output::line(format!("{id} version {}: {status}", answer["version"])),
            Err(error) => {
                refused += 1;
                output::note(format!("{}: {error:#}", output::inline(id)));
            }
        }
    }
    ensure!(refused == 0, "{refused} of {} were not changed", args.ids.len());
    Ok(())
}

impl SendArgs {
    fn names_somebody(&self) -> bool {
        !self.to.is_empty() || !self.group.is_empty() || self.everyone
    }
}

fn alert_of(args: &SendArgs) -> anyhow::Result<Value> {
    let mut alert = fields_of(args)?;
    let names = |given: &[String]| given.iter().flat_map(|list| names_of(list)).collect::<Vec<_>>();
    let to = json!({"users": names(&args.to), "groups": names(&args.group), "everyone": args.everyone});
    alert.insert("to".into(), to);
    Ok(Value::Object(alert))
}

/// What of an alert was given.
fn fields_of(args: &SendArgs) -> anyhow::Result<Map<String, Value>> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    set("title", args.title.clone().map(Value::from));
    set("body", args.body.clone().map(Value::from));
    set("body_format", args.markdown.then(|| "markdown".into()));
    set("severity", args.severity.clone().map(Value::from));
    set("url", args.link.clone().map(Value::from));
    set("image", args.image.clone().map(Value::from));
    set("group_key", args.group_key.clone().map(Value::from));
    let actions = args.actions.iter().map(|text| action_of(text)).collect::<anyhow::Result<Vec<_>>>()?;
    set("actions", (!actions.is_empty()).then(|| actions.into()));
    set("policy", args.policy.clone().map(Value::from));
    set("version", args.version.map(Value::from));
    set("status", args.status.clone().map(Value::from));
    if args.title.is_some() {
        set("id", args.id.clone().map(Value::from));
    }
    Ok(fields)
}

/// A button as it is written on the command line. What follows the second `=` is an address when it begins as one, else an
/// answer.
fn action_of(text: &str) -> anyhow::Result<Value> {
    let mut parts = text.splitn(3, '=');
    let (Some(id), Some(title), Some(effect)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("--action {text}: write ID=TITLE=ANSWER or ID=TITLE=URL");
    };
    let field =
        if effect.starts_with("https://") || effect.starts_with("http://") { "url" } else { "answer" };
    Ok(json!({"id": id, "title": title, field: effect}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_is_written_in_three_parts() {
        for (text, expected) in [
            ("approve=Approve=yes", Some(json!({"id": "approve", "title": "Approve", "answer": "yes"}))),
            ("a=b=c=d", Some(json!({"id": "a", "title": "b", "answer": "c=d"}))),
            (
                "run=Runbook=https://example.com/?a=b",
                Some(json!({"id": "run", "title": "Runbook", "url": "https://example.com/?a=b"})),
            ),
            ("approve", None),
            ("approve=Approve", None),
        ] {
            assert_eq!(action_of(text).ok(), expected, "{text}");
        }
    }
}
