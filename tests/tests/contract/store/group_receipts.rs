//! Who takes an alert on for a group, who passes it on, and what that does to the others: by a page, once, and whatever comes between.

use watchbell::domain::{Acknowledgement, InboxState, Receipt, ReceiptState, Severity, StopReason, UserKey};
use watchbell::store::{GROUP_PAGE_MAX, GroupReceipt, NewAlert, RecordedRow, Store};
use watchbell_tests::builders::{acme, alert, alert_id, at, later_version, receipt, tenant, user};

use super::fixture::{LEASE, StoreFixture, head};
use super::timers::look;

on_both_engines!(
    to_look_takes_nothing_and_to_acknowledge_takes_it_from_all,
    the_first_who_acknowledges_has_it_until_it_is_anybodys_again,
    passing_on_makes_the_next_step_of_the_others_due_once,
    what_nobody_is_to_acknowledge_is_read_or_put_away,
    many_others_are_gone_through_page_by_page,
    what_cannot_be_carried_holds_up_no_other,
    what_is_given_back_is_told_to_the_others_as_if_it_had_come_now,
    only_whoever_has_it_gives_it_back_and_what_one_batch_says_counts_in_its_order,
    what_is_over_or_told_since_is_not_told_again_when_it_is_given_back,
);

fn to_three(id: &str) -> NewAlert {
    alert(id).to_users(["ana", "ben", "cleo"]).first_acknowledges().build()
}

fn says(who: &str, id: &str, state: ReceiptState) -> Receipt {
    receipt(&acme(who), [id], state)
}

/// Carries everything that is to be carried, and answers the rows that changed by it.
async fn carry(store: &Store, now: i64) -> anyhow::Result<Vec<RecordedRow>> {
    let mut rows = Vec::new();
    for one in store.group_receipts(at(now)).await? {
        loop {
            let page = store.carry(&one, GROUP_PAGE_MAX, at(now)).await?;
            rows.extend(page.rows);
            if !page.is_more {
                break;
            }
        }
    }
    assert_eq!(store.group_receipts(at(now)).await?, [], "it is gone when it is done");
    Ok(rows)
}

/// What `who` is shown: by pages and by changes alike.
async fn shown(store: &Store, who: &str, id: &str) -> anyhow::Result<(InboxState, Option<Acknowledgement>)> {
    let page = store.inbox_page(&acme(who), None, 50).await?;
    let row = page.rows.into_iter().find(|row| row.alert.as_str() == id).unwrap();
    let changes = store.changes_after(&acme(who), row.seq - 1, 50).await?;
    assert_eq!(changes.rows.first(), Some(&row), "a replay says the same");
    Ok((row.state, row.acknowledgement))
}

fn taken(by: &str, secs: i64) -> Option<Acknowledgement> {
    Some(Acknowledgement::Taken { by: user(by), at: at(secs) })
}

async fn told(store: &Store, who: &str, id: &str) -> anyhow::Result<Vec<String>> {
    let all = store.timeline(&tenant("acme"), &alert_id(id), Some(&user(who)), 1).await?.remove(0);
    Ok(all.entries.into_iter().map(|entry| entry.what).collect())
}

/// Whose escalations are due, and why they ended if they have.
async fn due(store: &Store, now: i64) -> anyhow::Result<Vec<(UserKey, Option<StopReason>)>> {
    let mut due = Vec::new();
    for claim in store.claim_due(at(now), LEASE, 10).await? {
        let stopped = look(store, &claim, at(now)).await?.progress.stopped;
        due.push((claim.key.user, stopped));
    }
    due.sort_by_key(|(user, stopped)| (user.clone(), stopped.map(StopReason::as_str)));
    Ok(due)
}

async fn to_look_takes_nothing_and_to_acknowledge_takes_it_from_all(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let recorded = store.record(&[to_three("a"), to_three("b")], at(0)).await?;
    assert!(recorded.iter().all(|row| row.acknowledgement == Some(Acknowledgement::Open)));
    // Whatever one does with it, the others are chased.
    let looked = [
        ReceiptState::Delivered,
        ReceiptState::Seen,
        ReceiptState::Read,
        ReceiptState::Unread,
        ReceiptState::Dismissed,
    ];
    store.apply_receipts(&looked.map(|state| says("ana", "a", state)), at(1)).await?;
    assert_eq!(carry(store, 1).await?, []);
    assert_eq!(shown(store, "ben", "a").await?, (InboxState::New, Some(Acknowledgement::Open)));

    // Before it is carried to the others, they find it out when they come due.
    store.apply_receipts(&[says("ana", "b", ReceiptState::Read)], at(2)).await?;
    let before = head(store, &acme("ben")).await?;
    let said = store.apply_receipts(&[says("ana", "b", ReceiptState::Acknowledged)], at(3)).await?;
    assert!(said[0].is_some(), "a change, also of what was read");
    let stop = |who: &str, why| (acme(who), why);
    let acknowledged = Some(StopReason::Acknowledged);
    let found = due(store, 30).await?;
    let expected =
        [stop("ben", None), stop("ben", acknowledged), stop("cleo", None), stop("cleo", acknowledged)];
    assert_eq!(found, expected, "of each the one that is ana's and the one that is nobody's");

    let rows = carry(store, 31).await?;
    let told_to: Vec<_> = rows.iter().map(|row| (row.user.as_str(), row.state, row.unread)).collect();
    let expected = [("ana", InboxState::Read, 0), ("ben", InboxState::New, 2), ("cleo", InboxState::New, 2)];
    assert_eq!(told_to, expected);
    assert!(rows.iter().all(|row| row.acknowledgement == taken("ana", 3)), "{rows:?}");
    let after = head(store, &acme("ben")).await?;
    assert_eq!((after.seq, after.unread), (before.seq + 1, before.unread), "one change (I3)");
    for who in ["ana", "ben", "cleo"] {
        assert_eq!(shown(store, who, "b").await?.1, taken("ana", 3), "{who}");
    }
    assert!(told(store, "ana", "b").await?.iter().any(|what| what.starts_with("acknowledged by session")));
    let ended = "escalation ended: another recipient acknowledged it".to_owned();
    assert_eq!(told(store, "cleo", "b").await?.iter().filter(|what| **what == ended).count(), 1);
    assert_eq!(due(store, 3_000).await?, [stop("ben", None), stop("cleo", None)], "of the other alert");
    Ok(())
}

async fn the_first_who_acknowledges_has_it_until_it_is_anybodys_again(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = to_three("a");
    store.record(std::slice::from_ref(&first), at(0)).await?;
    // Two at once, and one of them twice.
    let both = [
        says("ben", "a", ReceiptState::Acknowledged),
        says("ana", "a", ReceiptState::Acknowledged),
        says("ben", "a", ReceiptState::Acknowledged),
    ];
    let said = store.apply_receipts(&both, at(1)).await?;
    assert_eq!(said.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    let due_receipts = store.group_receipts(at(1)).await?;
    let (said, version) = (ReceiptState::Acknowledged, 1);
    assert_eq!(due_receipts, [GroupReceipt { by: acme("ben"), alert: alert_id("a"), said, version }]);
    carry(store, 1).await?;
    store.apply_receipts(&[says("cleo", "a", ReceiptState::Acknowledged)], at(2)).await?;
    assert_eq!(carry(store, 2).await?, [], "it is ben's");
    assert_eq!(shown(store, "cleo", "a").await?, (InboxState::Read, taken("ben", 1)));

    // A text that is corrected leaves it his; one who is new to the alert is not chased for it.
    let corrected = later_version(&first).to_users(["ana", "ben", "cleo", "dora"]).build();
    let rows = store.record(std::slice::from_ref(&corrected), at(3)).await?;
    assert!(rows.iter().all(|row| row.acknowledgement == taken("ben", 1)), "{rows:?}");
    assert_eq!(due(store, 40).await?, [(acme("dora"), Some(StopReason::Acknowledged))]);

    // Worse, and it is anybody's; so it is when it fires again.
    let worse = later_version(&corrected).critical().build();
    let over = later_version(&worse).resolved().build();
    let again = later_version(&over).firing().build();
    let open = Some(Acknowledgement::Open);
    store.record(std::slice::from_ref(&worse), at(50)).await?;
    assert_eq!(shown(store, "ana", "a").await?, (InboxState::New, open.clone()));
    store.apply_receipts(&[says("ana", "a", ReceiptState::Acknowledged)], at(51)).await?;
    assert_eq!(shown(store, "ben", "a").await?.1, taken("ana", 51));
    // What was said of the version before that is carried late, and takes nothing from anybody.
    store.record(&[over, again.clone()], at(52)).await?;
    assert_eq!(again.alert.severity, Severity::Critical);
    assert_eq!(carry(store, 52).await?, []);
    assert_eq!(shown(store, "ben", "a").await?.1, open);
    let chased = due(store, 90).await?;
    assert!(chased.len() == 4 && chased.iter().all(|(_, stopped)| stopped.is_none()), "{chased:?}");
    Ok(())
}

async fn passing_on_makes_the_next_step_of_the_others_due_once(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = to_three("a");
    store.record(std::slice::from_ref(&first), at(0)).await?;
    store.apply_receipts(&[says("cleo", "a", ReceiptState::Seen)], at(1)).await?;
    let said = store.apply_receipts(&[says("ana", "a", ReceiptState::PassedOn)], at(2)).await?;
    assert_eq!(said[0].as_ref().map(|said| said.unread), Some(0));
    assert_eq!(shown(store, "ana", "a").await?.0, InboxState::Dismissed);
    assert_eq!(store.next_due().await?, Some(at(30)), "the others were not gone through yet");
    let pending = store.group_receipts(at(2)).await?;
    assert_eq!(carry(store, 3).await?, [], "no row changes by it");
    assert_eq!(store.next_due().await?, Some(at(3)));
    assert_eq!(due(store, 3).await?, [(acme("ben"), None)], "ana and cleo are chased no more");
    assert!(told(store, "ana", "a").await?.iter().any(|what| what.starts_with("passed on by session")));
    let hastened = "another recipient passed it on: the next step is due now".to_owned();
    let count = async |who| {
        Ok::<_, anyhow::Error>(told(store, who, "a").await?.iter().filter(|what| **what == hastened).count())
    };
    assert_eq!((count("ben").await?, count("cleo").await?), (1, 0));

    // Said again, brought back in between, and carried by somebody who comes late: nothing more follows.
    let again = [
        says("ana", "a", ReceiptState::PassedOn),
        says("ana", "a", ReceiptState::Unread),
        says("ana", "a", ReceiptState::PassedOn),
    ];
    store.apply_receipts(&again, at(4)).await?;
    assert_eq!(store.group_receipts(at(4)).await?, []);
    assert!(!store.carry(&pending[0], GROUP_PAGE_MAX, at(4)).await?.is_more);
    assert_eq!(count("ben").await?, 1);

    // Whoever said "not me" may have it all the same; then there is nothing left to pass on.
    store.apply_receipts(&[says("ana", "a", ReceiptState::Acknowledged)], at(5)).await?;
    assert_eq!(shown(store, "ana", "a").await?, (InboxState::Read, taken("ana", 5)));
    store.apply_receipts(&[says("ben", "a", ReceiptState::PassedOn)], at(6)).await?;
    assert_eq!(carry(store, 6).await?.len(), 3, "that ana has it");
    assert_eq!(count("cleo").await?, 0);
    Ok(())
}

async fn what_nobody_is_to_acknowledge_is_read_or_put_away(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let each = alert("each").to_users(["ana", "ben"]).build();
    let first_stops_all = alert("stops").to_users(["ana", "ben"]).first_stops_all().build();
    let over = alert("over").to_users(["ana", "ben"]).first_acknowledges().resolved().build();
    store.record(&[each, first_stops_all, over], at(0)).await?;
    for (id, state) in [
        ("each", ReceiptState::Acknowledged),
        ("stops", ReceiptState::PassedOn),
        ("over", ReceiptState::Acknowledged),
    ] {
        store.apply_receipts(&[says("ana", id, state)], at(1)).await?;
    }
    let again = store.apply_receipts(&[says("ana", "over", ReceiptState::Acknowledged)], at(2)).await?;
    assert_eq!(again, [None], "said twice");
    assert_eq!(shown(store, "ana", "each").await?, (InboxState::Read, None));
    assert_eq!(shown(store, "ana", "stops").await?, (InboxState::Dismissed, None));
    assert_eq!(store.group_receipts(at(1)).await?, []);
    assert_eq!(due(store, 30).await?, [(acme("ben"), None), (acme("ben"), None)], "as before");
    // To acknowledge is to look, too.
    store.apply_receipts(&[says("ana", "stops", ReceiptState::Acknowledged)], at(31)).await?;
    let stopped: Vec<_> = due(store, 61).await?.into_iter().filter_map(|(_, stopped)| stopped).collect();
    assert_eq!(stopped, [StopReason::Acknowledged]);
    Ok(())
}

async fn many_others_are_gone_through_page_by_page(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..501).map(|n| format!("p{n:03}")).collect();
    let new = alert("a").to_users(&names).first_acknowledges().build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    store.apply_receipts(&[says("p007", "a", ReceiptState::Acknowledged)], at(1)).await?;
    let receipt = store.group_receipts(at(1)).await?.remove(0);
    let first = store.carry(&receipt, GROUP_PAGE_MAX, at(2)).await?;
    assert_eq!((first.rows.len(), first.is_more), (500, true));
    // Whoever goes on, also after a crash, begins behind that page.
    let another = store.group_receipts(at(2)).await?;
    assert_eq!(another, std::slice::from_ref(&receipt));
    let second = store.carry(&another[0], GROUP_PAGE_MAX, at(3)).await?;
    assert_eq!((second.rows.len(), second.is_more), (1, false));
    assert_eq!(second.rows[0].user, user("p500"));
    assert_eq!(store.carry(&receipt, GROUP_PAGE_MAX, at(4)).await?, Default::default(), "it is done");
    assert_eq!(store.next_due().await?, None, "nobody is chased");
    Ok(())
}

async fn what_cannot_be_carried_holds_up_no_other(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[to_three("a"), to_three("b")], at(0)).await?;
    for (id, secs) in [("a", 1), ("b", 2)] {
        store.apply_receipts(&[says("ana", id, ReceiptState::PassedOn)], at(secs)).await?;
    }
    let due = store.group_receipts(at(2)).await?;
    assert_eq!(due.iter().map(|one| one.alert.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    store.put_off_group_receipt(&due[0], at(600)).await?;
    assert_eq!(store.group_receipts(at(2)).await?, &due[1..]);
    assert_eq!(store.group_receipts(at(600)).await?.len(), 2);
    Ok(())
}

async fn what_is_given_back_is_told_to_the_others_as_if_it_had_come_now(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let everybody = ["ana", "ben", "cleo", "dora", "eve"];
    let new = alert("a").to_users(everybody).first_acknowledges().build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    store.apply_receipts(&[says("cleo", "a", ReceiptState::Seen)], at(1)).await?;
    store.apply_receipts(&[says("dora", "a", ReceiptState::Dismissed)], at(1)).await?;
    store.apply_receipts(&[says("ana", "a", ReceiptState::Acknowledged)], at(2)).await?;
    carry(store, 2).await?;
    store.apply_receipts(&[says("eve", "a", ReceiptState::Read)], at(3)).await?;
    assert_eq!(due(store, 1_000).await?, [], "it is ana's, and nobody is chased");

    // Also when she had put it away meanwhile.
    store.apply_receipts(&[says("ana", "a", ReceiptState::Dismissed)], at(1_001)).await?;
    let said = store.apply_receipts(&[says("ana", "a", ReceiptState::PassedOn)], at(1_002)).await?;
    assert!(said[0].is_some(), "a change, also of what was put away");
    let rows = carry(store, 1_003).await?;
    let shown_to: Vec<_> = rows.iter().map(|row| (row.user.as_str(), row.state, row.unread)).collect();
    let (again, away) = (InboxState::New, InboxState::Dismissed);
    let expected =
        [("ana", away, 0), ("ben", again, 1), ("cleo", again, 1), ("dora", away, 0), ("eve", again, 1)];
    assert_eq!(shown_to, expected);
    for who in everybody {
        assert_eq!(shown(store, who, "a").await?.1, Some(Acknowledgement::Open), "{who}");
    }
    let chased = [(acme("ben"), None), (acme("cleo"), None), (acme("eve"), None)];
    assert_eq!(due(store, 1_003).await?, chased, "at once, whoever did not put it away");
    assert!(told(store, "ana", "a").await?.iter().any(|what| what.starts_with("given back by session")));
    let again = "whoever had it gave it back: chased again from the first step, which is due now".to_owned();
    assert_eq!(told(store, "eve", "a").await?.iter().filter(|what| **what == again).count(), 1);

    // It is as it was: to look ends one's own escalation, and whoever wants it has it.
    store.apply_receipts(&[says("cleo", "a", ReceiptState::Seen)], at(1_004)).await?;
    store.apply_receipts(&[says("ben", "a", ReceiptState::Acknowledged)], at(1_005)).await?;
    carry(store, 1_005).await?;
    assert_eq!(shown(store, "eve", "a").await?.1, taken("ben", 1_005));
    assert_eq!(store.next_due().await?, None);

    // Given back a second time, it is told a second time; so it is by one who passed it on before.
    for (taker, secs) in [("ana", 2_000), ("ana", 3_000)] {
        let giver = if secs == 2_000 { "ben" } else { "ana" };
        store.apply_receipts(&[says(giver, "a", ReceiptState::PassedOn)], at(secs)).await?;
        assert_eq!(carry(store, secs).await?.len(), 5);
        assert!(due(store, secs).await?.contains(&(acme("eve"), None)), "{secs}");
        store.apply_receipts(&[says(taker, "a", ReceiptState::Acknowledged)], at(secs + 1)).await?;
        carry(store, secs + 1).await?;
    }
    Ok(())
}

async fn only_whoever_has_it_gives_it_back_and_what_one_batch_says_counts_in_its_order(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use ReceiptState::{Acknowledged, PassedOn};
    store.record(&[to_three("a")], at(0)).await?;
    type Said = &'static [(&'static str, ReceiptState)];
    let steps: [(&str, Said, Option<&str>); 6] = [
        ("taken", &[("ana", Acknowledged)], Some("ana")),
        ("by another it is put away", &[("ben", PassedOn)], Some("ana")),
        ("given back and taken again", &[("ana", PassedOn), ("ana", Acknowledged)], Some("ana")),
        ("given back, and another has it", &[("ana", PassedOn), ("ben", Acknowledged)], Some("ben")),
        ("taken twice and given back", &[("ben", Acknowledged), ("ben", PassedOn)], None),
        ("taken and given back", &[("cleo", Acknowledged), ("cleo", PassedOn)], None),
    ];
    for ((why, says_all, expected), secs) in steps.into_iter().zip(1..) {
        let batch: Vec<_> = says_all.iter().map(|(who, state)| says(who, "a", *state)).collect();
        store.apply_receipts(&batch, at(secs)).await?;
        carry(store, secs).await?;
        let has_it = match shown(store, "ana", "a").await?.1 {
            Some(Acknowledgement::Taken { by, .. }) => Some(by.as_str().to_owned()),
            _ => None,
        };
        assert_eq!(has_it.as_deref(), expected, "{why}");
    }
    // Pages of what was said before are begun anew by what is said again.
    let names: Vec<String> = (0..3).map(|n| format!("p{n}")).collect();
    store.record(&[alert("b").to_users(&names).first_acknowledges().build()], at(10)).await?;
    store.apply_receipts(&[says("p0", "b", Acknowledged)], at(11)).await?;
    let first = store.group_receipts(at(11)).await?.remove(0);
    assert!(store.carry(&first, 1, at(11)).await?.is_more);
    store.apply_receipts(&[says("p0", "b", PassedOn), says("p0", "b", Acknowledged)], at(12)).await?;
    carry(store, 12).await?;
    for who in ["p0", "p1", "p2"] {
        assert_eq!(shown(store, who, "b").await?.1, taken("p0", 12), "{who}");
    }
    Ok(())
}

async fn what_is_over_or_told_since_is_not_told_again_when_it_is_given_back(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = to_three("a");
    store.record(std::slice::from_ref(&first), at(0)).await?;
    store.apply_receipts(&[says("ana", "a", ReceiptState::Acknowledged)], at(1)).await?;
    carry(store, 1).await?;
    store.apply_receipts(&[says("ana", "a", ReceiptState::PassedOn)], at(2)).await?;
    // Before it is carried, a worse version tells everybody, and ben looks.
    store.record(&[later_version(&first).critical().build()], at(3)).await?;
    store.apply_receipts(&[says("ben", "a", ReceiptState::Seen)], at(4)).await?;
    carry(store, 5).await?;
    assert_eq!(shown(store, "ben", "a").await?.0, InboxState::Seen);
    let chased = due(store, 40).await?;
    assert!(chased.iter().all(|(user, _)| *user != acme("ben")), "{chased:?}");

    let brief = to_three("b");
    store.record(std::slice::from_ref(&brief), at(100)).await?;
    store.apply_receipts(&[says("ana", "b", ReceiptState::Acknowledged)], at(101)).await?;
    carry(store, 101).await?;
    store.record(&[later_version(&brief).resolved().build()], at(102)).await?;
    store.apply_receipts(&[says("ana", "b", ReceiptState::PassedOn)], at(103)).await?;
    assert_eq!(carry(store, 103).await?, [], "it is over");
    Ok(())
}
