//! Topics: what is kept, what is live, and who may read it, over each transport.

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    client::{Client, Transport},
    fleet::{Engine, Fleet},
    requests::answer,
    session::{Frames as _, Session},
    until::until,
};

use crate::producers;

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);
const QUIET: (u64, u64) = (600_000, 600_000);
/// What is published while others subscribe.
const PUBLISHED: u64 = 120;

async fn topics(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, QUIET, &[]).await?;
    kept_and_live(&fleet).await?;
    asked_in_the_address(&fleet).await?;
    for transport in Transport::ALL {
        over(&fleet, transport).await?;
    }
    forbidden(&fleet).await?;
    another_tenants(&fleet).await?;
    snapshot_and_live_meet(&fleet).await?;
    if engine == Engine::Services {
        through_the_broker(&fleet).await?;
    }
    Ok(())
}

#[tokio::test]
async fn topics_tell_what_was_kept_and_what_happens_in_one_process() {
    topics(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn topics_tell_what_was_kept_and_what_happens_through_real_services() {
    topics(Engine::Services).await.unwrap();
}

fn event(number: u64, keep: u64) -> Value {
    json!({"id": format!("e-{number}"), "type": "status_change", "data": {"number": number}, "keep": keep})
}

fn numbers(events: &Value) -> Vec<u64> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["data"]["number"].as_u64()).collect()
}

/// Waits until these are kept, as anybody may ask over HTTP.
async fn kept(fleet: &Fleet, topic: &str, expected: &[u64]) -> anyhow::Result<()> {
    let token = fleet.asks("reader", &["*"])?.token;
    let url = format!("{}/v1/topics/{topic}/events", fleet.url("socket-2")?);
    until(&format!("{expected:?} to be kept of {topic}"), DEADLINE, async || {
        let (_, page) = answer(fleet.http().get(&url).bearer_auth(&token)).await.ok()?;
        (numbers(&page["events"]) == expected).then_some(())
    })
    .await
}

async fn websocket(fleet: &Fleet, user: &str, allowed: &[&str]) -> anyhow::Result<Session> {
    match fleet.client(Transport::WebSocket, "socket-1", &fleet.asks(user, allowed)?).await? {
        Client::WebSocket(session) => Ok(*session),
        _ => anyhow::bail!("a WebSocket was asked for"),
    }
}

async fn kept_and_live(fleet: &Fleet) -> anyhow::Result<()> {
    for number in 1..=4 {
        fleet.event("monitor:7", &event(number, 3)).await?;
    }
    kept(fleet, "monitor:7", &[2, 3, 4]).await?;
    let token = fleet.asks("ana", &["monitor:*"])?.token;
    let url = format!("{}/v1/topics/monitor:7/events?limit=2", fleet.url("socket-1")?);
    let (status, page) = answer(fleet.http().get(&url).bearer_auth(&token)).await?;
    assert_eq!((status, &page["topic"], numbers(&page["events"])), (200, &json!("monitor:7"), vec![3, 4]));

    let mut ana = websocket(fleet, "ana", &["monitor:*"]).await?;
    ana.say(&json!({"type": "subscribe", "topic": "monitor:7"})).await?;
    let snapshot = ana.next().await?;
    assert_eq!(json!([snapshot["type"], snapshot["topic"]]), json!(["snapshot", "monitor:7"]));
    assert_eq!(numbers(&snapshot["events"]), [2, 3, 4], "oldest first");
    fleet.event("monitor:8", &event(1, 0)).await?;
    fleet.event("monitor:7", &event(5, 0)).await?;
    let live = ana.next().await?;
    assert_eq!(
        json!([live["type"], live["topic"], live["event"]["id"]]),
        json!(["event", "monitor:7", "e-5"])
    );
    assert_eq!(live["event"]["data"], json!({"number": 5}), "monitor:8 is nothing to her");

    for refresh in [json!({"type": "refresh", "topic": "monitor:7"}), json!({"type": "refresh"})] {
        ana.say(&refresh).await?;
        assert_eq!(numbers(&ana.next_of("snapshot").await?["events"]), [2, 3, 4], "5 was not to be kept");
    }
    ana.say(&json!({"type": "unsubscribe", "topic": "monitor:7"})).await?;
    // Heard in order: when this is answered, the one before was obeyed.
    ana.say(&json!({"type": "subscribe", "topic": "monitor:8"})).await?;
    assert_eq!(ana.next().await?["topic"], "monitor:8");
    fleet.event("monitor:7", &event(6, 0)).await?;
    fleet.event("monitor:8", &event(7, 0)).await?;
    assert_eq!(ana.next().await?["event"]["id"], "e-7", "no more of monitor:7");
    Ok(())
}

/// What an address asks for holds although the token, and more, come with the first frame.
async fn asked_in_the_address(fleet: &Fleet) -> anyhow::Result<()> {
    for topic in ["asked:a", "asked:b"] {
        fleet.event(topic, &event(1, 1)).await?;
        kept(fleet, topic, &[1]).await?;
    }
    let url = fleet.url("socket-1")?.replacen("http", "ws", 1);
    let mut ana = Session::connect(&format!("{url}/v1/ws?topics=asked:a&types=other")).await?;
    let token = fleet.asks("ana", &["asked:*"])?.token;
    ana.say(&json!({"type": "auth", "token": token, "topics": ["asked:b"]})).await?;
    ana.greeted().await?;
    for topic in ["asked:a", "asked:b"] {
        let snapshot = ana.next().await?;
        assert_eq!(
            json!([snapshot["topic"], snapshot["events"]]),
            json!([topic, []]),
            "only `other` is wanted"
        );
    }
    Ok(())
}

async fn over(fleet: &Fleet, transport: Transport) -> anyhow::Result<()> {
    let topic = format!("stats:{transport:?}");
    fleet.event(&topic, &event(1, 5)).await?;
    kept(fleet, &topic, &[1]).await?;
    let asks = fleet.asks("ben", &["stats:*"])?.topics(&[&topic]);
    let mut client = fleet.client(transport, "socket-2", &asks).await?;
    let snapshot = client.next().await?;
    assert_eq!(json!([snapshot["type"], snapshot["topic"]]), json!(["snapshot", topic]), "{transport:?}");
    assert_eq!(numbers(&snapshot["events"]), [1]);
    // A poll hears what happens while it waits, so it is told until it was there.
    let mut number = 1;
    let mut publish = async || -> anyhow::Result<()> {
        loop {
            number += 1;
            fleet.event(&topic, &event(number, 0)).await?;
            until("a moment", DEADLINE, async || Some(())).await?;
        }
    };
    let live = tokio::select! {
        live = client.next() => live?,
        never = publish() => return never,
    };
    assert_eq!(json!([live["type"], live["topic"]]), json!(["event", topic]), "{transport:?}");
    assert!(live["event"]["data"]["number"].as_u64() >= Some(2), "{live}");
    Ok(())
}

/// I8.
async fn forbidden(fleet: &Fleet) -> anyhow::Result<()> {
    let asks = fleet.asks("cem", &["stats:*"])?.topics(&["monitor:7"]);
    for transport in [Transport::WebSocket, Transport::Sse] {
        let mut client = fleet.client(transport, "socket-1", &asks).await?;
        let told = client.next().await?;
        assert_eq!(json!([told["type"], told["code"]]), json!(["error", "forbidden_topic"]), "{transport:?}");
        assert!(told["title"].as_str().is_some_and(|title| title.contains("monitor:7")), "{told}");
        fleet.event("monitor:7", &event(8, 0)).await?;
        fleet.send(&json!({"to": {"users": ["cem"]}, "title": "t"})).await?;
        assert_eq!(client.next().await?["type"], "alert", "{transport:?}: nothing of the topic came before");
    }
    let refused = fleet.client(Transport::Poll, "socket-1", &asks).await.err();
    let refused = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("answered 403"), "{refused}");
    let url = format!("{}/v1/topics/monitor:7/events", fleet.url("socket-1")?);
    let (status, _) = answer(fleet.http().get(&url).bearer_auth(&asks.token)).await?;
    assert_eq!(status, 403);

    let mut client = websocket(fleet, "cem", &["stats:*"]).await?;
    for (topic, code) in [("no topic/at all", "invalid_topic"), ("stats:*", "invalid_topic")] {
        client.say(&json!({"type": "subscribe", "topic": topic})).await?;
        assert_eq!(client.next().await?["code"], code, "{topic}");
    }
    Ok(())
}

/// I8: the same topic of another tenant is another topic.
async fn another_tenants(fleet: &Fleet) -> anyhow::Result<()> {
    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
    let store = if fleet.engine == Engine::Embedded { &store[..] } else { &[] };
    let key = fleet.command_with(&["key", "create", "--tenant", "other"], store)?;
    let mut ana = websocket(fleet, "ana", &["wall"]).await?;
    ana.say(&json!({"type": "subscribe", "topic": "wall"})).await?;
    assert_eq!(ana.next_of("snapshot").await?["events"], json!([]));
    let url = format!("{}/v1/topics/wall/events", fleet.url("ingest")?);
    let (status, _) = answer(fleet.http().post(url).bearer_auth(key.trim()).json(&event(1, 5))).await?;
    assert_eq!(status, 202);
    fleet.event("wall", &event(2, 5)).await?;
    assert_eq!(ana.next().await?["event"]["id"], "e-2");
    kept(fleet, "wall", &[2]).await
}

/// Whoever subscribes while events flow has each once: those before in the snapshot, those after live.
async fn snapshot_and_live_meet(fleet: &Fleet) -> anyhow::Result<()> {
    let publish = async {
        for number in 1..=PUBLISHED {
            fleet.event("flow", &event(number, 1_000)).await?;
        }
        anyhow::Ok(())
    };
    let subscribe = async {
        let mut seen = Vec::new();
        for round in 0..12 {
            let transport = [Transport::WebSocket, Transport::Sse][round % 2];
            let asks = fleet.asks("dora", &["flow"])?.topics(&["flow"]);
            let mut client = fleet.client(transport, ["socket-1", "socket-2"][round / 2 % 2], &asks).await?;
            let mut told = numbers(&client.next_of("snapshot").await?["events"]);
            // The first ones to the end, so that the next ones come when more is kept.
            let enough = told.len() + 10 * (round + 1);
            while told.len() < enough && told.last() != Some(&PUBLISHED) {
                told.push(client.next_of("event").await?["event"]["data"]["number"].as_u64().unwrap_or(0));
            }
            seen.push(told);
        }
        anyhow::Ok(seen)
    };
    let (published, seen) = tokio::join!(publish, subscribe);
    published?;
    for told in seen? {
        let expected: Vec<u64> = (1..=told.len() as u64).collect();
        assert_eq!(told, expected, "each once, in order");
    }
    Ok(())
}

async fn through_the_broker(fleet: &Fleet) -> anyhow::Result<()> {
    let mut finn = websocket(fleet, "finn", &["bus"]).await?;
    finn.say(&json!({"type": "subscribe", "topic": "bus"})).await?;
    finn.next_of("snapshot").await?;
    let mut body = event(1, 1);
    for (name, value) in [("kind", "event"), ("tenant", "acme"), ("topic", "bus")] {
        body[name] = json!(value);
    }
    producers::publish(fleet, &[json!({"body": body.to_string(), "message_id": "m-1"})]).await?;
    let live = finn.next().await?;
    assert_eq!(json!([live["type"], live["topic"], live["event"]["id"]]), json!(["event", "bus", "e-1"]));
    finn.say(&json!({"type": "refresh"})).await?;
    assert_eq!(numbers(&finn.next().await?["events"]), [1]);
    let (status, _) = fleet.user("finn", Method::GET, "/v1/topics/bus/events", None).await?;
    assert_eq!(status, 403, "a token without the claim");
    Ok(())
}
