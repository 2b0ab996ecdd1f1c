//! An alert with buttons, answered: on a screen, over HTTP, and from a mail; and what its producer hears of it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::{Frames as _, Session},
    until::until,
};

use super::outcomes::{Backend, NEW, RESTRAINT};

const DEADLINE: Duration = Duration::from_secs(60);
/// Signs the links of mails in a fleet of services; `up` has its own.
const SECRET: &str = "a-secret-of-tests-that-answers-for-nobody-else";

fn with_buttons(policy: &str) -> Value {
    json!({
        "to": {"users": ["ana"]}, "title": "Grow db-1?", "body": "**2 %** left <now>", "body_format": "markdown",
        "image": "https://example.com/db-1.png", "group_key": "db-1", "policy": policy,
        "actions": [
            {"id": "approve", "title": "Approve", "answer": "yes"},
            {"id": "deny", "title": "Deny", "answer": "no"},
            {"id": "runbook", "title": "Runbook", "url": "https://example.com/runbook"},
        ],
    })
}

async fn is_answered(engine: Engine) -> anyhow::Result<()> {
    let backend = Backend::start().await?;
    let tenant = if engine == Engine::Embedded { "demo" } else { "acme" };
    let toml = format!(
        "[policies.default]\nsteps = [{{channel = \"push\", after = \"1h\"}}]\n\
         [policies.mail]\nsteps = [{{channel = \"email\", after = \"1s\"}}]\n{RESTRAINT}\
         [tenants.{tenant}.outcomes]\nurl = \"{}\"\nsecret = \"{NEW}\"\nprivate_endpoints = true\nkinds = [\"answered\"]\n",
        backend.url
    );
    let env = [
        ("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", SECRET),
        ("WATCHBELL__HTTP__PUBLIC_URL", "https://alerts.watchbell.test"),
    ];
    let env: &[_] = if engine == Engine::Embedded { &[] } else { &env };
    let fleet = Fleet::start_configured(engine, &toml, env).await?;
    fleet.furnish("ana").await?;
    let id = on_a_screen(&fleet).await?;
    let first = until("the producer hears of it", DEADLINE, async || told(&backend, &id)).await?;
    let said = ["tenant", "user", "outcome", "action", "title", "answer"].map(|field| first[field].clone());
    assert_eq!(json!(said), json!([tenant, "ana", "answered", "approve", "Approve", "yes"]));

    let id = from_a_mail(&fleet).await?;
    let second = until("the producer hears of it", DEADLINE, async || told(&backend, &id)).await?;
    assert_eq!((&second["action"], &second["answer"]), (&json!("deny"), &json!("no")));
    let kinds: Vec<Value> = backend.bodies().iter().map(|body| body["outcome"].clone()).collect();
    assert!(kinds.iter().all(|kind| kind == "answered"), "{kinds:?}");
    Ok(())
}

/// What the producer was told of this alert.
fn told(backend: &Backend, id: &str) -> Option<Value> {
    backend.bodies().into_iter().find(|body| body["alert"] == id)
}

/// Answered in one session, shown in another, ended, and told.
async fn on_a_screen(fleet: &Fleet) -> anyhow::Result<String> {
    let [mut here, mut there]: [Session; 2] =
        [fleet.session("socket-1", "ana", None).await?, fleet.session("socket-2", "ana", None).await?];
    let alert = with_buttons("default");
    let id = fleet.send(&alert).await?;
    let shown = here.next_of("alert").await?;
    for field in ["actions", "image", "body_format", "group_key", "body"] {
        assert_eq!(shown["alert"][field], alert[field], "{field}");
    }
    assert_eq!(shown.get("answer"), None);

    // What it does not offer is refused, and changes nothing.
    for (why, action) in
        [("a link", json!("runbook")), ("no button of it", json!("maybe")), ("none", json!(null))]
    {
        let receipt = json!({"type": "receipt", "alerts": [id], "state": "answered", "action": action});
        here.say(&receipt).await?;
        let error = here.next_of("error").await?;
        assert_eq!(error["code"], "invalid_receipt", "{why}");
        assert!(error["title"].as_str().is_some_and(|title| title.starts_with("action: ")), "{why}: {error}");
    }
    let yes = json!({"alerts": [id], "state": "answered", "action": "approve", "op": "mine"});
    here.say(&merged(&yes, &json!({"type": "receipt"}))).await?;
    for session in [&mut here, &mut there] {
        let receipt = session.next_of("receipt").await?;
        let said = ["alerts", "state", "action", "unread", "op"].map(|field| receipt[field].clone());
        assert_eq!(json!(said), json!([[id], "answered", "approve", 0, "mine"]));
    }

    // Whoever answers otherwise afterwards is told that it changed nothing; the same once more is a repetition.
    here.say(&merged(&yes, &json!({"type": "receipt"}))).await?;
    here.say(&merged(&yes, &json!({"type": "receipt", "action": "deny"}))).await?;
    let error = here.next_of("error").await?;
    assert_eq!(error["code"], "answered_before", "{error}");
    assert!(error["title"].as_str().is_some_and(|title| title.contains(&id)), "{error}");

    // The first answer stays, over HTTP as well.
    let no = merged(&yes, &json!({"action": "deny"}));
    let (status, said) = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&no)).await?;
    assert_eq!((status, &said["alerts"]), (200, &json!([])), "{said}");
    let rows = fleet.inbox("ana").await?;
    let row = rows.iter().find(|row| row["alert"]["id"] == json!(id)).unwrap();
    assert_eq!((&row["state"], &row["answer"]["action"]), (&json!("read"), &json!("approve")), "{row}");
    assert!(row["answer"]["at"].is_string(), "{row}");
    let (status, problem) = fleet
        .user("ana", Method::POST, "/v1/inbox/receipts", Some(&merged(&yes, &json!({"action": "maybe"}))))
        .await?;
    assert_eq!((status, &problem["field"]), (422, &json!("action")), "{problem}");

    // It is replayed with the row, and its escalation is over.
    let mut late =
        fleet.session("socket-1", "ana", Some(here.hello["cursor"].as_str().unwrap_or_default())).await?;
    let replayed = late.next_of("alert").await?;
    assert_eq!(replayed["answer"], row["answer"]);
    let timeline = fleet.timeline(&id, "ana").await?;
    assert_eq!(timeline["stopped"], "read", "{timeline}");
    assert!(timeline.to_string().contains(r#"answered \"Approve\": yes"#), "{timeline}");
    Ok(id)
}

/// Looking at a mail's button changes nothing, pressing it answers.
async fn from_a_mail(fleet: &Fleet) -> anyhow::Result<String> {
    let id = fleet.send(&with_buttons("mail")).await?;
    let mail = until("the mail", DEADLINE, async || {
        let arrivals = fleet.arrivals("ana").await.ok()?;
        arrivals.into_iter().find(|arrival| arrival["kind"] == "email" && arrival["alert"] == json!(id))
    })
    .await?;
    let text = mail["body"].as_str().unwrap_or_default();
    assert!(text.contains("2 % left <now>"), "without its marks: {text}");
    assert!(text.contains("Runbook: https://example.com/runbook"), "{text}");
    let link = text.lines().find_map(|line| line.strip_prefix("Deny: ")).unwrap_or_default();
    let path = link.split_once("/v1/answers/").map(|(_, rest)| rest).unwrap_or_default();
    let base = format!("{}/v1/answers/", fleet.url("socket-1")?);
    let ask = async |method: Method, path: &str| -> anyhow::Result<(u16, String)> {
        let answer = fleet.http().request(method, format!("{base}{path}")).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    let row = async || -> anyhow::Result<Value> {
        let rows = fleet.inbox("ana").await?;
        Ok(rows.into_iter().find(|row| row["alert"]["id"] == json!(id)).unwrap_or_default())
    };

    let (status, page) = ask(Method::GET, path).await?;
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("<form method=post>") && page.contains("Deny") && page.contains("Grow db-1?"),
        "{page}"
    );
    assert_eq!(row().await?.get("answer"), None, "looking at it answers nothing");
    let (token, _) = path.split_once('?').unwrap_or_default();
    for (why, path, expected) in [
        ("made up", format!("x{path}"), 404),
        ("cut short", path[..20].to_owned(), 404),
        ("a button that leads somewhere", format!("{token}?action=runbook"), 404),
        ("a button that is none", format!("{token}?action=maybe"), 404),
        ("not the id of a button", format!("{token}?action=%3C"), 422),
    ] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(ask(method, &path).await?.0, expected, "{why}");
        }
    }
    assert_eq!(row().await?.get("answer"), None);

    // Without a button's id the link acknowledges, and only when it is pressed.
    let link = text.lines().find_map(|line| line.strip_prefix("Acknowledge: ")).unwrap_or_default();
    let (_, acknowledge) = link.split_once("/v1/answers/").unwrap_or_default();
    let (status, page) = ask(Method::GET, acknowledge).await?;
    assert!(status == 200 && page.contains("<form method=post><button>Acknowledge"), "{status} {page}");
    assert_eq!(row().await?["state"], "new");
    let (status, page) = ask(Method::POST, acknowledge).await?;
    assert!(status == 200 && page.contains("It is acknowledged"), "{status} {page}");
    let acknowledged = row().await?;
    assert_eq!((&acknowledged["state"], acknowledged.get("answer")), (&json!("seen"), None));

    let (status, page) = ask(Method::POST, path).await?;
    assert!(status == 200 && page.contains("Thank you") && page.contains("Deny"), "{status} {page}");
    assert_eq!((&row().await?["state"], &row().await?["answer"]["action"]), (&json!("read"), &json!("deny")));
    let (status, page) = ask(Method::POST, &format!("{token}?action=approve")).await?;
    assert!(status == 200 && page.contains("first answer stays"), "{status} {page}");
    assert_eq!(row().await?["answer"]["action"], "deny");

    // Once her sessions were ended, her mails open nothing either.
    let (status, _) = fleet.producer(Method::DELETE, "/v1/users/ana/sessions", None).await?;
    assert!(status < 300, "{status}");
    assert_eq!(ask(Method::GET, path).await?.0, 404);
    Ok(id)
}

/// An object with these fields instead.
fn merged(object: &Value, fields: &Value) -> Value {
    let mut merged = object.clone();
    for (name, value) in fields.as_object().into_iter().flatten() {
        merged[name] = value.clone();
    }
    merged
}

#[tokio::test]
async fn a_button_is_pressed_and_its_producer_hears_of_it() {
    let (embedded, services) = tokio::join!(is_answered(Engine::Embedded), is_answered(Engine::Services));
    embedded.unwrap();
    services.unwrap();
}
