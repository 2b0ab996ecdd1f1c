//! The escalation's specification: each row says why it is there, each edge has a row.

#![allow(clippy::unwrap_used)]

use uuid::Uuid;

use super::{super::PolicyStep, *};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn policy() -> Policy {
    let step = |channel, secs| PolicyStep { channel, after: Duration::from_secs(secs) };
    Policy { steps: vec![step(Channel::Push, 5), step(Channel::Email, 20)] }
}

fn phone() -> DeviceId {
    DeviceId::parse("phone").unwrap()
}

fn everything() -> Reach {
    Reach { devices: vec![phone()], email: true }
}

fn fresh() -> Progress {
    Progress {
        stopped: None,
        expires_at: at(1000),
        round: 1,
        step: 0,
        step_due_at: at(5),
        attempts: Vec::new(),
    }
}

fn attempt(kind: AttemptKind, step: usize, state: AttemptState) -> Attempt {
    let channel = if step == 1 { Channel::Email } else { Channel::Push };
    Attempt {
        id: Uuid::nil(),
        kind,
        round: 1,
        step,
        channel,
        device: (channel == Channel::Push).then(phone),
        state,
        tries: 1,
        next_try_at: (state == AttemptState::Retrying).then(|| at(15)),
        maybe_shown: state != AttemptState::Failed,
        reason: None,
        created_at: at(5),
        answered_at: None,
    }
}

fn push_to_phone() -> Step {
    Step::Attempt {
        kind: AttemptKind::Alert,
        channel: Channel::Push,
        targets: vec![Target { device: Some(phone()) }],
    }
}

fn withdraw_from_phone() -> Step {
    Step::Attempt {
        kind: AttemptKind::Withdrawal,
        channel: Channel::Push,
        targets: vec![Target { device: Some(phone()) }],
    }
}

fn mail() -> Step {
    Step::Attempt {
        kind: AttemptKind::Alert,
        channel: Channel::Email,
        targets: vec![Target { device: None }],
    }
}

#[test]
fn the_walk_climbs_one_step_at_a_time() {
    use AttemptKind::{Alert, Withdrawal};
    use AttemptState::{Accepted, Failed, Pending, Retrying};
    let with = |attempts: Vec<Attempt>| Progress { attempts, ..fresh() };
    let pushed = |state| with(vec![attempt(Alert, 0, state)]);
    let at_email = |attempts| Progress { step: 1, step_due_at: at(30), attempts, ..fresh() };
    let seen = |progress: Progress| Progress { stopped: Some(StopReason::Seen), ..progress };
    let no_email = Reach { email: false, ..everything() };
    let no_device = Reach { devices: Vec::new(), ..everything() };
    for (why, progress, reach, now, expected) in [
        ("a screen may still be looked at", fresh(), everything(), 4, Step::WaitUntil(at(5))),
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
            Step::Finish(Outcome::Exhausted),
        ),
        (
            "all used, the push stays until it expires",
            Progress { step: 2, ..pushed(Accepted) },
            everything(),
            40,
            Step::WaitUntil(at(1000)),
        ),
        (
            "seen before anything was sent",
            seen(fresh()),
            everything(),
            5,
            Step::Finish(Outcome::Stopped(StopReason::Seen)),
        ),
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
            Step::Finish(Outcome::Stopped(StopReason::Seen)),
        ),
        (
            "taken away once",
            seen(with(vec![attempt(Alert, 0, Accepted), attempt(Withdrawal, 0, Accepted)])),
            everything(),
            8,
            Step::Finish(Outcome::Stopped(StopReason::Seen)),
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
            Step::Finish(Outcome::Stopped(StopReason::Acknowledged)),
        ),
        (
            "an expired one is not sent",
            fresh(),
            everything(),
            1000,
            Step::Finish(Outcome::Stopped(StopReason::Expired)),
        ),
        ("an expired one is taken away", pushed(Accepted), everything(), 1000, withdraw_from_phone()),
        (
            "another round's attempts do not count",
            Progress { round: 2, ..pushed(Accepted) },
            everything(),
            5,
            push_to_phone(),
        ),
    ] {
        assert_eq!(next_step(&progress, &policy(), &reach, at(now)), expected, "{why}");
    }
}

#[test]
fn two_devices_are_two_attempts_and_one_may_wait_for_the_other() {
    let tablet = DeviceId::parse("tablet").unwrap();
    let reach = Reach { devices: vec![phone(), tablet.clone()], email: true };
    let both = vec![Target { device: Some(phone()) }, Target { device: Some(tablet.clone()) }];
    let first = next_step(&fresh(), &policy(), &reach, at(5));
    assert_eq!(first, Step::Attempt { kind: AttemptKind::Alert, channel: Channel::Push, targets: both });

    let mut one_of_two = fresh();
    one_of_two.attempts = vec![
        attempt(AttemptKind::Alert, 0, AttemptState::Accepted),
        Attempt { device: Some(tablet), ..attempt(AttemptKind::Alert, 0, AttemptState::Retrying) },
    ];
    assert_eq!(next_step(&one_of_two, &policy(), &reach, at(6)), Step::WaitUntil(at(15)));
}

#[test]
fn a_retry_waits_longer_each_time_and_never_less_than_asked() {
    let secs = |tries, wait_min, chance| retry_wait(tries, Duration::from_secs(wait_min), chance).as_secs();
    assert_eq!(secs(1, 0, 1.0), 10);
    assert_eq!(secs(3, 0, 1.0), 40);
    assert_eq!(secs(50, 0, 1.0), 600, "ten minutes at the most");
    assert_eq!(secs(3, 0, 0.0), 5, "jitter never means at once");
    assert_eq!(secs(1, 90, 0.0), 90, "Retry-After wins");
}

#[test]
fn an_attempt_is_given_up_by_age() {
    assert!(!is_too_old(Channel::Push, at(0), at(3_599)));
    assert!(is_too_old(Channel::Push, at(0), at(3_600)));
    assert!(!is_too_old(Channel::Email, at(0), at(3_600)));
}
