//! The session protocol over each transport: the same frames, the same cursor, the same refusals.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use watchbell_tests::{
    chance::{Chance, seed},
    client::{Asks, Client, Transport},
    fleet::{Engine, Fleet},
    requests::answer,
    session::{Frames as _, Session, is_change},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);
/// What is published while a client wanders.
const WANDERED: u64 = 80;

/// A fleet whose sessions are not healed by the clock in the time of a test.
async fn quiet(engine: Engine) -> anyhow::Result<Fleet> {
    Fleet::start(engine, (600_000, 600_000), &[("WATCHBELL__SOCKET__PING_EVERY", "10m")]).await
}

fn to(user: &str, title: &str) -> Value {
    json!({"to": {"users": [user]}, "title": title})
}

async fn speaks_one_protocol(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    for transport in Transport::ALL {
        greets_tells_and_resumes(&fleet, transport).await?;
        leaves_out_what_was_not_asked_for(&fleet, transport).await?;
        believes_no_bad_token(&fleet, transport).await?;
        ends_when_it_is_revoked(&fleet, transport).await?;
    }
    describes_itself(&fleet).await?;
    ends_with_its_token(&fleet).await?;
    what_only_a_websocket_can_say(&fleet).await?;
    nobody_need_wait_for_hello(&fleet).await?;
    batches(&fleet).await
}

#[tokio::test]
async fn every_transport_speaks_one_protocol_in_one_process() {
    speaks_one_protocol(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn every_transport_speaks_one_protocol_through_real_services() {
    speaks_one_protocol(Engine::Services).await.unwrap();
}

async fn describes_itself(fleet: &Fleet) -> anyhow::Result<()> {
    let url = format!("{}/asyncapi.json", fleet.url("socket-1")?);
    let (status, document) = answer(fleet.http().get(url)).await?;
    assert_eq!((status, &document["asyncapi"]), (200, &json!("3.0.0")));
    Ok(())
}

async fn greets_tells_and_resumes(fleet: &Fleet, transport: Transport) -> anyhow::Result<()> {
    let user = format!("ana-{transport:?}");
    let asks = fleet.asks(&user, &[])?;
    let mut client = fleet.client(transport, "socket-1", &asks).await?;
    let hello = client.hello().clone();
    let said = ["user", "seq", "unread", "resumed"].map(|field| hello[field].clone());
    assert_eq!(json!(said), json!([user, 0, 0, false]), "{transport:?}");
    let epoch = hello["cursor"].as_str().and_then(|cursor| cursor.strip_suffix(".0")).unwrap_or_default();
    assert!(
        !epoch.is_empty() && hello["heartbeat_ms"].is_u64() && hello["server_time"].is_string(),
        "{hello}"
    );

    let id = fleet.send(&to(&user, "Disk full")).await?;
    let alert = client.next().await?;
    let said = ["type", "seq", "cursor", "unread", "state"].map(|field| alert[field].clone());
    assert_eq!(json!(said), json!(["alert", 1, format!("{epoch}.1"), 1, "new"]), "{transport:?}");
    assert_eq!((&alert["alert"]["id"], &alert["alert"]["title"]), (&json!(id), &json!("Disk full")));

    // On another pod, over WebSocket, the same person reads it.
    let mut other = fleet.session("socket-2", &user, None).await?;
    other.say(&json!({"type": "receipt", "alerts": [id], "state": "read", "op": "mine"})).await?;
    let receipt = client.next().await?;
    let said = ["type", "seq", "cursor", "unread", "alerts", "state", "by", "op"]
        .map(|field| receipt[field].clone());
    let by = &other.hello["session"];
    let expected = match receipt["type"].as_str() {
        // What happens between two polls is told as the rows stand now.
        Some("alert") if transport == Transport::Poll => {
            json!(["alert", 2, format!("{epoch}.2"), 0, null, "read", null, null])
        }
        _ => json!(["receipt", 2, format!("{epoch}.2"), 0, [id], "read", by, "mine"]),
    };
    assert_eq!(json!(said), expected, "{transport:?}");
    drop(client);

    fleet.send(&to(&user, "While away")).await?;
    other.up_to(3).await?;
    let resumed = asks.clone().after(receipt["cursor"].as_str());
    let mut client = fleet.client(transport, "socket-2", &resumed).await?;
    if transport != Transport::Poll {
        assert_eq!((&client.hello()["resumed"], &client.hello()["seq"]), (&json!(true), &json!(3)));
    }
    let missed = client.next().await?;
    assert_eq!(
        (&missed["seq"], &missed["alert"]["title"]),
        (&json!(3), &json!("While away")),
        "{transport:?}"
    );

    let strange = asks.after(Some(&format!("{epoch}0.1")));
    let mut client = fleet.client(transport, "socket-1", &strange).await?;
    let told = client.next_of("resync").await?;
    assert_eq!(json!([told["seq"], told["cursor"]]), json!([3, format!("{epoch}.3")]), "{transport:?}");
    fleet.send(&to(&user, "After it")).await?;
    assert_eq!(client.next().await?["seq"], 4, "{transport:?}: and it goes on from there");
    Ok(())
}

async fn leaves_out_what_was_not_asked_for(fleet: &Fleet, transport: Transport) -> anyhow::Result<()> {
    let user = format!("ben-{transport:?}");
    let severe = json!({"severity": "critical"});
    let all =
        json!({"severity": "critical", "category": "disk", "source": "probe", "labels": {"env": "prod"}});
    for (why, filter, told) in [
        ("by severity", json!({"min_severity": "critical"}), "severe"),
        ("by type", json!({"types": ["disk"]}), "disk"),
        ("by source", json!({"sources": ["probe"]}), "probe"),
        ("by label", json!({"labels": {"env": "prod"}}), "labelled"),
    ] {
        let asks = Asks { filter, ..fleet.asks(&user, &[])? };
        let mut client = fleet.client(transport, "socket-1", &asks).await?;
        for (title, more) in [
            ("plain", json!({})),
            ("severe", severe.clone()),
            ("disk", json!({"category": "disk"})),
            ("probe", json!({"source": "probe"})),
            ("labelled", json!({"labels": {"env": "prod"}})),
            ("last", all.clone()),
        ] {
            let mut alert = to(&user, title);
            alert.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            fleet.send(&alert).await?;
        }
        let titles =
            [client.next().await?, client.next().await?].map(|frame| frame["alert"]["title"].clone());
        assert_eq!(titles, [told, "last"], "{transport:?}, {why}");
    }
    Ok(())
}

async fn believes_no_bad_token(fleet: &Fleet, transport: Transport) -> anyhow::Result<()> {
    let expired = fleet.mint(fleet.tenant().as_str(), "ana", SignedDuration::from_hours(-1))?;
    let good = fleet.token("ana")?;
    let (claims, signature) = good.rsplit_once('.').unwrap_or_default();
    let forged = format!("{claims}.{}", "A".repeat(signature.len()));
    for (why, token, code) in
        [("expired", expired, 4300), ("forged", forged, 4001), ("none", String::new(), 4001)]
    {
        let asks = Asks { token, ..Asks::default() };
        let refused = fleet.client(transport, "socket-1", &asks).await.err().map(|error| error.to_string());
        let expected = match transport {
            Transport::WebSocket => format!("closed {code}"),
            Transport::Sse | Transport::Poll => "answered 401".to_owned(),
        };
        let refused = refused.unwrap_or_else(|| "accepted".to_owned());
        assert!(refused.starts_with(&expected), "{transport:?}, {why}: {refused}");
    }
    Ok(())
}

async fn ends_when_it_is_revoked(fleet: &Fleet, transport: Transport) -> anyhow::Result<()> {
    let user = format!("cem-{transport:?}");
    let asks = fleet.asks(&user, &[])?;
    let mut client = fleet.client(transport, "socket-2", &asks).await?;
    let path = format!("/v1/users/{user}/sessions");
    // Within a second, and one more for a busy machine.
    let ended = tokio::time::timeout(Duration::from_secs(2), client.next());
    let (ended, revoked) = tokio::join!(ended, fleet.producer(Method::DELETE, &path, None));
    assert_eq!(revoked?.0, 200);
    let ended = ended?.err().map(|error| error.to_string()).unwrap_or_default();
    // A stream is told after the door too: only the store knows of revocations.
    let expected = match transport {
        Transport::WebSocket | Transport::Sse => "closed 4004 kicked",
        Transport::Poll => "answered 401",
    };
    assert!(ended.starts_with(expected), "{transport:?}: {ended}");
    let again = fleet.client(transport, "socket-1", &asks).await.err();
    let again = again.map(|error| error.to_string()).unwrap_or_default();
    assert!(again.starts_with(expected), "{transport:?}, with the same token: {again}");
    Ok(())
}

/// A token's leeway is 30 s, so what is over a moment from now has to be that much older.
async fn ends_with_its_token(fleet: &Fleet) -> anyhow::Result<()> {
    let brief = |user: &str| fleet.grant(user, &[], SignedDuration::from_secs(-27));
    let mut clients = Vec::new();
    for transport in [Transport::WebSocket, Transport::Sse] {
        let asks = Asks { token: brief("dora")?, ..Asks::default() };
        clients.push((transport, fleet.client(transport, "socket-1", &asks).await?));
    }
    let renewed = Asks { token: brief("dora")?, ..Asks::default() };
    let renewed = fleet.client(Transport::WebSocket, "socket-1", &renewed).await?;
    let Client::WebSocket(mut renewed) = renewed else { anyhow::bail!("a WebSocket was asked for") };
    renewed.say(&json!({"type": "auth", "token": fleet.token("dora")?})).await?;
    let asks = Asks { token: brief("dora")?, ..Asks::default() };
    let mut poll = fleet.client(Transport::Poll, "socket-1", &asks).await?;
    for (transport, client) in &mut clients {
        assert_eq!(client.closed().await?, "closed 4300 token expired", "{transport:?}");
    }
    let ended = poll.next().await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(ended.starts_with("answered 401"), "{ended}");
    fleet.send(&to("dora", "Still there")).await?;
    assert_eq!(renewed.next().await?["alert"]["title"], "Still there", "with a newer token it goes on");
    Ok(())
}

async fn what_only_a_websocket_can_say(fleet: &Fleet) -> anyhow::Result<()> {
    let mut session = fleet.session("socket-1", "eve", None).await?;
    session.say(&json!({"type": "visibility", "state": "hidden"})).await?;
    session.say(&json!({"type": "visibility", "state": "visible"})).await?;
    session.say_raw(Message::text("ping")).await?;
    assert_eq!(session.raw().await?, Message::text("pong"), "for clients that know nothing else");
    session.say_raw(Message::Ping("p".into())).await?;
    assert_eq!(session.raw().await?, Message::Pong("p".into()));
    session.say_raw(Message::Close(None)).await?;
    assert!(matches!(session.raw().await?, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
    Ok(())
}

/// What comes in one piece with `auth` is heard after it; it used to end the session, as packets fell together.
async fn nobody_need_wait_for_hello(fleet: &Fleet) -> anyhow::Result<()> {
    let mut session = Session::connect(&fleet.ws_url("socket-1")?).await?;
    let auth = json!({"type": "auth", "token": fleet.token("gil")?, "topics": null, "batch": null});
    let visibility = json!({"type": "visibility", "state": "visible"});
    session.say_raw(Message::text(format!("{auth}\n{visibility}\nping is no frame"))).await?;
    session.greeted().await?;
    assert_eq!(session.next().await?["type"], "error", "the last line is no frame, and is answered as such");
    session.say_raw(Message::text("ping")).await?;
    assert_eq!(session.raw().await?, Message::text("pong"), "the session goes on");
    Ok(())
}

async fn batches(fleet: &Fleet) -> anyhow::Result<()> {
    let mut session = Session::connect(&fleet.ws_url("socket-1")?).await?;
    let batch = json!({"max": 3, "wait_ms": 10_000});
    session.say(&json!({"type": "auth", "token": fleet.token("finn")?, "batch": batch})).await?;
    session.greeted().await?;
    let alerts: Vec<Value> = (1..=3).map(|number| to("finn", &format!("Alert {number}"))).collect();
    fleet.publish(&json!(alerts)).await?;
    let Message::Text(text) = session.raw().await? else { anyhow::bail!("a text was expected") };
    let seqs: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).map(|frame| frame["seq"].clone()))
        .collect::<Result<_, _>>()?;
    assert_eq!(seqs, [1, 2, 3], "three frames in one message, a line each");
    Ok(())
}

/// I3: whatever way a client comes, on whatever pod, it has everything once and in order.
async fn wanders(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    let seed = seed()?;
    let mut chance = Chance::of(seed);
    // Greeted before the first is published, so that all of them are changes since.
    let asks = fleet.asks("ana", &[])?;
    let mut client = fleet.client(Transport::WebSocket, "socket-1", &asks).await?;
    let publish = async {
        for number in 1..=WANDERED {
            let id = fleet.send(&to("ana", &format!("Alert {number}"))).await?;
            if number % 4 == 0 {
                until("it to be read", DEADLINE, async || {
                    let receipt = json!({"alerts": [id], "state": "read"});
                    let said = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await;
                    (said.ok()?.1["alerts"] == json!([id])).then_some(())
                })
                .await?;
            }
        }
        anyhow::Ok(())
    };
    let head = WANDERED + WANDERED / 4;
    let wander = async {
        let (mut cursor, mut last) = (client.hello()["cursor"].clone(), 0);
        let mut shown = BTreeMap::new();
        while last < head {
            for _ in 0..chance.below(6) + 1 {
                let frame = client.next().await?;
                anyhow::ensure!(frame["type"] != "resync", "{frame}");
                if !is_change(&frame) {
                    continue;
                }
                let seq = frame["seq"].as_u64().unwrap_or_default();
                anyhow::ensure!(seq > last, "{seq} after {last}: twice, or out of order (seed {seed})");
                (cursor, last) = (frame["cursor"].clone(), seq);
                let ids = match frame["type"] == "alert" {
                    true => vec![frame["alert"]["id"].clone()],
                    false => frame["alerts"].as_array().cloned().unwrap_or_default(),
                };
                for id in ids {
                    shown.insert(id.to_string(), frame["state"].clone());
                }
                if last >= head {
                    break;
                }
            }
            let transport = Transport::ALL[chance.below(3)];
            let pod = ["socket-1", "socket-2"][chance.below(2)];
            client = fleet.client(transport, pod, &asks.clone().after(cursor.as_str())).await?;
        }
        anyhow::Ok(shown)
    };
    let (published, shown) = tokio::join!(publish, wander);
    published?;
    let shown = shown.with_context(|| format!("WATCHBELL_SEED={seed}"))?;
    let inbox = fleet.inbox("ana").await?;
    let expected: BTreeMap<String, Value> =
        inbox.iter().map(|row| (row["alert"]["id"].to_string(), row["state"].clone())).collect();
    assert_eq!(shown, expected, "the screen shows what the inbox has (seed {seed})");
    Ok(())
}

#[tokio::test]
async fn a_client_may_change_transport_and_pod_between_any_two_frames() {
    wanders(Engine::Embedded).await.unwrap();
    wanders(Engine::Services).await.unwrap();
}
