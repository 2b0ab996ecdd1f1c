//! What a pod bounds, whom it lets in, and how it leaves (I9, I10).

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use reqwest::{Method, header};
use serde_json::{Value, json};
use watchbell_tests::{
    client::{Asks, Client, Transport},
    fleet::{Engine, Fleet},
    session::{Frames as _, Session},
    sse::SseSession,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);
const QUIET: (u64, u64) = (600_000, 600_000);
/// Alerts of 60 KB that nobody reads.
const LARGE: u64 = 300;
/// A page of another host that may connect.
const PAGE: &str = "https://app.example.com";

async fn bounds(engine: Engine) -> anyhow::Result<()> {
    let env = [
        ("WATCHBELL__HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("WATCHBELL__SOCKET__SESSIONS_PER_ADDRESS_MAX", "2"),
        ("WATCHBELL__SOCKET__ALLOWED_ORIGINS", PAGE),
        ("WATCHBELL__SOCKET__AGE_MAX", "1s"),
    ];
    let fleet = Fleet::start(engine, QUIET, &env).await?;
    grows_old(&fleet).await?;
    an_address_has_its_share(&fleet).await?;
    pages_of_other_hosts(&fleet).await
}

#[tokio::test]
async fn a_pod_bounds_what_anybody_may_ask_of_it() {
    let (embedded, services) = tokio::join!(bounds(Engine::Embedded), bounds(Engine::Services));
    embedded.unwrap();
    services.unwrap();
}

/// Asked to move, told everything until then, and closed at the end of the window.
async fn grows_old(fleet: &Fleet) -> anyhow::Result<()> {
    let asks = fleet.asks("old", &[])?;
    let (mut ws, mut sse) = (
        fleet.client(Transport::WebSocket, "socket-1", &asks).await?,
        fleet.client(Transport::Sse, "socket-1", &asks).await?,
    );
    for client in [&mut ws, &mut sse] {
        let goaway = client.next_of("goaway").await?;
        assert_eq!(
            json!([goaway["reason"], goaway["after_ms"], goaway["within_ms"]]),
            json!(["rebalance", 0, 8_000])
        );
    }
    fleet.send(&json!({"to": {"users": ["old"]}, "title": "Between"})).await?;
    for client in [&mut ws, &mut sse] {
        assert_eq!(client.next().await?["alert"]["title"], "Between");
        assert_eq!(client.closed().await?, "closed 4201 rebalance");
    }
    Ok(())
}

async fn an_address_has_its_share(fleet: &Fleet) -> anyhow::Result<()> {
    let from = |user: &str, address: &str| -> anyhow::Result<Asks> {
        Ok(fleet.asks(user, &[])?.header("x-forwarded-for", address))
    };
    let mut held = Vec::new();
    for (user, transport) in [("ana", Transport::WebSocket), ("ben", Transport::Sse)] {
        held.push(fleet.client(transport, "socket-1", &from(user, "93.184.215.14")?).await?);
    }
    for (transport, expected) in [
        (Transport::WebSocket, "closed 4101"),
        (Transport::Sse, "answered 429"),
        (Transport::Poll, "answered 429"),
    ] {
        let refused = fleet.client(transport, "socket-1", &from("cem", "93.184.215.14")?).await.err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.starts_with(expected), "{transport:?}: {refused}");
        fleet.client(transport, "socket-1", &from("cem", "93.184.215.15")?).await?;
    }
    held.pop();
    until("the place to be free", DEADLINE, async || {
        fleet.client(Transport::Sse, "socket-1", &from("cem", "93.184.215.14").ok()?).await.ok()
    })
    .await?;
    Ok(())
}

/// Ten a second, thirty at once. Embedded alone: no engine has a part in it, and it takes its ten seconds.
#[tokio::test]
async fn who_talks_too_much_is_heard_slowly_and_then_closed() {
    let fleet = Fleet::start(Engine::Embedded, (60_000, 60_000), &[]).await.unwrap();
    who_talks_too_much_is_closed(&fleet).await.unwrap();
}

async fn who_talks_too_much_is_closed(fleet: &Fleet) -> anyhow::Result<()> {
    let mut session = fleet.session("socket-1", "dora", None).await?;
    for _ in 0..28 {
        session.say(&json!({"type": "pong", "seq": 0})).await?;
    }
    session.say(&json!({"type": "receipt", "alerts": [], "state": "seen"})).await?;
    assert_eq!(session.next_of("error").await?["code"], "invalid_receipt", "so many are heard");
    // More than thirty is heard as well, only later.
    for _ in 0..20 {
        session.say(&json!({"type": "pong", "seq": 0})).await?;
    }
    session.say(&json!({"type": "receipt", "alerts": [], "state": "seen"})).await?;
    assert_eq!(session.next_of("error").await?["code"], "invalid_receipt", "nothing is lost");
    for _ in 0..1_000 {
        // It may be closed already.
        let _ = session.say(&json!({"type": "pong", "seq": 0})).await;
    }
    assert_eq!(session.closed().await?, "closed 4104 too many messages");
    Ok(())
}

async fn pages_of_other_hosts(fleet: &Fleet) -> anyhow::Result<()> {
    let base = fleet.url("socket-1")?;
    for transport in Transport::ALL {
        let evil = fleet.asks("eve", &[])?.header("origin", "https://evil.example");
        let refused = fleet.client(transport, "socket-1", &evil).await.err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.starts_with("answered 403"), "{transport:?}: {refused}");
        let named = fleet.asks("eve", &[])?.header("origin", PAGE);
        fleet.client(transport, "socket-1", &named).await?;
    }
    let named = fleet.asks("eve", &[])?.header("origin", PAGE);
    let stream = SseSession::open(&format!("{base}/v1/sse"), &named).await?;
    assert_eq!(stream.header("access-control-allow-origin"), Some(PAGE), "and the page may read it");

    for (origin, path, allowed) in [
        (PAGE, "/v1/inbox/receipts", Some(PAGE)),
        (PAGE, "/v1/devices/phone", Some(PAGE)),
        ("https://evil.example", "/v1/inbox/receipts", None),
    ] {
        let preflight = fleet
            .http()
            .request(Method::OPTIONS, format!("{base}{path}"))
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type");
        let answer = preflight.send().await?;
        let said = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(said(header::ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin} {path}");
        if allowed.is_some() {
            let headers = said(header::ACCESS_CONTROL_ALLOW_HEADERS).unwrap_or_default().to_lowercase();
            assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
            assert_eq!(said(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
        }
    }
    Ok(())
}

/// PROXY protocol, version 2: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. TCP over IPv4.
fn proxied(from: [u8; 4]) -> Vec<u8> {
    let addresses = [&from[..], &[10, 0, 0, 1, 0x12, 0x34, 0, 80]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

/// A balancer at 127.0.0.2 says who the client is; anybody else speaks for themselves.
#[tokio::test]
async fn a_balancer_that_passes_bytes_through_is_believed() {
    let env = [
        ("WATCHBELL__HTTP__TRUSTED_PROXIES", "127.0.0.2"),
        ("WATCHBELL__HTTP__CLIENT_ADDRESS", "proxy-protocol"),
        ("WATCHBELL__SOCKET__SESSIONS_PER_ADDRESS_MAX", "1"),
    ];
    let fleet = Fleet::start(Engine::Embedded, QUIET, &env).await.unwrap();
    let balancer = Some("127.0.0.2".parse().unwrap());
    let through = |preface: Vec<u8>| Asks { from: balancer, preface, ..fleet.asks("ana", &[]).unwrap() };
    let first = through(proxied([93, 184, 215, 14]));
    let _held = fleet.client(Transport::WebSocket, "socket-1", &first).await.unwrap();
    let refused = fleet.client(Transport::Sse, "socket-1", &first).await.err().unwrap().to_string();
    assert!(refused.starts_with("answered 429"), "{refused}");
    fleet.client(Transport::Sse, "socket-1", &through(proxied([93, 184, 215, 15]))).await.unwrap();
    assert!(
        fleet.client(Transport::Sse, "socket-1", &through(Vec::new())).await.is_err(),
        "no header, no session"
    );
    let claims = fleet.asks("ana", &[]).unwrap().header("x-forwarded-for", "93.184.215.14");
    fleet.client(Transport::Sse, "socket-1", &claims).await.expect("whoever is no proxy is not believed");
}

/// I10: each is asked to move at a time of its own, and is told everything until it is closed.
async fn leaves_gracefully(engine: Engine) -> anyhow::Result<()> {
    let env = [("WATCHBELL__SOCKET__DRAIN_WINDOW", "4s"), ("WATCHBELL__HTTP__LEAVE_WAIT", "0s")];
    let mut fleet = Fleet::start(engine, QUIET, &env).await?;
    // One process alone has no other pod to move people to, so it leaves in half a second.
    let (pod, slice_ms) = match engine {
        Engine::Embedded => ("up", 100),
        Engine::Services => ("socket-1", 800),
    };
    let mut sessions: Vec<Session> = Vec::new();
    for number in 0..6 {
        sessions.push(fleet.session("socket-1", &format!("user-{number}"), None).await?);
    }
    let sse = fleet.client(Transport::Sse, "socket-1", &fleet.asks("user-0", &[])?).await?;
    fleet.worker(pod)?.terminate();
    let goaways = join_all(sessions.iter_mut().map(|session| session.next_of("goaway"))).await;
    let goaways = goaways.into_iter().collect::<anyhow::Result<Vec<Value>>>()?;
    let windows: HashSet<u64> = goaways.iter().filter_map(|goaway| goaway["after_ms"].as_u64()).collect();
    assert_eq!(windows.len(), sessions.len(), "each its own slice: {goaways:?}");
    assert!(
        goaways.iter().all(|goaway| goaway["reason"] == "drain" && goaway["within_ms"] == slice_ms),
        "{goaways:?}"
    );

    let told = |mut client: Client| async move {
        client.next_of("goaway").await?;
        client.closed().await
    };
    let late = async {
        if engine == Engine::Services {
            let users: Vec<String> = (0..6).map(|number| format!("user-{number}")).collect();
            fleet.send(&json!({"to": {"users": users}, "title": "Late"})).await?;
        }
        anyhow::Ok(())
    };
    let ends = join_all(sessions.iter_mut().map(async |session| {
        let mut titles = Vec::new();
        loop {
            match session.next().await {
                Ok(frame) => titles.push(frame["alert"]["title"].clone()),
                Err(error) => return (titles, error.to_string()),
            }
        }
    }));
    let (sent, ends, streamed) = tokio::join!(late, ends, told(sse));
    sent?;
    let expected: &[&str] = if engine == Engine::Services { &["Late"] } else { &[] };
    for (titles, end) in ends {
        assert_eq!(
            (titles.as_slice(), end.as_str()),
            (json!(expected).as_array().unwrap().as_slice(), "closed 4200 drain")
        );
    }
    assert_eq!(streamed?, "closed 4200 drain");
    let left = fleet.worker(pod)?.wait_exit(DEADLINE).await?;
    assert!(left.success(), "{left}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_leaves_asks_each_to_move_and_tells_them_everything_until_then() {
    let (embedded, services) =
        tokio::join!(leaves_gracefully(Engine::Embedded), leaves_gracefully(Engine::Services));
    embedded.unwrap();
    services.unwrap();
}

/// A laptop that was shut, and a page that is open and does not read.
#[tokio::test]
async fn who_neither_answers_nor_reads_is_closed() {
    let env = [
        ("WATCHBELL__SOCKET__PING_EVERY", "500ms"),
        ("WATCHBELL__SOCKET__WRITE_TIMEOUT", "2s"),
        ("WATCHBELL__SOCKET__BACKLOG_FRAMES_MAX", "3"),
        ("WATCHBELL__SOCKET__MESSAGE_BYTES_MAX", "12288"),
    ];
    let fleet = Fleet::start(Engine::Embedded, QUIET, &env).await.unwrap();
    let mut long = fleet.session("socket-1", "cai", None).await.unwrap();
    long.say(&json!({"type": "of a later version", "filler": "x".repeat(12_000)})).await.unwrap();
    long.say(&json!({"type": "of a later version", "filler": "x".repeat(12_288)})).await.unwrap();
    assert!(long.closed().await.unwrap().starts_with("closed 4000"), "longer than a message may be here");
    let _silent = fleet.session("socket-1", "ana", None).await.unwrap();
    let _deaf = fleet.client(Transport::Sse, "socket-1", &fleet.asks("ben", &[]).unwrap()).await.unwrap();
    // More than the buffers of both systems take.
    let large = json!({"to": {"users": ["ben"]}, "title": "t", "data": {"filler": "x".repeat(60_000)}});
    for _ in 0..LARGE {
        fleet.send(&large).await.unwrap();
    }
    for (reason, line) in [
        ("no pong", "watchbell_socket_closes_total{reason=\"no pong\"}"),
        ("slow", "watchbell_socket_closes_total{reason=\"slow\"}"),
        ("a backlog that was dropped", "watchbell_socket_overflows_total"),
    ] {
        until(reason, DEADLINE, async || (fleet.metric("up", line).await? >= 1.0).then_some(()))
            .await
            .unwrap();
    }
    let back = fleet.session("socket-1", "ben", None).await.unwrap();
    assert_eq!(back.hello["seq"], LARGE, "and nothing is lost");
}
