//! What is left of large audiences: gone through in turns, followed up, forgotten at the end, never mixed up.

use std::time::Duration;

use watchbell::domain::{Audience, GroupId, Tenant, Timestamp};
use watchbell::store::{Expansion, NewAlert, RecordedPage, Rest, Step, Store};
use watchbell_tests::builders::{acme, alert, at, changed, later_version, tenant, users};

use super::fixture::{StoreFixture, head};

on_both_engines!(
    an_audience_is_walked_page_by_page_and_forgotten_at_its_end,
    a_holder_that_vanishes_is_followed_and_moves_nothing_any_more,
    of_several_who_claim_at_once_one_holds_it,
    tenants_take_turns_and_within_one_whoever_waits_longest,
    what_is_open_already_stays_where_it_is,
    a_later_version_ends_the_expansion_of_the_same_audience_alone,
    a_page_and_the_place_after_it_are_one_commit,
    a_holder_goes_on_from_page_to_page_with_a_lease_from_the_last_one,
    an_audience_is_passed_on_to_whoever_waits_in_one_commit,
);

const LEASE: Duration = Duration::from_secs(15);

/// `new`, with more people in this group than come with it.
fn large(new: &NewAlert, group: &str) -> NewAlert {
    let to = Audience { groups: vec![GroupId::parse(group).unwrap()], ..Audience::default() };
    let rest = Rest { published: format!("{} to {group}", new.alert.id).into(), next_page: "p1".into() };
    changed(new).audience(to).rest(rest).build()
}

fn of_tenant(new: &NewAlert, name: &str) -> NewAlert {
    changed(new).tenant(tenant(name)).build()
}

async fn claim(store: &Store, after: Option<&Tenant>, now: Timestamp) -> anyhow::Result<Option<Expansion>> {
    Ok(store.claim_expansion(after, now, LEASE).await?)
}

async fn an_audience_is_walked_page_by_page_and_forgotten_at_its_end(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    assert_eq!(claim(store, None, at(0)).await?, None);
    let big = large(&alert("big").to_users(["ana"]).build(), "ops");
    store.record(std::slice::from_ref(&big), at(0)).await?;

    let held = claim(store, None, at(1)).await?.unwrap();
    assert_eq!((held.alert().as_str(), held.version()), ("big", 1));
    assert_eq!(store.expanded_alert(&held).await?.as_deref(), Some("big to ops"));
    assert_eq!((held.next_page.as_deref(), held.untold_page.as_deref()), (Some("p1"), None));
    assert_eq!(held.began_at, at(0));
    assert_eq!(claim(store, None, at(2)).await?, None, "it is in somebody's hands");

    let page = NewAlert { recipients: users(["ben", "cleo"]), rest: None, ..big.clone() };
    let RecordedPage { rows, is_held } =
        store.record_page(&held, &page, Step { page: "p1", next_page: Some("p2") }, at(2)).await?;
    assert!(is_held && rows.len() == 2 && rows.iter().all(|row| row.changed));
    store.release_expansion(&held, at(3)).await?;

    let held = claim(store, None, at(3)).await?.unwrap();
    assert_eq!((held.next_page.as_deref(), held.untold_page.as_deref()), (Some("p2"), None));
    let page = NewAlert { recipients: users(["dan"]), ..page };
    store.record_page(&held, &page, Step { page: "p2", next_page: None }, at(4)).await?;
    store.release_expansion(&held, at(4)).await?;
    assert_eq!(claim(store, None, at(9_999)).await?, None, "nobody is left");
    assert_eq!(store.expanded_alert(&held).await?, None, "its text is gone as well");
    for name in ["ana", "ben", "cleo", "dan"] {
        assert_eq!(head(store, &acme(name)).await?.seq, 1, "{name}");
    }
    Ok(())
}

async fn a_holder_that_vanishes_is_followed_and_moves_nothing_any_more(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let big = large(&alert("big").to_users(["ana"]).build(), "ops");
    store.record(std::slice::from_ref(&big), at(0)).await?;
    let page = |names: &[&str]| NewAlert { recipients: users(names), rest: None, ..big.clone() };
    let gone = claim(store, None, at(0)).await?.unwrap();
    store.record_page(&gone, &page(&["ben"]), Step { page: "p1", next_page: Some("p2") }, at(1)).await?;
    assert_eq!(claim(store, None, at(15)).await?, None, "the lease still runs");

    let held = claim(store, None, at(16)).await?.unwrap();
    assert_eq!(held.untold_page.as_deref(), Some("p1"), "nobody knows whether it was told");
    let again =
        store.record_page(&held, &page(&["ben"]), Step { page: "p1", next_page: Some("p2") }, at(16)).await?;
    assert!(again.is_held && !again.rows[0].changed, "recorded once");

    let late = Step { page: "p7", next_page: Some("p8") };
    assert!(!store.record_page(&gone, &page(&["cleo"]), late, at(17)).await?.is_held);
    store.release_expansion(&gone, at(17)).await?;
    assert_eq!(store.pass_on_expansion(&gone, at(17), LEASE).await?, None);
    assert_eq!(claim(store, None, at(18)).await?, None, "whoever is gone lets go of nothing");
    store.release_expansion(&held, at(18)).await?;
    let next = claim(store, None, at(18)).await?.unwrap();
    assert_eq!((next.next_page.as_deref(), next.untold_page.as_deref()), (Some("p2"), None));
    Ok(())
}

async fn of_several_who_claim_at_once_one_holds_it(fixture: &StoreFixture) -> anyhow::Result<()> {
    fixture.store.record(&[large(&alert("big").to_users(["ana"]).build(), "ops")], at(0)).await?;
    let (one, two, three) = (fixture.another_handle(), fixture.another_handle(), fixture.another_handle());
    let claims = tokio::try_join!(
        one.claim_expansion(None, at(1), LEASE),
        two.claim_expansion(None, at(1), LEASE),
        three.claim_expansion(None, at(1), LEASE),
    )?;
    let held = [claims.0, claims.1, claims.2].into_iter().flatten().count();
    assert_eq!(held, 1);
    Ok(())
}

async fn tenants_take_turns_and_within_one_whoever_waits_longest(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (second, id) in ["a1", "a2", "a3"].into_iter().enumerate() {
        store.record(&[large(&alert(id).to_users(["ana"]).build(), "ops")], at(second as i64)).await?;
    }
    store
        .record(&[large(&of_tenant(&alert("g1").to_users(["ana"]).build(), "globex"), "ops")], at(9))
        .await?;
    let (mut order, mut last) = (Vec::new(), None);
    for turn in 0..8 {
        let held = claim(store, last.as_ref(), at(10 + turn)).await?.unwrap();
        store.release_expansion(&held, at(10 + turn)).await?;
        order.push(held.alert().to_string());
        last = Some(held.tenant().clone());
    }
    assert_eq!(order, ["a1", "g1", "a2", "g1", "a3", "g1", "a1", "g1"]);
    Ok(())
}

/// Delivered twice, or published twice.
async fn what_is_open_already_stays_where_it_is(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let big = large(&alert("big").to_users(["ana"]).build(), "ops");
    store.record(std::slice::from_ref(&big), at(0)).await?;
    let held = claim(store, None, at(0)).await?.unwrap();
    let nobody = NewAlert { recipients: Vec::new(), rest: None, ..big.clone() };
    store.record_page(&held, &nobody, Step { page: "p1", next_page: Some("p2") }, at(1)).await?;
    store.record(std::slice::from_ref(&big), at(1)).await?;
    store.release_expansion(&held, at(2)).await?;
    let held = claim(store, None, at(2)).await?.unwrap();
    assert_eq!(held.next_page.as_deref(), Some("p2"));

    // The same alert for others is another audience, and begins at its beginning.
    store.record(&[large(&big, "dev")], at(3)).await?;
    let other = claim(store, None, at(3)).await?.unwrap();
    assert_eq!(store.expanded_alert(&other).await?.as_deref(), Some("big to dev"));
    assert_eq!(other.next_page.as_deref(), Some("p1"));
    Ok(())
}

async fn a_later_version_ends_the_expansion_of_the_same_audience_alone(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = alert("big").to_users(["ana"]).build();
    store.record(&[large(&first, "ops")], at(0)).await?;
    store.record(&[large(&first, "dev")], at(1)).await?;
    let gone = claim(store, None, at(2)).await?.unwrap();
    assert_eq!(store.expanded_alert(&gone).await?.as_deref(), Some("big to ops"));
    let over = large(&later_version(&first).resolved().build(), "ops");
    store.record(std::slice::from_ref(&over), at(3)).await?;

    // Whoever is in the middle of the earlier one tells what is stored, and ends there.
    let page = NewAlert { recipients: users(["ben"]), rest: None, ..large(&first, "ops") };
    let RecordedPage { rows, is_held } =
        store.record_page(&gone, &page, Step { page: "p1", next_page: Some("p2") }, at(4)).await?;
    assert!(!is_held && store.expanded_alert(&gone).await?.is_none());
    assert_eq!((rows[0].version, &rows[0].content), (2, &over.content));
    store.release_expansion(&gone, at(4)).await?;
    let mut left = Vec::new();
    while let Some(held) = claim(store, None, at(5)).await? {
        let published = store.expanded_alert(&held).await?.unwrap();
        left.push((held.version(), published.to_string()));
    }
    left.sort();
    assert_eq!(left, [(1, "big to dev".to_owned()), (2, "big to ops".to_owned())]);
    Ok(())
}

async fn a_page_and_the_place_after_it_are_one_commit(fixture: &StoreFixture) -> anyhow::Result<()> {
    let big = large(&alert("big").to_users(["ana"]).build(), "ops");
    fixture.store.record(std::slice::from_ref(&big), at(0)).await?;
    let names: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = NewAlert { recipients: users(&names), rest: None, ..big };
    for given_up_after in [0, 1, 2, 4, 8, 16, 32, 64] {
        let held = claim(&fixture.store, None, at(1_000 * (given_up_after + 1))).await?.unwrap();
        let step = Step { page: "p1", next_page: Some("p2") };
        let recording = fixture.store.record_page(&held, &page, step, at(1));
        let waited = Duration::from_millis(given_up_after as u64);
        let answered = tokio::time::timeout(waited, recording).await;
        let place = claim(&fixture.store, None, at(1_000 * (given_up_after + 1) + 500)).await?.unwrap();
        let recorded = head(&fixture.store, &acme("u199")).await?.seq;
        assert_eq!(place.next_page.as_deref(), if recorded == 1 { Some("p2") } else { Some("p1") });
        assert!(answered.is_err() || recorded == 1, "what was answered is there");
    }
    Ok(())
}

/// Each page used to cost three commits: claimed, recorded, let go of.
async fn a_holder_goes_on_from_page_to_page_with_a_lease_from_the_last_one(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let big = large(&alert("big").to_users(["ana"]).build(), "ops");
    store.record(std::slice::from_ref(&big), at(0)).await?;
    let page = |names: &[&str]| NewAlert { recipients: users(names), rest: None, ..big.clone() };
    let mut held = claim(store, None, at(0)).await?.unwrap();
    for (name, step, now) in [
        ("ben", Step { page: "p1", next_page: Some("p2") }, 10),
        ("cleo", Step { page: "p2", next_page: Some("p3") }, 20),
    ] {
        assert!(store.record_page(&held, &page(&[name]), step, at(now)).await?.is_held);
        held.told(step);
        assert_eq!(claim(store, None, at(now + 14)).await?, None, "the lease runs from the last page");
    }
    assert_eq!((held.next_page.as_deref(), held.untold_page.as_deref()), (Some("p3"), None));
    // It vanishes: the page before the last was told, or it would not have gone on.
    let next = claim(store, None, at(35)).await?.unwrap();
    assert_eq!((next.next_page.as_deref(), next.untold_page.as_deref()), (Some("p3"), Some("p2")));
    Ok(())
}

async fn an_audience_is_passed_on_to_whoever_waits_in_one_commit(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (second, id) in ["a1", "a2"].into_iter().enumerate() {
        store.record(&[large(&alert(id).to_users(["ana"]).build(), "ops")], at(second as i64)).await?;
    }
    let mut held = claim(store, None, at(5)).await?.unwrap();
    let acme = held.tenant().clone();
    assert_eq!(store.whose_expansion_waits(&acme, at(5)).await?, Some(acme.clone()), "its own other one");
    let globex = of_tenant(&alert("g1").to_users(["ana"]).build(), "globex");
    store.record(&[large(&globex, "ops")], at(6)).await?;
    assert_eq!(store.whose_expansion_waits(&acme, at(6)).await?, Some(tenant("globex")));

    let mut order = vec![held.alert().to_string()];
    for second in 7..10 {
        held = store.pass_on_expansion(&held, at(second), LEASE).await?.unwrap();
        order.push(held.alert().to_string());
    }
    assert_eq!(order, ["a1", "g1", "a2", "g1"], "each was let go of for the next one");

    // Two that nobody is left of, and the one that waits.
    let nobody = NewAlert { recipients: Vec::new(), rest: None, ..globex.clone() };
    store.record_page(&held, &nobody, Step { page: "p1", next_page: None }, at(10)).await?;
    held = store.pass_on_expansion(&held, at(10), LEASE).await?.unwrap();
    assert_eq!(held.alert().as_str(), "a1");
    assert_eq!(store.whose_expansion_waits(held.tenant(), at(10)).await?, Some(acme), "a2, and no g1");
    Ok(())
}
