//! What happened can be told afterwards.

use watchbell::domain::{
    AttemptId, AttemptState, Channel, ReceiptState, Severity, Status, StopReason, Timestamp, restraint::Held,
};
use watchbell::store::{
    Act, Ask, Audit, Decision, Holder, LatestAlert, NewAttempt, Stepped, Store, TimelineEntry,
};
use watchbell_tests::builders::{
    acme, alert, alert_id, answer, at, attempt, device, later_version, push_attempt, receipt, tenant, user,
};

use super::fixture::{LEASE, StoreFixture, ask};

on_both_engines!(
    a_whole_escalation_can_be_told,
    an_alert_for_many_is_told_for_some,
    each_version_is_told_with_what_it_changed,
    an_escalation_that_is_set_aside_is_told_and_is_not_lost,
    a_later_version_can_build_on_the_latest,
    an_alert_of_an_earlier_program_stands_as_its_content_says,
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
    let told = answer(attempt.id, state);
    let told = if state == AttemptState::Failed { told.reason("Unregistered") } else { told };
    let begin = |_: &_| {
        let attempts = vec![attempt.clone()];
        let notes = vec!["taken up".to_owned()];
        Decision { notes, ..Decision::new(0, at(now), Act::Attempt(attempts)) }
    };
    let begun = store.step(&ask(&claim, at(now), &begin), LEASE).await?;
    let Stepped::Call { fence, .. } = begun else { panic!("{begun:?}") };
    let act = due_at.map_or(Act::End(StopReason::Exhausted), Act::Rest);
    let rest = |_: &_| Decision::new(1, at(now), act.clone());
    let (holder, answers) = (Holder::Fence(fence), &[told.build()]);
    store.step(&Ask { key: &claim.key, holder, answers, now: at(now + 1), decide: &rest }, LEASE).await?;
    Ok(())
}

async fn a_whole_escalation_can_be_told(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    let phone = device("phone").token("canary").registered_at(at(-5)).build();
    store.put_device(&ana, &phone, 5).await?;
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Delivered)], at(10)).await?;
    let push = push_attempt(1).build();
    call(store, push, AttemptState::Failed, 30, Some(at(40))).await?;
    let key = watchbell::store::EscalationKey { user: ana.clone(), alert: alert_id("a") };
    store.forget_token(&key, &phone, None, at(32)).await?;
    let email = attempt(AttemptId::from_u128(2), Channel::Email).build();
    call(store, email, AttemptState::Accepted, 40, None).await?;
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Seen)], at(50)).await?;
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Dismissed)], at(60)).await?;

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
        "50 seen (last by session tab-…)",
        "60 dismissed (last by session tab-…)",
    ];
    assert_eq!(lines, expected);
    assert_eq!((told.seq, told.state.as_str()), (3, "dismissed"));
    // A push was begun, so somebody looks whether there is one to take away.
    assert_eq!((told.stopped.as_deref(), told.due_at), (Some("seen"), Some(at(50))));
    Ok(())
}

async fn an_alert_for_many_is_told_for_some(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[alert("a").to_users(["ana", "ben", "cas"]).build()], at(0)).await?;
    let (acme, a) = (tenant("acme"), alert_id("a"));
    let told = store.timeline(&acme, &a, None, 2).await?;
    let names: Vec<&str> = told.iter().map(|recipient| recipient.user.as_str()).collect();
    assert_eq!(names, ["ana", "ben"]);
    assert_eq!(store.timeline(&acme, &a, Some(&user("dan")), 9).await?, []);
    assert_eq!(store.timeline(&acme, &alert_id("b"), None, 9).await?, []);
    assert_eq!(store.alert(&acme, &alert_id("b")).await?, None);
    Ok(())
}

/// What happened to an alert for one person, a line each, with the seconds since the beginning.
async fn lines(store: &Store, alert: &str, of: &str) -> anyhow::Result<Vec<String>> {
    let told = store.timeline(&tenant("acme"), &alert_id(alert), Some(&user(of)), 1).await?.remove(0);
    let line =
        |entry: &TimelineEntry| format!("{:>2} {}", entry.at.as_second() - at(0).as_second(), entry.what);
    Ok(told.entries.iter().map(line).collect())
}

async fn each_version_is_told_with_what_it_changed(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let of = |version: u32, severity: Severity, status: Status, to: &[&str]| {
        alert("a").to_users(to).version(version).severity(severity).status(status).build()
    };
    let (critical, firing, resolved) = (Severity::Critical, Status::Firing, Status::Resolved);
    store.record(&[of(1, Severity::Warning, firing, &["ana"])], at(0)).await?;
    store.record(&[of(1, critical, firing, &["ana"])], at(1)).await?;
    let two_at_once = [of(2, critical, firing, &["ana"]), of(3, critical, firing, &["ana"])];
    store.record(&two_at_once, at(10)).await?;
    store.record(&[of(2, Severity::Info, firing, &["ana"])], at(11)).await?;
    store.record(&[of(5, Severity::Info, resolved, &["ana", "ben"])], at(20)).await?;
    store.record(&[of(5, Severity::Info, resolved, &["ana", "ben"])], at(21)).await?;
    store.record(&[of(6, critical, firing, &["ben"])], at(30)).await?;
    let expected = [
        " 0 recorded in the inbox; version 5 is shown",
        "10 version 2 arrived: severity warning → critical",
        "10 version 3 arrived: critical and firing as before",
        "10 became critical: chased anew under policy default",
        "20 version 5 arrived: severity critical → info, status firing → resolved",
        "30 version 6 arrived: severity info → critical, status resolved → firing",
    ];
    assert_eq!(lines(store, "a", "ana").await?, expected);
    let of_ben = lines(store, "a", "ben").await?;
    assert_eq!(of_ben.len(), 3, "what came before him did not come to him: {of_ben:?}");
    Ok(())
}

/// It used to come round every minute, with a dead letter each time.
async fn an_escalation_that_is_set_aside_is_told_and_is_not_lost(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = alert("a").to_users(["ana"]).build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    let claim = store.claim_due(at(30), LEASE, 1).await?.remove(0);
    store.rest_escalation(&claim.key, claim.number, "it cannot be read", at(31)).await?;
    let late = std::time::Duration::from_secs(60);
    assert_eq!(store.audit(at(1_000), late).await?, Audit::default());
    assert_eq!(store.claim_due(at(1_000), LEASE, 10).await?, []);
    let (acme, a) = (tenant("acme"), alert_id("a"));
    let told = store.timeline(&acme, &a, Some(&user("ana")), 1).await?.remove(0);
    assert_eq!((told.stopped, told.due_at, told.held), (None, None, Some(Held::SetAside)));
    assert_eq!(store.counts(&acme, &a).await?.held, [(Held::SetAside, 1)]);
    assert_eq!(lines(store, "a", "ana").await?[1], "31 set aside: it cannot be read");

    // Its work was replayed: it goes on by the same claim, and waits like any other.
    let rest = |_: &_| Decision::new(0, at(1_001), Act::Rest(at(1_010)));
    store.step(&ask(&claim, at(1_001), &rest), LEASE).await?;
    let told = store.timeline(&acme, &a, Some(&user("ana")), 1).await?.remove(0);
    assert_eq!((told.due_at, told.held), (Some(at(1_010)), None));
    let claim = store.claim_due(at(1_010), LEASE, 1).await?.remove(0);
    store.rest_escalation(&claim.key, claim.number, "again", at(1_011)).await?;
    // Or the alert is over.
    store.record(&[later_version(&new).resolved().build()], at(1_020)).await?;
    let told = store.timeline(&acme, &a, Some(&user("ana")), 1).await?.remove(0);
    assert_eq!((told.stopped.as_deref(), told.held), (Some("resolved"), None));
    Ok(())
}

/// The migration that reads the severity and the status of old alerts from what they say.
const SEVERITY_AND_STATUS: i64 = 17;

async fn an_alert_of_an_earlier_program_stands_as_its_content_says(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let older = fixture.before(SEVERITY_AND_STATUS).await?;
    let content = |severity: &str, status: &str, data: &str| {
        format!(
            r#"{{"id":"a","version":1,"source":"\"status\":\"firing\"","severity":"{severity}","status":"{status}","title":"t","data":{data}}}"#
        )
    };
    let nested = r#"{"severity":"critical","status":"resolved","title":"t"}"#;
    let cases = [
        ("ended", content("critical", "resolved", "{}"), "NULL", (Severity::Critical, Status::Resolved)),
        (
            "named twice alike",
            content("critical", "resolved", nested),
            "NULL",
            (Severity::Critical, Status::Resolved),
        ),
        ("named twice", content("warning", "suppressed", nested), "NULL", (Severity::Info, Status::Firing)),
        ("nothing of it", "{}".to_owned(), "NULL", (Severity::Info, Status::Firing)),
        // Of a later program, whose columns are right already.
        ("later", content("critical", "resolved", "{}"), "''", (Severity::Info, Status::Firing)),
    ];
    for (at, (_, content, said, _)) in cases.iter().enumerate() {
        older
            .execute(format!(
                "INSERT INTO alerts (tenant, alert_id, version, content, said, recorded_at_ms)
                 VALUES ('acme', 'a{at}', 1, '{content}', {said}, 0)"
            ))
            .await?;
    }
    older.store.migrate().await?;
    for (at, (why, _, _, expected)) in cases.iter().enumerate() {
        let latest = older.store.latest(&tenant("acme"), &alert_id(&format!("a{at}"))).await?;
        let stands = latest.map(|latest| (latest.severity, latest.status));
        assert_eq!(stands, Some(*expected), "{why}");
    }
    Ok(())
}

async fn a_later_version_can_build_on_the_latest(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (acme, a) = (tenant("acme"), alert_id("a"));
    assert_eq!(store.latest(&acme, &a).await?, None);
    let first = alert("a").to_users(["ana", "ben"]).policy("critical").build();
    let second = later_version(&first).firing().build();
    store.record(&[first], at(0)).await?;
    store.record(std::slice::from_ref(&second), at(1)).await?;
    let content = second.content.to_string();
    let expected = LatestAlert {
        version: 2,
        severity: second.alert.severity,
        status: Status::Firing,
        content,
        policy: Some("critical".to_owned()),
        maker: None,
    };
    assert_eq!(store.latest(&acme, &a).await?, Some(expected));
    store.record(&[alert("quiet").to_users(["ana"]).without_steps().build()], at(0)).await?;
    let quiet = store.latest(&acme, &alert_id("quiet")).await?;
    assert_eq!(quiet.and_then(|latest| latest.policy), None, "its producer named none");
    assert_eq!(store.latest(&tenant("other"), &a).await?, None, "another tenant's is not ours (I8)");
    Ok(())
}
