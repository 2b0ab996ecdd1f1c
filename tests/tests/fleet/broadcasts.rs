//! An alert for everyone as Live Activities: one broadcast changes all phones, and what one person sees goes from theirs alone.

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

/// The Live Activity of this alert on this person's phone, once `is` is true of it.
async fn shows(
    fleet: &Fleet,
    user: &str,
    id: &str,
    why: &str,
    is: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    until(why, DEADLINE, async || {
        let arrivals = fleet.arrivals(user).await.ok()?;
        let mut of_it = arrivals.into_iter().filter(|arrival| arrival["alert"] == *id);
        of_it.find(|arrival| arrival["activity"].is_object() && is(arrival))
    })
    .await
}

#[tokio::test]
async fn one_broadcast_changes_every_phone_and_one_look_ends_one() -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(Engine::Embedded, POLICY, &[]).await?;
    for (user, byte) in [("ana", "ab"), ("ben", "cd")] {
        fleet.furnish(user).await?;
        let device = json!({"service": "apns", "token": byte.repeat(32), "live_activity_token": format!("ef{byte}").repeat(16)});
        let url = format!("{}/v1/devices/iphone", fleet.url("up")?);
        let put = fleet.http().request(Method::PUT, url).bearer_auth(fleet.token(user)?).json(&device);
        assert_eq!(answer(put).await?.0, 204);
    }
    let alert = json!({"to": {"everyone": true}, "title": "Region is down", "severity": "critical"});
    let id = fleet.send(&alert).await?;
    let mut channels = Vec::new();
    for user in ["ana", "ben"] {
        let started = shows(&fleet, user, &id, "started", |_| true).await?;
        channels.push(started["activity"]["channel"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(channels[0], channels[1], "they listen to the same");
    assert!(!channels[0].is_empty(), "{channels:?}");

    let later = json!({"id": id, "version": 2, "to": {"everyone": true}, "title": "Two regions are down", "severity": "critical"});
    fleet.send(&later).await?;
    for user in ["ana", "ben"] {
        let is_told = |shown: &Value| shown["activity"]["state"]["version"] == 2;
        let changed = shows(&fleet, user, &id, "changed", is_told).await?;
        assert_eq!(changed["title"], "Two regions are down", "{changed}");
        assert_eq!(changed["headers"]["apns-channel-id"], *channels[0], "by the channel: {changed}");
    }

    let seen = json!({"alerts": [id], "state": "seen"});
    let url = format!("{}/v1/inbox/receipts", fleet.url("up")?);
    let post = fleet.http().request(Method::POST, url).bearer_auth(fleet.token("ana")?).json(&seen);
    assert_eq!(answer(post).await?.0, 200);
    shows(&fleet, "ana", &id, "ended by her app", |shown| shown["withdrawn"] == true).await?;
    let bens = shows(&fleet, "ben", &id, "his goes on", |_| true).await?;
    assert_eq!(bens["withdrawn"], false, "{bens}");

    let over = json!({"id": id, "version": 3, "to": {"everyone": true}, "title": "All is well", "severity": "critical", "status": "resolved"});
    fleet.send(&over).await?;
    let ended = shows(&fleet, "ben", &id, "ended for all", |shown| shown["withdrawn"] == true).await?;
    assert_eq!(ended["activity"]["channel"], *channels[0], "{ended}");
    let told = fleet.timeline(&id, "ben").await?.to_string();
    assert!(told.contains("started with version 1, and listens to the channel of its alert"), "{told}");
    Ok(())
}
