//! A later version that is worse: told at its own urgency, wherever the one before stood, and never twice (I13).

use std::{collections::BTreeMap, time::Duration};

use watchbell::domain::{
    Alert, Channel, Policy, PolicyStep, ReceiptState, Severity,
    policy::{Policies, PolicySet, Unless},
    restraint::Restraint,
};
use watchbell_fallback::channel::{Accepted, SendError};
use watchbell_tests::builders::alert;

use super::world::{Sent, What, World, secs};

const HOUR: Duration = Duration::from_secs(3600);

/// The alert `disk` as this version says it.
fn disk(version: u32, severity: Severity) -> Alert {
    let title = format!("disk v{version} {severity}");
    alert("disk").version(version).severity(severity).title(title).build()
}

async fn say(world: &World, version: u32, severity: Severity) -> anyhow::Result<()> {
    world.publish(disk(version, severity), &["ana"]).await
}

/// The titles of ana's pushes about the disk, each attempt once.
fn pushes(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    let mut titles = Vec::new();
    for sent in world.sent() {
        if sent.what == What::Apns && sent.alerts == ["disk"] && !ids.contains(&sent.id) {
            ids.push(sent.id);
            titles.push(sent.title);
        }
    }
    titles
}

fn refused(_: &Sent) -> Result<Accepted, SendError> {
    Err(SendError::Rejected { reason: "no".into() })
}

/// Where a warning may stand when it becomes critical. Ana has a session, so that the first wait is waited.
const STANDS: [&str; 9] =
    ["waiting", "quiet", "opted out", "pushed", "mailed", "refused", "bundled", "in the digest", "seen"];

async fn stands(world: &World, stand: &str) -> anyhow::Result<()> {
    world.open_session("pod", "ana").await?;
    match stand {
        "quiet" => world.prefer("ana", r#"{"quiet":{"until":"2026-06-05T08:00:00Z"}}"#).await?,
        "opted out" => world.prefer("ana", r#"{"channels":{"push":false,"email":false}}"#).await?,
        "refused" => world.answer(refused),
        "bundled" => {
            for n in 0..8 {
                world.publish(alert(&format!("other-{n}")).build(), &["ana"]).await?;
            }
            world.pass(secs(1)).await?;
        }
        _ => {}
    }
    say(world, 1, Severity::Warning).await?;
    let passes = match stand {
        "waiting" => secs(10),
        "mailed" => HOUR,
        "in the digest" => secs(331),
        _ => secs(40),
    };
    world.pass(passes).await?;
    if stand == "seen" {
        world.say("ana", "disk", ReceiptState::Seen).await?;
    }
    world.answer(|_: &Sent| Ok(Accepted::default()));
    Ok(())
}

/// The critical version used to wait for the end of the silence, to be left out with the warnings, or never to come.
#[tokio::test]
async fn a_warning_that_becomes_critical_is_pushed_in_time_wherever_it_stood() -> anyhow::Result<()> {
    for stand in STANDS {
        let world = World::new().await?;
        stands(&world, stand).await?;
        let before = pushes(&world);
        let was_pushed = ["pushed", "mailed", "refused", "in the digest", "seen"].contains(&stand);
        assert_eq!(!before.is_empty(), was_pushed, "{stand}: {before:?}");
        say(&world, 2, Severity::Critical).await?;
        let began = world.now();
        world.pass(secs(5)).await?;
        let after = pushes(&world);
        assert_eq!(after[before.len()..], ["disk v2 critical"], "{stand}: {:?}", world.told());
        assert!(world.now() <= began + secs(5));
        assert!(
            world.says("ana", "disk", "became critical: chased anew under policy critical").await?,
            "{stand}"
        );
        // Its mail follows at its own time, too, in a digest of its own at the latest.
        world.pass(secs(60 + 130)).await?;
        let mails = world.sent().iter().filter(|sent| sent.what == What::Mail && sent.at > began).count();
        assert!(mails >= 1, "{stand}: {:?}", world.told());
    }
    Ok(())
}

/// The example of the README: one mail unless a push was taken. The push is that of this round.
#[tokio::test]
async fn what_was_pushed_before_leaves_nothing_out_of_what_is_worse() -> anyhow::Result<()> {
    let step = |channel, after| PolicyStep::new(channel, secs(after));
    let mail = PolicyStep { unless: vec![Unless::Told(Channel::Push)], ..step(Channel::Email, 10) };
    let default = Policy { steps: vec![step(Channel::Push, 5), mail], ..Policy::default() };
    // One policy for all, so that only the severity differs.
    let by_severity = BTreeMap::from([(Severity::Critical.as_str(), "default".to_owned())]);
    let by_name = BTreeMap::from([("default".to_owned(), default)]);
    let everybody = PolicySet { by_name, by_severity, ..PolicySet::default() };
    let world = World::with(Policies::new(everybody, BTreeMap::new()), Restraint::default()).await?;
    say(&world, 1, Severity::Warning).await?;
    world.pass(HOUR).await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Mail => Ok(Accepted::default()),
        _ => refused(sent),
    });
    say(&world, 2, Severity::Critical).await?;
    world.pass(HOUR).await?;
    assert_eq!(pushes(&world), ["disk v1 warning", "disk v2 critical"]);
    let mails: Vec<_> = world.sent().into_iter().filter(|sent| sent.what == What::Mail).collect();
    assert_eq!(mails.len(), 1, "the push of the warning does not stand for the one that was refused");
    Ok(())
}

#[tokio::test]
async fn a_fall_and_the_way_back_ring_nobody() -> anyhow::Result<()> {
    use Severity::{Critical, Info, Warning};
    // What comes, each a minute after the one before, and the pushes that it makes.
    for (versions, expected) in [
        (vec![Critical, Warning, Critical, Info, Critical], vec![1]),
        (vec![Warning, Critical, Warning, Critical], vec![1, 2]),
        (vec![Info, Warning, Info, Warning, Critical, Info, Critical], vec![1, 2, 5]),
        (vec![Warning, Warning, Info, Warning], vec![1]),
    ] {
        let world = World::new().await?;
        for (number, severity) in (1..).zip(&versions) {
            say(&world, number, *severity).await?;
            world.pass(secs(60)).await?;
        }
        world.pass(HOUR).await?;
        let expected: Vec<String> = expected
            .into_iter()
            .map(|number: u32| format!("disk v{number} {}", versions[number as usize - 1]))
            .collect();
        assert_eq!(pushes(&world), expected, "{versions:?}");
    }
    Ok(())
}

/// Before anything is sent: as soon as was promised, with what it says by then, and into a silence only when that may.
#[tokio::test]
async fn what_falls_before_it_is_sent_is_told_as_what_it_is() -> anyhow::Result<()> {
    for is_quiet in [false, true] {
        let world = World::new().await?;
        world.open_session("pod", "ana").await?;
        if is_quiet {
            world.prefer("ana", r#"{"quiet":{"until":"2026-06-05T08:00:00Z"}}"#).await?;
        }
        say(&world, 1, Severity::Critical).await?;
        world.pass(secs(2)).await?;
        say(&world, 2, Severity::Warning).await?;
        world.pass(secs(3)).await?;
        let expected: &[&str] = if is_quiet { &[] } else { &["disk v2 warning"] };
        assert_eq!(pushes(&world), expected, "quiet: {is_quiet}");
        assert!(world.says("ana", "disk", "is warning now: chased under policy default").await?);
    }
    Ok(())
}

/// A warning that was pushed becomes critical for three seconds. Whoever did not look still gets the mail of the warning.
#[tokio::test]
async fn what_was_critical_only_for_a_moment_rings_nobody_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.open_session("pod", "ana").await?;
    say(&world, 1, Severity::Warning).await?;
    world.pass(secs(60)).await?;
    say(&world, 2, Severity::Critical).await?;
    world.pass(secs(3)).await?;
    say(&world, 3, Severity::Warning).await?;
    world.pass(HOUR).await?;
    assert_eq!(pushes(&world), ["disk v1 warning"]);
    assert_eq!(world.sent().iter().filter(|sent| sent.what == What::Mail).count(), 1);
    Ok(())
}

/// The provider has the warning's push in hand when the critical version comes, and takes it afterwards.
#[tokio::test]
async fn a_push_on_its_way_neither_stands_for_the_worse_one_nor_ends_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    say(&world, 1, Severity::Warning).await?;
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let worse = world.new_alert(disk(2, Severity::Critical), &["ana"]);
    world.during_next_call(async move {
        store.record(&[worse], clock.now()).await.unwrap();
    });
    world.pass(secs(5)).await?;
    assert_eq!(pushes(&world), ["disk v1 warning", "disk v2 critical"]);
    world.pass(HOUR).await?;
    assert_eq!(pushes(&world).len(), 2, "{:?}", world.told());
    Ok(())
}
