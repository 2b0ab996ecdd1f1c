//! Pages and replay lose nothing, from wherever they start (I3).

use std::{collections::BTreeMap, sync::Arc};

use watchbell::domain::{InboxState, ReceiptState, Seq, Severity, Status, UserKey};
use watchbell::store::{Changes, Head, InboxPage, NewAlert, PAGE_BYTES_MAX, Store};
use watchbell_tests::builders::{acme, alert, at, later_version, receipt};

use super::fixture::{Dice, StoreFixture, head};

on_both_engines!(
    changes_come_in_order_and_say_whether_that_is_all,
    a_number_is_never_split,
    pages_of_an_inbox_are_the_inbox,
    changes_and_pages_are_of_one_moment,
    heads_are_of_those_who_are_known,
    replay_from_any_cursor_is_a_full_read,
    pages_are_bounded_in_bytes_and_lead_on,
    a_change_longer_than_a_page_is_read_in_parts,
);

/// An alert of so many bytes for ana.
fn long_alert(id: &str, bytes: usize) -> NewAlert {
    alert(id).to_users(["ana"]).content("x".repeat(bytes)).build()
}

/// The names of the alerts on each page of ana's inbox.
async fn pages(store: &Store, limit: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let (mut start, mut pages) = (None, Vec::new());
    loop {
        let page = store.inbox_page(&acme("ana"), start.as_ref(), limit).await?;
        pages.push(page.rows.into_iter().map(|row| row.alert.to_string()).collect());
        let Some(next) = page.next else { return Ok(pages) };
        start = Some(next);
    }
}

async fn pages_are_bounded_in_bytes_and_lead_on(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    const HALF: usize = PAGE_BYTES_MAX / 2;
    let ana = acme("ana");
    let alerts: Vec<NewAlert> = [("a", HALF), ("b", HALF), ("c", 1), ("d", 2 * HALF + 1), ("e", 1)]
        .map(|(id, bytes)| long_alert(id, bytes))
        .to_vec();
    store.record(&alerts, at(0)).await?;
    assert_eq!(
        pages(store, 100).await?,
        [vec!["e"], vec!["d"], vec!["c", "b"], vec!["a"]],
        "the newest first"
    );
    assert_eq!(pages(store, 1).await?.concat(), ["e", "d", "c", "b", "a"], "the bound in rows holds as well");
    let (mut after, mut replayed) = (0, Vec::new());
    loop {
        let changes = store.changes_after(&ana, after, 100).await?;
        assert!(!changes.too_long, "an alert that is too long for a page comes alone");
        replayed.push(changes.rows.iter().map(|row| row.alert.to_string()).collect::<Vec<_>>());
        after = changes.rows.last().map_or(after, |row| row.seq);
        if changes.complete {
            break;
        }
    }
    assert_eq!(replayed.concat(), ["a", "b", "c", "d", "e"], "{replayed:?}");
    assert_eq!(replayed[0], ["a", "b"], "as many as fit");
    Ok(())
}

/// A receipt changes many alerts under one number. A replay does not split it, and a page of the inbox does.
async fn a_change_longer_than_a_page_is_read_in_parts(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let names: Vec<String> = (0..20).map(|n| format!("a{n:02}")).collect();
    let alerts: Vec<NewAlert> = names.iter().map(|id| long_alert(id, PAGE_BYTES_MAX / 8)).collect();
    store.record(&alerts, at(0)).await?;
    store
        .apply_receipts(&[receipt(&ana, names.iter().map(String::as_str), ReceiptState::Seen)], at(1))
        .await?;
    let found = pages(store, 200).await?;
    assert_eq!(found.concat(), names, "each once, in order: {found:?}");
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4], "as many as fit");
    let changes = store.changes_after(&ana, 20, 100).await?;
    assert_eq!((changes.rows.len(), changes.complete, changes.too_long), (0, false, true));
    Ok(())
}

async fn changes_come_in_order_and_say_whether_that_is_all(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let nothing = Changes { rows: Vec::new(), head: Head::default(), complete: true, too_long: false };
    assert_eq!(store.changes_after(&ana, 0, 10).await?, nothing, "nobody has an empty inbox");
    store
        .record(&(0..5).map(|n| alert(&format!("a{n}")).to_users(["ana"]).build()).collect::<Vec<_>>(), at(0))
        .await?;
    store.apply_receipts(&[receipt(&ana, ["a1"], ReceiptState::Read)], at(1)).await?;

    for (why, after, limit, expected, complete) in [
        ("everything, what changed last at the end", 0, 10, &[1, 3, 4, 5, 6][..], true),
        ("exactly as many as there are", 0, 5, &[1, 3, 4, 5, 6], true),
        ("one fewer", 0, 4, &[1, 3, 4, 5], false),
        ("after a number that moved on", 2, 2, &[3, 4], false),
        ("the last one", 5, 1, &[6], true),
        ("up to date", 6, 10, &[], true),
        ("ahead, as after a restore", 60, 10, &[], true),
    ] {
        let changes = store.changes_after(&ana, after, limit).await?;
        assert_eq!(changes.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), expected, "{why}");
        assert_eq!(
            (changes.complete, changes.head),
            (complete, Head { seq: 6, unread: 4, ..Head::default() }),
            "{why}"
        );
    }
    Ok(())
}

async fn a_number_is_never_split(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    store
        .record(&(0..8).map(|n| alert(&format!("a{n}")).to_users(["ana"]).build()).collect::<Vec<_>>(), at(0))
        .await?;
    let seen = receipt(&ana, ["a1", "a3", "a5", "a7"], ReceiptState::Seen);
    store.apply_receipts(&[seen, receipt(&ana, ["a0"], ReceiptState::Seen)], at(1)).await?;
    // By number: a2, a4, a6 under 3, 5, 7; the four under 9; a0 under 10.
    for (after, limit, expected, complete) in [
        (0, 4, &[3, 5, 7, 9, 9, 9, 9][..], false),
        (7, 1, &[9, 9, 9, 9], false),
        (7, 4, &[9, 9, 9, 9], false),
        (7, 5, &[9, 9, 9, 9, 10], true),
    ] {
        let changes = store.changes_after(&ana, after, limit).await?;
        let seqs: Vec<Seq> = changes.rows.iter().map(|row| row.seq).collect();
        assert_eq!((seqs.as_slice(), changes.complete), (expected, complete), "{limit} after {after}");
    }
    let page = store.inbox_page(&ana, None, 2).await?;
    assert_eq!(page.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [10, 9, 9, 9, 9]);
    Ok(())
}

async fn pages_of_an_inbox_are_the_inbox(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    let nothing = InboxPage { head: Head::default(), rows: Vec::new(), next: None };
    assert_eq!(store.inbox_page(&ana, None, 3).await?, nothing);
    store
        .record(
            &(0..10).map(|n| alert(&format!("a{n}")).to_users(["ana"]).build()).collect::<Vec<_>>(),
            at(0),
        )
        .await?;
    let read = receipt(&ana, ["a2", "a3", "a4", "a5"], ReceiptState::Read);
    store.apply_receipts(&[read], at(1)).await?;
    for limit in 1..=11 {
        let (mut start, mut alerts) = (None, Vec::new());
        loop {
            let page = store.inbox_page(&ana, start.as_ref(), limit).await?;
            assert_eq!(page.head, Head { seq: 11, unread: 6, ..Head::default() });
            alerts.extend(page.rows.into_iter().map(|row| row.alert.to_string()));
            let Some(next) = page.next else { break };
            start = Some(next);
        }
        let expected = ["a2", "a3", "a4", "a5", "a9", "a8", "a7", "a6", "a1", "a0"];
        assert_eq!(alerts, expected, "newest change first, in pages of {limit}");
    }
    Ok(())
}

/// Head and rows are of one moment. Once, a change between the reading of the two was replayed with the badge from
/// before it. With the rows cut at the head instead, an alert whose receipt came in between was in neither: its screen
/// was told of the receipt of an alert that it had never shown.
async fn changes_and_pages_are_of_one_moment(fixture: &StoreFixture) -> anyhow::Result<()> {
    const ALERTS: u64 = 100;
    let ana = acme("ana");
    let writer = fixture.another_handle();
    let write = async {
        for n in 0..ALERTS {
            let id = format!("a{n}");
            writer.record(&[alert(&id).to_users(["ana"]).build()], at(0)).await?;
            writer.apply_receipts(&[receipt(&ana, [&id], ReceiptState::Seen)], at(1)).await?;
        }
        anyhow::Ok(())
    };
    let read = async {
        loop {
            let changes = fixture.store.changes_after(&ana, 0, 1_000).await?;
            let last = changes.rows.last().map_or(0, |row| row.seq);
            assert_eq!((last, changes.rows.len() as u64), (changes.head.seq, changes.head.unread));
            let page = fixture.store.inbox_page(&ana, None, 1_000).await?;
            let first = page.rows.first().map_or(0, |row| row.seq);
            let unread = page.rows.iter().filter(|row| row.state.is_unread()).count() as u64;
            assert_eq!((first, unread), (page.head.seq, page.head.unread));
            if last == 2 * ALERTS {
                return anyhow::Ok(());
            }
        }
    };
    tokio::try_join!(write, read)?;
    Ok(())
}

async fn heads_are_of_those_who_are_known(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store
        .record(&[alert("a").to_users(["ana", "ben"]).build(), alert("b").to_users(["ben"]).build()], at(0))
        .await?;
    let heads = store.heads(&[acme("ben"), acme("ana"), acme("nobody"), acme("ana")]).await?;
    assert_eq!(heads.len(), 2);
    assert_eq!(heads[&acme("ana")], Head { seq: 1, unread: 1, ..Head::default() });
    assert_eq!(heads[&acme("ben")], Head { seq: 2, unread: 2, ..Head::default() });
    Ok(())
}

/// What a client shows: each alert with its number, state and content.
type Shown = BTreeMap<String, (Seq, InboxState, Arc<str>)>;

/// Clients leave at random moments of a random history. Whichever comes back, with whatever page size, shows in
/// the end what somebody shows who starts from nothing.
async fn replay_from_any_cursor_is_a_full_read(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    const SEED: u64 = 20_261_121;
    let mut dice = Dice::new(SEED);
    let mut alerts: Vec<NewAlert> = (0..12)
        .map(|n| {
            alert(&format!("a{n}")).to_users([&["ana", "ben"][..], &["ana"], &["ben", "cas"]][n % 3]).build()
        })
        .collect();
    let people = [acme("ana"), acme("ben"), acme("cas")];
    let mut numbers: BTreeMap<UserKey, Seq> = BTreeMap::new();
    let mut left: Vec<(UserKey, Seq, Shown)> =
        people.iter().map(|user| (user.clone(), 0, Shown::new())).collect();
    for _ in 0..60 {
        for (user, changes) in change_something(store, &mut dice, &mut alerts, &people).await? {
            *numbers.entry(user).or_default() += changes;
        }
        let user = dice.pick(&people).clone();
        let shown = catch_up(store, &user, 0, Shown::new(), 1_000).await?;
        let head = head(store, &user).await?;
        assert_eq!(
            head.seq,
            numbers.get(&user).copied().unwrap_or_default(),
            "one number a change, seed {SEED}"
        );
        assert_eq!(head.seq, shown.values().map(|(seq, ..)| *seq).max().unwrap_or_default());
        assert_eq!(head.unread, shown.values().filter(|(_, state, _)| state.is_unread()).count() as u64);
        left.push((user, head.seq, shown));
    }
    for (user, cursor, shown) in left {
        let expected = catch_up(store, &user, 0, Shown::new(), 1_000).await?;
        let limit = 1 + dice.roll(5);
        let shows = catch_up(store, &user, cursor, shown, limit).await?;
        assert_eq!(shows, expected, "{user:?} from {cursor} by {limit}, seed {SEED}");
    }
    Ok(())
}

/// Follows pages until the store says that is all.
async fn catch_up(
    store: &Store,
    user: &UserKey,
    mut cursor: Seq,
    mut shown: Shown,
    limit: usize,
) -> anyhow::Result<Shown> {
    loop {
        let page = store.changes_after(user, cursor, limit).await?;
        for row in page.rows {
            assert!(row.seq >= cursor, "pages come in order");
            cursor = row.seq;
            shown.insert(row.alert.to_string(), (row.seq, row.state, row.content));
        }
        if page.complete {
            assert_eq!(cursor, page.head.seq, "complete means up to the head");
            return Ok(shown);
        }
    }
}

/// Publishes, updates or says something; returns how many changes each user had by it.
async fn change_something(
    store: &Store,
    dice: &mut Dice,
    alerts: &mut [NewAlert],
    people: &[UserKey],
) -> anyhow::Result<Vec<(UserKey, Seq)>> {
    let states = [ReceiptState::Seen, ReceiptState::Read, ReceiptState::Dismissed, ReceiptState::Unread];
    if dice.roll(2) == 0 {
        let ids: Vec<String> = alerts.iter().map(|new| new.alert.id.to_string()).collect();
        let batch: Vec<_> = (0..1 + dice.roll(3))
            .map(|_| {
                let named: Vec<&str> = (0..1 + dice.roll(6)).map(|_| dice.pick(&ids).as_str()).collect();
                receipt(dice.pick(people), &named, *dice.pick(&states))
            })
            .collect();
        let said = store.apply_receipts(&batch, at(1)).await?;
        let changed = batch.iter().zip(said).filter(|(_, said)| said.is_some());
        return Ok(changed.map(|(receipt, _)| (receipt.user.clone(), 1)).collect());
    }
    let mut batch = Vec::new();
    for _ in 0..1 + dice.roll(4) {
        let place = dice.roll(alerts.len());
        batch.push(alerts[place].clone());
        let status = *dice.pick(&[Status::Firing, Status::Firing, Status::Acknowledged, Status::Resolved]);
        let severity = *dice.pick(&[Severity::Info, Severity::Warning, Severity::Critical]);
        alerts[place] = later_version(&alerts[place]).status(status).severity(severity).build();
    }
    let rows = store.record(&batch, at(0)).await?;
    let changed = rows.into_iter().filter(|row| row.changed);
    Ok(changed.map(|row| (acme(row.user.as_str()), 1)).collect())
}
