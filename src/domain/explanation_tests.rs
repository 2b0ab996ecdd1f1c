//! The words of explanations, as tables.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::{AttemptId, AttemptKind, Channel, DeviceId, LAST_MOMENT};

fn at(time: &str) -> Timestamp {
    format!("2026-11-29T{time}Z").parse().unwrap()
}

fn ana(entries: &[(&str, &str)]) -> Recipient {
    Recipient {
        user: UserId::parse("ana").unwrap(),
        state: InboxState::New,
        until: None,
        seq: 1,
        policy: Some("default".to_owned()),
        was_on_screen: false,
        stopped: None,
        due_at: None,
        held: None,
        entries: entries.iter().map(|(time, what)| TimelineEntry::new(at(time), *what)).collect(),
    }
}

#[test]
fn where_it_stands_with_one_person() {
    let (now, later) = (at("12:00:00"), at("23:00:00"));
    let waits = Recipient { due_at: Some(later), ..ana(&[]) };
    let seen = Recipient { state: InboxState::Seen, stopped: Some("seen".into()), ..waits.clone() };
    for (why, recipient, told) in [
        ("it goes on", waits.clone(), "new; next check at 2026-11-29T23:00:00Z"),
        (
            "nobody looked in time",
            Recipient { due_at: Some(at("11:59:54")), ..waits.clone() },
            "new; next check at 2026-11-29T11:59:54Z (overdue: is a fallback worker running?)",
        ),
        (
            "it is due now",
            Recipient { due_at: Some(at("11:59:55")), ..waits.clone() },
            "new; next check at 2026-11-29T11:59:55Z",
        ),
        ("they saw it", seen.clone(), "seen; ended: seen"),
        (
            "nothing helped",
            Recipient { stopped: Some("exhausted".into()), ..waits.clone() },
            "new; ended: no channel is left",
        ),
        ("of a later program", Recipient { stopped: Some("bored".into()), ..waits }, "new; ended: bored"),
        (
            "put off",
            Recipient { state: InboxState::Snoozed, until: Some(later), ..seen },
            "snoozed until 2026-11-29T23:00:00Z; chased again then",
        ),
        (
            "a dead letter",
            Recipient { held: Some(Held::SetAside), ..ana(&[]) },
            "new; set aside: look at `watchbell dead list`, and replay it once its cause is mended",
        ),
        ("no steps", ana(&[]), "new; nothing more will be sent"),
    ] {
        assert_eq!(recipient.standing(now), told, "{why}");
    }
}

#[test]
fn one_line_tells_it_all() {
    let seen = Recipient {
        state: InboxState::Seen,
        was_on_screen: true,
        stopped: Some("seen".into()),
        ..ana(&[("02:00:00", "delivered to a screen"), ("02:00:07", "seen (last by session e5a3…)")])
    };
    let told_by_nobody = Recipient {
        stopped: Some("exhausted".into()),
        ..ana(&[
            ("02:00:05", "push step skipped: the user has no device"),
            ("02:00:05", "email step skipped: the user has no address that takes mail"),
            ("02:00:05", "escalation ended: no channel is left"),
        ])
    };
    let taken = Recipient {
        stopped: Some("acknowledged".into()),
        ..ana(&[("02:00:05", "escalation ended: another recipient saw it first")])
    };
    let quiet = Recipient {
        policy: None,
        due_at: Some(at("07:03:00")),
        held: Some(Held::Quiet),
        ..ana(&[("02:00:30", "deferred until 2026-11-29T07:03:00Z: these are the user's quiet hours")])
    };
    for (why, recipient, line) in [
        (
            "seen on a screen",
            seen,
            "came under policy default · 02:00:00Z delivered to a screen · 02:00:07Z seen (last by session e5a3…) · seen; ended: seen",
        ),
        (
            "reached by nothing: how it ended is said once",
            told_by_nobody,
            "came under policy default · on no screen · 02:00:05Z push step skipped: the user has no device \
             · 02:00:05Z email step skipped: the user has no address that takes mail · new; ended: no channel is left",
        ),
        (
            "somebody else was first: that says more than the word",
            taken,
            "came under policy default · on no screen · 02:00:05Z escalation ended: another recipient saw it first \
             · new; ended: acknowledged",
        ),
        (
            "it waits for the morning",
            quiet,
            "came · on no screen · 02:00:30Z deferred until 2026-11-29T07:03:00Z: these are the user's quiet hours \
             · new; next check at 2026-11-29T07:03:00Z",
        ),
        (
            "nothing is known any more",
            ana(&[]),
            "came under policy default · on no screen · new; nothing more will be sent",
        ),
    ] {
        assert_eq!(recipient.in_one_line(at("02:00:00"), at("03:00:00")), line, "{why}");
    }
}

#[test]
fn a_line_has_a_bound_and_names_another_day() {
    let long = "x".repeat(LINE_ENTRY_CHARS_MAX + 1);
    let many: Vec<(&str, &str)> = vec![("02:00:00", long.as_str()); LINE_ENTRIES_MAX + 3];
    let line = ana(&many).in_one_line("2026-11-28T02:00:00Z".parse().unwrap(), at("03:00:00"));
    assert!(
        line.starts_with(
            "came under policy default · on no screen · 3 earlier steps · 2026-11-29T02:00:00Z xxx"
        ),
        "{line}"
    );
    assert_eq!(line.matches('…').count(), LINE_ENTRIES_MAX);
    assert!(line.chars().count() < (LINE_ENTRY_CHARS_MAX + 30) * LINE_ENTRIES_MAX + 200);
}

fn attempt(state: AttemptState, reason: Option<&str>) -> Attempt {
    Attempt {
        id: AttemptId::from_u128(1),
        kind: AttemptKind::Alert,
        round: 1,
        opening: 0,
        step: 0,
        channel: Channel::Push,
        device: Some(DeviceId::parse("phone").unwrap()),
        state,
        tries: 2,
        next_try_at: Some(at("02:01:00")),
        maybe_shown: false,
        reason: reason.map(str::to_owned),
        severity: None,
        message_id: None,
        created_at: at("02:00:05"),
        answered_at: Some(at("02:00:06")),
        reached_at: None,
        priority_lowered: false,
    }
}

#[test]
fn an_answered_attempt_is_told_by_its_answer() {
    let begun = "push alert to phone: attempt 00000000-0000-0000-0000-000000000001 begun";
    for (state, reason, told) in [
        (AttemptState::Pending, None, begun),
        (AttemptState::Accepted, None, "push alert to phone: accepted by the provider"),
        (AttemptState::Failed, Some("BadDeviceToken"), "push alert to phone: failed: BadDeviceToken"),
        (
            AttemptState::Retrying,
            Some("503"),
            "push alert to phone: try 2 did not get through: 503, again at 2026-11-29T02:01:00Z",
        ),
    ] {
        let entries = attempt_made(&attempt(state, reason));
        let short: Vec<&str> =
            entries.iter().filter(|entry| !entry.is_detail).map(|entry| entry.what.as_str()).collect();
        assert_eq!((short, entries[0].what.as_str()), (vec![told], begun), "{state}");
    }
}

#[test]
fn a_push_that_arrived_is_told_whatever_its_provider_answered() {
    for (state, answer) in [
        (AttemptState::Accepted, "push alert to phone: accepted by the provider"),
        (
            AttemptState::Retrying,
            "push alert to phone: try 2 did not get through, again at 2026-11-29T02:01:00Z",
        ),
    ] {
        let entries = attempt_made(&Attempt { reached_at: Some(at("02:00:07")), ..attempt(state, None) });
        let told: Vec<_> = entries.iter().filter(|entry| !entry.is_detail).cloned().collect();
        let reached = TimelineEntry::new(at("02:00:07"), "push alert to phone: reached the device");
        assert_eq!(told, [TimelineEntry::new(at("02:00:06"), answer), reached]);
    }
}

#[test]
fn how_an_escalation_ended_is_said_in_words() {
    use GroupRule::{FirstAcknowledges, FirstStopsAll};
    for (reason, taken_under, told) in [
        (StopReason::Exhausted, None, "escalation ended: no channel is left"),
        (StopReason::Acknowledged, Some(FirstStopsAll), "escalation ended: another recipient saw it first"),
        (
            StopReason::Acknowledged,
            Some(FirstAcknowledges),
            "escalation ended: another recipient acknowledged it",
        ),
        (StopReason::Acknowledged, None, "escalation ended: acknowledged"),
        (StopReason::Snoozed, None, "escalation ended: snoozed; it begins anew when that is over"),
        (StopReason::Expired, Some(FirstStopsAll), "escalation ended: expired"),
    ] {
        assert_eq!(ended(reason, taken_under), told);
    }
}

#[test]
fn nothing_is_overdue_after_the_last_moment_there_is() {
    let now = at("02:00:00");
    assert_eq!(overdue(LAST_MOMENT, now), "");
    assert_eq!(overdue(now, now), "");
    assert!(overdue(Timestamp::UNIX_EPOCH, now).contains("overdue"));
}
