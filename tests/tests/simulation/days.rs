//! Whole days of chance: alerts, receipts, sessions, outages and preferences from one seed, and what must hold at every
//! moment of them.

use std::collections::{BTreeMap, BTreeSet};

use watchbell::domain::{Alert, ReceiptState, Severity, Status, preferences::Preferences};
use watchbell::wire::preferences::PreferencesV1;
use watchbell_fallback::channel::{Accepted, SendError};
use watchbell_tests::builders::alert;

use super::world::{DAY, Sent, What, World, secs, unreachable};

const NIGHTS: &str = r#"{"quiet":{"zone":"Europe/Warsaw","windows":[{"from":"22:00","to":"06:30"}]}}"#;
const PEOPLE: [&str; 2] = ["ana", "ben"];

/// Chance from a seed, so that what failed once fails again. SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A test for each seed, so that they are run at once.
macro_rules! seeds {
    ($($test:ident: $seed:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                let calls = days_of($seed).await?;
                anyhow::ensure!(calls > 0, "nobody was told of anything");
                Ok(())
            }
        )+
    };
}

seeds! {
    three_days_of_chance_break_no_promise_with_the_first_seed: 1,
    three_days_of_chance_break_no_promise_with_the_second_seed: 2,
    three_days_of_chance_break_no_promise_with_the_third_seed: 3,
}

/// Gives how many calls to providers it took.
async fn days_of(seed: u64) -> anyhow::Result<usize> {
    let world = World::new().await?;
    let mut dice = Dice(seed);
    world.prefer("ana", NIGHTS).await?;
    let mut published: Vec<(Alert, u32)> = Vec::new();
    let mut seen: BTreeMap<(String, String), jiff::Timestamp> = BTreeMap::new();
    let mut looks: Looks = Vec::new();
    let end = world.now() + 3 * DAY;
    while world.now() < end {
        match dice.roll(12) {
            0..=4 => {
                let severity = [Severity::Info, Severity::Warning, Severity::Critical][dice.roll(3) as usize];
                let burst = if dice.roll(12) == 0 { 12 } else { 1 };
                for _ in 0..burst {
                    let id = format!("a{}", published.len());
                    let one = alert(&id).severity(severity).title(title(&id, severity)).build();
                    world.publish(one.clone(), &PEOPLE).await?;
                    published.push((one, 1));
                }
            }
            5 | 6 if !published.is_empty() => {
                let id = published[dice.roll(published.len() as u64) as usize].0.id.to_string();
                let who = PEOPLE[dice.roll(2) as usize];
                world.say(who, &id, ReceiptState::Seen).await?;
                looks.push((who.to_owned(), id.clone(), world.now()));
                seen.entry((who.to_owned(), id)).or_insert(world.now());
            }
            10 | 11 if !published.is_empty() => {
                // Of late: nobody's days are about what is long over.
                let back = dice.roll(published.len().min(5) as u64) as usize;
                let at = published.len() - 1 - back;
                let (one, version) = &mut published[at];
                let severity = [Severity::Info, Severity::Warning, Severity::Critical][dice.roll(3) as usize];
                let is_worse = severity > one.severity;
                *version += 1;
                (one.severity, one.title) = (severity, title(one.id.as_str(), severity));
                world.publish(Alert { version: *version, ..one.clone() }, &PEOPLE).await?;
                if is_worse {
                    // What was seen of it is not what it is now.
                    let id = one.id.to_string();
                    seen.retain(|(_, seen), _| *seen != id);
                }
            }
            7 => world.open_session("pod", PEOPLE[dice.roll(2) as usize]).await?,
            8 => world.close_session("pod", PEOPLE[dice.roll(2) as usize]).await?,
            _ => match dice.roll(4) {
                0 => world.answer(|sent: &Sent| match sent.what {
                    What::Mail => Ok(Accepted::default()),
                    _ => Err(unreachable()),
                }),
                1 => world.answer(|sent: &Sent| match sent.what {
                    What::Mail => {
                        Err(SendError::Unavailable { retry_after: Some(secs(30)), reason: "421".into() })
                    }
                    _ => Ok(Accepted::default()),
                }),
                _ => world.answer(|_: &Sent| Ok(Accepted::default())),
            },
        }
        world.pass(secs(dice.roll(1_800))).await?;
        let audit = world.fallback().auditor.audit_once().await?;
        anyhow::ensure!(audit.lost.is_empty() && audit.late == 0, "{audit:?}");
    }
    world.answer(|_: &Sent| Ok(Accepted::default()));
    for (one, version) in &mut published {
        if dice.roll(4) == 0 {
            *version += 1;
            world
                .publish(Alert { version: *version, status: Status::Resolved, ..one.clone() }, &PEOPLE)
                .await?;
        }
    }
    world.pass(2 * DAY).await?;
    nobody_was_woken(&world)?;
    nobody_was_flooded(&world)?;
    nothing_came_after_it_was_seen(&world, &seen)?;
    nobody_was_rung_for_no_more_than_they_were_told(&world, &looks)?;
    everybody_was_told_or_it_says_why(&world, &published).await?;
    Ok(world.sent().len())
}

/// In ana's nights there are only critical pushes and withdrawals, which make no sound.
fn nobody_was_woken(world: &World) -> anyhow::Result<()> {
    let nights: Preferences = PreferencesV1::decode(NIGHTS).unwrap().read()?;
    let all = world.sent();
    for sent in all.iter().filter(|sent| sent.user == "ana" && sent.what != What::Withdrawal) {
        if nights.quiet.ends_at(sent.at).is_some() {
            let is_retry = all.iter().any(|earlier| earlier.id == sent.id && earlier.at < sent.at);
            // A summary may break the silence when something critical is in it.
            let may = is_retry || sent.alerts[0].starts_with('~') || is_critical(world, sent);
            anyhow::ensure!(may, "in the night: {sent:?}");
        }
    }
    Ok(())
}

fn is_critical(world: &World, sent: &Sent) -> bool {
    world.critical().contains(&sent.alerts[0])
}

/// No two minutes have more than their pushes: five, five more critical ones, and a summary at either end.
fn nobody_was_flooded(world: &World) -> anyhow::Result<()> {
    for who in PEOPLE {
        let mut first_tries: Vec<(jiff::Timestamp, uuid::Uuid)> = Vec::new();
        let mut ids = BTreeSet::new();
        for sent in world.sent().iter().filter(|sent| sent.user == who) {
            if matches!(sent.what, What::Apns | What::Fcm) && ids.insert(sent.id) {
                first_tries.push((sent.at, sent.id));
            }
        }
        for (at, _) in &first_tries {
            let near =
                first_tries.iter().filter(|(other, _)| *other >= *at && *other < *at + secs(120)).count();
            anyhow::ensure!(near <= 22, "{near} pushes to {who} in the two minutes from {at}");
        }
    }
    Ok(())
}

/// Who looked at which alert, and when.
type Looks = Vec<(String, String, jiff::Timestamp)>;

fn title(id: &str, severity: Severity) -> String {
    format!("{id} is {severity}")
}

/// Each push about an alert says something worse than every one before it that a provider took, unless they looked at it
/// in between.
fn nobody_was_rung_for_no_more_than_they_were_told(world: &World, looks: &Looks) -> anyhow::Result<()> {
    let severity = |sent: &Sent| -> Option<Severity> { sent.title.rsplit(' ').next()?.parse().ok() };
    let all = world.sent();
    let pushes: Vec<&Sent> = all
        .iter()
        .filter(|sent| matches!(sent.what, What::Apns | What::Fcm) && !sent.alerts[0].starts_with('~'))
        .collect();
    for (at, push) in pushes.iter().enumerate() {
        let earlier = pushes[..at].iter().filter(|earlier| {
            earlier.user == push.user
                && earlier.alerts == push.alerts
                && earlier.id != push.id
                && earlier.accepted
        });
        for earlier in earlier {
            let looked = looks.iter().any(|(who, alert, when)| {
                *who == push.user && *alert == push.alerts[0] && *when >= earlier.at && *when <= push.at
            });
            anyhow::ensure!(
                looked || severity(push) > severity(earlier),
                "rung for no more than {earlier:?} told: {push:?}"
            );
        }
    }
    Ok(())
}

fn nothing_came_after_it_was_seen(
    world: &World,
    seen: &BTreeMap<(String, String), jiff::Timestamp>,
) -> anyhow::Result<()> {
    for sent in world.sent().iter().filter(|sent| sent.what != What::Withdrawal) {
        if let Some(at) = seen.get(&(sent.user.clone(), sent.alerts[0].clone())) {
            anyhow::ensure!(sent.at <= *at, "seen at {at}: {sent:?}");
        }
    }
    Ok(())
}

/// Whoever did not see an alert was pushed and mailed, alone or in a summary, or its timeline says why not.
async fn everybody_was_told_or_it_says_why(world: &World, published: &[(Alert, u32)]) -> anyhow::Result<()> {
    for (one, _) in published {
        for who in PEOPLE {
            let told = world.timeline(who, one.id.as_str()).await?;
            let is_over = told.stopped.is_some();
            let has = |text: &str| told.entries.iter().any(|entry| entry.what.contains(text));
            let is_told = has("accepted by the provider");
            anyhow::ensure!(is_over || is_told, "{who} {}: {told:#?}", one.id);
            anyhow::ensure!(
                is_told || has("escalation ended") || told.stopped.as_deref() != Some("exhausted"),
                "{who} {}: no reason in {told:#?}",
                one.id
            );
        }
    }
    Ok(())
}
