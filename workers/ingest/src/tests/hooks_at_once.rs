//! Hook posts about one alert at the same moment, and what a source suppresses and takes back.

use serde_json::{Value, json};
use watchbell::domain::{Alert, AlertId, Status, Tenant};

use super::fixture::{self, Dispatch, Fixture};

fn pagerduty(action: &str, severity: &str, summary: &str) -> (&'static str, Value) {
    let body = json!({
        "event_action": action, "dedup_key": "disk",
        "payload": {"summary": summary, "severity": severity, "source": "db-1"},
    });
    ("/v1/hooks/pagerduty?users=ana", body)
}

fn alertmanager(status: &str, summary: &str, receiver: &str) -> (&'static str, Value) {
    let alert = json!({
        "status": status, "labels": {"alertname": "Disk"}, "annotations": {"summary": summary},
        "startsAt": "2026-11-21T11:59:30Z", "fingerprint": "f",
    });
    ("/v1/hooks/alertmanager?users=ana", json!({"version": "4", "receiver": receiver, "alerts": [alert]}))
}

/// All read the same stored version. Each is recorded, in the order that they win, and none is set aside.
#[tokio::test]
async fn of_posts_at_one_moment_none_is_lost() {
    for (why, first, at_once, versions) in [
        (
            "two severities, and nothing is stored",
            None,
            vec![pagerduty("trigger", "warning", "80 %"), pagerduty("trigger", "critical", "99 %")],
            2,
        ),
        (
            "another text and the end",
            Some(pagerduty("trigger", "warning", "80 %")),
            vec![pagerduty("trigger", "critical", "99 %"), pagerduty("resolve", "critical", "99 %")],
            3,
        ),
        (
            "in hand and the end",
            Some(pagerduty("trigger", "warning", "80 %")),
            vec![pagerduty("acknowledge", "warning", "80 %"), pagerduty("resolve", "warning", "80 %")],
            2,
        ),
        (
            "two of Alertmanager that differ in nothing that is news",
            None,
            vec![alertmanager("firing", "full", "a"), alertmanager("firing", "full", "b")],
            1,
        ),
        (
            "several texts",
            None,
            (0..4).map(|n| alertmanager("firing", ["1 %", "2 %", "3 %", "4 %"][n], "a")).collect(),
            4,
        ),
    ] {
        let fixture = Fixture::new(Dispatch::Records).await;
        if let Some((uri, body)) = first {
            assert_eq!(fixture.post(uri, body).await.status, 202, "{why}");
        }
        let ends = at_once.iter().any(|(_, body)| body["event_action"] == "resolve");
        let posts = at_once.iter().map(|(uri, body)| fixture.post(uri, body));
        let answers = futures_util::future::join_all(posts).await;
        for answer in &answers {
            assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        }
        let id = fixture.alerts()[0].id.clone();
        let tenant = Tenant::parse("acme").unwrap();
        let stored = fixture.store.latest(&tenant, &id).await.unwrap().unwrap();
        // What was acknowledged after its end is news to nobody, so the order decides whether it has a version.
        assert!(stored.version >= versions, "{why}: {stored:?}");
        if ends {
            let told = fixture.alerts().into_iter().any(|alert| alert.status == Status::Resolved);
            assert!(told, "{why}");
        }
        // Each text was recorded as some version: whoever asks again is told that nothing is new.
        let known = fixture.store.known_alerts(&tenant, std::slice::from_ref(&id)).await.unwrap();
        let recorded = known[&id].said.to_string();
        let published: Vec<Alert> = fixture.alerts();
        let statuses = |status: Status| {
            published.iter().filter(|alert| alert.status == status).any(|alert| {
                let content = watchbell::wire::content_of(alert);
                let fingerprint =
                    watchbell::domain::publication::Fingerprint::of(&content, alert.policy.as_deref());
                let hash = fingerprint.to_string();
                recorded.contains(hash.split('@').next().unwrap())
            })
        };
        assert!(!ends || statuses(Status::Resolved), "{why}: the end is recorded");
    }
}

/// Uptime Kuma puts a monitor under maintenance and finds it down behind it; a person who put it off is not overruled.
#[tokio::test]
async fn what_a_source_suppressed_it_takes_back() {
    let kuma = |status: u8| json!({"heartbeat": {"status": status, "monitorID": 7}, "monitor": {"id": 7, "name": "Shop"}, "msg": "m"});
    let uri = "/v1/hooks/uptime-kuma?users=ana";
    for (why, posts, by_hand, expected) in [
        ("maintenance, then down", &[0, 3, 0][..], None, Status::Firing),
        ("down, and put off by hand", &[0, 0], Some(json!({"status": "suppressed"})), Status::Suppressed),
        (
            "down, and put off until a time",
            &[0, 0],
            Some(json!({"status": "suppressed", "dismissed_until": "2026-11-22T12:00:00Z"})),
            Status::Suppressed,
        ),
        ("maintenance, then up", &[0, 3, 1], None, Status::Resolved),
    ] {
        let fixture = Fixture::new(Dispatch::Records).await;
        for (at, status) in posts.iter().enumerate() {
            if let Some(change) = by_hand.as_ref().filter(|_| at == 1) {
                let id = fixture.alerts()[0].id.clone();
                let answer =
                    fixture.send("PATCH", &format!("/v1/alerts/{id}"), &[], change.to_string()).await;
                assert_eq!(answer.status, 202, "{why}: {}", answer.text);
            }
            let answer = fixture.post(uri, kuma(*status)).await;
            assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        }
        let last = fixture.alerts().pop().unwrap();
        assert_eq!(last.status, expected, "{why}");
        let mark = last.data.get("watchbell_suppressed_by");
        assert_eq!(mark, None, "{why}: who takes it back takes the mark away");
    }
}

/// A misspelt name is told of, and the alert is recorded for it all the same.
#[tokio::test]
async fn names_by_which_nobody_is_told_are_in_the_answer() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let member = json!({"add": ["ana"]}).to_string();
    assert_eq!(fixture.send("PUT", "/v1/groups/ops/members", &[], member).await.status, 204);
    let nothing = Value::Null;
    for (why, parameters, labels, users, groups) in [
        ("all are known", "users=ana&groups=ops", json!({}), nothing.clone(), nothing.clone()),
        ("nobody of that name", "users=nobody", json!({}), json!(["nobody"]), nothing.clone()),
        ("a comma that is part of a name", "users=ana%2Cben", json!({}), json!(["ana,ben"]), nothing.clone()),
        ("one of two", "users=ana,anna", json!({}), json!(["anna"]), nothing.clone()),
        (
            "a misspelt label",
            "users=ana",
            json!({"watchbell_users": "anna"}),
            json!(["anna"]),
            nothing.clone(),
        ),
        ("a group in which nobody is", "groups=nosuch,ops", json!({}), nothing.clone(), json!(["nosuch"])),
    ] {
        let (_, mut body) = alertmanager("firing", why, "a");
        body["alerts"][0]["labels"] = labels;
        let answer = fixture.post(&format!("/v1/hooks/alertmanager?{parameters}"), body).await;
        assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        let entry = &answer.json()["alerts"][0];
        assert_eq!((&entry["users_unknown"], &entry["groups_empty"]), (&users, &groups), "{why}");
        let count = users.as_array().map_or(Value::Null, |users| users.len().into());
        assert_eq!(entry["users_unknown_count"], count, "{why}");
        assert_eq!(entry["result"], "accepted", "{why}");
    }
}

#[tokio::test]
async fn an_alert_that_has_had_its_last_version_is_refused() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let (uri, down) = alertmanager("firing", "full", "a");
    assert_eq!(fixture.post(uri, &down).await.status, 202);
    let last = Alert { version: u32::MAX, ..fixture.alerts().remove(0) };
    let id: AlertId = last.id.clone();
    fixture::record_uncompared(&fixture.store, last).await;
    let (status, problem) = fixture.post(uri, alertmanager("resolved", "full", "a").1).await.problem();
    assert_eq!(status, 409, "{id}");
    assert!(problem.contains("last version"), "{problem}");
}
