//! What became of alerts comes back to producers: over a queue that they bind, and to a tenant's webhook.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use watchbell::{
    domain::Secret,
    wire::standard_webhooks::{SigningSecret, headers},
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    http_by_hand::Request,
    session::Frames as _,
    until::until,
};

use super::producers::python;

/// Longer than the lease of a relay that was killed.
const DEADLINE: Duration = Duration::from_secs(120);
pub(super) const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Alerts whose receipts are given while the relay dies again and again.
const MANY: usize = 60;
const DEATHS: usize = 3;
/// What one outcome never is, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) const RESTRAINT: &str = "[restraint]\nbundle_window = \"0s\"\ndigest_window = \"0s\"\n";

fn policy(push: &str) -> String {
    format!("[policies.default]\nsteps = [{{channel = \"push\", after = \"{push}\"}}]\n{RESTRAINT}")
}

/// Takes what a producer's queue holds.
async fn taken(fleet: &Fleet) -> anyhow::Result<Vec<Value>> {
    let lines = python(fleet, &["take", "acme.outcomes"], "").await?;
    lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Gathers outcomes from the queue until `is_enough`.
async fn gathered(
    fleet: &Fleet,
    what: &str,
    is_enough: impl Fn(&[(Value, Value)]) -> bool,
) -> anyhow::Result<Vec<(Value, Value)>> {
    let all = Mutex::new(Vec::new());
    until(what, DEADLINE, async || {
        for message in taken(fleet).await.ok()? {
            let body: Value = serde_json::from_str(message["body"].as_str()?).ok()?;
            all.lock().unwrap().push((message, body));
        }
        is_enough(&all.lock().unwrap()).then_some(())
    })
    .await?;
    Ok(all.into_inner().unwrap())
}

fn words(outcomes: &[(Value, Value)]) -> Vec<&str> {
    outcomes.iter().filter_map(|(_, body)| body["outcome"].as_str()).collect()
}

#[tokio::test]
async fn a_producer_follows_its_alert_on_a_queue_of_its_own() {
    follows().await.unwrap();
}

async fn follows() -> anyhow::Result<()> {
    let env = [("WATCHBELL__OUTCOMES__ENABLED", "true")];
    let fleet = Fleet::start_configured(Engine::Services, &policy("1s"), &env).await?;
    python(&fleet, &["bind", "watchbell.outcomes", "acme.outcomes"], "").await?;
    fleet.furnish("ana").await?;
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full", "body": "2 % left"})).await?;
    ana.next_of("alert").await?;
    ana.say(&json!({"type": "receipt", "alerts": [id], "state": "delivered"})).await?;
    let first = gathered(&fleet, "the screen and the push", |all| {
        ["delivered", "pushed"].iter().all(|word| words(all).contains(word))
    })
    .await?;
    ana.say(&json!({"type": "receipt", "alerts": [id], "state": "seen"})).await?;
    let second = gathered(&fleet, "that it was seen is told", |all| words(all).contains(&"seen")).await?;

    let mut all: Vec<(Value, Value)> = first.into_iter().chain(second).collect();
    assert_eq!(words(&all)[2..], ["seen"], "each once, and the last thing last");
    all.sort_by_key(|(_, body)| body["outcome"].to_string());
    assert_eq!(words(&all), ["delivered", "pushed", "seen"]);
    for (message, body) in &all {
        assert_eq!(message["message_id"], body["id"], "what readers deduplicate by");
        assert_eq!(message["content_type"], "application/json");
        assert_eq!(
            json!([body["tenant"], body["alert"], body["version"], body["user"]]),
            json!(["acme", id, 1, "ana"])
        );
        let at: Timestamp = body["at"].as_str().context("a time")?.parse()?;
        assert!((Timestamp::now() - at).get_seconds() < 300, "{at}");
    }
    let pushed = &all[1].1;
    assert_eq!(pushed["channel"], "push");
    assert!(pushed["attempt"].is_string(), "{pushed}");
    let told = format!("{all:?}");
    for secret in ["Disk full", "2 % left", "watchbell.test", "616e612d70686f6e65"] {
        assert!(!told.contains(secret), "{secret} is nobody's business: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn outcomes_outlive_a_relay_that_is_killed_again_and_again() {
    outlives().await.unwrap();
}

async fn outlives() -> anyhow::Result<()> {
    let env = [("WATCHBELL__OUTCOMES__ENABLED", "true"), ("WATCHBELL__OUTCOMES__KINDS", "seen,read")];
    let mut fleet = Fleet::start_configured(Engine::Services, &policy("1h"), &env).await?;
    python(&fleet, &["bind", "watchbell.outcomes", "acme.outcomes"], "").await?;
    let ids: Vec<String> = (0..MANY).map(|n| format!("a{n}")).collect();
    let alerts: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "to": {"users": ["ana"]}, "title": "t"})).collect();
    let (status, said) = fleet.publish(&Value::Array(alerts)).await?;
    ensure!(status == 202, "{status}: {said}");
    let all = async || (fleet.inbox("ana").await.ok()?.len() == MANY).then_some(());
    until("every alert", DEADLINE, all).await?;

    for (death, some) in ids.chunks(MANY / DEATHS).enumerate() {
        for state in ["delivered", "seen", "read"] {
            for id in some {
                let receipt = json!({"alerts": [id], "state": state});
                let method = reqwest::Method::POST;
                let (status, said) = fleet.user("ana", method, "/v1/inbox/receipts", Some(&receipt)).await?;
                ensure!(status < 300, "{status}: {said}");
            }
            // In the middle of whatever it is telling.
            if state == "seen" {
                fleet.crash("fallback")?;
            }
        }
        ensure!(death < DEATHS);
    }
    let distinct = |all: &[(Value, Value)]| -> BTreeSet<String> {
        all.iter().map(|(_, body)| body["id"].to_string()).collect()
    };
    let told = gathered(&fleet, "nothing is lost", |all| distinct(all).len() == 2 * MANY).await?;
    let mut of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (_, body) in &told {
        let kinds = of.entry(body["alert"].as_str().context("an alert")?.to_owned()).or_default();
        kinds.insert(body["outcome"].as_str().context("an outcome")?);
    }
    assert_eq!(of.len(), MANY);
    assert!(of.values().all(|kinds| *kinds == BTreeSet::from(["read", "seen"])), "{of:?}");
    Ok(())
}

/// A tenant's backend: answers 500 to the first request, and 204 from then on.
pub(super) struct Backend {
    pub(super) url: String,
    posted: Arc<Mutex<Vec<Request>>>,
    _serving: JoinSet<()>,
}

impl Backend {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook?key=canary", listener.local_addr()?);
        let posted: Arc<Mutex<Vec<Request>>> = Arc::default();
        let mut serving = JoinSet::new();
        let kept = Arc::clone(&posted);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Ok(Self { url, posted, _serving: serving })
    }

    fn posted(&self) -> Vec<Request> {
        self.posted.lock().unwrap().clone()
    }

    /// What was posted, as JSON.
    pub(super) fn bodies(&self) -> Vec<Value> {
        self.posted().iter().filter_map(|posted| serde_json::from_slice(&posted.body).ok()).collect()
    }
}

/// One request a connection, which is then closed.
async fn serve(stream: TcpStream, kept: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    let Ok(posted) = Request::read(&mut stream, BODY_BYTES_MAX).await else { return };
    let is_first = {
        let mut kept = kept.lock().unwrap();
        kept.push(posted);
        kept.len() == 1
    };
    let status = if is_first { "500 Internal Server Error" } else { "204 No Content" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // Whoever has gone asks again.
    drop(stream.write_all(answer.as_bytes()).await);
}

/// Whether a request is signed by the scheme with each of the tenant's secrets.
fn is_signed(posted: &Request) -> anyhow::Result<bool> {
    let of = |name: &str| posted.header(name).map(str::to_owned).with_context(|| format!("no {name}"));
    let at = Timestamp::from_second(of("webhook-timestamp")?.parse()?)?;
    let secrets = [NEW, OLD].map(|secret| SigningSecret::parse(&Secret::from(secret)));
    let secrets = secrets.into_iter().collect::<Result<Vec<_>, _>>()?;
    let expected = headers(&secrets, &of("webhook-id")?, at, &posted.body);
    let is_recent = (Timestamp::now() - at).get_seconds().abs() < 300;
    Ok(is_recent && expected.iter().all(|(name, value)| posted.headers.get(*name) == Some(value)))
}

async fn posts(engine: Engine) -> anyhow::Result<()> {
    let backend = Backend::start().await?;
    let tenant = if engine == Engine::Embedded { "demo" } else { "acme" };
    // Nobody listens at the other tenant's address, and nobody waits for it either.
    let before = format!(
        "{}[tenants.dead.outcomes]\nurl = \"http://127.0.0.1:1/\"\nsecret = \"{NEW}\"\nprivate_endpoints = true\n",
        policy("1h")
    );
    let mut fleet = Fleet::start_configured(engine, &before, &[]).await?;
    // The tenant comes while everything runs.
    let with_tenant = format!(
        "{before}[tenants.{tenant}.outcomes]\nurl = \"{}\"\nsecret = \"{NEW}\"\nprevious_secret = \"{OLD}\"\nprivate_endpoints = true\n\
         kinds = [\"seen\", \"read\", \"snoozed\", \"acknowledged\"]\n",
        backend.url
    );
    std::fs::write(fleet.dir().join("watchbell.toml"), with_tenant)?;
    for name in fleet.names().into_iter().filter(|name| *name != "simulator") {
        let process = fleet.worker(name)?;
        process.wait_log("Secrets of `outcomes` were read again", DEADLINE).await?;
        ensure!(!process.log().contains("they hold after a restart"), "{name} needs no restart for that");
    }
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    ana.next_of("alert").await?;
    for state in ["delivered", "seen"] {
        ana.say(&json!({"type": "receipt", "alerts": [id], "state": state})).await?;
    }
    until("it is posted, refused, and posted again", DEADLINE, async || {
        (backend.posted().len() == 2).then_some(())
    })
    .await?;
    ana.say(&json!({"type": "receipt", "alerts": [id], "state": "read"})).await?;
    let are_posted = async |number: usize| {
        until("the next is posted", DEADLINE, async || (backend.posted().len() == number).then_some(())).await
    };
    are_posted(3).await?;
    let later = (Timestamp::now() + Duration::from_secs(3_600)).round(jiff::Unit::Second)?;
    ana.say(&json!({"type": "receipt", "alerts": [id], "state": "snoozed", "until": later.to_string()}))
        .await?;
    are_posted(4).await?;
    let change = json!({"status": "acknowledged"});
    let path = format!("/v1/alerts/{id}");
    let (status, answer) = fleet.producer(reqwest::Method::PATCH, &path, Some(&change)).await?;
    ensure!(status == 202, "{status}: {answer}");
    are_posted(5).await?;

    let posted = backend.posted();
    for one in &posted {
        assert!(is_signed(one)?, "{one:?}");
        assert_eq!(one.header("content-type"), Some("application/json"));
    }
    let bodies: Vec<Value> =
        posted.iter().map(|one| serde_json::from_slice(&one.body)).collect::<Result<_, _>>()?;
    let told = |body: &Value| json!([body["tenant"], body["alert"], body["user"], body["outcome"]]);
    assert_eq!(told(&bodies[0]), json!([tenant, id, "ana", "seen"]));
    assert_eq!(bodies[0], bodies[1], "the same again, after the 500");
    assert_eq!(posted[0].header("webhook-id"), posted[1].header("webhook-id"));
    assert_eq!(told(&bodies[2]), json!([tenant, id, "ana", "read"]));
    assert_eq!(told(&bodies[3]), json!([tenant, id, "ana", "snoozed"]));
    assert_eq!(bodies[3]["until"], later.to_string());
    assert_eq!(told(&bodies[4]), json!([tenant, id, "ana", "acknowledged"]));
    assert_eq!(bodies[4]["version"], 2);
    assert!(bodies[4]["by"].as_str().is_some_and(|by| by.starts_with("key:")), "{}", bodies[4]);
    for (name, log) in fleet.logs() {
        assert!(!log.contains("canary"), "{name} logs no address: it may hold a password");
    }
    Ok(())
}

#[tokio::test]
async fn a_tenants_webhook_is_signed_and_repeated_until_it_is_taken() {
    let (embedded, services) = tokio::join!(posts(Engine::Embedded), posts(Engine::Services));
    embedded.unwrap();
    services.unwrap();
}
