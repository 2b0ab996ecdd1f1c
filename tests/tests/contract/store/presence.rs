//! Presence shortens first waits and does nothing else; preferences move what waits for a silence.

use std::time::Duration;

use watchbell::domain::{Timestamp, restraint::Held};
use watchbell::store::{Act, Decision, Escalation, Hold, NewAlert, PodLoad, Store};
use watchbell_tests::builders::{acme, alert, alert_id, at, later_version, tenant, user};

use super::fixture::{LEASE, StoreFixture, ask};
use super::timers::look;

on_both_engines!(
    nobody_there_means_no_wait,
    a_session_anywhere_on_a_living_pod_is_a_screen,
    the_last_session_to_close_ends_the_first_wait,
    a_dead_pod_lets_its_users_leave,
    a_pod_thought_dead_is_told_so,
    pods_know_what_the_others_hold,
    only_the_first_wait_is_shortened,
    preferences_are_kept_and_change_under_their_lock,
    a_silence_that_moves_is_looked_at_again,
);

const POD_LEASE: Duration = Duration::from_secs(15);

/// Due at 30 s with a screen to wait for, at once without.
fn waiting(id: &str, to: &[&str]) -> NewAlert {
    alert(id).to_users(to).absent_due_at(at(0)).build()
}

async fn due(store: &Store, alert: &str, who: &str) -> anyhow::Result<Option<Timestamp>> {
    Ok(store.timeline(&tenant("acme"), &alert_id(alert), Some(&user(who)), 1).await?.remove(0).due_at)
}

async fn nobody_there_means_no_wait(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.renew_pod("one", at(0), POD_LEASE).await?;
    store.arrive("one", &[acme("ana")], at(0)).await?;
    store.record(&[waiting("a", &["ana", "ben"])], at(0)).await?;
    assert_eq!(due(store, "a", "ana").await?, Some(at(30)));
    assert_eq!(due(store, "a", "ben").await?, Some(at(0)));
    let told = store.timeline(&tenant("acme"), &alert_id("a"), Some(&user("ben")), 1).await?.remove(0);
    let why = "no session anywhere: the first wait is skipped";
    assert!(told.entries.iter().any(|entry| entry.what == why), "{:?}", told.entries);
    Ok(())
}

async fn a_session_anywhere_on_a_living_pod_is_a_screen(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (pod, who) in [("one", "ana"), ("two", "ana"), ("two", "ben")] {
        store.renew_pod(pod, at(0), POD_LEASE).await?;
        store.arrive(pod, &[acme(who)], at(0)).await?;
        store.arrive(pod, &[acme(who)], at(0)).await?;
    }
    store.leave("one", &[acme("ana")], at(1)).await?;
    store.record(&[waiting("a", &["ana", "ben"])], at(2)).await?;
    assert_eq!(due(store, "a", "ana").await?, Some(at(30)), "the other pod has her");
    // Nobody renews: the pods are dead, and their rows mean nothing.
    store.record(&[waiting("b", &["ana", "ben"])], at(16)).await?;
    assert_eq!(due(store, "b", "ben").await?, Some(at(0)));
    Ok(())
}

async fn the_last_session_to_close_ends_the_first_wait(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for pod in ["one", "two"] {
        store.renew_pod(pod, at(0), POD_LEASE).await?;
        store.arrive(pod, &[acme("ana")], at(0)).await?;
    }
    store.record(&[waiting("a", &["ana"])], at(1)).await?;
    store.leave("one", &[acme("ana")], at(5)).await?;
    assert_eq!(due(store, "a", "ana").await?, Some(at(30)), "there is another");
    store.leave("two", &[acme("ana"), acme("nobody")], at(6)).await?;
    assert_eq!(due(store, "a", "ana").await?, Some(at(6)));
    let escalation = look(store, &store.claim_due(at(6), LEASE, 1).await?[0], at(6)).await?;
    assert_eq!(escalation.progress.step_due_at, at(6));
    Ok(())
}

async fn a_dead_pod_lets_its_users_leave(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.renew_pod("dead", at(0), POD_LEASE).await?;
    store.renew_pod("alive", at(10), POD_LEASE).await?;
    store.arrive("dead", &[acme("ana"), acme("ben")], at(0)).await?;
    store.arrive("alive", &[acme("ben")], at(0)).await?;
    store.record(&[waiting("a", &["ana", "ben"])], at(1)).await?;
    assert_eq!(store.sweep_pods(at(14)).await?, 0, "its lease holds");
    assert_eq!(store.sweep_pods(at(15)).await?, 2);
    assert_eq!(store.sweep_pods(at(15)).await?, 0);
    assert_eq!(due(store, "a", "ana").await?, Some(at(15)));
    assert_eq!(due(store, "a", "ben").await?, Some(at(30)), "he moved");
    Ok(())
}

async fn a_pod_thought_dead_is_told_so(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    assert!(!store.renew_pod("one", at(0), POD_LEASE).await?, "nobody knew it");
    assert!(store.renew_pod("one", at(14), POD_LEASE).await?);
    assert!(!store.renew_pod("one", at(29), POD_LEASE).await?, "too late");
    assert!(store.renew_pod("one", at(30), POD_LEASE).await?);
    Ok(())
}

async fn pods_know_what_the_others_hold(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let load = |sessions, leaving| PodLoad {
        sessions,
        sessions_max: 50_000,
        started_at: at(-60),
        told_at: at(0),
        leaving,
    };
    for pod in ["one", "two", "three", "early"] {
        store.renew_pod(pod, at(0), POD_LEASE).await?;
    }
    store.tell_load("one", &load(9, false)).await?;
    store.tell_load("two", &load(5, false)).await?;
    store.tell_load("three", &load(7, true)).await?;
    // What it says last holds, and renewing the lease changes nothing about it.
    store.tell_load("two", &load(6, false)).await?;
    store.renew_pod("two", at(1), POD_LEASE).await?;
    let mut others = store.other_pods("one", at(2)).await?;
    others.sort_by_key(|pod| pod.map(|pod| pod.sessions));
    assert_eq!(
        others,
        [None, Some(load(6, false)), Some(load(7, true))],
        "one of an earlier version does not say"
    );
    assert_eq!(store.other_pods("one", at(15)).await?, [Some(load(6, false))], "the others are dead");
    Ok(())
}

async fn only_the_first_wait_is_shortened(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.renew_pod("one", at(0), POD_LEASE).await?;
    store.arrive("one", &[acme("ana")], at(0)).await?;
    let over = waiting("over", &["ana"]);
    store.record(&[waiting("later", &["ana"]), over.clone()], at(0)).await?;
    store.record(&[later_version(&over).resolved().build()], at(1)).await?;
    let claim = store.claim_due(at(30), LEASE, 10).await?.remove(0);
    let second = Decision::new(1, at(300), Act::Rest(at(300)));
    store.step(&ask(&claim, at(30), &|_: &Escalation| second.clone()), LEASE).await?;
    store.leave("one", &[acme("ana")], at(31)).await?;
    assert_eq!(due(store, "later", "ana").await?, Some(at(300)), "the email waits its turn");
    assert_eq!(due(store, "over", "ana").await?, None, "what is over stays over");
    Ok(())
}

async fn preferences_are_kept_and_change_under_their_lock(fixture: &StoreFixture) -> anyhow::Result<()> {
    assert_eq!(fixture.store.preferences(&acme("ana")).await?, None);
    let mut changing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = fixture.another_handle();
        changing.spawn(async move {
            let add = |before: Option<&str>| format!("{}x", before.unwrap_or_default());
            store.change_preferences(&acme("ana"), at(0), &add).await
        });
    }
    while let Some(changed) = changing.join_next().await {
        changed??;
    }
    assert_eq!(fixture.store.preferences(&acme("ana")).await?.as_deref(), Some("xxxxxxxx"), "none is lost");
    assert_eq!(fixture.store.preferences(&acme("ben")).await?, None);
    Ok(())
}

async fn a_silence_that_moves_is_looked_at_again(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&["quiet", "rate", "digest"].map(|id| alert(id).to_users(["ana"]).build()), at(0)).await?;
    for claim in store.claim_due(at(30), LEASE, 10).await? {
        let held = claim.key.alert.as_str().parse()?;
        let hold = Hold { held, until: at(3000), following: None, mandatory: false };
        let decision = Decision::new(0, at(30), Act::Hold(hold));
        store.step(&ask(&claim, at(30), &|_: &Escalation| decision.clone()), LEASE).await?;
    }
    store.change_preferences(&acme("ana"), at(40), &|_| "{}".to_owned()).await?;
    assert_eq!(due(store, "quiet", "ana").await?, Some(at(40)));
    assert_eq!(due(store, "digest", "ana").await?, Some(at(40)), "they may want it otherwise");
    assert_eq!(due(store, "rate", "ana").await?, Some(at(3000)), "it waits for something else");
    for claim in store.claim_due(at(40), LEASE, 10).await? {
        let escalation = look(store, &claim, at(40)).await?;
        let held: Held = claim.key.alert.as_str().parse()?;
        assert_eq!((escalation.held, escalation.preferences.as_deref()), (Some(held), Some("{}")));
    }
    Ok(())
}
