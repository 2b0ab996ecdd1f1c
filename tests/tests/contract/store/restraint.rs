//! Escalations that wait, summaries that tell of several, one seen for all, and timers that must not be missing.

use std::time::Duration;

use watchbell::domain::{
    AlertId, AttemptId, AttemptState, Channel, GroupRule, LAST_MOMENT, ReceiptState, StopReason, Timestamp,
    restraint::{Held, Lately},
};
use watchbell::store::{
    Act, Ask, Claim, Decision, Escalation, EscalationKey, Hold, Holder, NewAlert, ProviderAnswer, Stepped,
    Store, SummaryOutcome,
};
use watchbell_tests::builders::{acme, alert, alert_id, at, later_version, receipt, tenant, user};

use super::fixture::{LEASE, StoreFixture, ask, push};
use super::timers::look;

on_both_engines!(
    what_is_held_is_told_in_one_and_goes_on,
    what_is_held_for_ever_is_held,
    what_could_not_be_told_goes_on_at_once,
    what_opens_again_was_not_told_of_yet,
    what_comes_while_a_summary_is_sent_is_for_the_next,
    seen_leaves_the_bundle_and_an_empty_one_says_nothing,
    a_summary_comes_earlier_when_something_may_not_wait_so_long,
    a_summary_push_goes_when_the_last_it_told_of_is_seen,
    a_held_escalation_looks_after_itself_when_no_summary_comes,
    what_they_got_lately_is_remembered,
    the_first_who_sees_it_stops_it_for_all,
    whoever_is_late_is_counted_and_an_end_is_not_a_loss,
);

const MINUTE: Duration = Duration::from_secs(60);

fn summary() -> AlertId {
    AlertId::summary_by(Channel::Push).unwrap()
}

fn hold(until: i64, following: Option<u64>) -> Decision {
    let following = following.map(Duration::from_secs);
    let hold = Hold { held: Held::Summary(Channel::Push), until: at(until), following, mandatory: false };
    Decision::new(0, at(30), Act::Hold(hold))
}

fn told(reached: bool, rest: i64) -> Decision {
    let told = SummaryOutcome { reached, note: "told in one".into() };
    Decision { told: Some(told), ..Decision::new(1, at(rest), Act::Rest(at(rest))) }
}

fn accepted(number: u128) -> [ProviderAnswer; 1] {
    let id = AttemptId::from_u128(number);
    [ProviderAnswer {
        id,
        state: AttemptState::Accepted,
        next_try_at: None,
        maybe_shown: true,
        reason: None,
        message_id: None,
        was_called: true,
    }]
}

async fn step(store: &Store, claim: &Claim, now: i64, decision: &Decision) -> anyhow::Result<Stepped> {
    let decide = |_: &Escalation| decision.clone();
    Ok(store.step(&ask(claim, at(now), &decide), LEASE).await?)
}

async fn answer(
    store: &Store,
    called: &Stepped,
    key: &EscalationKey,
    now: i64,
    decision: &Decision,
) -> anyhow::Result<()> {
    let Stepped::Call { fence, attempts, .. } = called else { panic!("{called:?}") };
    let decide = |_: &Escalation| decision.clone();
    let answers = accepted(attempts[0].id.as_u128());
    let holder = Holder::Fence(*fence);
    store.step(&Ask { key, holder, answers: &answers, now: at(now), decide: &decide }, LEASE).await?;
    Ok(())
}

/// Records these alerts for ana and holds each until 150 s, with `following` until the next step.
async fn held(store: &Store, ids: &[&str], following: Option<u64>) -> anyhow::Result<()> {
    let batch: Vec<NewAlert> = ids.iter().map(|id| alert(id).to_users(["ana"]).build()).collect();
    store.record(&batch, at(0)).await?;
    for claim in store.claim_due(at(30), LEASE, 100).await? {
        step(store, &claim, 30, &hold(150, following)).await?;
    }
    Ok(())
}

async fn the_one_due(store: &Store, now: i64) -> anyhow::Result<Claim> {
    let mut due = store.claim_due(at(now), LEASE, 100).await?;
    anyhow::ensure!(due.len() == 1, "one is due at {now}: {due:?}");
    Ok(due.remove(0))
}

async fn due_at(store: &Store, alert: &str) -> anyhow::Result<(Option<Timestamp>, Option<String>)> {
    let told = store.timeline(&tenant("acme"), &alert_id(alert), Some(&user("ana")), 1).await?.remove(0);
    Ok((told.due_at, told.stopped))
}

async fn what_is_held_is_told_in_one_and_goes_on(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a", "b", "c"], Some(300)).await?;
    assert_eq!(store.next_due().await?, Some(at(150)), "nothing before the summary");
    let claim = the_one_due(store, 150).await?;
    assert_eq!(claim.key.alert, summary());
    let called = step(store, &claim, 150, &push(1, 30)).await?;
    let Stepped::Call { escalation, .. } = &called else { panic!("{called:?}") };
    let bundle = escalation.bundle.as_ref().unwrap();
    let shown: Vec<&str> = bundle.shown.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((bundle.open, shown), (3, vec!["a", "b", "c"]));
    answer(store, &called, &claim.key, 151, &told(true, 9000)).await?;

    for id in ["a", "b", "c"] {
        assert_eq!(due_at(store, id).await?, (Some(at(451)), None), "{id} goes on after its wait");
    }
    let next = store.claim_due(at(451), LEASE, 100).await?;
    assert_eq!(next.len(), 3);
    let escalation = look(store, &next[0], at(451)).await?;
    assert_eq!(
        (escalation.progress.step, escalation.progress.told_by, escalation.held),
        (1, vec![Channel::Push], None)
    );
    let told = store.timeline(&tenant("acme"), &alert_id("a"), Some(&user("ana")), 1).await?.remove(0);
    assert!(told.entries.iter().any(|entry| entry.what == "told in one"), "{:?}", told.entries);
    let counts = store.counts(&tenant("acme"), &alert_id("a")).await?;
    assert_eq!((counts.in_summary, counts.alone), (vec![(Channel::Push, 1)], vec![]));
    Ok(())
}

/// A silence may end with the last moment there is, and the summary of it comes a while later.
async fn what_is_held_for_ever_is_held(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let kinds = [Held::Quiet, Held::Summary(Channel::Push), Held::Summary(Channel::Email)];
    let batch: Vec<NewAlert> = ["a", "b", "c"].map(|id| alert(id).to_users(["ana"]).build()).into();
    store.record(&batch, at(0)).await?;
    let claims = store.claim_due(at(30), LEASE, 100).await?;
    for (claim, held) in claims.iter().zip(kinds) {
        let hold = Hold { held, until: LAST_MOMENT, following: None, mandatory: false };
        step(store, claim, 30, &Decision::new(0, at(30), Act::Hold(hold))).await?;
        let (due_at, stopped) = due_at(store, claim.key.alert.as_str()).await?;
        assert_eq!((due_at, stopped), (Some(LAST_MOMENT), None), "{held:?}");
    }
    assert!(store.claim_due(at(1_000_000), LEASE, 100).await?.is_empty());
    Ok(())
}

async fn what_opens_again_was_not_told_of_yet(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a"], Some(300)).await?;
    let claim = the_one_due(store, 150).await?;
    let called = step(store, &claim, 150, &push(1, 30)).await?;
    answer(store, &called, &claim.key, 151, &told(true, 9000)).await?;
    let told = async || anyhow::Ok(store.counts(&tenant("acme"), &alert_id("a")).await?.alone);
    let in_summary = store.counts(&tenant("acme"), &alert_id("a")).await?.in_summary;
    assert_eq!((told().await?, in_summary), (vec![(Channel::Push, 1)], vec![]), "one alone is no summary");
    let over = later_version(&alert("a").to_users(["ana"]).build()).resolved().build();
    let again = later_version(&over).firing().build();
    store.record(&[over], at(200)).await?;
    store.record(&[again], at(210)).await?;
    let claims = store.claim_due(at(400), LEASE, 100).await?;
    let claim = claims.iter().find(|claim| claim.key.alert.as_str() == "a");
    let escalation = look(store, claim.ok_or_else(|| anyhow::anyhow!("it is due again"))?, at(400)).await?;
    assert_eq!((escalation.progress.told_by, told().await?), (vec![], vec![]));
    Ok(())
}

async fn what_could_not_be_told_goes_on_at_once(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a", "b"], Some(300)).await?;
    let claim = the_one_due(store, 150).await?;
    let called = step(store, &claim, 150, &push(1, 30)).await?;
    answer(store, &called, &claim.key, 151, &told(false, 9000)).await?;
    let next = store.claim_due(at(151), LEASE, 100).await?;
    assert_eq!(next.len(), 2);
    let escalation = look(store, &next[0], at(151)).await?;
    assert_eq!((escalation.progress.step, escalation.progress.told_by), (1, vec![]));
    Ok(())
}

async fn what_comes_while_a_summary_is_sent_is_for_the_next(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a"], None).await?;
    let claim = the_one_due(store, 150).await?;
    let called = step(store, &claim, 150, &push(1, 30)).await?;
    // While the provider is asked, another is held.
    store.record(&[alert("late").to_users(["ana"]).build()], at(140)).await?;
    let late = the_one_due(store, 150).await?;
    step(store, &late, 150, &hold(270, None)).await?;
    answer(store, &called, &claim.key, 152, &told(true, 9000)).await?;

    assert_eq!(
        due_at(store, "a").await?,
        (None, Some("exhausted".into())),
        "told, and there is no next step"
    );
    assert_eq!(due_at(store, "late").await?, (Some(at(270) + MINUTE), None), "not told yet");
    let next = the_one_due(store, 270).await?;
    assert_eq!(next.key.alert, summary());
    let escalation = look(store, &next, at(270)).await?;
    assert_eq!(
        (escalation.progress.round, escalation.progress.step, escalation.bundle.unwrap().open),
        (2, 0, 1)
    );
    Ok(())
}

async fn seen_leaves_the_bundle_and_an_empty_one_says_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a", "b"], None).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Seen)], at(100)).await?;
    let escalation = look(store, &the_one_due(store, 150).await?, at(150)).await?;
    assert_eq!((escalation.bundle.unwrap().open, escalation.progress.stopped), (1, None));
    store.record(&[later_version(&alert("b").to_users(["ana"]).build()).resolved().build()], at(150)).await?;
    let escalation = look(store, &the_one_due(store, 151).await?, at(151)).await?;
    assert_eq!(
        (escalation.bundle.unwrap().open, escalation.progress.stopped),
        (0, Some(StopReason::Seen)),
        "nothing to say"
    );
    Ok(())
}

async fn a_summary_comes_earlier_when_something_may_not_wait_so_long(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names = ["tomorrow", "soon", "later"];
    let batch: Vec<NewAlert> = names.map(|id| alert(id).to_users(["ana"]).build()).into();
    store.record(&batch, at(0)).await?;
    let claims = store.claim_due(at(30), LEASE, 100).await?;
    for (name, until) in [("tomorrow", 80_000), ("soon", 150), ("later", 3_000)] {
        let claim = claims.iter().find(|claim| claim.key.alert == alert_id(name)).unwrap();
        step(store, claim, 30, &hold(until, None)).await?;
    }
    assert_eq!(store.next_due().await?, Some(at(150)), "the earliest of the three");
    let claim = the_one_due(store, 150).await?;
    let escalation = look(store, &claim, at(150)).await?;
    assert_eq!((claim.key.alert, escalation.bundle.unwrap().open), (summary(), 3), "in one");
    Ok(())
}

async fn a_summary_push_goes_when_the_last_it_told_of_is_seen(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a", "b"], Some(3000)).await?;
    let claim = the_one_due(store, 150).await?;
    let called = step(store, &claim, 150, &push(1, 30)).await?;
    answer(store, &called, &claim.key, 151, &told(true, 9000)).await?;
    assert_eq!(store.claim_due(at(200), LEASE, 100).await?, []);

    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Seen)], at(200)).await?;
    let woken = the_one_due(store, 200).await?;
    let escalation = look(store, &woken, at(200)).await?;
    assert_eq!(
        (escalation.bundle.unwrap().open, escalation.progress.stopped),
        (1, None),
        "b is still to be seen"
    );
    store.apply_receipts(&[receipt(&acme("ana"), ["b"], ReceiptState::Read)], at(201)).await?;
    let escalation = look(store, &the_one_due(store, 201).await?, at(201)).await?;
    assert_eq!(escalation.progress.stopped, Some(StopReason::Seen));
    assert_eq!(escalation.progress.attempts.len(), 1, "the push that is to be withdrawn");
    Ok(())
}

async fn a_held_escalation_looks_after_itself_when_no_summary_comes(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    held(store, &["a"], None).await?;
    let summary = the_one_due(store, 150).await?;
    assert_eq!(
        store.claim_due(at(150), LEASE, 10).await?,
        [],
        "the summary is in somebody's hands, who dies"
    );
    let due = store.claim_due(at(210), Duration::from_secs(3600), 10).await?;
    let keys: Vec<_> = due.iter().map(|claim| claim.key.alert.as_str()).collect();
    assert!(keys.contains(&"a") && due.iter().any(|claim| claim.key == summary.key), "{keys:?}");
    Ok(())
}

async fn what_they_got_lately_is_remembered(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[alert("a").to_users(["ana", "ben"]).build()], at(0)).await?;
    let lately = Lately { window_began: Some(at(30)), sent: 3, hour_began: Some(at(10)), sent_in_hour: 9 };
    for claim in store.claim_due(at(30), LEASE, 10).await? {
        let escalation = look(store, &claim, at(30)).await?;
        assert_eq!(
            (escalation.lately[Channel::Push], escalation.lately[Channel::Email]),
            (Lately::default(), Lately::default())
        );
    }
    for claim in store.claim_due(at(31), LEASE, 10).await? {
        if claim.key.user == acme("ana") {
            let decision = Decision { lately: Some((Channel::Push, lately)), ..hold(60, None) };
            step(store, &claim, 31, &decision).await?;
        }
    }
    store.record(&[alert("b").to_users(["ana"]).build()], at(31)).await?;
    let escalation = look(store, &the_one_due(store, 31).await?, at(31)).await?;
    assert_eq!(
        (escalation.lately[Channel::Push], escalation.lately[Channel::Email]),
        (lately, Lately::default())
    );
    Ok(())
}

async fn the_first_who_sees_it_stops_it_for_all(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let for_all = alert("a").to_users(["ana", "ben"]).first_stops_all().build();
    let for_each = alert("b").to_users(["ana", "ben"]).build();
    store.record(&[for_all.clone(), for_each], at(0)).await?;
    store.apply_receipts(&[receipt(&acme("ben"), ["a", "b"], ReceiptState::Seen)], at(10)).await?;
    for claim in store.claim_due(at(30), LEASE, 10).await? {
        let escalation = look(store, &claim, at(30)).await?;
        let expected = match claim.key.alert.as_str() {
            "a" => (Some(StopReason::Acknowledged), Some((user("ben"), GroupRule::FirstStopsAll))),
            _ => (None, None),
        };
        assert_eq!((escalation.progress.stopped, escalation.taken), expected, "{:?}", claim.key);
    }
    // It was ben's; when it fires again, it is anybody's.
    let over = later_version(&for_all).resolved().build();
    store.record(std::slice::from_ref(&over), at(40)).await?;
    store.record(&[later_version(&over).firing().build()], at(41)).await?;
    let escalations = store.claim_due(at(60), LEASE, 10).await?;
    let again: Vec<_> = escalations.iter().filter(|claim| claim.key.alert.as_str() == "a").collect();
    assert_eq!(again.len(), 2);
    assert_eq!(look(store, again[0], at(60)).await?.progress.stopped, None);
    Ok(())
}

async fn whoever_is_late_is_counted_and_an_end_is_not_a_loss(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store
        .record(&[alert("a").to_users(["ana"]).build(), alert("b").to_users(["ana"]).build()], at(0))
        .await?;
    assert_eq!(store.audit(at(31), MINUTE).await?, Default::default(), "all is well");
    let late = store.audit(at(91), MINUTE).await?;
    assert_eq!((late.lost.len(), late.late), (0, 2));
    // An end says why; only a row that says nothing is lost (src/store/audit.rs finds one).
    for claim in store.claim_due(at(91), LEASE, 10).await? {
        step(store, &claim, 91, &Decision::new(2, at(91), Act::End(StopReason::Exhausted))).await?;
    }
    assert_eq!(store.audit(at(92), MINUTE).await?, Default::default());
    Ok(())
}
