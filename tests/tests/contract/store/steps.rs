//! Many escalations are stepped in one commit, each as it would be alone, and nobody is waited for (I5, I6).

use std::sync::{Mutex, mpsc};

use watchbell::domain::{
    AttemptId, AttemptState, Channel, ReceiptState, StopReason, Timestamp, restraint::Lately,
};
use watchbell::store::{
    Act, Ask, Claim, Decision, Escalation, Holder, NewAttempt, ProviderAnswer, STEPS_PER_COMMIT_MAX, Stepped,
    Store,
};
use watchbell_tests::builders::{self, accepted, acme, alert, alert_id, at, receipt};

use super::fixture::{LEASE, StoreFixture, ask};

on_both_engines!(
    many_escalations_go_their_ways_in_one_commit,
    what_was_seen_meanwhile_is_found_for_each,
    the_escalations_of_one_person_follow_each_other,
    no_escalation_twice_and_no_more_than_fit,
    whoever_lost_a_row_is_told_and_heard,
);

fn attempt(escalation: &Escalation, tries: u32) -> NewAttempt {
    // An id that says whose it is: what one escalation gets must not be another's.
    let id = AttemptId::from_u128(escalation.content.bytes().fold(7, |id, byte| id * 31 + u128::from(byte)));
    builders::attempt(id, Channel::Push).tries(tries).build()
}

fn begin(escalation: &Escalation) -> Decision {
    let notes = vec![format!("about {}", escalation.content)];
    Decision { notes, ..Decision::new(0, at(30), Act::Attempt(vec![attempt(escalation, 1)])) }
}

/// One alert for each of these people, all of them due at 30 s and claimed, in the order of people.
async fn claims(store: &Store, people: &[&str]) -> anyhow::Result<Vec<Claim>> {
    for person in people {
        let alert = alert(person).to_users([person]).content(format!("\"{person}\"")).build();
        store.record(&[alert], at(0)).await?;
    }
    let mut claims = store.claim_due(at(30), LEASE, people.len()).await?;
    claims.sort_by_key(|claim| people.iter().position(|person| *person == claim.key.user.user.as_str()));
    Ok(claims)
}

/// What each was told to call, and the fence of it.
fn calls(stepped: &[Option<Stepped>]) -> Vec<Option<(u64, AttemptId)>> {
    let call = |stepped: &Option<Stepped>| match stepped {
        Some(Stepped::Call { fence, attempts, escalation }) => {
            assert_eq!(attempts[0], attempt(escalation, 1), "its own");
            Some((*fence, attempts[0].id))
        }
        _ => None,
    };
    stepped.iter().map(call).collect()
}

async fn entries(store: &Store, person: &str) -> anyhow::Result<Vec<String>> {
    let (user, alert) = (acme(person), alert_id(person));
    let told = store.timeline(&user.tenant, &alert, Some(&user.user), 1).await?.remove(0);
    Ok(told.entries.into_iter().map(|entry| entry.what).collect())
}

async fn many_escalations_go_their_ways_in_one_commit(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let people = ["ana", "ben", "cas", "dan"];
    let claims = claims(store, &people).await?;
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &begin)).collect();
    let called = calls(&store.steps(&asks, LEASE).await?);
    assert!(called.iter().all(Option::is_some), "{called:?}");

    // What follows is another thing for each of them.
    let answers: Vec<[ProviderAnswer; 1]> = called.iter().flatten().map(|(_, id)| [accepted(*id)]).collect();
    let next = |escalation: &Escalation| {
        assert_eq!(escalation.progress.attempts[0].state, AttemptState::Accepted, "the answers are in");
        match &*escalation.content {
            "\"ana\"" => Decision::new(1, at(90), Act::Rest(at(90))),
            "\"ben\"" => Decision::new(2, at(31), Act::End(StopReason::Exhausted)),
            _ => Decision::new(1, at(60), Act::Rest(at(60))),
        }
    };
    let answered: Vec<Ask<'_>> = claims
        .iter()
        .zip(called.iter().flatten())
        .zip(&answers)
        .map(|((claim, (fence, _)), answers)| Ask {
            key: &claim.key,
            holder: Holder::Fence(*fence),
            answers,
            now: at(31),
            decide: &next,
        })
        .collect();
    let rested = store.steps(&answered, LEASE).await?;
    assert!(rested.iter().all(|stepped| matches!(stepped, Some(Stepped::Rested))), "{rested:?}");
    let due: Vec<Option<Timestamp>> = {
        let mut due = Vec::new();
        for person in people {
            let (user, alert) = (acme(person), alert_id(person));
            due.push(store.timeline(&user.tenant, &alert, Some(&user.user), 1).await?.remove(0).due_at);
        }
        due
    };
    assert_eq!(due, [Some(at(90)), None, Some(at(60)), Some(at(60))]);
    for person in people {
        let told = entries(store, person).await?;
        let has = |text: &str| told.iter().filter(|entry| entry.contains(text)).count();
        assert_eq!(
            (has(&format!("about \"{person}\"")), has("about"), has("accepted")),
            (1, 1, 1),
            "{told:?}"
        );
    }
    Ok(())
}

async fn what_was_seen_meanwhile_is_found_for_each(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let claims = claims(store, &["ana", "ben"]).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["ana"], ReceiptState::Seen)], at(30)).await?;
    let decide = |escalation: &Escalation| match escalation.progress.stopped {
        Some(reason) => Decision::new(0, at(30), Act::End(reason)),
        None => begin(escalation),
    };
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &decide)).collect();
    let stepped = store.steps(&asks, LEASE).await?;
    assert!(matches!(stepped[0], Some(Stepped::Rested)), "ana has seen hers (I5): {stepped:?}");
    assert!(matches!(stepped[1], Some(Stepped::Call { .. })), "ben has not: {stepped:?}");
    Ok(())
}

async fn the_escalations_of_one_person_follow_each_other(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let all: Vec<_> = (0..4).map(|n| alert(&format!("a{n}")).to_users(["ana"]).build()).collect();
    store.record(&all, at(0)).await?;
    let claims = store.claim_due(at(30), LEASE, 10).await?;
    let seen = Mutex::new(Vec::new());
    // Each counts itself as one more push.
    let count = |escalation: &Escalation| {
        seen.lock().unwrap().push(escalation.lately[Channel::Push].sent);
        let lately =
            Lately { sent: escalation.lately[Channel::Push].sent + 1, ..escalation.lately[Channel::Push] };
        Decision { lately: Some((Channel::Push, lately)), ..Decision::new(1, at(60), Act::Rest(at(60))) }
    };
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &count)).collect();
    let stepped = store.steps(&asks, LEASE).await?;
    assert!(stepped.iter().all(|stepped| matches!(stepped, Some(Stepped::Rested))), "{stepped:?}");
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3], "no two of them are both the first");
    let again = store.claim_due(at(60), LEASE, 1).await?;
    store.step(&ask(&again[0], at(60), &count), LEASE).await?;
    assert_eq!(seen.lock().unwrap().last(), Some(&4), "and it is kept");
    Ok(())
}

async fn no_escalation_twice_and_no_more_than_fit(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..=STEPS_PER_COMMIT_MAX).map(|n| format!("user-{n}")).collect();
    let people: Vec<&str> = names.iter().map(String::as_str).collect();
    store.record(&[alert("a").to_users(&people).build()], at(0)).await?;
    let mut claims = store.claim_due(at(30), LEASE, 1_000).await?;
    claims.insert(1, claims[0].clone());
    let rest = |_: &Escalation| Decision::new(1, at(60), Act::Rest(at(60)));
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &rest)).collect();
    let stepped = store.steps(&asks, LEASE).await?;
    assert_eq!(stepped.len(), asks.len(), "an answer for each");
    let left: Vec<usize> = (0..asks.len()).filter(|at| stepped[*at].is_none()).collect();
    assert_eq!(left, [1, asks.len() - 1], "the second time, and the one too many");
    assert!(matches!(store.step(&asks[asks.len() - 1], LEASE).await?, Stepped::Rested), "alone, it goes");
    Ok(())
}

async fn whoever_lost_a_row_is_told_and_heard(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let claims = claims(store, &["ana", "ben"]).await?;
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &begin)).collect();
    let called = calls(&store.steps(&asks, LEASE).await?);
    let id = called[0].unwrap().1;
    let answers = [accepted(id)];
    let zombie = Ask { holder: Holder::Claim(99), answers: &answers, ..ask(&claims[0], at(31), &begin) };
    let stepped = store.steps(&[zombie, ask(&claims[1], at(31), &begin)], LEASE).await?;
    assert!(matches!(stepped[..], [Some(Stepped::Lost), Some(Stepped::Call { .. })]), "{stepped:?}");
    assert!(
        entries(store, "ana").await?.iter().any(|entry| entry.contains("accepted")),
        "its answer is kept"
    );
    Ok(())
}

/// On SQLite there is one writer, who is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_is_being_worked_on_is_waited_for() -> anyhow::Result<()> {
    let fixture = StoreFixture::postgres().await?;
    let claims = claims(&fixture.store, &["ana", "ben"]).await?;
    let (deciding, is_deciding) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let (other, claim) = (fixture.another_handle(), claims[0].clone());
    // Somebody holds ana's row in the middle of a step.
    let holder = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let decide = |escalation: &Escalation| {
            deciding.send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
            begin(escalation)
        };
        runtime.block_on(async { anyhow::Ok(other.step(&ask(&claim, at(30), &decide), LEASE).await?) })
    });
    tokio::task::spawn_blocking(move || is_deciding.recv()).await??;
    let asks: Vec<Ask<'_>> = claims.iter().map(|claim| ask(claim, at(30), &begin)).collect();
    let stepped = fixture.store.steps(&asks, LEASE).await?;
    assert!(matches!(stepped[..], [None, Some(Stepped::Call { .. })]), "{stepped:?}");
    go_on.send(())?;
    let held = tokio::task::spawn_blocking(move || holder.join()).await?;
    assert!(matches!(held.unwrap()?, Stepped::Call { .. }));
    Ok(())
}
