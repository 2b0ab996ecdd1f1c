//! A later version that is worse is told anew, one that is not rings nobody again (I4, I5, I13).
//!
//! The decision is a table in `domain::inbox`; here is that the store asks it of what is really so (sent, on its way,
//! seen, held, in a summary) and carries it out.

use std::time::Duration;

use watchbell::domain::{
    AttemptId, AttemptState, Channel, ReceiptState, Severity, StopReason, Timestamp, restraint::Held,
};
use watchbell::store::{
    Act, Ask, Claim, Decision, Escalation, Hold, Holder, NewAlert, ProviderAnswer, Stepped, Store,
    SummaryOutcome,
};
use watchbell_tests::builders::{
    self, acme, alert, alert_id, at, changed, later_version, receipt, tenant, user, users,
};

use super::fixture::{LEASE, StoreFixture, ask, push};
use super::timers::look;

on_both_engines!(
    what_becomes_worse_is_chased_anew_wherever_it_stood,
    a_fall_rings_nobody_and_neither_does_the_way_back,
    whoever_looked_at_less_is_told_again_and_whoever_looked_at_as_much_is_not,
    what_fires_again_is_told_anew_whatever_was_told_before,
    what_reached_nobody_was_not_told,
    nobody_waits_longer_for_a_later_version,
    an_old_rounds_sender_changes_nothing_of_the_new_round,
    a_summary_on_its_way_counts_as_told_and_one_that_failed_does_not,
    versions_in_one_batch_end_as_they_would_one_by_one,
    a_later_version_moves_the_expiry_and_rings_nobody,
    a_later_version_that_expires_earlier_ends_in_time_and_what_is_over_stays_so,
    whom_an_earlier_version_names_is_chased_by_the_rules_of_the_later,
);

/// A later version of the alert, this bad. Critical ones have a policy of their own, first due after 5 s.
fn version(number: u32, severity: Severity, now: i64) -> NewAlert {
    let (policy, wait) = match severity {
        Severity::Critical => ("critical", 5),
        Severity::Warning | Severity::Info => ("default", 30),
    };
    let new = alert("disk").version(number).severity(severity).to_users(["ana"]).under_policy(policy);
    new.first_due_at(at(now + wait)).escalated_until(at(now + 9000)).build()
}

async fn record(store: &Store, number: u32, severity: Severity, now: i64) -> anyhow::Result<()> {
    store.record(&[version(number, severity, now)], at(now)).await?;
    Ok(())
}

async fn due_at(store: &Store) -> anyhow::Result<(Option<Timestamp>, Option<String>)> {
    let told = store.timeline(&tenant("acme"), &alert_id("disk"), Some(&user("ana")), 1).await?.remove(0);
    Ok((told.due_at, told.stopped))
}

/// When her next step is due, as seconds.
async fn due(store: &Store) -> anyhow::Result<Option<i64>> {
    let (due, stopped) = due_at(store).await?;
    Ok(due.filter(|_| stopped.is_none()).map(|due| due.duration_since(at(0)).as_secs()))
}

async fn says(store: &Store, text: &str) -> anyhow::Result<bool> {
    let told = store.timeline(&tenant("acme"), &alert_id("disk"), Some(&user("ana")), 1).await?.remove(0);
    Ok(told.entries.iter().any(|entry| entry.what == text))
}

async fn claim(store: &Store, now: i64) -> anyhow::Result<Claim> {
    let due = store.claim_due(at(now), LEASE, 10).await?;
    due.into_iter()
        .find(|claim| claim.key.alert.as_str() == "disk")
        .ok_or_else(|| anyhow::anyhow!("nothing is due at {now}"))
}

fn answered(number: u128, state: AttemptState) -> ProviderAnswer {
    builders::answer(AttemptId::from_u128(number), state).build()
}

async fn step(store: &Store, claim: &Claim, now: i64, decision: &Decision) -> anyhow::Result<Stepped> {
    let decide = |_: &Escalation| decision.clone();
    Ok(store.step(&ask(claim, at(now), &decide), LEASE).await?)
}

/// The answer to a push, and what follows from it.
async fn answer(
    store: &Store,
    (claim, called): (&Claim, &Stepped),
    answer: ProviderAnswer,
    now: i64,
    decision: &Decision,
) -> anyhow::Result<Stepped> {
    let Stepped::Call { fence, .. } = called else { panic!("{called:?}") };
    let decide = |_: &Escalation| decision.clone();
    let answers = [answer];
    let holder = Holder::Fence(*fence);
    let ask = Ask { key: &claim.key, holder, answers: &answers, now: at(now), decide: &decide };
    Ok(store.step(&ask, LEASE).await?)
}

/// Pushes what is due, which a provider takes; its next step is due after five minutes.
async fn push_it(store: &Store, number: u128, now: i64) -> anyhow::Result<()> {
    let claim = claim(store, now).await?;
    let called = step(store, &claim, now, &push(number, 0)).await?;
    let next = Decision::new(1, at(now + 300), Act::Rest(at(now + 300)));
    let sent = answered(number, AttemptState::Accepted);
    answer(store, (&claim, &called), sent, now, &next).await?;
    Ok(())
}

async fn see(store: &Store, state: ReceiptState, now: i64) -> anyhow::Result<()> {
    store.apply_receipts(&[receipt(&acme("ana"), ["disk"], state)], at(now)).await?;
    Ok(())
}

/// What was still unseen and merely worse used to keep its timer, its policy, and its end.
async fn what_becomes_worse_is_chased_anew_wherever_it_stood(fixture: &StoreFixture) -> anyhow::Result<()> {
    for where_it_stood in ["waiting", "quiet", "bundled", "pushed", "exhausted", "expired", "on its way"] {
        let store = &fixture.store;
        fixture
            .execute("DELETE FROM inbox; DELETE FROM escalations; DELETE FROM alerts; DELETE FROM attempts")
            .await?;
        record(store, 1, Severity::Warning, 0).await?;
        let hold = |held| {
            let hold = Hold { held, until: at(5000), following: None, mandatory: false };
            Decision::new(0, at(30), Act::Hold(hold))
        };
        match where_it_stood {
            "waiting" => {}
            "pushed" => push_it(store, 1, 30).await?,
            _ => {
                let decision = match where_it_stood {
                    "quiet" => hold(Held::Quiet),
                    "bundled" => hold(Held::Summary(Channel::Push)),
                    "exhausted" => Decision::new(2, at(30), Act::End(StopReason::Exhausted)),
                    "expired" => Decision::new(0, at(30), Act::End(StopReason::Expired)),
                    _ => push(1, 0),
                };
                step(store, &claim(store, 30).await?, 30, &decision).await?;
            }
        }
        record(store, 2, Severity::Critical, 40).await?;
        let expected = if where_it_stood == "waiting" { 30 } else { 45 };
        assert_eq!(due(store).await?, Some(expected), "{where_it_stood}");
        assert!(says(store, "became critical: chased anew under policy critical").await?, "{where_it_stood}");
        let escalation = look(store, &claim(store, 45).await?, at(45)).await?;
        let begun = (
            escalation.progress.round,
            escalation.progress.step,
            escalation.policy.as_str(),
            escalation.held,
        );
        assert_eq!(begun, (2, 0, "critical", None), "{where_it_stood}");
        assert_eq!((escalation.severity, escalation.progress.told_by), (Some(Severity::Critical), vec![]));
    }
    Ok(())
}

async fn a_fall_rings_nobody_and_neither_does_the_way_back(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Critical, 0).await?;
    record(store, 2, Severity::Warning, 1).await?;
    assert_eq!(due(store).await?, Some(5), "not sent yet: no later than was promised");
    assert!(says(store, "is warning now: chased under policy default").await?);
    record(store, 3, Severity::Critical, 3).await?;
    assert_eq!(due(store).await?, Some(5), "worse than what was told, which is nothing");
    push_it(store, 1, 6).await?;

    for (number, severity, now) in [
        (4, Severity::Warning, 10),
        (5, Severity::Critical, 20),
        (6, Severity::Info, 30),
        (7, Severity::Critical, 40),
    ] {
        record(store, number, severity, now).await?;
        assert_eq!(
            due(store).await?,
            Some(306),
            "version {number} rings nobody: the next step keeps its time"
        );
    }
    let escalation = look(store, &claim(store, 306).await?, at(306)).await?;
    assert_eq!((escalation.progress.round, escalation.policy_shown.as_deref()), (3, Some("critical")));
    Ok(())
}

async fn whoever_looked_at_less_is_told_again_and_whoever_looked_at_as_much_is_not(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Warning, 0).await?;
    push_it(store, 1, 30).await?;
    see(store, ReceiptState::Seen, 40).await?;
    record(store, 2, Severity::Critical, 50).await?;
    assert_eq!(due(store).await?, Some(55), "they saw a warning");
    record(store, 3, Severity::Warning, 51).await?;
    assert_eq!(due_at(store).await?.1.as_deref(), Some("seen"), "what it is now they have seen");
    record(store, 4, Severity::Critical, 52).await?;
    assert_eq!(due(store).await?, Some(57), "and they were told of nothing worse");
    push_it(store, 2, 57).await?;
    see(store, ReceiptState::Seen, 60).await?;

    for (number, severity) in [(5, Severity::Warning), (6, Severity::Critical)] {
        record(store, number, severity, 70).await?;
        assert_eq!(due(store).await?, None, "version {number}: they saw it critical");
    }
    record(store, 7, Severity::Warning, 80).await?;
    see(store, ReceiptState::Read, 81).await?;
    record(store, 8, Severity::Critical, 90).await?;
    assert_eq!(due(store).await?, Some(95), "they opened it when it was a warning again");
    Ok(())
}

async fn what_fires_again_is_told_anew_whatever_was_told_before(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Critical, 0).await?;
    push_it(store, 1, 5).await?;
    let over = later_version(&version(1, Severity::Critical, 10)).resolved().build();
    store.record(std::slice::from_ref(&over), at(10)).await?;
    record(store, 3, Severity::Critical, 20).await?;
    assert_eq!(due(store).await?, Some(25));

    // Under a policy without steps, and then worse.
    store.record(&[changed(&over).version(4).build()], at(30)).await?;
    let silent = NewAlert { first_due_at: None, ..version(5, Severity::Info, 40) };
    store.record(&[silent], at(40)).await?;
    assert_eq!(due(store).await?, None);
    record(store, 6, Severity::Warning, 50).await?;
    assert_eq!(due(store).await?, Some(80), "the critical push belongs to another time");
    Ok(())
}

/// An attempt that failed for good told nobody, however bad it would have been.
async fn what_reached_nobody_was_not_told(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    record(store, 1, Severity::Critical, 0).await?;
    let claimed = claim(store, 5).await?;
    let called = step(store, &claimed, 5, &push(1, 0)).await?;
    record(store, 2, Severity::Warning, 6).await?;
    assert_eq!(due(store).await?, Some(5), "on its way: it goes on as it was");
    let over = Decision::new(2, at(7), Act::End(StopReason::Exhausted));
    let refused = answered(1, AttemptState::Failed);
    assert!(matches!(answer(store, (&claimed, &called), refused, 7, &over).await?, Stepped::Rested));
    record(store, 3, Severity::Critical, 10).await?;
    assert_eq!(due(store).await?, Some(15));
    Ok(())
}

/// A producer that goes up and down never lets a timer stand if each version begins the wait again (I4).
async fn nobody_waits_longer_for_a_later_version(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Info, 0).await?;
    for (number, severity) in (2..).zip([Severity::Warning, Severity::Info].repeat(6)) {
        record(store, number, severity, i64::from(number) * 2).await?;
        assert_eq!(due(store).await?, Some(30), "version {number}");
    }
    Ok(())
}

async fn an_old_rounds_sender_changes_nothing_of_the_new_round(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Warning, 0).await?;
    let old = claim(store, 30).await?;
    let called = step(store, &old, 30, &push(1, 0)).await?;
    record(store, 2, Severity::Critical, 31).await?;
    let ends = Decision::new(2, at(32), Act::End(StopReason::Exhausted));
    let late = answer(store, (&old, &called), answered(1, AttemptState::Accepted), 32, &ends).await?;
    assert!(matches!(late, Stepped::Lost), "{late:?}");
    assert_eq!(due(store).await?, Some(36), "the new round stands");
    let escalation = look(store, &claim(store, 36).await?, at(36)).await?;
    let attempt = &escalation.progress.attempts[0];
    assert_eq!(
        (attempt.state, attempt.round, escalation.progress.round),
        (AttemptState::Accepted, 1, 2),
        "it is known"
    );
    assert_eq!(
        (attempt.severity, escalation.progress.sent_before),
        (Some(Severity::Warning), Some(Severity::Warning))
    );
    Ok(())
}

async fn a_summary_on_its_way_counts_as_told_and_one_that_failed_does_not(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    for reached in [true, false] {
        let store = &fixture.store;
        fixture
            .execute("DELETE FROM inbox; DELETE FROM escalations; DELETE FROM alerts; DELETE FROM attempts")
            .await?;
        record(store, 1, Severity::Critical, 0).await?;
        let following = Some(Duration::from_secs(300));
        let hold = Hold { held: Held::Summary(Channel::Push), until: at(150), following, mandatory: true };
        step(store, &claim(store, 5).await?, 5, &Decision::new(0, at(5), Act::Hold(hold))).await?;
        let summary = store.claim_due(at(150), LEASE, 10).await?.remove(0);
        let called = step(store, &summary, 150, &push(1, 0)).await?;
        record(store, 2, Severity::Warning, 151).await?;
        record(store, 3, Severity::Critical, 152).await?;
        assert_eq!(due(store).await?, Some(210), "on its way, and it says critical");
        let told = SummaryOutcome { reached, note: "told in one".into() };
        let done = Decision { told: Some(told), ..Decision::new(1, at(9000), Act::Rest(at(9000))) };
        let state = if reached { AttemptState::Accepted } else { AttemptState::Failed };
        answer(store, (&summary, &called), answered(1, state), 153, &done).await?;
        assert!(says(store, "told in one").await?);
        let next = if reached { 453 } else { 153 };
        assert_eq!(due(store).await?, Some(next), "reached: {reached}");
        if !reached {
            let over = Decision::new(2, at(153), Act::End(StopReason::Exhausted));
            step(store, &claim(store, 153).await?, 153, &over).await?;
        }
        record(store, 4, Severity::Warning, 160).await?;
        record(store, 5, Severity::Critical, 161).await?;
        let expected = if reached { next } else { 166 };
        assert_eq!(due(store).await?, Some(expected), "reached: {reached}");
    }
    Ok(())
}

async fn versions_in_one_batch_end_as_they_would_one_by_one(fixture: &StoreFixture) -> anyhow::Result<()> {
    use Severity::{Critical, Info, Warning};
    // What was pushed before, and what comes then.
    for (first, later) in [
        (None, vec![Warning, Critical]),
        (None, vec![Critical, Warning]),
        (None, vec![Info, Critical, Info]),
        (Some(Warning), vec![Critical]),
        (Some(Warning), vec![Critical, Warning]),
        (Some(Warning), vec![Info, Critical]),
        (Some(Critical), vec![Warning, Critical]),
    ] {
        let mut ends = Vec::new();
        for one_by_one in [true, false] {
            let store = &fixture.store;
            fixture
                .execute(
                    "DELETE FROM inbox; DELETE FROM escalations; DELETE FROM alerts; DELETE FROM attempts",
                )
                .await?;
            if let Some(first) = first {
                record(store, 1, first, 0).await?;
                push_it(store, 1, 30).await?;
            }
            let batch: Vec<NewAlert> =
                (2..).zip(&later).map(|(number, severity)| version(number, *severity, 40)).collect();
            let parts = if one_by_one { batch.chunks(1) } else { batch.chunks(batch.len()) };
            for part in parts {
                store.record(part, at(40)).await?;
            }
            let claimed = claim(store, 9000).await?;
            let escalation = look(store, &claimed, at(9000)).await?;
            let progress = &escalation.progress;
            let due = (progress.step, progress.step_due_at, progress.round, progress.sent_before);
            ends.push((due, escalation.policy, escalation.policy_shown, escalation.severity));
        }
        assert_eq!(ends[0], ends[1], "{first:?} then {later:?}");
    }
    Ok(())
}

/// A page of an earlier version's audience comes after the later version: it says what the later one says, and used to
/// be chased as the earlier one would.
async fn whom_an_earlier_version_names_is_chased_by_the_rules_of_the_later(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, 1, Severity::Warning, 0).await?;
    record(store, 2, Severity::Critical, 10).await?;
    let page = NewAlert { recipients: users(["ben"]), ..version(1, Severity::Warning, 20) };
    store.record(&[page], at(20)).await?;
    let (tenant, ben) = (tenant("acme"), user("ben"));
    let told = store.timeline(&tenant, &alert_id("disk"), Some(&ben), 1).await?.remove(0);
    assert_eq!(told.due_at, Some(at(25)), "5 s after he is reached");
    let due = store.claim_due(at(25), LEASE, 10).await?;
    let claim = due.iter().find(|claim| claim.key.user.user == ben).unwrap();
    let escalation = look(store, claim, at(25)).await?;
    assert_eq!(
        (escalation.policy.as_str(), escalation.progress.round, escalation.progress.expires_at),
        ("critical", 2, at(9010))
    );
    Ok(())
}

/// A warning whose escalation ends then.
fn expiring(number: u32, expires: i64) -> NewAlert {
    changed(&version(number, Severity::Warning, 0)).escalated_until(at(expires)).build()
}

/// A heartbeat keeps an alert alive, and one with an earlier expiry ends it in time. Both used to be passed over.
async fn a_later_version_moves_the_expiry_and_rings_nobody(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[expiring(1, 20)], at(0)).await?;
    store.record(&[expiring(2, 60)], at(1)).await?;
    assert_eq!(
        due(store).await?,
        Some(20),
        "the heartbeat opens nothing; it is looked at when it would have expired"
    );
    let claims = store.claim_due(at(30), LEASE, 10).await?;
    assert_eq!(look(store, &claims[0], at(30)).await?.progress.expires_at, at(60));
    // While somebody works on it, and twice in a batch.
    store.record(&[expiring(3, 70), expiring(4, 50)], at(31)).await?;
    assert_eq!(look(store, &claims[0], at(31)).await?.progress.expires_at, at(50));

    Ok(())
}

async fn a_later_version_that_expires_earlier_ends_in_time_and_what_is_over_stays_so(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let other =
        |number: u32, expires: i64| changed(&expiring(number, expires)).id("other").to_users(["ben"]).build();
    store.record(&[other(1, 900)], at(0)).await?;
    store.record(&[other(2, 10)], at(1)).await?;
    let told = store.timeline(&tenant("acme"), &alert_id("other"), Some(&user("ben")), 1).await?.remove(0);
    assert_eq!((told.due_at, told.stopped), (Some(at(10)), None), "it is looked at when it expires");
    let claims = store.claim_due(at(10), LEASE, 10).await?;
    let escalation = look(store, &claims[0], at(10)).await?;
    assert_eq!((escalation.progress.expires_at, escalation.progress.stopped), (at(10), None));
    store.record(&[later_version(&other(2, 10)).resolved().build()], at(11)).await?;
    store.record(&[changed(&other(2, 500)).version(4).resolved().build()], at(12)).await?;
    let told = store.timeline(&tenant("acme"), &alert_id("other"), Some(&user("ben")), 1).await?.remove(0);
    assert_eq!(told.stopped.as_deref(), Some("resolved"), "what is over stays so");
    Ok(())
}
