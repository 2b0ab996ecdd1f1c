//! A person asks for a test of a device: it is taken once, kept with the device, and goes with it (I6, I8).

use std::time::Duration;

use uuid::Uuid;
use watchbell::domain::{
    AttemptState, Timestamp,
    device_test::{DEVICE_TEST_EVERY, DeviceTest, TestAsked},
};
use watchbell::store::{SeenDevice, Store, TakenTest, TestResult};
use watchbell_tests::builders::{acme, alert, at, device};

use super::fixture::{LEASE, StoreFixture, ask, push};

on_both_engines!(
    a_test_is_taken_once_and_kept_with_its_device,
    a_test_is_repeated_when_whoever_took_it_is_gone,
    a_person_asks_for_tests_of_their_own_devices_once_in_a_while,
    the_last_push_to_each_device_is_told,
);

/// The only device of a person.
async fn seen(store: &Store, user: &str) -> anyhow::Result<SeenDevice> {
    let devices = store.devices_with_pushes(&acme(user)).await?;
    devices.into_iter().next().ok_or_else(|| anyhow::anyhow!("{user} has a device"))
}

async fn taken(store: &Store, now: Timestamp) -> anyhow::Result<Vec<TakenTest>> {
    Ok(store.take_device_tests(now, LEASE, 10).await?)
}

async fn a_test_is_taken_once_and_kept_with_its_device(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, phone) = (acme("ana"), device("phone").bound_to("a key").build());
    store.put_device(&ana, &phone, 20).await?;
    assert_eq!(seen(store, "ana").await?.test, None);
    assert!(taken(store, at(1)).await?.is_empty(), "nobody asked for one");

    assert_eq!(
        store.ask_for_device_test(&ana, &phone.id, Uuid::from_u128(1), at(100)).await?,
        TestAsked::Done
    );
    let pending =
        DeviceTest { asked_at: at(100), state: AttemptState::Pending, outcome: None, ended_at: None };
    assert_eq!(seen(store, "ana").await?.test, Some(pending.clone()));
    let tests = taken(store, at(101)).await?;
    let found: Vec<_> =
        tests.iter().map(|test| (&test.user, &test.device.id, test.attempt, test.tries)).collect();
    assert_eq!(found, [(&ana, &phone.id, Uuid::from_u128(1), 1)]);
    assert_eq!(tests[0].device, phone, "with all that a sender needs");
    assert!(taken(store, at(102)).await?.is_empty(), "somebody has it");

    let retrying =
        TestResult { state: AttemptState::Retrying, outcome: "unavailable", next_try_at: Some(at(110)) };
    store.keep_test_result(&tests[0], &retrying, at(103)).await?;
    assert!(taken(store, at(109)).await?.is_empty(), "it waits");
    let again = taken(store, at(110)).await?;
    assert_eq!(
        (again.len(), again[0].attempt, again[0].tries),
        (1, Uuid::from_u128(1), 2),
        "the same attempt"
    );
    let over = TestResult { state: AttemptState::Accepted, outcome: "accepted", next_try_at: None };
    store.keep_test_result(&again[0], &over, at(111)).await?;
    let ended = DeviceTest {
        state: AttemptState::Accepted,
        outcome: Some("accepted".to_owned()),
        ended_at: Some(at(111)),
        ..pending
    };
    assert_eq!(seen(store, "ana").await?.test, Some(ended.clone()));
    assert!(taken(store, at(9_999)).await?.is_empty(), "it is over");
    store.put_device(&ana, &phone, 20).await?;
    assert_eq!(seen(store, "ana").await?.test, Some(ended), "registering again changes nothing of it");

    // What an earlier test came to says nothing of the one that replaced it.
    store.ask_for_device_test(&ana, &phone.id, Uuid::from_u128(2), at(200)).await?;
    store.keep_test_result(&again[0], &over, at(201)).await?;
    assert_eq!(seen(store, "ana").await?.test.map(|test| test.state), Some(AttemptState::Pending));
    store.delete_device(&ana, &phone.id, at(201)).await?;
    assert!(taken(store, at(300)).await?.is_empty(), "it goes with its device");
    Ok(())
}

async fn a_test_is_repeated_when_whoever_took_it_is_gone(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, phone) = (acme("ana"), device("phone").build());
    store.put_device(&ana, &phone, 20).await?;
    store.ask_for_device_test(&ana, &phone.id, Uuid::from_u128(1), at(100)).await?;
    let first = taken(store, at(101)).await?;
    let after_lease = at(101) + LEASE;
    let second = taken(store, after_lease).await?;
    assert_eq!((first[0].attempt, first[0].tries), (second[0].attempt, second[0].tries - 1));
    Ok(())
}

async fn a_person_asks_for_tests_of_their_own_devices_once_in_a_while(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (phone, tablet) = (device("phone").token("t1").build(), device("tablet").token("t2").build());
    store.put_device(&acme("ana"), &phone, 20).await?;
    store.put_device(&acme("ana"), &tablet, 20).await?;
    let mut number = 0;
    let mut wish = async |user: &str, device, now| {
        number += 1;
        store.ask_for_device_test(&acme(user), device, Uuid::from_u128(number), now).await
    };
    assert_eq!(wish("ben", &phone.id, at(100)).await?, TestAsked::NoDevice, "it is not his");
    assert_eq!(wish("ana", &phone.id, at(100)).await?, TestAsked::Done);
    let wait = Duration::from_secs(4);
    assert_eq!(wish("ana", &tablet.id, at(106)).await?, TestAsked::TooSoon { wait }, "of whichever device");
    assert_eq!(wish("ana", &tablet.id, at(100) + DEVICE_TEST_EVERY).await?, TestAsked::Done);
    assert_eq!(taken(store, at(120)).await?.len(), 2);
    Ok(())
}

async fn the_last_push_to_each_device_is_told(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store.put_device(&ana, &device("phone").build(), 20).await?;
    for (number, id) in [(1, "a"), (2, "b")] {
        store.record(&[alert(id).to_users(["ana"]).first_due_at(at(30)).build()], at(0)).await?;
        let claim = store.claim_due(at(30), LEASE, 1).await?.remove(0);
        store.step(&ask(&claim, at(30 + number), &|_| push(number as u128, 30)), LEASE).await?;
    }
    let last = seen(store, "ana").await?.last_push;
    assert_eq!(last, Some((at(32), AttemptState::Pending)), "the newer one");
    Ok(())
}
