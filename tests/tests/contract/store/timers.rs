//! A due row has one holder; attempts are written first (I4, I5, I6).

use std::collections::HashSet;
use std::sync::Mutex;

use tokio::task::JoinSet;
use watchbell::domain::{
    AttemptId, AttemptKind, AttemptState, Channel, DeviceId, ReceiptState, StopReason, Timestamp,
};
use watchbell::store::{
    Act, Ask, Claim, Decision, Escalation, EscalationKey, Holder, NewAlert, NewAttempt, ProviderAnswer,
    Stepped, Store,
};

use super::fixture::{LEASE, StoreFixture, acme, alert_id, ask, at, firing, receipt};

on_both_engines!(
    a_row_is_handed_out_when_it_is_due,
    claimants_at_once_never_get_the_same_row,
    a_lease_that_ended_is_handed_out_again_and_the_old_claim_is_void,
    leases_can_be_released_by_who_knows_their_holders_are_dead,
    an_attempt_is_written_before_it_is_made,
    whoever_lost_the_row_still_tells_what_was_answered,
    a_late_answer_undoes_nothing,
    seen_between_the_call_and_its_answer_is_found_by_the_next_step,
    seen_before_the_first_step_of_a_claim_is_found_by_it,
    a_rest_without_an_end_is_the_end,
    two_holders_of_one_row_do_not_wait_for_each_other,
);

fn key(alert: &str) -> EscalationKey {
    EscalationKey { user: acme("ana"), alert: alert_id(alert) }
}

fn phone() -> DeviceId {
    DeviceId::parse("phone").unwrap()
}

fn attempt(number: u128, tries: u32) -> NewAttempt {
    let (kind, channel) = (AttemptKind::Alert, Channel::Push);
    NewAttempt { id: AttemptId::from_u128(number), kind, channel, device: Some(phone()), tries }
}

fn answer(number: u128, state: AttemptState) -> ProviderAnswer {
    let maybe_shown = state == AttemptState::Accepted;
    let reason = Some("as the provider said\0".to_owned());
    ProviderAnswer {
        id: AttemptId::from_u128(number),
        state,
        next_try_at: None,
        maybe_shown,
        reason,
        message_id: None,
        was_called: true,
    }
}

fn call(attempts: Vec<NewAttempt>) -> Decision {
    Decision::new(0, at(30), Act::Attempt(attempts))
}

fn rest(due_at: Option<Timestamp>) -> Decision {
    let act = due_at.map_or(Act::End(StopReason::Exhausted), Act::Rest);
    Decision::new(1, due_at.unwrap_or(at(60)), act)
}

async fn step(
    store: &Store,
    key: &EscalationKey,
    holder: Holder,
    answers: &[ProviderAnswer],
    now: Timestamp,
    decision: Decision,
) -> anyhow::Result<Stepped> {
    let decide = move |_: &Escalation| decision.clone();
    Ok(store.step(&Ask { key, holder, answers, now, decide: &decide }, LEASE).await?)
}

fn fence_of(stepped: &Stepped) -> Holder {
    match stepped {
        Stepped::Call { fence, .. } => Holder::Fence(*fence),
        Stepped::Rested | Stepped::Lost => panic!("nothing to call: {stepped:?}"),
    }
}

async fn claim(store: &Store, now: Timestamp) -> anyhow::Result<Claim> {
    let mut claims = store.claim_due(now, LEASE, 10).await?;
    anyhow::ensure!(claims.len() == 1, "one row is due: {claims:?}");
    Ok(claims.remove(0))
}

/// What a step would look at. Rests the row until it is due a second later.
pub async fn look(store: &Store, claim: &Claim, now: Timestamp) -> anyhow::Result<Escalation> {
    let seen = Mutex::new(None);
    let decide = |escalation: &Escalation| {
        *seen.lock().unwrap() = Some(escalation.clone());
        let due_at = now + std::time::Duration::from_secs(1);
        let progress = &escalation.progress;
        Decision::new(progress.step, progress.step_due_at, Act::Rest(due_at))
    };
    let stepped = store.step(&ask(claim, now, &decide), LEASE).await?;
    anyhow::ensure!(matches!(stepped, Stepped::Rested), "{stepped:?}");
    Ok(seen.into_inner().unwrap().unwrap())
}

/// Takes ana's `alert`, due at 30 s, through one accepted push; the next step is never.
pub async fn push(store: &Store, alert: &str) -> anyhow::Result<()> {
    let number = alert.bytes().fold(7, |number, byte| number * 31 + u128::from(byte));
    let claim = claim(store, at(30)).await?;
    let begin = call(vec![attempt(number, 1)]);
    let called = step(store, &key(alert), Holder::Claim(claim.number), &[], at(30), begin).await?;
    let fence = fence_of(&called);
    let accepted = [answer(number, AttemptState::Accepted)];
    let rested = step(store, &key(alert), fence, &accepted, at(31), rest(None)).await?;
    assert!(matches!(rested, Stepped::Rested));
    Ok(())
}

/// Claims ana's `alert` at `now` and leaves it for good.
pub async fn rest_for_good(store: &Store, alert: &str, now: Timestamp) -> anyhow::Result<()> {
    let claim = claim(store, now).await?;
    step(store, &key(alert), Holder::Claim(claim.number), &[], now, rest(None)).await?;
    Ok(())
}

async fn a_row_is_handed_out_when_it_is_due(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    assert_eq!(store.next_due().await?, None);
    let due = |id: &str, secs| NewAlert { first_due_at: Some(at(secs)), ..firing(id, &["ana"]) };
    store.record(&[due("later", 60), due("soon", 30), due("sooner", 20)], at(0)).await?;
    assert_eq!(store.next_due().await?, Some(at(20)));
    assert_eq!(store.claim_due(at(19), LEASE, 10).await?, []);
    assert_eq!(store.claim_due(at(60), LEASE, 1).await?[0].key, key("sooner"), "the earliest first");
    assert_eq!(store.next_due().await?, Some(at(30)), "what is held is not due to anybody else");
    let rest: HashSet<_> =
        store.claim_due(at(60), LEASE, 10).await?.into_iter().map(|claim| claim.key).collect();
    assert_eq!(rest, HashSet::from([key("soon"), key("later")]));
    assert_eq!(store.next_due().await?, Some(at(90)), "until its lease ends");
    Ok(())
}

async fn claimants_at_once_never_get_the_same_row(fixture: &StoreFixture) -> anyhow::Result<()> {
    const ROWS: usize = 400;
    let batch: Vec<NewAlert> = (0..ROWS).map(|n| firing(&format!("a{n}"), &["ana"])).collect();
    fixture.store.record(&batch, at(0)).await?;
    let handles = [fixture.store.clone(), fixture.another_handle()];
    let mut claiming = JoinSet::new();
    for claimant in 0..6 {
        let store = handles[claimant % handles.len()].clone();
        claiming.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let some = store.claim_due(at(30), LEASE, 7).await?;
                assert!(some.len() <= 7, "no more than asked for");
                if some.is_empty() {
                    return anyhow::Ok(claimed);
                }
                claimed.extend(some);
            }
        });
    }
    let mut keys = HashSet::new();
    while let Some(claimed) = claiming.join_next().await {
        for claim in claimed?? {
            assert_eq!(claim.number, 1);
            assert!(keys.insert(claim.key.alert.clone()), "{} was handed out twice", claim.key.alert);
        }
    }
    // A claimant passes over rows that another is just taking, so the last look is ours.
    let left = fixture.store.claim_due(at(30), LEASE, ROWS).await?.len();
    assert_eq!(keys.len() + left, ROWS, "every row was handed out");
    Ok(())
}

async fn a_lease_that_ended_is_handed_out_again_and_the_old_claim_is_void(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let first = claim(store, at(30)).await?;
    assert_eq!(store.claim_due(at(59), LEASE, 10).await?, [], "held until 60 s");
    let second = claim(store, at(60)).await?;
    assert!(second.number > first.number);
    let zombie = step(store, &first.key, Holder::Claim(first.number), &[], at(61), call(vec![attempt(1, 1)]));
    assert!(matches!(zombie.await?, Stepped::Lost));
    let escalation = look(store, &second, at(61)).await?;
    assert_eq!(escalation.progress.attempts, [], "who lost the row wrote nothing");
    let unknown = step(store, &key("unknown"), Holder::Claim(1), &[], at(61), rest(None)).await?;
    assert!(matches!(unknown, Stepped::Lost));
    Ok(())
}

async fn leases_can_be_released_by_who_knows_their_holders_are_dead(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let first = claim(store, at(30)).await?;
    store.release_leases().await?;
    let second = claim(store, at(31)).await?;
    assert!(second.number > first.number);
    Ok(())
}

async fn an_attempt_is_written_before_it_is_made(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let first = claim(store, at(30)).await?;
    let decision =
        call(vec![attempt(1, 1), NewAttempt { device: None, channel: Channel::Email, ..attempt(2, 1) }]);
    let called = step(store, &first.key, Holder::Claim(first.number), &[], at(30), decision).await?;
    let Stepped::Call { escalation, attempts, .. } = &called else { panic!("{called:?}") };
    assert_eq!((escalation.policy.as_str(), attempts.len()), ("default", 2));
    assert_eq!(store.claim_due(at(59), LEASE, 10).await?, [], "held while the providers are called");

    // The holder dies here. Whoever is next finds what it was about to do (I6).
    let second = claim(store, at(60)).await?;
    let escalation = look(store, &second, at(60)).await?;
    let brief: Vec<_> = escalation
        .progress
        .attempts
        .iter()
        .map(|attempt| {
            (attempt.id.as_u128(), attempt.channel, attempt.state, attempt.tries, attempt.maybe_shown)
        })
        .collect();
    let pending = AttemptState::Pending;
    assert_eq!(brief, [(1, Channel::Push, pending, 1, true), (2, Channel::Email, pending, 1, false)]);
    let push = &escalation.progress.attempts[0];
    assert_eq!((push.device.clone(), push.round, push.step, push.created_at), (Some(phone()), 1, 0, at(30)));

    let third = claim(store, at(61)).await?;
    let again = call(vec![attempt(1, 2)]);
    let called = step(store, &third.key, Holder::Claim(third.number), &[], at(61), again).await?;
    let retrying = [ProviderAnswer { next_try_at: Some(at(99)), ..answer(1, AttemptState::Retrying) }];
    let later = rest(Some(at(99)));
    let rested = step(store, &third.key, fence_of(&called), &retrying, at(62), later).await?;
    assert!(matches!(rested, Stepped::Rested));
    assert_eq!(store.next_due().await?, Some(at(99)));
    let escalation = look(store, &claim(store, at(99)).await?, at(99)).await?;
    let push = &escalation.progress.attempts[0];
    assert_eq!((push.state, push.tries, push.next_try_at), (AttemptState::Retrying, 2, Some(at(99))));
    assert_eq!((push.answered_at, push.created_at), (Some(at(62)), at(30)), "a retry is the same attempt");
    assert_eq!(push.reason.as_deref(), Some("as the provider said"));
    assert_eq!((escalation.progress.step, escalation.progress.step_due_at), (1, at(99)));
    Ok(())
}

async fn whoever_lost_the_row_still_tells_what_was_answered(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let first = claim(store, at(30)).await?;
    let begun = step(store, &first.key, Holder::Claim(first.number), &[], at(30), call(vec![attempt(1, 1)]));
    let zombie = fence_of(&begun.await?);
    let second = claim(store, at(60)).await?;
    let begun =
        step(store, &second.key, Holder::Claim(second.number), &[], at(60), call(vec![attempt(1, 2)]));
    let holder = fence_of(&begun.await?);

    // The zombie's try failed; that says nothing about the try under way, which may be on the phone.
    let late = [answer(1, AttemptState::Retrying)];
    let lost = step(store, &first.key, zombie, &late, at(61), rest(None)).await?;
    assert!(matches!(lost, Stepped::Lost));
    let called = step(store, &first.key, holder, &[], at(62), call(vec![])).await?;
    let Stepped::Call { escalation, .. } = &called else { panic!("{called:?}") };
    let push = &escalation.progress.attempts[0];
    assert_eq!((push.state, push.maybe_shown), (AttemptState::Retrying, true));

    let late = [answer(1, AttemptState::Accepted)];
    let lost = step(store, &first.key, zombie, &late, at(63), rest(None)).await?;
    assert!(matches!(lost, Stepped::Lost));
    let called = step(store, &first.key, fence_of(&called), &[], at(64), call(vec![])).await?;
    let Stepped::Call { escalation, .. } = &called else { panic!("{called:?}") };
    assert_eq!(escalation.progress.attempts[0].state, AttemptState::Accepted);
    Ok(())
}

async fn a_late_answer_undoes_nothing(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let claim = claim(store, at(30)).await?;
    let attempts = vec![attempt(1, 1), attempt(2, 1), attempt(3, 1)];
    let mut called =
        step(store, &claim.key, Holder::Claim(claim.number), &[], at(30), call(attempts)).await?;
    for answers in [
        [
            answer(1, AttemptState::Accepted),
            answer(2, AttemptState::Failed),
            answer(3, AttemptState::Retrying),
        ],
        [
            answer(1, AttemptState::Failed),
            answer(2, AttemptState::Retrying),
            answer(3, AttemptState::Accepted),
        ],
        [
            answer(9, AttemptState::Failed),
            answer(2, AttemptState::Accepted),
            answer(1, AttemptState::Retrying),
        ],
    ] {
        called = step(store, &claim.key, fence_of(&called), &answers, at(31), call(vec![])).await?;
    }
    let Stepped::Call { escalation, .. } = &called else { panic!("{called:?}") };
    let states: Vec<_> = escalation.progress.attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Accepted, AttemptState::Failed, AttemptState::Accepted]);
    Ok(())
}

async fn seen_between_the_call_and_its_answer_is_found_by_the_next_step(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let claim = claim(store, at(30)).await?;
    let called =
        step(store, &claim.key, Holder::Claim(claim.number), &[], at(30), call(vec![attempt(1, 1)])).await?;
    store.apply_receipts(&[receipt(&acme("ana"), &["a"], ReceiptState::Seen)], at(31)).await?;
    assert_eq!(store.claim_due(at(32), LEASE, 10).await?, [], "the push under way is answered first");

    let accepted = [answer(1, AttemptState::Accepted)];
    let decide = |escalation: &Escalation| {
        assert_eq!(escalation.progress.stopped, Some(StopReason::Seen), "read again under the lock (I5)");
        assert_eq!(escalation.progress.attempts[0].state, AttemptState::Accepted, "and with the answers in");
        rest(Some(at(33)))
    };
    let Holder::Fence(fence) = fence_of(&called) else { unreachable!() };
    let rested = store
        .step(
            &Ask {
                key: &claim.key,
                holder: Holder::Fence(fence),
                answers: &accepted,
                now: at(33),
                decide: &decide,
            },
            LEASE,
        )
        .await?;
    assert!(matches!(rested, Stepped::Rested));
    let now_due = store.claim_due(at(33), LEASE, 10).await?;
    assert_eq!(now_due.len(), 1, "due at once, to be taken away");
    Ok(())
}

async fn seen_before_the_first_step_of_a_claim_is_found_by_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    let held = claim(store, at(30)).await?;
    store.apply_receipts(&[receipt(&acme("ana"), &["a"], ReceiptState::Read)], at(31)).await?;
    let escalation = look(store, &held, at(32)).await?;
    assert_eq!(escalation.progress.stopped, Some(StopReason::Read));
    Ok(())
}

async fn a_rest_without_an_end_is_the_end(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[firing("a", &["ana"])], at(0)).await?;
    push(store, "a").await?;
    assert_eq!(store.next_due().await?, None);
    store.release_leases().await?;
    assert_eq!(store.claim_due(at(9000), LEASE, 10).await?, []);
    Ok(())
}

/// A zombie's answer and its successor's step used to lock the attempt and the row in opposite orders.
async fn two_holders_of_one_row_do_not_wait_for_each_other(fixture: &StoreFixture) -> anyhow::Result<()> {
    fixture.store.record(&[firing("a", &["ana"])], at(0)).await?;
    let claim = claim(&fixture.store, at(30)).await?;
    let mut stepping = JoinSet::new();
    for store in [fixture.store.clone(), fixture.another_handle()] {
        let claim = claim.clone();
        stepping.spawn(async move {
            for tries in 1..40 {
                let retrying = [answer(1, AttemptState::Retrying), answer(2, AttemptState::Retrying)];
                let decision = call(vec![attempt(2, tries), attempt(1, tries)]);
                step(&store, &claim.key, Holder::Claim(claim.number), &retrying, at(31), decision).await?;
            }
            anyhow::Ok(())
        });
    }
    let begun = std::time::Instant::now();
    while let Some(stepped) = stepping.join_next().await {
        stepped??;
    }
    // PostgreSQL looks for a deadlock after a second's wait; forty of them would not fit.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    Ok(())
}
