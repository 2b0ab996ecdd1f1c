//! What its producer suppressed until a time is to fire again then, unless the producer says something else first.

use watchbell::domain::{InboxState, ReceiptState, Status};
use watchbell::store::{NewAlert, Rest};
use watchbell_tests::builders::{
    acme, alert, alert_id, at, changed, later_version, receipt, tenant, user, users,
};

use super::fixture::{StoreFixture, head, inbox};

on_both_engines!(
    a_suppressed_alert_is_due_when_its_time_has_passed,
    whatever_its_producer_says_in_between_wins,
    it_fires_again_for_everybody_who_holds_it,
);

/// `new`, suppressed until `until` by its next version.
fn suppressed(new: &NewAlert, until: i64) -> NewAlert {
    later_version(new).status(Status::Suppressed).dismissed_until(Some(at(until))).build()
}

/// `new`, fired again by itself.
fn returned(new: &NewAlert) -> NewAlert {
    let rest = Some(Rest { published: "{}".into(), next_page: "holders".into() });
    let fires = later_version(new).firing().dismissed_until(None).build();
    NewAlert { returns: true, recipients: Vec::new(), rest, ..fires }
}

async fn a_suppressed_alert_is_due_when_its_time_has_passed(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let policy = |new: &NewAlert| changed(new).policy("critical").build();
    let first = policy(&alert("a").to_users(["ana"]).build());
    let second = suppressed(&first, 600);
    store.record(&[first, second.clone()], at(0)).await?;
    store.record(&[suppressed(&alert("b").to_users(["ana"]).build(), -5)], at(0)).await?;
    let due = store.due_returns(at(599)).await?;
    assert_eq!(due.iter().map(|due| due.alert.as_str()).collect::<Vec<_>>(), ["b"], "its time has passed");
    let due = store.due_returns(at(600)).await?;
    assert_eq!(due.iter().map(|due| due.alert.as_str()).collect::<Vec<_>>(), ["b", "a"], "in their order");
    let latest = &due[1].latest;
    assert_eq!((&*latest.content, latest.version), (&*second.content, 2));
    assert_eq!((latest.policy.as_deref(), &due[1].tenant), (Some("critical"), &tenant("acme")));

    // What cannot return now is tried later, and holds up nobody else's.
    store.put_off_return(&due[0], at(900)).await?;
    let due = store.due_returns(at(600)).await?;
    assert_eq!(due.iter().map(|due| due.alert.as_str()).collect::<Vec<_>>(), ["a"]);

    store.record(&[returned(&second)], at(600)).await?;
    assert_eq!(store.due_returns(at(899)).await?, []);
    store.record(&[returned(&second)], at(601)).await?;
    assert_eq!(store.latest(&tenant("acme"), &alert_id("a")).await?.unwrap().version, 3, "once");
    Ok(())
}

async fn whatever_its_producer_says_in_between_wins(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (number, (why, status, until, due)) in [
        ("it is over", Status::Resolved, Some(600), None),
        ("it fires", Status::Firing, Some(600), None),
        ("another time", Status::Suppressed, Some(900), Some(900)),
        ("for good", Status::Suppressed, None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let first = alert(&format!("a{number}")).to_users(["ana"]).build();
        let second = suppressed(&first, 600);
        store.record(&[first, second.clone()], at(0)).await?;
        let third = later_version(&second).status(status).dismissed_until(until.map(at)).build();
        // Found before the producer's version came, and recorded after it.
        assert_eq!(store.due_returns(at(600)).await?.len(), 1, "{why}");
        store.record(std::slice::from_ref(&third), at(600)).await?;
        store.record(&[returned(&second)], at(600)).await?;
        let latest = store.latest(&tenant("acme"), &third.alert.id).await?.unwrap();
        assert_eq!((latest.version, &*latest.content), (3, &*third.content), "{why}");
        assert_eq!(store.due_returns(at(899)).await?, [], "{why}");
        let later = store.due_returns(at(900)).await?;
        assert_eq!(later.len(), usize::from(due.is_some()), "{why}");
        for due in later {
            store.put_off_return(&due, at(99_999)).await?;
        }
        while let Some(held) = store.claim_expansion(None, at(600), std::time::Duration::ZERO).await? {
            store.record_page(&held, &NewAlert { rest: None, ..third.clone() }, END, at(600)).await?;
            store.release_expansion(&held, at(600)).await?;
        }
        let told = store.timeline(&tenant("acme"), &third.alert.id, Some(&user("ana")), 1).await?.remove(0);
        assert!(told.entries.iter().all(|entry| !entry.what.contains("came back")), "{why}: {told:?}");
    }
    Ok(())
}

const END: watchbell::store::Step<'static> = watchbell::store::Step { page: "holders", next_page: None };

async fn it_fires_again_for_everybody_who_holds_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = alert("a").to_users(["ana", "ben"]).build();
    let second = suppressed(&first, 600);
    store.record(&[first, second.clone()], at(0)).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Dismissed)], at(1)).await?;
    assert_eq!(store.next_due().await?, None);
    // Its first step waits for 30 s, counted from when each page of its holders is recorded.
    let third = NewAlert { first_due_at: Some(at(630)), ..returned(&second) };
    store.record(std::slice::from_ref(&third), at(600)).await?;
    let held = store.claim_expansion(None, at(600), std::time::Duration::ZERO).await?.unwrap();
    assert_eq!((held.version(), held.next_page.as_deref()), (3, Some("holders")));

    let again = NewAlert { recipients: users(["ana", "ben"]), rest: None, ..third };
    let rows = store.record_page(&held, &again, END, at(601)).await?.rows;
    assert!(rows.iter().all(|row| row.changed && row.state == InboxState::New), "{rows:?}");
    assert_eq!(head(store, &acme("ana")).await?.unread, 1, "although she had put it away");
    assert_eq!(inbox(store, &acme("ben")).await?, [("a".to_owned(), 3, InboxState::New)]);
    assert_eq!(store.next_due().await?, Some(at(631)), "chased anew");
    let told = store.timeline(&tenant("acme"), &alert_id("a"), Some(&user("ben")), 1).await?.remove(0);
    let back = told.entries.iter().find(|entry| entry.what == "came back: dismissed_until passed");
    assert_eq!(back.map(|entry| entry.at), Some(at(600)));
    Ok(())
}
