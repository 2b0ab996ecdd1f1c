//! What an incoming alert or a receipt does to one inbox row: the tables, and what holds in every case.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::{AlertId, Audience, Tenant, Timestamp};

pub(in crate::domain) fn alert(version: u32, severity: Severity, status: Status) -> Alert {
    Alert {
        id: AlertId::parse("a").unwrap(),
        version,
        tenant: Tenant::parse("acme").unwrap(),
        to: Audience::default(),
        source: None,
        category: None,
        severity,
        status,
        title: "t".into(),
        body: None,
        url: None,
        labels: Default::default(),
        data: Default::default(),
        policy: None,
        collapse_key: None,
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        occurred_at: Timestamp::UNIX_EPOCH,
        is_dated: true,
        expires_at: None,
        dismissed_until: None,
    }
}

/// Told how bad: what was sent, what was looked at. Nothing, or everything between.
const TOLD: [Option<Severity>; 4] =
    [None, Some(Severity::Info), Some(Severity::Warning), Some(Severity::Critical)];

fn row(state: InboxState, severity: Severity, looked: Option<Severity>) -> Row {
    Row { version: 2, state, severity, status: Status::Firing, looked }
}

/// `(state, unread_by, escalation)` of a change.
fn brief(recorded: Recorded) -> Option<(InboxState, i64, EscalationChange)> {
    match recorded {
        Recorded::Unchanged => None,
        Recorded::Changed { row, unread_by, escalation } => Some((row.state, unread_by, escalation)),
    }
}

#[test]
fn an_incoming_alert_changes_a_row_by_this_table() {
    use EscalationChange::{Anew, Begin, GoOn, Keep, Stop};
    use InboxState::{Dismissed, New, Read, Seen, Snoozed};
    use Severity::{Critical, Info, Warning};
    use Status::{Acknowledged, Firing, Resolved, Suppressed};
    let unsent = Chase { sent: None, waits: true, ..Chase::default() };
    let other = |chase| Chase { is_other_policy: true, ..chase };
    let sent = |severity| Chase { sent: Some(severity), waits: false, ..Chase::default() };
    let over = Chase::default();
    let expired = |chase| Chase { has_expired: true, ..chase };
    let then = |chase, row| Some((row, chase));
    let with = |status, row| Row { status, ..row };
    let unseen = |severity| row(New, severity, None);
    for (why, existing, (severity, status), expected) in [
        ("first sight", None, (Warning, Firing), Some((New, 1, Begin))),
        ("over before anybody was told", None, (Warning, Resolved), Some((New, 1, Keep))),
        // A version that says it is over, or in somebody's hands, ends the escalation.
        (
            "resolved ends it",
            then(unsent, unseen(Warning)),
            (Warning, Resolved),
            Some((New, 0, Stop(StopReason::Resolved))),
        ),
        (
            "worse and in somebody's hands",
            then(sent(Warning), row(Seen, Warning, Some(Warning))),
            (Critical, Acknowledged),
            Some((Seen, 0, Stop(StopReason::Acknowledged))),
        ),
        (
            "suppressed ends it",
            then(sent(Warning), unseen(Warning)),
            (Warning, Suppressed),
            Some((New, 0, Stop(StopReason::Suppressed))),
        ),
        // What was over fires again: nothing that was told before counts.
        (
            "fires again: new again, whatever was told of the last time",
            then(sent(Critical), with(Resolved, row(Read, Critical, Some(Critical)))),
            (Warning, Firing),
            Some((New, 1, Begin)),
        ),
        (
            "fires again, was still unread",
            then(over, with(Suppressed, row(Seen, Warning, Some(Warning)))),
            (Warning, Firing),
            Some((New, 0, Begin)),
        ),
        // A version is valid after one that had expired.
        (
            "it had expired when it came, and nobody looked",
            then(expired(unsent), row(Read, Warning, None)),
            (Warning, Firing),
            Some((New, 1, Begin)),
        ),
        (
            "it had expired when it came, and has no steps",
            then(over, row(Read, Warning, None)),
            (Warning, Firing),
            Some((New, 1, Begin)),
        ),
        (
            "its escalation ended as expired, and it is milder now",
            then(expired(sent(Critical)), row(Seen, Critical, Some(Critical))),
            (Warning, Firing),
            Some((New, 0, Begin)),
        ),
        (
            "it was snoozed, and expired meanwhile",
            then(expired(over), row(Snoozed, Warning, Some(Warning))),
            (Warning, Firing),
            Some((New, 1, Begin)),
        ),
        (
            "expired, and over now",
            then(expired(over), row(Read, Warning, None)),
            (Warning, Resolved),
            Some((Read, 0, Stop(StopReason::Resolved))),
        ),
        // Snoozed: whoever snoozes has looked.
        (
            "snoozed, and no worse",
            then(over, row(Snoozed, Warning, Some(Warning))),
            (Warning, Firing),
            Some((Snoozed, 0, Keep)),
        ),
        (
            "snoozed, and milder",
            then(over, row(Snoozed, Warning, Some(Warning))),
            (Info, Firing),
            Some((Snoozed, 0, Keep)),
        ),
        (
            "worse breaks through a snooze",
            then(over, row(Snoozed, Warning, Some(Warning))),
            (Critical, Firing),
            Some((New, 1, Anew)),
        ),
        (
            "it fell while it was snoozed, and is as bad again as when that began",
            then(over, row(Snoozed, Warning, Some(Critical))),
            (Critical, Firing),
            Some((Snoozed, 0, Keep)),
        ),
        (
            "snoozed, and somebody takes it on",
            then(over, row(Snoozed, Warning, Some(Warning))),
            (Warning, Acknowledged),
            Some((Snoozed, 0, Stop(StopReason::Acknowledged))),
        ),
        (
            "snoozed, and nobody has it on any more",
            then(over, with(Acknowledged, row(Snoozed, Warning, Some(Warning)))),
            (Warning, Firing),
            Some((Snoozed, 0, Keep)),
        ),
        (
            "snoozed, and over: no news any more",
            then(over, row(Snoozed, Warning, Some(Warning))),
            (Warning, Resolved),
            Some((Read, 0, Stop(StopReason::Resolved))),
        ),
        // It is as bad as before.
        ("a new wording, waiting", then(unsent, unseen(Warning)), (Warning, Firing), Some((New, 0, Keep))),
        (
            "a new wording, sent",
            then(sent(Warning), unseen(Warning)),
            (Warning, Firing),
            Some((New, 0, Keep)),
        ),
        (
            "a new wording keeps what was done",
            then(over, row(Read, Warning, Some(Warning))),
            (Warning, Firing),
            Some((Read, 0, Keep)),
        ),
        (
            "another policy before anything was sent",
            then(other(unsent), unseen(Warning)),
            (Warning, Firing),
            Some((New, 0, GoOn)),
        ),
        (
            "another policy when it was sent already",
            then(other(sent(Warning)), unseen(Warning)),
            (Warning, Firing),
            Some((New, 0, Keep)),
        ),
        // It is worse than before.
        (
            "worse, waiting or held",
            then(other(unsent), unseen(Warning)),
            (Critical, Firing),
            Some((New, 0, Anew)),
        ),
        ("worse under the same policy", then(unsent, unseen(Info)), (Warning, Firing), Some((New, 0, Anew))),
        (
            "worse than what was sent, in the middle of it or after it",
            then(other(sent(Warning)), unseen(Warning)),
            (Critical, Firing),
            Some((New, 0, Anew)),
        ),
        (
            "worse, and every channel was used without reaching anybody",
            then(other(over), unseen(Warning)),
            (Critical, Firing),
            Some((New, 0, Anew)),
        ),
        (
            "worse than what was seen",
            then(other(over), row(Seen, Warning, Some(Warning))),
            (Critical, Firing),
            Some((New, 0, Anew)),
        ),
        (
            "worse than what was put away",
            then(other(over), row(Dismissed, Warning, Some(Warning))),
            (Critical, Firing),
            Some((New, 1, Anew)),
        ),
        // Less, and up again.
        (
            "less, before anything was sent",
            then(other(unsent), unseen(Critical)),
            (Warning, Firing),
            Some((New, 0, GoOn)),
        ),
        (
            "less, when it was sent",
            then(other(sent(Critical)), unseen(Critical)),
            (Warning, Firing),
            Some((New, 0, Keep)),
        ),
        (
            "up again to what was sent",
            then(other(sent(Critical)), unseen(Warning)),
            (Critical, Firing),
            Some((New, 0, Keep)),
        ),
        (
            "up again to what was seen",
            then(other(over), row(Seen, Warning, Some(Critical))),
            (Critical, Firing),
            Some((Seen, 0, Keep)),
        ),
        (
            "up again, but they looked when it was less",
            then(other(over), row(Read, Warning, Some(Warning))),
            (Critical, Firing),
            Some((New, 1, Anew)),
        ),
        (
            "up and down again to what they had seen, before anything was sent",
            then(other(unsent), row(New, Critical, Some(Warning))),
            (Warning, Firing),
            Some((New, 0, Stop(StopReason::Seen))),
        ),
        (
            "down from worse to what was sent before, and never seen",
            then(other(Chase { sent: Some(Warning), ..unsent }), unseen(Critical)),
            (Warning, Firing),
            Some((New, 0, GoOn)),
        ),
    ] {
        let incoming = alert(3, severity, status);
        let recorded = record(existing, Stand::of(&incoming));
        assert_eq!(brief(recorded), expected, "{why}");
        if let Recorded::Changed { row, .. } = recorded {
            assert_eq!((row.version, row.severity, row.status), (3, severity, status), "{why}");
        }
        for version in [1, 2] {
            let late = Stand { version, ..Stand::of(&incoming) };
            let expected = if existing.is_some() { None } else { expected };
            assert_eq!(brief(record(existing, late)), expected, "{why}, but not later");
        }
    }
}

/// Every row there can be, with every version that can come.
fn every_case() -> impl Iterator<Item = (Row, Chase, Stand)> {
    let severities = [Severity::Info, Severity::Warning, Severity::Critical];
    let statuses = [Status::Firing, Status::Acknowledged, Status::Suppressed, Status::Resolved];
    let states = [InboxState::New, InboxState::Seen, InboxState::Read, InboxState::Dismissed];
    let rows = severities.into_iter().flat_map(move |severity| {
        states.into_iter().flat_map(move |state| {
            statuses.into_iter().flat_map(move |status| {
                TOLD.into_iter().map(move |looked| Row { status, ..row(state, severity, looked) })
            })
        })
    });
    let chases = TOLD.into_iter().flat_map(|sent| {
        [true, false].into_iter().flat_map(move |waits| {
            [true, false].into_iter().flat_map(move |is_other_policy| {
                [true, false].map(move |has_expired| Chase { sent, waits, is_other_policy, has_expired })
            })
        })
    });
    let stands = severities.into_iter().flat_map(move |severity| {
        statuses.into_iter().map(move |status| Stand { version: 3, severity, status })
    });
    let chases: Vec<Chase> = chases.collect();
    let stands: Vec<Stand> = stands.collect();
    rows.flat_map(move |row| {
        let stands = stands.clone();
        chases
            .clone()
            .into_iter()
            .flat_map(move |chase| stands.clone().into_iter().map(move |stand| (row, chase, stand)))
    })
}

#[test]
fn in_every_case_the_rules_of_the_table_hold() {
    let mut cases = 0;
    for (row, chase, incoming) in every_case() {
        cases += 1;
        let case = format!("{row:?} {chase:?} {incoming:?}");
        let Recorded::Changed { row: after, unread_by, escalation } = record(Some((row, chase)), incoming)
        else {
            panic!("a later version is a change: {case}");
        };
        let was_over = row.status != Status::Firing
            || chase.has_expired
            || row.state == InboxState::Read && row.looked.is_none();
        let goes_on = !was_over && incoming.status == Status::Firing;
        let opens = matches!(escalation, EscalationChange::Begin | EscalationChange::Anew);
        let told = row.looked.max(chase.sent);
        if goes_on {
            let is_news = incoming.severity > row.severity && Some(incoming.severity) > told;
            assert_eq!(opens, is_news, "worse than what was told, and only that, is told anew: {case}");
        }
        assert_eq!(opens && !goes_on, escalation == EscalationChange::Begin, "{case}");
        assert_eq!(
            incoming.status != Status::Firing,
            matches!(escalation, EscalationChange::Stop(reason) if reason != StopReason::Seen),
            "what is over stops, and nothing else does: {case}"
        );
        assert!(!opens || after.state == InboxState::New, "what is told anew is unread: {case}");
        assert!(opens || after.state == row.state, "what is not told anew keeps what was done: {case}");
        let unread = i64::from(after.state.is_unread()) - i64::from(row.state.is_unread());
        assert_eq!(unread_by, unread, "the badge counts what is unread: {case}");
        assert!(
            escalation != EscalationChange::GoOn || chase.waits,
            "what sent something goes its way: {case}"
        );
    }
    assert_eq!(cases, 3 * 4 * 4 * 4 * 32 * 12, "none is left out");
}

/// Every way that one unseen alert can go in five versions, each of which may find that what waits is sent before the
/// next one comes, and may have another policy than the one before.
#[test]
fn nobody_is_rung_by_a_fall_nor_twice_for_the_same() {
    const VERSIONS: u32 = 5;
    const WAYS: u32 = 3 * 2 * 2;
    for way in 0..WAYS.pow(VERSIONS) {
        let mut held: Option<(Row, Chase)> = None;
        let (mut rung, mut shown) = (None, None);
        for version in 1..=VERSIONS {
            let digit = way / WAYS.pow(version - 1) % WAYS;
            let severity = [Severity::Info, Severity::Warning, Severity::Critical][(digit % 3) as usize];
            let (sends, is_other_policy) = (digit / 3 % 2 == 1, digit / 6 == 1);
            let held_before = held.map(|(row, chase)| (row, Chase { is_other_policy, ..chase }));
            let recorded = record(held_before, Stand { version, severity, status: Status::Firing });
            let Recorded::Changed { row, escalation, .. } = recorded else { panic!("it is later: {way}") };
            let opens = matches!(escalation, EscalationChange::Begin | EscalationChange::Anew);
            assert!(!opens || shown.is_none_or(|shown| severity > shown), "a fall opened one: {way}");
            assert!(!opens || Some(severity) > rung, "told twice of the same: {way}");
            let mut chase = held.map_or(Chase::default(), |(_, chase)| chase);
            chase.waits |= opens;
            if sends && chase.waits {
                rung = rung.max(Some(severity));
                chase = Chase { sent: rung, waits: false, ..chase };
            }
            assert!(chase.waits || Some(severity) <= rung, "nobody will hear of it: {way}");
            shown = Some(severity);
            held = Some((row, chase));
        }
    }
}

#[test]
fn a_receipt_changes_a_state_by_this_table() {
    use InboxState::{Dismissed, New, Read, Seen, Snoozed};
    use ReceiptState as R;
    for (state, receipt, expected) in [
        (New, R::Delivered, None),
        (New, R::Seen, Some(Seen)),
        (New, R::Read, Some(Read)),
        (New, R::Dismissed, Some(Dismissed)),
        (New, R::Unread, None),
        (Seen, R::Seen, None),
        (Seen, R::Read, Some(Read)),
        (Seen, R::Dismissed, Some(Dismissed)),
        (Seen, R::Unread, None),
        (Read, R::Seen, None),
        (Read, R::Read, None),
        (Read, R::Dismissed, Some(Dismissed)),
        (Read, R::Unread, Some(Seen)),
        (Dismissed, R::Seen, None),
        (Dismissed, R::Read, None),
        (Dismissed, R::Dismissed, None),
        (Dismissed, R::Unread, Some(Seen)),
        (New, R::Snoozed, Some(Snoozed)),
        (Dismissed, R::Snoozed, Some(Snoozed)),
        (Snoozed, R::Delivered, None),
        (Snoozed, R::Seen, None),
        (Snoozed, R::Read, Some(Read)),
        (Snoozed, R::Dismissed, Some(Dismissed)),
        (Snoozed, R::Unread, Some(Seen)),
        (Snoozed, R::Snoozed, Some(Snoozed)),
        (New, R::Acknowledged, Some(Read)),
        (Seen, R::Acknowledged, Some(Read)),
        (Read, R::Acknowledged, None),
        (Dismissed, R::Acknowledged, Some(Read)),
        (Snoozed, R::Acknowledged, Some(Read)),
        (New, R::PassedOn, Some(Dismissed)),
        (Seen, R::PassedOn, Some(Dismissed)),
        (Read, R::PassedOn, Some(Dismissed)),
        (Dismissed, R::PassedOn, None),
        (Snoozed, R::PassedOn, Some(Dismissed)),
    ] {
        assert_eq!(state.after(receipt), expected, "{state} after {receipt}");
    }
}

/// A first answer is a change of every row, of one that was read, too; and it is the only one.
#[test]
fn an_answer_changes_a_state_by_this_table() {
    use InboxState::{Dismissed, New, Read, Seen, Snoozed};
    for (state, expected) in
        [(New, Read), (Seen, Read), (Read, Read), (Snoozed, Read), (Dismissed, Dismissed)]
    {
        assert_eq!(state.after_answer(false), Some(expected), "{state}");
        assert_eq!(state.after_answer(true), None, "{state}, answered before");
    }
}

#[test]
fn an_alert_that_had_expired_is_kept_and_told_nobody() {
    use EscalationChange::{Begin, Keep, Stop};
    use InboxState::{Dismissed, New, Read, Seen, Snoozed};
    use Severity::{Critical, Warning};
    use Status::{Firing, Resolved};
    let row = |version, state: InboxState, status| {
        let looked = (state != New).then_some(Warning);
        Some((Row { version, state, severity: Warning, status, looked }, Chase::default()))
    };
    for (why, existing, incoming, expected) in [
        ("first sight", None, alert(1, Warning, Firing), Some((Read, 0, Begin))),
        ("over as well", None, alert(1, Warning, Resolved), Some((Read, 0, Keep))),
        ("published twice", row(1, New, Firing), alert(1, Warning, Firing), None),
        ("a version that is late", row(2, New, Firing), alert(1, Warning, Firing), None),
        ("one that nobody saw ends", row(1, New, Firing), alert(2, Warning, Firing), Some((Read, -1, Begin))),
        ("worse, and too late", row(1, Seen, Firing), alert(2, Critical, Firing), Some((Read, -1, Begin))),
        (
            "put away before",
            row(1, Dismissed, Firing),
            alert(2, Critical, Firing),
            Some((Dismissed, 0, Begin)),
        ),
        ("put off before", row(1, Snoozed, Firing), alert(2, Warning, Firing), Some((Snoozed, 0, Begin))),
        (
            "put off before, and over",
            row(1, Snoozed, Firing),
            alert(2, Warning, Resolved),
            Some((Read, 0, Stop(StopReason::Resolved))),
        ),
        (
            "fires again, and too late",
            row(1, Read, Resolved),
            alert(2, Warning, Firing),
            Some((Read, 0, Begin)),
        ),
        (
            "resolved ends it as such",
            row(1, New, Firing),
            alert(2, Warning, Resolved),
            Some((Read, -1, Stop(StopReason::Resolved))),
        ),
    ] {
        assert_eq!(brief(record_expired(existing, Stand::of(&incoming))), expected, "{why}");
    }
}
