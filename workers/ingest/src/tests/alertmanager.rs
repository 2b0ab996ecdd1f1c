//! `POST /v1/hooks/alertmanager`.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::domain::{Alert, Severity, Status};

use super::fixture::{Dispatch, Fixture};
use crate::limits::Limits;

const HOOK: &str = "/v1/hooks/alertmanager";
const TO_ANA: &str = "/v1/hooks/alertmanager?users=ana";

/// As Alertmanager 0.28 posts it.
fn post(alerts: &[Value]) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"DiskFull\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "team-x", "groupLabels": {"alertname": "DiskFull"}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://am:9093", "alerts": alerts,
    })
}

fn firing(fingerprint: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"},
        "annotations": {"summary": "Disk of db-1 is full", "description": "91 % used"},
        "startsAt": "2026-11-21T11:59:30.123Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up", "fingerprint": fingerprint,
    })
}

fn with(mut alert: Value, field: &str, value: Value) -> Value {
    alert[field] = value;
    alert
}

fn resolved(fingerprint: &str) -> Value {
    with(with(firing(fingerprint), "status", json!("resolved")), "endsAt", json!("2026-11-21T12:30:00Z"))
}

async fn accepted(fixture: &Fixture, uri: &str, alerts: &[Value]) -> Alert {
    let answer = fixture.post(uri, post(alerts)).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"accepted": alerts.len()})), "{}", answer.text);
    fixture.alerts().pop().unwrap()
}

#[tokio::test]
async fn a_firing_alert_becomes_one_of_ours() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let uri = "/v1/hooks/alertmanager?users=ana,ben&groups=ops&everyone=true&policy=critical";
    let alert = accepted(&fixture, uri, &[firing("9f86d081884c7d65")]).await;
    let users: Vec<&str> = alert.to.users.iter().map(|user| user.as_str()).collect();
    assert_eq!((users, alert.to.groups[0].as_str(), alert.to.everyone), (vec!["ana", "ben"], "ops", true));
    assert_eq!((alert.version, alert.status, alert.severity), (1, Status::Firing, Severity::Critical));
    assert_eq!((alert.title.as_str(), alert.body.as_deref()), ("Disk of db-1 is full", Some("91 % used")));
    assert_eq!(
        (alert.source.as_deref(), alert.category.as_deref()),
        (Some("alertmanager"), Some("DiskFull"))
    );
    assert_eq!(alert.url.as_deref(), Some("http://prometheus:9090/graph?g0.expr=up"));
    assert_eq!(alert.labels["instance"], "db-1");
    assert_eq!(alert.policy.as_deref(), Some("critical"));
    assert_eq!(Value::Object(alert.data), json!({"receiver": "team-x", "externalURL": "http://am:9093"}));
    assert_eq!(alert.occurred_at.to_string(), "2026-11-21T11:59:30.123Z");
}

#[tokio::test]
async fn its_end_is_the_second_version_of_the_same_alert() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let begun = accepted(&fixture, TO_ANA, &[firing("f")]).await;
    let ended = accepted(&fixture, TO_ANA, &[resolved("f")]).await;
    assert_eq!((&ended.id, ended.version, ended.status), (&begun.id, 2, Status::Resolved));
    let shown = fixture.get(&format!("/v1/alerts/{}", begun.id)).await.json();
    assert_eq!((&shown["alert"]["status"], &shown["recipients"]), (&json!("resolved"), &json!(1)));
    let again = accepted(&fixture, TO_ANA, &[firing("f")]).await;
    assert_eq!((&again.id, again.version), (&begun.id, 3), "it fires again under its old start");
    let timeline = fixture.get(&format!("/v1/alerts/{}/timeline", begun.id)).await.json();
    assert_eq!(timeline["recipients"][0]["stopped"], Value::Null, "and is chased again");
}

/// Both of a pair post the same group, and each posts it again with every flush.
#[tokio::test]
async fn a_pair_that_posts_twice_is_one_row() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let first = accepted(&fixture, TO_ANA, &[firing("f")]).await;
    let second = accepted(&fixture, TO_ANA, &[firing("f")]).await;
    assert_eq!(first, second);
    assert_eq!(fixture.messages()[0], fixture.messages()[1], "the same message id, too");
    let ana = fixture.get(&format!("/v1/alerts/{}/timeline?user=ana", first.id)).await.json();
    assert_eq!(ana["recipients"][0]["seq"], 1, "one change of the inbox");
    for (why, other) in [
        ("another alert", firing("g")),
        ("another start", with(firing("f"), "startsAt", json!("2026-11-21T12:00:00Z"))),
    ] {
        assert_ne!(accepted(&fixture, TO_ANA, &[other]).await.id, first.id, "{why}");
    }
    let same = with(firing("f"), "startsAt", json!("2026-11-21T11:59:30.123000Z"));
    assert_eq!(accepted(&fixture, TO_ANA, &[same]).await.id, first.id, "the same moment, written otherwise");
}

#[tokio::test]
async fn what_a_newer_alertmanager_adds_is_passed_over() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let mut body = post(&[with(firing("f"), "silencedBy", json!([]))]);
    body["notification_reason"] = json!("first notification");
    body["routeLabels"] = json!({"team": "x"});
    assert_eq!(fixture.post(TO_ANA, body).await.status, 202);
    let none = fixture.post(TO_ANA, post(&[])).await;
    assert_eq!((none.status, none.json()), (202, json!({"accepted": 0})));
}

#[tokio::test]
async fn the_labels_of_an_alert_say_whom_it_is_for_before_the_address_does() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let labels = json!({"alertname": "A", "watchbell_users": "cem, dan", "watchbell_groups": "db"});
    for uri in [HOOK, TO_ANA] {
        let alert = accepted(&fixture, uri, &[with(firing("f"), "labels", labels.clone())]).await;
        let users: Vec<&str> = alert.to.users.iter().map(|user| user.as_str()).collect();
        assert_eq!(
            (users, alert.to.groups[0].as_str(), alert.to.everyone),
            (vec!["cem", "dan"], "db", false)
        );
        assert_eq!(alert.labels.len(), 1, "the audience is no label of the alert");
    }
}

#[tokio::test]
async fn what_will_never_be_right_is_refused_with_the_remedy() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let bad_label = with(firing("f"), "labels", json!({"watchbell_users": "a/b"}));
    let no_time = with(firing("f"), "startsAt", json!("yesterday"));
    let mut old = post(&[firing("f")]);
    old["version"] = json!("3");
    for (why, uri, body, status, begins) in [
        ("not JSON", TO_ANA, json!("x").to_string() + "}", 422, "body: is not what a webhook"),
        ("half", TO_ANA, "{".into(), 400, "The body is not JSON: EOF"),
        ("another version", TO_ANA, old.to_string(), 422, "version: must be \"4\""),
        (
            "nobody is named",
            HOOK,
            post(&[firing("f")]).to_string(),
            422,
            "[0] to: Nobody is named. Add ?users=ana,ben",
        ),
        (
            "a label that is no name",
            TO_ANA,
            post(&[firing("f"), bad_label]).to_string(),
            422,
            "[1] labels.watchbell_users: must not contain '/'",
        ),
        (
            "a time that is none",
            TO_ANA,
            post(&[no_time]).to_string(),
            422,
            "[0] startsAt: must be an RFC 3339 time",
        ),
        (
            "a wrong type",
            TO_ANA,
            post(&[with(firing("f"), "labels", json!(7))]).to_string(),
            422,
            "alerts[0].labels: is not what a webhook",
        ),
        (
            "no policy of that name",
            "/v1/hooks/alertmanager?users=ana&policy=urgent",
            post(&[firing("f")]).to_string(),
            422,
            "policy: must be one of critical, default",
        ),
        (
            "a misspelt parameter",
            "/v1/hooks/alertmanager?user=ana",
            post(&[]).to_string(),
            422,
            "query: has a parameter that is not known: accepted are users, groups, everyone, policy",
        ),
        (
            "neither true nor false",
            "/v1/hooks/alertmanager?everyone=1",
            post(&[]).to_string(),
            422,
            "everyone: must be true or false",
        ),
        (
            "more than a request holds",
            TO_ANA,
            post(&vec![firing("f"); 1_001]).to_string(),
            422,
            "alerts: has more than 1000: set `max_alerts: 1000` in webhook_config",
        ),
    ] {
        let (found, problem) = fixture.post(uri, body).await.problem();
        assert_eq!(found, status, "{why}: {problem}");
        assert!(problem.starts_with(begins), "{why}: {problem}");
    }
    assert_eq!(fixture.messages().len(), 0);
}

#[tokio::test]
async fn what_is_not_confirmed_is_a_5xx_which_alertmanager_repeats() {
    let soon = Limits { publish_deadline: Duration::from_millis(20), ..Limits::default() };
    let fixture = Fixture::within(Dispatch::Absent, soon).await;
    let answer = fixture.post(TO_ANA, post(&[firing("f")])).await;
    assert_eq!(answer.problem().0, 503);
}
