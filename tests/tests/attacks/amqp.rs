//! Attacks over AMQP by somebody who may write to `watchbell.alerts` and to nothing else: naming another's tenant,
//! taking an alert away from its owner by its version, and writing lines into the operator's log.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use watchbell::{
    broker::topology::{PARTITIONS, live_exchange},
    domain::UserKey,
};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, entries, place},
    fleet::{Engine, Fleet},
    services,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// The fleet's own user, and two producers.
const MAPPED: &str = r#"
[[broker.producer]]
user = "guest"
tenants = ["*"]
[[broker.producer]]
user = "acme-svc"
tenants = ["acme"]
"#;

/// A producer with the least permissions that `watchbell topology show` prints. Gives the URL that it connects to.
async fn producer(fleet: &Fleet, user: &str) -> anyhow::Result<String> {
    let url = &fleet.urls.as_ref().context("services")?.broker;
    let vhost = url.rsplit('/').next().context("a vhost")?;
    let rabbit = services::rabbit().await?;
    let _ = rabbit.ctl(&["add_user", user, "secret"]).await; // Another test may have made it.
    rabbit.ctl(&["set_permissions", "-p", vhost, user, "^$", r"^watchbell\.alerts$", "^$"]).await?;
    Ok(url.replacen("guest:guest", &format!("{user}:secret"), 1))
}

/// Publishes to the exchange of alerts, under this `message_id`, and as the user that the properties name.
async fn publish(
    amqp: &mut RawAmqp,
    user: Option<&str>,
    id: &[u8],
    body: &Value,
) -> anyhow::Result<Published> {
    let mut properties =
        Properties::default().text(place::CONTENT_TYPE, b"application/json").text(place::MESSAGE_ID, id);
    if let Some(user) = user {
        properties = properties.text(place::USER_ID, user.as_bytes());
    }
    let message = RawMessage { properties: properties.encode(), body: body.to_string().into_bytes() };
    amqp.publish(b"watchbell.alerts", b"", &message).await
}

/// The reason of the next parked message, and the title that it has.
async fn parked(operator: &mut RawAmqp) -> anyhow::Result<(String, String)> {
    let found =
        until("a parked message", DEADLINE, async || operator.take("watchbell.rejected").await.transpose());
    let RawMessage { properties, body } = found.await??;
    let headers = Properties::decode(&properties)?.0[place::HEADERS].take().context("no headers")?;
    let headers: BTreeMap<_, _> = entries(&headers)?.into_iter().collect();
    let reason = headers.get(b"watchbell-reason".as_slice()).context("no reason")?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let title = body["title"].as_str().unwrap_or_default().to_owned();
    Ok((String::from_utf8_lossy(&reason[5..]).into_owned(), title))
}

fn alert(tenant: &str, id: &str, version: u32, title: &str) -> Value {
    json!({"tenant": tenant, "id": id, "version": version, "title": title, "to": {"users": ["ana"]}})
}

/// A user of the broker publishes for the tenants it is mapped to; what it publishes for others is parked.
async fn a_tenant_is_not_taken_at_its_word(fleet: &Fleet) -> anyhow::Result<()> {
    let mut operator = RawAmqp::connect(&fleet.urls.as_ref().context("services")?.broker).await?;
    let mut acme = RawAmqp::connect(&producer(fleet, "acme-svc").await?).await?;
    let mut eve = RawAmqp::connect(&producer(fleet, "eve").await?).await?;

    let (mine, theirs) = (alert("acme", "a-1", 1, "mine"), alert("globex", "g-1", 1, "not mine"));
    assert_eq!(publish(&mut acme, Some("acme-svc"), b"m-1", &mine).await?, Published::Confirmed);
    let inbox = until("the alert of its own tenant", DEADLINE, async || {
        fleet.inbox("ana").await.ok().filter(|inbox| !inbox.is_empty())
    });
    assert_eq!(inbox.await?[0]["alert"]["title"], "mine");

    let event = json!({"kind": "event", "tenant": "globex", "topic": "monitor:7", "type": "x", "data": {"of": "globex"}});
    let nameless = alert("acme", "a-2", 1, "nameless");
    for (why, is_acme, user, body, reason) in [
        (
            "another tenant",
            true,
            Some("acme-svc"),
            &theirs,
            "`acme-svc` may not publish for the tenant globex",
        ),
        (
            "another tenant's event",
            true,
            Some("acme-svc"),
            &event,
            "`acme-svc` may not publish for the tenant globex",
        ),
        ("no user", true, None, &nameless, "is missing"),
        ("a user whom nobody mapped", false, Some("eve"), &mine, "`eve` is mapped to no tenant"),
    ] {
        let by = if is_acme { &mut acme } else { &mut eve };
        assert_eq!(publish(by, user, b"m-2", body).await?, Published::Confirmed, "{why}");
        let (said, title) = parked(&mut operator).await?;
        assert!(said.starts_with(&format!("user_id: {reason}")), "{why}: {said}");
        assert!(said.contains("[[broker.producer]]"), "{why} names the remedy: {said}");
        assert_eq!(title, body["title"].as_str().unwrap_or_default(), "{why}");
    }
    // Nobody publishes as somebody else: the broker itself refuses it.
    let forged = publish(&mut eve, Some("acme-svc"), b"m-3", &mine).await?;
    assert!(matches!(forged, Published::Closed(_)), "{forged:?}");

    // What ingest publishes comes from the fleet's own user, and says so.
    fleet.send(&json!({"id": "h-1", "title": "over HTTP", "to": {"users": ["ana"]}})).await?;
    until("the alert over HTTP", DEADLINE, async || {
        fleet
            .inbox("ana")
            .await
            .ok()
            .filter(|inbox| inbox.iter().any(|row| row["alert"]["title"] == "over HTTP"))
    })
    .await?;
    assert_eq!(fleet.inbox("ana").await?.len(), 2, "and nothing of what was refused");
    Ok(())
}

/// A version far ahead would end somebody's alert, and its owner could never say anything later.
async fn an_alert_is_not_seized_by_its_version(fleet: &Fleet) -> anyhow::Result<()> {
    let mut operator = RawAmqp::connect(&fleet.urls.as_ref().context("services")?.broker).await?;
    let mut acme = RawAmqp::connect(&producer(fleet, "acme-svc").await?).await?;
    fleet.send(&json!({"id": "disk", "title": "disk full", "to": {"users": ["ben"]}})).await?;
    let titles = async || -> anyhow::Result<Vec<Value>> {
        Ok(fleet.inbox("ben").await?.iter().map(|row| row["alert"]["title"].clone()).collect())
    };
    until("the owner's alert", DEADLINE, async || titles().await.ok().filter(|titles| !titles.is_empty()))
        .await?;

    for (why, id, version) in
        [("the last word", "disk", u32::MAX), ("a first version of its own", "new", 1_000_001)]
    {
        let seized = json!({"tenant": "acme", "id": id, "version": version, "status": "resolved", "title": "seized", "to": {"users": ["ben"]}});
        publish(&mut acme, Some("acme-svc"), b"m-4", &seized).await?;
        let (said, title) = parked(&mut operator).await?;
        assert!(said.starts_with("version: is too far ahead"), "{why}: {said}");
        assert_eq!(title, "seized", "{why}");
        let body = json!({"id": id, "version": version, "title": "seized", "to": {"users": ["ben"]}});
        let (status, problem) = fleet.publish(&body).await?;
        assert_eq!((status, &problem["field"]), (409, &json!("version")), "{why}, over HTTP: {problem}");
    }
    let (status, problem) = fleet
        .producer(reqwest::Method::PATCH, "/v1/alerts/disk", Some(&json!({"version": u32::MAX})))
        .await?;
    assert_eq!((status, &problem["field"]), (409, &json!("version")), "by a change: {problem}");

    fleet
        .send(&json!({"id": "disk", "version": 1_000_001, "title": "disk fixed", "to": {"users": ["ben"]}}))
        .await?;
    until("the owner's next word", DEADLINE, async || {
        titles().await.ok().filter(|titles| titles.as_slice() == [json!("disk fixed")])
    })
    .await?;
    Ok(())
}

/// What an outsider writes stands in the log as theirs, on one line.
async fn a_log_is_not_forged(fleet: &Fleet) -> anyhow::Result<()> {
    const FORGED: &str = "x\n2026-11-30T08:00:00.000000Z  INFO watchbell::forged: all is well\u{1b}[31m";
    let mut operator = RawAmqp::connect(&fleet.urls.as_ref().context("services")?.broker).await?;
    let mut acme = RawAmqp::connect(&producer(fleet, "acme-svc").await?).await?;
    // In an id, in the name of a field, and in a message to the pods, which the fleet's own user may write.
    publish(&mut acme, Some("acme-svc"), FORGED.as_bytes(), &json!({"tenant": "acme", FORGED: 1})).await?;
    parked(&mut operator).await?;
    let _session = fleet.session("socket-1", "ana", None).await?;
    let ana = UserKey::new(fleet.tenant().clone(), watchbell::domain::UserId::parse("ana")?);
    let exchange = live_exchange(ana.partition(PARTITIONS));
    let properties = Properties::default().text(place::CONTENT_TYPE, b"application/json").encode();
    let body = json!({FORGED: {}}).to_string().into_bytes();
    let live = RawMessage { properties, body };
    operator.publish(exchange.as_bytes(), b"", &live).await?;

    for (worker, says) in
        [("dispatch", "Refused a message"), ("socket-1", "A live message could not be read")]
    {
        let what = format!("{worker} says: {says}");
        let log = until(&what, DEADLINE, async || {
            fleet.logs().into_iter().find(|(name, log)| *name == worker && log.contains(says))
        });
        let (_, log) = log.await?;
        assert!(log.contains("watchbell::forged"), "{worker}: what was sent is shown: {log}");
        for line in log.lines() {
            assert!(!line.contains(" INFO watchbell::forged") || line.contains(says), "{worker}: {line}");
        }
        assert!(!log.chars().any(|c| c.is_control() && c != '\n'), "{worker}: {log:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_over_amqp_reaches_its_own_tenant_and_no_log() -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(Engine::Services, MAPPED, &[]).await?;
    a_tenant_is_not_taken_at_its_word(&fleet).await?;
    an_alert_is_not_seized_by_its_version(&fleet).await?;
    a_log_is_not_forged(&fleet).await
}
