//! From what a product reports to alerts for people: how many are told, whom they are for, by which policy. Pure.
//!
//! What holds here:
//! - Whom an alert is for: whom it names itself, else whom the routes name, else whom the address names.
//! - One alert that is for nobody is refused by itself. The others are told.
//! - Alerts beyond the bound become one that says how many they are; the worst are told one by one.

use std::{cmp::Reverse, collections::HashSet};

use jiff::Timestamp;
use watchbell::{
    domain::{Alert, AlertId, Audience, Severity, Status, Tenant, policy::Policies},
    wire::Problem,
};

use super::{
    query::Query,
    report::{Heard, Key, Post, Report},
    route::{self, Considered, Routes},
};
use crate::{
    NewId,
    limits::{HOOK_ALERTS_TOLD_MAX, HOOK_ENDS_MAX, HOOK_NAMES_MAX},
};

/// Titles that the one alert about many names.
const TITLES_NAMED_MAX: usize = 10;

/// Where a post came in.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The name of the hook.
    pub hook: &'a str,
    pub tenant: &'a Tenant,
    pub query: &'a Query,
    pub routes: &'a Routes,
    pub policies: &'a Policies,
    pub new_id: &'a NewId,
    pub now: Timestamp,
}

/// What is to be done about one element of a post.
#[derive(Debug)]
pub struct Planned {
    /// Its place in the post; none for the one that tells of the rest.
    pub index: Option<usize>,
    pub outcome: Outcome,
}

/// What is to be done.
#[derive(Debug)]
pub enum Outcome {
    Tell(Box<Telling>),
    /// It is one of those that this alert counts.
    Counted(AlertId),
    /// Nothing, and why.
    Passed(&'static str),
    /// It cannot be told to anybody.
    Refused(Problem),
}

/// An alert to be told, as version 1.
#[derive(Debug)]
pub struct Telling {
    pub alert: Alert,
    pub is_change: bool,
    pub needs_stored: bool,
    /// What those who sent it, and those who read it, should know.
    pub notes: Vec<String>,
    /// The routes that were looked at.
    pub considered: Vec<Considered>,
}

/// What is to be done about a post.
pub fn plan(post: Post, place: Place<'_>) -> Vec<Planned> {
    let Post { heard, left_out, left_out_worst, more } = post;
    let (kept, rest) = within_bound(heard);
    let mut planned: Vec<Planned> = kept
        .into_iter()
        .map(|(index, heard)| Planned {
            index: Some(index),
            outcome: match heard {
                Heard::Report(report) => telling(&report, place),
                Heard::Passed(why) => Outcome::Passed(why),
                Heard::Refused(problem) => Outcome::Refused(problem),
            },
        })
        .collect();
    // Of a post that cannot be used nothing follows, not even that there are no others any more.
    let is_usable =
        planned.is_empty() || planned.iter().any(|planned| !matches!(planned.outcome, Outcome::Refused(_)));
    if let Some(key) = more.filter(|_| is_usable || !rest.is_empty() || left_out > 0) {
        let (indices, rest): (Vec<usize>, Vec<Report>) = rest.into_iter().unzip();
        let outcome = telling(&about_the_rest(key, &rest, (left_out, left_out_worst), place), place);
        if let Outcome::Tell(telling) = &outcome {
            let counted =
                |index| Planned { index: Some(index), outcome: Outcome::Counted(telling.alert.id.clone()) };
            planned.extend(indices.into_iter().map(counted));
        }
        planned.sort_by_key(|planned| planned.index);
        planned.push(Planned { index: None, outcome });
    }
    planned
}

/// Some of a post, each with its place in it.
type Each<T> = Vec<(usize, T)>;

/// Those that are told one by one, in their order, and those that are too many.
fn within_bound(heard: Each<Heard>) -> (Each<Heard>, Each<Report>) {
    if heard.len() <= HOOK_ALERTS_TOLD_MAX {
        return (heard, Vec::new());
    }
    let urgency = |heard: &Heard| match heard {
        Heard::Report(report) if report.status == Status::Firing => Some(report.severity),
        _ => None,
    };
    let mut heard = heard;
    heard.sort_by_key(|(_, heard)| Reverse(urgency(heard)));
    let (mut kept, mut rest) = (Vec::new(), Vec::new());
    let (mut told, mut ends) = (0, 0);
    for (index, heard) in heard {
        match heard {
            Heard::Report(report) if told < HOOK_ALERTS_TOLD_MAX => {
                told += 1;
                kept.push((index, Heard::Report(report)));
            }
            // What was told before has to end; what was not has not begun.
            Heard::Report(report) if report.status == Status::Resolved && ends < HOOK_ENDS_MAX => {
                ends += 1;
                kept.push((index, Report { needs_stored: true, ..*report }.into()));
            }
            Heard::Report(report) => rest.push((index, *report)),
            other => kept.push((index, other)),
        }
    }
    kept.sort_by_key(|(index, _)| *index);
    (kept, rest)
}

/// The one alert about the firing ones that are too many; its end when there are none.
fn about_the_rest(
    key: Key,
    rest: &[Report],
    (left_out, left_out_worst): (u64, Option<Severity>),
    place: Place<'_>,
) -> Report {
    let rest: Vec<&Report> = rest.iter().filter(|report| report.status == Status::Firing).collect();
    let number = rest.len() as u64 + left_out;
    let severities = rest.iter().map(|report| report.severity);
    let worst = severities.chain(left_out_worst).max().unwrap_or(Severity::Warning);
    let status = if number == 0 { Status::Resolved } else { Status::Firing };
    let title = match number {
        1 => format!("and 1 more alert of {}", place.hook),
        _ => format!("and {number} more alerts of {}", place.hook),
    };
    let mut report = Report::new(key, status, worst, title);
    report.source = Some(place.hook.to_owned());
    let named: Vec<&str> = rest.iter().take(TITLES_NAMED_MAX).map(|report| report.title.as_str()).collect();
    let told = format!(
        "One post had more alerts than are told one by one ({HOOK_ALERTS_TOLD_MAX}), or the sender left some out."
    );
    report.body = Some(std::iter::once(told.as_str()).chain(named).collect::<Vec<_>>().join("\n"));
    report.needs_stored = number == 0;
    report.is_change = number == 0;
    // Whoever would have been told of one of them is told that there are more.
    let mut named = Audience::default();
    for report in rest {
        add(&mut named, whom(report, place).audience);
    }
    if left_out > 0 {
        add(&mut named, place.query.audience.clone());
    }
    report.named = unique(named);
    report
}

fn add(all: &mut Audience, more: Audience) {
    all.users.extend(more.users);
    all.groups.extend(more.groups);
    all.everyone |= more.everyone;
}

/// Each person and group once, in the order they were named.
fn unique(mut audience: Audience) -> Audience {
    let mut seen = HashSet::new();
    audience.users.retain(|user| seen.insert(user.clone()));
    let mut seen = HashSet::new();
    audience.groups.retain(|group| seen.insert(group.clone()));
    audience
}

/// As many names as are told, and how many are not.
fn bounded(mut audience: Audience) -> (Audience, usize) {
    let named = audience.users.len() + audience.groups.len();
    audience.users.truncate(HOOK_NAMES_MAX);
    audience.groups.truncate(HOOK_NAMES_MAX - audience.users.len());
    let kept = audience.users.len() + audience.groups.len();
    (audience, named - kept)
}

/// Whom a report is for.
struct Whom {
    audience: Audience,
    policy: Option<String>,
    notes: Vec<String>,
    considered: Vec<Considered>,
}

fn whom(report: &Report, place: Place<'_>) -> Whom {
    let Place { query, tenant, .. } = place;
    let decision = place.routes.decide(tenant, &route::labels_of(report, place.hook));
    let (own, mut notes) = report.own_audience();
    let routed = decision.audience;
    let (audience, by) = match (own.is_empty(), routed.is_empty()) {
        (false, _) => (own, "the alert itself"),
        (true, false) => (routed, "a route"),
        (true, true) => (query.audience.clone(), "the address of the hook"),
    };
    if !notes.is_empty() && !audience.is_empty() {
        notes.push(format!("{by} said whom it is for"));
    }
    let mut policy = decision.policy;
    if let Some(name) = policy.take_if(|name| place.policies.get(tenant, name).is_none()) {
        notes.push(format!(
            "a route asks for the policy {name}, which does not exist; it was ignored, and the usual policy rules were used"
        ));
    }
    notes.extend(query.notes.iter().cloned());
    let (audience, left_out) = bounded(unique(audience));
    if left_out > 0 {
        notes.push(format!(
            "{left_out} of the names were left out: an alert is told to {HOOK_NAMES_MAX} at the most"
        ));
    }
    Whom { audience, policy: policy.or_else(|| query.policy.clone()), notes, considered: decision.considered }
}

fn telling(report: &Report, place: Place<'_>) -> Outcome {
    let Whom { audience, policy, notes, considered } = whom(report, place);
    // What is over, or in hand, concerns whoever holds it.
    if audience.is_empty() && report.status == Status::Firing {
        return Outcome::Refused(nobody(&notes));
    }
    if report.key == Key::Fresh && report.status != Status::Firing {
        return Outcome::Refused(Problem::invalid(
            "id",
            "is missing: it says that something ended, and not what",
        ));
    }
    let id = match report.key.clone().within(place.query.sender.as_deref()).id(place.new_id) {
        Ok(id) => id,
        Err(problem) => return Outcome::Refused(problem),
    };
    let alert = report.alert(id, place.tenant, audience, &notes, place.now);
    Outcome::Tell(Box::new(Telling {
        alert: Alert { policy, ..alert },
        is_change: report.is_change,
        needs_stored: report.needs_stored,
        notes: report.notes.iter().cloned().chain(notes).collect(),
        considered,
    }))
}

fn nobody(notes: &[String]) -> Problem {
    let mut detail =
        "Nobody is named. Add ?users=ana,ben, ?groups=ops or ?everyone=true to the address of the hook, the \
                      label watchbell_users or watchbell_groups to the alert, or a [[route]] that matches it."
            .to_owned();
    for note in notes {
        detail.push_str(&format!(" Also, {note}."));
    }
    Problem::invalid("to", detail)
}
