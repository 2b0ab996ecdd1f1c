//! A person finds alerts: by words, lists, severity, category, label and group, over HTTP.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

/// Nobody is pushed to while these tests look.
const QUIET: (u64, u64) = (600_000, 600_000);

/// The ids on a page, sorted, or the field that was refused.
async fn found(fleet: &Fleet, query: &str) -> anyhow::Result<Value> {
    let (status, page) = fleet.user("ana", Method::GET, &format!("/v1/inbox?{query}"), None).await?;
    if status != 200 {
        return Ok(json!([status, page["field"]]));
    }
    let mut ids: Vec<&str> =
        page["alerts"].as_array().unwrap().iter().map(|row| row["alert"]["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    Ok(json!(ids))
}

#[tokio::test]
async fn a_person_finds_alerts() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await?;
    let to = json!({"users": ["ana"]});
    for alert in [
        json!({"id": "disk", "to": to, "title": "Disk full on db-1", "severity": "critical", "category": "capacity",
            "labels": {"env": "prod", "team": "a,b"}}),
        json!({"id": "cpu", "to": to, "title": "Prozessor überlastet", "body": "db-2 is busy", "category": "load",
            "labels": {"env": "prod"}}),
        json!({"id": "bill", "to": to, "title": "Invoice", "severity": "info", "source": "stripe", "category": "a,b"}),
    ] {
        fleet.send(&alert).await?;
    }
    until("all are recorded", Duration::from_secs(30), async || {
        (fleet.inbox("ana").await.ok()?.len() == 3).then_some(())
    })
    .await?;
    let read = json!({"alerts": ["cpu"], "state": "read"});
    fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&read)).await?;
    let away = json!({"alerts": ["bill"], "state": "dismissed"});
    fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&away)).await?;

    for (query, expected) in [
        ("q=", json!(["bill", "cpu", "disk"])),
        ("q=DB", json!(["cpu", "disk"])),
        ("q=uberlastet", json!(["cpu"])),
        ("q=db%20full", json!(["disk"])),
        ("q=stri", json!(["bill"])),
        ("q=%25", json!([])),
        ("q=%00", json!([422, "q"])),
        ("q=a+b+c+d+e+f+g+h+i", json!([422, "q"])),
        ("state=unread", json!(["disk"])),
        ("state=open", json!(["cpu", "disk"])),
        ("state=archived", json!(["bill"])),
        ("state=snoozed", json!([])),
        ("state=new", json!([422, "state"])),
        ("severity=critical,info", json!(["bill", "disk"])),
        ("severity=loud", json!([422, "severity"])),
        ("category=load,capacity", json!(["cpu", "disk"])),
        ("category=a%5C,b", json!(["bill"])),
        ("label=env:prod", json!(["cpu", "disk"])),
        ("label=env:prod,team:a%5C,b", json!(["disk"])),
        ("label=env", json!([422, "label"])),
        ("group=none", json!([])),
        ("q=db&state=open&severity=critical&category=capacity&label=env:prod", json!(["disk"])),
        ("q=db&state=archived", json!([])),
    ] {
        assert_eq!(found(&fleet, query).await?, expected, "{query}");
    }

    // Pages of what is found lead on, as all pages do.
    let (_, first) = fleet.user("ana", Method::GET, "/v1/inbox?q=db&limit=1", None).await?;
    let rest = format!("/v1/inbox?q=db&limit=1&before={}", first["next_before"].as_str().unwrap());
    let (_, second) = fleet.user("ana", Method::GET, &rest, None).await?;
    let ids = [&first, &second].map(|page| page["alerts"][0]["alert"]["id"].clone());
    assert_eq!(ids, ["cpu", "disk"], "the newest change first");
    assert_eq!(
        (&first["seq"], &first["unread"]),
        (&second["seq"], &json!(1)),
        "the head is that of the inbox"
    );

    let (_, categories) = fleet.user("ana", Method::GET, "/v1/inbox/categories", None).await?;
    assert_eq!(categories, json!({"categories": ["a,b", "capacity", "load"], "complete": true}));
    let (_, none) = fleet.user("zoe", Method::GET, "/v1/inbox/categories", None).await?;
    assert_eq!(none, json!({"categories": [], "complete": true}));
    Ok(())
}
