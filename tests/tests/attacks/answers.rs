//! Clients that ask for the longest answers and do not read them: what a process holds for them is bounded in bytes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use watchbell_tests::{
    client::Transport,
    fleet::{Engine, Fleet},
    requests::answer,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
const QUIET: (u64, u64) = (600_000, 600_000);
/// Beside an event or an alert of 60 KB.
const LONG: usize = 60_000;
/// What an answer of one page may have: 1 MiB of what alerts or events say, and what stands around them.
const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024 / 2;

/// Memory of the process that is in use, in bytes.
fn memory_of(pid: u32) -> anyhow::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Publishes so many events of 60 KB on a topic that keeps them all, and waits for the last.
async fn keep_long_events(fleet: &Fleet, topic: &str, events: usize) -> anyhow::Result<()> {
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "log", "keep": 1_000, "data": {"text": "x".repeat(LONG)}});
    let all: Vec<Value> = (0..events).map(event).collect();
    for hundred in all.chunks(100) {
        let (status, said) = fleet
            .producer(reqwest::Method::POST, &format!("/v1/topics/{topic}/events"), Some(&json!(hundred)))
            .await?;
        ensure!(status == 202, "{status} {said}");
    }
    let token = fleet.grant("ana", &["*"], jiff::SignedDuration::from_hours(1))?;
    let url = format!("{}/v1/topics/{topic}/events?limit=1", fleet.url("socket-1")?);
    let last = format!("e{}", events - 1);
    until("the last event to be kept", DEADLINE, async || {
        let (_, kept) = answer(fleet.http().get(&url).bearer_auth(&token)).await.ok()?;
        (kept["events"][0]["id"] == last.as_str()).then_some(())
    })
    .await
}

/// A client that asks for this many times in a row and does not read more than that something was answered.
async fn asks_and_does_not_read(
    base: &str,
    path: &str,
    token: &str,
    times: usize,
) -> anyhow::Result<TcpStream> {
    let authority = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.repeat(times).as_bytes()).await?;
    timeout(DEADLINE, stream.peek(&mut [0; 16])).await.context("nothing was answered")??;
    Ok(stream)
}

#[tokio::test]
async fn twenty_readers_who_never_read_hold_little_memory() {
    let mut fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap();
    keep_long_events(&fleet, "monitor:big", 300).await.unwrap();
    let pid = fleet.worker("up").unwrap().pid();
    let before = memory_of(pid).unwrap();
    let base = fleet.url("socket-1").unwrap();
    let token = fleet.grant("eve", &["monitor:*"], jiff::SignedDuration::from_hours(1)).unwrap();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let path = "/v1/topics/monitor:big/events?limit=1000";
        readers.push(asks_and_does_not_read(&base, path, &token, 1).await.unwrap());
    }
    let asks = fleet.asks("mallory", &["monitor:*"]).unwrap().topics(&["monitor:big"]);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        // Greeted, and then it does not read the snapshot.
        sessions.push(fleet.client(Transport::WebSocket, "socket-1", &asks).await.unwrap());
    }
    let grown = memory_of(pid).unwrap().saturating_sub(before);
    assert!(grown < 128 * 1024 * 1024, "{} MiB for 30 readers", grown / 1024 / 1024);
}

/// With the smallest budget, of which one user has a quarter: who does not read is told to come again, and others are
/// answered. With the whole of it taken, they are once it is given back.
#[tokio::test]
async fn answers_that_nobody_takes_are_bounded_for_each_user_and_for_all() {
    // Nobody is cut off meanwhile for taking nothing.
    let env = [("WATCHBELL__HTTP__ANSWER_BYTES_MAX", "8388608"), ("WATCHBELL__HTTP__STALL_TIMEOUT", "5m")];
    let fleet = Fleet::start(Engine::Embedded, QUIET, &env).await.unwrap();
    keep_long_events(&fleet, "monitor:big", 20).await.unwrap();
    let base = fleet.url("socket-1").unwrap();
    let token = |user: &str| fleet.grant(user, &["monitor:*"], jiff::SignedDuration::from_hours(1)).unwrap();
    let path = "/v1/topics/monitor:big/events?limit=1000";
    let asked = async |user: &str| {
        let request = fleet.http().get(format!("{base}{path}")).bearer_auth(token(user));
        let answer = request.timeout(DEADLINE).send().await.unwrap();
        let retry_after = answer.headers().get("retry-after").is_some();
        (answer.status().as_u16(), retry_after, answer.bytes().await.unwrap().len())
    };
    // The connection takes what the system buffers, and then holds one answer more.
    let fill = async |user: &str| asks_and_does_not_read(&base, path, &token(user), 40).await.unwrap();
    let mut held = vec![fill("eve").await];
    until("eve to have all that one user may have", DEADLINE, async || {
        (asked("eve").await.0 == 503).then_some(())
    })
    .await
    .unwrap();
    let (status, _, bytes) = asked("ana").await;
    assert_eq!(status, 200, "another user is answered");
    assert!((500_000..PAGE_BYTES_MAX).contains(&bytes), "{bytes} bytes: what fits of 20 events");
    // An answer has 1 MB, and whoever asks for one takes 2 MiB until its length is known.
    for other in 0..6 {
        held.push(fill(&format!("other-{other}")).await);
    }
    until("all of it to be taken", DEADLINE, async || {
        let (status, retry_after, _) = asked("ana").await;
        (status == 503 && retry_after).then_some(())
    })
    .await
    .unwrap();
    drop(held);
    until("ana to be answered again", DEADLINE, async || (asked("ana").await.0 == 200).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn pages_are_cut_by_bytes_and_lead_on() {
    const ALERTS: usize = 40;
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap();
    let names: Vec<String> = (0..ALERTS).map(|n| format!("a{n:02}")).collect();
    let alert = |id: &String| json!({"id": id, "to": {"users": ["ana"]}, "title": "Long", "data": {"text": "x".repeat(LONG)}});
    let all: Vec<Value> = names.iter().map(alert).collect();
    let (status, said) = fleet.publish(&json!(all)).await.unwrap();
    assert_eq!(status, 202, "{said}");
    let token = fleet.token("ana").unwrap();
    let base = fleet.url("socket-1").unwrap();
    let page = async |before: &Value| -> anyhow::Result<(usize, Value)> {
        let before = match before {
            Value::Null => String::new(),
            Value::String(text) => format!("&before={text}"),
            number => format!("&before={number}"),
        };
        let url = format!("{base}/v1/inbox?limit=200{before}");
        let answer = fleet.http().get(url).bearer_auth(&token).send().await?.error_for_status()?;
        let body = answer.bytes().await?;
        Ok((body.len(), serde_json::from_slice(&body)?))
    };
    until("the last alert to be there", DEADLINE, async || {
        (page(&Value::Null).await.ok()?.1["seq"] == ALERTS).then_some(())
    })
    .await
    .unwrap();
    let walk = async || {
        let (mut before, mut found, mut pages) = (Value::Null, Vec::new(), 0);
        loop {
            let (bytes, page) = page(&before).await.unwrap();
            assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes in one page");
            let ids = page["alerts"].as_array().unwrap().iter();
            found.extend(ids.map(|row| row["alert"]["id"].as_str().unwrap().to_owned()));
            pages += 1;
            before = page["next_before"].clone();
            if before.is_null() {
                return (found, pages);
            }
        }
    };
    let newest_first: Vec<String> = names.iter().rev().cloned().collect();
    let (found, pages) = walk().await;
    assert_eq!(found, newest_first, "each once, in order");
    assert!(pages >= 3, "{pages} pages");

    // All of them under one change number: no page may be longer for it, and a replay is a fresh start.
    let session =
        fleet.client(Transport::WebSocket, "socket-1", &fleet.asks("ana", &[]).unwrap()).await.unwrap();
    let cursor = session.hello()["cursor"].as_str().unwrap().to_owned();
    drop(session);
    let seen = json!({"alerts": names, "state": "seen"});
    let url = format!("{base}/v1/inbox/receipts");
    let (status, said) = answer(fleet.http().post(url).bearer_auth(&token).json(&seen)).await.unwrap();
    assert_eq!(status, 200, "{said}");
    assert_eq!(walk().await.0, names, "each once, by name within the change");
    let asks = fleet.asks("ana", &[]).unwrap().after(Some(&cursor));
    let mut resumed = fleet.client(Transport::WebSocket, "socket-1", &asks).await.unwrap();
    assert_eq!(resumed.next().await.unwrap()["type"], "resync", "more than a page is fetched as pages");
    let mut poll = fleet.client(Transport::Poll, "socket-1", &asks).await.unwrap();
    assert_eq!(poll.next().await.unwrap()["type"], "resync");
}
