//! Floods, quiet nights, and what policies say.

use std::{collections::BTreeMap, time::Duration};

use watchbell::domain::{
    Alert, Channel, Policy, PolicyStep, PushService, ReceiptState, Secret,
    bounce::{Bounce, BounceKind},
    email::address_digest,
    policy::{GroupRule, Policies, PolicySet, Unless},
    restraint::Restraint,
};
use watchbell_fallback::{Rates, channel::Accepted};
use watchbell_tests::builders::alert;

use super::world::{BEGIN, DAY, Sent, What, World, secs};

const HOUR: Duration = Duration::from_secs(3600);

fn critical(id: &str) -> Alert {
    alert(id).critical().build()
}

fn count(world: &World, what: What) -> usize {
    world.sent().iter().filter(|sent| sent.what == what).count()
}

/// Case 7 of our notes.
#[tokio::test]
async fn ten_thousand_alerts_in_a_minute_are_a_handful_of_pushes_and_one_mail() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    for second in 0..60 {
        let batch = (0..167).map(|n| alert(&format!("a-{second}-{n}")).build()).collect();
        world.publish_all(batch, &["ana"]).await?;
        world.clock.advance(secs(1));
    }
    world.pass(DAY).await?;
    assert_eq!((count(&world, What::Apns), count(&world, What::Mail)), (6, 1), "{:?}", world.told());
    let last = world.sent();
    let summary = last.iter().find(|sent| sent.title.ends_with("new alerts")).unwrap();
    assert_eq!((summary.what, summary.title.as_str()), (What::Apns, "10015 new alerts"));
    let mail = last.iter().find(|sent| sent.what == What::Mail).unwrap();
    assert_eq!(mail.title, "10020 new alerts");
    assert!(world.says("ana", "a-30-5", "told in a summary push").await?);
    assert!(world.says("ana", "a-30-5", "told in a digest mail").await?);
    Ok(())
}

#[tokio::test]
async fn a_flood_without_end_is_six_pushes_a_window() -> anyhow::Result<()> {
    let world = World::new().await?;
    for n in 0..600 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
        world.pass(secs(1)).await?;
    }
    let pushes = count(&world, What::Apns);
    assert!((5..=26).contains(&pushes), "{pushes} in ten minutes");
    let told = world.sent();
    let summed: usize =
        told.iter().filter_map(|sent| sent.title.split(" new alerts").next()?.parse::<usize>().ok()).sum();
    assert!(summed > 400, "the others are in the summaries: {summed}");
    Ok(())
}

#[tokio::test]
async fn mails_gather_for_two_minutes_and_one_alone_is_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.publish(alert("alone").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    for id in ["one", "two"] {
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(secs(30)).await?;
    }
    world.pass(HOUR).await?;
    let mails: Vec<(Vec<String>, String)> = world
        .sent()
        .into_iter()
        .filter(|sent| sent.what == What::Mail)
        .map(|sent| (sent.alerts, sent.title))
        .collect();
    let expected =
        [(vec!["alone".into()], "about alone".into()), (vec!["~email".into()], "2 new alerts".into())];
    assert_eq!(mails, expected);
    Ok(())
}

/// What was gathered in a mail that came back was told to nobody by it: the policy goes on for each.
#[tokio::test]
async fn what_a_mail_told_of_that_came_back_goes_on() -> anyhow::Result<()> {
    let unless = vec![Unless::Told(Channel::Email)];
    let pushed = PolicyStep { unless, ..PolicyStep::new(Channel::Push, secs(600)) };
    let steps = vec![PolicyStep::new(Channel::Email, secs(10)), pushed];
    let by_name = ["default", "critical"]
        .map(|name| (name.to_owned(), Policy { steps: steps.clone(), ..Policy::default() }));
    let world = World::with(Policies::with_defaults(BTreeMap::from(by_name)), Restraint::default()).await?;
    for (ids, comes_back) in
        [(&["arrives"][..], false), (&["alone"], true), (&["one", "two"], true), (&["three", "four"], false)]
    {
        let (mails, pushes) = (count(&world, What::Mail), count(&world, What::Apns));
        for id in ids {
            world.publish(alert(id).build(), &["ana"]).await?;
        }
        world.pass(secs(300)).await?;
        assert_eq!(count(&world, What::Mail), mails + 1, "{ids:?}: {:?}", world.told());
        let sent = world.sent();
        let mail = sent.iter().rev().find(|sent| sent.what == What::Mail).unwrap();
        let answerable = world.store.mailed_alert(mail.id).await?.map(|mailed| mailed.alert.to_string());
        let only = if let [only] = ids { Some((*only).to_owned()) } else { None };
        assert_eq!(answerable, only, "{ids:?}");
        if comes_back {
            let reason = "550 5.1.1 unknown".to_owned();
            let address_digest = address_digest(&Secret::from("another address by now"));
            let bounce = Bounce { attempt: mail.id, address_digest, kind: BounceKind::Hard, reason };
            world.store.record_bounce(&bounce, None, world.now()).await?;
        }
        world.pass(secs(1200)).await?;
        let rung = count(&world, What::Apns) - pushes;
        assert_eq!(rung, if comes_back { ids.len() } else { 0 }, "{ids:?}: {:?}", world.told());
        for id in ids {
            assert_eq!(world.says("ana", id, "the mail came back: 550").await?, comes_back, "{id}");
        }
        world.pass(DAY).await?;
    }
    Ok(())
}

/// The time when everything begins here is eight in the morning in UTC, ten in Warsaw.
#[tokio::test]
async fn mails_of_a_day_are_one_at_the_hour_that_its_reader_chose() -> anyhow::Result<()> {
    let world = World::new().await?;
    let daily = r#"{"digest":{"every":"day","at":"18:00"},"quiet":{"zone":"Europe/Warsaw"}}"#;
    world.prefer("ana", daily).await?;
    for id in ["one", "two", "three"] {
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(HOUR).await?;
    }
    assert_eq!(count(&world, What::Mail), 0, "they wait");
    assert!(world.says("ana", "one", "the user wants one mail for every day").await?);
    world.publish(critical("fire"), &["ana"]).await?;
    world.pass(HOUR).await?;
    let titles = |world: &World| -> Vec<String> {
        world.sent().into_iter().filter(|sent| sent.what == What::Mail).map(|sent| sent.title).collect()
    };
    assert_eq!(titles(&world), ["about fire"], "what is critical does not");
    world.pass(DAY).await?;
    assert_eq!(titles(&world), ["about fire", "3 new alerts"]);
    let digest = world.told().into_iter().filter(|(what, _)| *what == What::Mail).nth(1).unwrap().1;
    assert!((8 * 3_600..8 * 3_600 + 900).contains(&digest), "at six in the evening, there: {digest}");
    Ok(())
}

#[tokio::test]
async fn who_changes_their_mind_gets_what_waited() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.prefer("ana", r#"{"digest":{"every":"day"}}"#).await?;
    for id in ["one", "two"] {
        world.publish(alert(id).build(), &["ana"]).await?;
    }
    world.pass(HOUR).await?;
    assert_eq!(count(&world, What::Mail), 0);
    world.prefer("ana", r#"{"digest":{"every":"alert"}}"#).await?;
    world.pass(secs(5)).await?;
    assert_eq!(count(&world, What::Mail), 2, "each by itself: {:?}", world.told());
    world.pass(DAY * 2).await?;
    assert_eq!(count(&world, What::Mail), 2, "and not again");
    Ok(())
}

#[tokio::test]
async fn what_is_seen_before_the_digest_is_not_in_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    for id in ["a", "b", "c"] {
        world.publish(alert(id).build(), &["ana"]).await?;
    }
    world.pass(secs(330)).await?;
    world.say("ana", "b", ReceiptState::Seen).await?;
    world.pass(HOUR).await?;
    let mail = world.sent().into_iter().find(|sent| sent.what == What::Mail).unwrap();
    assert_eq!(mail.title, "2 new alerts");
    for id in ["a", "c"] {
        assert_eq!(world.timeline("ana", id).await?.stopped, None, "its push stays on the phone");
    }
    Ok(())
}

#[tokio::test]
async fn a_summary_goes_from_the_phone_when_all_of_it_is_seen() -> anyhow::Result<()> {
    let world = World::new().await?;
    for n in 0..8 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
    }
    world.pass(secs(130)).await?;
    assert_eq!(count(&world, What::Apns), 6);
    for n in 0..8 {
        assert_eq!(
            world
                .sent()
                .iter()
                .filter(|sent| sent.alerts == ["~push"] && sent.what == What::Withdrawal)
                .count(),
            0
        );
        world.say("ana", &format!("a{n}"), ReceiptState::Read).await?;
        world.pass(secs(1)).await?;
    }
    let withdrawn: Vec<String> = world
        .sent()
        .into_iter()
        .filter(|sent| sent.what == What::Withdrawal)
        .flat_map(|sent| sent.alerts)
        .collect();
    assert_eq!(withdrawn.len(), 6, "five of their own and the summary: {withdrawn:?}");
    assert_eq!(withdrawn.last().map(String::as_str), Some("~push"));
    Ok(())
}

#[tokio::test]
async fn a_summary_survives_an_outage_and_keeps_its_id() -> anyhow::Result<()> {
    let world = World::new().await?;
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = is_down.clone();
    world.answer(move |sent: &Sent| {
        match sent.alerts == ["~push"] && down.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(super::world::unreachable()),
            false => Ok(Accepted::default()),
        }
    });
    for n in 0..9 {
        world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
    }
    world.pass(secs(150)).await?;
    is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    world.pass(secs(300)).await?;
    let summaries: Vec<Sent> =
        world.sent().into_iter().filter(|sent| sent.alerts == ["~push"] && sent.what == What::Apns).collect();
    assert!(summaries.len() >= 2 && summaries.iter().all(|sent| sent.id == summaries[0].id), "{summaries:?}");
    assert_eq!(summaries.iter().filter(|sent| sent.accepted).count(), 1);
    assert_eq!(summaries.last().unwrap().title, "4 new alerts");
    Ok(())
}

/// Case 6 of our notes, end to end: the tables are in `src/domain/preferences_tests.rs`.
#[tokio::test]
async fn a_quiet_night_defers_and_the_morning_tells() -> anyhow::Result<()> {
    const NIGHTS: &str = r#"{"quiet":{"zone":"Europe/Warsaw","windows":[{"from":"23:00","to":"07:00"}]}}"#;
    let world = World::new().await?;
    world.prefer("ana", NIGHTS).await?;
    // 23:30 in Warsaw, in summer.
    world.pass(13 * HOUR + 30 * secs(60)).await?;
    for n in 0..3 {
        world.publish(alert(&format!("a{n}")).build(), &["ana", "ben"]).await?;
    }
    world.publish(critical("fire"), &["ana"]).await?;
    world.pass(HOUR).await?;
    let anas = |world: &World| world.sent().into_iter().filter(|sent| sent.user == "ana").collect::<Vec<_>>();
    assert!(
        anas(&world).iter().all(|sent| sent.alerts == ["fire"]),
        "only what may break a silence: {:?}",
        anas(&world)
    );
    assert!(world.says("ana", "a0", "the user's quiet hours").await?);
    world.pass(12 * HOUR).await?;
    let morning: Vec<Sent> = anas(&world).into_iter().filter(|sent| sent.alerts != ["fire"]).collect();
    let seven: jiff::Timestamp = "2026-06-02T05:00:00Z".parse()?;
    let pushes: Vec<i64> = morning
        .iter()
        .filter(|sent| sent.what == What::Apns)
        .map(|sent| sent.at.duration_since(seven).as_secs())
        .collect();
    assert_eq!(pushes.len(), 3);
    assert!(
        pushes.iter().all(|at| (120..=780).contains(at)),
        "soon after, clear of the quarter hour: {pushes:?}"
    );
    assert_eq!(
        morning.iter().filter(|sent| sent.what == What::Mail).count(),
        1,
        "and the mail after its wait"
    );
    Ok(())
}

#[tokio::test]
async fn a_zone_that_changes_while_something_waits_moves_its_release() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .prefer("ana", r#"{"quiet":{"zone":"Europe/Warsaw","windows":[{"from":"08:00","to":"23:00"}]}}"#)
        .await?;
    world.publish(alert("a").build(), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(world.told(), []);
    // She lands in Tokyo, where it is evening: 23:00 there is 14:00 UTC.
    world
        .prefer("ana", r#"{"quiet":{"zone":"Asia/Tokyo","windows":[{"from":"08:00","to":"23:00"}]}}"#)
        .await?;
    world.pass(4 * HOUR).await?;
    assert_eq!(world.told(), []);
    world.pass(2 * HOUR).await?;
    let at = world.told()[0].1;
    assert!((6 * 3600..6 * 3600 + 1300).contains(&at), "{at}");
    // And whoever asks for quiet no longer gets what waited at once.
    world.prefer("ana", r#"{"quiet":{"until":"2026-06-05T08:00:00Z"}}"#).await?;
    world.publish(alert("b").build(), &["ana"]).await?;
    world.pass(secs(10)).await?;
    world.prefer("ana", "{}").await?;
    world.pass(secs(1)).await?;
    assert_eq!(world.sent().last().unwrap().alerts, ["b"]);
    Ok(())
}

#[tokio::test]
async fn deferred_beyond_its_life_is_recorded_as_expired() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.prefer("ana", r#"{"quiet":{"until":"2026-06-02T08:00:00Z"}}"#).await?;
    let short = alert("a").expires_at(world.now() + HOUR).build();
    world.publish(short, &["ana"]).await?;
    world.pass(2 * DAY).await?;
    assert_eq!(world.told(), []);
    let told = world.timeline("ana", "a").await?;
    assert_eq!(told.stopped.as_deref(), Some("expired"));
    assert!(
        told.entries.iter().any(|entry| entry.what.contains("quiet hours")),
        "and why it was not told before"
    );
    Ok(())
}

#[tokio::test]
async fn whoever_turned_a_category_off_is_not_told_and_the_timeline_says_so() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .prefer("ana", r#"{"categories":{"news":{"push":false,"email":false}},"channels":{"email":false}}"#)
        .await?;
    world.publish(alert("news").category("news").build(), &["ana"]).await?;
    world.publish(alert("other").build(), &["ana"]).await?;
    world.publish(critical("fire"), &["ana"]).await?;
    world.pass(DAY).await?;
    let sent: Vec<(What, String)> =
        world.sent().into_iter().map(|sent| (sent.what, sent.alerts[0].clone())).collect();
    let expected = [(What::Apns, "other"), (What::Apns, "fire"), (What::Mail, "fire")];
    assert_eq!(sent, expected.map(|(what, id)| (what, id.to_owned())));
    assert!(world.says("ana", "news", "push step skipped: the user has turned it off").await?);
    assert!(world.says("ana", "other", "email step skipped: the user has turned it off").await?);
    Ok(())
}

fn step(channel: Channel, after: u64, unless: &[Unless]) -> PolicyStep {
    PolicyStep { unless: unless.to_vec(), ..PolicyStep::new(channel, secs(after)) }
}

#[tokio::test]
async fn an_escalation_takes_the_steps_of_its_own_policy() -> anyhow::Result<()> {
    let group = GroupRule::FirstStopsAll;
    let steps = vec![
        step(Channel::Push, 10, &[]),
        step(Channel::Email, 60, &[Unless::Told(Channel::Push)]),
        step(Channel::Push, 60, &[]),
    ];
    let by_name = BTreeMap::from([("page".to_owned(), Policy { steps, group, ..Policy::default() })]);
    let by_category = BTreeMap::from([("outage".to_owned(), "page".to_owned())]);
    let policies = Policies::new(PolicySet { by_name, by_category, ..PolicySet::default() }, BTreeMap::new());
    let world = World::with(policies, Restraint::default()).await?;
    let outage = |id| alert(id).category("outage").build();
    world.publish(outage("a"), &["ana"]).await?;
    world.pass(HOUR).await?;
    assert_eq!(world.told(), [(What::Apns, 0), (What::Apns, 120)], "pushed, so no mail; then pushed again");

    world.publish(outage("b"), &["ana", "ben"]).await?;
    world.pass(secs(1)).await?;
    let before = world.sent().len();
    world.say("ben", "b", ReceiptState::Seen).await?;
    world.pass(DAY).await?;
    let after: Vec<Sent> = world.sent().split_off(before);
    assert!(after.iter().all(|sent| sent.what == What::Withdrawal && sent.user == "ben"), "{after:?}");
    assert!(world.says("ana", "b", "another recipient saw it first").await?);
    Ok(())
}

/// A group that is on call: everybody is told until one says that they have it, and whoever says "not me" has the next step come now.
#[tokio::test]
async fn an_alert_is_everybodys_until_one_acknowledges_it() -> anyhow::Result<()> {
    let group = GroupRule::FirstAcknowledges;
    let steps =
        vec![step(Channel::Push, 10, &[]), step(Channel::Push, 3_600, &[]), step(Channel::Push, 3_600, &[])];
    let by_name = BTreeMap::from([("on-call".to_owned(), Policy { steps, group, ..Policy::default() })]);
    let by_category = BTreeMap::from([("outage".to_owned(), "on-call".to_owned())]);
    let policies = Policies::new(PolicySet { by_name, by_category, ..PolicySet::default() }, BTreeMap::new());
    let world = World::with(policies, Restraint::default()).await?;
    let outage = |id| alert(id).category("outage").build();
    let pushed = |who: &str, about: &str| {
        let is_it =
            |sent: &&Sent| sent.what == What::Apns && sent.user == who && sent.alerts == [about.to_owned()];
        world.sent().iter().filter(is_it).count()
    };
    let pushes = |about: &str| ["ana", "ben", "cleo"].map(|who| pushed(who, about));
    for who in ["ben", "cleo"] {
        world.furnish(who, PushService::Apns).await?;
    }
    world.publish(outage("a"), &["ana", "ben", "cleo"]).await?;
    world.pass(secs(20)).await?;
    assert_eq!(pushes("a"), [1, 1, 1]);

    // To look ends one's own escalation and nobody else's (I5).
    world.say("cleo", "a", ReceiptState::Seen).await?;
    world.carry().await?;
    world.pass(secs(3_600)).await?;
    assert_eq!(pushes("a"), [2, 2, 1]);

    // "Not me": the other's next step is due now, an hour before its time, and once.
    for _ in 0..2 {
        world.say("ana", "a", ReceiptState::PassedOn).await?;
        world.carry().await?;
    }
    world.pass(secs(1)).await?;
    assert_eq!(pushes("a"), [2, 3, 1]);
    assert!(world.says("ana", "a", "passed on").await?);
    assert!(world.says("ben", "a", "another recipient passed it on: the next step is due now").await?);

    // "I have it": nothing more comes to anybody, also before the others were gone through.
    world.publish(outage("b"), &["ana", "ben", "cleo"]).await?;
    world.say("ben", "b", ReceiptState::Acknowledged).await?;
    world.pass(HOUR).await?;
    assert_eq!(pushes("b"), [0, 0, 0]);
    assert!(world.says("ben", "b", "acknowledged").await?);
    assert!(world.says("ana", "b", "escalation ended: another recipient acknowledged it").await?);
    world.carry().await?;
    world.pass(DAY).await?;
    assert_eq!(pushes("b"), [0, 0, 0]);

    // Not after all: the others are told as if it had come now, and to look ends it for the one who looks.
    world.say("ben", "b", ReceiptState::PassedOn).await?;
    world.carry().await?;
    world.pass(secs(1)).await?;
    assert_eq!(pushes("b"), [1, 0, 1]);
    world.say("cleo", "b", ReceiptState::Seen).await?;
    world.pass(HOUR).await?;
    assert_eq!(pushes("b"), [2, 0, 1]);
    assert!(world.says("ben", "b", "given back").await?);
    Ok(())
}

#[tokio::test]
async fn a_tenant_over_its_rate_is_slowed_not_stopped() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    world.parts.rules.tenant_rates = std::sync::Arc::new(Rates::new(2));
    for n in 0..20 {
        let name = format!("user-{n}");
        world.furnish(&name, watchbell::domain::PushService::Apns).await?;
        world.publish(alert("a").build(), &[&name]).await?;
    }
    world.pass(secs(30)).await?;
    let times: Vec<i64> = world.told().iter().map(|told| told.1).collect();
    assert_eq!(times.len(), 20, "everybody was told");
    assert!(times.iter().all(|at| times.iter().filter(|other| *other == at).count() <= 3), "{times:?}");
    assert!(world.says("user-19", "a", "the tenant sends more than it may").await?);
    Ok(())
}

#[test]
fn the_beginning_is_a_monday() {
    let begin: jiff::Timestamp = BEGIN.parse().unwrap();
    let day = begin.to_zoned(jiff::tz::TimeZone::UTC).weekday();
    assert_eq!(day, jiff::civil::Weekday::Monday);
}
