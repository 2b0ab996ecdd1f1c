//! A Live Activity is taken once, woken by what changes, and goes on proof or with its end (I5, I7, I8).

use watchbell::domain::{
    DeviceId, ReceiptState, Secret, Severity, StopReason, Timestamp, live_activity::ACTIVITIES_PER_USER_MAX,
};
use watchbell::store::{
    ActivityRegistered, EscalationKey, KeptActivity, OldAlerts, Store, TakenActivity, WantedActivity,
};
use watchbell_tests::builders::{acme, alert, alert_id, at, device, receipt, tenant};

use super::fixture::{LEASE, StoreFixture};

on_both_engines!(
    an_activity_is_taken_once_with_what_its_alert_says_now,
    what_happens_while_it_is_taken_is_looked_at_after_it,
    a_token_is_dropped_only_if_it_is_the_refused_one_and_older_than_the_proof,
    a_person_registers_activities_of_their_own_and_not_without_end,
    an_activity_outlives_what_it_is_about_until_it_is_ended,
);

fn key(user: &str, id: &str) -> EscalationKey {
    EscalationKey { user: acme(user), alert: alert_id(id) }
}

async fn taken(store: &Store, now: Timestamp) -> anyhow::Result<Vec<TakenActivity>> {
    Ok(store.take_activities(now, LEASE, 10).await?)
}

fn named(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

fn rests(due_at: i64) -> KeptActivity {
    KeptActivity::Goes { told: Some((1, Severity::Warning)), due_at: at(due_at), is_to_repeat: false }
}

/// Ana has an alert `a`, which is wanted on her phone since then.
async fn wanted(store: &Store, now: i64) -> anyhow::Result<()> {
    let phone = device("phone").start_token("start").bound_to("com.example").sandbox().build();
    store.put_device(&acme("ana"), &phone, 20).await?;
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    store
        .want_activity(WantedActivity { key: &key("ana", "a"), device: &phone, listens_in: None }, at(now))
        .await?;
    Ok(())
}

async fn an_activity_is_taken_once_with_what_its_alert_says_now(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    wanted(store, 10).await?;
    assert!(taken(store, at(9)).await?.is_empty(), "it is not due");
    let first = taken(store, at(10)).await?;
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0].key, first[0].bound_to.as_deref()), (&key("ana", "a"), Some("com.example")));
    assert!(first[0].activity.can_start && !first[0].activity.is_started);
    assert_eq!(first[0].alert.map(|alert| (alert.version, alert.over)), Some((1, None)));
    assert!(taken(store, at(11)).await?.is_empty(), "somebody has it");
    let again = taken(store, at(10) + LEASE).await?;
    assert_eq!((again[0].tries, again[0].activity), (2, first[0].activity), "they are gone");
    store.keep_activity(&again[0], &rests(1_000), Some("started"), at(100)).await?;
    assert!(taken(store, at(999)).await?.is_empty(), "it waits");
    store.record(&[alert("a").to_users(["ana"]).version(2).build()], at(200)).await?;
    let woken = taken(store, at(200)).await?;
    assert_eq!(woken[0].activity.told, Some((1, Severity::Warning)));
    assert_eq!(woken[0].alert.map(|alert| alert.version), Some(2), "a later version wakes it");
    store.keep_activity(&woken[0], &rests(1_000), None, at(201)).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Seen)], at(300)).await?;
    let woken = taken(store, at(300)).await?;
    assert_eq!(woken[0].alert.and_then(|alert| alert.over), Some(StopReason::Seen), "so does a look");
    store.keep_activity(&woken[0], &KeptActivity::Ended, Some("ended"), at(301)).await?;
    assert!(taken(store, at(9_999)).await?.is_empty(), "it is over");
    Ok(())
}

async fn what_happens_while_it_is_taken_is_looked_at_after_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    wanted(store, 10).await?;
    let mut now = 10;
    for kept in [rests(5_000), KeptActivity::Over] {
        let held = taken(store, at(now)).await?;
        store.put_activity(&key("ana", "a"), &named("phone"), &Secret::from("own"), at(now)).await?;
        assert!(taken(store, at(now)).await?.is_empty(), "nobody else takes it meanwhile");
        store.keep_activity(&held[0], &kept, None, at(now + 1)).await?;
        now += 1;
    }
    let held = taken(store, at(now)).await?;
    assert!(held[0].activity.has_token, "what was said meanwhile is there");
    store.keep_activity(&held[0], &KeptActivity::Over, None, at(now)).await?;
    assert!(taken(store, at(9_999)).await?.is_empty(), "nothing happened this time");
    Ok(())
}

async fn a_token_is_dropped_only_if_it_is_the_refused_one_and_older_than_the_proof(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let put = async |token: &str, now| {
        store.put_activity(&key("ana", "a"), &named("phone"), &Secret::from(token), at(now)).await
    };
    let gone = |since: Option<i64>| KeptActivity::TokenGone { unless_registered_after: since.map(at) };
    wanted(store, 10).await?;
    put("first", 20).await?;
    let held = taken(store, at(20)).await?;
    store.keep_activity(&held[0], &gone(Some(19)), None, at(21)).await?;
    let held = taken(store, at(21)).await?;
    assert!(held[0].activity.has_token, "registered after Apple's proof");
    put("second", 22).await?;
    store.keep_activity(&held[0], &gone(None), None, at(23)).await?;
    let held = taken(store, at(23)).await?;
    assert_eq!(held[0].token, Some(Secret::from("second")), "another one was refused");
    store.keep_activity(&held[0], &gone(None), None, at(24)).await?;
    assert!(taken(store, at(9_999)).await?.is_empty());

    wanted(store, 30).await?;
    let held = taken(store, at(30)).await?;
    store.keep_activity(&held[0], &gone(None), None, at(31)).await?;
    let devices = store.devices(&acme("ana")).await?;
    assert_eq!(
        (devices.len(), &devices[0].start_token),
        (1, &None),
        "what starts activities, not the device"
    );
    Ok(())
}

async fn a_person_registers_activities_of_their_own_and_not_without_end(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    wanted(store, 10).await?;
    let names: Vec<String> = (0..ACTIVITIES_PER_USER_MAX).map(|n| format!("n{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| alert(name).to_users(["ana"]).build()).collect();
    store.record(&many, at(0)).await?;
    let put = async |user: &str, id: &str, phone: &str| {
        let token = Secret::from(format!("of-{id}"));
        store.put_activity(&key(user, id), &named(phone), &token, at(20)).await
    };
    assert_eq!(put("ben", "a", "phone").await?, ActivityRegistered::NoDevice, "it is hers");
    assert_eq!(put("ana", "a", "tablet").await?, ActivityRegistered::NoDevice);
    assert_eq!(put("ana", "none", "phone").await?, ActivityRegistered::NoAlert);
    for name in &names[1..] {
        assert_eq!(put("ana", name, "phone").await?, ActivityRegistered::Done);
    }
    assert_eq!(put("ana", &names[0], "phone").await?, ActivityRegistered::TooMany);
    assert_eq!(put("ana", "a", "phone").await?, ActivityRegistered::Done, "one that is there already");
    assert!(!store.delete_activity(&key("ben", "a"), &named("phone")).await?);
    assert!(store.delete_activity(&key("ana", "a"), &named("phone")).await?);
    assert_eq!(put("ana", &names[0], "phone").await?, ActivityRegistered::Done);
    // The same activity for another alert: it is that one's from now on, so there is room for it.
    let token = Secret::from(format!("of-{}", names[1]));
    let moved = store.put_activity(&key("ana", "a"), &named("phone"), &token, at(21)).await?;
    assert_eq!(moved, ActivityRegistered::Done);
    assert!(!store.delete_activity(&key("ana", &names[1]), &named("phone")).await?, "one token, one alert");
    assert!(store.delete_activity(&key("ana", "a"), &named("phone")).await?);
    Ok(())
}

async fn an_activity_outlives_what_it_is_about_until_it_is_ended(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    wanted(store, 10).await?;
    store.put_activity(&key("ana", "a"), &named("phone"), &Secret::from("own"), at(10)).await?;
    let held = taken(store, at(10)).await?;
    store.keep_activity(&held[0], &rests(5_000), None, at(11)).await?;
    assert!(store.delete_device(&acme("ana"), &named("phone"), at(20)).await?);
    let held = taken(store, at(20)).await?;
    assert!(!held[0].activity.has_device && held[0].activity.has_token, "it can still be ended");
    assert_eq!(held[0].bound_to.as_deref(), Some("com.example"), "for the app that shows it");
    store.keep_activity(&held[0], &rests(5_000), None, at(21)).await?;
    // Seen first: what still goes on is not deleted, however old it is.
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Read)], at(30)).await?;
    let held = taken(store, at(30)).await?;
    store.keep_activity(&held[0], &rests(500_000), None, at(31)).await?;
    let mut place = OldAlerts::of(tenant("acme"), at(100_000));
    while store.delete_old_alerts(&mut place, at(200_000)).await?.is_some() {}
    let held = taken(store, at(200_000)).await?;
    assert_eq!((held.len(), held[0].alert), (1, None), "its alert is gone");
    Ok(())
}
