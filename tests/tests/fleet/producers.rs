//! Producers that are not ours: a real Alertmanager, and a Python program on AMQP.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use watchbell_tests::{
    alertmanager::Alertmanager,
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

async fn alertmanager_fires_and_resolves(fleet: &Fleet) -> anyhow::Result<()> {
    let dir = fleet.dir().join("alertmanager");
    std::fs::create_dir(&dir)?;
    let alertmanager = Alertmanager::start(&dir, &alertmanager_config(fleet)?).await?;
    let mut ana = fleet.session("socket-1", "ana", None).await?;

    let (began, ends) = (hours_from_now(-1), hours_from_now(1));
    let alert = ["DiskFull", "instance=db-1", "severity=critical", "--annotation=summary=Disk full on db-1"];
    let add = |end: &str| {
        let times = [format!("--start={began}"), format!("--end={end}")];
        ["alert", "add"].map(str::to_owned).into_iter().chain(alert.map(str::to_owned)).chain(times).collect()
    };
    amtool(&alertmanager, add(&ends)).await?;
    let fired = ana.next_of("alert").await?;
    let id = fired["alert"]["id"].as_str().context("no id")?.to_owned();
    assert_eq!(
        told(&fired),
        json!({"title": "Disk full on db-1", "severity": "critical", "status": "firing", "version": 1})
    );
    arrival(fleet, "ana", "apns").await?;

    amtool(&alertmanager, add(&Timestamp::now().to_string())).await?;
    let resolved = ana.next_of("alert").await?;
    assert_eq!(resolved["alert"]["id"], json!(id), "the same alert, updated in place");
    assert_eq!(
        told(&resolved),
        json!({"title": "Disk full on db-1", "severity": "critical", "status": "resolved", "version": 2})
    );
    until("the push to be withdrawn", DEADLINE, async || {
        fleet.arrivals("ana").await.ok()?.iter().any(|arrival| arrival["withdrawn"] == true).then_some(())
    })
    .await?;
    assert_eq!(fleet.timeline(&id, "ana").await?["stopped"], "resolved");

    // Ben's escalation began later than ana's, so when his mail is there, hers would be.
    fleet.send(&json!({"to": {"users": ["ben"]}, "title": "A clock"})).await?;
    arrival(fleet, "ben", "email").await?;
    let kinds: Vec<Value> =
        fleet.arrivals("ana").await?.into_iter().map(|arrival| arrival["kind"].clone()).collect();
    assert_eq!(kinds, ["apns"], "no mail about what is over");
    Ok(())
}

fn alertmanager_config(fleet: &Fleet) -> anyhow::Result<String> {
    let (url, key) = (fleet.url("ingest")?, fleet.key());
    Ok(format!(
        r#"
route: {{ receiver: watchbell, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h }}
receivers:
  - name: watchbell
    webhook_configs:
      - url: {url}/v1/hooks/alertmanager?users=ana
        http_config: {{ authorization: {{ credentials: {key} }} }}
"#
    ))
}

fn hours_from_now(hours: i64) -> String {
    (Timestamp::now() + SignedDuration::from_hours(hours)).to_string()
}

async fn amtool(alertmanager: &Alertmanager, args: Vec<String>) -> anyhow::Result<String> {
    alertmanager.amtool(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// What a frame says of its alert, as far as these tests look.
fn told(frame: &Value) -> Value {
    let alert = &frame["alert"];
    let fields = ["title", "severity", "status", "version"];
    fields.iter().map(|field| ((*field).to_owned(), alert[*field].clone())).collect()
}

async fn arrival(fleet: &Fleet, user: &str, kind: &str) -> anyhow::Result<Value> {
    until(&format!("{kind} to {user}"), DEADLINE, async || {
        fleet.arrivals(user).await.ok()?.into_iter().find(|arrival| arrival["kind"] == kind)
    })
    .await
}

async fn furnished(engine: Engine) -> anyhow::Result<Fleet> {
    let fleet = Fleet::start(engine, (500, 4_000), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    Ok(fleet)
}

#[tokio::test]
async fn alertmanager_reaches_people_and_calls_them_off_in_one_process() {
    let fleet = furnished(Engine::Embedded).await.unwrap();
    alertmanager_fires_and_resolves(&fleet).await.unwrap();
}

#[tokio::test]
async fn producers_reach_people_through_real_services() {
    let fleet = furnished(Engine::Services).await.unwrap();
    alertmanager_fires_and_resolves(&fleet).await.unwrap();
    python_publishes(&fleet).await.unwrap();
    what_is_refused_is_parked_with_its_reason(&fleet).await.unwrap();
}

async fn python_publishes(fleet: &Fleet) -> anyhow::Result<()> {
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let body = json!({"tenant": "acme", "to": {"users": ["ana"]}, "title": "From Python"}).to_string();
    // Twice, as a program does that crashed before it saw the confirm.
    let message = json!({"body": body, "message_id": "py-1"});
    assert_eq!(publish(fleet, &[message.clone(), message]).await?, ["confirmed", "confirmed"]);
    let frame = ana.next_of("alert").await?;
    assert_eq!((&frame["alert"]["id"], &frame["alert"]["title"]), (&json!("py-1"), &json!("From Python")));

    let resolved = json!({
        "id": "py-1", "version": 2, "tenant": "acme", "to": {}, "title": "From Python", "status": "resolved"
    });
    publish(fleet, &[json!({"body": resolved.to_string(), "message_id": "py-2"})]).await?;
    let next = ana.next_of("alert").await?;
    assert_eq!((&next["alert"]["id"], &next["alert"]["status"]), (&json!("py-1"), &json!("resolved")));
    assert_eq!(next["seq"].as_u64(), frame["seq"].as_u64().map(|seq| seq + 1), "the copy changed nothing");
    Ok(())
}

/// I11: none of it stops the worker or loops, and each is kept with its reason.
async fn what_is_refused_is_parked_with_its_reason(fleet: &Fleet) -> anyhow::Result<()> {
    let good = json!({"tenant": "acme", "to": {"users": ["ana"]}, "title": "t"});
    let with = |field: &str, value: Value| {
        let mut alert = good.clone();
        alert[field] = value;
        alert.to_string()
    };
    let json_type = "application/json";
    let table = [
        ("not JSON", "{\"title\": ".to_owned(), Some("m-1"), json_type, "alert"),
        ("a misspelt field", with("severty", json!("info")), Some("m-2"), json_type, "severty"),
        ("nothing to tell its copies by", good.to_string(), None, json_type, "id"),
        ("no wall to stay behind", with("tenant", Value::Null), Some("m-3"), json_type, "tenant"),
        ("text, not JSON by its type", good.to_string(), Some("m-4"), "text/plain", "content_type"),
        ("a word that is none", with("severity", json!("loud")), Some("m-5"), json_type, "severity"),
        ("too long", with("body", json!("x".repeat(65_536))), Some("m-6"), json_type, "alert"),
        ("for nobody", with("to", json!({})), Some("m-7"), json_type, "to"),
        ("a policy that does not exist", with("policy", json!("nightly")), Some("m-8"), json_type, "policy"),
        ("a title that steers", with("title", json!("\u{1b}[2J")), Some("m-9"), json_type, "title"),
    ];
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let messages: Vec<Value> = table
        .iter()
        .map(|(_, body, id, kind, _)| json!({"body": body, "message_id": id, "content_type": kind}))
        .chain([json!({"body": good.to_string(), "message_id": "after-them"})])
        .collect();
    let answers = publish(fleet, &messages).await?;
    assert!(answers.iter().all(|answer| answer == "confirmed"), "AMQP accepts first: {answers:?}");
    let frame = ana.next_of("alert").await?;
    let parked = python(fleet, &["take", "watchbell.rejected"], "").await?;
    let parked: Vec<Value> =
        parked.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let mut wrong = Vec::new();
    for (why, body, id, _, field) in &table {
        let of_row = |message: &&Value| message["body"] == **body && message["message_id"] == json!(id);
        let reason = match parked.iter().filter(of_row).collect::<Vec<_>>()[..] {
            [message] => message["headers"]["watchbell-reason"].as_str().unwrap_or_default(),
            ref found => {
                wrong.push(format!("{why}: parked {} times", found.len()));
                continue;
            }
        };
        if !reason.starts_with(&format!("{field}: ")) {
            wrong.push(format!("{why}: {reason:?} is not about {field}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(frame["alert"]["id"], "after-them", "the worker went on, and let nothing of it through");
    Ok(())
}

pub(crate) async fn publish(fleet: &Fleet, messages: &[Value]) -> anyhow::Result<Vec<String>> {
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    python(fleet, &["publish"], &lines).await
}

/// Runs `publish.py` against the fleet's broker and gives the lines it printed.
pub(crate) async fn python(fleet: &Fleet, args: &[&str], input: &str) -> anyhow::Result<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/producers/publish.py");
    let urls = fleet.urls.as_ref().context("an embedded fleet has no AMQP")?;
    let mut python = Command::new("python3");
    python.arg(script).arg(&urls.broker).args(args);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = move || {
        let mut child = python.spawn()?;
        // Dropped at the end of the statement, which is the end of its input.
        child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
        anyhow::Ok(child.wait_with_output()?)
    };
    let done = tokio::task::spawn_blocking(run).await??;
    ensure!(done.status.success(), "publish.py {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.lines().map(str::to_owned).collect())
}
