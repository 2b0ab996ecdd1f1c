//! Clients that send little and cause much work: each line, fragment and name is charged for, and too many of them are
//! refused.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use watchbell_tests::{
    client::{Client, Transport},
    fleet::{Engine, Fleet},
    requests::answer,
    session::Frames,
};

const DEADLINE: Duration = Duration::from_secs(30);
const QUIET: (u64, u64) = (600_000, 600_000);
/// As many lines `{"type":"refresh"}` as a message of 16 KiB has.
const LINES: usize = 862;

async fn fleet() -> Fleet {
    Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap()
}

/// The frames that a client is sent before an alert that is published now.
async fn told_before_an_alert(
    fleet: &Fleet,
    user: &str,
    client: &mut impl Frames,
) -> anyhow::Result<Vec<Value>> {
    fleet.send(&json!({"to": {"users": [user]}, "title": "After it"})).await?;
    let mut told = Vec::new();
    loop {
        let frame = client.next().await?;
        if frame["type"] == "alert" {
            return Ok(told);
        }
        told.push(frame);
    }
}

fn count(frames: &[Value], kind: &str) -> usize {
    frames.iter().filter(|frame| frame["type"] == kind).count()
}

/// A bystander is served.
async fn is_served(fleet: &Fleet, user: &str) -> anyhow::Result<()> {
    let url = format!("{}/v1/inbox", fleet.url("socket-1")?);
    let (status, said) = answer(fleet.http().get(url).bearer_auth(fleet.token(user)?)).await?;
    ensure!(status == 200, "{status} {said}");
    Ok(())
}

/// Once: 862 reads of the store and 479 bytes sent for each that came.
#[tokio::test]
async fn a_message_full_of_refreshes_is_answered_once_a_second() {
    let fleet = fleet().await;
    for n in 0..50 {
        fleet.event("monitor:7", &json!({"id": format!("e{n}"), "type": "stats", "keep": 50})).await.unwrap();
    }
    let mut session = fleet.session("socket-1", "eve", None).await.unwrap();
    let token = fleet.grant("eve", &["monitor:*"], jiff::SignedDuration::from_hours(1)).unwrap();
    session.say(&json!({"type": "auth", "token": token})).await.unwrap();
    session.say(&json!({"type": "subscribe", "topic": "monitor:7"})).await.unwrap();
    session.next_of("snapshot").await.unwrap();
    session.say_raw(Message::text("{\"type\":\"refresh\"}\n".repeat(LINES))).await.unwrap();
    is_served(&fleet, "ana").await.unwrap();
    let told = told_before_an_alert(&fleet, "eve", &mut session).await.unwrap();
    // It takes as long as the alert does to come; the bound is far from what it once was.
    assert!(count(&told, "snapshot") <= 20, "{} snapshots", count(&told, "snapshot"));
    assert_eq!(
        session.closed().await.unwrap(),
        "closed 4104 too many messages",
        "862 lines are not one message"
    );
}

#[tokio::test]
async fn a_message_full_of_errors_ends_its_session() {
    let fleet = fleet().await;
    for (why, line) in [
        ("no JSON", "1\n"),
        ("no alerts", "{\"type\":\"receipt\"}\n"),
        ("no state that is known", "{\"type\":\"receipt\",\"alerts\":[\"a\"],\"state\":\"x\"}\n"),
        ("a topic that the token does not allow", "{\"type\":\"subscribe\",\"topic\":\"t\"}\n"),
    ] {
        let mut session = fleet.session("socket-1", "eve", None).await.unwrap();
        session.say_raw(Message::text(line.repeat(16_000 / line.len()))).await.unwrap();
        let mut errors = 0;
        let ended = loop {
            match session.next().await {
                Ok(frame) if frame["type"] == "error" => errors += 1,
                Ok(frame) => panic!("{why}: {frame}"),
                Err(ended) => break ended.to_string(),
            }
        };
        assert_eq!((errors, ended.as_str()), (10, "closed 4000 protocol"), "{why}");
    }
    is_served(&fleet, "ana").await.unwrap();
}

/// A client that makes a mistake now and then is told and goes on.
#[tokio::test]
async fn a_client_that_is_wrong_now_and_then_goes_on() {
    let fleet = fleet().await;
    let mut session = fleet.session("socket-1", "ana", None).await.unwrap();
    for _ in 0..12 {
        session.say(&json!({"type": "receipt", "alerts": [], "state": "seen"})).await.unwrap();
        assert_eq!(session.next_of("error").await.unwrap()["code"], "invalid_receipt");
    }
    assert_eq!(told_before_an_alert(&fleet, "ana", &mut session).await.unwrap(), [] as [Value; 0]);
}

/// A session as bytes: the handshake is done and `hello` has come.
async fn raw_session(fleet: &Fleet, user: &str) -> anyhow::Result<TcpStream> {
    let url = fleet.url("socket-1")?;
    let authority = url.trim_start_matches("http://");
    let socket = TcpSocket::new_v4()?;
    // What it is sent and does not read fills the server's buffers soon.
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(authority.parse()?).await?;
    let request = format!(
        "GET /v1/ws?token={} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        fleet.token(user)?
    );
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("\"hello\"") {
        let mut more = [0; 4_096];
        let read = timeout(DEADLINE, stream.read(&mut more)).await.context("no hello")??;
        ensure!(read > 0, "closed: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&more[..read]);
    }
    Ok(stream)
}

/// Once 395 million of them in 15 s, and 9.8 s of processor time. Each costs as much as a message, so what follows is not
/// read, and the session is closed.
#[tokio::test]
async fn empty_fragments_are_charged_and_not_read_for_ever() {
    const TAKEN_MAX: usize = 64 * 1024 * 1024;
    let fleet = fleet().await;
    let mut stream = raw_session(&fleet, "eve").await.unwrap();
    stream.write_all(&[0x01, 0x80, 0, 0, 0, 0]).await.unwrap();
    let fragments = [0x00, 0x80, 0, 0, 0, 0].repeat(10_000);
    let mut taken = 0;
    let ended = timeout(DEADLINE, async {
        while taken < TAKEN_MAX && stream.write_all(&fragments).await.is_ok() {
            taken += fragments.len();
        }
    });
    let (ended, served) = tokio::join!(ended, is_served(&fleet, "ana"));
    served.unwrap();
    ended.expect("the session is closed");
    assert!(taken < TAKEN_MAX, "{} MiB of nothing were read", taken / 1024 / 1024);
}

/// What is answered waits for a client that takes nothing, and while it waits nothing more is read of it: however much it may say, the
/// server holds a bounded part of it.
#[tokio::test]
async fn a_client_that_takes_no_answers_is_not_read() {
    const SAID_MAX: usize = 64 * 1024 * 1024;
    const STILL: Duration = Duration::from_secs(3);
    const PAYLOAD: usize = 100;
    let roomy = [("WATCHBELL__SOCKET__MESSAGES_PER_SECOND", "1000000")];
    let fleet = Fleet::start(Engine::Embedded, QUIET, &roomy).await.unwrap();
    let mut stream = raw_session(&fleet, "eve").await.unwrap();
    let ping = [&[0x89, 0x80 | PAYLOAD as u8, 0, 0, 0, 0][..], &[b'x'; PAYLOAD]].concat();
    let pings = ping.repeat(1_000);
    let mut said = 0;
    let is_waiting = loop {
        match timeout(STILL, stream.write(&pings[said % pings.len()..])).await {
            Ok(Ok(taken)) if said < SAID_MAX => said += taken,
            Ok(_) => break false,
            Err(_) => break true,
        }
    };
    assert!(is_waiting, "{} MiB of pings were read, or the session was ended", said / 1024 / 1024);
    is_served(&fleet, "ana").await.unwrap();
}

/// Each alert that a receipt names is a row to be looked at: receipts of 500 of them are ten messages each, over a session and over
/// HTTP. Whoever says a few is not kept waiting, and nobody else is.
#[tokio::test]
async fn receipts_are_charged_by_their_alerts() {
    let fleet = fleet().await;
    let names: Vec<String> = (0..500).map(|n| format!("a{n}")).collect();
    let many = json!({"alerts": names, "state": "seen"});
    let url = format!("{}/v1/inbox/receipts", fleet.url("socket-1").unwrap());
    let say = |user: &str, receipt: &Value| {
        let request = fleet.http().post(&url).bearer_auth(fleet.token(user).unwrap()).json(receipt);
        async move { request.send().await.unwrap() }
    };
    let answers = futures_util::future::join_all((0..40).map(|_| say("eve", &many))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert!(refused.len() >= 20, "40 receipts of 500 alerts: {} are refused", refused.len());
    assert!(refused.iter().all(|answer| answer.headers().contains_key("retry-after")));
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status().as_u16())));
    let few = json!({"alerts": ["a1"], "state": "seen"});
    for _ in 0..20 {
        assert_eq!(say("ana", &few).await.status(), 200);
    }

    let mut session = fleet.session("socket-1", "ben", None).await.unwrap();
    let receipt = json!({"type": "receipt", "alerts": names, "state": "seen"});
    for _ in 0..16 {
        session.say(&receipt).await.unwrap();
    }
    assert_eq!(session.closed().await.unwrap(), "closed 4104 too many messages");
    is_served(&fleet, "ana").await.unwrap();
}

/// Thousands of names in an address, of which a session may have 64.
#[tokio::test]
async fn thousands_of_topics_get_one_complaint() {
    let fleet = fleet().await;
    let names: Vec<String> = (0..2_000).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (why, allowed, errors) in
        [("all of them allowed", &["t*"][..], 1..=1), ("none of them", &[][..], 2..=12)]
    {
        for transport in [Transport::Sse, Transport::WebSocket] {
            let asks = fleet.asks("eve", allowed).unwrap().topics(&names);
            let mut client: Client = fleet.client(transport, "socket-1", &asks).await.unwrap();
            let told = told_before_an_alert(&fleet, "eve", &mut client).await.unwrap();
            let found = count(&told, "error");
            assert!(errors.contains(&found), "{why}, {transport:?}: {found} errors");
            assert!(count(&told, "snapshot") <= 64, "{why}, {transport:?}");
        }
    }
}
