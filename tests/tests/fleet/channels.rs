//! Channels that a policy names: the demo shows them as soon as one does.

use std::time::Duration;

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
