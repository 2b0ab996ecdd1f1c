//! What happened can be told afterwards.

use watchbell::domain::{
    AttemptId, AttemptKind, AttemptState, Channel, Device, DeviceId, PushEnvironment, PushService,
    ReceiptState, Status, StopReason, Timestamp,
};
use watchbell::store::{
    Act, Answer, Ask, Decision, Holder, LatestAlert, NewAlert, NewAttempt, Stepped, Store,
};

use super::bed::{Bed, LEASE, acme, alert_id, ask, at, but, firing, receipt, tenant, then, user};

on_both_engines!(
    a_whole_walk_can_be_told,
    an_alert_for_many_is_told_for_some,
    a_later_version_can_build_on_the_latest,
);

/// Takes ana's one due row at `now`, begins `attempt`, gives it `state` a second later and rests until `due_at`.
async fn call(
    store: &Store,
    attempt: NewAttempt,
    state: AttemptState,
    now: i64,
    due_at: Option<Timestamp>,
) -> anyhow::Result<()> {
    let claim = store.claim_due(at(now), LEASE, 1).await?.remove(0);
    let answer = Answer {
        id: attempt.id,
        state,
        next_try_at: None,
        maybe_shown: state == AttemptState::Accepted,
        reason: (state == AttemptState::Failed).then(|| "Unregistered".to_owned()),
        was_called: true,
    };
    let begin = |_: &_| {
        let attempts = vec![attempt.clone()];
        let notes = vec!["taken up".to_owned()];
        Decision { notes, ..Decision::new(0, at(now), Act::Attempt(attempts)) }
    };
    let begun = store.step(&ask(&claim, at(now), &begin), LEASE).await?;
    let Stepped::Call { fence, .. } = begun else { panic!("{begun:?}") };
    let act = due_at.map_or(Act::End(StopReason::Exhausted), Act::Rest);
    let rest = |_: &_| Decision::new(1, at(now), act.clone());
    let (holder, answers) = (Holder::Fence(fence), &[answer]);
    store.step(&Ask { key: &claim.key, holder, answers, now: at(now + 1), decide: &rest }, LEASE).await?;
    Ok(())
}

async fn a_whole_walk_can_be_told(Bed { store, .. }: &Bed) -> anyhow::Result<()> {
    let ana = acme("ana");
    let phone = Device {
        id: DeviceId::parse("phone").unwrap(),
        service: PushService::Apns,
        token: "canary".into(),
        environment: PushEnvironment::Production,
        registered_at: at(-5),
    };
    store.put_device(&ana, &phone, 5).await?;
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    store.apply_receipts(&[receipt(&ana, &["a"], ReceiptState::Delivered)], at(10)).await?;
    let attempt = |number, kind, channel| NewAttempt {
        id: AttemptId::from_u128(number),
        kind,
        channel,
        device: (channel == Channel::Push).then(|| phone.id.clone()),
        tries: 1,
    };
    let push = attempt(1, AttemptKind::Alert, Channel::Push);
    call(store, push, AttemptState::Failed, 30, Some(at(40))).await?;
    let key = watchbell::store::EscalationKey { user: ana.clone(), alert: alert_id("a") };
    store.forget_token(&key, &phone, None, at(32)).await?;
    let email = attempt(2, AttemptKind::Alert, Channel::Email);
    call(store, email, AttemptState::Accepted, 40, None).await?;
    store.apply_receipts(&[receipt(&ana, &["a"], ReceiptState::Seen)], at(50)).await?;
    store.apply_receipts(&[receipt(&ana, &["a"], ReceiptState::Dismissed)], at(60)).await?;

    let told = store.timeline(&tenant("acme"), &alert_id("a"), Some(&user("ana")), 1).await?.remove(0);
    let lines: Vec<String> = told
        .entries
        .iter()
        .map(|entry| format!("{:>2} {}", entry.at.as_second() - at(0).as_second(), entry.what))
        .collect();
    let expected = [
        " 0 recorded in the inbox; version 1 is shown",
        "10 delivered to a screen",
        "30 push alert to phone: attempt 00000000-0000-0000-0000-000000000001 begun",
        "30 taken up",
        "31 push alert to phone: failed: Unregistered",
        "32 device phone: the provider says its token is gone; it was dropped",
        "40 email alert: attempt 00000000-0000-0000-0000-000000000002 begun",
        "40 taken up",
        "41 email alert: accepted by the provider",
        "50 seen (last by tab-1)",
        "60 dismissed (last by tab-1)",
    ];
    assert_eq!(lines, expected);
    assert_eq!((told.seq, told.state.as_str()), (3, "dismissed"));
    // A push was begun, so somebody looks whether there is one to take away.
    assert_eq!((told.stopped.as_deref(), told.due_at), (Some("seen"), Some(at(50))));
    Ok(())
}

async fn an_alert_for_many_is_told_for_some(Bed { store, .. }: &Bed) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana", "ben", "cas"])], at(0)).await?;
    let (acme, a) = (tenant("acme"), alert_id("a"));
    let told = store.timeline(&acme, &a, None, 2).await?;
    let names: Vec<&str> = told.iter().map(|recipient| recipient.user.as_str()).collect();
    assert_eq!(names, ["ana", "ben"]);
    assert_eq!(store.timeline(&acme, &a, Some(&user("dan")), 9).await?, []);
    assert_eq!(store.timeline(&acme, &alert_id("b"), None, 9).await?, []);
    assert_eq!(store.alert(&acme, &alert_id("b")).await?, None);
    Ok(())
}

async fn a_later_version_can_build_on_the_latest(Bed { store, .. }: &Bed) -> anyhow::Result<()> {
    let (acme, a) = (tenant("acme"), alert_id("a"));
    assert_eq!(store.latest(&acme, &a).await?, None);
    let first = but(&firing("a", &["ana", "ben"]), |alert| alert.policy = Some("critical".to_owned()));
    let second = then(&first, Status::Firing);
    store.record(&[first], at(0)).await?;
    store.record(std::slice::from_ref(&second), at(1)).await?;
    let content = second.content.to_string();
    let expected = LatestAlert { version: 2, content, policy: Some("critical".to_owned()) };
    assert_eq!(store.latest(&acme, &a).await?, Some(expected));
    store.record(&[NewAlert { first_due_at: None, ..firing("quiet", &["ana"]) }], at(0)).await?;
    let quiet = store.latest(&acme, &alert_id("quiet")).await?;
    assert_eq!(quiet.and_then(|latest| latest.policy), None, "its producer named none");
    assert_eq!(store.latest(&tenant("other"), &a).await?, None, "another tenant's is not ours (I8)");
    Ok(())
}
