//! An alert as a Live Activity, from a producer's request to the lock screen of a simulated phone and away again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
const POLICY: &str = r#"
[policies.critical]
steps = [{channel = "push", after = "0s"}]
live_activity = true
"#;
const ENV: [(&str, &str); 1] =
    [("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", "a-secret-of-tests-that-says-nothing-for-anybody-else")];

struct Phone {
    fleet: Fleet,
    token: String,
}

impl Phone {
    async fn say(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}{path}", self.fleet.url("up")?);
        answer(self.fleet.http().request(method, url).bearer_auth(&self.token).json(body)).await
    }

    /// The Live Activity of this alert, once `is` is true of it.
    async fn shows(&self, why: &str, id: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        until(why, DEADLINE, async || {
            let arrivals = self.fleet.arrivals("ana").await.ok()?;
            let mut of_it = arrivals.into_iter().filter(|arrival| arrival["alert"] == *id);
            of_it.find(|arrival| arrival["activity"].is_object() && is(arrival))
        })
        .await
    }
}

#[tokio::test]
async fn an_alert_is_on_the_lock_screen_until_it_is_seen_and_its_push_is_confirmed() -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(Engine::Embedded, POLICY, &ENV).await?;
    fleet.furnish("ana").await?;
    let token = fleet.token("ana")?;
    let phone = Phone { fleet, token };
    let device = json!({"service": "apns", "token": "ab".repeat(32), "live_activity_token": "cd".repeat(32)});
    assert_eq!(phone.say(Method::PUT, "/v1/devices/iphone", &device).await?.0, 204);
    let server = phone.fleet.url("up")?.to_owned();
    phone.fleet.confirm_pushes_at(&server, false).await?;

    let alert = json!({"to": {"users": ["ana"]}, "title": "Disk is full", "severity": "critical"});
    let id = phone.fleet.send(&alert).await?;
    let started = phone.shows("started", &id, |_| true).await?;
    assert_eq!(started["activity"]["state"]["title"], "Disk is full", "{started}");
    assert_eq!(started["headers"]["apns-push-type"], "liveactivity");
    let own = started["activity"]["token"].as_str().unwrap_or_default().to_owned();

    let path = format!("/v1/devices/iphone/activities/{id}");
    for (why, path, body, status) in [
        ("no token", &path, json!({"token": "xyz"}), 422),
        ("no such device", &format!("/v1/devices/none/activities/{id}"), json!({"token": own}), 404),
        ("no such alert", &"/v1/devices/iphone/activities/none".to_owned(), json!({"token": own}), 404),
        ("its own token", &path, json!({"token": own}), 204),
    ] {
        let (answered, problem) = phone.say(Method::PUT, path, &body).await?;
        assert_eq!(answered, status, "{why}: {problem}");
    }
    let later = json!({"id": id, "version": 2, "to": {"users": ["ana"]}, "title": "Disk is fuller", "severity": "critical"});
    phone.fleet.send(&later).await?;
    let changed = phone.shows("changed", &id, |shown| shown["activity"]["state"]["version"] == 2).await?;
    assert_eq!((&changed["title"], &changed["copies"]), (&json!("Disk is fuller"), &json!(2)), "{changed}");

    let seen = json!({"alerts": [id], "state": "seen"});
    assert_eq!(phone.say(Method::POST, "/v1/inbox/receipts", &seen).await?.0, 200);
    phone.shows("ended", &id, |shown| shown["withdrawn"] == true).await?;
    let told = until("the timeline", DEADLINE, async || {
        let told = phone.fleet.timeline(&id, "ana").await.ok()?.to_string();
        (told.contains("live activity on iphone: ended: seen") && told.contains("reached the device"))
            .then_some(told)
    })
    .await?;
    for line in ["started with version 1", "shows version 2"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(phone.say(Method::DELETE, &path, &Value::Null).await?.0, 404, "it is gone");
    Ok(())
}
