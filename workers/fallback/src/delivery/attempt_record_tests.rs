#![allow(clippy::unwrap_used)]

use watchbell::domain::{
    Attempt, AttemptId, Channel, Device, DeviceId, PerChannel, Progress, PushEnvironment, PushService,
    Secret, Severity,
};

use super::*;
use crate::channel::{Blame, ThrottleScope};

const SECOND: Duration = Duration::from_secs(1);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn attempt(kind: AttemptKind, channel: Channel) -> NewAttempt {
    let device = (channel == Channel::Push).then(|| DeviceId::parse("phone").unwrap());
    NewAttempt { id: AttemptId::from_u128(1), kind, channel, device, tries: 1 }
}

/// An escalation with one attempt, which was begun at second 0 and may have been shown.
fn escalation(maybe_shown: bool) -> Escalation {
    let begun = Attempt {
        id: AttemptId::from_u128(1),
        kind: AttemptKind::Alert,
        round: 1,
        opening: 0,
        step: 0,
        channel: Channel::Push,
        device: Some(DeviceId::parse("phone").unwrap()),
        state: AttemptState::Pending,
        tries: 1,
        next_try_at: None,
        maybe_shown,
        reason: None,
        severity: Some(Severity::Warning),
        message_id: None,
        created_at: at(0),
        answered_at: None,
        reached_at: None,
        priority_lowered: false,
    };
    let device = Device {
        id: DeviceId::parse("phone").unwrap(),
        service: PushService::Apns,
        token: Secret::from("t"),
        environment: PushEnvironment::Production,
        bound_to: None,
        start_token: None,
        registered_at: at(0),
        issued_at: None,
    };
    Escalation {
        policy_shown: None,
        severity: Some(Severity::Warning),
        progress: Progress {
            stopped: None,
            opened_at: at(0),
            expires_at: at(1_000_000),
            round: 1,
            opening: 0,
            step: 0,
            step_due_at: at(0),
            attempts: vec![begun],
            told_by: Vec::new(),
            summarized: None,
            sent_before: None,
        },
        policy: "default".into(),
        content: "{}".into(),
        devices: vec![device],
        addresses: PerChannel::default(),
        locale: None,
        unread: 1,
        preferences: None,
        lately: PerChannel::default(),
        held: None,
        taken: None,
        bundle: None,
    }
}

fn refused(error: SendError) -> Result<Accepted, NotSent> {
    Err(NotSent::Refused(error))
}

fn put_off(wait: Duration, is_trouble: bool) -> Result<Accepted, NotSent> {
    Err(NotSent::PutOff(PutOff { wait, why: "no room", is_trouble }))
}

fn unreachable() -> Result<Accepted, NotSent> {
    refused(SendError::Unreachable { reason: "reset".to_owned() })
}

fn config_fault() -> Result<Accepted, NotSent> {
    refused(SendError::ConfigFault { blame: Blame::Device, reason: "BadTopic".to_owned() })
}

/// Each row: a result at a time, then the state, the seconds until the next try, whether the phone may show it, and how the
/// reason begins.
#[test]
fn every_result_is_recorded_as_the_table_says() {
    let throttled = |wait: u64| {
        refused(SendError::Throttled {
            retry_after: Some(SECOND * wait as u32),
            scope: ThrottleScope::Device,
            reason: "TooMany".to_owned(),
        })
    };
    let gone = || refused(SendError::Unregistered { since: None, reason: "Gone".to_owned() });
    let rejected = || refused(SendError::Rejected { reason: "TooLarge".to_owned() });
    // A push is given up an hour after its first try.
    let late = 3_601;
    for (why, result, now, state, next, maybe_shown, reason) in [
        ("accepted", Ok(Accepted::default()), 1, AttemptState::Accepted, None, true, ""),
        ("no recipient", Err(NotSent::Nowhere("gone".into())), 1, AttemptState::Failed, None, false, "gone"),
        ("busy", put_off(SECOND * 7, false), 1, AttemptState::Retrying, Some(7), false, "waits: no room"),
        ("in trouble", put_off(SECOND * 7, true), 1, AttemptState::Retrying, Some(7), false, PUT_OFF),
        ("put off for too long", put_off(SECOND, true), late, AttemptState::Failed, None, false, "given up"),
        ("asked to wait", throttled(90), 1, AttemptState::Retrying, Some(90), false, "throttled: TooMany"),
        ("no answer", unreachable(), 1, AttemptState::Retrying, Some(0), true, "unreachable: reset"),
        ("no answer for too long", unreachable(), late, AttemptState::Failed, None, true, "given up after"),
        ("our configuration", config_fault(), 1, AttemptState::Retrying, Some(60), false, PUT_OFF),
        ("a dead token", gone(), 1, AttemptState::Failed, None, false, "unregistered: Gone"),
        ("a bad message", rejected(), 1, AttemptState::Failed, None, false, "rejected: TooLarge"),
    ] {
        let push = attempt(AttemptKind::Alert, Channel::Push);
        let record = record_of(&escalation(false), &push, result, at(now), 0.0);
        assert_eq!((record.state, record.maybe_shown), (state, maybe_shown), "{why}: {record:?}");
        let wait = record.next_try_at.map(|next| next.duration_since(at(now)).as_secs());
        assert!(wait.is_some() == next.is_some() && wait >= next, "{why}: {record:?}");
        assert!(record.reason.unwrap_or_default().starts_with(reason), "{why}");
    }
}

#[test]
fn an_earlier_try_without_an_answer_may_still_be_shown() {
    let rejected = || refused(SendError::Rejected { reason: "TooLarge".to_owned() });
    let push = attempt(AttemptKind::Alert, Channel::Push);
    assert!(record_of(&escalation(true), &push, rejected(), at(1), 0.0).maybe_shown);
    let withdrawal = attempt(AttemptKind::Withdrawal, Channel::Push);
    assert!(!record_of(&escalation(true), &withdrawal, Ok(Accepted::default()), at(1), 0.0).maybe_shown);
}

#[test]
fn only_a_call_that_was_made_counts_as_a_try() {
    for (result, was_called) in
        [(unreachable(), true), (config_fault(), true), (put_off(SECOND, true), false)]
    {
        let push = attempt(AttemptKind::Alert, Channel::Push);
        assert_eq!(record_of(&escalation(false), &push, result, at(1), 0.0).was_called, was_called);
    }
}
