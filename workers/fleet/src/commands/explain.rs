//! `watchbell explain ALERT`: why did this person (not) get it?

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;
use watchbell::{
    domain::{AlertId, UserId, restraint::Held},
    runtime::Config,
    store::{Counts, Recipient},
    wire::alert::ShownAlert,
};

use crate::{cli::ExplainArgs, output};

/// Recipients shown when no user is named.
const RECIPIENTS_SHOWN: usize = 20;

pub(crate) async fn run(config: &Config, args: ExplainArgs) -> anyhow::Result<()> {
    let store = super::store(config, &args.data).await?;
    let tenant = super::tenant(args.tenant.as_deref(), config)?;
    let alert = AlertId::parse(&args.alert).context("ALERT")?;
    let user = args.user.as_deref().map(UserId::parse).transpose().context("--user")?;
    let Some(stored) = store.alert(&tenant, &alert).await? else {
        bail!(
            "no alert of tenant {tenant} has this id: it was never accepted, is still in the queue, or was rejected (look at the queue watchbell.rejected; with `up`, at rejected.ndjson in the data folder)"
        );
    };
    let title =
        serde_json::from_str::<ShownAlert>(&stored.content).map(|shown| shown.title).unwrap_or_default();
    output::line(format!("{alert} version {}: {}", stored.version, output::inline(&title)));
    output::line(format!(
        "recorded {} for {}, seen by {}",
        stored.recorded_at,
        counted(stored.recipients),
        stored.seen
    ));
    for note in notes(&stored.content) {
        output::line(format!("note: {}", output::inline(&note)));
    }
    output::line(fares(&store.counts(&tenant, &alert).await?));
    let recipients = store.timeline(&tenant, &alert, user.as_ref(), RECIPIENTS_SHOWN).await?;
    if let (Some(user), true) = (&user, recipients.is_empty()) {
        bail!(
            "{} is not among its recipients: look at the audience it was published with, and at its groups",
            user.as_str()
        );
    }
    for recipient in &recipients {
        show(recipient);
    }
    if user.is_none() && stored.recipients > recipients.len() as u64 {
        output::line(format!(
            "… and {} more: name one with --user",
            stored.recipients - recipients.len() as u64
        ));
    }
    store.close().await;
    Ok(())
}

/// What a hook noted about how it read the alert.
fn notes(content: &str) -> Vec<String> {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    let notes = content["data"][watchbell_ingest::NOTES].as_array().cloned().unwrap_or_default();
    notes.iter().filter_map(|note| note.as_str().map(str::to_owned)).collect()
}

/// How it fares with everybody, in one line.
fn fares(counts: &Counts) -> String {
    let mut parts = vec![format!("on a screen {}", counts.delivered)];
    parts
        .extend(counts.attempts.iter().map(|(channel, state, people)| format!("{channel} {state} {people}")));
    parts
        .extend(counts.in_summary.iter().map(|(channel, people)| format!("{channel} in a summary {people}")));
    parts.extend(counts.held.iter().map(|(held, people)| format!("waiting ({held}) {people}")));
    parts.push(format!("read {}, dismissed {}", counts.read, counts.dismissed));
    parts.join("; ")
}

fn counted(recipients: u64) -> String {
    match recipients {
        1 => "1 recipient".to_owned(),
        many => format!("{many} recipients"),
    }
}

fn show(recipient: &Recipient) {
    output::line(format!("\n{} ({})", recipient.user.as_str(), standing(recipient)));
    for entry in &recipient.entries {
        output::line(format!("  {:<30} {}", entry.at.to_string(), output::inline(&entry.what)));
    }
}

/// Where it stands with one person, and what comes next.
fn standing(recipient: &Recipient) -> String {
    // A snooze ends the escalation and begins another one, so why the last one ended would mislead.
    if let Some(until) = recipient.until {
        return format!("{} until {until}; chased again then", recipient.state);
    }
    let ahead = match (&recipient.stopped, recipient.due_at) {
        (None, None) if recipient.held == Some(Held::SetAside) => {
            "set aside: look at `watchbell dead list`, and replay it once its cause is mended".to_owned()
        }
        (Some(reason), _) => format!("ended: {}", output::inline(reason)),
        (None, Some(due_at)) => format!("next check at {due_at}{}", overdue(due_at)),
        (None, None) => "nothing more will be sent".to_owned(),
    };
    format!("{}; {ahead}", recipient.state)
}

fn overdue(due_at: Timestamp) -> &'static str {
    if due_at + std::time::Duration::from_secs(5) < Timestamp::now() {
        " (overdue: is a fallback worker running?)"
    } else {
        ""
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::InboxState;

    use super::*;

    #[test]
    fn where_it_stands_with_one_person() {
        let later = "2099-01-01T00:00:00Z".parse().unwrap();
        let ana = Recipient {
            user: UserId::parse("ana").unwrap(),
            state: InboxState::New,
            until: None,
            seq: 1,
            stopped: None,
            due_at: Some(later),
            held: None,
            entries: Vec::new(),
        };
        let seen = Recipient { state: InboxState::Seen, stopped: Some("seen".into()), ..ana.clone() };
        let snoozed = Recipient { state: InboxState::Snoozed, until: Some(later), ..seen.clone() };
        let set_aside = Recipient { due_at: None, held: Some(Held::SetAside), ..ana.clone() };
        for (recipient, told) in [
            (&ana, "new; next check at 2099-01-01T00:00:00Z"),
            (&seen, "seen; ended: seen"),
            (&snoozed, "snoozed until 2099-01-01T00:00:00Z; chased again then"),
            (
                &set_aside,
                "new; set aside: look at `watchbell dead list`, and replay it once its cause is mended",
            ),
        ] {
            assert_eq!(standing(recipient), told);
        }
    }

    #[test]
    fn one_recipient_is_no_plural() {
        assert_eq!([0, 1, 2].map(counted), ["0 recipients", "1 recipient", "2 recipients"]);
    }
}
