//! Teams that move to Watchbell without changing their pages: each keeps its addresses, messages and commands.

use anyhow::ensure;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use watchbell_tests::{
    client::Asks,
    fleet::{Engine, Fleet},
    requests::answer,
    session::{Frames as _, Session},
    sse::SseSession,
    until::until,
};

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// As an operator writes it.
const MOUNTS: &str = r#"
[[mount]]
path = "/ws/alerts"

[[mount]]
path = "/api/v1/ws/{monitor_id}"
topics = ["monitor:{monitor_id}"]
shape = "bare"

[[mount]]
path = "/ws/dashboard"
topics = ["dashboard"]
shape = "bare"

[[mount]]
path = "/api/v2/events/stream"
topics = ["dashboard"]
shape = "bare"

[[mount]]
path = "/ws/remediation"
topics = ["remediation"]
shape = "bare"

[[mount]]
path = "/ops/remediate/history"
topics = ["remediation"]
shape = "history"
"#;

async fn scenarios(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(engine, MOUNTS, &[]).await?;
    alerts_of_a_user(&fleet).await?;
    a_monitors_page(&fleet).await?;
    a_dashboard(&fleet).await?;
    a_remediation_console(&fleet).await
}

#[tokio::test]
async fn teams_keep_their_addresses_in_one_process() {
    scenarios(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn teams_keep_their_addresses_through_real_services() {
    scenarios(Engine::Services).await.unwrap();
}

/// A WebSocket whose token stands in its address, as old pages write it.
async fn page(fleet: &Fleet, path: &str, user: &str, allowed: &[&str]) -> anyhow::Result<Session> {
    let token = fleet.asks(user, allowed)?.token;
    let url = format!("{}{path}?token={token}", fleet.url("socket-1")?);
    Session::connect_as(&url, &Asks::default()).await
}

async fn stream(fleet: &Fleet, path: &str, user: &str, allowed: &[&str]) -> anyhow::Result<SseSession> {
    let token = fleet.asks(user, allowed)?.token;
    let url = format!("{}{path}?token={token}", fleet.url("socket-2")?);
    SseSession::open(&url, &Asks::default()).await
}

/// The type and the data of a bare event.
fn said(event: &Value) -> Value {
    json!([event["type"], event["data"]])
}

/// Waits until a topic keeps so many.
async fn keeps(fleet: &Fleet, topic: &str, count: usize) -> anyhow::Result<()> {
    let token = fleet.asks("reader", &["*"])?.token;
    let url = format!("{}/v1/topics/{topic}/events", fleet.url("socket-1")?);
    until(&format!("{count} events of {topic}"), DEADLINE, async || {
        let (_, page) = answer(fleet.http().get(&url).bearer_auth(&token)).await.ok()?;
        (page["events"].as_array()?.len() == count).then_some(())
    })
    .await
}

/// `/ws/alerts?token=`: one user's alerts.
async fn alerts_of_a_user(fleet: &Fleet) -> anyhow::Result<()> {
    let mut page = page(fleet, "/ws/alerts", "ana", &[]).await?;
    page.greeted().await?;
    assert_eq!(page.hello["user"], "ana");
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Exposure detected"})).await?;
    let frame = page.next().await?;
    assert_eq!(json!([frame["type"], frame["alert"]["title"]]), json!(["alert", "Exposure detected"]));
    page.say(&json!({"type": "receipt", "alerts": [id], "state": "seen"})).await?;
    assert_eq!(page.next().await?["state"], "seen");
    for log in fleet.logs() {
        ensure!(!log.1.contains("eyJ"), "{} logs a token", log.0);
    }

    let url = format!("{}/ws/alerts?token=nonsense", fleet.url("socket-1")?);
    let mut stranger = Session::connect_as(&url, &Asks::default()).await?;
    assert_eq!(stranger.closed().await?, "closed 4001 bad token");
    Ok(())
}

/// `/api/v1/ws/{monitor_id}`: the state of one monitor at once, changes as they happen, all of it again when asked.
async fn a_monitors_page(fleet: &Fleet) -> anyhow::Result<()> {
    let events = [
        ("monitor_update", json!({"id": 7, "name": "api", "status": "up"})),
        ("new_alert", json!({"title": "api is slow"})),
        ("status_change", json!({"from": "up", "to": "down"})),
        ("expected_next_check_update", json!({"at": "2026-11-21T12:05:00Z"})),
    ];
    for (kind, data) in &events {
        fleet.event("monitor:7", &json!({"type": kind, "data": data, "keep": 4})).await?;
    }
    fleet.event("monitor:8", &json!({"type": "monitor_update", "data": {"id": 8}, "keep": 4})).await?;
    keeps(fleet, "monitor:7", 4).await?;

    let mut page = page(fleet, "/api/v1/ws/7", "ana", &["monitor:7"]).await?;
    let state: Vec<Value> = events.iter().map(|(kind, data)| json!([kind, data])).collect();
    let next_state = async |why: &str, page: &mut Session| -> anyhow::Result<()> {
        for expected in &state {
            let event = page.next().await?;
            assert_eq!(&said(&event), expected, "{why}");
            assert!(
                event["topic"].is_null() && event["occurred_at"].is_string(),
                "no envelope of ours: {event}"
            );
        }
        Ok(())
    };
    next_state("initial state", &mut page).await?;
    for spelling in [
        "refresh",
        "\"refresh\"",
        r#"{"type":"refresh"}"#,
        r#"{"command":"refresh"}"#,
        r#"{"action": "refresh"}"#,
    ] {
        page.say_raw(Message::text(spelling)).await?;
        next_state(spelling, &mut page).await?;
    }
    page.say_raw(Message::text("ping")).await?;
    assert_eq!(page.raw().await?, Message::text("pong"));

    // Her alerts are not this page's business.
    fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Elsewhere"})).await?;
    fleet.event("monitor:7", &json!({"type": "status_change", "data": {"to": "up"}})).await?;
    assert_eq!(said(&page.next().await?), json!(["status_change", {"to": "up"}]));

    let mut stranger = self::page(fleet, "/api/v1/ws/8", "ana", &["monitor:7"]).await?;
    assert_eq!(stranger.closed().await?, "closed 4003 forbidden");
    let mut nameless = self::page(fleet, "/api/v1/ws/a%2Fb", "ana", &["*"]).await?;
    assert_eq!(nameless.closed().await?, "closed 4003 forbidden", "no topic of such a name");
    Ok(())
}

/// `/ws/dashboard` and `/api/v2/events/stream`: the same events over either; the last statistics at once.
async fn a_dashboard(fleet: &Fleet) -> anyhow::Result<()> {
    fleet.event("dashboard", &json!({"type": "stats_updated", "data": {"firing": 3}, "keep": 1})).await?;
    keeps(fleet, "dashboard", 1).await?;
    let mut page = page(fleet, "/ws/dashboard", "ben", &["dashboard"]).await?;
    let mut stream = stream(fleet, "/api/v2/events/stream", "ben", &["dashboard"]).await?;
    let expected = json!(["stats_updated", {"firing": 3}]);
    assert_eq!(said(&page.next().await?), expected, "at once, not after ten seconds");
    assert_eq!(said(&stream.event().await?.data), expected);
    for kind in [
        "alert_created",
        "alert_resolved",
        "silence_created",
        "silence_expired",
        "health_changed",
        "stats_updated",
    ] {
        fleet.event("dashboard", &json!({"type": kind, "data": {"of": kind}})).await?;
        assert_eq!(said(&page.next().await?), json!([kind, {"of": kind}]));
        let event = stream.event().await?;
        assert_eq!(
            (event.kind.as_str(), said(&event.data)),
            (kind, json!([kind, {"of": kind}])),
            "by its type"
        );
    }
    let refused = self::stream(fleet, "/api/v2/events/stream", "ben", &["monitor:7"]).await.err();
    let refused = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("answered 403"), "{refused}");
    Ok(())
}

/// `/ws/remediation`, and `/ops/remediate/history?limit=10` for what was before.
async fn a_remediation_console(fleet: &Fleet) -> anyhow::Result<()> {
    for number in 1..=12 {
        let step = json!({"type": "remediation_step", "data": {"number": number}, "keep": 100});
        fleet.event("remediation", &step).await?;
    }
    keeps(fleet, "remediation", 12).await?;
    let token = fleet.asks("cem", &["remediation"])?.token;
    let url = format!("{}/ops/remediate/history?limit=10", fleet.url("socket-2")?);
    let (status, history) = answer(fleet.http().get(&url).bearer_auth(&token)).await?;
    let numbers = |events: &Value| -> Vec<u64> {
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().filter_map(|event| event["data"]["number"].as_u64()).collect()
    };
    assert_eq!((status, numbers(&history)), (200, (3..=12).collect()), "the last ten, oldest first");
    let (status, _) = answer(fleet.http().get(&url).bearer_auth(fleet.token("cem")?)).await?;
    assert_eq!(status, 403, "a token without the claim");
    let (status, _) = answer(fleet.http().get(&url)).await?;
    assert_eq!(status, 401);

    let mut console = page(fleet, "/ws/remediation", "cem", &["remediation"]).await?;
    for number in 1..=12 {
        assert_eq!(console.next().await?["data"]["number"], number);
    }
    fleet.event("remediation", &json!({"type": "remediation_done", "data": {"ok": true}})).await?;
    assert_eq!(said(&console.next().await?), json!(["remediation_done", {"ok": true}]));
    Ok(())
}
