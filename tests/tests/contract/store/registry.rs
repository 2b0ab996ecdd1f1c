//! Users, groups, devices; tokens go only on proof (I7), walls hold (I8).

use tokio::task::JoinSet;
use watchbell::domain::{
    Channel, Device, DeviceId, GroupId, PushService, ReceiptState, UserId, UserKey, device::Registration,
};
use watchbell::store::{Contact, EscalationKey, Head};
use watchbell_tests::builders::{acme, alert, alert_id, at, changed, device, receipt, tenant, user, users};

use super::fixture::{LEASE, StoreFixture, head, inbox};
use super::timers::look;

on_both_engines!(
    revoked_sessions_stay_revoked,
    a_contact_is_replaced_as_a_whole,
    an_address_that_refuses_mail_is_left_alone_until_it_is_given_again,
    everyone_is_walked_in_pages,
    members_come_and_go_and_are_walked_in_pages,
    recipients_are_walked_in_pages,
    a_device_that_registers_again_has_its_new_token,
    a_token_belongs_to_the_device_that_registered_it_last,
    a_device_is_deleted_by_its_owner_alone,
    devices_not_heard_of_for_long_are_dropped_by_service,
    a_user_has_a_bounded_number_of_devices,
    a_phone_in_two_tenants_is_two_devices,
    a_registration_that_is_refused_changes_nothing,
    devices_end_with_the_sessions_they_were_registered_in,
    what_a_pod_of_the_version_before_registered_is_replaced,
    devices_at_once_keep_the_bound_and_one_owner_a_token,
    a_token_is_dropped_only_on_proof,
    a_name_in_two_tenants_is_two_names,
);

/// A phone in Apple's sandbox, known by this token since then.
fn phone(id: &str, token: &str, secs: i64) -> Device {
    device(id).token(token).sandbox().registered_at(at(secs)).build()
}

fn mailbox(address: &str) -> Contact {
    Contact::default().with(Channel::Email, address)
}

async fn a_contact_is_replaced_as_a_whole(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    assert_eq!(store.contact(&ana).await?, None);
    let full = Contact { locale: Some("pl-PL".to_owned()), ..mailbox("ana@example.com") };
    store.put_user(&ana, &full, at(0)).await?;
    assert_eq!(store.contact(&ana).await?, Some(full));
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    store.put_user(&ana, &Contact::default(), at(1)).await?;
    assert_eq!(store.contact(&ana).await?, Some(Contact::default()));
    assert_eq!(
        head(store, &ana).await?,
        Head { seq: 1, unread: 1, ..Head::default() },
        "the inbox is another matter"
    );
    Ok(())
}

async fn an_address_that_refuses_mail_is_left_alone_until_it_is_given_again(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store.put_user(&ana, &mailbox("old@example.com"), at(0)).await?;
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let mut now = 30;
    let mut takes_mail = async || {
        now += 60;
        let claim = store.claim_due(at(now), LEASE, 1).await?.remove(0);
        anyhow::Ok(look(store, &claim, at(now)).await?.addresses[Channel::Email].is_some())
    };
    assert!(takes_mail().await?);
    assert!(
        !store
            .suppress_address(&ana, Channel::Email, &"other@example.com".into(), "550 5.1.1", at(1))
            .await?,
        "not that address"
    );
    assert!(takes_mail().await?);
    assert!(
        store.suppress_address(&ana, Channel::Email, &"old@example.com".into(), "550 5.1.1", at(2)).await?
    );
    assert!(!takes_mail().await?);
    store.put_user(&ana, &mailbox("old@example.com"), at(3)).await?;
    assert!(!takes_mail().await?, "the same address is the same mailbox");
    store.put_user(&ana, &mailbox("new@example.com"), at(4)).await?;
    assert!(takes_mail().await?);
    Ok(())
}

/// Walks `page` to its end in steps of two.
async fn walked(
    page: impl AsyncFn(Option<&UserId>, usize) -> anyhow::Result<Vec<UserId>>,
) -> anyhow::Result<Vec<UserId>> {
    let mut all: Vec<UserId> = Vec::new();
    loop {
        let next = page(all.last(), 2).await?;
        if next.is_empty() {
            return Ok(all);
        }
        all.extend(next);
    }
}

/// A name that a producer once mistyped used to be somebody for ever, and was told whatever was for everyone.
async fn everyone_is_walked_in_pages(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let everyone = async || {
        walked(async |after, limit| Ok(store.everyone_after(&tenant("acme"), after, limit).await?)).await
    };
    let named = ["ana", "ben", "cas", "dan", "eve", "nobody-known", "żółw"];
    store.record(&[alert("a").to_users(named).build()], at(0)).await?;
    assert_eq!(everyone().await?, [], "a name is nobody yet");
    store.put_user(&acme("ben"), &Contact::default(), at(0)).await?;
    store.put_device(&acme("dan"), &phone("phone", "t", 0), 5).await?;
    let ops = GroupId::parse("ops").unwrap();
    store.change_members(&tenant("acme"), &ops, &users(["cas", "fay"]), &[], at(0)).await?;
    store.arrive("pod", &[acme("żółw"), acme("ana"), acme("gil")], at(0)).await?;
    store.change_preferences(&acme("eve"), at(0), &|_| "{}".into()).await?;
    let known = users(["ana", "ben", "cas", "dan", "eve", "fay", "gil", "żółw"]);
    assert_eq!(everyone().await?, known, "however they became known");
    store.record(&[alert("b").to_users(["ana", "fay", "nobody-known"]).build()], at(1)).await?;
    assert_eq!(everyone().await?, known, "and being named changes nothing of it");
    let asked = store.known_users(&tenant("acme"), &users(["fay", "nobody-known", "never-named"])).await?;
    assert_eq!(asked, users(["fay"]).into_iter().collect());
    assert_eq!(store.everyone_after(&tenant("other"), None, 9).await?, []);
    assert_eq!(
        head(store, &acme("nobody-known")).await?.unread,
        2,
        "their alerts wait for them all the same"
    );
    Ok(())
}

async fn members_come_and_go_and_are_walked_in_pages(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (acme, family) = (tenant("acme"), GroupId::parse("family:42").unwrap());
    store.change_members(&acme, &family, &users(["cas", "ana", "ben", "ana"]), &[], at(0)).await?;
    store.change_members(&acme, &family, &users(["dan", "cas"]), &users(["ben", "nobody"]), at(0)).await?;
    let all =
        walked(async |after, limit| Ok(store.members_after(&acme, &family, after, limit).await?)).await?;
    assert_eq!(all, users(["ana", "cas", "dan"]));
    store.change_members(&acme, &family, &users(["ana"]), &users(["ana"]), at(0)).await?;
    assert!(store.members_after(&acme, &family, None, 9).await?.contains(&user("ana")), "adding wins");
    store.change_members(&acme, &family, &[], &[], at(0)).await?;
    assert_eq!(store.members_after(&tenant("other"), &family, None, 9).await?, []);
    Ok(())
}

async fn recipients_are_walked_in_pages(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store
        .record(
            &[alert("a").to_users(["cas", "ana", "ben"]).build(), alert("b").to_users(["dan"]).build()],
            at(0),
        )
        .await?;
    let (acme, alert) = (tenant("acme"), alert_id("a"));
    let all =
        walked(async |after, limit| Ok(store.recipients_after(&acme, &alert, after, limit).await?)).await?;
    assert_eq!(all, users(["ana", "ben", "cas"]));
    Ok(())
}

async fn a_device_that_registers_again_has_its_new_token(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let long = "x".repeat(4096);
    assert_eq!(store.put_device(&ana, &phone("phone", &long, 1), 5).await?, Registration::Done);
    assert_eq!(store.devices(&ana).await?, [phone("phone", &long, 1)]);
    assert_eq!(store.put_device(&ana, &phone("phone", "new", 2), 5).await?, Registration::Done);
    assert_eq!(store.devices(&ana).await?, [phone("phone", "new", 2)], "registering again replaces");
    for sender in ["a key", "another key"] {
        let bound = device("phone").token("new").bound_to(sender).registered_at(at(3)).build();
        assert_eq!(store.put_device(&ana, &bound, 5).await?, Registration::Done);
        assert_eq!(store.devices(&ana).await?, [bound], "what its token is bound to is kept with it");
    }
    Ok(())
}

async fn a_token_belongs_to_the_device_that_registered_it_last(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, ben) = (acme("ana"), acme("ben"));
    store.put_device(&ana, &phone("phone", "new", 2), 5).await?;
    // Ben signs in on the phone ana signed out of.
    assert_eq!(store.put_device(&ben, &phone("phone", "new", 3), 5).await?, Registration::Done);
    assert_eq!(store.devices(&ana).await?, [], "her alerts do not ring there");
    assert_eq!(store.devices(&ben).await?, [phone("phone", "new", 3)]);
    // The app was installed anew and calls itself otherwise.
    assert_eq!(store.put_device(&ben, &phone("phone-2", "new", 4), 5).await?, Registration::Done);
    assert_eq!(store.devices(&ben).await?, [phone("phone-2", "new", 4)]);
    let elsewhere = device("pixel").service(PushService::Fcm).token("new").registered_at(at(5)).build();
    assert_eq!(store.put_device(&ana, &elsewhere, 5).await?, Registration::Done);
    assert_eq!(store.devices(&ben).await?.len(), 1, "another service's tokens are other tokens");
    Ok(())
}

async fn a_device_is_deleted_by_its_owner_alone(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, ben) = (acme("ana"), acme("ben"));
    store.put_device(&ben, &phone("phone-2", "new", 4), 5).await?;
    let named = |id: &str| DeviceId::parse(id).unwrap();
    assert!(!store.delete_device(&ana, &named("phone-2"), at(9)).await?, "nobody deletes another's");
    assert!(store.delete_device(&ben, &named("phone-2"), at(9)).await?);
    assert!(!store.delete_device(&ben, &named("phone-2"), at(9)).await?);
    Ok(())
}

async fn devices_not_heard_of_for_long_are_dropped_by_service(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    for (id, service, registered) in [
        ("old-laptop", PushService::WebPush, 1),
        ("older-laptop", PushService::WebPush, 0),
        ("laptop", PushService::WebPush, 9),
        ("phone", PushService::Apns, 0),
    ] {
        let device = device(id).service(service).registered_at(at(registered)).build();
        assert_eq!(store.put_device(&ana, &device, 9).await?, Registration::Done);
    }
    assert_eq!(store.prune_devices(PushService::WebPush, at(9), 1).await?, 1, "no more than the limit");
    assert_eq!(store.prune_devices(PushService::WebPush, at(9), 10).await?, 1);
    assert_eq!(store.prune_devices(PushService::WebPush, at(9), 10).await?, 0);
    let left: Vec<String> = store.devices(&ana).await?.iter().map(|device| device.id.to_string()).collect();
    assert_eq!(left, ["laptop", "phone"]);
    Ok(())
}

async fn a_user_has_a_bounded_number_of_devices(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    assert_eq!(store.put_device(&ana, &phone("one", "t1", 1), 2).await?, Registration::Done);
    assert_eq!(store.put_device(&ana, &phone("two", "t2", 1), 2).await?, Registration::Done);
    assert_eq!(store.put_device(&ana, &phone("three", "t3", 1), 2).await?, Registration::TooMany);
    assert_eq!(
        store.put_device(&ana, &phone("two", "t4", 2), 2).await?,
        Registration::Done,
        "one of them again is not one more"
    );
    assert_eq!(
        store.put_device(&ana, &phone("three", "t1", 2), 2).await?,
        Registration::Done,
        "nor is one under a new name"
    );
    assert_eq!(store.devices(&ana).await?.len(), 2);
    Ok(())
}

async fn a_phone_in_two_tenants_is_two_devices(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (here, there) = (acme("ana"), UserKey::new(tenant("other"), user("ana")));
    for key in [&here, &there] {
        assert_eq!(store.put_device(key, &phone("phone", "shared", 1), 5).await?, Registration::Done);
    }
    for key in [&here, &there] {
        assert_eq!(store.devices(key).await?, [phone("phone", "shared", 1)], "{key:?}");
    }
    store.put_device(&acme("ben"), &phone("phone", "shared", 2), 5).await?;
    assert_eq!(store.devices(&here).await?, [], "within a tenant the last one has it");
    assert_eq!(store.devices(&there).await?.len(), 1, "and another tenant is not touched");
    Ok(())
}

async fn a_registration_that_is_refused_changes_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, ben) = (acme("ana"), acme("ben"));
    store.put_device(&ben, &phone("phone", "bens", 1), 5).await?;
    store.put_device(&ana, &phone("one", "t1", 1), 1).await?;
    assert_eq!(store.put_device(&ana, &phone("two", "bens", 2), 1).await?, Registration::TooMany);
    assert_eq!(store.devices(&ben).await?, [phone("phone", "bens", 1)], "the limit is asked first");
    store.revoke_sessions(&ana, at(5)).await?;
    let late = device("two").token("bens").sandbox().registered_at(at(6)).issued_at(at(5)).build();
    assert_eq!(store.put_device(&ana, &late, 5).await?, Registration::SessionEnded, "it lost the race");
    assert_eq!(store.put_device(&ana, &phone("two", "bens", 6), 5).await?, Registration::SessionEnded);
    assert_eq!(store.devices(&ben).await?, [phone("phone", "bens", 1)]);
    assert_eq!(store.devices(&ana).await?, []);
    Ok(())
}

async fn devices_end_with_the_sessions_they_were_registered_in(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, there) = (acme("ana"), UserKey::new(tenant("other"), user("ana")));
    let signed_in = |id: &str, secs| {
        device(id).token(format!("token-{id}")).registered_at(at(1)).issued_at(at(secs)).build()
    };
    for (key, device) in [
        (&ana, signed_in("before", 9)),
        (&ana, signed_in("in-that-second", 10)),
        (&ana, phone("nobody-knows-when", "t", 1)),
        (&ana, signed_in("after", 11)),
        (&there, signed_in("elsewhere", 1)),
        (&acme("ben"), signed_in("bens", 1)),
    ] {
        assert_eq!(store.put_device(key, &device, 9).await?, Registration::Done);
    }
    store.record(&[alert("a").to_users(["ana", "ben"]).build()], at(2)).await?;
    let ended = store.revoke_sessions(&ana, at(10)).await?;
    assert_eq!((ended.at, ended.devices), (at(10), 3));
    assert_eq!(store.devices(&ana).await?, [signed_in("after", 11)]);
    assert_eq!(store.devices(&there).await?.len(), 1, "another tenant's");
    assert_eq!(store.devices(&acme("ben")).await?.len(), 1, "another user's");
    assert_eq!(store.revoke_sessions(&ana, at(10)).await?.devices, 0);

    let told = async |alert: &str, name: &str| {
        let recipients = store.timeline(&tenant("acme"), &alert_id(alert), Some(&user(name)), 1).await?;
        let entries = recipients.into_iter().flat_map(|recipient| recipient.entries);
        anyhow::Ok(entries.filter(|entry| entry.what.contains("3 of the person's devices")).count())
    };
    assert_eq!((told("a", "ana").await?, told("a", "ben").await?), (1, 0), "what was under way then");
    store.record(&[alert("b").to_users(["ana"]).build()], at(20)).await?;
    assert_eq!(told("b", "ana").await?, 0, "what came later, to somebody who has a device again");
    store.delete_device(&ana, &DeviceId::parse("after").unwrap(), at(9)).await?;
    assert_eq!(told("b", "ana").await?, 1, "to somebody who has none: that is why");
    Ok(())
}

/// During a rollout: it knows nothing of tenants in the hash.
async fn what_a_pod_of_the_version_before_registered_is_replaced(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    // The hash is that of the token "shared" alone, as the version before made it.
    let registered = "INSERT INTO devices (tenant, user_id, device_id, service, environment, token, token_hash, registered_at_ms)
        VALUES ('acme', 'ana', 'phone', 'apns', 'sandbox', 'shared',
            'a4d26868017c0ccffe2efe50944ef4211834660cca834c6e9f86dec6a88246fa', 1000)";
    fixture.execute(registered).await?;
    let (ana, ben) = (acme("ana"), acme("ben"));
    assert_eq!(fixture.store.devices(&ana).await?.len(), 1);
    fixture.store.put_device(&ben, &phone("phone", "shared", 2), 5).await?;
    assert_eq!(fixture.store.devices(&ana).await?, [], "ben has signed in on that phone");
    fixture.execute(registered).await?;
    fixture.store.put_device(&ana, &phone("phone", "shared", 3), 5).await?;
    assert_eq!(fixture.store.devices(&ana).await?, [phone("phone", "shared", 3)]);
    assert_eq!(fixture.store.devices(&ben).await?, []);
    Ok(())
}

async fn devices_at_once_keep_the_bound_and_one_owner_a_token(fixture: &StoreFixture) -> anyhow::Result<()> {
    const AT_ONCE: usize = 48;
    let handles = [fixture.store.clone(), fixture.another_handle()];
    let mut registering = JoinSet::new();
    for n in 0..AT_ONCE {
        let store = handles[n % 2].clone();
        registering.spawn(async move {
            store.put_device(&acme("ana"), &phone(&format!("d{n}"), &format!("t{n}"), 1), 5).await?;
            store.put_device(&acme(&format!("u{n}")), &phone("phone", "shared", 1), 5).await
        });
    }
    while let Some(registered) = registering.join_next().await {
        assert_eq!(registered??, Registration::Done);
    }
    assert_eq!(fixture.store.devices(&acme("ana")).await?.len(), 5);
    let mut owners = 0;
    for n in 0..AT_ONCE {
        owners += fixture.store.devices(&acme(&format!("u{n}"))).await?.len();
    }
    assert_eq!(owners, 1, "the last to register it has it");
    Ok(())
}

async fn a_token_is_dropped_only_on_proof(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    let key = EscalationKey { user: ana.clone(), alert: alert_id("a") };
    let registered = phone("phone", "token", 100);
    for (why, pushed_to, since, forgotten) in [
        ("it was registered again with another token", phone("phone", "old", 1), None, false),
        ("it was registered after the provider's time", registered.clone(), Some(at(99)), false),
        ("not newer is not newer", registered.clone(), Some(at(100)), false),
        ("the provider is newer", registered.clone(), Some(at(101)), true),
        ("the provider gives no time", registered.clone(), None, true),
    ] {
        store.put_device(&ana, &registered, 5).await?;
        store.put_device(&ana, &phone("tablet", "other", 1), 5).await?;
        assert_eq!(store.forget_token(&key, &pushed_to, since, at(200)).await?, forgotten, "{why}");
        assert_eq!(store.devices(&ana).await?.len(), if forgotten { 1 } else { 2 }, "{why}");
    }
    assert!(!store.forget_token(&key, &registered, None, at(200)).await?, "it is gone already");
    Ok(())
}

/// Two customers whose people and alerts are called the same.
async fn a_name_in_two_tenants_is_two_names(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let (here, there) = (acme("ana"), UserKey::new(tenant("other"), user("ana")));
    let ours = alert("a").to_users(["ana"]).build();
    let theirs = changed(&ours).tenant(tenant("other")).version(7).build();
    store.record(&[ours.clone(), theirs.clone(), alert("b").to_users(["ana"]).build()], at(0)).await?;
    assert_eq!(store.changes_after(&here, 0, 9).await?.rows[0].content, ours.content);
    assert_eq!(store.changes_after(&there, 0, 9).await?.rows[0].content, theirs.content);
    assert_eq!(store.inbox_page(&there, None, 9).await?.rows.len(), 1);

    store.apply_receipts(&[receipt(&here, ["a", "b"], ReceiptState::Read)], at(1)).await?;
    assert_eq!(head(store, &here).await?, Head { seq: 3, unread: 0, ..Head::default() });
    assert_eq!(head(store, &there).await?, Head { seq: 1, unread: 1, ..Head::default() });
    assert!(inbox(store, &there).await?.iter().all(|(_, _, state)| state.is_unread()));

    store.put_device(&here, &phone("phone", "t1", 0), 5).await?;
    store.put_user(&here, &mailbox("a@example.com"), at(0)).await?;
    let due = store.claim_due(at(30), LEASE, 10).await?;
    assert_eq!(due.iter().map(|claim| &claim.key.user).collect::<Vec<_>>(), [&there], "ours was read");
    let escalation = look(store, &due[0], at(30)).await?;
    assert_eq!(
        (
            escalation.content.clone(),
            escalation.devices.len(),
            escalation.addresses[Channel::Email].is_some()
        ),
        (theirs.content, 0, false)
    );
    assert_eq!(store.contact(&there).await?, Some(Contact::default()));
    assert_eq!(store.timeline(&tenant("other"), &alert_id("b"), None, 9).await?, []);
    let counted = store.alert(&tenant("acme"), &alert_id("a")).await?.unwrap();
    assert_eq!((counted.version, counted.recipients, counted.seen), (1, 1, 1));
    Ok(())
}

async fn revoked_sessions_stay_revoked(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let (ana, ben) = (acme("ana"), acme("ben"));
    store.record(&[alert("a").to_users(["ana", "ben"]).build()], at(0)).await?;
    assert_eq!(store.revoke_sessions(&ana, at(20)).await?.at, at(20));
    assert_eq!(store.revoke_sessions(&ana, at(10)).await?.at, at(20), "a late one does not take it back");
    let expected = Head { seq: 1, unread: 1, revoked_at: Some(at(20)), ..Head::default() };
    assert_eq!(head(store, &ana).await?, expected, "the inbox is another matter");
    assert_eq!(store.changes_after(&ana, 0, 10).await?.head, expected);
    assert_eq!(store.inbox_page(&ana, None, 10).await?.head, expected);
    assert_eq!(head(store, &ben).await?.revoked_at, None, "nobody else is meant");

    store.record(&[alert("b").to_users(["ana"]).build()], at(30)).await?;
    store.put_user(&ana, &Contact::default(), at(30)).await?;
    assert_eq!(
        head(store, &ana).await?,
        Head { seq: 2, unread: 2, ..expected },
        "it outlasts what comes later"
    );

    let unknown = UserKey::new(tenant("globex"), user("ana"));
    store.revoke_sessions(&unknown, at(5)).await?;
    assert_eq!(head(store, &unknown).await?, Head { revoked_at: Some(at(5)), ..Head::default() });
    Ok(())
}
