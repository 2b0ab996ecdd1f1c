//! What is measured.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, future::try_join_all, stream};
use tokio::time::Instant;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use super::{
    client::{Client, Kind, PATIENCE, open_many},
    floor::Floor,
    server::{self, STUFFED, TOPIC},
};

/// Sessions that are opened at a time, where it is not the opening that is measured.
const GENTLY: usize = 64;
/// The same, where it is.
const AT_ONCE: usize = 512;
/// Events that are not counted: Linux acknowledges each of the first 16 segments of a connection at once, which the
/// sender's core pays for, and later ones together.
const WARM_UP: usize = 20;
/// Events of which the one in the middle counts.
const ROUNDS: usize = 21;
/// Sessions that a pod lets begin a second in a stampede: as if not said.
const ACCEPTS_PER_SECOND: &str = "2000";
/// Events that only those get who never read, and their bytes: more than the kernel takes for anybody.
const STUFFING: usize = 100;
const STUFFING_BYTES: usize = 60_000;
/// Bytes of an event beside its envelope.
const PADDING: usize = 200;

/// Bytes that an idle session costs the server's process: WebSocket, SSE, and a bare socket.
pub async fn memory(sessions: usize) -> anyhow::Result<()> {
    let floor = Floor::start()?;
    let nobody = vec![String::new(); sessions];
    let bare = per_session(&floor.address, floor.pid(), Kind::Bare, &nobody).await?;
    println!("memory: bare socket {bare:.0} bytes each, {sessions} of them");
    for (name, kind) in [("WebSocket", Kind::Ws), ("SSE", Kind::Sse)] {
        let mut fleet = server::start(Engine::Embedded).await?;
        let pid = fleet.worker("up")?.pid();
        let bytes =
            per_session(&server::address(&fleet, "up")?, pid, kind, &server::tokens(&fleet, sessions)?)
                .await?;
        println!("memory: {name} session {bytes:.0} bytes each, {:.2} times a bare socket", bytes / bare);
    }
    Ok(())
}

async fn per_session(address: &str, pid: u32, kind: Kind, tokens: &[String]) -> anyhow::Result<f64> {
    // What is made once, is made.
    drop(open_many(address, kind, &tokens[..tokens.len().min(500)], "", GENTLY).await?);
    let before = server::resident(pid).await?;
    let open = open_many(address, kind, tokens, "", GENTLY).await?;
    let after = server::resident(pid).await?;
    Ok((after as f64 - before as f64) / open.len() as f64)
}

/// Sessions a second, from connecting to `hello`, authenticated and level.
pub async fn accepts(sessions: usize) -> anyhow::Result<()> {
    let floor = Floor::start()?;
    let began = Instant::now();
    let open = open_many(&floor.address, Kind::Bare, &vec![String::new(); sessions], "", AT_ONCE).await?;
    let bare = per_second(open.len(), began.elapsed());
    drop(open);
    for (whose, users) in [("each of another user", sessions), ("all of one user", 1)] {
        let fleet = server::start(Engine::Embedded).await?;
        let (address, known) = (server::address(&fleet, "up")?, server::tokens(&fleet, users)?);
        let tokens: Vec<String> = known.iter().cycle().take(sessions).cloned().collect();
        drop(open_many(&address, Kind::Ws, &tokens[..500.min(sessions)], "", GENTLY).await?);
        let began = Instant::now();
        let waits = joins(&address, &tokens).await?;
        let ours = per_second(sessions, began.elapsed());
        println!(
            "accepts: {ours:.0} sessions/s, {whose}, authenticated and level, each in {:?} (p50), {:?} (p99), {AT_ONCE} at once; connections alone {bare:.0}/s: {:.2}",
            waits[waits.len() / 2],
            waits[waits.len() * 99 / 100],
            ours / bare,
        );
    }
    Ok(())
}

/// Opens a session with each token and keeps it until the last is open. How long each took, in order.
async fn joins(address: &str, tokens: &[String]) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::with_capacity(tokens.len());
    let opening = tokens.iter().map(async |token| {
        let from = Instant::now();
        let client = Client::open(address, Kind::Ws, token, "").await;
        (client, from.elapsed())
    });
    let mut opening = std::pin::pin!(stream::iter(opening).buffer_unordered(AT_ONCE));
    let mut open = Vec::with_capacity(tokens.len());
    while let Some((client, wait)) = opening.next().await {
        open.push(client?);
        waits.push(wait);
    }
    waits.sort_unstable();
    Ok(waits)
}

/// One event to everybody, again and again; and two at a time.
pub async fn fanout(sessions: usize) -> anyhow::Result<()> {
    for at_once in [1, 2] {
        let bare = bare_fanout(sessions, at_once).await?;
        println!("fanout: {at_once} at a time: bare loop {bare} to {sessions} sockets");
        for (name, kind) in [("WebSocket", Kind::Ws), ("SSE", Kind::Sse)] {
            let mut fleet = server::start(Engine::Embedded).await?;
            let mut clients = subscribed(&fleet, kind, sessions, TOPIC).await?;
            let ours = rounds(&mut fleet, &mut clients, at_once).await?;
            println!(
                "fanout: {at_once} at a time: {name} {ours}: {:.2} of the loop's deliveries/s, {:.2} by processor time",
                ours.per_second / bare.per_second,
                bare.cpu.as_secs_f64() / ours.cpu.as_secs_f64()
            );
        }
    }
    Ok(())
}

async fn bare_fanout(sessions: usize, at_once: usize) -> anyhow::Result<Fanout> {
    let mut floor = Floor::start()?;
    let mut clients =
        open_many(&floor.address, Kind::Bare, &vec![String::new(); sessions], "", GENTLY).await?;
    let (mut taken, mut before) = (Vec::new(), Duration::ZERO);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            taken.clear();
            before = server::cpu(floor.pid())?;
        }
        let mark = format!("mark-{round}-");
        for _ in 0..at_once {
            // As long as Watchbell's frame of the same event.
            floor.write(&format!("{mark}{}", "x".repeat(PADDING + 150)))?;
        }
        taken.push(arrivals(&mut clients, &mark, at_once).await?);
    }
    Ok(Fanout::of(taken, at_once, server::cpu(floor.pid())? - before))
}

async fn subscribed(fleet: &Fleet, kind: Kind, sessions: usize, topics: &str) -> anyhow::Result<Vec<Client>> {
    let tokens = server::tokens(fleet, sessions)?;
    let mut clients =
        open_many(&server::address(fleet, "socket-1")?, kind, &tokens, &format!("topics={topics}"), GENTLY)
            .await?;
    try_join_all(clients.iter_mut().map(|client| client.until("snapshot"))).await?;
    Ok(clients)
}

async fn rounds(fleet: &mut Fleet, clients: &mut [Client], at_once: usize) -> anyhow::Result<Fanout> {
    let pid = fleet.worker("up")?.pid();
    let (mut taken, mut before) = (Vec::new(), Duration::ZERO);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            taken.clear();
            before = server::cpu(pid)?;
        }
        let mark = format!("mark-{round}-");
        let published = try_join_all((0..at_once).map(|_| server::publish(fleet, TOPIC, &mark, PADDING)));
        let (published, arrived) = tokio::join!(published, arrivals(clients, &mark, at_once));
        published?;
        taken.push(arrived?);
    }
    Ok(Fanout::of(taken, at_once, server::cpu(pid)? - before))
}

/// When so many with this mark had arrived at each, counted from the first.
async fn arrivals(clients: &mut [Client], mark: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let each = clients.iter_mut().map(async |client| {
        let first = client.until(mark).await?;
        let mut last = first;
        for _ in 1..count {
            last = client.until(mark).await?;
        }
        anyhow::Ok((first, last))
    });
    let at = try_join_all(each).await?;
    let first = at.iter().map(|(first, _)| *first).min().context("no client")?;
    let mut took: Vec<Duration> = at.iter().map(|(_, last)| *last - first).collect();
    took.sort_unstable();
    Ok(took)
}

/// What the rounds came to.
struct Fanout {
    /// Deliveries a second of the round in the middle, from the first to the last.
    per_second: f64,
    /// When 99 of 100 had it in that round.
    p99: Duration,
    /// The server's processor time for one delivery. Says the same on a busy machine.
    cpu: Duration,
}

impl Fanout {
    fn of(mut rounds: Vec<Vec<Duration>>, at_once: usize, cpu: Duration) -> Self {
        let deliveries: usize = rounds.iter().map(Vec::len).sum::<usize>() * at_once;
        rounds.sort_by_key(|round| round.last().copied());
        let round = &rounds[rounds.len() / 2];
        let all = round.last().copied().unwrap_or_default();
        Self {
            per_second: per_second(round.len() * at_once, all),
            p99: round[round.len() * 99 / 100],
            cpu: cpu / deliveries as u32,
        }
    }
}

impl std::fmt::Display for Fanout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, p99, cpu } = self;
        write!(
            f,
            "{per_second:.0} deliveries/s, p99 {:.1} ms, {cpu:.1?} of processor each",
            p99.as_secs_f64() * 1_000.0
        )
    }
}

/// The same with one in a hundred that never reads.
pub async fn slow(sessions: usize) -> anyhow::Result<()> {
    let mut fleet = server::start(Engine::Embedded).await?;
    let pid = fleet.worker("up")?.pid();
    let mut clients = subscribed(&fleet, Kind::Ws, sessions, TOPIC).await?;
    let without = rounds(&mut fleet, &mut clients, 1).await?.per_second;
    let slow = subscribed(&fleet, Kind::Ws, sessions / 100, &format!("{TOPIC},{STUFFED}")).await?;
    for _ in 0..STUFFING {
        server::publish(&fleet, STUFFED, "", STUFFING_BYTES).await?;
    }
    let before = server::resident_now(pid)?;
    let with = rounds(&mut fleet, &mut clients, 1).await?.per_second;
    let after = server::resident_now(pid)?;
    println!(
        "slow: {with:.0} deliveries/s beside {} sessions that never read, {without:.0} without: {:.0} %; {} backlogs were dropped; memory {:+.1} MB",
        slow.len(),
        100.0 * with / without,
        server::counted(&fleet, "watchbell_socket_overflows_total").await?,
        (after as f64 - before as f64) / 1e6
    );
    Ok(())
}

/// Memory after many have come and gone.
pub async fn churn(sessions: usize) -> anyhow::Result<()> {
    let mut fleet = server::start(Engine::Embedded).await?;
    let pid = fleet.worker("up")?.pid();
    let (address, tokens) = (server::address(&fleet, "up")?, server::tokens(&fleet, 100)?);
    let mut sizes = Vec::new();
    for cycle in 1..=(sessions / 100).max(2) {
        for client in open_many(&address, Kind::Ws, &tokens, "", GENTLY).await? {
            client.leave().await?;
        }
        if cycle == 1 || cycle == 2 || cycle == (sessions / 100).max(2) {
            sizes.push((cycle * 100, server::resident(pid).await?));
        }
    }
    for (cycles, bytes) in sizes {
        println!("churn: {:.1} MB after {cycles} sessions have come and gone", bytes as f64 / 1e6);
    }
    Ok(())
}

/// A pod is killed, and everybody comes back at once to another.
pub async fn stampede(sessions: usize) -> anyhow::Result<()> {
    let mut fleet = server::rationed(Engine::Services, ACCEPTS_PER_SECOND).await?;
    let tokens = server::tokens(&fleet, sessions)?;
    let (one, other) = (server::address(&fleet, "socket-1")?, server::address(&fleet, "socket-2")?);
    let open = open_many(&one, Kind::Ws, &tokens, "", GENTLY).await?;
    fleet.worker("socket-1")?.kill9();
    let began = Instant::now();
    drop(open);
    let back = try_join_all(tokens.iter().map(|token| come_back(&other, token))).await?;
    let took = began.elapsed();
    let again: usize = back.iter().map(|(_, again)| again).sum();
    println!(
        "stampede: {sessions} sessions of a killed pod level again on another, which takes {ACCEPTS_PER_SECOND} a second, after {:.1} s; {again} had to connect again",
        took.as_secs_f64()
    );
    Ok(())
}

/// As a client does: whoever the kernel turned away, because thousands came in one millisecond, comes again.
async fn come_back(address: &str, token: &str) -> anyhow::Result<(Client, usize)> {
    let mut tries = 0;
    let back = until("a client to be level again", PATIENCE, async || {
        tries += 1;
        Client::open(address, Kind::Ws, token, "").await.ok()
    });
    let client = back.await?;
    Ok((client, tries - 1))
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
