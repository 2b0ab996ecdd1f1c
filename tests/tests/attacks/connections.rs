//! A stranger who has nothing but connections: idle, slow, deaf, or half open. Each of these kinds once filled a process
//! until nobody else was served, its probes neither, so that it was restarted with all of its sessions.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::TcpStream,
    time::timeout,
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    ports,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
const QUIET: (u64, u64) = (600_000, 600_000);
/// Places of the process.
const PLACES: usize = 8;
/// Longer than this test, so that places are not had by waiting.
const LONG: &str = "5m";

struct Attacked {
    fleet: Fleet,
    /// `host:port` for users and producers.
    address: String,
    operations: String,
}

impl Attacked {
    async fn begin(env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let operations = format!("127.0.0.1:{}", ports::free()?);
        let places = PLACES.to_string();
        let own = [
            ("WATCHBELL__HTTP__OPERATIONS_LISTEN", operations.as_str()),
            ("WATCHBELL__HTTP__CONNECTIONS_MAX", places.as_str()),
            ("WATCHBELL__SOCKET__UNSIGNED_MAX", "8"),
        ];
        let fleet = Fleet::start(Engine::Embedded, QUIET, &[&own[..], env].concat()).await?;
        let address = fleet.url("up")?.trim_start_matches("http://").to_owned();
        Ok(Self { fleet, address, operations })
    }

    async fn connection(&self, said: &[u8]) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(said).await?;
        Ok(stream)
    }

    /// What honest people want: the probe, an alert, and a session.
    async fn serves(&self) -> anyhow::Result<()> {
        let probe = format!("http://{}/readyz", self.operations);
        let ready = timeout(DEADLINE, self.fleet.http().get(&probe).send()).await.context("the probe")??;
        ensure!(ready.status() == 200, "the probe: {}", ready.status());
        let alert = json!({"to": {"users": ["ana"]}, "title": "t"});
        timeout(DEADLINE, self.fleet.send(&alert)).await.context("the alert")??;
        let session =
            timeout(DEADLINE, self.fleet.session("up", "ana", None)).await.context("a session")??;
        ensure!(session.hello["user"] == "ana");
        Ok(())
    }
}

/// More connections than there are places, of a kind.
async fn flood(attacked: &Attacked, said: &[u8], answered: bool) -> anyhow::Result<Vec<TcpStream>> {
    let mut all = Vec::new();
    for _ in 0..PLACES * 4 {
        let mut stream = attacked.connection(said).await?;
        if answered {
            ensure!(stream.read(&mut [0; 4096]).await? > 0, "it is answered");
        }
        all.push(stream);
    }
    Ok(all)
}

#[tokio::test]
async fn whoever_holds_connections_does_not_shut_others_out() -> anyhow::Result<()> {
    let patient = ["HEAD_TIMEOUT", "BODY_TIMEOUT", "STALL_TIMEOUT"]
        .map(|name| (format!("WATCHBELL__HTTP__{name}"), LONG));
    let env: Vec<(&str, &str)> = patient.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let env = [&env[..], &[("WATCHBELL__SOCKET__AUTH_TIMEOUT", LONG)]].concat();
    let attacked = Attacked::begin(&env).await?;
    let token = attacked.fleet.token("eve")?;
    let body = format!(
        "POST /v1/inbox/receipts HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    let websocket = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (kind, said, answered) in [
        ("idle", "GET /asyncapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), true),
        ("nothing said", String::new(), false),
        ("half a head", "GET /asyncapi.json HT".to_owned(), false),
        ("half a body", body, false),
        (
            "answers that are never read",
            "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400),
            false,
        ),
        ("half-open sessions", websocket.to_owned(), true),
    ] {
        let held = flood(&attacked, said.as_bytes(), answered).await.context(kind)?;
        attacked.serves().await.context(kind)?;
        drop(held);
    }
    Ok(())
}

/// Those who are honest and only wait hold no place, however many they are.
#[tokio::test]
async fn polls_that_wait_hold_no_place() -> anyhow::Result<()> {
    let env = [
        ("WATCHBELL__SOCKET__SESSIONS_PER_USER_MAX", "1000"),
        ("WATCHBELL__SOCKET__POLLS_MAX", "16"),
        ("WATCHBELL__SOCKET__REBALANCE_EVERY", "2s"),
    ];
    let attacked = Attacked::begin(&env).await?;
    let (status, frames) = attacked.fleet.user("ben", reqwest::Method::GET, "/v1/poll", None).await?;
    ensure!(status == 200, "{frames}");
    let cursor = frames[0]["cursor"].as_str().context("a cursor")?;
    let token = attacked.fleet.token("ben")?;
    let poll = format!(
        "GET /v1/poll?wait=50&cursor={cursor} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let mut waiting = Vec::new();
    while waiting.len() < 2 * PLACES {
        for _ in 0..PLACES {
            waiting.push(attacked.connection(poll.as_bytes()).await?);
        }
        until("the polls to wait", DEADLINE, async || {
            let sessions = attacked.fleet.metric("up", "watchbell_socket_sessions").await?;
            (sessions == waiting.len() as f64).then_some(())
        })
        .await?;
    }
    attacked.serves().await?;
    let again = format!("/v1/poll?cursor={cursor}");
    let (status, problem) = attacked.fleet.user("ben", reqwest::Method::GET, &again, None).await?;
    ensure!(status == 503, "they have a bound of their own: {status} {problem}");
    attacked.fleet.send(&json!({"to": {"users": ["ben"]}, "title": "told to all"})).await?;
    for mut stream in waiting {
        let mut answer = [0; 4096];
        let read = timeout(DEADLINE, stream.read(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("told to all"), "{answer}");
    }
    Ok(())
}

/// Without anybody who wants its place, too: 400 answers that nobody read once stood in the system's memory for ever.
#[tokio::test]
async fn a_peer_that_does_not_keep_up_is_cut_off() -> anyhow::Result<()> {
    let env = [
        ("WATCHBELL__HTTP__HEAD_TIMEOUT", "1s"),
        ("WATCHBELL__HTTP__BODY_TIMEOUT", "1s"),
        ("WATCHBELL__HTTP__STALL_TIMEOUT", "1s"),
    ];
    let attacked = Attacked::begin(&env).await?;
    let never_reads = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400);
    let stream = attacked.connection(never_reads.as_bytes()).await?;
    timeout(DEADLINE, stream.ready(Interest::ERROR)).await.context("answers that are never read")??;
    for (why, said, status) in [
        ("half a head", "GET /asyncapi.json HT".to_owned(), ""),
        (
            "half a body",
            format!(
                "POST /v1/alerts HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{{\r\n",
                attacked.fleet.key()
            ),
            "408",
        ),
    ] {
        let mut stream = attacked.connection(said.as_bytes()).await?;
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.context(why)??;
        ensure!(answer.get(9..12).unwrap_or_default() == status, "{why}: {answer}");
    }
    Ok(())
}

/// What is between two programs must not take one request for two, or an answer for a stream.
#[tokio::test]
async fn a_request_means_one_thing() -> anyhow::Result<()> {
    let attacked = Attacked::begin(&[]).await?;
    let token = attacked.fleet.token("ana")?;
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (why, said, status) in [
        ("HEAD of a stream", format!("HEAD /v1/sse?token={token} HTTP/1.1\r\nhost: localhost\r\n"), "405"),
        ("HEAD of a poll", format!("HEAD /v1/poll?token={token} HTTP/1.1\r\nhost: localhost\r\n"), "405"),
        (
            "a WebSocket over HTTP/1.0",
            format!("GET /v1/ws HTTP/1.0\r\nhost: localhost\r\n{websocket}"),
            "400",
        ),
        ("no host", "GET /asyncapi.json HTTP/1.1\r\n".to_owned(), "400"),
        ("two hosts", "GET /asyncapi.json HTTP/1.1\r\nhost: localhost\r\nhost: other\r\n".to_owned(), "400"),
        (
            "two hosts, at an address that is not there",
            "GET / HTTP/1.1\r\nhost: localhost\r\nhost: other\r\n".to_owned(),
            "400",
        ),
        ("probes are not for users", "GET /metrics HTTP/1.1\r\nhost: localhost\r\n".to_owned(), "404"),
    ] {
        let mut stream = attacked.connection(format!("{said}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let read = timeout(DEADLINE, stream.read(&mut answer)).await.context(why)??;
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        ensure!(answer.get(9..12).unwrap_or_default() == status, "{why}: {answer}");
    }
    Ok(())
}
