//! The escalation's specification: each row says why it is there, each edge has a row.

#![allow(clippy::unwrap_used)]

use uuid::Uuid;

use super::{super::PolicyStep, *};
use crate::domain::preferences::{QuietHours, QuietWindow};

#[path = "next_step_digest_tests.rs"]
mod digest;
#[path = "next_step_mandatory_tests.rs"]
mod mandatory;
#[path = "next_step_retry_tests.rs"]
mod retries;
#[path = "next_step_told_tests.rs"]
mod told;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn policy() -> Policy {
    let step = |channel, secs| PolicyStep::new(channel, Duration::from_secs(secs));
    Policy { steps: vec![step(Channel::Push, 5), step(Channel::Email, 20)], ..Policy::default() }
}

/// Nothing is gathered, so that the tables show the escalation alone.
fn unrestrained() -> Restraint {
    let mut restraint = Restraint::default();
    for channel in Channel::ALL {
        restraint[channel].window = Duration::ZERO;
    }
    restraint
}

/// Somebody who wants everything and got nothing yet.
fn person<'a>(reach: Reach, preferences: &'a Preferences, restraint: &'a Restraint) -> Person<'a> {
    Person {
        reach,
        preferences,
        lately: PerChannel::default(),
        restraint,
        category: Some("storage"),
        severity: Severity::Warning,
        is_summary: false,
        chance: 0.5,
    }
}

/// What went out counts in the window and the hour.
fn counted(now: i64) -> Option<Lately> {
    Some(Lately { window_began: Some(at(now)), sent: 1, hour_began: Some(at(now)), sent_in_hour: 1 })
}

/// The step of somebody who wants everything, without what it counts for.
fn plain_step(progress: &Progress, reach: Reach, now: i64) -> Step {
    let (preferences, restraint) = (Preferences::default(), unrestrained());
    match next_step(progress, &policy(), &person(reach, &preferences, &restraint), at(now)) {
        Step::Attempt { kind, channel, step, targets, .. } => {
            Step::Attempt { kind, channel, step, targets, lately: None }
        }
        step => step,
    }
}

fn phone() -> DeviceId {
    DeviceId::parse("phone").unwrap()
}

fn everything() -> Reach {
    reach(&[phone()], true)
}

/// These devices, and perhaps a mailbox.
fn reach(devices: &[DeviceId], mailbox: bool) -> Reach {
    let mut reach = Reach::default();
    reach[Channel::Push] = devices.iter().map(|id| Target { device: Some(id.clone()) }).collect();
    reach[Channel::Email] = mailbox.then_some(Target { device: None }).into_iter().collect();
    reach
}

fn fresh() -> Progress {
    Progress {
        stopped: None,
        opened_at: at(0),
        expires_at: at(1000),
        round: 1,
        opening: 0,
        step: 0,
        step_due_at: at(5),
        attempts: Vec::new(),
        told_by: Vec::new(),
        summarized: None,
        sent_before: None,
    }
}

fn attempt(kind: AttemptKind, step: usize, state: AttemptState) -> Attempt {
    let channel = if step == 1 { Channel::Email } else { Channel::Push };
    Attempt {
        id: Uuid::nil(),
        kind,
        round: 1,
        opening: 0,
        step,
        channel,
        device: (channel == Channel::Push).then(phone),
        state,
        tries: 1,
        next_try_at: (state == AttemptState::Retrying).then(|| at(15)),
        maybe_shown: state != AttemptState::Failed,
        reason: None,
        severity: Some(Severity::Warning),
        message_id: None,
        created_at: at(5),
        answered_at: None,
        reached_at: None,
        priority_lowered: false,
    }
}

fn push_to_phone() -> Step {
    Step::Attempt {
        kind: AttemptKind::Alert,
        channel: Channel::Push,
        step: 0,
        targets: vec![Target { device: Some(phone()) }],
        lately: None,
    }
}

fn withdraw_from_phone() -> Step {
    Step::Attempt {
        kind: AttemptKind::Withdrawal,
        channel: Channel::Push,
        step: 0,
        targets: vec![Target { device: Some(phone()) }],
        lately: None,
    }
}

fn mail() -> Step {
    Step::Attempt {
        kind: AttemptKind::Alert,
        channel: Channel::Email,
        step: 1,
        targets: vec![Target { device: None }],
        lately: None,
    }
}

#[test]
fn the_escalation_climbs_one_step_at_a_time() {
    use AttemptKind::{Alert, Withdrawal};
    use AttemptState::{Accepted, Failed, Pending, Retrying};
    let with = |attempts: Vec<Attempt>| Progress { attempts, ..fresh() };
    let pushed = |state| with(vec![attempt(Alert, 0, state)]);
    let expiring = |second| Progress { expires_at: at(second), ..fresh() };
    let at_email = |attempts| Progress { step: 1, step_due_at: at(30), attempts, ..fresh() };
    let seen = |progress: Progress| Progress { stopped: Some(StopReason::Seen), ..progress };
    let (no_email, no_device) = (reach(&[phone()], false), reach(&[], true));
    for (why, progress, reach, now, expected) in [
        ("a screen may still be looked at", fresh(), everything(), 4, Step::WaitUntil(at(5))),
        ("what expires earlier is looked at then", expiring(3), everything(), 2, Step::WaitUntil(at(3))),
        ("the wait ends at its deadline", fresh(), everything(), 5, push_to_phone()),
        (
            "no phone: the next at once",
            fresh(),
            no_device,
            5,
            Step::Advance { due_at: at(5), because: Because::NobodyToReach },
        ),
        ("a crash cut the call off: again, at once", pushed(Pending), everything(), 6, push_to_phone()),
        ("not before the provider allows", pushed(Retrying), everything(), 6, Step::WaitUntil(at(15))),
        ("then again", pushed(Retrying), everything(), 15, push_to_phone()),
        (
            "retries do not hold the email back",
            pushed(Retrying),
            everything(),
            25,
            Step::Advance { due_at: at(25), because: Because::NextIsDue },
        ),
        (
            "a call that was cut off is made again first, however long nobody was there",
            pushed(Pending),
            everything(),
            25,
            push_to_phone(),
        ),
        (
            "but one that kills its caller each time does not hold the email back",
            with(vec![Attempt { tries: 3, ..attempt(Alert, 0, Pending) }]),
            everything(),
            25,
            Step::Advance { due_at: at(25), because: Because::NextIsDue },
        ),
        (
            "accepted: wait for eyes, then email",
            pushed(Accepted),
            everything(),
            6,
            Step::Advance { due_at: at(26), because: Because::Accepted },
        ),
        (
            "failed for good: email at once",
            pushed(Failed),
            everything(),
            6,
            Step::Advance { due_at: at(6), because: Because::Failed },
        ),
        ("email waits its turn", at_email(vec![]), everything(), 29, Step::WaitUntil(at(30))),
        ("email", at_email(vec![]), everything(), 30, mail()),
        (
            "no address",
            at_email(vec![]),
            no_email,
            30,
            Step::Advance { due_at: at(30), because: Because::NobodyToReach },
        ),
        (
            "a push from an earlier step is not this step's",
            at_email(vec![attempt(Alert, 0, Accepted)]),
            everything(),
            30,
            mail(),
        ),
        (
            "the last step retries with no deadline but age",
            at_email(vec![attempt(Alert, 1, Retrying)]),
            everything(),
            14,
            Step::WaitUntil(at(30)),
        ),
        (
            "all used, nothing on a phone",
            Progress { step: 2, ..fresh() },
            everything(),
            40,
            Step::Finish(StopReason::Exhausted),
        ),
        (
            "all used, the push stays until it expires",
            Progress { step: 2, ..pushed(Accepted) },
            everything(),
            40,
            Step::WaitUntil(at(1000)),
        ),
        ("seen before anything was sent", seen(fresh()), everything(), 5, Step::Finish(StopReason::Seen)),
        ("seen after the push: take it away", seen(pushed(Accepted)), everything(), 7, withdraw_from_phone()),
        (
            "seen while nobody knows whether it arrived",
            seen(pushed(Pending)),
            everything(),
            7,
            withdraw_from_phone(),
        ),
        (
            "never for one that was not pushed",
            seen(pushed(Failed)),
            everything(),
            7,
            Step::Finish(StopReason::Seen),
        ),
        (
            "taken away once",
            seen(with(vec![attempt(Alert, 0, Accepted), attempt(Withdrawal, 0, Accepted)])),
            everything(),
            8,
            Step::Finish(StopReason::Seen),
        ),
        (
            "a withdrawal is retried as well",
            seen(with(vec![attempt(Alert, 0, Accepted), attempt(Withdrawal, 0, Retrying)])),
            everything(),
            8,
            Step::WaitUntil(at(15)),
        ),
        (
            "and repeated after a crash",
            seen(with(vec![attempt(Alert, 0, Accepted), attempt(Withdrawal, 0, Pending)])),
            everything(),
            8,
            withdraw_from_phone(),
        ),
        (
            "an acknowledged alert still goes on: it stays on the phone",
            Progress { stopped: Some(StopReason::Acknowledged), ..pushed(Accepted) },
            everything(),
            7,
            Step::Finish(StopReason::Acknowledged),
        ),
        ("an expired one is not sent", fresh(), everything(), 1000, Step::Finish(StopReason::Expired)),
        ("an expired one is taken away", pushed(Accepted), everything(), 1000, withdraw_from_phone()),
        (
            "another round's attempts do not count",
            Progress { round: 2, ..pushed(Accepted) },
            everything(),
            5,
            push_to_phone(),
        ),
        (
            "nor do those from before a snooze, of the same version",
            Progress { opening: 1, ..pushed(Accepted) },
            everything(),
            5,
            push_to_phone(),
        ),
        (
            "a snoozed one is taken away",
            Progress { stopped: Some(StopReason::Snoozed), ..pushed(Accepted) },
            everything(),
            7,
            withdraw_from_phone(),
        ),
    ] {
        assert_eq!(plain_step(&progress, reach, now), expected, "{why}");
    }
}

/// What was taken away when it was snoozed is on the phone again when it was pushed again.
#[test]
fn what_was_pushed_after_a_snooze_is_taken_away_as_well() {
    let mut again = fresh();
    let withdrawal = attempt(AttemptKind::Withdrawal, 0, AttemptState::Accepted);
    let pushed = attempt(AttemptKind::Alert, 0, AttemptState::Accepted);
    again.stopped = Some(StopReason::Seen);
    again.opening = 1;
    again.attempts = vec![pushed.clone(), withdrawal];
    assert_eq!(plain_step(&again, everything(), 9), Step::Finish(StopReason::Seen), "nothing is there");
    again.attempts.push(Attempt { opening: 1, ..pushed });
    assert_eq!(plain_step(&again, everything(), 9), withdraw_from_phone());
}

#[test]
fn two_devices_are_two_attempts_and_one_may_wait_for_the_other() {
    let tablet = DeviceId::parse("tablet").unwrap();
    let reach = reach(&[phone(), tablet.clone()], true);
    let both = vec![Target { device: Some(phone()) }, Target { device: Some(tablet.clone()) }];
    let first = plain_step(&fresh(), reach.clone(), 5);
    let kind = AttemptKind::Alert;
    assert_eq!(first, Step::Attempt { kind, channel: Channel::Push, step: 0, targets: both, lately: None });

    let mut one_of_two = fresh();
    one_of_two.attempts = vec![
        attempt(AttemptKind::Alert, 0, AttemptState::Accepted),
        Attempt { device: Some(tablet), ..attempt(AttemptKind::Alert, 0, AttemptState::Retrying) },
    ];
    assert_eq!(plain_step(&one_of_two, reach, 6), Step::WaitUntil(at(15)));
}

/// Quiet from second 0 to second 600 of 1970, in UTC.
fn quiet() -> Preferences {
    let quiet = QuietHours { until: Some(at(600)), ..QuietHours::default() };
    Preferences { quiet, ..Preferences::default() }
}

fn opted_out(channels: &[Channel], category: Option<&str>) -> Preferences {
    let mut preferences = Preferences::default();
    match category {
        Some(category) => {
            preferences.categories_off.insert(category.to_owned(), channels.iter().copied().collect());
        }
        None => preferences.channels_off.extend(channels),
    }
    preferences
}

#[test]
fn what_the_person_wants_decides_by_this_table() {
    let mandatory = Policy { mandatory: true, ..policy() };
    let late = Progress { expires_at: at(100_000), ..fresh() };
    let counting = |step: Step, now| match step {
        Step::Attempt { kind, channel, step, targets, .. } => {
            Step::Attempt { kind, channel, step, targets, lately: counted(now) }
        }
        step => step,
    };
    let skip = |because, now| Step::Advance { due_at: at(now), because };
    // The silence ends at 600 s; released clear of the quarter, halfway between 2 and 13 minutes after it.
    let released = released_at(at(600), 0.5);
    let defer = |until| Step::Hold { held: Held::Quiet, until, lately: None, gathered: None };
    for (why, progress, policy, preferences, reach, now, expected) in [
        ("quiet: deferred", &late, &policy(), quiet(), everything(), 5, defer(released)),
        ("mandatory is not", &late, &mandatory, quiet(), everything(), 5, counting(push_to_phone(), 5)),
        ("then it goes", &late, &policy(), quiet(), everything(), 600, counting(push_to_phone(), 600)),
        (
            "not beyond its expiry",
            &fresh(),
            &policy(),
            Preferences {
                quiet: QuietHours { until: Some(at(5000)), ..QuietHours::default() },
                ..Preferences::default()
            },
            everything(),
            5,
            defer(at(1000)),
        ),
        (
            "nobody to push to is found out at once",
            &late,
            &policy(),
            quiet(),
            reach(&[], true),
            5,
            skip(Because::NobodyToReach, 5),
        ),
        (
            "no pushes at all",
            &late,
            &policy(),
            opted_out(&[Channel::Push], None),
            everything(),
            5,
            skip(Because::OptedOut, 5),
        ),
        (
            "none of this category",
            &late,
            &policy(),
            opted_out(&[Channel::Push], Some("storage")),
            everything(),
            5,
            skip(Because::OptedOut, 5),
        ),
        (
            "of another category",
            &late,
            &policy(),
            opted_out(&[Channel::Push], Some("news")),
            everything(),
            5,
            counting(push_to_phone(), 5),
        ),
        (
            "mandatory asks nobody",
            &late,
            &mandatory,
            opted_out(&[Channel::Push], None),
            everything(),
            5,
            counting(push_to_phone(), 5),
        ),
    ] {
        let restraint = unrestrained();
        let person = person(reach, &preferences, &restraint);
        assert_eq!(next_step(progress, policy, &person, at(now)), expected, "{why}");
    }
}

#[test]
fn a_step_is_left_out_by_this_table() {
    let with = |unless: Unless| {
        let mut policy = policy();
        policy.steps[1].unless = vec![unless];
        policy
    };
    let at_email = |attempts| Progress { step: 1, step_due_at: at(30), attempts, ..fresh() };
    let pushed = |state| at_email(vec![attempt(AttemptKind::Alert, 0, state)]);
    let told = Progress { told_by: vec![Channel::Push], ..at_email(vec![]) };
    let quiet = QuietWindow {
        days: vec![jiff::civil::Weekday::Thursday], // 1 January 1970
        from: jiff::civil::time(0, 0, 0, 0),
        to: jiff::civil::time(1, 0, 0, 0),
    };
    let at_night = Preferences {
        quiet: QuietHours { windows: vec![quiet], ..QuietHours::default() },
        ..Preferences::default()
    };
    let anytime = Preferences::default();
    use AttemptState::{Accepted, Failed};
    for (why, progress, unless, preferences, left_out) in [
        ("pushed", pushed(Accepted), Unless::Told(Channel::Push), &anytime, true),
        ("the push failed", pushed(Failed), Unless::Told(Channel::Push), &anytime, false),
        (
            "pushed in another round",
            Progress { round: 2, ..pushed(Accepted) },
            Unless::Told(Channel::Push),
            &anytime,
            false,
        ),
        ("told in a summary push", told, Unless::Told(Channel::Push), &anytime, true),
        ("not mailed", pushed(Accepted), Unless::Told(Channel::Email), &anytime, false),
        ("at night", pushed(Accepted), Unless::Quiet, &at_night, true),
        ("by day", pushed(Accepted), Unless::Quiet, &anytime, false),
        ("a warning is more than information", pushed(Accepted), Unless::Info, &anytime, false),
        ("a warning", pushed(Accepted), Unless::Warning, &anytime, true),
    ] {
        let restraint = unrestrained();
        let step =
            next_step(&progress, &with(unless), &person(everything(), preferences, &restraint), at(30));
        let expected = Step::Advance { due_at: at(30), because: Because::Unless(unless) };
        assert_eq!(step == expected, left_out, "{why}: {step:?}");
    }
}

#[test]
fn restraint_holds_by_this_table() {
    let (preferences, restraint) = (Preferences::default(), Restraint::default());
    let lately =
        |sent| Lately { window_began: Some(at(0)), sent, hour_began: Some(at(0)), sent_in_hour: sent };
    let at_email = Progress { step: 1, step_due_at: at(30), ..fresh() };
    let hold =
        |held, until, lately| Step::Hold { held, until: at(until), lately: Some(lately), gathered: None };
    let sent = |step: Step, lately| match step {
        Step::Attempt { kind, channel, step, targets, .. } => {
            Step::Attempt { kind, channel, step, targets, lately: Some(lately) }
        }
        step => step,
    };
    let mandatory = Policy { mandatory: true, ..policy() };
    for (why, progress, policy, push, is_summary, now, expected) in [
        ("the fifth push", &fresh(), &policy(), lately(4), false, 60, sent(push_to_phone(), lately(5))),
        (
            "the sixth waits",
            &fresh(),
            &policy(),
            lately(5),
            false,
            60,
            hold(Held::Summary(Channel::Push), 120, lately(5)),
        ),
        (
            "a critical one does not",
            &fresh(),
            &mandatory,
            lately(5),
            false,
            60,
            sent(push_to_phone(), lately(6)),
        ),
        (
            "the window is over",
            &fresh(),
            &policy(),
            lately(5),
            false,
            120,
            sent(push_to_phone(), Lately { window_began: Some(at(120)), sent: 1, ..lately(6) }),
        ),
        (
            "the summary itself never waits",
            &fresh(),
            &policy(),
            lately(5),
            true,
            60,
            sent(push_to_phone(), Lately { window_began: Some(at(60)), sent: 1, ..lately(6) }),
        ),
        (
            "a mail waits for others",
            &at_email,
            &policy(),
            lately(0),
            false,
            30,
            hold(
                Held::Summary(Channel::Email),
                150,
                Lately { window_began: Some(at(30)), hour_began: Some(at(30)), ..lately(0) },
            ),
        ),
        (
            "never beyond its expiry",
            &Progress { expires_at: at(100), ..fresh() },
            &policy(),
            lately(5),
            false,
            60,
            hold(Held::Summary(Channel::Push), 100, lately(5)),
        ),
        (
            "no news after a day",
            &Progress { expires_at: at(1_000_000), ..fresh() },
            &policy(),
            lately(0),
            false,
            86_400,
            Step::Advance { due_at: at(86_400), because: Because::TooOld },
        ),
    ] {
        let mut person = Person { is_summary, ..person(everything(), &preferences, &restraint) };
        person.lately[Channel::Push] = push;
        assert_eq!(next_step(progress, policy, &person, at(now)), expected, "{why}");
    }
}

/// A push that a silence deferred for hours has its whole time for retries before the email (I4).
#[test]
fn a_deferred_step_counts_its_deadline_from_when_it_went_out() {
    let mut deferred = fresh();
    deferred.attempts = vec![Attempt {
        created_at: at(500),
        next_try_at: Some(at(510)),
        ..attempt(AttemptKind::Alert, 0, AttemptState::Retrying)
    }];
    assert_eq!(plain_step(&deferred, everything(), 501), Step::WaitUntil(at(510)));
    let next = Step::Advance { due_at: at(520), because: Because::NextIsDue };
    assert_eq!(plain_step(&deferred, everything(), 520), next);
}
