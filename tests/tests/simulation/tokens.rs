//! Tokens are dropped only on proof (I7): the real senders read what the simulator says, and the store compares.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::domain::{
    PushService, Secret,
    device::{DEVICES_PER_USER_MAX, Registration},
};
use watchbell::wire::webpush::{SubscriptionKeysV1, SubscriptionV1};
use watchbell_fallback::channel::{Accepted, PushJob, PushSender, PushTarget, SendError};
use watchbell_tests::builders::{acme, alert, device};

use super::{
    fixture::{ProviderFixture, TOKEN},
    world::{DAY, What, World, secs},
};

/// A sender in the simulator's time, which is the real one: it checks how old a provider token is.
pub struct InRealTime<S>(pub S);

#[async_trait]
impl<S: PushSender> PushSender for InRealTime<S> {
    async fn send(&self, job: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
        self.0.send(job, Timestamp::now()).await
    }

    fn authority(&self, target: &PushTarget) -> Option<String> {
        self.0.authority(target)
    }
}

/// Ana's phone, at the simulator.
async fn world_with(fixture: &ProviderFixture, service: PushService) -> anyhow::Result<World> {
    let mut world = World::new().await?;
    let services: [(PushService, Arc<dyn PushSender>); 2] = [
        (PushService::Apns, Arc::new(InRealTime(fixture.apns()))),
        (PushService::Fcm, Arc::new(InRealTime(fixture.fcm(false)))),
    ];
    world.push_by(services);
    register(&world, service).await?;
    Ok(world)
}

async fn register(world: &World, service: PushService) -> anyhow::Result<()> {
    register_as(world, service, Secret::from(TOKEN)).await
}

async fn register_as(world: &World, service: PushService, token: Secret) -> anyhow::Result<()> {
    let device = device("phone").service(service).token(token).registered_at(world.now()).build();
    assert_eq!(
        world.store.put_device(&acme("ana"), &device, DEVICES_PER_USER_MAX).await?,
        Registration::Done
    );
    Ok(())
}

async fn is_registered(world: &World) -> anyhow::Result<bool> {
    Ok(!world.store.devices(&acme("ana")).await?.is_empty())
}

#[tokio::test]
async fn r7_a_410_from_before_the_token_was_registered_again_does_not_drop_it() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture, PushService::Apns).await?;
    let first = world.now();
    let gone = async |since: Timestamp| {
        let since = since.as_millisecond();
        fixture
            .faults(
                json!({"apns": [{"status": 410, "reason": "Unregistered", "timestamp": since, "count": 1}]}),
            )
            .await;
    };
    // The app comes back and registers the token it had: the same, but newer than Apple's news of it.
    world.pass(secs(60)).await?;
    register(&world, PushService::Apns).await?;
    for (id, since, stays) in [
        ("before", first, true),
        ("in-between", first + secs(59), true),
        ("at-once", first + secs(60), true),
        ("after", first + secs(61), false),
    ] {
        gone(since).await;
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(secs(1)).await?;
        assert_eq!(is_registered(&world).await?, stays, "Apple said so {id}");
    }
    assert!(world.says("ana", "before", "the newer one stays").await?);
    fixture.stop().await;
    Ok(())
}

/// Registered before tokens were checked. What is no token at all proves nothing, so it stays (I7), and what is wrong with it is
/// not put into Apple's mouth, who was never asked.
#[tokio::test]
async fn what_was_registered_unchecked_is_kept_and_blamed_on_nobody() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture, PushService::Apns).await?;
    for (id, token, said) in [
        ("a-path", "../740f".to_owned(), "unusable: the device's token must be hexadecimal"),
        ("a-sentence", "not a token".to_owned(), "it is kept until the app registers again"),
        (
            "printed-by-old-systems",
            format!("<{} {}>", "740F4707".repeat(4), "bebcf74f".repeat(4)),
            "accepted",
        ),
    ] {
        register_as(&world, PushService::Apns, Secret::from(token)).await?;
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(secs(31)).await?;
        assert!(world.says("ana", id, said).await?, "{id}: {:?}", world.timeline("ana", id).await?);
        assert!(!world.says("ana", id, "the provider says").await?, "{id}");
        assert!(is_registered(&world).await?, "{id}");
        world.say("ana", id, watchbell::domain::ReceiptState::Seen).await?;
    }
    fixture.stop().await;
    Ok(())
}

/// Three pushes that show nothing end a subscription in Safari, so what is seen elsewhere is not withdrawn there.
#[tokio::test]
async fn safari_gets_no_push_that_shows_nothing() -> anyhow::Result<()> {
    for (endpoint, withdrawals) in [
        ("https://web.push.apple.com/QGVsbG8", 0),
        ("https://updates.push.services.mozilla.com/wpush/v2/a", 1),
    ] {
        let world = World::new().await?;
        let keys = SubscriptionKeysV1 { p256dh: "p".into(), auth: "a".into() };
        let subscription = SubscriptionV1 { endpoint: endpoint.into(), keys };
        register_as(&world, PushService::WebPush, subscription.to_token()).await?;
        world.publish(alert("a").build(), &["ana"]).await?;
        world.pass(secs(31)).await?;
        world.say("ana", "a", watchbell::domain::ReceiptState::Seen).await?;
        world.pass(DAY).await?;
        let sent = world.sent();
        let withdrawn = sent.iter().filter(|sent| sent.what == What::Withdrawal).count();
        assert_eq!((sent.len() - withdrawn, withdrawn), (1, withdrawals), "{endpoint}");
        assert_eq!(world.says("ana", "a", "not withdrawn: Safari").await?, withdrawals == 0, "{endpoint}");
    }
    Ok(())
}

#[tokio::test]
async fn r8_what_is_wrong_with_a_payload_does_not_drop_the_token() -> anyhow::Result<()> {
    let fixture = ProviderFixture::start().await;
    let world = world_with(&fixture, PushService::Fcm).await?;
    let wrong =
        |field: &str| json!({"status": 400, "reason": "INVALID_ARGUMENT", "field": field, "count": 1});
    let unnamed = json!({"status": 400, "reason": "INVALID_ARGUMENT", "count": 1});
    let cases: [(&str, Value, &str, bool); 5] = [
        ("the-payload", wrong("message.android.ttl"), "INVALID_ARGUMENT", true),
        ("nothing-named", unnamed, "INVALID_ARGUMENT", true),
        ("the-project", json!({"status": 404, "reason": "NOT_FOUND", "count": 1}), "NOT_FOUND", true),
        ("a-page-of-html", json!({"html": true, "count": 1}), "HTTP 502", true),
        ("the-token", wrong("message.token"), "its token is gone; it was dropped", false),
    ];
    for (id, fault, said, stays) in cases {
        fixture.faults(json!({"fcm": [fault]})).await;
        world.publish(alert(id).build(), &["ana"]).await?;
        world.pass(secs(1)).await?;
        assert!(world.says("ana", id, said).await?, "{id}: {:?}", world.timeline("ana", id).await?);
        // Long enough for the breaker to have opened again after a fault of ours.
        world.pass(secs(600)).await?;
        assert_eq!(is_registered(&world).await?, stays, "Google's words are about {id}");
        world.say("ana", id, watchbell::domain::ReceiptState::Seen).await?;
        world.pass(secs(60)).await?;
    }
    let mails = world.sent().iter().filter(|sent| sent.what == What::Mail).count();
    assert!(mails > 0, "and what no phone shows is mailed (I4)");
    fixture.stop().await;
    Ok(())
}
