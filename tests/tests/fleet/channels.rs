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

const TEXTS: &str = r#"
[policies.default]
steps = [{channel = "sms", after = "100ms"}]
[policies.critical]
steps = [{channel = "sms", after = "100ms"}]
"#;

/// A number that a producer gave, a policy that names `sms`, and what the phone shows.
async fn texts(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(engine, TEXTS, &[("WATCHBELL__LOG__FILTER", "debug")]).await?;
    let number = "+4915112345678";
    let put = async |number: &str| {
        let contact = json!({"addresses": {"sms": number}});
        fleet.producer(Method::PUT, "/v1/users/cleo", Some(&contact)).await
    };
    let (status, problem) = put("0151 12345678").await?;
    assert_eq!(status, 422, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(problem["field"] == "addresses.sms" && detail.contains("as in E.164"), "{problem}");
    assert_eq!(put(number).await?.0, 204);
    let alert = |id: &str| {
        let url = "https://example.com/incidents/1234567890";
        json!({"id": id, "to": {"users": ["cleo"]}, "title": id, "severity": "critical", "body": "x".repeat(2_000), "url": url})
    };
    fleet.send(&alert("disk")).await?;
    let arrived = async |title: &str| {
        let arrivals = fleet.all_arrivals().await.ok()?;
        arrivals.into_iter().find(|one| one["kind"] == "sms" && one["title"] == title)
    };
    let text = until("the text message", DEADLINE, async || arrived("Critical: disk").await).await?;
    assert_eq!((&text["to"], &text["payload"]["num_segments"]), (&json!(number), &json!("3")));
    assert!(text["body"].as_str().unwrap().ends_with("x...\nhttps://example.com/incidents/1234567890"));

    fleet.faults(&json!({"sms": [{"status": 400, "reason": "21610"}]})).await?;
    let refused = "21610: the person wrote STOP";
    fleet.send(&alert("cpu")).await?;
    let says = async |alert: &str, what: &str| {
        let told = fleet.timeline(alert, "cleo").await.ok()?.to_string();
        told.contains(what).then_some(())
    };
    until("the refusal", DEADLINE, async || says("cpu", refused).await).await?;
    fleet.faults(&json!({"sms": []})).await?;
    fleet.send(&alert("net")).await?;
    let nobody = "no phone number that takes text messages";
    until("nobody to be asked", DEADLINE, async || says("net", nobody).await).await?;
    assert!(arrived("Critical: net").await.is_none());
    for (name, log) in fleet.logs() {
        assert!(log.contains("DEBUG") && !log.contains(number), "{name} names the number in its log");
    }
    Ok(())
}

#[tokio::test]
async fn a_text_message_goes_to_the_number_that_a_producer_gave_until_its_person_writes_stop()
-> anyhow::Result<()> {
    let (embedded, services) = tokio::join!(texts(Engine::Embedded), texts(Engine::Services));
    embedded?;
    services
}
