//! What a person put off comes back unseen at its time, once, and not as news when it is over by then (I3, I5).

use watchbell::domain::{InboxState, ReceiptState, Severity, Status, StopReason, Timestamp};
use watchbell::store::{EscalationKey, NewAlert, RecordedRow, Store};
use watchbell_tests::builders::{acme, alert, alert_id, at, later_version, receipt, snooze, tenant, user};

use super::fixture::{LEASE, StoreFixture, head, inbox};
use super::timers;

on_both_engines!(
    a_snoozed_alert_is_away_and_comes_back_unseen_once,
    what_was_pushed_is_withdrawn_and_pushed_again_when_it_comes_back,
    what_comes_in_between_ends_a_snooze_by_this_table,
    what_the_person_says_ends_a_snooze_or_moves_it,
    a_snooze_is_decided_by_what_the_row_says_at_its_end,
    what_is_taken_on_or_expired_comes_back_and_nobody_is_chased,
    whoever_snoozes_has_not_taken_it_on,
    one_receipt_snoozes_many_in_one_change,
    a_snooze_that_cannot_end_now_is_tried_later_and_holds_up_no_other,
    what_an_older_program_left_of_a_snooze_is_forgotten,
);

/// The same alert, as it is recorded again when its snooze ends at `now`.
fn again(new: &NewAlert, now: i64) -> NewAlert {
    NewAlert { first_due_at: Some(at(now + 30)), ..new.clone() }
}

async fn wake(store: &Store, new: &NewAlert, now: i64) -> anyhow::Result<Vec<RecordedRow>> {
    Ok(store.wake(&[again(new, now)], at(now)).await?)
}

/// The state of ana's row of `alert`, and until when it is snoozed.
async fn standing(store: &Store, alert: &str) -> anyhow::Result<(InboxState, Option<Timestamp>)> {
    let rows = store.changes_after(&acme("ana"), 0, 1_000).await?.rows;
    let row = rows.iter().find(|row| row.alert == alert_id(alert)).unwrap();
    let page = store.inbox_page(&acme("ana"), None, 1_000).await?;
    let listed = page.rows.iter().find(|row| row.alert == alert_id(alert)).unwrap();
    assert_eq!(row, listed, "replay and pages say the same");
    Ok((row.state, row.until))
}

async fn notes(store: &Store, alert: &str) -> anyhow::Result<Vec<String>> {
    let told = store.timeline(&tenant("acme"), &alert_id(alert), Some(&user("ana")), 1).await?.remove(0);
    Ok(told.entries.into_iter().map(|entry| entry.what).filter(|what| what.contains("snooze")).collect())
}

async fn a_snoozed_alert_is_away_and_comes_back_unseen_once(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, new) = (acme("ana"), alert("a").to_users(["ana"]).build());
    store.record(std::slice::from_ref(&new), at(0)).await?;
    let said = store.apply_receipts(&[snooze(&ana, ["a"], at(600))], at(10)).await?;
    assert_eq!(said[0].as_ref().map(|said| (said.seq, said.unread)), Some((2, 0)), "out of the badge");
    assert_eq!(standing(store, "a").await?, (InboxState::Snoozed, Some(at(600))));
    assert_eq!(store.next_due().await?, None, "nobody is chased");
    assert_eq!(store.apply_receipts(&[snooze(&ana, ["a"], at(600))], at(11)).await?, [None], "said twice");
    assert_eq!(store.due_snoozes(at(599)).await?, []);
    assert_eq!(wake(store, &new, 599).await?, [], "nobody wakes it before its time");

    let due = store.due_snoozes(at(600)).await?;
    let keys: Vec<_> = due.iter().map(|due| (due.key.user.clone(), due.key.alert.clone())).collect();
    assert_eq!(keys, [(ana.clone(), alert_id("a"))]);
    assert_eq!((&*due[0].latest.content, due[0].latest.version), (&*new.content, 1));
    let woken = wake(store, &new, 600).await?;
    let brief: Vec<_> = woken.iter().map(|row| (row.seq, row.unread, row.state, row.changed)).collect();
    assert_eq!(brief, [(3, 1, InboxState::New, true)], "a change like any other (I3)");
    assert_eq!(standing(store, "a").await?, (InboxState::New, None));
    assert_eq!(store.next_due().await?, Some(at(630)), "chased anew");
    assert_eq!(
        notes(store, "a").await?,
        [
            "snoozed until 2030-03-17T17:56:40Z by session tab-…".to_owned(),
            "came back: the snooze is over".to_owned(),
        ]
    );

    assert_eq!(wake(store, &new, 601).await?, [], "another dispatcher comes second");
    assert_eq!(store.due_snoozes(at(9_999)).await?, []);
    assert_eq!(head(store, &ana).await?.seq, 3);
    Ok(())
}

async fn what_was_pushed_is_withdrawn_and_pushed_again_when_it_comes_back(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, new) = (acme("ana"), alert("a").to_users(["ana"]).build());
    store.record(std::slice::from_ref(&new), at(0)).await?;
    timers::push(store, "a").await?;
    store.apply_receipts(&[snooze(&ana, ["a"], at(600))], at(50)).await?;
    let claim = store.claim_due(at(50), LEASE, 10).await?.remove(0);
    let escalation = timers::look(store, &claim, at(50)).await?;
    assert_eq!(escalation.progress.stopped, Some(StopReason::Snoozed), "due, so that it is taken away");

    wake(store, &new, 600).await?;
    let claim = store.claim_due(at(630), LEASE, 10).await?.remove(0);
    let progress = timers::look(store, &claim, at(630)).await?.progress;
    assert_eq!((progress.stopped, progress.step, progress.round, progress.opening), (None, 0, 1, 1));
    let is_of_this_escalation: Vec<bool> =
        progress.attempts.iter().map(|attempt| progress.is_of_this_escalation(attempt)).collect();
    assert_eq!(
        is_of_this_escalation,
        [false],
        "what was pushed before the snooze does not count for this escalation"
    );

    // A later version counts its escalations from the first again.
    let over = later_version(&new).resolved().build();
    store.record(std::slice::from_ref(&over), at(700)).await?;
    store.record(&[later_version(&over).firing().first_due_at(at(731)).build()], at(701)).await?;
    let claim = store.claim_due(at(731), LEASE, 10).await?.remove(0);
    let progress = timers::look(store, &claim, at(731)).await?.progress;
    assert_eq!((progress.round, progress.opening), (3, 0));
    Ok(())
}

async fn what_comes_in_between_ends_a_snooze_by_this_table(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use InboxState::{New, Read, Snoozed};
    for (number, (why, severity, status, state, unread, next_due)) in [
        ("no worse", Severity::Warning, Status::Firing, Snoozed, 0, None),
        ("milder", Severity::Info, Status::Firing, Snoozed, 0, None),
        ("somebody took it on", Severity::Warning, Status::Acknowledged, Snoozed, 0, None),
        ("worse", Severity::Critical, Status::Firing, New, 1, Some(at(30))),
        ("over", Severity::Warning, Status::Resolved, Read, 0, None),
    ]
    .into_iter()
    .enumerate()
    {
        let (ana, id) = (acme("ana"), format!("a{number}"));
        let new = alert(&id).to_users(["ana"]).build();
        store.record(std::slice::from_ref(&new), at(0)).await?;
        store.apply_receipts(&[snooze(&ana, [&id], at(600))], at(1)).await?;
        let later = later_version(&new).status(status).severity(severity).build();
        let rows = store.record(std::slice::from_ref(&later), at(2)).await?;
        let until = (state == Snoozed).then(|| at(600));
        assert_eq!((rows[0].state, rows[0].until, rows[0].unread), (state, until, unread), "{why}");
        assert_eq!(standing(store, &id).await?, (state, until), "{why}");
        assert_eq!(store.next_due().await?, next_due, "{why}");
        let due = store.due_snoozes(at(600)).await?.len();
        assert_eq!(due, usize::from(state == Snoozed), "{why}: only what is snoozed comes back");
        // The next row of the table starts with nothing.
        store.apply_receipts(&[receipt(&ana, [&id], ReceiptState::Dismissed)], at(3)).await?;
        assert_eq!(store.next_due().await?, None, "{why}");
    }
    Ok(())
}

async fn what_the_person_says_ends_a_snooze_or_moves_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use InboxState::{Dismissed, Read, Seen, Snoozed};
    for (number, (said, state, unread)) in [
        (Some(ReceiptState::Unread), Seen, 1),
        (Some(ReceiptState::Seen), Snoozed, 0),
        (Some(ReceiptState::Read), Read, 0),
        (Some(ReceiptState::Dismissed), Dismissed, 0),
        (Some(ReceiptState::Delivered), Snoozed, 0),
        (None, Snoozed, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let (ana, id) = (acme("ana"), format!("a{number}"));
        store.record(&[alert(&id).to_users(["ana"]).build()], at(0)).await?;
        store.apply_receipts(&[snooze(&ana, [&id], at(600))], at(1)).await?;
        let then = match said {
            Some(said) => receipt(&ana, [&id], said),
            None => snooze(&ana, [&id], at(900)),
        };
        store.apply_receipts(&[then], at(2)).await?;
        let until = (state == Snoozed).then(|| at(if said.is_none() { 900 } else { 600 }));
        assert_eq!(standing(store, &id).await?, (state, until), "{said:?}");
        assert_eq!(head(store, &ana).await?.unread, unread, "{said:?}");
        assert_eq!(store.next_due().await?, None, "{said:?}: they know of it, so nobody is chased");
        let due = store.due_snoozes(at(600)).await?.len();
        let still = matches!(said, Some(ReceiptState::Delivered | ReceiptState::Seen));
        assert_eq!(due, usize::from(still), "{said:?}");
        store.apply_receipts(&[receipt(&ana, [&id], ReceiptState::Dismissed)], at(3)).await?;
    }
    assert_eq!(notes(store, "a0").await?[1], "the snooze was ended: unread by session tab-…");
    Ok(())
}

async fn a_snooze_is_decided_by_what_the_row_says_at_its_end(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    // It was put off again after it had been found.
    let moved = alert("moved").to_users(["ana"]).build();
    store.record(std::slice::from_ref(&moved), at(0)).await?;
    store.apply_receipts(&[snooze(&ana, ["moved"], at(600))], at(1)).await?;
    assert_eq!(store.due_snoozes(at(600)).await?.len(), 1);
    store.apply_receipts(&[snooze(&ana, ["moved"], at(900))], at(600)).await?;
    assert_eq!(wake(store, &moved, 601).await?, []);

    // A later version came after it had been found: the next look has what that says.
    let later = later_version(&moved).firing().build();
    store.record(std::slice::from_ref(&later), at(602)).await?;
    assert_eq!(wake(store, &moved, 900).await?, []);
    assert_eq!(store.due_snoozes(at(900)).await?[0].latest.version, 2);
    let woken = wake(store, &later, 900).await?;
    assert_eq!((woken[0].version, woken[0].state, &woken[0].content), (2, InboxState::New, &later.content));
    Ok(())
}

async fn what_is_taken_on_or_expired_comes_back_and_nobody_is_chased(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let taken = alert("taken").to_users(["ana"]).build();
    let late = alert("late").to_users(["ana"]).expires_at(at(300)).build();
    store.record(&[taken.clone(), late.clone()], at(0)).await?;
    store.apply_receipts(&[snooze(&ana, ["taken", "late"], at(600))], at(1)).await?;
    let taken = later_version(&taken).status(Status::Acknowledged).build();
    store.record(std::slice::from_ref(&taken), at(2)).await?;
    let woken = store.wake(&[again(&taken, 600), again(&late, 600)], at(600)).await?;
    let states: Vec<_> = woken.iter().map(|row| (row.state, row.unread)).collect();
    assert_eq!(states, [(InboxState::New, 1), (InboxState::Read, 1)]);
    assert_eq!(store.next_due().await?, None);
    Ok(())
}

async fn whoever_snoozes_has_not_taken_it_on(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let new = alert("a").to_users(["ana", "ben"]).first_stops_all().build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["a"], at(600))], at(10)).await?;
    let claims = store.claim_due(at(30), LEASE, 10).await?;
    assert_eq!(claims.iter().map(|claim| claim.key.user.clone()).collect::<Vec<_>>(), [acme("ben")]);
    let escalation = timers::look(store, &claims[0], at(30)).await?;
    assert_eq!((escalation.progress.stopped, escalation.taken), (None, None), "ben is chased as before");

    // Whoever took it on and put it off wants to hear of it again.
    store.apply_receipts(&[receipt(&acme("ana"), ["a"], ReceiptState::Read)], at(40)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["a"], at(600))], at(41)).await?;
    let woken =
        store.wake(&[NewAlert { recipients: vec![user("ana")], ..again(&new, 600) }], at(600)).await?;
    assert_eq!(woken.len(), 1);
    let claims = store.claim_due(at(630), LEASE, 10).await?;
    let claim = claims.iter().find(|claim| claim.key.user == acme("ana")).unwrap();
    let escalation = timers::look(store, claim, at(630)).await?;
    assert_eq!((escalation.progress.stopped, escalation.taken), (None, None));
    Ok(())
}

async fn one_receipt_snoozes_many_in_one_change(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let batch = [alert("a").to_users(["ana"]).build(), alert("b").to_users(["ana"]).build()];
    store.record(&batch, at(0)).await?;
    store.apply_receipts(&[snooze(&ana, ["a", "b", "nothing"], at(600))], at(1)).await?;
    assert_eq!(head(store, &ana).await?.seq, 3);
    let rows = inbox(store, &ana).await?;
    assert!(rows.iter().all(|(_, seq, state)| (*seq, *state) == (3, InboxState::Snoozed)), "{rows:?}");
    Ok(())
}

async fn a_snooze_that_cannot_end_now_is_tried_later_and_holds_up_no_other(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let batch = ["a", "b"].map(|id| alert(id).to_users(["ana"]).build());
    store.record(&batch, at(0)).await?;
    store.apply_receipts(&[snooze(&ana, ["a", "b"], at(600))], at(1)).await?;
    let key = EscalationKey { user: ana.clone(), alert: alert_id("a") };
    store.put_off_snoozes(&[key], at(600), at(1_200)).await?;
    let due = store.due_snoozes(at(600)).await?;
    assert_eq!(due.iter().map(|due| due.key.alert.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(standing(store, "a").await?, (InboxState::Snoozed, Some(at(1_200))));
    Ok(())
}

/// A program that knows no snooze finds such a row dismissed, which is off the screen as well, and changes its state alone.
async fn what_an_older_program_left_of_a_snooze_is_forgotten(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, new) = (&fixture.store, alert("a").to_users(["ana"]).build());
    store.record(std::slice::from_ref(&new), at(0)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["a"], at(600))], at(1)).await?;
    fixture.execute("UPDATE inbox SET state = 'new' WHERE state = 'dismissed'").await?;
    assert_eq!(standing(store, "a").await?, (InboxState::New, None));
    assert_eq!(store.due_snoozes(at(600)).await?.len(), 1);
    assert_eq!(wake(store, &new, 600).await?, []);
    assert_eq!(store.due_snoozes(at(600)).await?, [], "it is not looked at again and again");
    Ok(())
}
