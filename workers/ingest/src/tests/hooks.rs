//! The hooks as products meet them: their own payloads, from `tests/fixtures/producers`.

use serde_json::{Value, json};
use watchbell::domain::{Alert, GroupId, Status, UserId};

use super::fixture::{Configured, Dispatch, Fixture};
use crate::{HookAudienceConfig, HookConfig, RouteConfig};

macro_rules! payload {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/producers/", $name))
    };
}

/// A payload, and what people read of each alert that follows.
type Posted = (&'static str, &'static [&'static str]);

/// What people read of an alert, in one line.
fn read(alert: &Alert) -> String {
    let url = alert.url.as_deref().unwrap_or("no link");
    format!("{} v{} {} | {} | {url}", alert.status, alert.version, alert.severity, alert.title)
}

/// Every product, as it posts: what follows from its first post and from those after it.
#[tokio::test]
async fn each_product_is_read_as_it_posts() {
    let rows: &[(&str, &[Posted])] = &[
        (
            "alertmanager",
            &[
                (
                    payload!("alertmanager/firing.json"),
                    &[
                        "firing v1 critical | Filesystem is predicted to run out of space within the next 4 hours. | http://prometheus-0:9090/graph?g0.expr=node_filesystem_avail_bytes&g0.tab=1",
                        "resolved v2 warning | One or more targets are unreachable. | http://prometheus-0:9090/graph?g0.expr=up&g0.tab=1",
                    ],
                ),
                (
                    payload!("alertmanager/resolved.json"),
                    &[
                        "resolved v2 critical | Filesystem is predicted to run out of space within the next 4 hours. | http://prometheus-0:9090/graph?g0.expr=node_filesystem_avail_bytes&g0.tab=1",
                    ],
                ),
            ],
        ),
        (
            "grafana",
            &[
                (
                    payload!("grafana/firing.json"),
                    &[
                        "firing v1 critical | Memory of web-3 is nearly full | https://grafana.example.com/d/node?from=1763718663157&orgId=1&to=1763722263157&viewPanel=7",
                    ],
                ),
                (
                    payload!("grafana/resolved.json"),
                    &[
                        "resolved v2 critical | Memory of web-3 is nearly full | https://grafana.example.com/d/node?from=1763718663157&orgId=1&to=1763722263157&viewPanel=7",
                    ],
                ),
            ],
        ),
        (
            "sentry",
            &[
                (
                    payload!("sentry/event_alert.json"),
                    &[
                        "firing v1 warning | ReferenceError: total is not defined | https://sentry.io/organizations/acme/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/",
                    ],
                ),
                (
                    payload!("sentry/issue_resolved.json"),
                    &[
                        "resolved v2 warning | ReferenceError: total is not defined | https://sentry.io/organizations/acme/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/",
                    ],
                ),
                (
                    payload!("sentry/metric_alert.json"),
                    &[
                        "firing v1 critical | Critical: Too many errors | https://sentry.io/organizations/acme/alerts/rules/details/7/?alert=8",
                    ],
                ),
                (
                    payload!("sentry/plugin.json"),
                    &[
                        "firing v1 critical | This is an example Python exception | https://sentry.example.com/organizations/acme/issues/27379932/?referrer=webhooks_plugin",
                    ],
                ),
            ],
        ),
        (
            "uptime-kuma",
            &[
                (
                    payload!("uptime-kuma/down.json"),
                    &["firing v1 critical | Production / Shop is down | https://shop.example.com/health"],
                ),
                (
                    payload!("uptime-kuma/up.json"),
                    &["resolved v2 critical | Production / Shop is down | https://shop.example.com/health"],
                ),
                (
                    payload!("uptime-kuma/down.json"),
                    &["firing v3 critical | Production / Shop is down | https://shop.example.com/health"],
                ),
                (
                    payload!("uptime-kuma/test.json"),
                    &["firing v1 warning | My Watchbell Alert (1) Testing | no link"],
                ),
            ],
        ),
        (
            "datadog",
            &[
                (
                    payload!("datadog/default.json"),
                    &["firing v1 critical | [Triggered on {host:web-3}] CPU is high | no link"],
                ),
                (
                    payload!("datadog/default_recovered.json"),
                    &["resolved v2 critical | [Triggered on {host:web-3}] CPU is high | no link"],
                ),
            ],
        ),
        (
            "datadog",
            &[
                (
                    payload!("datadog/recommended.json"),
                    &[
                        "firing v1 warning | [P2] [Triggered on {host:web-3}] CPU is high | https://app.datadoghq.com/event/event?id=2987654321098765432",
                    ],
                ),
                (
                    payload!("datadog/recommended_recovered.json"),
                    &[
                        "resolved v2 warning | [P2] [Triggered on {host:web-3}] CPU is high | https://app.datadoghq.com/event/event?id=2987654321098765432",
                    ],
                ),
            ],
        ),
        (
            "github",
            &[
                (payload!("github/ping.json"), &[]),
                (payload!("github/success.json"), &[]),
                (
                    payload!("github/failure.json"),
                    &[
                        "firing v1 warning | CI failed in acme/shop (main) | https://github.com/acme/shop/actions/runs/30433642",
                    ],
                ),
                (
                    payload!("github/success.json"),
                    &[
                        "resolved v2 warning | CI failed in acme/shop (main) | https://github.com/acme/shop/actions/runs/30433642",
                    ],
                ),
            ],
        ),
        (
            "pagerduty",
            &[
                (
                    payload!("pagerduty/trigger.json"),
                    &[
                        "firing v1 critical | DISK at 99% on machine prod-datapipe03.example.com | https://pagerduty.com/",
                    ],
                ),
                (
                    payload!("pagerduty/resolve.json"),
                    &[
                        "resolved v2 critical | DISK at 99% on machine prod-datapipe03.example.com | https://pagerduty.com/",
                    ],
                ),
            ],
        ),
    ];
    for (product, posts) in rows {
        let fixture = Fixture::new(Dispatch::Records).await;
        for (payload, expected) in *posts {
            let before = fixture.alerts().len();
            let answer = fixture.post(&format!("/v1/hooks/{product}?users=ana"), payload).await;
            assert_eq!(answer.status, 202, "{product}: {}", answer.text);
            let found: Vec<String> = fixture.alerts().split_off(before).iter().map(read).collect();
            assert_eq!(found, *expected, "{product}");
        }
        assert_eq!(
            fixture.alerts().iter().filter(|alert| alert.labels.is_empty()).count(),
            usize::from(*product == "uptime-kuma"),
            "{product}"
        );
    }
}

/// What a payload has beyond what people read at once.
#[tokio::test]
async fn labels_and_times_of_each_product_are_kept() {
    for (product, payload, labels, occurred_at) in [
        (
            "grafana",
            payload!("grafana/firing.json"),
            json!({"alertname": "High memory usage", "grafana_folder": "Infrastructure",
            "instance": "web-3", "severity": "critical", "team": "blue"}),
            "2026-11-21T11:51:03.157076Z",
        ),
        (
            "sentry",
            payload!("sentry/event_alert.json"),
            json!({"browser": "Chrome 131.0.0", "environment": "production", "level": "error",
            "url": "https://shop.example.com/cart", "platform": "javascript", "release": "web@4.7.1", "project": "1552673"}),
            "2026-11-21T11:58:55Z",
        ),
        (
            "uptime-kuma",
            payload!("uptime-kuma/down.json"),
            json!({"team": "shop", "customer-facing": "", "monitor": "Shop", "type": "http"}),
            "2026-11-21T11:59:12.482Z",
        ),
        (
            "datadog",
            payload!("datadog/recommended.json"),
            json!({"env": "prod", "host": "web-3", "monitor": "", "team": "shop",
            "scope": "host:web-3", "org": "Acme"}),
            "2026-11-21T11:59:00Z",
        ),
        (
            "github",
            payload!("github/failure.json"),
            json!({"repository": "acme/shop", "workflow": "CI", "branch": "main", "event": "push",
            "actor": "ana"}),
            "2026-11-21T11:58:30Z",
        ),
        (
            "pagerduty",
            payload!("pagerduty/trigger.json"),
            json!({"source": "prod-datapipe03.example.com", "component": "mysql",
            "group": "prod-datapipe", "class": "disk"}),
            "2026-11-21T08:42:58.315Z",
        ),
    ] {
        let fixture = Fixture::new(Dispatch::Records).await;
        fixture.post(&format!("/v1/hooks/{product}?users=ana"), payload).await;
        let alert = fixture.alerts().remove(0);
        assert_eq!(
            (json!(alert.labels), alert.occurred_at.to_string().as_str()),
            (labels, occurred_at),
            "{product}"
        );
    }
}

#[tokio::test]
async fn what_is_no_payload_of_the_product_is_refused_with_the_remedy() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (product, begins) in [
        ("alertmanager", "alerts: is missing"),
        ("grafana", "alerts: is missing"),
        ("sentry", "data: has neither `event`, `issue` nor `metric_alert`"),
        ("uptime-kuma", "msg: is missing"),
        ("datadog", "title: is missing"),
        ("github", "workflow_run: is missing"),
    ] {
        for body in ["{}", "[]", "null", "7", r#"{"data": null, "monitor": null, "alerts": null}"#] {
            let (status, problem) =
                fixture.post(&format!("/v1/hooks/{product}?users=ana"), body).await.problem();
            assert_eq!(status, 422, "{product} {body}: {problem}");
            assert!(problem.starts_with(begins), "{product} {body}: {problem}");
        }
    }
    assert!(fixture.alerts().is_empty());
}

/// Some products let nothing be set but an address.
#[tokio::test]
async fn the_key_may_stand_in_the_address_of_a_hook_and_only_there() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let body = payload!("github/failure.json");
    let post = |uri: String, headers: Vec<(&'static str, String)>| {
        let (fixture, body) = (&fixture, body);
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            fixture.send("POST", &uri, &headers, body).await.status
        }
    };
    let none = || vec![("authorization", String::new())];
    let key = &fixture.key;
    for (why, uri, headers, status) in [
        ("alone", format!("/v1/hooks/github?key={key}&users=ana"), none(), 202),
        ("last", format!("/v1/hooks/github?users=ana&key={key}"), none(), 202),
        ("of nobody", "/v1/hooks/github?users=ana&key=wbk_x".into(), none(), 401),
        ("none", "/v1/hooks/github?users=ana".into(), none(), 401),
        ("twice", format!("/v1/hooks/github?key=wbk_x&users=ana&key={key}"), none(), 400),
        ("a header wins", "/v1/hooks/github?users=ana&key=wbk_x".into(), Vec::new(), 202),
        ("not for other routes", format!("/v1/alerts?key={key}"), none(), 401),
    ] {
        assert_eq!(post(uri, headers).await, status, "{why}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_passed_over_in_every_body() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let alert = |id: &str| json!({"id": id, "to": {"users": ["ana"]}, "title": "t"}).to_string();
    let lines = format!("{}\n\u{feff}{}", alert("b"), alert("c"));
    let event = json!({"type": "t", "data": {}}).to_string();
    let trigger =
        json!({"event_action": "trigger", "payload": {"summary": "s", "source": "x", "severity": "info"}})
            .to_string();
    for (method, uri, kind, body) in [
        ("POST", "/v1/alerts", "application/json", alert("a")),
        ("POST", "/v1/alerts", "application/json", format!("[{}]", alert("a"))),
        ("POST", "/v1/alerts", "application/x-ndjson", lines),
        ("POST", "/v1/topics/t/events", "application/json", event),
        ("POST", "/v1/hooks/pagerduty?users=ana", "application/json", trigger),
        (
            "POST",
            "/v1/hooks/alertmanager?users=ana",
            "application/json",
            payload!("alertmanager/firing.json").to_owned(),
        ),
        ("PUT", "/v1/users/ana", "application/json", "{}".to_owned()),
    ] {
        let answer = fixture.send(method, uri, &[("content-type", kind)], format!("\u{feff}{body}")).await;
        assert!(answer.status < 300, "{uri}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_cloudevent_in_binary_mode_is_an_alert() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let sample: Value = serde_json::from_str(payload!("cloudevents/binary.json")).unwrap();
    let headers: Vec<(&str, &str)> = sample["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let body = sample["body"].to_string();
    let answer = fixture.send("POST", "/v1/alerts", &headers, body.clone()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let alert = fixture.alerts().remove(0);
    assert_eq!(
        (alert.title.as_str(), alert.severity.as_str(), alert.category.as_deref()),
        ("Disk full on db-1", "critical", Some("com.example.disk.full"))
    );
    assert_eq!(
        (alert.source.as_deref(), alert.occurred_at.to_string().as_str()),
        (Some("/disks/db-1"), "2026-11-21T11:59:30Z")
    );
    let event = fixture.send("POST", "/v1/topics/disks/events", &headers, r#"{"used": 91}"#).await;
    assert_eq!(event.status, 202, "{}", event.text);

    let replaced = |name: &str, value: &'static str| -> Vec<(&str, &str)> {
        headers.iter().map(|(given, old)| (*given, if *given == name { value } else { *old })).collect()
    };
    for (why, headers, status, begins) in [
        ("no id", replaced("ce-id", ""), 422, "id: is missing"),
        ("another version", replaced("ce-specversion", "0.3"), 422, "specversion: must be 1.0"),
        (
            "no version",
            headers.iter().filter(|(name, _)| *name != "ce-specversion").copied().collect(),
            422,
            "specversion: is missing",
        ),
        ("not JSON", replaced("content-type", "text/xml"), 415, "Send the body with"),
        (
            "another tenant",
            [headers.clone(), vec![("ce-tenant", "globex")]].concat(),
            422,
            "tenant: is not the tenant",
        ),
    ] {
        let (found, problem) = fixture.send("POST", "/v1/alerts", &headers, body.clone()).await.problem();
        assert_eq!(found, status, "{why}");
        assert!(problem.starts_with(begins), "{why}: {problem}");
    }
}

fn acme() -> HookConfig {
    HookConfig {
        path: "acme".into(),
        each: Some("incidents".into()),
        id: Some("item.number".into()),
        title: "item.name ~ ' on ' ~ item.host".into(),
        severity: Some("{1: 'critical', 2: 'warning'}[item.prio]".into()),
        status: Some("item.state".into()),
        url: Some("item.link".into()),
        occurred_at: Some("item.since".into()),
        labels: [("env".to_owned(), "environment".to_owned()), ("team".to_owned(), "item.team".to_owned())]
            .into(),
        audience: HookAudienceConfig { groups: Some("item.team".into()), ..HookAudienceConfig::default() },
        ..HookConfig::default()
    }
}

#[tokio::test]
async fn a_configured_hook_reads_what_it_was_told_to() {
    let config = Configured { hook: vec![acme()], ..Configured::default() };
    let fixture = Fixture::configured(Dispatch::Records, &config).await;
    let answer = fixture.post("/v1/hooks/acme?users=ana", payload!("configured/acme.json")).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)), "{}", answer.text);
    let alerts = fixture.alerts();
    let found: Vec<String> = alerts.iter().map(read).collect();
    assert_eq!(
        found,
        [
            "firing v1 critical | Queue is long on mq-1 | https://acme.example.com/17",
            "resolved v2 warning | Disk full on db-1 | no link"
        ]
    );
    assert_eq!(
        (alerts[0].id.as_str(), json!(alerts[0].labels)),
        ("acme:17", json!({"env": "prod", "team": "payments"}))
    );
    assert_eq!(alerts[0].to.groups.iter().map(GroupId::as_str).collect::<Vec<_>>(), ["payments"]);
    assert_eq!(
        alerts[1].to.users.iter().map(UserId::as_str).collect::<Vec<_>>(),
        ["ana"],
        "nobody came out, so the address decides"
    );
    assert_eq!(alerts[0].occurred_at.to_string(), "2026-11-21T11:58:00Z");

    let answer = fixture.post("/v1/hooks/nobody", "{}").await;
    assert_eq!(answer.problem().0, 404);
    let answer = fixture.post("/v1/hooks/acme?users=ana", r#"{"incidents": null}"#).await;
    assert_eq!(
        answer.problem(),
        (422, "each: finds no list in what was posted: see [[hook]] of this address".into())
    );
}

#[tokio::test]
async fn routes_say_whom_an_alert_is_for_and_by_which_policy() {
    let route = |matcher: &str, user: &str, policy: Option<&str>| RouteConfig {
        r#match: vec![matcher.to_owned()].into(),
        users: vec![user.to_owned()],
        policy: policy.map(str::to_owned),
        ..RouteConfig::default()
    };
    let config = Configured {
        route: vec![
            route(r#"hook="github",branch="main""#, "cem", None),
            route(r#"severity="critical""#, "dan", Some("critical")),
        ],
        ..Configured::default()
    };
    let fixture = Fixture::configured(Dispatch::Records, &config).await;
    for (why, uri, payload, user, policy) in [
        (
            "a route goes before the address",
            "/v1/hooks/github?users=ana&policy=default",
            payload!("github/failure.json"),
            "cem",
            Some("default"),
        ),
        (
            "by severity, without any address",
            "/v1/hooks/grafana",
            payload!("grafana/firing.json"),
            "dan",
            Some("critical"),
        ),
        ("none matches", "/v1/hooks/sentry?users=ana", payload!("sentry/event_alert.json"), "ana", None),
    ] {
        let answer = fixture.post(uri, payload).await;
        assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        let alert = fixture.alerts().pop().unwrap();
        assert_eq!((alert.to.users[0].as_str(), alert.policy.as_deref()), (user, policy), "{why}");
    }
    let own =
        json!({"alerts": [{"labels": {"alertname": "A", "severity": "critical", "watchbell_users": "eve"}}]});
    fixture.post("/v1/hooks/alertmanager", own).await;
    let alert = fixture.alerts().pop().unwrap();
    assert_eq!(
        (alert.to.users[0].as_str(), alert.policy.as_deref()),
        ("eve", Some("critical")),
        "it names people itself"
    );
    assert_eq!(alert.status, Status::Firing);
}
