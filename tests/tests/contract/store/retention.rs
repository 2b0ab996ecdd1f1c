//! What is old, or too much for one person, is deleted; what still goes on stays; and nobody is left to believe that they have
//! everything (I3, I4, I17).

use std::time::Duration;

use sqlx::Row as _;
use watchbell::domain::{
    InboxState, ReceiptState, Seq, Status, StopReason, Timestamp, UserKey, publication::Meets,
};
use watchbell::store::{
    Act, DELETED_ROWS_MAX, Decision, Deleted, Head, Holder, NewAlert, OldAlerts, PageStart, Rest, Store,
};
use watchbell_tests::builders::{
    accepted, acme, alert, alert_id, at, later_version, receipt, snooze, tenant, user,
};

use super::fixture::{Dice, LEASE, StoreFixture, ask, head, inbox, push};

on_both_engines!(
    an_old_alert_goes_with_everything_that_belongs_to_it,
    what_still_goes_on_stays_however_old_it_is,
    an_inbox_keeps_what_changed_last,
    a_deletion_is_one_change_that_older_cursors_do_not_know,
    what_was_deleted_does_not_come_back_when_it_is_delivered_once_more,
    what_one_person_lost_does_not_come_back_while_others_have_it,
    a_later_version_is_an_alert_again,
    attempts_and_lines_go_before_their_alert,
    a_large_audience_goes_in_bounded_steps,
    an_alert_that_reached_nobody_goes,
    somebody_who_is_being_written_to_is_passed_over,
    one_process_sweeps_at_a_time_and_not_before_it_is_due,
    badges_and_numbers_stay_right_beside_whatever_else_happens,
);

const DAY: i64 = 24 * 60 * 60;

/// Deletes the alerts that are older.
async fn sweep(store: &Store, before: Timestamp, now: Timestamp) -> anyhow::Result<Deleted> {
    let (mut all, mut place) = (Deleted::default(), OldAlerts::of(tenant("acme"), before));
    while let Some(deleted) = store.delete_old_alerts(&mut place, now).await? {
        assert!(deleted.rows <= DELETED_ROWS_MAX as u64, "a step is bounded: {deleted:?}");
        all += deleted;
    }
    Ok(all)
}

/// Trims every inbox to `max` rows, as the sweep does.
async fn trim(store: &Store, max: u32, now: Timestamp) -> anyhow::Result<Deleted> {
    let mut all = Deleted::default();
    for inbox in store.full_inboxes(&tenant("acme"), None, max).await?.0 {
        let (mut left, mut after) = (store.overflow(&inbox, max).await?.rows, None);
        while left > 0 {
            let (deleted, last) = store.trim_inbox(&inbox.user, after.as_ref(), left, now).await?;
            all += deleted;
            left = if last.is_none() { 0 } else { left.saturating_sub(DELETED_ROWS_MAX) };
            after = last;
        }
    }
    Ok(all)
}

async fn names(store: &Store, who: &str) -> anyhow::Result<Vec<String>> {
    Ok(inbox(store, &acme(who)).await?.into_iter().map(|(alert, ..)| alert).collect())
}

async fn rows_of(fixture: &StoreFixture, table: &str) -> anyhow::Result<i64> {
    let sql = format!("/* of a test */ SELECT count(*) AS n FROM {table}");
    let mut connection = fixture.connection().await?;
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await?.try_get("n")?)
}

/// An alert that nobody is chased for.
fn quiet(name: &str, to: &[&str]) -> NewAlert {
    alert(name).to_users(to).without_steps().published().build()
}

async fn an_old_alert_goes_with_everything_that_belongs_to_it(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = &fixture.store;
    let old = alert("old").to_users(["ana", "ben"]).first_due_at(at(30)).build();
    store.record(std::slice::from_ref(&old), at(0)).await?;
    store.record(&[later_version(&old).firing().build()], at(1)).await?;
    for claim in store.claim_due(at(30), LEASE, 10).await? {
        let number = if claim.key.user == acme("ana") { 1 } else { 2 };
        store.step(&ask(&claim, at(30), &|_| push(number, 30)), LEASE).await?;
    }
    for who in ["ana", "ben"] {
        store.apply_receipts(&[receipt(&acme(who), ["old"], ReceiptState::Seen)], at(60)).await?;
    }
    for claim in store.claim_due(at(100), LEASE, 10).await? {
        let mut end = Decision::new(1, at(100), Act::End(StopReason::Seen));
        end.notes = vec!["a line".to_owned()];
        store.step(&ask(&claim, at(100), &move |_| end.clone()), LEASE).await?;
    }
    store.record(&[quiet("new", &["ana"])], at(50)).await?;
    assert_eq!(rows_of(fixture, "attempts").await?, 2);
    assert_eq!(rows_of(fixture, "versions").await?, 1);

    assert_eq!(sweep(store, at(1), at(200)).await?, Deleted::default(), "as old as the version shown");
    let swept = sweep(store, at(2), at(200)).await?;
    assert_eq!(swept, Deleted { rows: 2, stayed: 0, alerts: 1 });
    for table in ["escalations", "attempts", "notes", "versions", "told"] {
        assert_eq!(rows_of(fixture, table).await?, 0, "{table}");
    }
    assert_eq!(names(store, "ana").await?, ["new"]);
    assert_eq!(names(store, "ben").await?, [""; 0]);
    let (acme_, id) = (tenant("acme"), alert_id("old"));
    assert_eq!(store.latest(&acme_, &id).await?, None, "so a PATCH finds nothing");
    assert!(store.alert(&acme_, &id).await?.is_none());
    assert!(store.timeline(&acme_, &id, None, 9).await?.is_empty());
    assert_eq!(head(store, &acme("ana")).await?.unread, 1);
    assert_eq!(head(store, &acme("ben")).await?.unread, 0, "seen is unread, until it is gone");
    assert_eq!(sweep(store, at(2), at(201)).await?, Deleted::default(), "once");
    Ok(())
}

async fn what_still_goes_on_stays_however_old_it_is(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let late = at(100 * DAY);
    let running =
        alert("running").to_users(["ana"]).first_due_at(at(30)).escalated_until(at(200 * DAY)).build();
    let snoozed = quiet("snoozed", &["ana"]);
    let suppressed = alert("suppressed")
        .status(Status::Suppressed)
        .dismissed_until(Some(at(150 * DAY)))
        .to_users(["ana"])
        .without_steps()
        .build();
    let rest = Rest { published: "as published".into(), next_page: "page 1".to_owned() };
    let spreading = NewAlert { rest: Some(rest), ..quiet("spreading", &[]) };
    store.record(&[running, snoozed, suppressed, spreading, quiet("over", &["ana"])], at(0)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["snoozed"], at(160 * DAY))], at(1)).await?;

    let swept = sweep(store, late, late).await?;
    assert_eq!(swept, Deleted { rows: 1, stayed: 3, alerts: 1 });
    let mut kept = names(store, "ana").await?;
    kept.sort();
    assert_eq!(kept, ["running", "snoozed", "suppressed"]);
    assert!(store.latest(&tenant("acme"), &alert_id("spreading")).await?.is_some(), "it is still spread");
    assert_eq!(trim(store, 0, late).await?.rows, 0, "nor because there is too much of it");

    // Each goes when that is over.
    store.apply_receipts(&[receipt(&acme("ana"), ["snoozed"], ReceiptState::Read)], late).await?;
    for claim in store.claim_due(late, LEASE, 10).await? {
        let end = Decision::new(1, late, Act::End(StopReason::Exhausted));
        store.step(&ask(&claim, late, &move |_| end.clone()), LEASE).await?;
    }
    assert_eq!(sweep(store, late, late).await?, Deleted { rows: 2, stayed: 1, alerts: 2 });
    assert_eq!(names(store, "ana").await?, ["suppressed"]);
    Ok(())
}

async fn an_inbox_keeps_what_changed_last(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    for n in 0..10 {
        store.record(&[quiet(&format!("a{n}"), &["ana", "ben"])], at(n)).await?;
    }
    store.apply_receipts(&[receipt(&ana, ["a0", "a1"], ReceiptState::Read)], at(20)).await?;
    store.apply_receipts(&[snooze(&ana, ["a2"], at(DAY))], at(21)).await?;
    assert_eq!(head(store, &ana).await?, Head { seq: 12, unread: 7, ..Head::default() });
    assert_eq!(trim(store, 10, at(30)).await?, Deleted::default(), "no more than that");

    // ana's oldest changes are a3 to a6; ben's are a0 to a3.
    let trimmed = trim(store, 6, at(31)).await?;
    assert_eq!(trimmed, Deleted { rows: 8, stayed: 0, alerts: 1 }, "a3 alone is held by nobody");
    assert_eq!(names(store, "ana").await?, ["a7", "a8", "a9", "a0", "a1", "a2"]);
    assert_eq!(names(store, "ben").await?, ["a4", "a5", "a6", "a7", "a8", "a9"]);
    assert_eq!(head(store, &ana).await?, Head { seq: 13, unread: 3, deleted_to: 13, ..Head::default() });
    assert!(store.latest(&tenant("acme"), &alert_id("a3")).await?.is_none());
    assert!(store.latest(&tenant("acme"), &alert_id("a0")).await?.is_some(), "ana has it");
    assert_eq!(trim(store, 6, at(32)).await?, Deleted::default());

    // Pages from before go on where they were.
    let page = store.inbox_page(&ana, Some(&PageStart::before(11)), 10).await?;
    let page: Vec<String> = page.rows.into_iter().map(|row| row.alert.to_string()).collect();
    assert_eq!(page, ["a9", "a8", "a7"]);
    // What is counted once is not counted again before so much has changed.
    assert_eq!(store.full_inboxes(&tenant("acme"), None, 6).await?.0, []);
    store.record(&[quiet("one-more", &["ana"])], at(40)).await?;
    assert_eq!(store.full_inboxes(&tenant("acme"), None, 6).await?.0.len(), 1);
    assert_eq!(trim(store, 6, at(41)).await?.rows, 1);
    // One receipt for all leaves them in no order of their own: still as many stay.
    let all = names(store, "ana").await?;
    store
        .apply_receipts(&[receipt(&ana, all.iter().map(String::as_str), ReceiptState::Read)], at(50))
        .await?;
    assert_eq!(trim(store, 4, at(51)).await?.rows, 2 + 2);
    assert_eq!(names(store, "ana").await?.len(), 4);
    Ok(())
}

async fn a_deletion_is_one_change_that_older_cursors_do_not_know(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store.record(&[quiet("a", &["ana"]), quiet("b", &["ana"])], at(0)).await?;
    sweep(store, at(1), at(2)).await?;
    let changes = store.changes_after(&ana, 2, 10).await?;
    assert_eq!((changes.rows.len(), changes.complete), (0, true));
    assert_eq!(changes.head, Head { seq: 3, unread: 0, deleted_to: 3, ..Head::default() });
    assert_eq!(store.inbox_page(&ana, None, 10).await?.head.deleted_to, 3);
    let rows = store.record(&[quiet("c", &["ana"])], at(3)).await?;
    assert_eq!((rows[0].seq, rows[0].unread), (4, 1), "the number goes on");
    assert_eq!(head(store, &ana).await?.deleted_to, 3);
    Ok(())
}

async fn what_was_deleted_does_not_come_back_when_it_is_delivered_once_more(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = quiet("a", &["ana"]);
    store.record(std::slice::from_ref(&first), at(0)).await?;
    assert_eq!(sweep(store, at(1), at(100)).await?.alerts, 1);

    let to_more = NewAlert { recipients: vec![user("ana"), user("ben")], ..first.clone() };
    let again = store.record_batch(&[to_more], at(101)).await?;
    assert_eq!((again.rows, again.met), (Vec::new(), vec![Meets::Same]), "nobody has it");
    let other = alert("a")
        .to_users(["ana"])
        .content(r#"{"title":"something else"}"#)
        .without_steps()
        .published()
        .build();
    let again = store.record_batch(&[other], at(102)).await?;
    assert_eq!((again.rows, again.met), (Vec::new(), vec![Meets::Conflict]), "its name is still taken");
    assert_eq!(names(store, "ana").await?, [""; 0]);
    assert_eq!(head(store, &acme("ana")).await?.unread, 0);
    assert_eq!(store.next_due().await?, None);

    // When nothing is known of it any more, it is a new alert.
    assert_eq!(store.forget_deleted_alerts(at(100)).await?, 0, "not yet");
    assert_eq!(store.forget_deleted_alerts(at(101)).await?, 1);
    let again = store.record_batch(&[first], at(200)).await?;
    assert_eq!((again.rows.len(), again.met), (1, vec![Meets::Nothing]));
    Ok(())
}

async fn what_one_person_lost_does_not_come_back_while_others_have_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let shared = alert("shared").to_users(["ana", "ben"]).first_due_at(at(DAY)).published().build();
    store.record(std::slice::from_ref(&shared), at(0)).await?;
    // ben is still chased for it.
    store.apply_receipts(&[receipt(&acme("ana"), ["shared"], ReceiptState::Seen)], at(1)).await?;
    for claim in store.claim_due(at(1), LEASE, 10).await? {
        let end = Decision::new(1, at(1), Act::End(StopReason::Seen));
        store.step(&ask(&claim, at(1), &move |_| end.clone()), LEASE).await?;
    }
    assert_eq!(sweep(store, at(10), at(100)).await?, Deleted { rows: 1, stayed: 1, alerts: 0 });
    assert_eq!((names(store, "ana").await?.len(), names(store, "ben").await?.len()), (0, 1));

    let again = NewAlert { recipients: vec![user("ana"), user("ben"), user("cy")], ..shared.clone() };
    let rows = store.record_batch(&[again], at(101)).await?.rows;
    let reached: Vec<_> = rows.iter().map(|row| (row.user.as_str(), row.changed)).collect();
    assert_eq!(reached, [("ben", false), ("cy", true)], "only whoever never had it gets it");
    assert_eq!(head(store, &acme("ana")).await?.unread, 0);
    let rows = store.record(&[later_version(&shared).firing().build()], at(102)).await?;
    assert!(rows.iter().any(|row| row.user == user("ana") && row.changed), "what is new is new: {rows:?}");
    Ok(())
}

async fn a_later_version_is_an_alert_again(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let first = quiet("a", &["ana"]);
    store.record(std::slice::from_ref(&first), at(0)).await?;
    sweep(store, at(1), at(100)).await?;
    let known = store.latest_or_deleted(&tenant("acme"), &alert_id("a")).await?.unwrap();
    assert_eq!((known.version, known.is_deleted(), known.content.as_str()), (1, true, ""), "for hooks");

    let second = later_version(&first).firing().build();
    let rows = store.record(&[second.clone(), first.clone()], at(101)).await?;
    assert_eq!(
        rows.iter().map(|row| (row.version, row.changed)).collect::<Vec<_>>(),
        [(2, true), (2, false)]
    );
    assert_eq!(store.latest(&tenant("acme"), &alert_id("a")).await?.unwrap().version, 2);
    assert_eq!(store.forget_deleted_alerts(at(1_000)).await?, 0, "it is not deleted any more");
    assert_eq!(sweep(store, at(101), at(200)).await?, Deleted::default(), "its age begins anew");
    assert_eq!(sweep(store, at(102), at(200)).await?.alerts, 1);
    Ok(())
}

async fn attempts_and_lines_go_before_their_alert(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, acme_) = (&fixture.store, tenant("acme"));
    let both = ["over", "running"]
        .map(|name| alert(name).to_users(["ana"]).first_due_at(at(30)).escalated_until(at(50 * DAY)).build());
    store.record(&both, at(0)).await?;
    for (number, claim) in (0..).zip(store.claim_due(at(30), LEASE, 10).await?) {
        let stepped = store.step(&ask(&claim, at(30), &|_| push(number, 30)), LEASE).await?;
        let watchbell::store::Stepped::Call { fence, attempts, .. } = stepped else {
            anyhow::bail!("{stepped:?}")
        };
        let is_over = claim.key.alert == alert_id("over");
        let act = if is_over { Act::End(StopReason::Exhausted) } else { Act::Rest(at(40 * DAY)) };
        let mut decision = Decision::new(1, at(31), act);
        decision.notes = vec!["a line".to_owned()];
        let (answers, decide) = ([accepted(attempts[0].id)], move |_: &_| decision.clone());
        let answered = watchbell::store::Ask {
            key: &claim.key,
            holder: Holder::Fence(fence),
            answers: &answers,
            now: at(31),
            decide: &decide,
        };
        store.step(&answered, LEASE).await?;
    }
    let before = at(31);
    let (deleted, last) = store.delete_old_attempts(&acme_, before, None).await?;
    assert_eq!(deleted, 1, "that of the one that still goes on stays");
    assert_eq!(store.delete_old_attempts(&acme_, before, last.as_ref()).await?, (0, None));
    assert_eq!(store.delete_old_lines(&acme_, before).await?, 0, "not older");
    assert_eq!(store.delete_old_lines(&acme_, at(32)).await?, 2);
    assert_eq!(store.delete_old_lines(&acme_, at(32)).await?, 0);
    assert_eq!((rows_of(fixture, "attempts").await?, rows_of(fixture, "inbox").await?), (1, 2));
    let told = store.timeline(&acme_, &alert_id("over"), Some(&user("ana")), 1).await?;
    assert_eq!(told[0].stopped.as_deref(), Some("exhausted"), "what became of it is still told");
    Ok(())
}

async fn a_large_audience_goes_in_bounded_steps(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..450).map(|n| format!("p{n:03}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let small = (0..30).map(|n| quiet(&format!("small{n}"), &all[n..n + 10]));
    store.record(&small.collect::<Vec<_>>(), at(0)).await?;
    store.record(&[quiet("large", &all)], at(0)).await?;
    store.record(&[quiet("young", &["p000"])], at(9)).await?;
    assert_eq!(sweep(store, at(5), at(10)).await?, Deleted { rows: 750, stayed: 0, alerts: 31 });
    let head = head(store, &acme("p000")).await?;
    assert_eq!((head.unread, inbox(store, &acme("p000")).await?.len()), (1, 1));
    Ok(())
}

async fn an_alert_that_reached_nobody_goes(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[quiet("to-nobody", &[])], at(0)).await?;
    assert_eq!(store.tenant_after(None).await?, Some(tenant("acme")));
    assert_eq!(store.tenant_after(Some(&tenant("acme"))).await?, None);
    assert_eq!(sweep(store, at(1), at(2)).await?, Deleted { rows: 0, stayed: 0, alerts: 1 });
    Ok(())
}

async fn somebody_who_is_being_written_to_is_passed_over(fixture: &StoreFixture) -> anyhow::Result<()> {
    if fixture.dialect(false, true) {
        return Ok(()); // It has one writer, who is waited for.
    }
    let store = &fixture.store;
    store.record(&[quiet("a", &["ana", "ben"])], at(0)).await?;
    let mut connection = fixture.connection().await?;
    let lock = "/* of a test */ BEGIN; SELECT 1 FROM users WHERE user_id = 'ana' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut connection).await?;
    assert_eq!(sweep(store, at(1), at(2)).await?, Deleted { rows: 1, stayed: 1, alerts: 0 });
    sqlx::raw_sql("/* of a test */ ROLLBACK").execute(&mut connection).await?;
    assert_eq!(sweep(store, at(1), at(2)).await?, Deleted { rows: 1, stayed: 0, alerts: 1 });
    Ok(())
}

async fn one_process_sweeps_at_a_time_and_not_before_it_is_due(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let lease = Duration::from_secs(60);
    let hold = async |holder, secs| store.hold_sweep("retention", holder, at(secs), lease).await;
    assert!(hold("one", 0).await?);
    assert!(!hold("two", 30).await?, "somebody else is at it");
    assert!(hold("one", 30).await?, "kept");
    assert!(hold("two", 90).await?, "the first has vanished");
    store.end_sweep("retention", "one", at(0)).await?;
    assert!(!hold("one", 91).await?, "what it still says does not count");
    store.end_sweep("retention", "two", at(500)).await?;
    assert!(!hold("one", 499).await?, "not due");
    assert!(hold("one", 500).await?);
    Ok(())
}

/// Two handles do whatever comes, one of them deletes: each badge is the number of its unread rows, each number is a row's or a
/// deletion's, and nothing that goes on is gone.
async fn badges_and_numbers_stay_right_beside_whatever_else_happens(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    for seed in 1..=3 {
        let fixture = match fixture.dialect(true, false) {
            true => StoreFixture::postgres().await?,
            false => StoreFixture::sqlite().await?,
        };
        let (store, other) = (&fixture.store, fixture.another_handle());
        let people = ["ana", "ben", "cy"];
        let sweeper = async {
            for turn in 0..40 {
                sweep(&other, at(turn * 3), at(turn * 4)).await?;
                trim(&other, 6, at(turn * 4)).await?;
            }
            anyhow::Ok(())
        };
        let work = async {
            let mut dice = Dice::new(seed);
            let mut published: Vec<NewAlert> = Vec::new();
            for turn in 0..120 {
                let now = at(turn);
                match dice.roll(6) {
                    0 | 1 => {
                        let to = &people[dice.roll(3)..];
                        let new = alert(&format!("a{turn}")).to_users(to).first_due_at(at(turn + 20));
                        published.push(new.published().build());
                        store.record(&published[published.len() - 1..], now).await?;
                    }
                    2 if !published.is_empty() => {
                        let new = later_version(dice.pick(&published)).firing().build();
                        store.record(&[new], now).await?;
                    }
                    _ if !published.is_empty() => {
                        let id = dice.pick(&published).alert.id.to_string();
                        let who = acme(people[dice.roll(people.len())]);
                        let state =
                            *dice.pick(&[ReceiptState::Seen, ReceiptState::Read, ReceiptState::Dismissed]);
                        store.apply_receipts(&[receipt(&who, [id.as_str()], state)], now).await?;
                    }
                    _ => {}
                }
                for claim in store.claim_due(now, LEASE, 10).await? {
                    let end = Decision::new(1, now, Act::End(StopReason::Exhausted));
                    store.step(&ask(&claim, now, &move |_| end.clone()), LEASE).await?;
                }
            }
            anyhow::Ok(())
        };
        let (swept, worked) = tokio::join!(sweeper, work);
        swept.and(worked).map_err(|error| error.context(format!("seed {seed}")))?;
        for who in people {
            let user: UserKey = acme(who);
            let (head, rows) = (head(store, &user).await?, inbox(store, &user).await?);
            let unread = rows.iter().filter(|(_, _, state)| state.is_unread()).count() as u64;
            assert_eq!(head.unread, unread, "seed {seed}: {who}'s badge, of {rows:?}");
            let highest: Seq = rows.iter().map(|(_, seq, _)| *seq).max().unwrap_or(0);
            assert_eq!(head.seq, highest.max(head.deleted_to), "seed {seed}: {who}'s number");
            assert!(rows.iter().all(|(_, _, state)| *state != InboxState::Snoozed));
        }
        let orphans = "escalations e WHERE NOT EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = e.tenant
            AND i.user_id = e.user_id AND i.alert_id = e.alert_id)";
        assert_eq!(rows_of(&fixture, orphans).await?, 0, "seed {seed}: none is left behind");
        assert_eq!(store.audit(at(1_000), LEASE).await?.lost, [], "seed {seed}: and no timer is lost");
        other.close().await;
    }
    Ok(())
}
