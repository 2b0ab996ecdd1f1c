//! What people say changes their inbox and ends escalations (I5).

use watchbell::domain::{Answered, ArrivedPush, AttemptId, InboxState, Receipt, ReceiptState};
use watchbell::store::{AppliedReceipt, SentPush, ShownContent};
use watchbell_tests::builders::{
    acme, alert, alert_id, answering, at, later_version, receipt, snooze, tenant, user,
};

use super::fixture::{LEASE, StoreFixture, head, inbox};
use super::timers;

on_both_engines!(
    a_receipt_moves_a_state_by_this_table,
    one_receipt_is_one_change_whatever_it_names,
    a_batch_is_applied_in_order,
    what_is_not_in_that_inbox_is_passed_over,
    seen_before_the_push_ends_the_escalation,
    seen_after_the_push_makes_it_due_for_withdrawal,
    a_push_that_reached_its_device_is_noted_once_and_ends_nothing,
    a_first_answer_stays_reads_and_is_shown_from_then_on,
    an_answer_is_possible_to_what_is_shown_alone,
);

async fn a_receipt_moves_a_state_by_this_table(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use InboxState::{Dismissed, New, Read, Seen};
    use ReceiptState as R;
    let ana = acme("ana");
    for (number, (why, before, said, state, unread, changes)) in [
        ("a client has it", &[][..], R::Delivered, New, 1, false),
        ("it was on a screen", &[], R::Seen, Seen, 1, true),
        ("seen twice", &[R::Seen], R::Seen, Seen, 1, false),
        ("opened", &[], R::Read, Read, 0, true),
        ("opened after it was seen", &[R::Seen], R::Read, Read, 0, true),
        ("seen after it was opened", &[R::Read], R::Seen, Read, 0, false),
        ("put away unopened", &[], R::Dismissed, Dismissed, 0, true),
        ("put away twice", &[R::Dismissed], R::Dismissed, Dismissed, 0, false),
        ("to count as unread again", &[R::Read], R::Unread, Seen, 1, true),
        ("brought back", &[R::Dismissed], R::Unread, Seen, 1, true),
        ("unread is unread already", &[], R::Unread, New, 1, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("a{number}");
        store.record(&[alert(&id).to_users(["ana"]).build()], at(0)).await?;
        let before: Vec<Receipt> = before.iter().map(|state| receipt(&ana, [&id], *state)).collect();
        store.apply_receipts(&before, at(1)).await?;
        let stood = head(store, &ana).await?;

        let answer = store.apply_receipts(&[receipt(&ana, [&id], said)], at(2)).await?;
        let stands = head(store, &ana).await?;
        let expected = changes.then(|| AppliedReceipt {
            seq: stood.seq + 1,
            unread: stands.unread,
            alerts: vec![alert_id(&id)],
        });
        assert_eq!(answer, [expected], "{why}");
        assert_eq!(stands.seq, stood.seq + u64::from(changes), "{why}");
        let row = inbox(store, &ana).await?.into_iter().find(|(alert, ..)| *alert == id).unwrap();
        assert_eq!((row.1, row.2), (stands.seq, state), "{why}");
        assert_eq!(stands.unread, unread, "{why}");
        // The next row of the table starts with an empty badge.
        store.apply_receipts(&[receipt(&ana, [&id], R::Dismissed)], at(3)).await?;
    }
    Ok(())
}

async fn one_receipt_is_one_change_whatever_it_names(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store
        .record(
            &[
                alert("a").to_users(["ana"]).build(),
                alert("b").to_users(["ana"]).build(),
                alert("c").to_users(["ana"]).build(),
            ],
            at(0),
        )
        .await?;
    let all = receipt(&ana, ["c", "a", "nothing", "a", "b"], ReceiptState::Read);
    let said = store.apply_receipts(std::slice::from_ref(&all), at(1)).await?;
    let expected =
        AppliedReceipt { seq: 4, unread: 0, alerts: vec![alert_id("c"), alert_id("a"), alert_id("b")] };
    assert_eq!(said, [Some(expected)]);
    assert!(inbox(store, &ana).await?.iter().all(|(_, seq, state)| (*seq, *state) == (4, InboxState::Read)));
    assert_eq!(store.apply_receipts(&[all], at(2)).await?, [None], "repeated, it is no change");
    Ok(())
}

async fn a_batch_is_applied_in_order(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let (ana, ben) = (acme("ana"), acme("ben"));
    store.record(&[alert("a").to_users(["ana", "ben"]).build()], at(0)).await?;
    let said = store
        .apply_receipts(
            &[
                receipt(&ana, ["a"], ReceiptState::Seen),
                receipt(&ben, ["a"], ReceiptState::Delivered),
                receipt(&ana, ["a"], ReceiptState::Dismissed),
                receipt(&ana, ["a"], ReceiptState::Seen),
                receipt(&ben, ["a"], ReceiptState::Read),
                receipt(&ana, ["a"], ReceiptState::Unread),
            ],
            at(1),
        )
        .await?;
    let brief: Vec<_> = said.iter().map(|said| said.as_ref().map(|said| (said.seq, said.unread))).collect();
    assert_eq!(brief, [Some((2, 1)), None, Some((3, 0)), None, Some((2, 0)), Some((4, 1))]);
    assert_eq!(inbox(store, &ana).await?, [("a".to_owned(), 4, InboxState::Seen)]);
    assert_eq!(inbox(store, &ben).await?, [("a".to_owned(), 2, InboxState::Read)]);
    Ok(())
}

async fn what_is_not_in_that_inbox_is_passed_over(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store
        .record(&[alert("a").to_users(["ana"]).build(), alert("b").to_users(["ben"]).build()], at(0))
        .await?;
    let said = store
        .apply_receipts(
            &[
                receipt(&acme("ana"), ["b"], ReceiptState::Read),
                receipt(&acme("nobody"), ["a"], ReceiptState::Read),
                receipt(&acme("ana"), [""; 0], ReceiptState::Read),
            ],
            at(1),
        )
        .await?;
    assert_eq!(said, [None, None, None]);
    assert_eq!(head(store, &acme("ben")).await?.seq, 1, "nobody reads for somebody else (I8)");
    assert!(store.heads(&[acme("nobody")]).await?.is_empty(), "a receipt makes nobody known");
    Ok(())
}

async fn seen_before_the_push_ends_the_escalation(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for state in [ReceiptState::Seen, ReceiptState::Read, ReceiptState::Dismissed, ReceiptState::Answered] {
        let id = state.as_str();
        store.record(&[alert(id).to_users(["ana"]).build()], at(0)).await?;
        store.apply_receipts(&[receipt(&acme("ana"), [id], ReceiptState::Delivered)], at(1)).await?;
        assert_eq!(store.next_due().await?, Some(at(30)), "delivered ends nothing (I4)");
        let said = match state {
            ReceiptState::Answered => answering(&acme("ana"), [id], "yes"),
            state => receipt(&acme("ana"), [id], state),
        };
        store.apply_receipts(&[said], at(2)).await?;
        assert_eq!(store.next_due().await?, None, "{state} ends it");
        store.apply_receipts(&[receipt(&acme("ana"), [id], ReceiptState::Unread)], at(3)).await?;
        assert_eq!(store.next_due().await?, None, "unread is about the badge: nobody is chased again");
    }
    assert_eq!(store.claim_due(at(4000), LEASE, 10).await?, []);
    Ok(())
}

async fn a_push_that_reached_its_device_is_noted_once_and_ends_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (ana, id) = (acme("ana"), alert_id("a"));
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let attempt = timers::push(store, "a").await?;
    let sent = async |attempt| store.sent_push(attempt).await;
    let begun = SentPush { key: timers::key("a"), begun_at: at(30), reached_at: None };
    assert_eq!(sent(attempt).await?, Some(begun.clone()));
    assert_eq!(sent(AttemptId::from_u128(99)).await?, None, "of no push");

    let before = head(store, &ana).await?;
    let arrived = |priority_lowered| Receipt {
        push: Some(ArrivedPush { attempt, priority_lowered }),
        ..receipt(&ana, ["a"], ReceiptState::Delivered)
    };
    for (second, priority_lowered) in [(40, Some(true)), (50, Some(false)), (60, None)] {
        assert_eq!(store.apply_receipts(&[arrived(priority_lowered)], at(second)).await?, [None]);
        assert_eq!(sent(attempt).await?, Some(SentPush { reached_at: Some(at(40)), ..begun.clone() }));
    }
    assert_eq!(head(store, &ana).await?, before, "the inbox does not change");
    let told = store.timeline(&ana.tenant, &id, Some(&ana.user), 1).await?.remove(0);
    let ended = (told.stopped.as_deref(), told.was_on_screen);
    assert_eq!(ended, (Some("exhausted"), false), "it ended as it had before: nobody need have looked (I4)");
    let counts = store.counts(&ana.tenant, &id).await?;
    assert_eq!((counts.reached, counts.seen), (1, 0));
    let of_it: Vec<_> = told.entries.iter().filter(|entry| entry.at >= at(40)).collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    assert_eq!(
        (of_it[0].at, of_it[0].what.as_str()),
        (at(40), "push alert to phone: reached the device; Google had lowered its priority")
    );
    Ok(())
}

async fn seen_after_the_push_makes_it_due_for_withdrawal(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    timers::push(store, "a").await?;
    let both = [
        receipt(&acme("ana"), ["a"], ReceiptState::Seen),
        receipt(&acme("ana"), ["a"], ReceiptState::Dismissed),
    ];
    store.apply_receipts(&both, at(50)).await?;
    assert_eq!(store.next_due().await?, Some(at(50)));
    let claim = store.claim_due(at(50), LEASE, 10).await?.remove(0);
    let escalation = timers::look(store, &claim, at(50)).await?;
    assert_eq!(
        escalation.progress.stopped.map(|reason| reason.as_str()),
        Some("seen"),
        "the first reason stays"
    );
    Ok(())
}

async fn a_first_answer_stays_reads_and_is_shown_from_then_on(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use InboxState::{Dismissed, Read, Seen};
    let ana = acme("ana");
    let answered = |secs| Some(Answered { action: "approve".to_owned(), at: at(secs) });
    for (number, (why, before, expected)) in [
        ("new", &[][..], Read),
        ("read before", &[receipt(&ana, ["a1"], ReceiptState::Read)], Read),
        ("put away before", &[receipt(&ana, ["a2"], ReceiptState::Dismissed)], Dismissed),
        ("put off before", &[snooze(&ana, ["a3"], at(900))], Read),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("a{number}");
        let first = alert(&id).to_users(["ana"]).build();
        store.record(std::slice::from_ref(&first), at(0)).await?;
        store.apply_receipts(before, at(1)).await?;
        let said = store.apply_receipts(&[answering(&ana, [&id], "yes")], at(2)).await?;
        let changed = said[0].as_ref().map(|said| said.alerts.clone());
        assert_eq!(changed, Some(vec![alert_id(&id)]), "{why}: a change, also of what is read");
        let row = async || -> anyhow::Result<_> {
            let page = store.inbox_page(&ana, None, 50).await?;
            Ok(page.rows.into_iter().find(|row| row.alert.as_str() == id).unwrap())
        };
        let shown = row().await?;
        assert_eq!((shown.state, shown.until, shown.answer), (expected, None, answered(2)), "{why}");

        // Another answer, in the same batch and later, changes nothing, and neither does marking it unread in between.
        let again = answering(&ana, [&id], "no");
        assert_eq!(
            store.apply_receipts(&[again.clone(), again.clone()], at(3)).await?,
            [None, None],
            "{why}"
        );
        store.apply_receipts(&[receipt(&ana, [&id], ReceiptState::Unread)], at(4)).await?;
        assert_eq!(store.apply_receipts(std::slice::from_ref(&again), at(5)).await?, [None], "{why}");
        assert_eq!((row().await?.state, row().await?.answer), (Seen, answered(2)), "{why}");

        // A later version is shown with it, live, in what changed, and in the page.
        let recorded = store.record(&[later_version(&first).build()], at(6)).await?;
        assert_eq!(recorded[0].answer, answered(2), "{why}");
        let changes = store.changes_after(&ana, recorded[0].seq - 1, 5).await?;
        assert_eq!(changes.rows[0].answer, answered(2), "{why}");
        let told = store.timeline(&tenant("acme"), &alert_id(&id), Some(&user("ana")), 1).await?.remove(0);
        let said: Vec<&str> = told
            .entries
            .iter()
            .map(|entry| &*entry.what)
            .filter(|what| what.starts_with("answered"))
            .collect();
        assert_eq!(said, ["answered \"Approve\": yes"], "{why}");
    }
    // Who presses two buttons at once has pressed the first.
    store.record(&[alert("both").to_users(["ana"]).build()], at(0)).await?;
    let both = [answering(&ana, ["both"], "yes"), answering(&ana, ["both"], "no")];
    let said = store.apply_receipts(&both, at(7)).await?;
    assert!(said[0].is_some() && said[1].is_none(), "{said:?}");
    Ok(())
}

/// What a person may answer is what their own inbox shows, in the version that it shows.
async fn an_answer_is_possible_to_what_is_shown_alone(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = alert("a").to_users(["ana"]).content("{\"version\": 1}").build();
    store.record(&[first.clone(), alert("theirs").to_users(["ben"]).build()], at(0)).await?;
    store.record(&[later_version(&first).content("{\"version\": 2}").build()], at(1)).await?;
    let asked = ["a", "theirs", "nothing"].map(alert_id);
    let shown = store.shown_contents(&acme("ana"), &asked).await?;
    let of_a = |answered_by: Option<&str>| {
        let answered_by = answered_by.map(str::to_owned);
        [(
            alert_id("a"),
            ShownContent {
                content: "{\"version\": 2}".to_owned(),
                answered_by,
                acknowledgement: None,
                told_since: Some(at(0)),
            },
        )]
    };
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), of_a(None));
    store.apply_receipts(&[answering(&acme("ana"), ["a"], "yes")], at(2)).await?;
    let shown = store.shown_contents(&acme("ana"), &asked).await?;
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), of_a(Some("approve")), "and what they answered");
    Ok(())
}
