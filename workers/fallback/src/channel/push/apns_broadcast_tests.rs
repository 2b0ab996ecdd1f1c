#![allow(clippy::unwrap_used)]

use std::time::Duration;

use uuid::Uuid;
use watchbell::domain::PushEnvironment;

use super::*;
use crate::channel::{Disposition, message::ActivityEvent};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn answer(status: u16, body: &str, channel: Option<&str>) -> Result<Accepted, SendError> {
    let headers = channel.map(|channel| (HeaderName::from_static(CHANNEL_ID), channel.parse().unwrap()));
    classify_channel(status, body.as_bytes(), &headers.into_iter().collect(), at(0))
}

fn request(app: &str, act: BroadcastAct) -> Result<ChannelRequest, SendError> {
    let environment = PushEnvironment::Production;
    ChannelRequest::of(&Broadcast { call: Uuid::nil(), app: app.to_owned(), environment, act })
}

/// Every row of Apple's table of channels, and what follows from it.
#[test]
fn every_reason_has_its_consequence() {
    let forget = Disposition::ForgetToken { unless_registered_after: None };
    let retry = Disposition::Retry { wait_min: Duration::ZERO };
    let (drop, fault) = (Disposition::DropMessage, Disposition::ConfigFault);
    for (status, reasons, code, expected) in [
        (400, &["BadChannelId", "ChannelNotRegistered"][..], "bad_token", forget),
        (404, &["ChannelNotRegistered"], "bad_token", forget),
        (410, &["ChannelNotRegistered"], "bad_token", forget),
        (400, &["FeatureNotEnabled", "TopicDisallowed"], "config_fault", fault),
        (
            400,
            &[
                "MissingChannelId",
                "BadRequestParams",
                "BadRequestPayload",
                "PayloadEmpty",
                "BadMessageId",
                "MissingPushType",
                "InvalidPushType",
                "CannotCreateChannelConfig",
                "BadExpirationDate",
                "BadPriority",
            ],
            "rejected",
            drop,
        ),
        (
            403,
            &[
                "BadCertificate",
                "BadCertificateEnvironment",
                "TopicMismatch",
                "MissingProviderToken",
                "ExpiredProviderToken",
                "InvalidProviderToken",
            ],
            "config_fault",
            fault,
        ),
        (404, &["BadPath"], "rejected", drop),
        (405, &["MethodNotAllowed"], "rejected", drop),
        (413, &["PayloadTooLarge"], "rejected", drop),
        (429, &["TooManyRequests", "TooManyProviderTokenUpdates"], "throttled", retry),
        (500, &["InternalServerError"], "unavailable", retry),
        (503, &["ServiceUnavailable", "Shutdown"], "unavailable", retry),
        // Reasons that Apple has yet to think of.
        (400, &["BadMoonPhase"], "rejected", drop),
        (410, &["BadMoonPhase"], "rejected", drop),
        (507, &["BadMoonPhase"], "unavailable", retry),
    ] {
        for reason in reasons {
            let error = answer(status, &format!(r#"{{"reason":"{reason}"}}"#), None).unwrap_err();
            assert_eq!(error.code(), code, "{status} {reason}");
            assert_eq!(error.disposition(), expected, "{status} {reason}");
            assert_eq!(error.reason(), *reason, "the word is kept");
        }
    }
}

#[test]
fn a_channel_that_was_made_has_a_name() {
    let made = answer(201, "", Some("dHN0LXNyY2gtY2hubA==")).unwrap();
    assert_eq!(made.provider_id.as_deref(), Some("dHN0LXNyY2gtY2hubA=="), "as it is: it is sent back");
    assert_eq!(answer(201, "", None).unwrap_err().code(), "rejected");
    assert_eq!(answer(201, "", Some(&"x".repeat(513))).unwrap_err().code(), "rejected");
    for status in [200, 204] {
        assert_eq!(answer(status, "", None).unwrap(), Accepted::default());
    }
}

#[test]
fn each_call_has_its_path_and_headers() {
    let text = |request: &ChannelRequest, name: &str| {
        request.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let host = Url::parse("https://api.example:2196").unwrap();
    let channel = || "dGVzdA==".to_owned();

    let make = request("com.example.app", BroadcastAct::Make).unwrap();
    assert_eq!((make.method.as_str(), make.is_management), ("POST", true));
    assert_eq!(make.at(&host).as_str(), "https://api.example:2196/1/apps/com.example.app/channels");
    assert_eq!(make.body, r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#);

    let delete = request("com.example.app", BroadcastAct::Delete { channel: channel() }).unwrap();
    assert_eq!((delete.method.as_str(), delete.is_management), ("DELETE", true));
    assert_eq!(text(&delete, "apns-channel-id"), Some(channel()));

    let end = ActivityEvent::End { stays: false };
    let message =
        ActivityMessage { event: end, content: None, version: 2, decided_at: at(1_000), channel: None };
    let tell =
        request("com.example.app", BroadcastAct::Tell { channel: channel(), message: Box::new(message) })
            .unwrap();
    assert_eq!((tell.method.as_str(), tell.is_management), ("POST", false));
    assert_eq!(tell.at(&host).path(), "/4/broadcasts/apps/com.example.app");
    for (name, value) in [
        ("apns-channel-id", "dGVzdA=="),
        ("apns-push-type", "liveactivity"),
        ("apns-priority", "10"),
        // A day later is more than Apple keeps.
        ("apns-expiration", "29800"),
        ("apns-request-id", "00000000-0000-0000-0000-000000000000"),
    ] {
        assert_eq!(text(&tell, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(text(&tell, "apns-topic"), None, "the app is in the path");
    assert_eq!(tell.body, r#"{"aps":{"dismissal-date":1000,"event":"end","timestamp":1000}}"#);
}

#[test]
fn an_app_that_would_be_another_path_is_not_asked_for() {
    for app in ["", "..", "a/../b", "a?b", "a%2fb", "a b"] {
        assert_eq!(
            request(app, BroadcastAct::Make).err().map(|error| error.code()),
            Some("rejected"),
            "{app}"
        );
    }
    let named = BroadcastAct::Delete { channel: "a\nb".to_owned() };
    assert_eq!(request("a", named).err().map(|error| error.code()), Some("rejected"));
}
