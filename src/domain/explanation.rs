//! What is told afterwards of one alert and one person, in words: every step in order, where it stands, and all of it in one line.
//!
//! The notes that decisions leave are worded where the decisions are made (`workers/fallback`, `store`), and are told here as they
//! were written. Whatever else is said of an alert and a person is worded here, once: the timeline over HTTP, `watchbell explain`
//! and the page of a person say the same.

use super::{
    Attempt, AttemptState, GroupRule, InboxState, Seq, Severity, Status, StopReason, Timestamp, UserId,
    receipt::place_of, restraint::Held,
};

/// What happened to one alert for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Whose.
    pub user: UserId,
    /// What they did with it.
    pub state: InboxState,
    /// Until when it is snoozed; only then.
    pub until: Option<Timestamp>,
    /// The number of its last change.
    pub seq: Seq,
    /// The policy by which they are told, where that was noted.
    pub policy: Option<String>,
    /// Whether a screen ever said that it has it.
    pub was_on_screen: bool,
    /// Why the escalation ended, once it has.
    pub stopped: Option<String>,
    /// When somebody looks at it next.
    pub due_at: Option<Timestamp>,
    /// Why it waits, if it does.
    pub held: Option<Held>,
    /// Everything, in order.
    pub entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// What, in one line.
    pub what: String,
    /// Whether it follows from the others, so that it is left out where all is told in one line.
    pub is_detail: bool,
}

impl TimelineEntry {
    /// Something that is told in any case.
    pub fn new(at: Timestamp, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), is_detail: false }
    }

    /// Something that follows from the others.
    pub fn detail(at: Timestamp, what: impl Into<String>) -> Self {
        Self { is_detail: true, ..Self::new(at, what) }
    }
}

/// Things that happened which are told in one line: the last ones.
const LINE_ENTRIES_MAX: usize = 10;
/// Characters of each of them.
const LINE_ENTRY_CHARS_MAX: usize = 240;
/// How long after it was due something is overdue: a fallback worker looks every second.
const OVERDUE_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
/// How the line begins that says how an escalation ended.
const ENDED: &str = "escalation ended: ";

impl Recipient {
    /// Where it stands with this person, and what comes next.
    pub fn standing(&self, now: Timestamp) -> String {
        // A snooze ends the escalation and begins another one, so why the last one ended would mislead.
        if let Some(until) = self.until {
            return format!("{} until {until}; chased again then", self.state);
        }
        let ahead = match (&self.stopped, self.due_at) {
            (None, None) if self.held == Some(Held::SetAside) => {
                "set aside: look at `watchbell dead list`, and replay it once its cause is mended".to_owned()
            }
            (Some(reason), _) => format!("ended: {}", stopped_because(reason)),
            (None, Some(due_at)) => format!("next check at {due_at}{}", overdue(due_at, now)),
            (None, None) => "nothing more will be sent".to_owned(),
        };
        format!("{}; {ahead}", self.state)
    }

    /// All of it in one line, for somebody who knows that it came at `came_at`.
    pub fn in_one_line(&self, came_at: Timestamp, now: Timestamp) -> String {
        let came =
            self.policy.as_ref().map_or("came".to_owned(), |policy| format!("came under policy {policy}"));
        let mut parts = vec![came];
        if !self.was_on_screen {
            parts.push("on no screen".to_owned());
        }
        let ended = self.stopped.as_ref().map(|reason| format!("{ENDED}{}", stopped_because(reason)));
        // How it stands says how it ended.
        let told: Vec<&TimelineEntry> = self
            .entries
            .iter()
            .filter(|entry| !entry.is_detail && Some(&entry.what) != ended.as_ref())
            .collect();
        let (earlier, last) = told.split_at(told.len().saturating_sub(LINE_ENTRIES_MAX));
        if !earlier.is_empty() {
            parts.push(format!("{} earlier steps", earlier.len()));
        }
        parts.extend(
            last.iter().map(|entry| format!("{} {}", clock(entry.at, came_at), shortened(&entry.what))),
        );
        parts.push(self.standing(now));
        parts.join(" · ")
    }
}

fn overdue(due_at: Timestamp, now: Timestamp) -> &'static str {
    // After the last moment there is, nothing is overdue.
    match due_at.checked_add(OVERDUE_AFTER).is_ok_and(|late_at| late_at < now) {
        true => " (overdue: is a fallback worker running?)",
        false => "",
    }
}

/// The time of day in UTC, with the day where that is another one than `beside` has.
fn clock(at: Timestamp, beside: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let format = if day(at) == day(beside) { "%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    at.strftime(format).to_string()
}

fn shortened(what: &str) -> String {
    match what.char_indices().nth(LINE_ENTRY_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &what[..end]),
        None => what.to_owned(),
    }
}

/// Why an escalation ended, of the word that is stored. A word that a later program wrote is told as it is.
fn stopped_because(word: &str) -> String {
    word.parse().map_or_else(|_| word.to_owned(), because)
}

fn because(reason: StopReason) -> String {
    match reason {
        StopReason::Exhausted => "no channel is left".to_owned(),
        StopReason::Snoozed => "snoozed; it begins anew when that is over".to_owned(),
        reason => reason.to_string(),
    }
}

/// How an escalation ended; `taken_under` is the rule by which another recipient has it. Whoever that is is not named: the name would
/// stay in other people's timelines after that person was erased. Their own timeline says when they saw it.
pub fn ended(reason: StopReason, taken_under: Option<GroupRule>) -> String {
    let why = match (reason, taken_under) {
        (StopReason::Acknowledged, Some(GroupRule::FirstStopsAll)) => {
            "another recipient saw it first".to_owned()
        }
        (StopReason::Acknowledged, Some(GroupRule::FirstAcknowledges)) => {
            "another recipient acknowledged it".to_owned()
        }
        (reason, _) => because(reason),
    };
    format!("{ENDED}{why}")
}

/// That the person took the alert on, and what that does.
pub fn acknowledged(by: &str) -> String {
    format!("acknowledged {}: nobody else is chased", place_of(by))
}

/// That the person passed the alert on, and what that does.
pub fn passed_on(by: &str) -> String {
    format!("passed on {}: what comes next for the others is due now", place_of(by))
}

/// That the person had the alert and gives it back.
pub fn given_back(by: &str) -> String {
    format!("given back {}: it is anybody's again, and the others are told again", place_of(by))
}

/// That the recipient who had the alert gave it back.
pub const GIVEN_BACK: &str =
    "whoever had it gave it back: chased again from the first step, which is due now";

/// That another recipient passed the alert on.
pub const HASTENED: &str = "another recipient passed it on: the next step is due now";

/// That the person's devices were taken out with their sessions.
pub fn devices_ended(number: u64) -> String {
    format!(
        "sessions were ended, and with them {number} of the person's devices: no push goes there any more"
    )
}

/// That the person pressed a button that answers: what stood on it, and what its producer was told.
pub fn answered(title: &str, text: &str) -> String {
    format!("answered \"{title}\": {text}")
}

/// That a later version came, and what it changed.
pub fn version_arrived(version: i64, before: (Severity, Status), after: (Severity, Status)) -> String {
    let changed = |what: &str, before: &str, after: &str| match before == after {
        true => None,
        false => Some(format!("{what} {before} → {after}")),
    };
    let changes: Vec<String> = [
        changed("severity", before.0.as_str(), after.0.as_str()),
        changed("status", before.1.as_str(), after.1.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect();
    match changes.is_empty() {
        true => format!("version {version} arrived: {} and {} as before", after.0.as_str(), after.1.as_str()),
        false => format!("version {version} arrived: {}", changes.join(", ")),
    }
}

/// That an attempt was begun, what the provider answered, and that the device has it. With an answer, the beginning is a detail.
pub fn attempt_made(attempt: &Attempt) -> Vec<TimelineEntry> {
    let mut entries = begun_and_answered(attempt);
    let lowered = if attempt.priority_lowered { "; Google had lowered its priority" } else { "" };
    let reached = |at| TimelineEntry::new(at, format!("{}: reached the device{lowered}", named(attempt)));
    entries.extend(attempt.reached_at.map(reached));
    entries
}

/// What became so far of the message that is to tell of an alert with others. Once it is told, the alert's own notes say so.
pub fn told_with_others(attempt: &Attempt) -> Vec<TimelineEntry> {
    let entries =
        if attempt.state == AttemptState::Accepted { Vec::new() } else { begun_and_answered(attempt) };
    let with_others =
        |entry: TimelineEntry| TimelineEntry { what: format!("with others: {}", entry.what), ..entry };
    entries.into_iter().map(with_others).collect()
}

/// Such as `push alert to phone`.
fn named(attempt: &Attempt) -> String {
    let to = attempt.device.as_ref().map(|device| format!(" to {device}")).unwrap_or_default();
    format!("{} {}{to}", attempt.channel, attempt.kind)
}

fn begun_and_answered(attempt: &Attempt) -> Vec<TimelineEntry> {
    let what = named(attempt);
    let begun = format!("{what}: attempt {} begun", attempt.id);
    let reason = attempt
        .reason
        .as_deref()
        .or(attempt.message_id.as_deref())
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let answer = match attempt.state {
        AttemptState::Accepted => format!("{what}: accepted by the provider{reason}"),
        AttemptState::Failed => format!("{what}: failed{reason}"),
        AttemptState::Retrying => {
            let when = attempt.next_try_at.map(|at| format!(", again at {at}")).unwrap_or_default();
            format!("{what}: try {} did not get through{reason}{when}", attempt.tries)
        }
        AttemptState::Pending => return vec![TimelineEntry::new(attempt.created_at, begun)],
    };
    vec![
        TimelineEntry::detail(attempt.created_at, begun),
        TimelineEntry::new(attempt.answered_at.unwrap_or(attempt.created_at), answer),
    ]
}

#[cfg(test)]
#[path = "explanation_tests.rs"]
mod tests;
