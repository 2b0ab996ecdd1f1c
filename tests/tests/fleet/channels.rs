//! Channels that a policy names: the demo shows them as soon as one does.

use std::time::Duration;

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
[policies.default]
steps = [{channel = "webhook", after = "100ms"}, {channel = "slack", after = "100ms"}]
"#;

/// The demo's ana has an address by each channel, at the simulator.
#[tokio::test]
async fn the_demo_shows_the_channels_that_a_policy_names_and_what_became_of_an_alert() -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(Engine::Embedded, POLICY, &[]).await?;
    let alert = |version, status| json!({"id": "disk", "version": version, "status": status, "to": {"users": ["ana"]}, "title": "Disk is full"});
    let arrived = async |kind: &str, title: &str| {
        let arrivals = fleet.all_arrivals().await.ok()?;
        arrivals.into_iter().find(|one| one["kind"] == kind && one["title"] == title)
    };
    fleet.send(&alert(1, "firing")).await?;
    until("the webhook", DEADLINE, async || arrived("webhook", "Disk is full").await).await?;
    until("the message in Slack", DEADLINE, async || arrived("slack", "warning: Disk is full").await).await?;
    fleet.send(&alert(2, "resolved")).await?;
    let changed = "the message in Slack that says what became of it";
    let changed = until(changed, DEADLINE, async || arrived("slack", "resolved: Disk is full").await).await?;
    assert_eq!((&changed["copies"], &changed["user"]), (&json!(2), &json!("ana")), "the same message");
    let webhook = until("the webhook that says so", DEADLINE, async || {
        arrived("webhook", "Disk is full").await.filter(|one| one["withdrawn"] == Value::Bool(true))
    });
    webhook.await?;
    let told = fleet.timeline("disk", "ana").await?.to_string();
    for channel in ["webhook", "slack"] {
        assert!(told.contains(channel), "{channel}: {told}");
    }
    Ok(())
}

const CHATS: &str = r#"
[policies.default]
steps = [{channel = "telegram", after = "100ms"}]
[policies.critical]
steps = [{channel = "telegram", after = "100ms"}]
"#;

/// A chat of Cleo's, whom a producer makes known over HTTP: what stands there at each moment, from the first message on.
async fn a_chat_shows_what_is_true_now(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(engine, CHATS, &[]).await?;
    let contact = json!({"addresses": {"telegram": "1003"}});
    let (status, problem) = fleet.producer(Method::PUT, "/v1/users/cleo", Some(&contact)).await?;
    ensure!(status == 204, "{problem}");
    let alert = |id: &str, version, severity: &str, status: &str| {
        json!({"id": id, "version": version, "severity": severity, "status": status, "to": {"users": ["cleo"]},
            "title": format!("{id} <b>full</b>")})
    };
    // The title of each message, oldest first, and whether it was deleted.
    let chat = async || -> Option<Vec<(String, bool)>> {
        let arrivals = fleet.all_arrivals().await.ok()?;
        let messages = arrivals.iter().filter(|one| one["kind"] == "telegram" && one["to"] == "1003");
        messages.map(|one| Some((one["title"].as_str()?.to_owned(), one["withdrawn"] == true))).collect()
    };
    let shows = async |what: &str, expected: &[(&str, bool)]| {
        let expected: Vec<_> = expected.iter().map(|(title, gone)| ((*title).to_owned(), *gone)).collect();
        until(what, DEADLINE, async || chat().await.filter(|chat| *chat == expected)).await
    };
    fleet.send(&alert("disk", 1, "warning", "firing")).await?;
    shows("the first message", &[("🟡 disk <b>full</b>", false)]).await?;
    fleet.send(&alert("disk", 2, "critical", "firing")).await?;
    let (gone, critical) = (("🟡 disk <b>full</b>", true), ("🔴 disk <b>full</b>", false));
    shows("a new message in its place", &[gone, critical]).await?;
    fleet.send(&alert("disk", 3, "critical", "resolved")).await?;
    let over = ("✅ disk <b>full</b>", false);
    shows("that it is over, where it stood", &[gone, over]).await?;
    fleet.send(&alert("fan", 1, "warning", "firing")).await?;
    shows("another alert", &[gone, over, ("🟡 fan <b>full</b>", false)]).await?;
    let receipt = json!({"alerts": ["fan"], "state": "seen"});
    let (status, problem) = fleet.user("cleo", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await?;
    ensure!(status < 300, "{problem}");
    shows("nothing of what was seen elsewhere", &[gone, over, ("🟡 fan <b>full</b>", true)]).await?;
    let told = fleet.timeline("disk", "cleo").await?.to_string();
    ensure!(told.contains("telegram"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_chat_in_telegram_shows_what_is_true_now_in_one_process() {
    a_chat_shows_what_is_true_now(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn a_chat_in_telegram_shows_what_is_true_now_through_real_services() {
    a_chat_shows_what_is_true_now(Engine::Services).await.unwrap();
}
