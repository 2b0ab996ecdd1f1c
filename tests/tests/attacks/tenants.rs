//! One tenant at its worst, and what another one notices of it (I16).

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, tcp::OwnedWriteHalf},
};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, place},
    fleet::{Engine, Fleet, Urls},
    postgres::Postgres,
    requests::answer,
    scratch::Scratch,
    services,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
/// Nobody is pushed to in the time of a test.
const QUIET: (u64, u64) = (600_000, 600_000);
/// The longest body that is read.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What all those bodies may take together, and some: half of the room for bodies in a process without a limit.
const GROWTH_BYTES_MAX: u64 = 190 * 1024 * 1024;

/// A key of the tenant that attacks.
fn evil_key(fleet: &Fleet) -> anyhow::Result<String> {
    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
    let store = if fleet.engine == Engine::Embedded { &store[..] } else { &[] };
    let create = ["key", "create", "--tenant", "evil", "--scope", "alerts,read"];
    Ok(fleet.command_with(&create, store)?.trim().to_owned())
}

/// A request of which the head is sent, and so much of the body. The connection stays as it is until it is dropped.
async fn begun(fleet: &Fleet, key: &str, bytes: usize) -> anyhow::Result<OwnedWriteHalf> {
    let address = fleet.url("ingest")?;
    let address = address.trim_start_matches("http://");
    let (_, mut write) = TcpStream::connect(address).await?.into_split();
    let head = format!(
        "POST /v1/alerts HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await?;
    // One that is refused is closed on the way.
    let _ = write.write_all(&vec![b' '; bytes]).await;
    Ok(write)
}

/// The bystander publishes, and has it in the inbox.
async fn is_served(fleet: &Fleet, id: &str) -> anyhow::Result<()> {
    fleet
        .send(&json!({"id": id, "to": {"users": ["zoe"]}, "title": "just you"}))
        .await
        .context(id.to_owned())?;
    let inbox = fleet.inbox("zoe").await?;
    ensure!(inbox.iter().any(|row| row["alert"]["id"] == id), "{id}: {inbox:?}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_at_its_worst_leaves_the_others_their_turn() {
    // One request with all of its recipients is then owed for longer than the test takes, however slow the machine is.
    let rate = [("WATCHBELL__INGEST__RECIPIENTS_PER_TENANT", "10")];
    let mut fleet = Fleet::start(Engine::Embedded, QUIET, &rate).await.unwrap();
    let evil = evil_key(&fleet).unwrap();
    is_served(&fleet, "before").await.unwrap();
    announced_bodies(&fleet, &evil).await.unwrap();
    withheld_bytes(&mut fleet, &evil).await.unwrap();
    many_recipients(&fleet, &evil).await.unwrap();
}

/// 32 requests that announce 8 MiB and send nothing used to take all the room for bodies, for 30 s.
async fn announced_bodies(fleet: &Fleet, evil: &str) -> anyhow::Result<()> {
    let held = join_all((0..64).map(|_| begun(fleet, evil, 0))).await;
    let held = held.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for n in 0..20 {
        is_served(fleet, &format!("announced-{n}")).await?;
    }
    drop(held);
    Ok(())
}

/// 31 bodies of 8 MiB without their last byte used to be held, all of them.
async fn withheld_bytes(fleet: &mut Fleet, evil: &str) -> anyhow::Result<()> {
    let before = fleet.worker("up")?.resident_bytes()?;
    let mut most = before;
    let held = join_all((0..31).map(|_| begun(fleet, evil, BODY_BYTES_MAX - 1))).await;
    let held = held.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for n in 0..10 {
        is_served(fleet, &format!("withheld-{n}")).await?;
        most = most.max(fleet.worker("up")?.resident_bytes()?);
    }
    drop(held);
    let grown = most - before;
    ensure!(grown < GROWTH_BYTES_MAX, "{} MiB more than before", grown / 1024 / 1024);
    Ok(())
}

/// Recipients of one alert, and alerts of one request.
const LARGE: (usize, usize) = (1_000, 10);

/// Ten alerts with a thousand recipients each in one request: another tenant's alert gets in between, and the next request of that
/// kind has to wait for what the first one cost.
async fn many_recipients(fleet: &Fleet, evil: &str) -> anyhow::Result<()> {
    let large = |round: usize| {
        let users: Vec<String> = (0..LARGE.0).map(|user| format!("u{user:04}")).collect();
        let alert = |n| json!({"id": format!("large-{round}-{n}"), "to": {"users": users}, "title": "all"});
        Value::Array((0..LARGE.1).map(alert).collect())
    };
    let url = fleet.url("ingest")?;
    let post = async |round: usize| {
        answer(fleet.http().post(format!("{url}/v1/alerts")).bearer_auth(evil).json(&large(round))).await
    };
    let attack = async {
        let mut answers = Vec::new();
        for round in 0..2 {
            answers.push(post(round).await?);
        }
        anyhow::Ok(answers)
    };
    let bystander = async {
        // Once the first of them are recorded.
        until("the attack begins", DEADLINE, async || {
            (reached(fleet, evil, "large-0-0").await.ok()? > 0).then_some(())
        })
        .await?;
        is_served(fleet, "between").await?;
        reached(fleet, evil, "large-0-9").await
    };
    let (answers, reached) = tokio::join!(attack, bystander);
    let (answers, reached) = (answers?, reached?);
    ensure!(reached < LARGE.0 as u64, "the last of ten was done with before somebody else's turn came");
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    ensure!(statuses == [202, 429], "{statuses:?}: {answers:?}");
    Ok(())
}

/// How many people an alert of that tenant has reached: nobody, when it is not recorded yet.
async fn reached(fleet: &Fleet, key: &str, alert: &str) -> anyhow::Result<u64> {
    let url = format!("{}/v1/alerts/{alert}", fleet.url("ingest")?);
    match answer(fleet.http().request(Method::GET, url).bearer_auth(key)).await? {
        (200, said) => said["recipients"].as_u64().with_context(|| format!("{said}")),
        (404, _) => Ok(0),
        other => bail!("{other:?}"),
    }
}

/// Bodies of 15 MiB over AMQP while the store does not answer: each used to be held whole, as many as are prefetched.
#[tokio::test]
async fn bodies_that_no_alert_has_are_not_held_while_the_store_is_away() {
    long_bodies().await.unwrap();
}

const LONG_BODIES: usize = 12;
const LONG_BYTES: usize = 15 * 1024 * 1024;

async fn long_bodies() -> anyhow::Result<()> {
    let folder = Scratch::new("long-bodies")?;
    let postgres = Postgres::start(folder.path()).await?;
    let urls = Urls {
        broker: services::rabbit().await?.fresh_vhost("long-bodies").await?,
        store: postgres.fresh_database("long_bodies").await?,
    };
    let mut fleet = Fleet::start_services(urls.clone(), QUIET, &[]).await?;
    postgres.pause();
    let before = fleet.worker("dispatch")?.resident_bytes()?;
    let mut amqp = RawAmqp::connect(&urls.broker).await?;
    for n in 0..LONG_BODIES {
        let id = format!("long-{n}");
        let properties = Properties::default().text(place::MESSAGE_ID, id.as_bytes()).encode();
        let message = RawMessage { properties, body: vec![b'x'; LONG_BYTES] };
        let published = amqp.publish(b"watchbell.alerts", b"", &message).await?;
        ensure!(published == Published::Confirmed, "{published:?}");
    }
    let mut parked = 0;
    let mut most = before;
    until("all of them are parked", DEADLINE, async || {
        most = most.max(fleet.worker("dispatch").ok()?.resident_bytes().ok()?);
        while let Ok(Some(message)) = amqp.take("watchbell.rejected").await {
            assert!(message.body.len() < 64 * 1024, "{} bytes were kept", message.body.len());
            parked += 1;
        }
        (parked == LONG_BODIES).then_some(())
    })
    .await?;
    let grown = most - before;
    ensure!(grown < 48 * 1024 * 1024, "{} MiB more than before", grown / 1024 / 1024);
    postgres.resume();
    Ok(())
}
