#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use uuid::Uuid;
use watchbell::{
    domain::{
        AlertId, AttemptState, Device, DeviceId, GroupRule, PerChannel, PushEnvironment, PushService, Secret,
        StopReason, Tenant, UserId, policy::Policies, restraint::Restraint,
    },
    store::Bundle,
};

use super::*;
use crate::rates::Rates;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn policies() -> Policies {
    let step = |channel, after| PolicyStep::new(channel, Duration::from_secs(after));
    let steps = vec![step(Channel::Push, 5), step(Channel::Email, 20)];
    Policies::with_defaults(BTreeMap::from([("default".to_owned(), Policy { steps, ..Policy::default() })]))
}

fn escalation(devices: &[&str], email: bool) -> Escalation {
    let progress = Progress {
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
    };
    let device = |id: &&str| Device {
        id: DeviceId::parse(id).unwrap(),
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
        progress,
        policy: "default".into(),
        content: "{}".into(),
        devices: devices.iter().map(device).collect(),
        addresses: PerChannel::of(|_| email.then(|| Secret::from("ana@example.com"))),
        locale: None,
        unread: 1,
        preferences: None,
        lately: PerChannel::default(),
        held: None,
        taken: None,
        bundle: None,
    }
}

fn key(alert: &str) -> EscalationKey {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    EscalationKey { user, alert: AlertId::parse(alert).unwrap() }
}

fn decide_with(alert: &str, escalation: &Escalation, tenant_wait: Option<Duration>, now: i64) -> Decision {
    let mut restraint = Restraint::default();
    restraint[Channel::Email].window = Duration::ZERO;
    let rules =
        EscalationRules { policies: Arc::new(policies()), restraint, tenant_rates: Arc::new(Rates::new(1)) };
    let decider = Decider::new(rules, Arc::default(), Arc::new(fresh_id));
    decider.decide(&key(alert), escalation, at(now), &|| tenant_wait)
}

fn decide(escalation: &Escalation, now: i64) -> Decision {
    decide_with("a", escalation, None, now)
}

fn fresh_id() -> Uuid {
    Uuid::from_u128(7)
}

fn attempts(decision: &Decision) -> &[NewAttempt] {
    match &decision.act {
        Act::Attempt(attempts) => attempts,
        act => panic!("attempts, not {act:?}"),
    }
}

fn cut_off(step: usize) -> Attempt {
    Attempt {
        id: Uuid::from_u128(1),
        kind: AttemptKind::Alert,
        round: 1,
        opening: 0,
        step,
        channel: Channel::Push,
        device: Some(DeviceId::parse("phone").unwrap()),
        state: AttemptState::Pending,
        tries: 1,
        next_try_at: None,
        maybe_shown: true,
        reason: None,
        severity: Some(Severity::Warning),
        message_id: None,
        created_at: at(5),
        answered_at: None,
        reached_at: None,
        priority_lowered: false,
    }
}

#[test]
fn nobody_on_the_phone_means_mail_at_once_and_the_timeline_says_why() {
    let decision = decide(&escalation(&[], true), 5);
    assert_eq!((attempts(&decision)[0].channel, decision.step), (Channel::Email, 1));
    assert_eq!(decision.notes, ["push step skipped: the user has no device"]);
}

#[test]
fn nobody_anywhere_is_an_end_with_its_reasons() {
    let decision = decide(&escalation(&[], false), 5);
    assert_eq!(decision.act, Act::End(StopReason::Exhausted));
    assert_eq!(
        (decision.notes.len(), decision.notes[2].as_str()),
        (3, "escalation ended: no channel is left")
    );
}

#[test]
fn an_attempt_cut_off_by_a_crash_keeps_its_id_and_counts_its_tries() {
    let mut crashed = escalation(&["phone"], true);
    crashed.progress.attempts.push(cut_off(0));
    let again = decide(&crashed, 6);
    assert_eq!((attempts(&again)[0].id, attempts(&again)[0].tries), (Uuid::from_u128(1), 2));

    crashed.progress.stopped = Some(StopReason::Seen);
    let away = decide(&crashed, 6);
    assert_eq!(
        (attempts(&away)[0].kind, attempts(&away)[0].id),
        (AttemptKind::Withdrawal, fresh_id()),
        "a withdrawal is another attempt"
    );
}

#[test]
fn what_a_person_wants_is_looked_up_and_said_once() {
    let mut night = escalation(&["phone"], true);
    night.progress.expires_at = at(100_000);
    night.preferences = Some(r#"{"quiet":{"until":"1970-01-01T06:00:00Z"}}"#.into());
    let deferred = decide(&night, 5);
    let Act::Hold(hold) = &deferred.act else { panic!("{deferred:?}") };
    assert_eq!((hold.held, hold.following), (Held::Quiet, Some(Duration::from_secs(20))));
    assert!(deferred.notes[0].contains("the user's quiet hours"), "{:?}", deferred.notes);
    night.held = Some(Held::Quiet);
    assert_eq!(decide(&night, 6).notes, Vec::<String>::new(), "said already");
    // A preference that this version cannot read is everything wanted.
    night.preferences = Some("what is this".into());
    assert_eq!(attempts(&decide(&night, 6)).len(), 1);
}

#[test]
fn only_what_it_says_now_breaks_a_silence() {
    for (opened_under, shown_under, breaks) in [
        ("default", Some("default"), false),
        ("critical", Some("critical"), true),
        ("critical", Some("default"), false),
        ("default", Some("critical"), true),
        ("critical", None, true), // Recorded by a version of this program that did not note it.
    ] {
        let mut night = escalation(&["phone"], true);
        night.progress.expires_at = at(100_000);
        night.preferences = Some(r#"{"quiet":{"until":"1970-01-01T06:00:00Z"}}"#.into());
        (night.policy, night.policy_shown) = (opened_under.into(), shown_under.map(str::to_owned));
        let decision = decide(&night, 5);
        let is_sent = matches!(decision.act, Act::Attempt(_));
        assert_eq!(is_sent, breaks, "{opened_under}, now {shown_under:?}: {decision:?}");
    }
}

#[test]
fn a_tenant_over_its_rate_waits_with_its_reason_but_withdrawals_do_not() {
    let slow = Some(Duration::from_secs(3));
    let mut push = escalation(&["phone"], true);
    let held = decide_with("a", &push, slow, 5);
    assert!(
        matches!(&held.act, Act::Hold(hold) if (hold.held, hold.until) == (Held::Rate, at(8))),
        "{held:?}"
    );
    assert_eq!(held.lately, None, "it did not go out");
    push.held = Some(Held::Rate);
    assert_eq!(attempts(&decide_with("a", &push, slow, 8)).len(), 1, "it has had its turn to wait");
    push.progress.attempts.push(cut_off(0));
    push.progress.stopped = Some(StopReason::Seen);
    assert_eq!(attempts(&decide_with("a", &push, slow, 6))[0].kind, AttemptKind::Withdrawal);
}

#[test]
fn whoever_saw_it_first_is_not_named() {
    let mut taken = escalation(&["phone"], true);
    taken.progress.stopped = Some(StopReason::Acknowledged);
    taken.taken = Some((UserId::parse("ben").unwrap(), GroupRule::FirstStopsAll));
    let end = decide(&taken, 5);
    assert_eq!(end.act, Act::End(StopReason::Acknowledged));
    assert_eq!(end.notes, ["escalation ended: another recipient saw it first"]);
}

#[test]
fn a_summary_tells_those_it_was_about_how_it_went() {
    let mut summary = escalation(&["phone"], true);
    summary.bundle = Some(Bundle { open: 7, ..Bundle::default() });
    let sent = decide_with("~push", &summary, None, 5);
    assert_eq!((attempts(&sent).len(), sent.told.clone()), (1, None));
    assert_eq!(sent.lately.map(|(channel, lately)| (channel, lately.sent)), Some((Channel::Push, 1)));

    for (state, reached, next) in [
        (AttemptState::Accepted, true, Act::Rest(at(1000))),
        (AttemptState::Failed, false, Act::End(StopReason::Exhausted)),
    ] {
        let mut answered = summary.clone();
        let maybe_shown = state == AttemptState::Accepted;
        answered.progress.attempts.push(Attempt { state, maybe_shown, ..cut_off(0) });
        let done = decide_with("~push", &answered, None, 6);
        assert_eq!(
            (done.told.as_ref().map(|told| told.reached), &done.act),
            (Some(reached), &next),
            "{state}"
        );
        assert!(done.told.unwrap().note.contains("attempt 00000000-0000-0000-0000-000000000001"));
    }
}

#[test]
fn one_alert_alone_was_told_in_no_summary() {
    for (open, told) in [(1, "told by push, attempt"), (2, "told in a summary push, attempt")] {
        let mut summary = escalation(&["phone"], true);
        summary.bundle = Some(Bundle { open, ..Bundle::default() });
        let accepted = Attempt { state: AttemptState::Accepted, ..cut_off(0) };
        summary.progress.attempts.push(accepted);
        let note = decide_with("~push", &summary, None, 6).told.unwrap().note;
        assert!(note.starts_with(told), "{note}");
    }
}
