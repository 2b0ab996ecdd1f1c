//! Sessions that come back, and pods that were cut off: everybody gets exactly what they missed, and nothing of others.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet, Urls},
    rabbit::RabbitNode,
    requests::answer,
    scratch::Scratch,
    services,
    session::{Frames as _, Session},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);
/// Changes that are replayed; a client that missed more fetches its inbox.
const REPLAY_MAX: u64 = 1_000;

/// A fleet that neither pushes nor pings in the time of a test: what heals a session here is not the clock.
async fn quiet(engine: Engine) -> anyhow::Result<Fleet> {
    Fleet::start(engine, (600_000, 600_000), &[("WATCHBELL__SOCKET__PING_EVERY", "10m")]).await
}

fn to(user: &str, title: &str) -> Value {
    json!({"to": {"users": [user]}, "title": title})
}

/// Publishes this many alerts to ana in one request, and waits until her inbox has reached change `seq`.
async fn ana_gets(fleet: &Fleet, count: u64, seq: u64) -> anyhow::Result<()> {
    let alerts: Vec<Value> = (0..count).map(|number| to("ana", &format!("Alert {number}"))).collect();
    let (status, problem) = fleet.publish(&json!(alerts)).await?;
    anyhow::ensure!(status == 202, "answered {status}: {problem}");
    until(&format!("change {seq} of ana's inbox"), DEADLINE, async || {
        let (_, page) = fleet.user("ana", Method::GET, "/v1/inbox?limit=1", None).await.ok()?;
        (page["seq"] == seq).then_some(())
    })
    .await
}

async fn says(fleet: &Fleet, user: &str, state: &str, alerts: &[Value]) -> anyhow::Result<Value> {
    let receipt = json!({"alerts": alerts, "state": state});
    let (status, said) = fleet.user(user, Method::POST, "/v1/inbox/receipts", Some(&receipt)).await?;
    anyhow::ensure!(status == 200, "answered {status}: {said}");
    Ok(said)
}

/// What a replay has to say: the rows of an inbox that changed after `seq`, oldest change first.
fn changed_after(inbox: &[Value], seq: u64) -> Vec<Value> {
    let mut rows: Vec<&Value> = inbox.iter().filter(|row| row["seq"].as_u64() > Some(seq)).collect();
    rows.sort_by_key(|row| (row["seq"].as_u64(), row["alert"]["id"].to_string()));
    rows.into_iter().map(essence).collect()
}

/// Which alert, in which version and state, by which change: of an `alert` frame or of an inbox row.
fn essence(told: &Value) -> Value {
    json!([told["seq"], told["alert"]["id"], told["alert"]["version"], told["state"]])
}

fn in_order(frames: &[Value]) -> bool {
    frames.is_sorted_by_key(|frame| frame["seq"].as_u64())
}

async fn misses_nothing_on_the_other_pod(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    let mut here = fleet.session("socket-1", "ana", None).await?;
    ana_gets(&fleet, 3, 3).await?;
    let had = here.up_to(3).await?;
    let cursor = had[2]["cursor"].as_str().unwrap_or_default().to_owned();
    let ids: Vec<Value> = had.iter().map(|frame| frame["alert"]["id"].clone()).collect();
    drop(here);

    // While she is away: new ones, one updated, one receipt about more alerts than a page of the replay has.
    ana_gets(&fleet, 250, 253).await?;
    let mut update = to("ana", "Alert 0, resolved");
    update["id"] = ids[0].clone();
    update["version"] = json!(2);
    update["status"] = json!("resolved");
    fleet.send(&update).await?;
    until("the update", DEADLINE, async || {
        (fleet.inbox("ana").await.ok()?[0]["alert"]["version"] == 2).then_some(())
    })
    .await?;
    let before = fleet.inbox("ana").await?;
    let all: Vec<Value> =
        before.iter().map(|row| row["alert"]["id"].clone()).filter(|id| *id != ids[2]).collect();
    says(&fleet, "ana", "seen", &all).await?;
    let head = 256;
    ana_gets(&fleet, 1, head).await?;

    let mut there = fleet.session("socket-2", "ana", Some(&cursor)).await?;
    assert_eq!((&there.hello["resumed"], &there.hello["seq"]), (&json!(true), &json!(head)));
    let mut replayed = there.up_to(head).await?;
    assert!(in_order(&replayed), "by change number");
    replayed.sort_by_key(|frame| (frame["seq"].as_u64(), frame["alert"]["id"].to_string()));
    let inbox = fleet.inbox("ana").await?;
    assert_eq!(inbox.len(), 254);
    assert_eq!(replayed.iter().map(essence).collect::<Vec<_>>(), changed_after(&inbox, 3));

    // And from there on live, without a hole.
    ana_gets(&fleet, 1, head + 1).await?;
    let live = there.up_to(head + 1).await?;
    assert_eq!(live.len(), 1, "nothing twice: {live:?}");
    Ok(())
}

#[tokio::test]
async fn a_session_on_the_other_pod_gets_exactly_what_it_missed() {
    misses_nothing_on_the_other_pod(Engine::Embedded).await.unwrap();
    misses_nothing_on_the_other_pod(Engine::Services).await.unwrap();
}

async fn resyncs_what_cannot_be_replayed(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    let first = fleet.session("socket-1", "ana", None).await?;
    let from = first.hello["cursor"].as_str().unwrap_or_default().to_owned();
    drop(first);
    ana_gets(&fleet, REPLAY_MAX, REPLAY_MAX).await?;
    let mut last = fleet.session("socket-2", "ana", Some(&from)).await?;
    let all = last.up_to(REPLAY_MAX).await?;
    assert_eq!((all.len() as u64, in_order(&all)), (REPLAY_MAX, true), "so many are still replayed");

    let head = REPLAY_MAX + 1;
    ana_gets(&fleet, 1, head).await?;
    let (epoch, _) = from.split_once('.').unwrap_or_default();
    let table = [
        ("one change too many", from.clone(), true),
        ("of another store", format!("{epoch}0.{head}"), false),
        ("of what has not happened", format!("{epoch}.{}", head + 5), false),
        ("no cursor at all", "yesterday".to_owned(), false),
    ];
    for (number, (why, cursor, resumed)) in table.iter().enumerate() {
        let head = head + number as u64;
        let mut session = fleet.session("socket-1", "ana", Some(cursor)).await?;
        assert_eq!(session.hello["resumed"], *resumed, "{why}");
        let frame = session.next().await?;
        let told = json!([frame["type"], frame["seq"], frame["cursor"], frame["unread"]]);
        assert_eq!(told, json!(["resync", head, format!("{epoch}.{head}"), head]), "{why}");
        ana_gets(&fleet, 1, head + 1).await?;
        let live = session.up_to(head + 1).await?;
        assert_eq!(live.len(), 1, "{why}: it goes on from the head");
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_cannot_be_replayed_is_answered_with_a_resync() {
    resyncs_what_cannot_be_replayed(Engine::Embedded).await.unwrap();
    resyncs_what_cannot_be_replayed(Engine::Services).await.unwrap();
}

/// I8, with one alert id and one user name on both sides of the wall.
async fn walls_hold(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db")];
    let store = if engine == Engine::Embedded { &store[..] } else { &[] };
    let other_key = fleet.command_with(&["key", "create", "--tenant", "other"], store)?;
    let other_token = fleet.mint("other", "ana", SignedDuration::from_hours(1))?;
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let mut ben = fleet.session("socket-1", "ben", None).await?;
    let mut other = Session::open(&fleet.ws_url("socket-1")?, &other_token, None).await?;

    let mut alert = to("ana", "For ana of the first tenant");
    alert["id"] = json!("same");
    fleet.send(&alert).await?;
    assert_eq!(ana.next().await?["alert"]["title"], "For ana of the first tenant");

    // Neither her colleague nor her namesake can say anything about it.
    let receipt = json!({"type": "receipt", "alerts": ["same"], "state": "dismissed"});
    for stranger in [&mut ben, &mut other] {
        stranger.say(&receipt).await?;
    }
    assert_eq!(says(&fleet, "ben", "dismissed", &[json!("same")]).await?["alerts"], json!([]));

    // The first thing either hears is their own, and its number says that it is their first change.
    alert["title"] = json!("For ana of the other tenant");
    let publish = fleet.http().post(format!("{}/v1/alerts", fleet.url("ingest")?));
    let (status, _) = answer(publish.bearer_auth(other_key.trim()).json(&alert)).await?;
    assert_eq!(status, 202);
    let frame = other.next().await?;
    assert_eq!((&frame["alert"]["title"], &frame["seq"]), (&alert["title"], &json!(1)));
    fleet.send(&to("ben", "For ben")).await?;
    let frame = ben.next().await?;
    assert_eq!((&frame["alert"]["title"], &frame["seq"]), (&json!("For ben"), &json!(1)));

    let inbox = fleet.inbox("ana").await?;
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        (&inbox[0]["alert"]["title"], &inbox[0]["state"], &inbox[0]["seq"]),
        (&json!("For ana of the first tenant"), &json!("new"), &json!(1))
    );
    for path in ["/v1/alerts/same", "/v1/alerts/same/timeline"] {
        let (_, seen) = fleet.producer(Method::GET, path, None).await?;
        assert!(!seen.to_string().contains("other tenant"), "{path}: {seen}");
    }
    let own = fleet.http().get(format!("{}/v1/alerts/same", fleet.url("ingest")?));
    let (_, seen) = answer(own.bearer_auth(other_key.trim())).await?;
    assert!(!seen.to_string().contains("first tenant"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn nobody_sees_or_touches_what_is_behind_another_wall() {
    walls_hold(Engine::Embedded).await.unwrap();
    walls_hold(Engine::Services).await.unwrap();
}

async fn sessions_see_each_others_receipts(engine: Engine) -> anyhow::Result<()> {
    let fleet = quiet(engine).await?;
    let mut tab = fleet.session("socket-1", "ana", None).await?;
    let mut phone = fleet.session("socket-2", "ana", None).await?;
    let id = fleet.send(&to("ana", "Disk full")).await?;
    for session in [&mut tab, &mut phone] {
        session.next_of("alert").await?;
    }
    let receipt = |state: &str| json!({"type": "receipt", "alerts": [id], "state": state, "op": state});
    // Delivered is about the delivery and changes no inbox: the next number is that of `seen`.
    tab.say(&receipt("delivered")).await?;
    for (seq, state, unread) in [(2, "seen", 1), (3, "read", 0), (4, "unread", 1), (5, "dismissed", 0)] {
        let (speaker, listener) = if seq % 2 == 0 { (&mut tab, &mut phone) } else { (&mut phone, &mut tab) };
        speaker.say(&receipt(state)).await?;
        let expected = json!([seq, [id], state, unread, speaker.hello["session"], state]);
        for session in [speaker, listener] {
            let frame = session.next().await?;
            assert_eq!(frame["type"], "receipt", "{frame}");
            let told = ["seq", "alerts", "state", "unread", "by", "op"].map(|field| frame[field].clone());
            assert_eq!(json!(told), expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_sessions_see_each_others_receipts() {
    sessions_see_each_others_receipts(Engine::Embedded).await.unwrap();
    sessions_see_each_others_receipts(Engine::Services).await.unwrap();
}

/// The broker is a hint to sessions: whatever it loses, they have soon after, from the store (I3).
#[tokio::test]
async fn sessions_are_healed_after_the_broker_lost_what_was_meant_for_them() {
    let dir = Scratch::new("healed").unwrap();
    let rabbit = RabbitNode::start(dir.path()).await.unwrap();
    let store = services::postgres().await.unwrap().fresh_database("healed").await.unwrap();
    let urls = Urls { broker: rabbit.url(), store };
    let no_pings = [("WATCHBELL__SOCKET__PING_EVERY", "10m")];
    let fleet = Fleet::start_services(urls, (600_000, 600_000), &no_pings).await.unwrap();
    healed_after_a_pause(&fleet, &rabbit).await.unwrap();
    healed_after_lost_connections(&fleet, &rabbit).await.unwrap();
}

async fn healed_after_a_pause(fleet: &Fleet, rabbit: &RabbitNode) -> anyhow::Result<()> {
    let mut sessions =
        [fleet.session("socket-1", "ana", None).await?, fleet.session("socket-2", "ana", None).await?];
    let id = fleet.send(&to("ana", "Before the pause")).await?;
    for session in &mut sessions {
        session.up_to(1).await?;
    }
    rabbit.pause();
    // Written to the store; what would tell the sessions goes nowhere.
    says(fleet, "ana", "seen", &[json!(id)]).await?;
    rabbit.resume();
    for session in &mut sessions {
        let frames = session.up_to(2).await?;
        assert_eq!(frames.len(), 1, "{frames:?}");
        // A live receipt if the broker still had it, else the alert as it is now.
        assert_eq!(frames[0]["state"], "seen");
    }
    Ok(())
}

async fn healed_after_lost_connections(fleet: &Fleet, rabbit: &RabbitNode) -> anyhow::Result<()> {
    let users = ["ben", "cleo", "dan"];
    let mut sessions = Vec::new();
    for user in users {
        for pod in ["socket-1", "socket-2"] {
            sessions.push(fleet.session(pod, user, None).await?);
        }
    }
    let alert = |number: u64| json!({"to": {"users": users}, "id": format!("lost-{number}"), "title": "t"});
    for number in 1..=60 {
        if number % 20 == 10 {
            rabbit.ctl(&["close_all_connections", "a test"]).await?;
        }
        until("the alert to be accepted", DEADLINE, async || fleet.send(&alert(number)).await.ok()).await?;
    }
    for session in &mut sessions {
        let frames = session.up_to(60).await?;
        let seqs: Vec<u64> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=60).collect::<Vec<_>>(), "every change once, in order");
        let ids: BTreeSet<&str> = frames.iter().filter_map(|frame| frame["alert"]["id"].as_str()).collect();
        assert_eq!(ids.len(), 60, "every alert once");
    }
    Ok(())
}
