//! A hundred days in which old alerts are deleted beside new ones, receipts, snoozes and repetitions, from one seed.

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;
use watchbell::{
    domain::{
        Alert, AlertId, ReceiptState, Severity, Timestamp,
        audit::{Actor, AuditAction},
        retention::{DELETED_REMEMBERED, Retention, RetentionRules},
    },
    store::{AuditQuery, AuditedChange, Head},
};
use watchbell_dispatch::{RetentionSweeper, Swept};
use watchbell_tests::builders::{acme, alert, tenant};

use super::{
    days::Dice,
    world::{DAY, What, World, secs},
};

const PEOPLE: [&str; 2] = ["ana", "ben"];
const DAYS: usize = 100;
/// A round is made every so many days.
const DAYS_PER_ROUND: usize = 4;
const KEPT: Retention = Retention {
    alerts_kept: Duration::from_secs(20 * 24 * 60 * 60),
    alerts_per_person_max: 40,
    timelines_kept: Duration::from_secs(10 * 24 * 60 * 60),
};

/// How long entries of the audit log are kept; there is one a day.
const AUDIT_DAYS_KEPT: usize = 30;

/// An alert that was published, as its latest version said it.
struct Published {
    alert: Alert,
    at: Timestamp,
}

#[tokio::test]
async fn a_hundred_days_of_retention_break_no_promise() -> anyhow::Result<()> {
    let seed = 11;
    story(seed).await.map_err(|error| error.context(format!("seed {seed}")))
}

async fn story(seed: u64) -> anyhow::Result<()> {
    let world = World::new().await?;
    let audit_kept = Duration::from_secs(24 * 60 * 60) * AUDIT_DAYS_KEPT as u32;
    let rules = RetentionRules { everybody: KEPT, audit_kept, ..RetentionRules::default() };
    let sweeper = RetentionSweeper {
        pause: Duration::ZERO,
        ..RetentionSweeper::new(world.store.clone(), world.clock.clone(), rules, "sweeper".to_owned())
    };
    let (mut dice, mut published) = (Dice(seed), Vec::<Published>::new());
    let (mut all, mut numbers) = (Swept::default(), [0; 2]);
    let mut looked = BTreeSet::new();
    for day in 0..DAYS {
        for turn in 0..4 {
            match dice.roll(8) {
                0..=3 => {
                    let id = format!("d{day}-{turn}");
                    let severity = [Severity::Info, Severity::Critical][dice.roll(2) as usize];
                    let alert = alert(&id).severity(severity).title(format!("{id} v1")).build();
                    world.publish(alert.clone(), &PEOPLE).await?;
                    published.push(Published { alert, at: world.now() });
                }
                4 if !published.is_empty() => {
                    let one = pick(&mut dice, &mut published);
                    one.alert.version += 1;
                    one.alert.title = format!("{} v{}", one.alert.id, one.alert.version);
                    one.at = world.now();
                    let alert = one.alert.clone();
                    world.publish(alert, &PEOPLE).await?;
                }
                5 if !published.is_empty() => {
                    let id = pick(&mut dice, &mut published).alert.id.to_string();
                    looked.insert(id.clone());
                    world
                        .snooze(PEOPLE[dice.roll(2) as usize], &id, (1 + dice.roll(30) as u32) * DAY)
                        .await?;
                }
                6 if !published.is_empty() => {
                    let id = pick(&mut dice, &mut published).alert.id.to_string();
                    looked.insert(id.clone());
                    world.say(PEOPLE[dice.roll(2) as usize], &id, ReceiptState::Seen).await?;
                }
                7 if !published.is_empty() => repeated(&world, pick(&mut dice, &mut published)).await?,
                _ => {}
            }
            world.pass(secs(dice.roll(12 * 60 * 60))).await?;
            world.end_snoozes().await?;
        }
        let whose = tenant("acme");
        let change = AuditedChange::done(&whose, AuditAction::UserPut, format!("user:d{day}"));
        world.store.by(Actor::System).note_change(&change, world.now()).await?;
        if day % DAYS_PER_ROUND > 0 {
            continue;
        }
        let going_on = going_on(&world).await?;
        let swept = sweeper.round(&CancellationToken::new()).await?;
        let swept = swept.ok_or_else(|| anyhow::anyhow!("nobody interrupts a round"))?;
        all.inboxes += swept.inboxes;
        all.attempts += swept.attempts;
        all.lines += swept.lines;
        all.forgotten += swept.forgotten;
        all.audit_entries += swept.audit_entries;
        audit_log_is_of_the_last_days(&world, day + 1, audit_kept).await?;
        for (who, id) in &going_on {
            anyhow::ensure!(holds(&world, who, id).await?, "{id} still goes on for {who}, and was deleted");
        }
        for (who, number) in PEOPLE.into_iter().zip(&mut numbers) {
            let head = inbox_is_in_order(&world, who, &going_on).await?;
            anyhow::ensure!(head.seq >= *number, "{who}'s number only grows: {} after {number}", head.seq);
            *number = head.seq;
        }
        let audit = world.fallback().auditor.audit_once().await?;
        anyhow::ensure!(audit.lost.is_empty() && audit.late == 0, "{audit:?}");
    }
    somebody_was_told(&world, &published, &looked)?;
    let Swept { inboxes, attempts, lines, forgotten, audit_entries } = all;
    anyhow::ensure!(
        inboxes.rows > 100
            && inboxes.alerts > 50
            && attempts > 50
            && lines > 10
            && forgotten > 10
            && audit_entries > 10,
        "the story is about deleting: {all:?}"
    );
    Ok(())
}

/// One of the later half: nobody's days are about what is long over.
fn pick<'a>(dice: &mut Dice, published: &'a mut [Published]) -> &'a mut Published {
    let late = published.len() / 2;
    let at = late + dice.roll((published.len() - late) as u64) as usize;
    &mut published[at]
}

/// The broker, or its producer, gives us an alert once more that is known or was deleted not long ago: nobody gets what they
/// lost.
async fn repeated(world: &World, one: &Published) -> anyhow::Result<()> {
    if world.now() > one.at + DELETED_REMEMBERED {
        return Ok(());
    }
    let before = [holds(world, "ana", &one.alert.id).await?, holds(world, "ben", &one.alert.id).await?];
    world.publish(one.alert.clone(), &PEOPLE).await?;
    let after = [holds(world, "ana", &one.alert.id).await?, holds(world, "ben", &one.alert.id).await?];
    anyhow::ensure!(before == after, "{} came back: {before:?}, then {after:?}", one.alert.id);
    Ok(())
}

async fn holds(world: &World, who: &str, id: &AlertId) -> anyhow::Result<bool> {
    Ok(!world.store.timeline(&tenant("acme"), id, Some(&acme(who).user), 1).await?.is_empty())
}

type GoingOn = BTreeSet<(&'static str, AlertId)>;

/// What somebody is still told of, or has put off.
async fn going_on(world: &World) -> anyhow::Result<GoingOn> {
    let mut all = GoingOn::new();
    for who in PEOPLE {
        for row in world.store.changes_after(&acme(who), 0, 10_000).await?.rows {
            let told = world.timeline(who, row.alert.as_str()).await?;
            if told.stopped.is_none() || told.due_at.is_some() || told.until.is_some() {
                all.insert((who, row.alert));
            }
        }
    }
    Ok(all)
}

/// The badge is right, the bounds hold, and a client that knows everything up to the head has everything.
async fn inbox_is_in_order(world: &World, who: &'static str, going_on: &GoingOn) -> anyhow::Result<Head> {
    let changes = world.store.changes_after(&acme(who), 0, 10_000).await?;
    let unread = changes.rows.iter().filter(|row| row.state.is_unread()).count() as u64;
    anyhow::ensure!(changes.head.unread == unread, "{who}'s badge is {} for {unread}", changes.head.unread);
    let over: Vec<_> =
        changes.rows.iter().filter(|row| !going_on.contains(&(who, row.alert.clone()))).collect();
    let max = KEPT.alerts_per_person_max as usize;
    anyhow::ensure!(over.len() <= max, "{who} has {} rows of what is over", over.len());
    let highest = changes.rows.iter().map(|row| row.seq).max().unwrap_or_default();
    anyhow::ensure!(
        changes.head.seq == highest.max(changes.head.deleted_to),
        "the last number is a row's or a deletion's: {:?}, {highest}",
        changes.head
    );
    Ok(changes.head)
}

/// After a round the log has the entries that are young enough, and every one of them. So many were written.
async fn audit_log_is_of_the_last_days(world: &World, written: usize, kept: Duration) -> anyhow::Result<()> {
    let all = AuditQuery { limit: DAYS, ..AuditQuery::default() };
    let entries = world.store.audit_entries(&all).await?;
    let oldest = world.now() - kept;
    anyhow::ensure!(entries.iter().all(|entry| entry.at >= oldest), "an old entry stayed: {entries:?}");
    let young = (0..written).rev().map(|day| format!("user:d{day}")).take(entries.len());
    anyhow::ensure!(
        entries.iter().map(|entry| entry.object.clone()).eq(young),
        "a young entry went: {entries:?}"
    );
    // A day is some time longer or shorter by the dice.
    let fewest = written.min(AUDIT_DAYS_KEPT / 2);
    anyhow::ensure!(entries.len() >= fewest, "{} entries of the last {kept:?}", entries.len());
    Ok(())
}

/// What nobody looked at was pushed to both; timelines are gone by now, so what the providers got is asked. The last few may still
/// be on their way.
fn somebody_was_told(
    world: &World,
    published: &[Published],
    looked: &BTreeSet<String>,
) -> anyhow::Result<()> {
    let sent = world.sent();
    for one in published.iter().take(published.len().saturating_sub(10)) {
        let id = one.alert.id.to_string();
        for who in PEOPLE {
            let is_push = |what| matches!(what, What::Apns | What::Fcm);
            let told =
                sent.iter().any(|sent| is_push(sent.what) && sent.user == who && sent.alerts.contains(&id));
            anyhow::ensure!(told || looked.contains(&id), "{who} was not told of {id}");
        }
    }
    Ok(())
}
