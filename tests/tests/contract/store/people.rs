//! Who there is, page by page; alerts by page; everything about one person (I17).

use std::collections::BTreeSet;

use watchbell::domain::{Channel, DeviceId, GroupId, ReceiptState, Severity, UserId};
use watchbell::store::{AlertPlace, Contact, ExportPlace, Field, PersonRecord, Store};
use watchbell_tests::builders::{acme, alert, at, device, later_version, receipt, tenant, user, users};

use super::fixture::StoreFixture;

on_both_engines!(
    people_are_walked_in_pages,
    members_of_a_group_are_people_of_their_own_page,
    one_person_is_shown_whole,
    groups_are_walked_in_pages_whatever_their_size,
    a_group_that_is_deleted_is_gone_and_its_members_are_not,
    alerts_are_walked_newest_first,
    alerts_of_one_person_are_walked_by_their_last_change,
    all_devices_of_one_user_go_and_no_others,
    everything_about_a_person_is_exported_once,
    an_export_is_of_one_person,
    what_is_erased_can_be_exported_before,
    what_a_backend_says_holds_where_the_person_says_nothing,
);

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

async fn people_are_walked_in_pages(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    for name in ["ana", "ben", "cem"] {
        store
            .put_user(&acme(name), &Contact { locale: Some("pl".to_owned()), ..Contact::default() }, at(1))
            .await?;
    }
    store.record(&[alert("a").to_users(["dan"]).build()], at(2)).await?;
    let names = async |from: &str, after: Option<&str>, limit| {
        let after = after.map(user);
        let page = store.people_from(&tenant("acme"), from, after.as_ref(), limit).await?;
        anyhow::Ok(page.iter().map(|person| person.user.as_str().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names("", None, 2).await?, ["ana", "ben"]);
    assert_eq!(names("ben", Some("ben"), 2).await?, ["cem", "dan"]);
    assert_eq!(names("ben", None, 1).await?, ["ben"], "from a name on");
    assert!(names("dan", Some("dan"), 2).await?.is_empty());
    let all = store.people_from(&tenant("acme"), "", None, 10).await?;
    assert!(all[0].known && all[0].locale.as_deref() == Some("pl") && all[0].created_at == at(1));
    assert!(!all[3].known && all[3].unread == 1, "only named: {:?}", all[3]);
    assert!(store.people_from(&tenant("other"), "", None, 10).await?.is_empty());
    store.names_are_in_byte_order().await?;
    Ok(())
}

async fn members_of_a_group_are_people_of_their_own_page(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.change_members(&tenant("acme"), &group("ops"), &users(["ana", "ben", "cem"]), &[], at(0)).await?;
    store.change_members(&tenant("acme"), &group("dev"), &users(["dan"]), &[], at(0)).await?;
    let names = async |from: &str, after: Option<UserId>| {
        let page =
            store.people_of_group_from(&tenant("acme"), &group("ops"), from, after.as_ref(), 2).await?;
        anyhow::Ok(page.iter().map(|person| person.user.as_str().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names("", None).await?, ["ana", "ben"]);
    assert_eq!(names("ben", Some(user("ben"))).await?, ["cem"]);
    Ok(())
}

async fn one_person_is_shown_whole(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    assert_eq!(store.person(&ana, 10, 10).await?, None);
    store.put_user(&ana, &Contact::default().with(Channel::Email, "ana@example.com"), at(0)).await?;
    store
        .suppress_address(&ana, Channel::Email, &"ana@example.com".to_owned().into(), "550 5.1.1", at(1))
        .await?;
    for name in ["ops", "dev", "all"] {
        store.change_members(&tenant("acme"), &group(name), &users(["ana"]), &[], at(0)).await?;
    }
    store
        .record(&[alert("a").to_users(["ana"]).build(), alert("b").to_users(["ana"]).build()], at(2))
        .await?;
    store.revoke_sessions(&ana, at(3)).await?;
    let person = store.person(&ana, 2, 10).await?.unwrap();
    let address = person.addresses[Channel::Email].as_ref().unwrap();
    assert!(address.is_refused && address.address.expose() == "ana@example.com");
    assert_eq!(person.groups, [group("all"), group("dev")], "the first of them");
    assert_eq!((person.alerts, person.listed.unread), (2, 2));
    assert_eq!(person.sessions_revoked_at, Some(at(3)));
    assert_eq!(store.person(&ana, 2, 1).await?.unwrap().alerts, 1, "no more than asked for");
    Ok(())
}

async fn groups_are_walked_in_pages_whatever_their_size(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (name, members) in [("b", 3), ("a", 1), ("c", 50)] {
        let members = users((0..members).map(|n| format!("u{n}")));
        store.change_members(&tenant("acme"), &group(name), &members, &[], at(0)).await?;
    }
    store.change_members(&tenant("other"), &group("z"), &users(["ana"]), &[], at(0)).await?;
    let all = store.groups_after(&tenant("acme"), None, 10).await?;
    assert_eq!(all, [group("a"), group("b"), group("c")]);
    assert_eq!(store.groups_after(&tenant("acme"), None, 2).await?, all[..2]);
    assert_eq!(store.groups_after(&tenant("acme"), Some(&group("a")), 1).await?, [group("b")]);
    assert!(store.groups_after(&tenant("acme"), Some(&group("c")), 10).await?.is_empty());
    assert!(store.groups_after(&tenant("none"), None, 10).await?.is_empty());
    Ok(())
}

async fn a_group_that_is_deleted_is_gone_and_its_members_are_not(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let acme_ = tenant("acme");
    let members = users((0..7).map(|n| format!("u{n}")));
    for name in ["ops", "dev"] {
        store.change_members(&acme_, &group(name), &members, &[], at(0)).await?;
    }
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(store.delete_group(&acme_, &group("ops"), 5, at(1)).await?);
    }
    assert_eq!(gone, [5, 2, 0]);
    assert_eq!(store.groups_after(&acme_, None, 10).await?, [group("dev")]);
    assert_eq!(store.people_from(&acme_, "", None, 10).await?.len(), 7);
    Ok(())
}

/// Walks all pages of so many alerts.
async fn walked(store: &Store, of: Option<&str>, limit: usize) -> anyhow::Result<Vec<String>> {
    let (mut all, mut place) = (Vec::new(), AlertPlace::first());
    loop {
        let page = match of {
            Some(who) => store.alerts_page_of(&acme(who), &place, limit).await?,
            None => store.alerts_page(&tenant("acme"), &place, None, limit).await?,
        };
        let Some(last) = page.last() else { return Ok(all) };
        place = last.place.clone();
        all.extend(page.iter().map(|listed| listed.alert.to_string()));
    }
}

async fn alerts_are_walked_newest_first(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    for (n, ids) in [(1, vec!["old"]), (2, vec!["b", "a", "c"]), (3, vec!["new"])] {
        let batch: Vec<_> = ids.iter().map(|id| alert(id).to_users(["ana"]).build()).collect();
        store.record(&batch, at(n)).await?;
    }
    for limit in [1, 2, 10] {
        assert_eq!(walked(store, None, limit).await?, ["new", "c", "b", "a", "old"], "{limit} a page");
    }
    let acme_ = tenant("acme");
    let since = store.alerts_page(&acme_, &AlertPlace::first(), Some(at(2)), 10).await?;
    assert_eq!(since.len(), 4);
    let until = store.alerts_page(&acme_, &AlertPlace::until(at(2)), Some(at(2)), 10).await?;
    assert_eq!(until.len(), 3, "both ends count");
    assert_eq!((until[0].severity, until[0].recorded_at), (Severity::Warning, at(2)));
    assert!(store.alerts_page(&tenant("other"), &AlertPlace::first(), None, 10).await?.is_empty());
    Ok(())
}

async fn alerts_of_one_person_are_walked_by_their_last_change(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for id in ["a", "b", "c", "d"] {
        store.record(&[alert(id).to_users(["ana", "ben"]).build()], at(1)).await?;
    }
    store.apply_receipts(&[receipt(&acme("ana"), ["a", "b"], ReceiptState::Seen)], at(2)).await?;
    for limit in [1, 3, 10] {
        assert_eq!(walked(store, Some("ana"), limit).await?, ["b", "a", "d", "c"], "{limit} a page");
    }
    assert_eq!(walked(store, Some("ben"), 3).await?, ["d", "c", "b", "a"]);
    assert!(walked(store, Some("cem"), 3).await?.is_empty());
    Ok(())
}

async fn all_devices_of_one_user_go_and_no_others(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (who, name) in [("ana", "phone"), ("ana", "tablet"), ("ben", "phone")] {
        let device = device(name).token(format!("{who}-{name}")).registered_at(at(0)).build();
        store.put_device(&acme(who), &device, 20).await?;
    }
    let tablet = DeviceId::parse("tablet")?;
    assert_eq!(store.delete_devices(&acme("ana"), Some(&tablet), at(1)).await?, 1);
    assert_eq!(store.delete_devices(&acme("ana"), Some(&tablet), at(1)).await?, 0);
    assert_eq!(store.delete_devices(&acme("ana"), None, at(1)).await?, 1);
    assert_eq!(store.delete_devices(&acme("ana"), None, at(1)).await?, 0);
    assert_eq!(store.devices(&acme("ben")).await?.len(), 1);
    Ok(())
}

/// Everything about somebody, read in parts of so many rows, by way of the text of each place.
async fn exported(store: &Store, who: &str, rows_max: usize) -> anyhow::Result<Vec<PersonRecord>> {
    let (mut all, mut place) = (Vec::new(), ExportPlace::sections().next());
    while let Some(from) = place {
        let from = ExportPlace::parse(&from.to_string()).expect("a place reads back");
        let page = store.export_page(&acme(who), &from, rows_max).await?;
        all.extend(page.records);
        place = page.next;
    }
    Ok(all)
}

/// Some of everything: inbox rows that share a number, notes of one time, a device, groups.
async fn furnish(store: &Store, who: &str) -> anyhow::Result<()> {
    let ana = acme(who);
    let address = format!("{who}@example.com");
    store.put_user(&ana, &Contact::default().with(Channel::Email, address), at(0)).await?;
    store.change_preferences(&ana, at(0), &|_| r#"{"channels":{"email":false}}"#.to_owned()).await?;
    for name in ["ops", "night shift: ops"] {
        store.change_members(&tenant("acme"), &group(name), &users([who]), &[], at(0)).await?;
    }
    let phone = device("phone").token(format!("token-of-{who}-canary")).registered_at(at(0)).build();
    store.put_device(&ana, &phone, 20).await?;
    let batch: Vec<_> = (0..7).map(|n| alert(&format!("a{n}")).to_users([who]).build()).collect();
    store.record(&batch, at(1)).await?;
    let ids: Vec<String> = (0..7).map(|n| format!("a{n}")).collect();
    store.apply_receipts(&[receipt(&ana, &ids, ReceiptState::Seen)], at(2)).await?;
    let later: Vec<_> = batch.iter().map(|new| later_version(new).build()).collect();
    store.record(&later, at(3)).await?;
    Ok(())
}

async fn everything_about_a_person_is_exported_once(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    furnish(store, "ana").await?;
    let all = exported(store, "ana", 1_000).await?;
    let kinds = |kind: &str| all.iter().filter(|record| record.kind == kind).count();
    assert_eq!((kinds("person"), kinds("address"), kinds("group"), kinds("device")), (1, 1, 2, 1));
    assert_eq!((kinds("inbox"), kinds("escalation")), (7, 7));
    for rows_max in [1, 2, 3] {
        let mut pages = exported(store, "ana", rows_max).await?;
        let mut whole = all.clone();
        let order = |record: &PersonRecord| format!("{record:?}");
        pages.sort_by_key(order);
        whole.sort_by_key(order);
        assert_eq!(pages, whole, "in parts of {rows_max}");
    }
    let text = format!("{all:?}");
    assert!(text.contains("ana@example.com") && text.contains(r#"email\":false"#), "{text}");
    assert!(!text.contains("canary"), "a token is no part of it");
    let device = all.iter().find(|record| record.kind == "device").unwrap();
    let hash = device.fields.iter().find(|(name, _)| *name == "token_hash").unwrap();
    assert!(matches!(&hash.1, Field::Text(hash) if hash.len() >= 64), "but its hash is: {device:?}");
    Ok(())
}

async fn an_export_is_of_one_person(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    furnish(store, "ana").await?;
    store.record(&[alert("b").to_users(["ben"]).build()], at(5)).await?;
    let ben = exported(store, "ben", 2).await?;
    assert!(!format!("{ben:?}").contains("ana"), "{ben:?}");
    assert_eq!(exported(store, "stranger", 2).await?, []);
    Ok(())
}

/// The tables of both are the same, but for the versions of alerts: what an alert said before is no longer about anybody.
async fn what_is_erased_can_be_exported_before(_: &StoreFixture) -> anyhow::Result<()> {
    let (mut erased, _) = Store::tables_of_people();
    erased.retain(|table| *table != "versions");
    let erased: BTreeSet<&str> = erased.into_iter().collect();
    let exported: BTreeSet<&str> = Store::exported_tables().collect();
    assert_eq!(exported, erased, "src/store/export.rs tells of each table that src/store/erasure.rs empties");
    Ok(())
}

async fn what_a_backend_says_holds_where_the_person_says_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let said = Contact {
        time_zone: Some("Europe/Warsaw".to_owned()),
        preferences: Some(r#"{"channels":{"email":false,"push":false}}"#.to_owned()),
        ..Contact::default()
    };
    store.put_user(&ana, &said, at(0)).await?;
    assert_eq!(store.contact(&ana).await?, Some(said));
    let holds = r#"{"channels":{"email":false,"push":false},"quiet":{"zone":"Europe/Warsaw"}}"#;
    assert_eq!(store.preferences(&ana).await?.as_deref(), Some(holds));
    let own = r#"{"channels":{"email":true}}"#;
    let holds = r#"{"channels":{"email":true,"push":false},"quiet":{"zone":"Europe/Warsaw"}}"#;
    assert_eq!(store.change_preferences(&ana, at(1), &|_| own.to_owned()).await?, holds);
    let welcome = store.heads_and_preferences(std::slice::from_ref(&ana)).await?;
    assert_eq!(welcome[&ana].1.as_deref(), Some(holds), "a session is told the same");
    store.record(&[alert("a").to_users(["ana"]).first_due_at(at(30)).build()], at(2)).await?;
    let claim = store.claim_due(at(30), super::fixture::LEASE, 1).await?.remove(0);
    let seen = super::timers::look(store, &claim, at(30)).await?;
    assert_eq!(seen.preferences.as_deref(), Some(holds), "and so is whoever decides");
    store.put_user(&ana, &Contact::default(), at(3)).await?;
    assert_eq!(
        store.preferences(&ana).await?.as_deref(),
        Some(own),
        "the whole of it is replaced, and what she said stays"
    );
    Ok(())
}
