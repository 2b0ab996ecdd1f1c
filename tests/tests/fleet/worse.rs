//! A warning that becomes critical is told as critical, however the later version comes: POST, PATCH, AMQP, a hook (I13).
//!
//! The policies are those of the README's example: one mail unless a push was taken, and a critical one that breaks
//! silences. The warning is held by a silence, was left out for whoever turned pushes off, or was pushed already.
//!
//! Of Alertmanager there is no case here: an alert of its whose label `severity` changes is another alert, told as such.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

use super::producers::publish;

const DEADLINE: Duration = Duration::from_secs(20);

const POLICIES: &str = r#"
[policies.default]
steps = [{channel = "push", after = "300ms"}, {channel = "email", after = "10m", unless = ["pushed"]}]
[policies.critical]
mandatory = true
steps = [{channel = "push", after = "0s"}]
[restraint]
bundle_window = "0s"
digest_window = "0s"
"#;

/// How a producer says that something is, or became, so bad.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Route {
    Post,
    Patch,
    PagerDuty,
    Amqp,
}

/// What kept the warning from being the last word.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stood {
    Quiet,
    OptedOut,
    Pushed,
}

impl Stood {
    fn user(self) -> &'static str {
        match self {
            Self::Quiet => "ana",
            Self::OptedOut => "ben",
            Self::Pushed => "cleo",
        }
    }
}

/// Says it as version 1 (a warning) or 2 (critical).
async fn say(fleet: &Fleet, route: Route, key: &str, user: &str, version: u32) -> anyhow::Result<()> {
    let (severity, title) = match version {
        1 => ("warning", "disk 80 %"),
        _ => ("critical", "disk 99 %"),
    };
    let alert = json!({
        "id": key, "version": version, "to": {"users": [user]}, "title": title, "severity": severity
    });
    let (method, path, body) = match route {
        Route::Patch if version > 1 => {
            let body = json!({"version": version, "title": title, "severity": severity});
            (reqwest::Method::PATCH, format!("/v1/alerts/{key}"), body)
        }
        Route::Post | Route::Patch => (reqwest::Method::POST, "/v1/alerts".to_owned(), alert),
        Route::PagerDuty => {
            let body = json!({"event_action": "trigger", "dedup_key": key, "payload": {
                "summary": title, "severity": severity, "source": "db-1",
            }});
            (reqwest::Method::POST, format!("/v1/hooks/pagerduty?users={user}"), body)
        }
        Route::Amqp => {
            let mut alert = alert;
            alert["tenant"] = json!("acme");
            let message = json!({"body": alert.to_string(), "message_id": format!("{key}-{version}")});
            ensure!(publish(fleet, &[message]).await? == ["confirmed"]);
            return Ok(());
        }
    };
    let (status, answer) = fleet.producer(method, &path, Some(&body)).await?;
    ensure!(status == 202, "{route:?} v{version}: {status} {answer}");
    Ok(())
}

/// The row of the inbox that says this.
async fn row(fleet: &Fleet, user: &str, says: (&str, &str)) -> anyhow::Result<Value> {
    until(&format!("{says:?} in the inbox of {user}"), DEADLINE, async || {
        let rows = fleet.inbox(user).await.ok()?;
        rows.into_iter().find(|row| {
            let alert = &row["alert"];
            alert["severity"] == says.1 && alert.to_string().contains(says.0)
        })
    })
    .await
}

async fn pushed(fleet: &Fleet, user: &str, id: &str, title: &str) -> anyhow::Result<Value> {
    until(&format!("{title} on the phone of {user}"), DEADLINE, async || {
        let arrivals = fleet.arrivals(user).await.ok()?;
        arrivals.into_iter().find(|arrival| arrival["alert"] == id && arrival["title"] == title)
    })
    .await
}

/// Waits until the timeline of the warning says so.
async fn told(fleet: &Fleet, user: &str, id: &str, what: &str) -> anyhow::Result<()> {
    until(&format!("{what} in the timeline of {id}"), DEADLINE, async || {
        fleet.timeline(id, user).await.ok()?.to_string().contains(what).then_some(())
    })
    .await
}

async fn becomes_critical(fleet: &Fleet, route: Route, stood: Stood) -> anyhow::Result<()> {
    let user = stood.user();
    let key = format!("{route:?}-{stood:?}");
    say(fleet, route, &key, user, 1).await?;
    let first = row(fleet, user, (&key, "warning")).await?;
    let id = first["alert"]["id"].as_str().unwrap_or_default().to_owned();
    match stood {
        Stood::Quiet => told(fleet, user, &id, "quiet hours").await?,
        Stood::OptedOut => told(fleet, user, &id, "push step skipped: the user has turned it off").await?,
        Stood::Pushed => {
            pushed(fleet, user, &id, "disk 80 %").await?;
        }
    }
    say(fleet, route, &key, user, 2).await?;
    let push = pushed(fleet, user, &id, "disk 99 %").await?;
    // In the place of the older one, if there was one, and with a sound.
    let copies = if stood == Stood::Pushed { 2 } else { 1 };
    assert_eq!((&push["copies"], &push["withdrawn"]), (&json!(copies), &json!(false)), "{key}: {push}");
    assert_eq!(push["payload"]["aps"]["sound"], "default", "{key}: {push}");
    let all = fleet.arrivals(user).await?;
    assert_eq!(all.iter().filter(|arrival| arrival["alert"] == json!(id)).count(), 1, "{key}: {all:?}");
    let timeline = fleet.timeline(&id, user).await?.to_string();
    assert!(timeline.contains("became critical: chased anew under policy critical"), "{key}: {timeline}");
    let second = row(fleet, user, (&key, "critical")).await?;
    assert_eq!((&second["alert"]["version"], &second["state"]), (&json!(2), &json!("new")), "{key}");
    Ok(())
}

async fn every_way(engine: Engine, routes: &[Route]) -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(engine, POLICIES, &[]).await?;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    for (stood, wants) in [
        (Stood::Quiet, json!({"quiet": {"until": later}})),
        (Stood::OptedOut, json!({"channels": {"push": false, "email": false}})),
        (Stood::Pushed, json!({})),
    ] {
        fleet.furnish(stood.user()).await?;
        let path = "/v1/preferences";
        let (status, answer) = fleet.user(stood.user(), reqwest::Method::PUT, path, Some(&wants)).await?;
        ensure!(status < 300, "{status} {answer}");
    }
    for route in routes {
        for stood in [Stood::Quiet, Stood::OptedOut, Stood::Pushed] {
            becomes_critical(&fleet, *route, stood).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_warning_that_becomes_critical_is_pushed_whatever_says_so_in_one_process() {
    every_way(Engine::Embedded, &[Route::Post, Route::Patch, Route::PagerDuty]).await.unwrap();
}

#[tokio::test]
async fn a_warning_that_becomes_critical_is_pushed_whatever_says_so_through_real_services() {
    every_way(Engine::Services, &[Route::Amqp, Route::Patch, Route::PagerDuty]).await.unwrap();
}
