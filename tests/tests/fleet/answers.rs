//! An alert with buttons, answered: on a screen, over HTTP, and from a mail; and what its producer hears of it.
//! A program that fetches the links of the mail, or posts to them, answers nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell::{
    domain::{AlertId, Secret, Tenant, UserId, UserKey},
    wire::answer_link::{AnswerLink, AnswerLinks, AnsweredBy},
};
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
         [policies.mail]\nsteps = [{{channel = \"email\", after = \"1s\"}}]\n\
         [policies.on-call]\nsteps = [{{channel = \"push\", after = \"1s\"}}, {{channel = \"email\", after = \"1h\"}}]\n\
         group = \"first_acknowledges\"\n{RESTRAINT}\
         [tenants.{tenant}.outcomes]\nurl = \"{}\"\nsecret = \"{NEW}\"\nprivate_endpoints = true\nkinds = [\"answered\", \"acknowledged\", \"passed_on\"]\n",
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

    let id = of_a_group(&fleet).await?;
    let outcomes = until("the producer hears who has it", DEADLINE, async || {
        let about = backend.bodies().into_iter().filter(|body| body["alert"] == id);
        let told = about.map(|body| json!([body["user"], body["outcome"], body["by"]]));
        let mut told: Vec<String> = told.map(|told| told.to_string()).collect();
        told.sort();
        (told.len() >= 2).then_some(told)
    })
    .await?;
    assert_eq!(outcomes, [r#"["ana","passed_on",null]"#, r#"["ben","acknowledged","user:ben"]"#]);
    let id = from_a_mail(&fleet).await?;
    let second = until("the producer hears of it", DEADLINE, async || told(&backend, &id)).await?;
    assert_eq!((&second["action"], &second["answer"]), (&json!("deny"), &json!("no")));
    // What is told once more, because its answer came late, has the same id.
    let bodies = backend.bodies();
    let answered: BTreeSet<String> = bodies
        .iter()
        .filter(|body| body["outcome"] == "answered")
        .map(|body| body["id"].to_string())
        .collect();
    assert_eq!(answered.len(), 2, "{bodies:?}");
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

    let (status, deny) = ask(Method::GET, path).await?;
    assert!(status == 200 && deny.contains(">Deny<") && deny.contains("Grow db-1?"), "{status} {deny}");
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

    // A program that looks for harm fetches every address of the mail and of the pages, and posts to them; but it presses nothing.
    let link = text.lines().find_map(|line| line.strip_prefix("Acknowledge: ")).unwrap_or_default();
    let (_, acknowledge) = link.split_once("/v1/answers/").unwrap_or_default();
    let (status, acknowledging) = ask(Method::GET, acknowledge).await?;
    assert!(status == 200 && acknowledging.contains(">Acknowledge<"), "{status} {acknowledging}");
    let (pressed_deny, pressed) = (pressed(token, &deny), pressed(acknowledge, &acknowledging));
    let prefetch = fleet.http().get(format!("{base}{acknowledge}")).header("Sec-Purpose", "prefetch");
    assert_eq!(prefetch.send().await?.status(), 200);
    for path in [path, acknowledge, &pressed_deny, &pressed] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(ask(method, path).await?.0, 200, "{path}");
        }
    }
    let made_up = format!("{acknowledge}?ticket={acknowledge}");
    for path in [path, acknowledge, &format!("{acknowledge}?ticket="), &made_up] {
        let (status, page) = ask(Method::POST, path).await?;
        assert!(status == 422 && page.contains("press the button once more"), "{path}: {status} {page}");
    }
    let untouched = row().await?;
    assert_eq!((&untouched["state"], untouched.get("answer")), (&json!("new"), None), "{untouched}");

    // Without a button's id the link acknowledges, and only when it is pressed.
    let (status, page) = ask(Method::POST, &pressed).await?;
    assert!(status == 200 && page.contains("It is acknowledged"), "{status} {page}");
    let acknowledged = row().await?;
    assert_eq!((&acknowledged["state"], acknowledged.get("answer")), (&json!("seen"), None));
    let timeline = fleet.timeline(&id, "ana").await?.to_string();
    assert!(timeline.contains("acknowledged by a link in a message"), "{timeline}");

    let (status, page) = ask(Method::POST, &pressed_deny).await?;
    assert!(status == 200 && page.contains("Thank you") && page.contains("Deny"), "{status} {page}");
    assert_eq!((&row().await?["state"], &row().await?["answer"]["action"]), (&json!("read"), &json!("deny")));
    let otherwise = pressed_deny.replace("action=deny", "action=approve");
    let (status, page) = ask(Method::POST, &otherwise).await?;
    assert!(status == 200 && page.contains("first answer stays"), "{status} {page}");
    assert_eq!(row().await?["answer"]["action"], "deny");

    // A program that was given the link in a push, which nobody else reads, posts to it at once.
    if fleet.engine == Engine::Services {
        let user = UserKey::new(Tenant::parse("acme")?, UserId::parse("ana")?);
        let alert = AlertId::parse(&id)?;
        let link = AnswerLink { user, alert, written_at: Timestamp::now(), by: AnsweredBy::Program };
        let address = AnswerLinks::new(&Secret::from(SECRET)).address("", &link, Some("deny"));
        let (_, of_program) = address.split_once("/v1/answers/").unwrap_or_default();
        assert_eq!(ask(Method::POST, of_program).await?.0, 200);
    }

    // Once her sessions were ended, her mails open nothing either.
    let (status, _) = fleet.producer(Method::DELETE, "/v1/users/ana/sessions", None).await?;
    assert!(status < 300, "{status}");
    assert_eq!(ask(Method::GET, path).await?.0, 404);
    Ok(id)
}

/// Where the button of this page leads, below the link's token.
fn pressed(token: &str, page: &str) -> String {
    let (_, form) = page.split_once("<form method=post action=\"").unwrap();
    let (action, _) = form.split_once('"').unwrap();
    format!("{token}{}", action.replace("&amp;", "&"))
}

/// One passes it on, so that the other has a mail an hour early; the other takes it on by the mail, and everybody sees who has it.
async fn of_a_group(fleet: &Fleet) -> anyhow::Result<String> {
    fleet.furnish("ben").await?;
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let mut ben = fleet.session("socket-2", "ben", None).await?;
    let alert = json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full", "policy": "on-call"});
    let id = fleet.send(&alert).await?;
    for session in [&mut ana, &mut ben] {
        assert_eq!(session.next_of("alert").await?["alert"]["acknowledgement"], json!({}));
    }
    let arrived = async |kind: &str| {
        until(&format!("ben's {kind}"), DEADLINE, async || {
            let arrivals = fleet.arrivals("ben").await.ok()?;
            arrivals.into_iter().find(|arrival| arrival["kind"] == kind && arrival["alert"] == json!(id))
        })
        .await
    };
    arrived("apns").await?;
    let not_me = json!({"type": "receipt", "alerts": [id], "state": "passed_on", "op": "not-me"});
    ana.say(&not_me).await?;
    let told = ana.next_of("receipt").await?;
    assert_eq!((&told["state"], &told["op"]), (&json!("dismissed"), &json!("not-me")), "{told}");
    let mail = arrived("email").await?;
    let text = mail["body"].as_str().unwrap_or_default();
    let link = text.lines().find_map(|line| line.strip_prefix("Acknowledge: ")).unwrap_or_default();
    let (_, path) = link.split_once("/v1/answers/").unwrap_or_default();
    let press = async || -> anyhow::Result<String> {
        let base = format!("{}/v1/answers/", fleet.url("socket-1")?);
        let page = fleet.http().get(format!("{base}{path}")).send().await?.text().await?;
        Ok(fleet.http().post(format!("{base}{}", pressed(path, &page))).send().await?.text().await?)
    };
    let page = press().await?;
    assert!(page.contains("It is acknowledged"), "{page}");
    for session in [&mut ana, &mut ben] {
        let shown = session.next_of("alert").await?;
        assert_eq!(shown["alert"]["acknowledgement"]["by"], "ben", "{shown}");
    }
    let rows = fleet.inbox("ana").await?;
    let row = rows.iter().find(|row| row["alert"]["id"] == json!(id)).unwrap();
    assert_eq!((&row["state"], &row["alert"]["acknowledgement"]["by"]), (&json!("dismissed"), &json!("ben")));

    // Too late for the other, who says so over HTTP: it is ben's. And pressed once more, it is still his.
    let mine = json!({"alerts": [id], "state": "acknowledged"});
    let (status, said) = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&mine)).await?;
    assert_eq!((status, &said["alerts"]), (200, &json!([id])), "{said}");
    assert!(press().await?.contains("It is acknowledged"));
    let timeline = fleet.timeline(&id, "ben").await?.to_string();
    for what in ["another recipient passed it on", "acknowledged by a link in a message"] {
        assert!(timeline.contains(what), "{what}: {timeline}");
    }
    assert!(fleet.timeline(&id, "ana").await?.to_string().contains("passed on by session"));
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
