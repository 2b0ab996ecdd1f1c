//! A broadcast channel is made once for an alert, an app and an environment, and wakes in place of those who listen to it (I6, I15).

use watchbell::domain::{
    Audience, Device, DeviceId, ReceiptState, Secret, Severity, StopReason, live_activity::Hears,
};
use watchbell::store::{
    EscalationKey, KeptActivity, KeptChannel, NewAlert, OldAlerts, Store, TakenActivity, TakenChannel,
    WantedActivity,
};
use watchbell_tests::builders::{acme, alert, alert_id, at, device, later_version, receipt, tenant};

use super::fixture::{LEASE, StoreFixture};

on_both_engines!(
    a_channel_is_for_an_alert_for_everyone_and_made_once,
    a_later_version_wakes_the_channel_and_nobody_who_listens,
    who_began_to_listen_with_something_older_has_it_told_once_more,
    an_end_makes_room_for_another_channel,
    what_one_does_for_all_and_what_is_deleted_wakes_the_channel,
    an_activity_that_does_without_is_told_by_itself,
);

const APP: &str = "com.example";

fn key(user: &str) -> EscalationKey {
    EscalationKey { user: acme(user), alert: alert_id("a") }
}

fn everyone() -> Audience {
    Audience { everyone: true, ..Audience::default() }
}

fn phone(user: &str) -> Device {
    device("phone").token(format!("token-of-{user}")).start_token(user).bound_to(APP).build()
}

/// An alert `a` for everyone, which ana and ben have.
async fn published(store: &Store) -> anyhow::Result<NewAlert> {
    for user in ["ana", "ben"] {
        store.put_device(&acme(user), &phone(user), 20).await?;
    }
    let new = alert("a").audience(everyone()).to_users(["ana", "ben"]).build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    Ok(new)
}

async fn want(store: &Store, user: &str, now: i64) -> anyhow::Result<()> {
    let (key, device) = (key(user), phone(user));
    let wanted = WantedActivity { key: &key, device: &device, listens_in: Some(APP) };
    Ok(store.want_activity(wanted, at(now)).await?)
}

async fn channels(store: &Store, now: i64) -> anyhow::Result<Vec<TakenChannel>> {
    Ok(store.take_channels(at(now), LEASE, 10).await?)
}

async fn activities(store: &Store, now: i64) -> anyhow::Result<Vec<TakenActivity>> {
    let mut taken = store.take_activities(at(now), LEASE, 10).await?;
    taken.sort_by(|a, b| a.key.user.cmp(&b.key.user));
    Ok(taken)
}

const WARNING: Severity = Severity::Warning;

fn made(channel: &str, version: u32) -> KeptChannel {
    KeptChannel::Made { channel: channel.to_owned(), told: Some((version, WARNING)) }
}

fn told(version: u32, due_at: i64) -> KeptChannel {
    KeptChannel::Goes { told: Some((version, WARNING)), due_at: at(due_at), is_to_repeat: false }
}

fn listens(channel: &str, version: u32, due_at: i64) -> KeptActivity {
    KeptActivity::Listens { channel: channel.to_owned(), told: (version, WARNING), due_at: at(due_at) }
}

/// The channel `first` is made, ana and ben listen to it, and everything rests.
async fn listening(store: &Store) -> anyhow::Result<NewAlert> {
    let new = published(store).await?;
    for user in ["ana", "ben"] {
        want(store, user, 10).await?;
    }
    let wanted = channels(store, 10).await?;
    assert!(store.keep_channel(&wanted[0], &made("first", 1), at(11)).await?);
    for taken in activities(store, 11).await? {
        store.keep_activity(&taken, &listens("first", 1, 50_000), Some("started"), at(12)).await?;
    }
    let rests = channels(store, 12).await?;
    store.keep_channel(&rests[0], &told(1, 60_000), at(12)).await?;
    Ok(new)
}

async fn a_channel_is_for_an_alert_for_everyone_and_made_once(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    published(store).await?;
    want(store, "ana", 10).await?;
    want(store, "ben", 10).await?;
    assert!(channels(store, 9).await?.is_empty(), "it is not due");
    let first = channels(store, 10).await?;
    assert_eq!(first.len(), 1, "one for both of them");
    assert_eq!((first[0].app.as_str(), first[0].alert.as_str(), &first[0].channel), (APP, "a", &None));
    assert_eq!(first[0].now.map(|now| (now.version, now.over)), Some((1, None)));
    assert!(channels(store, 11).await?.is_empty(), "somebody has it");
    let waits = activities(store, 10).await?;
    assert_eq!(waits.len(), 2);
    assert_eq!(waits[0].activity.hears, Hears::ByComingChannel);
    // Whoever had it is gone, and comes back after another has made it.
    let late = 10 + LEASE.as_secs() as i64;
    let again = channels(store, late).await?;
    assert_eq!((again[0].tries, again[0].begun_at), (2, first[0].begun_at));
    assert!(store.keep_channel(&again[0], &made("first", 1), at(late)).await?);
    assert!(!store.keep_channel(&first[0], &made("second", 1), at(late)).await?, "one is enough");
    let ready = activities(store, late).await?;
    assert_eq!(ready[0].activity.hears, Hears::ByChannel);
    assert_eq!(ready[0].listens.as_ref().and_then(|it| it.channel.as_deref()), Some("first"));

    let few = alert("few").to_users(["ana"]).build();
    store.record(&[few], at(20)).await?;
    let key = EscalationKey { user: acme("ana"), alert: alert_id("few") };
    let wanted = WantedActivity { key: &key, device: &phone("ana"), listens_in: Some(APP) };
    store.want_activity(wanted, at(30)).await?;
    let taken = store.take_activities(at(30), LEASE, 10).await?;
    let taken = taken.iter().find(|taken| taken.key == key);
    assert_eq!(taken.map(|taken| taken.activity.hears), Some(Hears::ByToken), "it is for few");
    Ok(())
}

async fn a_later_version_wakes_the_channel_and_nobody_who_listens(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = listening(store).await?;
    assert!(channels(store, 100).await?.is_empty(), "it rests");
    store.record(&[later_version(&new).build()], at(200)).await?;
    assert!(activities(store, 200).await?.is_empty(), "those who listen are not woken");
    let woken = channels(store, 200).await?;
    assert_eq!(woken.len(), 1);
    assert_eq!((woken[0].state.told, woken[0].now.map(|now| now.version)), (Some((1, WARNING)), Some(2)));
    store.record(&[later_version(&later_version(&new).build()).build()], at(201)).await?;
    assert!(channels(store, 201).await?.is_empty(), "nobody else takes it meanwhile");
    store.keep_channel(&woken[0], &told(2, 60_000), at(202)).await?;
    let again = channels(store, 202).await?;
    assert_eq!(again[0].now.map(|now| now.version), Some(3), "what came meanwhile is told after it");
    store.keep_channel(&again[0], &told(3, 60_000), at(203)).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Seen)], at(300)).await?;
    assert!(channels(store, 300).await?.is_empty(), "she looked for herself alone");
    assert!(activities(store, 300).await?.is_empty(), "and no push could end what listens");
    Ok(())
}

async fn who_began_to_listen_with_something_older_has_it_told_once_more(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = published(store).await?;
    want(store, "ana", 10).await?;
    let wanted = channels(store, 10).await?;
    store.keep_channel(&wanted[0], &made("first", 1), at(11)).await?;
    let rests = channels(store, 11).await?;
    store.keep_channel(&rests[0], &told(1, 60_000), at(11)).await?;
    let slow = activities(store, 11).await?;
    store.record(&[later_version(&new).build()], at(20)).await?;
    let woken = channels(store, 20).await?;
    // Before it is told, while it is told, and after that.
    store.keep_activity(&slow[0], &listens("first", 1, 50_000), None, at(21)).await?;
    store.keep_channel(&woken[0], &told(2, 60_000), at(22)).await?;
    let missed = channels(store, 22).await?;
    assert!(missed[0].state.has_missed, "it may have begun after that was told");
    store.keep_channel(&missed[0], &told(2, 60_000), at(23)).await?;
    assert!(channels(store, 24).await?.is_empty(), "once is enough");

    want(store, "ben", 30).await?;
    let slow = activities(store, 30).await?;
    store.keep_activity(&slow[0], &listens("first", 2, 50_000), None, at(31)).await?;
    assert!(channels(store, 31).await?.is_empty(), "he knows it");
    Ok(())
}

async fn an_end_makes_room_for_another_channel(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = listening(store).await?;
    let resolved = later_version(&new).resolved().build();
    store.record(std::slice::from_ref(&resolved), at(200)).await?;
    let over = channels(store, 200).await?;
    assert_eq!(over[0].now.and_then(|now| now.over), Some(StopReason::Resolved));
    store.keep_channel(&over[0], &KeptChannel::Ended, at(201)).await?;
    let ended = channels(store, 201).await?;
    assert_eq!((ended[0].state.ended_at, ended[0].channel.as_deref()), (Some(at(201)), Some("first")));
    store
        .keep_channel(
            &ended[0],
            &KeptChannel::Goes { told: None, due_at: at(9_000), is_to_repeat: false },
            at(201),
        )
        .await?;

    store.record(&[later_version(&resolved).firing().build()], at(300)).await?;
    assert!(channels(store, 300).await?.is_empty(), "what has ended is not woken");
    want(store, "ana", 310).await?;
    let other = channels(store, 310).await?;
    assert_eq!((other.len(), &other[0].channel, other[0].begun_at), (1, &None, at(310)), "another one");
    store.keep_channel(&other[0], &made("second", 3), at(311)).await?;
    let anew = activities(store, 311).await?;
    assert_eq!(anew.len(), 1);
    assert!(!anew[0].activity.is_started, "what listened to the first is not shown any more");
    store.keep_activity(&anew[0], &listens("second", 3, 50_000), None, at(312)).await?;
    want(store, "ana", 320).await?;
    assert!(activities(store, 320).await?.is_empty(), "what listens is not started twice");

    let old = channels(store, 9_000).await?;
    let old = old.iter().find(|it| it.channel.as_deref() == Some("first")).unwrap();
    store.keep_channel(old, &KeptChannel::Gone, at(9_001)).await?;
    let left = channels(store, 100_000).await?;
    assert_eq!(left.iter().map(|it| it.channel.as_deref()).collect::<Vec<_>>(), [Some("second")]);
    Ok(())
}

async fn what_one_does_for_all_and_what_is_deleted_wakes_the_channel(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = published(store).await?;
    store.record(&[later_version(&new).first_acknowledges().build()], at(1)).await?;
    want(store, "ana", 10).await?;
    let wanted = channels(store, 10).await?;
    store.keep_channel(&wanted[0], &made("first", 2), at(11)).await?;
    let rests = channels(store, 11).await?;
    store.keep_channel(&rests[0], &told(2, 600_000), at(11)).await?;
    store.apply_receipts(&[receipt(&acme("ben"), ["a"], ReceiptState::Acknowledged)], at(20)).await?;
    let taken = channels(store, 20).await?;
    assert_eq!(taken[0].now.and_then(|now| now.over), Some(StopReason::Acknowledged), "it is his now");
    store.keep_channel(&taken[0], &told(2, 600_000), at(21)).await?;

    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Read)], at(30)).await?;
    let mut place = OldAlerts::of(tenant("acme"), at(100_000));
    while store.delete_old_alerts(&mut place, at(200_000)).await?.is_some() {}
    let gone = channels(store, 200_000).await?;
    assert_eq!((gone.len(), gone[0].now), (1, None), "its alert is gone");
    Ok(())
}

async fn an_activity_that_does_without_is_told_by_itself(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = published(store).await?;
    want(store, "ana", 10).await?;
    let wanted = channels(store, 10).await?;
    store.keep_channel(&wanted[0], &KeptChannel::NotMade { due_at: at(600) }, at(11)).await?;
    let alone = activities(store, 11).await?;
    assert_eq!(alone[0].activity.hears, Hears::ByToken);
    let goes = KeptActivity::Goes { told: Some((1, WARNING)), due_at: at(50_000), is_to_repeat: false };
    store.keep_activity(&alone[0], &goes, None, at(12)).await?;
    let again = channels(store, 600).await?;
    store.keep_channel(&again[0], &made("first", 1), at(601)).await?;
    store.record(&[later_version(&new).build()], at(700)).await?;
    let woken = activities(store, 700).await?;
    assert_eq!((woken.len(), &woken[0].listens), (1, &None), "it began without, and goes on so");

    // An app that registers a token for what listened is told by that.
    store.keep_activity(&woken[0], &KeptActivity::Ended, None, at(701)).await?;
    want(store, "ana", 710).await?;
    let listener = activities(store, 710).await?;
    store.keep_activity(&listener[0], &listens("first", 2, 50_000), None, at(711)).await?;
    store.put_activity(&key("ana"), &DeviceId::parse("phone")?, &Secret::from("own"), at(720)).await?;
    let own = activities(store, 720).await?;
    assert!(own[0].activity.has_token && own[0].listens.is_none());
    Ok(())
}
