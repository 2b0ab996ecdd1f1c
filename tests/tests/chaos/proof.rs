//! What must be true after the storm.
//!
//! - **None lost, none twice**: every inbox, read page by page, has exactly the alerts its user was sent, in the last
//!   version, each once.
//! - **Change numbers without a hole**: the head is the number of changes there were: one for each alert, one for
//!   its second version, one for "seen". No two rows share a number, and the highest is the head.
//! - **Screens without a hole**: numbers only ever rose, across every reconnect. A number that a screen was never
//!   told is one that a replay made needless, because its row changed again: in the end the screen shows every row
//!   and the badge exactly as the store has them. Two screens never knew one number by different alerts.
//! - **Everything unseen escalated**: one push and one email, each accepted, and still on the phone. A push whose call was
//!   killed three times may be left open when the email is due: what kills its caller each time must not hold that up (I4).
//! - **Nothing seen escalated after its receipt**, nor anything resolved: no attempt began after one of the person's
//!   screens was told. (The receipt's own time is a little before it was committed, and an attempt committed
//!   meanwhile came first.) A push that was out by then was withdrawn.
//! - **A duplicate replaces**: one entry at the simulator for each push and email, with the attempt's own id.
//!   Embedded, the simulator dies with the rest and forgets, so there the attempts are the proof.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use crate::{
    escalation::Escalation,
    plan::{Plan, Planned, Then},
    screen::{Screen, Shown},
};

/// Both waits of the policy, a lease of a killed fallback, and the work that is left.
const SETTLE_DEADLINE: Duration = Duration::from_secs(180);
/// How long a screen may take to hear the last word.
const HEAL_DEADLINE: Duration = Duration::from_secs(30);
/// Requests at once.
const AT_ONCE: usize = 8;
/// Rows of a page, few, so that there are several.
const PAGE: usize = 10;
/// Violations told of at the most.
const TOLD_MAX: usize = 20;

/// What was found wrong.
#[derive(Default)]
struct Violations(Vec<String>);

impl Violations {
    fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

/// An inbox as its user's client reads it.
struct Inbox {
    user: String,
    seq: u64,
    unread: u64,
    rows: Vec<(String, Shown)>,
}

/// Waits until everything has come to rest, and judges it.
/// `kills` are the times at which a process that calls providers was killed.
pub async fn prove(
    fleet: &Fleet,
    plan: &Plan,
    screens: &[Screen],
    kills: &[Timestamp],
) -> anyhow::Result<()> {
    settle(fleet, plan, kills).await?;
    let inboxes: Vec<Inbox> = stream::iter(&plan.users)
        .map(|user| read_inbox(fleet, user))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let heads: BTreeMap<&str, u64> = inboxes.iter().map(|inbox| (inbox.user.as_str(), inbox.seq)).collect();
    let up_to_date = |screen: &&Screen| screen.heard().last != heads[screen.user.as_str()];
    let all = async || screens.iter().find(up_to_date).is_none().then_some(());
    let healed = until("every screen to be up to date", HEAL_DEADLINE, all).await;

    let mut violations = Violations::default();
    violations.demand(healed.is_ok(), || {
        format!("{} screens never healed", screens.iter().filter(up_to_date).count())
    });
    for inbox in &inboxes {
        judge_inbox(plan, inbox, &mut violations);
        let theirs = screens.iter().filter(|screen| screen.user == inbox.user);
        judge_screens(&theirs.collect::<Vec<_>>(), inbox, &mut violations);
    }
    let escalations = read_escalations(fleet, plan).await?;
    for escalation in &escalations {
        let planned =
            plan.alerts.iter().find(|alert| alert.id == escalation.alert).context("a planned alert")?;
        judge_escalation(plan, planned, escalation, screens, kills, &mut violations);
    }
    if fleet.engine == Engine::Services {
        judge_arrivals(&fleet.all_arrivals().await?, &escalations, &mut violations);
    }
    let connects: usize = screens.iter().map(|screen| screen.heard().connects).sum();
    eprintln!("{} escalations, {} screens with {connects} connections", escalations.len(), screens.len());
    let Violations(found) = violations;
    ensure!(
        found.is_empty(),
        "{} violations:\n{}",
        found.len(),
        found[..found.len().min(TOLD_MAX)].join("\n")
    );
    Ok(())
}

/// Waits until no escalation has anything left to do, in the order of the plan.
async fn settle(fleet: &Fleet, plan: &Plan, kills: &[Timestamp]) -> anyhow::Result<()> {
    let mut unsettled: VecDeque<&Planned> = plan.alerts.iter().collect();
    let mut waits_for = String::new();
    let settled = until("every escalation to come to rest", SETTLE_DEADLINE, async || {
        while let Some(next) = unsettled.front() {
            let escalations = escalations_of(fleet, next).await.ok()?;
            let restless = escalations.iter().find(|escalation| !is_at_rest(plan, next, escalation, kills));
            if let Some(escalation) = restless.filter(|_| !escalations.is_empty()) {
                waits_for = format!("{escalation:?}");
                return None;
            }
            if escalations.len() < next.recipients.len() {
                waits_for = format!("{next:?} reached {} so far", escalations.len());
                return None;
            }
            unsettled.pop_front();
        }
        Some(())
    });
    settled.await.with_context(|| format!("{} alerts unsettled, the first: {waits_for}", unsettled.len()))
}

fn is_at_rest(plan: &Plan, planned: &Planned, escalation: &Escalation, kills: &[Timestamp]) -> bool {
    if escalation.version < planned.versions() {
        return false;
    }
    let is_over = escalation.stopped.is_some() && !escalation.is_due;
    match planned.then {
        Then::Resolve => {
            is_over && (escalation.state == "seen") == plan.is_seen(&escalation.user, &escalation.alert)
        }
        Then::Nothing | Then::Update if plan.is_seen(&escalation.user, &escalation.alert) => is_over,
        // What is on a phone stays until the alert expires, so it remains due then.
        Then::Nothing | Then::Update => {
            let pushed = escalation.accepted("push alert") > 0 || escalation.was_cut_off(kills);
            pushed && escalation.accepted("email alert") > 0
        }
    }
}

async fn escalations_of(fleet: &Fleet, planned: &Planned) -> anyhow::Result<Vec<Escalation>> {
    let path = format!("/v1/alerts/{}/timeline?limit=100", planned.id);
    let (status, timeline) = fleet.producer(Method::GET, &path, None).await?;
    ensure!(status == 200, "{path}: {status} {timeline}");
    Escalation::all_of(&planned.id, &timeline)
}

async fn read_escalations(fleet: &Fleet, plan: &Plan) -> anyhow::Result<Vec<Escalation>> {
    let read =
        stream::iter(&plan.alerts).map(|planned| escalations_of(fleet, planned)).buffer_unordered(AT_ONCE);
    Ok(read.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
}

async fn read_inbox(fleet: &Fleet, user: &str) -> anyhow::Result<Inbox> {
    let mut inbox = Inbox { user: user.to_owned(), seq: 0, unread: 0, rows: Vec::new() };
    let mut before = String::new();
    loop {
        let path = format!("/v1/inbox?limit={PAGE}{before}");
        let (status, page) = fleet.user(user, Method::GET, &path, None).await?;
        let (Some(seq), Some(unread), Some(rows)) =
            (page["seq"].as_u64(), page["unread"].as_u64(), page["alerts"].as_array())
        else {
            bail!("{path}: {status} {page}");
        };
        (inbox.seq, inbox.unread) = (seq, unread);
        inbox.rows.extend(rows.iter().map(row_of));
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => return Ok(inbox),
        }
    }
}

fn row_of(row: &Value) -> (String, Shown) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = row["alert"]["version"].as_u64().unwrap_or_default();
    let shown = Shown { seq: row["seq"].as_u64().unwrap_or_default(), version, state: text(&row["state"]) };
    (text(&row["alert"]["id"]), shown)
}

fn judge_inbox(plan: &Plan, inbox: &Inbox, violations: &mut Violations) {
    let user = &inbox.user;
    let mine: BTreeMap<&str, &Planned> = plan
        .alerts
        .iter()
        .filter(|alert| alert.recipients.contains(user))
        .map(|alert| (alert.id.as_str(), alert))
        .collect();
    let held: BTreeSet<&str> = inbox.rows.iter().map(|(alert, _)| alert.as_str()).collect();
    violations.demand(held.len() == inbox.rows.len(), || format!("{user}: an alert twice in the inbox"));
    for lost in mine.keys().filter(|alert| !held.contains(*alert)) {
        violations.demand(false, || format!("{user}: {lost} was accepted and is lost"));
    }
    for foreign in held.iter().filter(|alert| !mine.contains_key(*alert)) {
        violations.demand(false, || format!("{user}: {foreign} was never for them"));
    }
    let mut changes = 0;
    for (alert, shown) in inbox.rows.iter().filter(|(alert, _)| mine.contains_key(alert.as_str())) {
        let versions = u64::from(mine[alert.as_str()].versions());
        let is_seen = plan.is_seen(user, alert);
        changes += versions + u64::from(is_seen);
        let expected = (versions, if is_seen { "seen" } else { "new" });
        violations.demand((shown.version, shown.state.as_str()) == expected, || {
            format!("{user}: {alert} is {shown:?}, expected {expected:?}")
        });
    }
    violations.demand(inbox.seq == changes, || {
        format!("{user}: the head is {}, and there were {changes} changes", inbox.seq)
    });
    let numbers: BTreeSet<u64> = inbox.rows.iter().map(|(_, shown)| shown.seq).collect();
    violations.demand(numbers.len() == inbox.rows.len(), || format!("{user}: two rows share a number"));
    violations.demand(numbers.last().copied().unwrap_or(0) == inbox.seq, || {
        format!("{user}: the highest number is {:?}, the head {}", numbers.last(), inbox.seq)
    });
    // Nobody here opens or dismisses anything, so every row counts.
    violations.demand(inbox.unread == inbox.rows.len() as u64, || {
        format!("{user}: the badge is {}, a recount gives {}", inbox.unread, inbox.rows.len())
    });
}

fn judge_screens(screens: &[&Screen], inbox: &Inbox, violations: &mut Violations) {
    let user = &inbox.user;
    let stored: BTreeMap<&String, &Shown> = inbox.rows.iter().map(|(alert, shown)| (alert, shown)).collect();
    let mut known: BTreeMap<u64, String> = BTreeMap::new();
    for screen in screens {
        let heard = screen.heard();
        for fault in &heard.faults {
            violations.demand(false, || format!("{user}'s screen: {fault}"));
        }
        for (alert, shown) in &stored {
            violations.demand(heard.shown.get(*alert) == Some(*shown), || {
                format!(
                    "{user}'s screen has {alert} as {:?}, the store as {shown:?}",
                    heard.shown.get(*alert)
                )
            });
        }
        violations.demand(heard.unread == inbox.unread, || {
            format!("{user}'s screen has the badge {}, the store {}", heard.unread, inbox.unread)
        });
        for (seq, alert) in &heard.changes {
            let before = known.entry(*seq).or_insert_with(|| alert.clone());
            violations.demand(before == alert, || {
                format!("{user}: change {seq} was of {before} on one screen, of {alert} on another")
            });
        }
    }
}

fn judge_escalation(
    plan: &Plan,
    planned: &Planned,
    escalation: &Escalation,
    screens: &[Screen],
    kills: &[Timestamp],
    violations: &mut Violations,
) {
    let is_seen = plan.is_seen(&escalation.user, &escalation.alert);
    for kind in ["push alert", "email alert", "push withdrawal"] {
        violations.demand(escalation.begun(kind) <= 1, || format!("more than one {kind}: {escalation:?}"));
    }
    if !is_seen && planned.then != Then::Resolve {
        let pushed = escalation.accepted("push alert") == 1 || escalation.was_cut_off(kills);
        let once = pushed && escalation.accepted("email alert") == 1;
        violations.demand(once && escalation.stopped.is_none(), || {
            format!("unseen and not escalated: {escalation:?}")
        });
        violations.demand(escalation.begun("push withdrawal") == 0, || {
            format!("unseen and withdrawn: {escalation:?}")
        });
        return;
    }
    violations.demand(escalation.begun("push alert") == escalation.accepted("push withdrawal"), || {
        format!("over, and its push not withdrawn: {escalation:?}")
    });
    let told = screens.iter().filter(|screen| screen.user == escalation.user);
    let told = told.filter_map(|screen| screen.heard().over_at.get(&escalation.alert).copied()).min();
    let Some(told) = told else {
        return violations.demand(false, || format!("over, and no screen was told: {escalation:?}"));
    };
    for late in
        escalation.attempts.iter().filter(|attempt| attempt.kind.ends_with("alert") && attempt.at > told)
    {
        violations.demand(false, || format!("over by {told}, and then {late:?}: {escalation:?}"));
    }
}

fn judge_arrivals(arrivals: &[Value], escalations: &[Escalation], violations: &mut Violations) {
    let mut entries: BTreeMap<(&str, &str, &str), Vec<&Value>> = BTreeMap::new();
    for arrival in arrivals {
        let [user, alert, kind] =
            ["user", "alert", "kind"].map(|name| arrival[name].as_str().unwrap_or_default());
        entries.entry((user, alert, kind)).or_default().push(arrival);
    }
    for escalation in escalations {
        for (kind, attempt) in [("apns", "push alert"), ("email", "email alert")] {
            let came = entries
                .remove(&(escalation.user.as_str(), escalation.alert.as_str(), kind))
                .unwrap_or_default();
            let accepted = escalation.accepted(attempt);
            // One that was cut off and then withdrawn may have come or not.
            let fits = came.len() == accepted
                || (came.is_empty() || accepted == 0) && came.len() <= escalation.begun(attempt);
            violations.demand(fits, || format!("{accepted} {attempt} accepted, these came: {came:?}"));
            for arrival in came.iter().filter(|_| kind == "apns") {
                let id = arrival["ids"]["apns_id"].as_str().unwrap_or_default();
                let is_ours = escalation.attempts.iter().any(|begun| begun.kind == attempt && begun.id == id);
                violations.demand(is_ours, || format!("a push of another id: {arrival}, {escalation:?}"));
                violations.demand(arrival["withdrawn"] == escalation.stopped.is_some(), || {
                    format!("a push that should be withdrawn, or should not: {arrival}, {escalation:?}")
                });
                violations
                    .demand(arrival["after_withdrawal"] == false, || format!("back on the phone: {arrival}"));
            }
        }
    }
    violations.demand(entries.is_empty(), || format!("arrived, and nobody asked for it: {entries:?}"));
    let copies = arrivals.iter().filter(|arrival| arrival["copies"].as_u64() > Some(1)).count();
    eprintln!("{} arrivals, {copies} of them replaced by a duplicate", arrivals.len());
}
