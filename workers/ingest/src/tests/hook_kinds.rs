//! What must hold at every hook, whichever product posts: ends, identities, what cannot be read, and large audiences.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use watchbell::domain::{Alert, AlertId, Status, UserId};

use super::fixture::{self, Configured, Dispatch, Fixture};
use crate::{HookConfig, limits::HOOK_NAMES_MAX};

macro_rules! payload {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../tests/fixtures/producers/", $name)))
            .unwrap()
    };
}

fn changed(mut payload: Value, pointer: &str, value: Value) -> Value {
    *payload.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    payload
}

fn acme() -> Configured {
    let mut config = Configured::default();
    config.hook.push(HookConfig {
        path: "acme".into(),
        id: Some("number".into()),
        title: "name".into(),
        status: Some("state".into()),
        ..HookConfig::default()
    });
    config
}

/// An alert that fires, and what the same product says of it with only what it needs, or under another name.
#[tokio::test]
async fn an_end_needs_only_the_key_and_a_new_name_makes_no_new_alert() {
    let kuma = || payload!("uptime-kuma/down.json");
    let up = || payload!("uptime-kuma/up.json");
    let kuma_named =
        || changed(changed(kuma(), "/monitor/id", Value::Null), "/heartbeat/monitorID", Value::Null);
    let datadog = || payload!("datadog/recommended.json");
    let sentry = || payload!("sentry/event_alert.json");
    let failure = || payload!("github/failure.json");
    let success = || payload!("github/success.json");
    let metric = || payload!("sentry/metric_alert.json");
    let acme_fires = || json!({"number": 7, "name": "Disk full", "state": "open"});
    let alert = json!({"labels": {"alertname": "A"}, "fingerprint": "f", "startsAt": "2026-11-21T11:59:30Z"});
    let am = |more: Value| {
        let mut one = alert.clone();
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"alerts": [one]})
    };
    for (why, hook, fires, ends) in [
        (
            "no monitor",
            "uptime-kuma",
            kuma(),
            json!({"heartbeat": {"monitorID": 7, "status": 1}, "monitor": null, "msg": null}),
        ),
        (
            "no monitor, a text",
            "uptime-kuma",
            kuma(),
            json!({"heartbeat": {"monitorID": "7", "status": "1"}, "monitor": null, "msg": "x"}),
        ),
        ("renamed", "uptime-kuma", kuma(), changed(up(), "/monitor/name", json!("The shop"))),
        ("moved", "uptime-kuma", kuma(), changed(up(), "/monitor/url", json!("https://other"))),
        (
            "only the name, in the message",
            "uptime-kuma",
            kuma_named(),
            json!({"heartbeat": {"status": 1}, "monitor": null, "msg": "[Shop] [✅ Up] 200 - OK"}),
        ),
        (
            "the cycle",
            "datadog",
            datadog(),
            json!({"alert_cycle_key": "8d1e2c3b4a5f60718293a4b5c6d7e8f9", "alert_transition": "Recovered"}),
        ),
        (
            "no title",
            "datadog",
            datadog(),
            changed(payload!("datadog/recommended_recovered.json"), "/title", Value::Null),
        ),
        (
            "a monitor that was renamed",
            "datadog",
            datadog(),
            changed(payload!("datadog/recommended_recovered.json"), "/title", json!("[Recovered] Processor")),
        ),
        (
            "[RESOLVED]",
            "datadog",
            payload!("datadog/default.json"),
            changed(
                payload!("datadog/default_recovered.json"),
                "/title",
                json!("[RESOLVED on {host:web-3}] CPU is high"),
            ),
        ),
        (
            "the issue",
            "sentry",
            sentry(),
            json!({"action": "resolved", "data": {"issue": {"id": "1170820242"}}}),
        ),
        (
            "the issue as a number, null beside it",
            "sentry",
            sentry(),
            json!({"action": "resolved", "data": {"issue": {"id": 1_170_820_242, "title": null, "level": null}}}),
        ),
        (
            "a metric alert",
            "sentry",
            metric(),
            json!({"action": "resolved", "data": {"metric_alert": {"id": metric()["data"]["metric_alert"]["id"]}}}),
        ),
        (
            "a run and a branch",
            "github",
            failure(),
            json!({"workflow_run": {"conclusion": "success",
            "workflow_id": failure()["workflow_run"]["workflow_id"], "head_branch": "main"}}),
        ),
        (
            "a workflow that was renamed",
            "github",
            failure(),
            changed(success(), "/workflow_run/name", json!("Build")),
        ),
        (
            "a repository that was renamed",
            "github",
            failure(),
            changed(success(), "/repository/full_name", json!("acme/store")),
        ),
        (
            "decoration that is nothing",
            "alertmanager",
            am(json!({"annotations": {"summary": "s"}})),
            am(json!({"status": "resolved", "annotations": null, "endsAt": null, "generatorURL": 7})),
        ),
        (
            "the same",
            "grafana",
            am(json!({"annotations": {"summary": "s"}})),
            am(json!({"status": "resolved"})),
        ),
        (
            "PagerDuty's key",
            "pagerduty",
            json!({"event_action": "trigger", "dedup_key": "k", "payload": {"summary": "s"}}),
            json!({"event_action": "resolve", "dedup_key": "k", "payload": 7}),
        ),
        ("no title", "acme", acme_fires(), json!({"number": 7, "name": null, "state": "closed"})),
        ("an id as a text", "acme", acme_fires(), json!({"number": "7", "state": "closed"})),
        ("renamed", "acme", acme_fires(), json!({"number": 7, "name": "Disk is full", "state": "resolved"})),
    ] {
        let fixture = Fixture::configured(Dispatch::Records, &acme()).await;
        let uri = format!("/v1/hooks/{hook}?users=ana");
        assert_eq!(fixture.post(&uri, fires).await.status, 202, "{hook}: {why}");
        let answer = fixture.post(&uri, ends).await;
        assert_eq!(answer.status, 202, "{hook}: {why}: {}", answer.text);
        let [fired, ended] =
            fixture.alerts().try_into().unwrap_or_else(|all| panic!("{hook}: {why}: {all:?}"));
        assert_eq!(
            (&ended.id, ended.version, ended.status),
            (&fired.id, 2, Status::Resolved),
            "{hook}: {why}"
        );
        if why == "no title" {
            assert_eq!(ended.title, fired.title, "{hook}: an end that says nothing changes no text");
        }
    }
}

/// What says that something ended, and not what, ends nothing, and its sender hears it.
#[tokio::test]
async fn an_end_without_a_key_is_refused() {
    let fixture = Fixture::configured(Dispatch::Records, &acme()).await;
    for (hook, payload, field) in [
        ("uptime-kuma", json!({"heartbeat": {"status": 1}, "monitor": null, "msg": "up again"}), "id"),
        ("datadog", json!({"alert_transition": "Recovered"}), "title"),
        ("sentry", json!({"action": "resolved", "data": {"issue": {}}}), "id"),
        ("pagerduty", json!({"event_action": "resolve"}), "dedup_key"),
        ("acme", json!({"state": "closed"}), "id"),
    ] {
        let answer = fixture.post(&format!("/v1/hooks/{hook}?users=ana"), payload).await;
        assert_eq!((answer.status, &answer.json()["field"]), (422, &json!(field)), "{hook}");
    }
    assert!(fixture.alerts().is_empty());
}

#[tokio::test]
async fn two_alerts_that_say_little_never_become_one() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let kuma = payload!("uptime-kuma/down.json");
    for (why, uri, payload) in [
        ("one", "/v1/hooks/alertmanager?users=ana", json!({"alerts": [{"annotations": {"summary": "a"}}]})),
        (
            "without labels",
            "/v1/hooks/alertmanager?users=ana",
            json!({"alerts": [{"annotations": {"summary": "b"}}]}),
        ),
        ("an event", "/v1/hooks/sentry?users=ana", json!({"data": {"event": {"message": "a"}}})),
        ("without an issue", "/v1/hooks/sentry?users=ana", json!({"data": {"event": {"message": "b"}}})),
        ("a monitor", "/v1/hooks/uptime-kuma?users=ana&from=berlin", kuma.clone()),
        ("of another installation", "/v1/hooks/uptime-kuma?users=ana&from=paris", kuma.clone()),
        ("that has no name", "/v1/hooks/uptime-kuma?users=ana", kuma),
    ] {
        assert_eq!(fixture.post(uri, payload).await.status, 202, "{why}");
    }
    let ids: BTreeSet<AlertId> = fixture.alerts().into_iter().map(|alert| alert.id).collect();
    assert_eq!((ids.len(), fixture.alerts().len()), (7, 7));
}

/// One value that cannot be read, in the first of two alerts.
#[tokio::test]
async fn one_value_that_cannot_be_read_refuses_nothing() {
    let nested = |levels: usize| format!("{}1{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
    for (why, value) in [
        ("nested to the bound of the reader", nested(122)),
        ("nested beyond it", nested(128)),
        ("nested without end", nested(100_000)),
        ("a number that is too large", "1e999".into()),
        ("a number of many digits", "9".repeat(400)),
        ("half of a surrogate pair", r#""\ud83d""#.into()),
        ("a key twice", r#""x", "summary": "y""#.into()),
    ] {
        let fixture = Fixture::new(Dispatch::Records).await;
        let body = format!(
            r#"{{"alerts": [{{"labels": {{"alertname": "A"}}, "annotations": {{"note": {value}}}}},
                {{"labels": {{"alertname": "B"}}}}]}}"#
        );
        let answer = fixture.post("/v1/hooks/alertmanager?users=ana", body).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)), "{why}: {}", answer.text);

        let body = format!(
            r#"{{"event_action": "trigger", "dedup_key": "k", "payload": {{"summary": "s", "custom_details": {{"note": {value}}}}}}}"#
        );
        let answer = fixture.post("/v1/hooks/pagerduty?users=ana", body).await;
        assert_eq!(answer.status, 202, "{why}, of PagerDuty: {}", answer.text);
        assert_eq!(fixture.alerts().len(), 3, "{why}");
    }
}

#[tokio::test]
async fn as_many_people_are_told_as_are_named() {
    let named = |number: usize| (0..number).map(|n| format!("user-{n:05}")).collect::<Vec<_>>();
    for (why, number, told, note) in [
        ("four thousand", 4_000, 4_000, None),
        (
            "more than are told",
            HOOK_NAMES_MAX + 3,
            HOOK_NAMES_MAX,
            Some("3 of the names were left out: an alert is told to 10000 at the most"),
        ),
    ] {
        let fixture = Fixture::new(Dispatch::Acks).await;
        let alert = json!({"labels": {"alertname": "A", "watchbell_users": named(number).join(",")},
            "annotations": {"description": "x".repeat(60_000)}});
        let answer = fixture.post("/v1/hooks/alertmanager", json!({"alerts": [alert]})).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)), "{why}: {}", answer.text);
        assert_eq!(
            answer.json()["alerts"][0]["notes"],
            note.map_or(Value::Null, |note| json!([note])),
            "{why}"
        );
        let copies = fixture.alerts();
        let users: BTreeSet<&str> =
            copies.iter().flat_map(|copy| copy.to.users.iter().map(UserId::as_str)).collect();
        assert_eq!(users.len(), told, "{why}");
        let same: BTreeSet<String> =
            copies.iter().map(|copy| format!("{} {} {}", copy.id, copy.version, copy.title)).collect();
        assert_eq!(same.len(), 1, "{why}: one alert");
    }
}

#[tokio::test]
async fn a_name_with_a_comma_can_be_written() {
    let mut config = Configured::default();
    let mut hook = acme().hook.remove(0);
    hook.audience.users = Some("owners".into());
    config.hook.push(hook);
    let alert = |users: &str| json!({"alerts": [{"labels": {"alertname": "A", "watchbell_users": users}}]});
    for (why, uri, payload) in [
        ("in a label", "/v1/hooks/alertmanager", alert("Smith%2C Jane,ben")),
        ("in the address", "/v1/hooks/alertmanager?users=Smith%2C%20Jane,ben", alert("")),
        ("in the address, repeated", "/v1/hooks/alertmanager?users=Smith%2C+Jane&users=ben", alert("")),
        ("in a list", "/v1/hooks/acme", json!({"number": 1, "name": "x", "owners": ["Smith, Jane", "ben"]})),
    ] {
        let fixture = Fixture::configured(Dispatch::Records, &config).await;
        let answer = fixture.post(uri, payload).await;
        assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        let users: Vec<String> =
            fixture.alerts()[0].to.users.iter().map(|user| user.as_str().to_owned()).collect();
        assert_eq!(users, ["Smith, Jane", "ben"], "{why}");
    }
}

#[tokio::test]
async fn a_payload_of_another_product_is_refused_with_the_right_address() {
    let fixture = Fixture::configured(Dispatch::Records, &acme()).await;
    for (hook, payload, address) in [
        ("datadog", payload!("grafana/resolved.json"), "/v1/hooks/grafana"),
        ("grafana", payload!("datadog/recommended.json"), "/v1/hooks/datadog"),
        ("pagerduty", payload!("alertmanager/firing.json"), "/v1/hooks/alertmanager"),
        ("sentry", payload!("github/failure.json"), "/v1/hooks/github"),
        ("uptime-kuma", json!({"to": {"users": ["ana"]}, "title": "t"}), "/v1/alerts"),
    ] {
        let (status, problem) = fixture.post(&format!("/v1/hooks/{hook}?users=ana"), payload).await.problem();
        assert_eq!(status, 422, "{hook}");
        assert!(problem.ends_with(&format!("post it to {address}")), "{hook}: {problem}");
    }
    assert!(fixture.alerts().is_empty());
    let at_a_configured_one = fixture.post("/v1/hooks/acme?users=ana", payload!("grafana/firing.json")).await;
    assert_eq!(at_a_configured_one.status, 202, "its operator says what it reads");
}

fn about_the_rest(fixture: &Fixture) -> Alert {
    fixture.alerts().into_iter().find(|alert| alert.title.starts_with("and ")).unwrap()
}

/// The alert that tells of the rest is no answer to a post of which nothing can be told.
#[tokio::test]
async fn a_post_that_tells_nobody_is_refused_also_after_a_large_one() {
    let uri = "/v1/hooks/alertmanager?users=ana";
    let fixture = Fixture::new(Dispatch::Acks).await;
    let post = |alerts: Vec<Value>| json!({"groupKey": "g", "receiver": "r", "alerts": alerts});
    let of = |n: usize| json!({"labels": {"alertname": "A", "n": n}, "annotations": {"summary": "s"}});
    let answer = fixture.post(uri, post((0..1_003).map(of).collect())).await;
    let more = about_the_rest(&fixture);
    let entries = answer.json()["alerts"].as_array().unwrap().clone();
    assert_eq!((answer.status, entries.len()), (202, 1_004), "each alert, and the one about the rest");
    let counted: Vec<&Value> = entries.iter().filter(|entry| entry["result"] == "counted").collect();
    assert_eq!(counted.len(), 3, "those that are too many are named");
    assert!(
        counted.iter().all(|entry| entry["id"] == more.id.as_str() && entry["index"].is_u64()),
        "{counted:?}"
    );
    fixture::record(&fixture.store, more).await;

    let published = fixture.alerts().len();
    for (why, alerts) in [("no alerts", vec![json!("x"), json!(7)]), ("one", vec![json!("x")])] {
        let answer = fixture.post(uri, post(alerts.clone())).await;
        assert_eq!(answer.problem().0, 422, "{why}");
        let each = answer.json()["alerts"].as_array().map_or(1, Vec::len);
        assert_eq!(each, alerts.len(), "{why}: the answer says it of each");
        assert_eq!(fixture.alerts().len(), published, "{why}: nothing follows from it");
    }
    let nobody = fixture.post("/v1/hooks/alertmanager", post(vec![of(1)])).await;
    assert_eq!((nobody.problem().0, fixture.alerts().len()), (422, published), "nobody is named");
    let ended = fixture.post(uri, post(vec![of(1)])).await;
    assert_eq!(
        (ended.status, fixture.alerts().len()),
        (202, published + 2),
        "the rest ends with a post that can be told"
    );
}

#[tokio::test]
async fn whoever_would_have_been_told_of_one_of_the_rest_is_told_of_the_rest() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let mut alerts: Vec<Value> = (0..1_000).map(|n| json!({"labels": {"alertname": "A", "n": n}})).collect();
    alerts.push(json!({"labels": {"alertname": "A", "n": 1_000, "watchbell_users": "eve"}}));
    let answer = fixture.post("/v1/hooks/alertmanager?users=ana", json!({"alerts": alerts})).await;
    assert_eq!(answer.status, 202);
    let more = about_the_rest(&fixture);
    assert_eq!((more.to.users.len(), more.to.users[0].as_str()), (1, "eve"));
}
