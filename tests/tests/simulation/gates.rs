//! What a provider says of one device, origin or environment holds nobody else back, and what it says of everybody does
//! until it is mended; a mandatory alert goes around it. Real senders and the simulator where one is refused, a script
//! where it matters how often a provider is called.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use watchbell::domain::{
    Alert, Channel, Policy, PolicyStep, PushEnvironment, PushService, ReceiptState, Secret,
    device::{DEVICES_PER_USER_MAX, Registration},
    policy::Policies,
    restraint::Restraint,
};
use watchbell_fallback::channel::{Accepted, Blame, PushSender, SendError};
use watchbell_tests::builders::{acme, alert, device};

use super::{
    fixture::ProviderFixture,
    tokens::InRealTime,
    world::{DAY, Sent, What, World, secs},
};

/// People whose phones nobody refuses.
const OTHERS: usize = 40;

fn critical(id: &str) -> Alert {
    alert(id).critical().build()
}

async fn world_at(fixture: &ProviderFixture) -> anyhow::Result<World> {
    let mut world = World::new().await?;
    let services: [(PushService, Arc<dyn PushSender>); 3] = [
        (PushService::Apns, Arc::new(InRealTime(fixture.apns()))),
        (PushService::Fcm, Arc::new(InRealTime(fixture.fcm(false)))),
        (PushService::WebPush, Arc::new(InRealTime(fixture.webpush()))),
    ];
    world.push_by(services);
    Ok(world)
}

/// A person with one phone, known by `token`, and no mailbox.
async fn register(
    world: &World,
    name: &str,
    service: PushService,
    environment: PushEnvironment,
    token: Secret,
) -> anyhow::Result<()> {
    let device = device("phone").service(service).environment(environment).token(token);
    let device = device.registered_at(world.now()).build();
    assert_eq!(world.store.put_device(&acme(name), &device, DEVICES_PER_USER_MAX).await?, Registration::Done);
    Ok(())
}

/// Eight critical alerts for the sick, then one for each of the others; all of these have arrived after a second.
async fn the_sick_delay_nobody(
    fixture: &ProviderFixture,
    world: &World,
    sick: &[&str],
    others: &[String],
) -> anyhow::Result<()> {
    for n in 0..8 {
        world.publish(critical(&format!("sick-{n}")), sick).await?;
    }
    world.pass(secs(1)).await?;
    for name in others {
        world.publish(critical(&format!("for-{name}")), &[name]).await?;
    }
    world.pass(secs(1)).await?;
    let arrived = alerts_of(&fixture.arrivals().await);
    for name in others {
        assert!(
            arrived.contains(&format!("for-{name}")),
            "{name}: {:?}",
            world.timeline(name, &format!("for-{name}")).await?
        );
    }
    assert_eq!(arrived.len(), others.len(), "and nothing of what was refused: {arrived:?}");
    Ok(())
}

fn alerts_of(arrivals: &[Value]) -> Vec<String> {
    arrivals.iter().filter_map(|arrival| Some(arrival["alert"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn one_token_that_google_refuses_delays_nobody() -> anyhow::Result<()> {
    for (status, reason) in [
        (401, "THIRD_PARTY_AUTH_ERROR"),
        (404, "NOT_FOUND"),
        (403, "PERMISSION_DENIED"),
        (403, "SENDER_ID_MISMATCH"),
    ] {
        let fixture = ProviderFixture::start().await;
        let world = world_at(&fixture).await?;
        let mut others = Vec::new();
        for n in 0..=OTHERS {
            let name = format!("user-{n}");
            let token = Secret::from(format!("token-{n}"));
            register(&world, &name, PushService::Fcm, PushEnvironment::Production, token).await?;
            others.push(name);
        }
        fixture.faults(json!({"fcm": [{"status": status, "reason": reason, "to": "token-0"}]})).await;
        the_sick_delay_nobody(&fixture, &world, &["user-0"], &others[1..]).await?;
        assert!(world.says("user-0", "sick-0", reason).await? || reason == "SENDER_ID_MISMATCH");
        fixture.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn one_browser_that_is_refused_delays_nobody_and_neither_does_an_origin() -> anyhow::Result<()> {
    for (status, by_origin) in [(403, false), (401, false), (400, false), (429, false), (403, true)] {
        let fixture = ProviderFixture::start().await;
        let world = world_at(&fixture).await?;
        let mut sick = Vec::new();
        for name in ["old-1", "old-2", "old-3", "old-4"].into_iter().take(if by_origin { 4 } else { 1 }) {
            let host = if by_origin { "127.0.0.1" } else { "localhost" };
            let token = fixture.subscription_at(name, host).await;
            register(&world, name, PushService::WebPush, PushEnvironment::Production, token).await?;
            sick.push(name);
        }
        let mut others = Vec::new();
        for n in 0..OTHERS {
            let name = format!("user-{n}");
            let token = fixture.subscription(&name).await;
            register(&world, &name, PushService::WebPush, PushEnvironment::Production, token).await?;
            others.push(name);
        }
        let selector = if by_origin { ("origin", "127.0.0.1") } else { ("to", "old-1") };
        let mut fault = json!({"status": status, "reason": "VapidPkHashMismatch"});
        fault[selector.0] = json!(selector.1);
        fixture.faults(json!({"webpush": [fault]})).await;
        the_sick_delay_nobody(&fixture, &world, &sick, &others).await?;
        fixture.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn phones_of_apples_sandbox_delay_none_of_production() -> anyhow::Result<()> {
    for (status, reason) in [
        (403, "BadEnvironmentKeyIdInToken"),
        (403, "BadEnvironmentKeyInToken"),
        (403, "InvalidProviderToken"),
        (403, "ExpiredProviderToken"),
        (400, "TopicDisallowed"),
        (400, "BadTopic"),
        (400, "DeviceTokenNotForTopic"),
    ] {
        let fixture = ProviderFixture::start().await;
        let world = world_at(&fixture).await?;
        let sick = ["dev-1", "dev-2", "dev-3", "dev-4"];
        for (n, name) in sick.iter().enumerate() {
            let token = Secret::from(format!("5a{n:04}"));
            register(&world, name, PushService::Apns, PushEnvironment::Sandbox, token).await?;
        }
        let mut others = Vec::new();
        for n in 0..OTHERS {
            let (name, token) = (format!("user-{n}"), Secret::from(format!("a0{n:04}")));
            register(&world, &name, PushService::Apns, PushEnvironment::Production, token).await?;
            others.push(name);
        }
        let fault = json!({"status": status, "reason": reason, "environment": "sandbox"});
        fixture.faults(json!({"apns": [fault]})).await;
        the_sick_delay_nobody(&fixture, &world, &sick, &others).await?;
        fixture.stop().await;
    }
    Ok(())
}

/// A receiver that does not believe one person's mail holds nobody else's back. When several people's are refused it is our reputation:
/// the relay is spared until a probe gets through, and nobody's address is blamed.
#[tokio::test]
async fn receivers_that_do_not_believe_our_mail_shut_the_relay_once_several_say_so() -> anyhow::Result<()> {
    const REASON: &str = "5.7.26 this mail is not authenticated";
    for (refused, asked) in [(1, 1..=1), (OTHERS, 3..=12)] {
        let fixture = ProviderFixture::start().await;
        let policy = || Policy { steps: vec![PolicyStep::new(Channel::Email, secs(0))], ..Policy::default() };
        let by_name = ["default", "critical"].map(|name| (name.to_owned(), policy()));
        let policies = Policies::with_defaults(BTreeMap::from(by_name));
        let mut world = World::with(policies, Restraint::default()).await?;
        world.send_by(Arc::new(fixture.email()));
        let names: Vec<String> = (0..OTHERS).map(|n| format!("user-{n}")).collect();
        let fault =
            |name: &String| json!({"status": 550, "reason": REASON, "to": format!("{name}@example.com")});
        fixture.faults(json!({"email": names[..refused].iter().map(fault).collect::<Vec<_>>()})).await;
        for name in &names {
            world.furnish(name, PushService::Fcm).await?;
            world.publish(critical(&format!("for-{name}")), &[name]).await?;
        }
        // A mail waits two minutes for others.
        world.pass(secs(121)).await?;
        let mut were_asked = 0;
        for name in &names {
            were_asked += usize::from(world.says(name, &format!("for-{name}"), REASON).await?);
        }
        assert!(asked.contains(&were_asked), "{refused} refused: {were_asked} were asked for in vain");
        assert_eq!(fixture.arrivals().await.len(), OTHERS - refused, "the others have their mail");

        fixture.faults(json!({"email": []})).await;
        world.pass(secs(3_600)).await?;
        assert_eq!(fixture.arrivals().await.len(), OTHERS, "everybody has it once it is mended");
        fixture.stop().await;
    }
    Ok(())
}

fn refused(reason: &str) -> SendError {
    SendError::ConfigFault { blame: Blame::Device, reason: reason.to_owned() }
}

/// Forty people with a phone of Google's and a mailbox, and an alert each.
async fn forty_told(world: &World, alert_of: impl Fn(&str) -> Alert) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = (0..OTHERS).map(|n| format!("user-{n}")).collect();
    for name in &names {
        world.furnish(name, PushService::Fcm).await?;
        world.publish(alert_of(&format!("for-{name}")), &[name]).await?;
    }
    Ok(names)
}

fn calls(world: &World, what: What) -> Vec<Sent> {
    world.sent().into_iter().filter(|sent| sent.what == what).collect()
}

#[tokio::test]
async fn when_everybody_is_refused_nobody_is_called_until_it_is_mended() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Fcm => Err(refused("PERMISSION_DENIED")),
        _ => Ok(Accepted::default()),
    });
    let names = forty_told(&world, |id| alert(id).build()).await?;
    world.pass(secs(120)).await?;
    let while_broken = calls(&world, What::Fcm).len();
    assert!((3..=12).contains(&while_broken), "{while_broken} calls: three who agree, and then probes");
    assert!(world.says("user-39", "for-user-39", "the provider is in trouble").await?);

    let mended = world.now();
    world.answer(|_: &Sent| Ok(Accepted::default()));
    world.pass(secs(300)).await?;
    let pushed = calls(&world, What::Fcm).into_iter().filter(|sent| sent.accepted);
    let pushed: Vec<i64> = pushed.map(|sent| sent.at.duration_since(mended).as_secs()).collect();
    assert_eq!(pushed.len(), names.len(), "everybody, once");
    let together = pushed.iter().filter(|at| **at == pushed[0]).count();
    assert!(together <= 6, "a probe and the beginning of a ramp: {pushed:?}");
    Ok(())
}

#[tokio::test]
async fn a_mandatory_alert_goes_around_a_shut_gate_at_once_and_its_push_follows() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Fcm => Err(refused("PERMISSION_DENIED")),
        _ => Ok(Accepted::default()),
    });
    let begun = world.now();
    let names = forty_told(&world, critical).await?;
    world.pass(secs(30)).await?;
    let mails = calls(&world, What::Mail);
    assert_eq!(mails.len(), names.len(), "everybody has a mail");
    assert!(mails.iter().all(|mail| mail.at.duration_since(begun).as_secs() < 2), "at once: {mails:?}");
    assert!(world.says("user-39", "for-user-39", "push step put off, for its provider is in trouble").await?);
    assert!(world.says("user-0", "for-user-0", "put off: config_fault: PERMISSION_DENIED").await?);

    // Who has seen it by mail is not rung for it; the others are, and once.
    world.say("user-39", "for-user-39", ReceiptState::Seen).await?;
    world.answer(|_: &Sent| Ok(Accepted::default()));
    world.pass(secs(900)).await?;
    let mut pushed: Vec<String> =
        calls(&world, What::Fcm).into_iter().filter(|sent| sent.accepted).map(|sent| sent.user).collect();
    pushed.sort();
    let mut expected: Vec<String> = names.into_iter().filter(|name| name != "user-39").collect();
    expected.sort();
    assert_eq!(pushed, expected);
    assert_eq!(calls(&world, What::Mail).len(), OTHERS, "and no second mail");
    Ok(())
}

/// Both providers refuse everybody, and the mail relay for longer: nobody is missed.
#[tokio::test]
async fn a_mandatory_alert_that_meets_two_shut_gates_goes_by_the_first_that_opens() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|_: &Sent| Err(refused("no")));
    forty_told(&world, critical).await?;
    world.pass(secs(60)).await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Mail => Err(refused("no")),
        _ => Ok(Accepted::default()),
    });
    world.pass(secs(900)).await?;
    let pushed = calls(&world, What::Fcm).into_iter().filter(|sent| sent.accepted).count();
    assert_eq!(pushed, OTHERS, "by push, though the escalation was at its mail");
    Ok(())
}

/// Where there is but one phone, nobody can agree with it: it rests by itself, its owner is told by mail, and the
/// timeline says why.
#[tokio::test]
async fn a_fleet_of_one_phone_says_what_is_wrong_and_hammers_nobody() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.answer(|sent: &Sent| match sent.what {
        What::Apns => Err(refused("TopicDisallowed")),
        _ => Ok(Accepted::default()),
    });
    for n in 0..60 {
        world.publish(critical(&format!("a{n}")), &["ana"]).await?;
        world.pass(secs(60)).await?;
    }
    let called = calls(&world, What::Apns).len();
    assert!((5..=10).contains(&called), "{called} calls in an hour: longer rests each time");
    let first = calls(&world, What::Mail)[0].at;
    assert_eq!((first, first < world.now()), (super::world::BEGIN.parse()?, true), "told by mail at once");
    assert!(world.says("ana", "a0", "put off: config_fault: TopicDisallowed").await?);
    assert!(world.says("ana", "a1", "the provider refused this recipient, who rests").await?);

    world.answer(|_: &Sent| Ok(Accepted::default()));
    world.pass(DAY).await?;
    assert!(calls(&world, What::Apns).iter().any(|sent| sent.accepted), "mended, it is used again by itself");
    Ok(())
}
