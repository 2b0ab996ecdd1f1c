//! Apple's rules of broadcast channels, one row each.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{Running, now, status_and_json};

type Headers = Vec<(&'static str, String)>;

impl Running {
    fn about_channels(&self, method: Method, path: &str) -> RequestBuilder {
        let path = path.replace("{app}", &self.credentials.apns.topic);
        let bearer = format!("bearer {}", self.provider_token(now()));
        self.http.request(method, self.push(&path)).header("authorization", bearer)
    }

    async fn channel(&self, policy: u8) -> String {
        let wanted = json!({"message-storage-policy": policy, "push-type": "LiveActivity"});
        let made =
            self.about_channels(Method::POST, "/1/apps/{app}/channels").json(&wanted).send().await.unwrap();
        assert_eq!(made.status(), 201);
        made.headers()["apns-channel-id"].to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn every_rule_about_channels_is_kept() {
    let running = Running::start().await;
    let (kept, unkept) = (running.channel(1).await, running.channel(0).await);
    let make = |body: Value| running.about_channels(Method::POST, "/1/apps/{app}/channels").json(&body);
    let manage = |method: Method, channel: &str| {
        running.about_channels(method, "/1/apps/{app}/channels").header("apns-channel-id", channel)
    };
    let payload = json!({"aps": {"event": "update", "timestamp": 1, "content-state": {"title": "x"}}});
    let tell = |change: &dyn Fn(&mut Headers)| {
        let mut headers = vec![
            ("apns-channel-id", kept.clone()),
            ("apns-push-type", "liveactivity".to_owned()),
            ("apns-priority", "5".to_owned()),
            ("apns-expiration", "0".to_owned()),
        ];
        change(&mut headers);
        let request = running.about_channels(Method::POST, "/4/broadcasts/apps/{app}").json(&payload);
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let without = |name: &'static str| tell(&|headers| headers.retain(|(known, _)| *known != name));
    let with = |name: &'static str, value: &str| {
        tell(&|headers| {
            headers.iter_mut().filter(|(known, _)| *known == name).for_each(|it| it.1 = value.to_owned());
        })
    };
    let other_app = running.about_channels(Method::GET, "/1/apps/com.example/all-channels");
    let unsigned = running.http.get(running.push("/1/apps/x/all-channels"));
    let large =
        json!({"aps": {"event": "end", "timestamp": 1, "content-state": {"title": "x".repeat(5_120)}}});
    for (why, request, status, reason) in [
        ("no credentials", unsigned, 403, "MissingProviderToken"),
        ("another app", other_app, 403, "TopicMismatch"),
        ("nothing to store", make(json!({"push-type": "LiveActivity"})), 400, "BadRequestParams"),
        (
            "another push type",
            make(json!({"message-storage-policy": 0, "push-type": "alert"})),
            400,
            "InvalidPushType",
        ),
        ("no JSON", make(json!({})).body("hello"), 400, "BadRequestPayload"),
        ("it is read", manage(Method::GET, &kept), 200, ""),
        (
            "no channel",
            running.about_channels(Method::DELETE, "/1/apps/{app}/channels"),
            400,
            "MissingChannelId",
        ),
        ("no name of one", manage(Method::DELETE, "not base64!"), 400, "BadChannelId"),
        ("nobody made it", manage(Method::DELETE, "bm9uZQ=="), 400, "ChannelNotRegistered"),
        ("as it should be", tell(&|_| ()), 200, ""),
        ("to no channel", without("apns-channel-id"), 400, "MissingChannelId"),
        ("no push type", without("apns-push-type"), 400, "MissingPushType"),
        ("another push type", with("apns-push-type", "alert"), 400, "InvalidPushType"),
        ("no priority", without("apns-priority"), 400, "BadPriority"),
        ("no expiry", without("apns-expiration"), 400, "BadExpirationDate"),
        ("it may be kept", with("apns-expiration", "4000000000"), 200, ""),
        ("nothing is kept there", with("apns-channel-id", &unkept), 200, ""),
        (
            "and this is to be",
            tell(&|headers| {
                headers[0].1.clone_from(&unkept);
                headers[3].1 = "4000000000".to_owned();
            }),
            400,
            "BadExpirationDate",
        ),
        ("over 5,120 bytes", tell(&|_| ()).body(large.to_string()), 413, "PayloadTooLarge"),
        ("no payload", tell(&|_| ()).body(""), 400, "PayloadEmpty"),
        (
            "another method",
            running.about_channels(Method::PUT, "/1/apps/{app}/channels"),
            405,
            "MethodNotAllowed",
        ),
    ] {
        let (answered, body) = status_and_json(request).await;
        assert_eq!((answered, body["reason"].as_str().unwrap_or_default()), (status, reason), "{why}");
    }
    let all = running.about_channels(Method::GET, "/1/apps/{app}/all-channels");
    let mut channels = vec![kept.clone(), unkept];
    channels.sort();
    assert_eq!(status_and_json(all).await, (200, json!({"channels": channels})));
    assert_eq!(manage(Method::DELETE, &kept).send().await.unwrap().status(), 204);
    assert_eq!(status_and_json(with("apns-priority", "10")).await.0, 400, "it is gone");
    running.stop().await;
}
