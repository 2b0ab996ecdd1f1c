//! Apple's broadcast channels, over HTTP/2 and TLS.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use watchbell::domain::Secret;
use watchbell_fallback::channel::{
    ActivityEvent, ActivityMessage, ApnsSender, Broadcast, BroadcastAct, Broadcaster as _, Disposition,
    PushContent, PushEnvironment, PushSender as _, SendError,
};

use crate::fixture::{ProviderFixture, alert, now, once, push_to, told};

fn call(fixture: &ProviderFixture, environment: PushEnvironment, act: BroadcastAct) -> Broadcast {
    Broadcast { call: Uuid::now_v7(), app: fixture.credentials.apns.topic.clone(), environment, act }
}

fn message(event: ActivityEvent, version: u32, channel: Option<&str>) -> ActivityMessage {
    let channel = channel.map(str::to_owned);
    ActivityMessage { event, content: Some(alert("x")), version, decided_at: now(), channel }
}

fn tell(channel: &str, event: ActivityEvent) -> BroadcastAct {
    BroadcastAct::Tell { channel: channel.to_owned(), message: Box::new(message(event, 2, None)) }
}

const UPDATE: ActivityEvent = ActivityEvent::Update { is_urgent: true };
const END: ActivityEvent = ActivityEvent::End { stays: false };

async fn make(fixture: &ProviderFixture, sender: &ApnsSender) -> String {
    let made = sender.broadcast(&call(fixture, PushEnvironment::Production, BroadcastAct::Make), now()).await;
    made.unwrap().provider_id.unwrap()
}

/// Every row of the reaction table of channels (`docs/providers.md`, "APNs"), as the sender meets it, of each call.
#[tokio::test]
async fn every_answer_about_a_channel_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (retry, drop) = (Disposition::Retry { wait_min: Duration::ZERO }, Disposition::DropMessage);
    let forget = Disposition::ForgetToken { unless_registered_after: None };
    let config = Disposition::ConfigFault;
    let channel = make(&fixture, &fixture.apns()).await;
    for (status, reason, code, expected) in [
        (400, "BadChannelId", "bad_token", forget),
        (400, "ChannelNotRegistered", "bad_token", forget),
        (404, "ChannelNotRegistered", "bad_token", forget),
        (410, "ChannelNotRegistered", "bad_token", forget),
        (400, "FeatureNotEnabled", "config_fault", config),
        (400, "TopicDisallowed", "config_fault", config),
        (403, "TopicMismatch", "config_fault", config),
        (403, "InvalidProviderToken", "config_fault", config),
        (400, "CannotCreateChannelConfig", "rejected", drop),
        (400, "MissingChannelId", "rejected", drop),
        (400, "BadRequestParams", "rejected", drop),
        (400, "BadRequestPayload", "rejected", drop),
        (400, "BadExpirationDate", "rejected", drop),
        (400, "BadPriority", "rejected", drop),
        (400, "MissingPushType", "rejected", drop),
        (404, "BadPath", "rejected", drop),
        (405, "MethodNotAllowed", "rejected", drop),
        (413, "PayloadTooLarge", "rejected", drop),
        (429, "TooManyRequests", "throttled", retry),
        (429, "TooManyProviderTokenUpdates", "throttled", retry),
        (500, "InternalServerError", "unavailable", retry),
        (503, "ServiceUnavailable", "unavailable", retry),
        (418, "NeverHeardOf", "rejected", drop),
        (599, "NeverHeardOf", "unavailable", retry),
    ] {
        let delete = BroadcastAct::Delete { channel: channel.clone() };
        for act in [BroadcastAct::Make, tell(&channel, UPDATE), delete] {
            let sender = fixture.apns();
            fixture.faults(json!({"apns": once(status, reason)})).await;
            let asked = call(&fixture, PushEnvironment::Production, act);
            let error = told(reason, sender.broadcast(&asked, now()).await, code, reason);
            assert_eq!(error.disposition(), expected, "{status} {reason}");
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn who_listens_is_told_by_one_call_until_the_channel_is_deleted() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.apns();
    let channel = make(&fixture, &sender).await;
    for token in ["aa01", "aa02"] {
        let start = PushContent::Activity(message(ActivityEvent::Start, 1, Some(&channel)));
        sender.send(&push_to(Secret::from(token), start), now()).await.unwrap();
    }
    let alone = PushContent::Activity(message(ActivityEvent::Start, 1, None));
    sender.send(&push_to(Secret::from("aa03"), alone), now()).await.unwrap();
    let production = |act| call(&fixture, PushEnvironment::Production, act);
    sender.broadcast(&production(tell(&channel, UPDATE)), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    let versions: Vec<_> =
        arrivals.iter().map(|shown| shown["activity"]["state"]["version"].clone()).collect();
    assert_eq!(versions, [json!(2), json!(2), json!(1)], "those who listen");
    let headers = &arrivals[0]["headers"];
    assert_eq!(
        (&headers["apns-push-type"], &headers["apns-priority"]),
        (&json!("liveactivity"), &json!("10"))
    );

    let elsewhere = call(&fixture, PushEnvironment::Sandbox, tell(&channel, UPDATE));
    told(
        "of the other world",
        sender.broadcast(&elsewhere, now()).await,
        "bad_token",
        "ChannelNotRegistered",
    );
    let start = production(tell(&channel, ActivityEvent::Start));
    told("nothing is started so", sender.broadcast(&start, now()).await, "rejected", "InvalidLiveActivity");

    sender.broadcast(&production(tell(&channel, END)), now()).await.unwrap();
    let ended: Vec<_> = fixture.arrivals().await.iter().map(|shown| shown["withdrawn"].clone()).collect();
    assert_eq!(&ended[..3], [json!(true), json!(true), json!(false)]);
    let delete = || production(BroadcastAct::Delete { channel: channel.clone() });
    sender.broadcast(&delete(), now()).await.unwrap();
    told("it is gone", sender.broadcast(&delete(), now()).await, "bad_token", "ChannelNotRegistered");
    let late = PushContent::Activity(message(ActivityEvent::Start, 1, Some(&channel)));
    let refused = sender.send(&push_to(Secret::from("aa04"), late), now()).await;
    told("it starts nothing any more", refused, "rejected", "InvalidLiveActivity");
    fixture.stop().await;
}

#[tokio::test]
async fn a_provider_token_that_expired_is_replaced_for_channels_too() {
    let fixture = ProviderFixture::start().await;
    fixture.faults(json!({"apns": once(403, "ExpiredProviderToken")})).await;
    make(&fixture, &fixture.apns()).await;
    let twice = json!([{"status": 403, "reason": "ExpiredProviderToken", "count": 2}]);
    fixture.faults(json!({"apns": twice})).await;
    let asked = call(&fixture, PushEnvironment::Production, BroadcastAct::Make);
    let refused = fixture.apns().broadcast(&asked, now()).await;
    assert!(matches!(refused, Err(SendError::ConfigFault { .. })), "{refused:?}");
    fixture.stop().await;
}
