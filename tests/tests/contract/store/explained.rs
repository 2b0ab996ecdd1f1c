//! What one person got and did not get can be told without the id of an alert.

use std::time::Duration;

use watchbell::domain::{
    Audience, Channel, GroupId, InboxState, ReceiptState, Secret, UserKey,
    left_out::NotedAudience,
    obstacles::{AddressState, Reachability},
};
use watchbell::store::{AlertForMany, AlertPlace, Contact, NewAlert, PersonAlert, Rest, Store};
use watchbell_tests::builders::{
    acme, alert, alert_id, at, changed, device, later_version, receipt, snooze, tenant, user, users,
};

use super::fixture::StoreFixture;

on_both_engines!(
    a_persons_alerts_come_by_when_they_last_came_firing,
    pages_of_a_persons_alerts_lose_nothing_and_repeat_nothing,
    a_row_of_an_earlier_program_stands_where_it_was_recorded,
    what_a_line_is_made_of_is_what_the_timeline_says,
    alerts_for_many_are_known_with_who_has_them,
    whether_somebody_can_be_told_is_read_as_it_stands,
);

fn to_groups<const N: usize>(names: [&str; N]) -> Audience {
    Audience { groups: names.map(|name| GroupId::parse(name).unwrap()).into(), ..Audience::default() }
}

async fn all(store: &Store, user: &UserKey, since: i64) -> anyhow::Result<Vec<PersonAlert>> {
    Ok(store.alerts_of_person(user, &AlertPlace::first(), at(since), 100).await?)
}

/// The alerts of ana since then, each with when it came.
async fn listed(store: &Store, since: i64) -> anyhow::Result<Vec<String>> {
    let came = |one: &PersonAlert| one.came_at.as_second() - at(0).as_second();
    let found = all(store, &acme("ana"), since).await?;
    Ok(found.iter().map(|one| format!("{} {}", came(one), one.alert)).collect())
}

async fn a_persons_alerts_come_by_when_they_last_came_firing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = ["a", "b", "c"].map(|id| alert(id).to_users(["ana", "ben"]).build());
    for (number, one) in (0..).zip(&new) {
        store.record(std::slice::from_ref(one), at(10 * number)).await?;
    }
    assert_eq!(listed(store, 0).await?, ["20 c", "10 b", "0 a"]);
    assert_eq!(listed(store, 10).await?, ["20 c", "10 b"], "none that came before");

    store.record(&[later_version(&new[0]).firing().build()], at(30)).await?;
    assert_eq!(listed(store, 10).await?, ["30 a", "20 c", "10 b"], "it fires again, so it came again");
    store.record(&[later_version(&new[1]).resolved().build()], at(40)).await?;
    assert_eq!(listed(store, 0).await?, ["30 a", "20 c", "10 b"], "what is over does not come anew");

    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Read)], at(50)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["c"], at(600))], at(50)).await?;
    assert_eq!(
        listed(store, 0).await?,
        ["30 a", "20 c", "10 b"],
        "nor does what the person did something with"
    );
    let states: Vec<(u32, InboxState)> =
        all(store, &acme("ana"), 0).await?.iter().map(|one| (one.version, one.state)).collect();
    let expected = [(2, InboxState::Read), (1, InboxState::Snoozed), (2, InboxState::New)];
    assert_eq!(states, expected);
    store.wake(&[NewAlert { recipients: users(["ana"]), ..new[2].clone() }], at(600)).await?;
    assert_eq!(listed(store, 0).await?, ["600 c", "30 a", "10 b"], "what was put off came back");

    assert_eq!(all(store, &acme("ben"), 0).await?.len(), 3);
    assert_eq!(all(store, &acme("zoe"), 0).await?, []);
    let of_another_tenant = UserKey::new(tenant("other"), user("ana"));
    assert_eq!(all(store, &of_another_tenant, 0).await?, [], "walls hold (I8)");
    Ok(())
}

async fn pages_of_a_persons_alerts_lose_nothing_and_repeat_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    // Several in one commit come at the same time.
    let ids: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
    let batch: Vec<NewAlert> = ids.iter().map(|id| alert(id).to_users(["ana"]).build()).collect();
    store.record(&batch[..5], at(0)).await?;
    store.record(&batch[5..], at(1)).await?;
    let (mut found, mut place) = (Vec::new(), AlertPlace::first());
    loop {
        let page = store.alerts_of_person(&acme("ana"), &place, at(0), 2).await?;
        let Some(last) = page.last() else { break };
        place = last.place.clone();
        found.extend(page.iter().map(|one| one.alert.to_string()));
    }
    assert_eq!(found, ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]);
    let until = AlertPlace::until(at(0));
    assert_eq!(
        store.alerts_of_person(&acme("ana"), &until, at(0), 100).await?.len(),
        5,
        "none that came later"
    );
    Ok(())
}

async fn a_row_of_an_earlier_program_stands_where_it_was_recorded(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let StoreFixture { store, .. } = fixture;
    let new = alert("a").to_users(["ana"]).build();
    store.record(std::slice::from_ref(&new), at(5)).await?;
    fixture.execute("UPDATE inbox SET came_at_ms = NULL").await?;
    assert_eq!(listed(store, 0).await?, ["5 a"]);
    store.record(&[later_version(&new).resolved().build()], at(10)).await?;
    assert_eq!(listed(store, 0).await?, ["5 a"]);
    Ok(())
}

async fn what_a_line_is_made_of_is_what_the_timeline_says(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store.record(&[alert("a").to_users(["ana"]).under_policy("calm").build()], at(0)).await?;
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Delivered)], at(1)).await?;
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Seen)], at(2)).await?;
    let told = store.told_in_line(&ana, &alert_id("a")).await?;
    let timeline = store.timeline(&ana.tenant, &alert_id("a"), Some(&ana.user), 1).await?;
    assert_eq!(told.as_ref(), timeline.first());
    let line = told.map(|told| told.in_one_line(at(0), at(3))).unwrap_or_default();
    let clock = |secs| at(secs).strftime("%H:%M:%SZ").to_string();
    let expected = format!(
        "came under policy calm · {} delivered to a screen · {} seen (last by session tab-…) · seen; ended: seen",
        clock(1),
        clock(2)
    );
    assert_eq!(line, expected);
    assert_eq!(store.told_in_line(&ana, &alert_id("b")).await?, None);
    Ok(())
}

async fn alerts_for_many_are_known_with_who_has_them(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let everyone = Audience { everyone: true, ..Audience::default() };
    let named = alert("named").to_users(["ben"]).build();
    let ops = changed(&alert("ops").to_users(["ana", "ben"]).build()).audience(to_groups(["ops"])).build();
    let night =
        changed(&alert("night").to_users(["ben"]).build()).audience(to_groups(["night", "ops"])).build();
    let rest = Rest { published: "as published".into(), next_page: "p1".to_owned() };
    let large = changed(&alert("large").to_users(["ben"]).build()).audience(everyone).rest(rest).build();
    for (number, one) in (0..).zip([&named, &ops, &night, &large]) {
        store.record(std::slice::from_ref(one), at(10 * number)).await?;
    }
    let asked = async |who: &str, since, until, limit| {
        store.alerts_for_many(&acme(who), at(since), at(until), limit).await
    };
    let brief = |found: &[AlertForMany]| -> Vec<(String, bool, bool)> {
        found.iter().map(|one| (one.alert.to_string(), one.is_theirs, one.is_spreading)).collect()
    };
    let of_ana = asked("ana", 0, 100, 10).await?;
    let expected = [("large", false, true), ("night", false, false), ("ops", true, false)];
    assert_eq!(brief(&of_ana), expected.map(|(id, theirs, spreading)| (id.to_owned(), theirs, spreading)));
    let audience = |everyone, groups: &[&str]| NotedAudience {
        everyone,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        more_groups: 0,
    };
    let noted: Vec<NotedAudience> = of_ana.iter().map(|one| one.audience.clone()).collect();
    assert_eq!(noted, [audience(true, &[]), audience(false, &["night", "ops"]), audience(false, &["ops"])]);
    assert_eq!(
        (&*of_ana[1].content, &*of_ana[2].content),
        (&*night.content, ""),
        "what they have is not read"
    );
    assert!(asked("ben", 0, 100, 10).await?.iter().all(|one| one.is_theirs));
    assert_eq!(asked("ana", 15, 25, 10).await?.len(), 1, "in this time only");
    assert_eq!(asked("ana", 0, 100, 2).await?.len(), 2, "the newest");

    // A change that names nobody leaves the audience as it was.
    let closing = later_version(&night).audience(Audience::default()).resolved().build();
    store.record(&[closing], at(50)).await?;
    let newest = asked("ana", 0, 100, 1).await?.remove(0);
    assert_eq!((newest.alert.as_str(), newest.recorded_at), ("night", at(50)));
    assert_eq!(newest.audience, audience(false, &["night", "ops"]));
    Ok(())
}

async fn whether_somebody_can_be_told_is_read_as_it_stands(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let nobody = store.reachability(&ana, at(0)).await?;
    assert_eq!((nobody.reachability, nobody.since), (Reachability::default(), None));

    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let named = store.reachability(&ana, at(1)).await?;
    let only_named = Reachability { is_stored: true, ..Reachability::default() };
    assert_eq!((named.reachability, named.since), (only_named, Some(at(0))));

    let email = Secret::from("ana@example.com".to_owned());
    let phone_number = Secret::from("+491511234567".to_owned());
    let contact = Contact::default().with(Channel::Email, email.clone()).with(Channel::Sms, phone_number);
    store.put_user(&ana, &contact, at(2)).await?;
    store.suppress_address(&ana, Channel::Email, &email, "550 5.1.1", at(3)).await?;
    store.put_device(&ana, &device("phone").registered_at(at(3)).build(), 5).await?;
    store.renew_pod("pod-1", at(4), Duration::from_secs(10)).await?;
    store.arrive("pod-1", std::slice::from_ref(&ana), at(4)).await?;
    store.change_preferences(&ana, at(4), &|_| r#"{"channels":{"email":false}}"#.into()).await?;
    let there = store.reachability(&ana, at(5)).await?;
    let reachable = &there.reachability;
    assert!(reachable.is_known && reachable.has_session);
    assert_eq!(reachable.devices, 1);
    let states = [Channel::Email, Channel::Sms, Channel::Slack].map(|channel| reachable.addresses[channel]);
    assert_eq!(states, [AddressState::Refused, AddressState::Usable, AddressState::Absent]);
    assert_eq!(there.preferences.as_deref(), Some(r#"{"channels":{"email":false}}"#));
    assert!(!store.reachability(&ana, at(20)).await?.reachability.has_session, "the pod is gone");

    store.revoke_sessions(&ana, at(30)).await?;
    let gone = store.reachability(&ana, at(31)).await?.reachability;
    assert_eq!(
        (gone.devices, gone.devices_ended, gone.sessions_revoked_at),
        (0, Some((at(30), 1)), Some(at(30)))
    );

    let group = GroupId::parse("ops").unwrap();
    store.change_members(&ana.tenant, &group, &users(["ana"]), &[], at(40)).await?;
    assert_eq!(store.groups_of(&ana, 10).await?, [group]);
    Ok(())
}
