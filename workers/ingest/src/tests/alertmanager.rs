//! `POST /v1/hooks/alertmanager`.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::domain::{Alert, Severity, Status};

use super::fixture::{self, Dispatch, Fixture};
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
        "labels": {"alertname": "DiskFull", "severity": "critical", "instance": "db-1", "device": fingerprint},
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
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(alerts.len())), "{}", answer.text);
    fixture.alerts().pop().unwrap()
}

/// What the answer says of each alert, and the title of each that was published.
async fn told(fixture: &Fixture, uri: &str, alerts: &[Value]) -> (Vec<String>, Vec<String>) {
    let before = fixture.alerts().len();
    let answer = fixture.post(uri, post(alerts)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let results = answer.json()["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["result"].as_str().unwrap().to_owned())
        .collect();
    let titles = fixture.alerts().split_off(before).into_iter().map(|alert| alert.title).collect();
    (results, titles)
}

#[tokio::test]
async fn a_firing_alert_becomes_one_of_ours() {
    let fixture = Fixture::new(Dispatch::Records).await;
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
    assert_eq!(
        Value::Object(alert.data),
        json!({"receiver": "team-x", "externalURL": "http://am:9093", "generatorURL": "http://prometheus:9090/graph?g0.expr=up"})
    );
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
    assert_ne!(accepted(&fixture, TO_ANA, &[firing("g")]).await.id, first.id, "another alert");
}

#[tokio::test]
async fn what_a_newer_alertmanager_adds_is_passed_over() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let mut body = post(&[with(firing("f"), "silencedBy", json!([]))]);
    body["notification_reason"] = json!("first notification");
    body["routeLabels"] = json!({"team": "x"});
    assert_eq!(fixture.post(TO_ANA, body).await.status, 202);
    let none = fixture.post(TO_ANA, post(&[])).await;
    assert_eq!((none.status, none.json()), (202, json!({"accepted": 0, "alerts": []})));
}

#[tokio::test]
async fn the_labels_of_an_alert_say_whom_it_is_for_before_the_address_does() {
    let fixture = Fixture::new(Dispatch::Records).await;
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

/// Each row is one alert that something is wrong with, in the midst of two that are good.
#[tokio::test]
async fn one_bad_alert_never_silences_the_others() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let labels = |extra: Value| {
        let mut labels = json!({"alertname": "B"});
        labels.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        labels
    };
    let accepted = "accepted";
    for (row, (why, bad, result)) in [
        (
            "a label that is no name",
            with(firing("f"), "labels", labels(json!({"watchbell_users": "a\u{1}b"}))),
            accepted,
        ),
        (
            "one of the names is none",
            with(firing("f"), "labels", labels(json!({"watchbell_groups": "ops,\u{7}"}))),
            accepted,
        ),
        ("a time that is none", with(firing("f"), "startsAt", json!("yesterday")), accepted),
        ("no time", with(firing("f"), "startsAt", Value::Null), accepted),
        ("labels that are none", with(firing("f"), "labels", json!(7)), accepted),
        (
            "labels that are no texts",
            with(firing("f"), "labels", labels(json!({"port": 443, "up": true, "deep": {}}))),
            accepted,
        ),
        ("annotations that are none", with(firing("f"), "annotations", json!(["x"])), accepted),
        (
            "null everywhere",
            json!({"status": null, "labels": null, "annotations": null, "startsAt": null, "endsAt": null,
            "generatorURL": null, "fingerprint": null}),
            accepted,
        ),
        ("nothing", json!({}), accepted),
        ("a number as fingerprint", with(firing("f"), "fingerprint", json!(12)), accepted),
        (
            "an annotation of a megabyte",
            with(firing("f"), "annotations", json!({"description": "\"".repeat(1 << 20)})),
            accepted,
        ),
        ("no alert", json!("x"), "refused"),
        ("null", Value::Null, "refused"),
        ("a list", json!([]), "refused"),
    ]
    .into_iter()
    .enumerate()
    {
        let [first, last] = ["first", "last"]
            .map(|name| with(firing(&format!("{name}{row}")), "annotations", json!({"summary": name})));
        let (results, titles) = told(&fixture, TO_ANA, &[first, bad, last]).await;
        assert_eq!(results, [accepted, result, accepted], "{why}");
        assert_eq!(
            (titles.first().unwrap().as_str(), titles.last().unwrap().as_str()),
            ("first", "last"),
            "{why}"
        );
    }
}

/// A text that was cut inside an emoji, a value that is not a number: one annotation, and not the whole post.
#[tokio::test]
async fn almost_json_is_told() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let body = post(&[firing("f"), firing("g")]).to_string();
    for broken in [r#""\ud83d""#, "NaN", "\"a\nb\""] {
        let body = body.replacen("\"91 % used\"", broken, 1);
        let answer = fixture.send("POST", TO_ANA, &[], body).await;
        assert_eq!(
            (answer.status, &answer.json()["accepted"]),
            (202, &json!(2)),
            "{broken}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn an_audience_that_cannot_be_used_falls_back_to_the_address_with_a_note() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let bad = with(firing("f"), "labels", json!({"alertname": "B", "watchbell_users": "a\u{1}b"}));
    let answer = fixture.post(TO_ANA, post(std::slice::from_ref(&bad))).await;
    let notes = [
        "the label watchbell_users has a name that cannot be used",
        "the address of the hook said whom it is for",
    ];
    let entry = &answer.json()["alerts"][0];
    assert_eq!((&entry["result"], &entry["notes"]), (&json!("accepted"), &json!(notes)));
    let alert = fixture.alerts().remove(0);
    assert_eq!(alert.to.users[0].as_str(), "ana");
    let timeline = fixture.get(&format!("/v1/alerts/{}/timeline", alert.id)).await.json();
    assert_eq!(timeline["notes"], json!(notes), "whoever asks later reads it, too");

    let some = with(firing("g"), "labels", json!({"alertname": "B", "watchbell_users": "ben,a\u{1}b"}));
    let alert = accepted(&fixture, TO_ANA, &[some]).await;
    assert_eq!(alert.to.users.len(), 1, "the name that is one is used");
    assert_eq!(alert.to.users[0].as_str(), "ben");

    let (status, problem) = fixture.post(HOOK, post(&[bad])).await.problem();
    assert_eq!(status, 422, "nobody is left");
    assert!(
        problem.ends_with("Also, the label watchbell_users has a name that cannot be used."),
        "{problem}"
    );
}

/// An alert is what its labels say, however it is posted.
#[tokio::test]
async fn its_end_is_found_however_it_is_posted() {
    for (why, field, value) in [
        ("regrouped", "groupKey", json!("{}/{severity=\"critical\"}:{}")),
        ("another receiver", "receiver", json!("team-y")),
        ("the other of a pair", "externalURL", json!("http://am-1:9093")),
        ("Grafana's version", "version", json!("1")),
        ("no version", "version", Value::Null),
        ("a number", "version", json!(4)),
        ("no group", "groupKey", Value::Null),
        ("null in decoration", "commonLabels", Value::Null),
        ("a start without its fraction", "startsAt", json!("2026-11-21T11:59:30Z")),
        ("merged with an earlier one", "startsAt", json!("2026-11-21T11:00:00Z")),
        ("no start", "startsAt", Value::Null),
        ("no fingerprint", "fingerprint", Value::Null),
        ("another fingerprint", "fingerprint", json!("0000000000000000")),
    ] {
        let fixture = Fixture::new(Dispatch::Records).await;
        let begun = accepted(&fixture, TO_ANA, &[firing("f")]).await;
        let mut end = post(&[resolved("f")]);
        match end["alerts"][0].get(field) {
            Some(_) => end["alerts"][0][field] = value,
            None => end[field] = value,
        }
        let answer = fixture.post(TO_ANA, end).await;
        let entry = &answer.json()["alerts"][0];
        assert_eq!(
            (&entry["id"], &entry["version"], &entry["status"]),
            (&json!(begun.id.as_str()), &json!(2), &json!("resolved")),
            "{why}"
        );
    }
}

/// A fingerprint that a relay fills with one value, or leaves out, tells no alerts apart; the labels do.
#[tokio::test]
async fn two_alerts_never_become_one() {
    for fingerprint in [json!(""), Value::Null, json!("0000000000000000"), json!(1)] {
        let fixture = Fixture::new(Dispatch::Records).await;
        let of = |instance: &str| {
            let alert = with(firing("f"), "labels", json!({"alertname": "A", "instance": instance}));
            with(alert, "fingerprint", fingerprint.clone())
        };
        accepted(&fixture, TO_ANA, &[of("db-1"), of("db-2")]).await;
        let ids: Vec<_> = fixture.alerts().iter().map(|alert| alert.id.clone()).collect();
        assert_ne!(ids[0], ids[1], "{fingerprint}");
        let end = with(of("db-1"), "status", json!("resolved"));
        let ended = accepted(&fixture, TO_ANA, &[end]).await;
        assert_eq!((&ended.version, ids.contains(&ended.id)), (&2, true), "{fingerprint}");
    }
}

#[tokio::test]
async fn what_is_worse_or_says_something_else_is_the_next_version() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let summary = |text: &str| with(firing("f"), "annotations", json!({"summary": text}));
    let say = |text: &str, severity: &str| {
        // Alertmanager itself has another fingerprint for another label; Grafana and relays may not.
        let mut alert = summary(text);
        alert["labels"] = json!({"alertname": "DiskFull"});
        alert["annotations"]["severity_hint"] = json!(severity);
        alert
    };
    for (why, alert, result, version) in [
        ("the first", say("80 %", "a"), "accepted", 1),
        ("again, for who joined since", say("80 %", "a"), "accepted", 1),
        ("something else", say("99 %", "a"), "accepted", 2),
        ("its end", with(say("99 %", "a"), "status", json!("resolved")), "accepted", 3),
        ("its end again", with(say("99 %", "a"), "status", json!("resolved")), "unchanged", 3),
        ("anew", say("99 %", "a"), "accepted", 4),
    ] {
        let answer = fixture.post(TO_ANA, post(&[alert])).await.json();
        let entry = &answer["alerts"][0];
        assert_eq!((&entry["result"], &entry["version"]), (&json!(result), &json!(version)), "{why}");
    }
    let ana = fixture.get(&format!("/v1/alerts/{}/timeline?user=ana", fixture.alerts()[0].id)).await.json();
    assert_eq!(ana["recipients"][0]["seq"], 4, "a repetition is no change of the inbox");
}

#[tokio::test]
async fn a_link_is_the_best_there_is_and_a_runbook_is_never_lost() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let noted = |generator: &str| {
        let alert =
            with(firing("f"), "annotations", json!({"summary": "s", "runbook_url": "https://runbook"}));
        with(alert, "generatorURL", json!(generator))
    };
    for (generator, url) in [
        ("http://prometheus/graph", "http://prometheus/graph"),
        ("", "https://runbook"),
        ("javascript:x", "https://runbook"),
    ] {
        let alert = accepted(&fixture, TO_ANA, &[noted(generator)]).await;
        assert_eq!(
            (alert.url.as_deref(), &alert.data["runbook_url"]),
            (Some(url), &json!("https://runbook")),
            "{generator}"
        );
    }
}

#[tokio::test]
async fn alerts_beyond_the_bound_become_one_that_says_how_many() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let of = |number: usize, severity: &str| {
        with(
            firing(&number.to_string()),
            "labels",
            json!({"alertname": "A", "severity": severity, "n": number}),
        )
    };
    let mut alerts: Vec<Value> = (0..1_003).map(|number| of(number, "info")).collect();
    alerts.push(of(1_003, "critical"));
    let mut body = post(&alerts);
    body["truncatedAlerts"] = json!(2);
    let answer = fixture.post(TO_ANA, body).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1_001)), "{}", answer.text);
    let alerts = fixture.alerts();
    let more = alerts.iter().find(|alert| alert.title.starts_with("and ")).unwrap();
    let said = (more.title.as_str(), more.severity);
    assert_eq!(
        said,
        ("and 6 more alerts of alertmanager", Severity::Warning),
        "how bad those are that the sender left out is not known"
    );
    assert!(alerts.iter().any(|alert| alert.severity == Severity::Critical), "the worst are told one by one");
    let (id, told) = (more.id.clone(), alerts.len());
    fixture::record(&fixture.store, more.clone()).await;

    let answer = fixture.post(TO_ANA, post(&[])).await;
    assert_eq!(
        (answer.status, &answer.json()["accepted"]),
        (202, &json!(1)),
        "it ends when there is no rest"
    );
    let end = fixture.alerts().split_off(told).remove(0);
    assert_eq!((end.id, end.version, end.status), (id, 2, Status::Resolved));
}

/// Beyond what is read, too: how bad each is decides, and not where it stands.
#[tokio::test]
async fn the_worst_are_told_wherever_they_stand() {
    for (why, kinds, critical_told, more) in [
        (
            "a critical one is the last",
            vec![(11_000, "firing", "info"), (1, "firing", "critical")],
            1,
            Some(("and 10001 more alerts of alertmanager", Severity::Info)),
        ),
        (
            "what is left out has the severity of the worst of it",
            vec![(10_000, "resolved", "info"), (1_500, "firing", "critical")],
            1_000,
            Some(("and 500 more alerts of alertmanager", Severity::Critical)),
        ),
        ("what is over and left out is nothing to tell of", vec![(10_500, "resolved", "critical")], 0, None),
    ] {
        let fixture = Fixture::new(Dispatch::Acks).await;
        let of = |(count, status, severity): (usize, &'static str, &'static str)| {
            (0..count).map(move |n| {
                json!({
                    "status": status,
                    "labels": {"alertname": format!("{status} {severity}"), "severity": severity, "n": n},
                })
            })
        };
        let alerts: Vec<Value> = kinds.into_iter().flat_map(of).collect();
        let answer = fixture.post(TO_ANA, post(&alerts)).await;
        assert_eq!(answer.status, 202, "{why}");
        let told = fixture.alerts();
        let (summaries, told): (Vec<Alert>, Vec<Alert>) =
            told.into_iter().partition(|alert| alert.title.starts_with("and "));
        let is_critical =
            |alert: &&Alert| (alert.severity, alert.status) == (Severity::Critical, Status::Firing);
        assert_eq!(told.iter().filter(is_critical).count(), critical_told, "{why}");
        let summary = summaries.first().map(|alert| (alert.title.as_str(), alert.severity));
        assert_eq!(summary, more, "{why}");
    }
}

/// Nothing of the post itself can be told, but that the sender left some out can.
#[tokio::test]
async fn what_the_sender_left_out_is_told_though_nothing_else_can_be() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let mut body = post(&[json!("x")]);
    body["truncatedAlerts"] = json!("7");
    let answer = fixture.post(TO_ANA, body).await;
    let results: Vec<Value> =
        answer.json()["alerts"].as_array().unwrap().iter().map(|entry| entry["result"].clone()).collect();
    assert_eq!((answer.status, results), (202, vec![json!("refused"), json!("accepted")]));
    assert_eq!(fixture.alerts()[0].title, "and 7 more alerts of alertmanager");
}

#[tokio::test]
async fn what_can_be_told_to_nobody_is_refused_with_the_remedy() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (why, uri, body, status, begins) in [
        ("not JSON", TO_ANA, json!("x").to_string() + "}", 400, "The body is not JSON"),
        ("half", TO_ANA, "{".into(), 400, "The body is not JSON: EOF"),
        ("no post", TO_ANA, "7".into(), 422, "alerts: is missing"),
        (
            "nobody is named",
            HOOK,
            post(&[firing("f")]).to_string(),
            422,
            "[0] to: Nobody is named. Add ?users=ana,ben",
        ),
        (
            "no alert in it",
            TO_ANA,
            post(&[json!(1), json!(2)]).to_string(),
            422,
            "[0] alerts: has something that is not an alert",
        ),
    ] {
        let (found, problem) = fixture.post(uri, body).await.problem();
        assert_eq!(found, status, "{why}: {problem}");
        assert!(problem.starts_with(begins), "{why}: {problem}");
    }
    assert_eq!(fixture.messages().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_used_of_the_address_is_noted() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (why, parameters, note) in [
        (
            "no policy of that name",
            "users=ana&policy=urgent",
            "the parameter policy of the address must be one of critical, default; it was ignored, and the usual policy rules were used",
        ),
        (
            "a misspelt parameter",
            "users=ana&polcy=critical",
            "the address has an unknown parameter; known are users, groups, everyone, policy and from",
        ),
        (
            "a name that is none",
            "users=ana,%01",
            "the parameter users of the address has a name that cannot be used",
        ),
    ] {
        let answer = fixture.post(&format!("{HOOK}?{parameters}"), post(&[firing("f")])).await;
        assert_eq!((answer.status, &answer.json()["alerts"][0]["notes"]), (202, &json!([note])), "{why}");
    }
}

#[tokio::test]
async fn what_is_not_confirmed_is_a_5xx_which_alertmanager_repeats() {
    let soon = Limits { publish_deadline: Duration::from_millis(20), ..Limits::default() };
    let fixture = Fixture::within(Dispatch::Absent, soon).await;
    let answer = fixture.post(TO_ANA, post(&[firing("f")])).await;
    assert_eq!(answer.problem().0, 503);
}
