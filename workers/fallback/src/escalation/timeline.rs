//! The sentences that a timeline says of decisions. How an escalation ended is worded in [`watchbell::domain::explanation`].

use jiff::Timestamp;
use watchbell::{
    domain::{Channel, digest::DigestEvery, next_step::Because, policy::Unless, restraint::Held},
    store::Escalation,
};

/// Why the escalation goes on to the next step, or is through with its last one.
pub(super) fn step_passed(channel: Channel, because: Because, is_last: bool) -> String {
    match because {
        Because::Accepted if is_last => format!("{channel} step done; it was the last"),
        Because::Accepted => format!("{channel} step done; the next channel waits its turn"),
        Because::NobodyToReach => format!("{channel} step skipped: {}", channel.facts().phrases.nobody),
        Because::Failed if is_last => format!("{channel} step failed for good; it was the last"),
        Because::Failed => format!("{channel} step failed for good: on to the next at once"),
        Because::NextIsDue => format!("{channel} step not done yet, but the next channel is due"),
        Because::OptedOut => format!("{channel} step skipped: the user has turned it off"),
        Because::PutOff => {
            format!(
                "{channel} step put off, for its provider is in trouble: the next channel is used at once, and what was put off is sent when it can be"
            )
        }
        Because::ToldBefore => format!("{channel} step skipped: as much or worse was told before"),
        Because::TooOld => format!("{channel} step skipped: it came due too late to be news"),
        Because::Unless(unless) => format!("{channel} step skipped by its policy: {}", reason_of(unless)),
    }
}

fn reason_of(unless: Unless) -> String {
    match unless {
        Unless::Told(channel) => format!("{} was accepted", channel.facts().phrases.one),
        Unless::Quiet => "these are the user's quiet hours".to_owned(),
        Unless::Info => "it is only for information".to_owned(),
        Unless::Warning => "it is a warning or less".to_owned(),
    }
}

/// Why a step waits, and until when.
pub(super) fn held_back(held: Held, until: Timestamp, gathered: Option<DigestEvery>) -> String {
    if let Some(every) = gathered {
        return format!("held until {until}: the user wants one mail for every {every}");
    }
    match held {
        Held::Quiet => format!("deferred until {until}: these are the user's quiet hours"),
        Held::Summary(channel) => format!("held until {until}: {}", channel.facts().phrases.held),
        Held::Rate => format!("held until {until}: the tenant sends more than it may"),
        Held::SetAside => "set aside: it cannot be carried on".to_owned(),
    }
}

/// What became of a summary, for the timelines of the alerts in it.
pub(super) fn summary_done(channel: Channel, because: Because, escalation: &Escalation) -> String {
    let last = escalation
        .progress
        .attempts
        .iter()
        .rev()
        .find(|attempt| escalation.progress.is_of_this_escalation(attempt));
    let attempt = last.map(|attempt| format!(", attempt {}", attempt.id)).unwrap_or_default();
    // A single alert is sent as it is, so for its reader it is no summary.
    let is_alone = escalation.bundle.as_ref().is_some_and(|bundle| bundle.open == 1);
    let told = match is_alone {
        true => format!("told by {channel}"),
        false => format!("told in a {}", channel.facts().phrases.summary),
    };
    match because {
        Because::Accepted => format!("{told}{attempt}: accepted by the provider"),
        because => format!("not {told}{attempt}: {}", step_passed(channel, because, true)),
    }
}
