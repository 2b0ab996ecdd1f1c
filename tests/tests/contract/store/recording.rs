//! Alerts become inbox rows, once, under change numbers without gaps (I2, I3).

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use watchbell::domain::{InboxState, ReceiptState, Seq, Severity, Status, UserKey};
use watchbell::store::{NewAlert, RecordedRow, Store};
use watchbell_tests::builders::{
    acme, alert, alert_id, at, changed, later_version, receipt, snooze, tenant, user, users,
};
use watchbell_tests::services;

use super::fixture::{Dice, LEASE, StoreFixture, head, inbox, open};

on_both_engines!(
    migrating_twice_or_from_two_sides_is_migrating_once,
    a_new_alert_is_a_row_a_number_and_a_badge,
    what_was_recorded_before_is_not_a_change,
    a_later_version_updates_in_place_and_an_earlier_one_does_nothing,
    versions_of_one_alert_in_one_batch_end_as_the_last,
    who_is_named_too_late_gets_what_is_stored,
    of_two_contents_of_one_version_the_first_is_everybodys,
    alerts_of_one_batch_get_neighbouring_numbers,
    the_end_of_an_alert_ends_its_escalation,
    what_was_acknowledged_can_still_be_resolved_or_seen,
    firing_again_opens_a_new_round,
    an_alert_without_steps_has_no_timer,
    an_alert_that_had_expired_is_kept_and_told_nobody,
    what_had_expired_and_is_valid_again_is_news,
    a_batch_of_nothing_is_nothing,
    numbers_have_no_gaps_whoever_writes_at_once,
);

/// `(place in the batch, user, seq, unread, changed)`.
fn brief(rows: &[RecordedRow]) -> Vec<(usize, &str, Seq, u64, bool)> {
    rows.iter().map(|row| (row.alert, row.user.as_str(), row.seq, row.unread, row.changed)).collect()
}

async fn record(store: &Store, batch: &[NewAlert]) -> anyhow::Result<Vec<RecordedRow>> {
    Ok(store.record(batch, at(0)).await?)
}

async fn migrating_twice_or_from_two_sides_is_migrating_once(fixture: &StoreFixture) -> anyhow::Result<()> {
    let history = fixture.store.history().await?.name;
    fixture.store.migrate().await?;
    assert_eq!(
        fixture.store.history().await?.name,
        history,
        "a second migration does not begin a new history"
    );
    assert!(fixture.store.is_ready().await);

    let fresh = if fixture.url.expose().starts_with("sqlite") {
        fixture.url.expose().replace("store.db", "other.db")
    } else {
        services::postgres().await?.fresh_database("migrate").await?
    };
    let handles: Vec<Store> = (0..4).map(|_| open(&fresh.as_str().into())).collect::<Result<_, _>>()?;
    assert!(!handles[0].is_ready().await, "an empty database is not ready");
    let mut migrating = JoinSet::new();
    for handle in handles.clone() {
        migrating.spawn(async move { handle.migrate().await });
    }
    while let Some(migrated) = migrating.join_next().await {
        migrated??;
    }
    let histories = tokio::try_join!(handles[0].history(), handles[3].history())?;
    assert_eq!(histories.0.name, histories.1.name);
    Ok(())
}

async fn a_new_alert_is_a_row_a_number_and_a_badge(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = alert("disk").to_users(["ana", "ben"]).build();
    let rows = record(store, std::slice::from_ref(&new)).await?;
    assert_eq!(brief(&rows), [(0, "ana", 1, 1, true), (0, "ben", 1, 1, true)]);

    let changes = store.changes_after(&acme("ana"), 0, 10).await?;
    let row = &changes.rows[0];
    assert_eq!((row.seq, row.state, row.recorded_at), (1, InboxState::New, at(0)));
    assert_eq!(row.content, new.content, "what clients are given is kept to the letter");
    let stored = store.alert(&tenant("acme"), &alert_id("disk")).await?.unwrap();
    assert_eq!((stored.version, stored.recipients, stored.seen), (1, 2, 0));
    Ok(())
}

/// Published twice, delivered twice, or recorded again by somebody who lost the answer.
async fn what_was_recorded_before_is_not_a_change(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (first, second) =
        (alert("first").to_users(["ana"]).build(), alert("second").to_users(["ana", "ben"]).build());
    record(store, std::slice::from_ref(&first)).await?;
    let rows = record(store, &[first.clone(), second.clone(), second.clone()]).await?;
    let expected = [
        (0, "ana", 1, 1, false),
        (1, "ana", 2, 2, true),
        (1, "ben", 1, 1, true),
        (2, "ana", 2, 2, false),
        (2, "ben", 1, 1, false),
    ];
    assert_eq!(brief(&rows), expected, "with the number it stands under");
    let again = record(store, &[first, second]).await?;
    assert!(again.iter().all(|row| !row.changed));
    assert_eq!(inbox(store, &acme("ana")).await?.len(), 2);
    assert_eq!(head(store, &acme("ana")).await?.seq, 2);
    Ok(())
}

async fn a_later_version_updates_in_place_and_an_earlier_one_does_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let first = alert("disk").to_users(["ana"]).build();
    let second = later_version(&first).firing().build();
    let worse = later_version(&second).firing().severity(Severity::Critical).build();
    record(store, std::slice::from_ref(&first)).await?;
    store.apply_receipts(&[receipt(&ana, ["disk"], ReceiptState::Read)], at(1)).await?;

    let rows = record(store, std::slice::from_ref(&second)).await?;
    assert_eq!(brief(&rows), [(0, "ana", 3, 0, true)], "a new wording keeps what was done");
    assert_eq!(rows[0].state, InboxState::Read);
    let rows = record(store, std::slice::from_ref(&worse)).await?;
    assert_eq!(brief(&rows), [(0, "ana", 4, 1, true)], "worse than what was read: new again");
    let rows = record(store, &[first, second]).await?;
    assert_eq!(brief(&rows), [(0, "ana", 4, 1, false), (1, "ana", 4, 1, false)], "overtaken");

    let changes = store.changes_after(&ana, 0, 10).await?;
    assert_eq!(changes.rows.len(), 1, "one row an alert and recipient (I2)");
    assert_eq!(changes.rows[0].content, worse.content);
    Ok(())
}

async fn versions_of_one_alert_in_one_batch_end_as_the_last(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = alert("disk").to_users(["ana"]).build();
    let second = later_version(&first).firing().build();
    let over = later_version(&second).resolved().build();
    for (why, batch, expected) in [
        ("in order", vec![first.clone(), second.clone(), over.clone()], vec![true, true, true]),
        ("out of order", vec![over.clone(), first.clone(), second], vec![true, false, false]),
    ] {
        let batch: Vec<NewAlert> =
            batch.iter().map(|new| changed(new).id(&why.replace(' ', "-")).build()).collect();
        let rows = record(store, &batch).await?;
        assert_eq!(rows.iter().map(|row| row.changed).collect::<Vec<_>>(), expected, "{why}");
        let stored = store.alert(&tenant("acme"), &batch[0].alert.id).await?.unwrap();
        assert_eq!(stored.version, 3, "{why}");
    }
    assert_eq!(store.next_due().await?, None, "nobody is chased for what is over");
    Ok(())
}

/// The answer used to tell what came, and the inbox what was stored: ben saw "firing" for what was over.
async fn who_is_named_too_late_gets_what_is_stored(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (why, one_batch) in [("two batches", false), ("one batch", true)] {
        let late = alert(&why.replace(' ', "-")).to_users(["ben"]).build();
        let over = later_version(&late).resolved().to_users(["ana"]).build();
        let rows = if one_batch {
            record(store, &[over.clone(), late.clone()]).await?
        } else {
            record(store, std::slice::from_ref(&over)).await?;
            record(store, std::slice::from_ref(&late)).await?
        };
        let row = rows.last().unwrap();
        assert_eq!((row.user.as_str(), row.version, row.changed), ("ben", 2, true), "{why}");
        assert_eq!(row.content, over.content, "{why}");
        assert_eq!(shown(store, "ben", &late).await?, over.content, "{why}");
        assert_eq!(store.next_due().await?, None, "{why}: nobody is chased for what is over");

        let again = record(store, std::slice::from_ref(&over)).await?;
        assert!(!again[0].changed, "{why}");
        let third = later_version(&over).firing().to_users(["ben"]).build();
        let rows = record(store, std::slice::from_ref(&third)).await?;
        assert_eq!((rows[0].version, rows[0].changed), (3, true), "{why}: it fires again");
        assert_eq!(rows[0].content, third.content, "{why}");
        record(store, &[later_version(&third).resolved().build()]).await?;
    }
    Ok(())
}

/// Within one batch the last used to win.
async fn of_two_contents_of_one_version_the_first_is_everybodys(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (why, one_batch) in [("two batches", false), ("one batch", true)] {
        let one = alert(&why.replace(' ', "-")).to_users(["ana"]).build();
        let two = changed(&one).critical().policy("other").content("two").to_users(["ben"]).build();
        let rows = if one_batch {
            record(store, &[one.clone(), two.clone()]).await?
        } else {
            let mut rows = record(store, std::slice::from_ref(&one)).await?;
            rows.extend(record(store, std::slice::from_ref(&two)).await?);
            rows
        };
        assert_eq!(rows.len(), 2, "{why}: both get it");
        for row in rows {
            assert_eq!((&row.content, row.version, row.changed), (&one.content, 1, true), "{why}");
            assert_eq!(shown(store, row.user.as_str(), &one).await?, one.content, "{why}");
        }
        let stored = store.latest(&tenant("acme"), &one.alert.id).await?.unwrap();
        assert_eq!(stored.policy, None, "{why}");
        // Worse than the first, not than the second: so the row holds what the first says.
        let worse = later_version(&one).firing().severity(Severity::Critical).build();
        store
            .apply_receipts(&[receipt(&acme("ben"), [one.alert.id.as_str()], ReceiptState::Read)], at(1))
            .await?;
        let rows = record(store, &[NewAlert { recipients: users(["ben"]), ..worse }]).await?;
        assert_eq!(rows[0].state, InboxState::New, "{why}");
    }
    Ok(())
}

/// What `user`'s inbox says of the alert.
async fn shown(store: &Store, user: &str, new: &NewAlert) -> anyhow::Result<std::sync::Arc<str>> {
    let changes = store.changes_after(&acme(user), 0, 10).await?;
    let row = changes.rows.into_iter().find(|row| row.alert == new.alert.id);
    Ok(row.ok_or_else(|| anyhow::anyhow!("{user} has no {}", new.alert.id))?.content)
}

async fn alerts_of_one_batch_get_neighbouring_numbers(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, &[alert("before").to_users(["ana"]).build()]).await?;
    let batch: Vec<NewAlert> =
        (0..50).map(|n| alert(&format!("a{n}")).to_users(["ana", "ben"]).build()).collect();
    let rows = record(store, &batch).await?;
    for (n, pair) in rows.chunks(2).enumerate() {
        let n = n as u64;
        assert_eq!((pair[0].seq, pair[0].unread), (n + 2, n + 2), "ana had one before");
        assert_eq!((pair[1].seq, pair[1].unread), (n + 1, n + 1), "ben had none");
    }
    let seqs: Vec<Seq> = inbox(store, &acme("ana")).await?.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=51).collect::<Vec<_>>());
    Ok(())
}

async fn the_end_of_an_alert_ends_its_escalation(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for status in [Status::Resolved, Status::Suppressed, Status::Acknowledged] {
        let new = alert(status.as_str()).to_users(["ana"]).build();
        record(store, std::slice::from_ref(&new)).await?;
        assert_eq!(store.next_due().await?, Some(at(30)));
        record(store, &[later_version(&new).status(status).build()]).await?;
        assert_eq!(store.next_due().await?, None, "{status}");
    }
    Ok(())
}

/// The first reason used to stay for ever, so a push shown before "acknowledged" was never taken away (I5).
async fn what_was_acknowledged_can_still_be_resolved_or_seen(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    for end in ["resolved", "seen"] {
        let new = alert(end).to_users(["ana"]).build();
        record(store, std::slice::from_ref(&new)).await?;
        super::timers::push(store, end).await?;
        let taken_on = later_version(&new).status(Status::Acknowledged).build();
        store.record(std::slice::from_ref(&taken_on), at(100)).await?;
        assert_eq!(store.next_due().await?, None, "what is shown stays while somebody works on it");
        if end == "seen" {
            store.apply_receipts(&[receipt(&ana, [end], ReceiptState::Seen)], at(110)).await?;
        } else {
            store.record(&[later_version(&taken_on).resolved().build()], at(110)).await?;
        }
        assert_eq!(store.next_due().await?, Some(at(110)), "{end}: due now, to be taken away");
        super::timers::rest_for_good(store, end, at(110)).await?;
    }
    Ok(())
}

async fn firing_again_opens_a_new_round(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let first = alert("disk").to_users(["ana"]).build();
    let over = later_version(&first).resolved().build();
    record(store, std::slice::from_ref(&first)).await?;
    let held = store.claim_due(at(30), LEASE, 10).await?;
    record(store, std::slice::from_ref(&over)).await?;
    let again = later_version(&over).firing().first_due_at(at(90)).build();
    let rows = record(store, &[again]).await?;
    assert_eq!(brief(&rows), [(0, "ana", 3, 1, true)]);
    assert_eq!(store.next_due().await?, Some(at(90)));

    let claims = store.claim_due(at(90), LEASE, 10).await?;
    assert!(claims[0].number > held[0].number, "whoever held the old round holds nothing now");
    let escalation = super::timers::look(store, &claims[0], at(90)).await?;
    assert_eq!(
        (escalation.progress.round, escalation.progress.step, escalation.progress.stopped),
        (3, 0, None)
    );
    Ok(())
}

/// Late from a queue that stood still: whoever looks finds it, and nobody is rung.
async fn an_alert_that_had_expired_is_kept_and_told_nobody(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let expired =
        |new: NewAlert| NewAlert { expires_at: at(0), first_due_at: Some(at(0)), absent_due_at: None, ..new };
    let (late, open) =
        (expired(alert("late").to_users(["ana"]).build()), alert("open").to_users(["ana"]).build());
    let rows = record(store, &[late.clone(), open.clone(), late]).await?;
    assert_eq!(brief(&rows), [(0, "ana", 1, 0, true), (1, "ana", 2, 1, true), (2, "ana", 1, 1, false)]);
    assert_eq!(rows[0].state, InboxState::Read, "no toast, and no badge");

    let claims = store.claim_due(at(0), LEASE, 10).await?;
    assert_eq!(claims.len(), 1, "its escalation is due at once, to end");
    let escalation = super::timers::look(store, &claims[0], at(0)).await?;
    assert_eq!(escalation.progress.expires_at, at(0));

    let rows = record(store, &[expired(later_version(&open).firing().build())]).await?;
    assert_eq!(brief(&rows), [(0, "ana", 3, 0, true)], "what was new before is out of the badge");
    assert_eq!(rows[0].state, InboxState::Read);
    let claims = store.claim_due(at(0), LEASE, 10).await?;
    assert_eq!(claims.len(), 1, "and its escalation ends too");
    for id in ["late", "open"] {
        let stored = store.alert(&tenant("acme"), &alert_id(id)).await?.unwrap();
        assert_eq!((stored.recipients, stored.seen), (1, 0), "{id}: nobody looked");
    }
    Ok(())
}

/// It was shown as read, as if somebody had looked, and rang nowhere.
async fn what_had_expired_and_is_valid_again_is_news(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let until = |new: NewAlert, secs: i64| NewAlert { expires_at: at(secs), ..new };
    let first = until(alert("came-late").to_users(["ana"]).build(), 0);
    let silent = NewAlert {
        first_due_at: None,
        absent_due_at: None,
        ..until(alert("silent").to_users(["ana"]).build(), 0)
    };
    let snoozed = until(alert("snoozed").to_users(["ana"]).build(), 50);
    let read = until(alert("read").to_users(["ana"]).build(), 50);
    record(store, &[first.clone(), silent.clone(), snoozed.clone(), read.clone()]).await?;
    let ana = acme("ana");
    let said = [snooze(&ana, ["snoozed"], at(900)), receipt(&ana, ["read"], ReceiptState::Read)];
    store.apply_receipts(&said, at(1)).await?;
    let valid = [&first, &silent, &snoozed, &read].map(|new| until(later_version(new).firing().build(), 500));
    let rows = store.record(&valid, at(100)).await?;
    let states: Vec<_> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [InboxState::New, InboxState::New, InboxState::New, InboxState::Read]);
    assert_eq!(rows[3].unread, 3, "who read it before it expired is not told again");
    for (id, due) in [("came-late", true), ("silent", false), ("snoozed", true), ("read", false)] {
        let told = store.timeline(&tenant("acme"), &alert_id(id), Some(&user("ana")), 1).await?.remove(0);
        assert_eq!(told.due_at.is_some() && told.stopped.is_none(), due, "{id}");
        assert_eq!(told.until, None, "{id}");
    }
    Ok(())
}

async fn an_alert_without_steps_has_no_timer(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    record(store, &[alert("disk").to_users(["ana"]).without_steps().build()]).await?;
    assert_eq!(store.next_due().await?, None);
    assert_eq!(inbox(store, &acme("ana")).await?.len(), 1);
    Ok(())
}

async fn a_batch_of_nothing_is_nothing(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    assert_eq!(record(store, &[]).await?, []);
    assert_eq!(record(store, &[alert("nobody").to_users([""; 0]).build()]).await?, []);
    assert_eq!(store.apply_receipts(&[], at(0)).await?, []);
    assert!(store.heads(&[]).await?.is_empty());
    Ok(())
}

/// Eight writers over the same twenty people, each in an order of its own, half of them new to the store.
async fn numbers_have_no_gaps_whoever_writes_at_once(fixture: &StoreFixture) -> anyhow::Result<()> {
    const WRITERS: u64 = 8;
    const ROUNDS: usize = 12;
    let handles = [fixture.store.clone(), fixture.another_handle(), fixture.another_handle()];
    let mut writing = JoinSet::new();
    for writer in 0..WRITERS {
        let store = handles[writer as usize % handles.len()].clone();
        writing.spawn(async move { write_at_random(&store, writer, ROUNDS).await });
    }
    let mut numbers: BTreeMap<UserKey, Vec<Seq>> = BTreeMap::new();
    while let Some(written) = writing.join_next().await {
        for (user, seq) in written?? {
            numbers.entry(user).or_default().push(seq);
        }
    }
    for (user, mut seqs) in numbers {
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{user:?}: each number once");
        let head = head(&fixture.store, &user).await?;
        let unread =
            inbox(&fixture.store, &user).await?.iter().filter(|(_, _, state)| state.is_unread()).count();
        assert_eq!((head.seq, head.unread), (seqs.len() as u64, unread as u64), "{user:?}");
    }
    for handle in &handles {
        handle.close().await; // A session reports what it counted when it ends.
    }
    if let Some(("postgres", database)) = fixture
        .url
        .expose()
        .split_once(':')
        .map(|(engine, rest)| (engine, rest.rsplit('/').next().unwrap_or_default()))
    {
        let asked = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'");
        assert_eq!(
            services::postgres().await?.psql(&asked).await?,
            "0",
            "no two writers waited for each other"
        );
    }
    Ok(())
}

/// Records and reads back at random; returns every number that was handed out.
async fn write_at_random(store: &Store, seed: u64, rounds: usize) -> anyhow::Result<Vec<(UserKey, Seq)>> {
    let mut dice = Dice::new(seed);
    let mut numbers = Vec::new();
    for round in 0..rounds {
        let names: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
        let batch: Vec<NewAlert> = (0..5)
            .map(|n| {
                let first = dice.roll(20);
                let mut to: Vec<&str> = (0..8).map(|n| names[(first + 3 * n) % 20].as_str()).collect();
                if dice.roll(2) == 0 {
                    to.reverse();
                }
                // Every second alert is shared with the other writers.
                let owner = if n % 2 == 0 { "all".to_owned() } else { seed.to_string() };
                alert(&format!("{owner}-{round}-{n}")).to_users(&to).build()
            })
            .collect();
        for row in store.record(&batch, at(0)).await?.iter().filter(|row| row.changed) {
            numbers.push((UserKey::new(tenant("acme"), row.user.clone()), row.seq));
        }
        let reader = acme(dice.pick::<String>(&names));
        let about = format!("all-{round}-{}", 2 * dice.roll(3));
        let said = store.apply_receipts(&[receipt(&reader, [&about], ReceiptState::Read)], at(1)).await?;
        numbers.extend(said.into_iter().flatten().map(|said| (reader.clone(), said.seq)));
    }
    Ok(numbers)
}
