//! `watchbell explain ALERT`: why did this person (not) get it? Without an alert: [`super::explain_person`].

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;
use watchbell::{
    domain::{Acknowledgement, AlertId, UserId, UserKey},
    runtime::Config,
    store::{Counts, Recipient},
    wire::alert::ShownAlert,
};

use super::explain_person;
use crate::{cli_explain::ExplainArgs, output};

/// Recipients shown when no user is named.
const RECIPIENTS_SHOWN: usize = 20;

pub(crate) async fn run(config: &Config, args: ExplainArgs) -> anyhow::Result<()> {
    let tenant = super::tenant(args.tenant.as_deref(), config)?;
    let user = args.user.as_deref().map(UserId::parse).transpose().context("--user")?;
    let (alert, user) = match (&args.alert, user) {
        (Some(alert), user) => (AlertId::parse(alert).context("ALERT")?, user),
        (None, Some(user)) => {
            let asked = explain_person::Asked::of(&args.which, Timestamp::now())?;
            let store = super::store(config, &args.data).await?;
            let done = asked.answer(&store, &UserKey::new(tenant, user)).await;
            store.close().await;
            return done;
        }
        (None, None) => bail!("name an alert, or a user with --user"),
    };
    let store = super::store(config, &args.data).await?;
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
    match &stored.acknowledgement {
        Some(Acknowledgement::Taken { by, at }) => {
            output::line(format!("{} has it since {at}", output::inline(by.as_str())));
        }
        Some(Acknowledgement::Open) => output::line("nobody has acknowledged it"),
        None => {}
    }
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
        show(recipient, Timestamp::now());
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
    let mut parts = vec![format!("delivered {}", counts.delivered)];
    parts
        .extend(counts.attempts.iter().map(|(channel, state, people)| format!("{channel} {state} {people}")));
    parts
        .extend(counts.in_summary.iter().map(|(channel, people)| format!("{channel} in a summary {people}")));
    parts.extend(counts.alone.iter().map(|(channel, people)| format!("{channel} told alone {people}")));
    if counts.reached > 0 {
        parts.push(format!("push reached {}", counts.reached));
    }
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

fn show(recipient: &Recipient, now: Timestamp) {
    output::line(format!("\n{} ({})", recipient.user.as_str(), output::inline(&recipient.standing(now))));
    for entry in &recipient.entries {
        output::line(format!("  {:<30} {}", entry.at.to_string(), output::inline(&entry.what)));
    }
}

#[cfg(test)]
mod tests {
    use watchbell::domain::Channel;

    use super::*;

    #[test]
    fn an_alert_that_was_told_alone_was_in_no_summary() {
        let mut counts = Counts { alone: vec![(Channel::Email, 1)], ..Counts::default() };
        assert_eq!(fares(&counts), "delivered 0; email told alone 1; read 0, dismissed 0");
        counts.in_summary = vec![(Channel::Email, 2)];
        let said = "delivered 0; email in a summary 2; email told alone 1; read 0, dismissed 0";
        assert_eq!(fares(&counts), said);
    }

    #[test]
    fn one_recipient_is_no_plural() {
        assert_eq!([0, 1, 2].map(counted), ["0 recipients", "1 recipient", "2 recipients"]);
    }
}
