//! `POST /v1/alerts`, and reading alerts back.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::domain::Channel;

use super::fixture::{Dispatch, Fixture, NOW};
use crate::limits::{ALERTS_MAX, BODY_BYTES_MAX, Limits};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const FIRST_ID: &str = "00000000-0000-0000-0000-000000000000";

fn alert(id: &str) -> Value {
    json!({"id": id, "to": {"users": ["ana"]}, "title": "Disk full"})
}

#[tokio::test]
async fn one_alert_is_answered_with_its_name_and_is_on_the_broker() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let answer = fixture.post("/v1/alerts", json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({"id": FIRST_ID, "version": 1, "status": "accepted"}))
    );
    let published = fixture.alerts().remove(0);
    assert_eq!((published.tenant.as_str(), published.title.as_str()), ("acme", "Disk full"));
    assert_eq!(published.occurred_at.to_string(), NOW);
    assert_eq!(fixture.messages()[0].message_id, format!("acme/{FIRST_ID}/1"));
}

#[tokio::test]
async fn an_idempotency_key_names_what_has_no_name() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let nameless = json!({"to": {"users": ["ana"]}, "title": "t"});
    let key = [("idempotency-key", "order-7")];
    for (why, key, body, expected) in [
        ("one", &key[..], nameless.clone(), json!("order-7")),
        ("its own id wins", &key, alert("mine"), json!("mine")),
        (
            "in quotes, as the draft has it",
            &[("idempotency-key", "\"order-7\"")],
            nameless.clone(),
            json!("order-7"),
        ),
    ] {
        let answer = fixture.send("POST", "/v1/alerts", key, body.to_string()).await;
        assert_eq!(answer.json()["id"], expected, "{why}");
    }
    let several = json!([nameless, alert("mine"), nameless]).to_string();
    let answer = fixture.send("POST", "/v1/alerts", &key, several).await;
    let named = |id: &str| json!({"id": id, "version": 1});
    assert_eq!(
        answer.json(),
        json!({"accepted": 3, "alerts": [named("order-7.0"), named("mine"), named("order-7.2")]})
    );
    let long = "x".repeat(201);
    let answer =
        fixture.send("POST", "/v1/alerts", &[("idempotency-key", &long)], nameless.to_string()).await;
    assert_eq!(answer.problem(), (422, "Idempotency-Key: must be at most 200 bytes long, has 201".into()));
    for uri in ["/v1/alerts", "/v1/topics/monitor:7/events"] {
        let answer = fixture.send("POST", uri, &[("idempotency-key", "a b")], "[]".to_owned()).await;
        assert_eq!(answer.status, 422, "{uri}: nothing is named by it, and it is still none");
    }
}

#[tokio::test]
async fn several_come_as_an_array_or_by_line() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let array = fixture.post("/v1/alerts", json!([alert("a")])).await;
    assert_eq!(array.json(), json!({"accepted": 1, "alerts": [{"id": "a", "version": 1}]}));
    let lines = format!("{}\r\n\n{}\n", alert("b"), alert("c"));
    let lines = fixture.send("POST", "/v1/alerts", &[NDJSON], lines).await;
    assert_eq!((lines.status, lines.json()["accepted"].clone()), (202, json!(2)));
    let none = fixture.post("/v1/alerts", "[]").await;
    assert_eq!((none.status, none.json()), (202, json!({"accepted": 0, "alerts": []})));
    let ids: Vec<String> = fixture.alerts().iter().map(|alert| alert.id.to_string()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_full_request_is_accepted_and_one_more_is_not() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let full: Vec<Value> = (0..ALERTS_MAX).map(|n| alert(&n.to_string())).collect();
    assert_eq!(fixture.post("/v1/alerts", json!(full)).await.json()["accepted"], ALERTS_MAX);
    let over: Vec<Value> = (0..=ALERTS_MAX).map(|n| alert(&n.to_string())).collect();
    let expected = (413, "A request has at most 1000 alerts: send several.".to_owned());
    assert_eq!(fixture.post("/v1/alerts", json!(over)).await.problem(), expected);
    let lines: String = over.iter().map(|alert| format!("{alert}\n")).collect();
    assert_eq!(fixture.send("POST", "/v1/alerts", &[NDJSON], lines).await.problem(), expected);
    assert_eq!(fixture.messages().len(), ALERTS_MAX);
}

#[tokio::test]
async fn a_refusal_is_exact_and_nothing_is_published() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let misspelt = json!({"to": {"users": ["ana"]}, "title": "t", "polcy": "critical"});
    let unknown_policy = json!({"to": {"users": ["ana"]}, "title": "t", "policy": "urgent"});
    let long = json!({"to": {"users": ["ana"]}, "title": "t", "body": "x".repeat(70_000)});
    // Short as written; longer than an alert may be once its numbers are written out.
    let grows =
        format!(r#"{{"to":{{"users":["ana"]}},"title":"t","data":{{"n":[{}1]}}}}"#, "1e9,".repeat(16_000));
    let json_type: [(&str, &str); 0] = [];
    for (why, headers, body, status, begins) in [
        ("not JSON", &json_type[..], r#"{"to": "#.to_owned(), 400, "The body is not JSON: EOF while parsing"),
        ("nothing", &json_type, String::new(), 400, "The body is not JSON: EOF while parsing"),
        ("not an object", &json_type, "7".into(), 422, "alert: has the wrong type"),
        (
            "half an array",
            &json_type,
            format!("[{}, ", alert("a")),
            400,
            "The body is not JSON: EOF while parsing",
        ),
        (
            "a line that is not JSON",
            &[NDJSON],
            format!("{}\n{{", alert("a")),
            400,
            "[1] The body is not JSON",
        ),
        ("no line", &[NDJSON], "\n \n".into(), 400, "The body has no line with an alert."),
        (
            "a misspelt field",
            &json_type,
            misspelt.to_string(),
            422,
            "polcy: is not known here: accepted are kind, ",
        ),
        (
            "no policy of that name",
            &json_type,
            unknown_policy.to_string(),
            422,
            "policy: must be one of critical, default",
        ),
        (
            "one bad of several",
            &json_type,
            json!([alert("a"), {"to": {}, "title": "t"}, alert("b")]).to_string(),
            422,
            "[1] to: names nobody: give users, groups or everyone",
        ),
        (
            "one bad line",
            &[NDJSON],
            format!("{}\n\n{{\"title\":7}}", alert("a")),
            422,
            "[2] title: has the wrong type: expected a string",
        ),
        ("an alert too long", &json_type, long.to_string(), 413, "alert: The alert has 70046 bytes"),
        ("an alert that grows too long", &json_type, grows, 413, "alert: The alert has "),
        (
            "another content type",
            &[("content-type", "text/plain")],
            alert("a").to_string(),
            415,
            "Send the body with `Content-Type: application/json` or `application/x-ndjson` or `application/cl",
        ),
        ("no content type", &[("content-type", "")], alert("a").to_string(), 415, "Send the body with"),
        (
            "a body too long",
            &json_type,
            " ".repeat(BODY_BYTES_MAX + 1),
            413,
            "A body has at most 8388608 bytes",
        ),
    ] {
        let (found, problem) = fixture.send("POST", "/v1/alerts", headers, body).await.problem();
        assert_eq!(found, status, "{why}: {problem}");
        assert!(problem.starts_with(begins), "{why}: {problem}");
    }
    assert_eq!(fixture.messages().len(), 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_bound() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let chunks = futures_util::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let answer = fixture.send("POST", "/v1/alerts", &[], axum::body::Body::from_stream(chunks)).await;
    assert_eq!(answer.problem().0, 413);
}

#[tokio::test]
async fn what_the_broker_does_not_confirm_is_not_accepted() {
    let fixture = Fixture::new(Dispatch::Absent).await;
    // On a real clock: the store answers from threads, which a paused one would not wait for.
    let begun = std::time::Instant::now();
    let answer = fixture.post("/v1/alerts", alert("a")).await;
    assert!(begun.elapsed().as_secs() >= 5, "it waits for its deadline");
    let (status, detail) = answer.problem();
    assert_eq!((status, answer.headers["retry-after"].to_str().unwrap()), (503, "5"));
    assert!(detail.contains("Send it again with the same id or `Idempotency-Key`"), "{detail}");

    let several: Vec<Value> = (0..600).map(|n| alert(&n.to_string())).collect();
    let begun = tokio::time::Instant::now();
    let answer = fixture.post("/v1/alerts", json!(several)).await;
    assert!((5..10).contains(&begun.elapsed().as_secs()), "one deadline for all of a request");
    let (status, detail) = answer.problem();
    assert_eq!(status, 503);
    assert!(detail.starts_with("The store confirmed 0 of 600 alerts in time."), "{detail}");
}

#[tokio::test]
async fn without_room_the_producer_comes_back() {
    let tight = Limits { publishes_in_flight_max: 2, body_bytes_in_flight_max: 400, ..Limits::default() };
    let fixture = Fixture::within(Dispatch::Acks, tight).await;
    assert_eq!(fixture.post("/v1/alerts", alert("a")).await.status, 202);
    let (status, detail) = fixture.post("/v1/alerts", json!([alert("b"), alert("c")])).await.problem();
    assert_eq!(
        (status, detail.as_str()),
        (503, "Too many alerts are being published: none of these was. Send them again.")
    );
    let long = json!({"to": {"users": ["ana"]}, "title": "x".repeat(200)});
    let (status, detail) = fixture.post("/v1/alerts", long).await.problem();
    assert_eq!((status, detail.as_str()), (503, "Too many requests are being read: send it again."));
    assert_eq!(fixture.post("/v1/alerts", alert("d")).await.status, 202, "room is given back");
}

#[tokio::test]
async fn a_trace_goes_with_the_alert() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (id, given) in [("a", trace), ("b", "not a trace")] {
        fixture.send("POST", "/v1/alerts", &[("traceparent", given)], alert(id).to_string()).await;
    }
    let carried: Vec<_> =
        fixture.messages().iter().map(|message| message.headers.get("traceparent").cloned()).collect();
    assert_eq!(carried, [Some(trace.to_owned()), None]);
}

#[tokio::test]
async fn an_alert_is_shown_to_its_own_tenant_only() {
    let fixture = Fixture::new(Dispatch::Records).await;
    fixture.post("/v1/alerts", alert("a")).await;
    let shown = fixture.get("/v1/alerts/a").await;
    assert_eq!(shown.status, 200);
    let shown = shown.json();
    assert_eq!(
        (&shown["alert"]["title"], &shown["recipients"], &shown["seen"]),
        (&json!("Disk full"), &json!(1), &json!(0))
    );
    assert_eq!(shown["recorded_at"], NOW);
    assert!(shown["alert"].get("to").is_none(), "the audience stays inside");

    let theirs = format!("Bearer {}", fixture.other_key);
    for (uri, nothing) in
        [("/v1/alerts/a", "/v1/alerts/b"), ("/v1/alerts/a/timeline", "/v1/alerts/b/timeline")]
    {
        let other = fixture.send("GET", uri, &[("authorization", &theirs)], "").await.problem();
        let unknown = fixture.get(nothing).await.problem();
        assert_eq!(other, unknown, "another tenant's looks like none");
        assert_eq!(other.0, 404);
    }
    let bad = fixture.get("/v1/alerts/a%20b").await.problem();
    assert_eq!(bad, (422, "id: must not contain ' ': use letters, digits and . _ - : @ + ~ =".into()));
}

#[tokio::test]
async fn a_timeline_tells_what_happened_to_whom() {
    let fixture = Fixture::new(Dispatch::Records).await;
    fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ben", "ana"]}, "title": "t"})).await;
    let all = fixture.get("/v1/alerts/a/timeline").await.json();
    let mut delivery = json!({"live": {"delivered": 0}});
    for channel in Channel::ALL {
        delivery[channel.as_str()] = json!({});
    }
    let counts = json!({
        "recipients": 2, "waiting": {},
        "delivery": delivery,
        "engagement": {"seen": 0, "read": 0, "dismissed": 0},
    });
    assert_eq!(all["counts"], counts);
    let users: Vec<&Value> = all["recipients"].as_array().unwrap().iter().map(|one| &one["user"]).collect();
    assert_eq!(users, ["ana", "ben"]);
    let first = fixture.get("/v1/alerts/a/timeline?limit=1").await.json();
    assert_eq!(first["recipients"].as_array().unwrap().len(), 1);
    let ben = fixture.get("/v1/alerts/a/timeline?user=ben").await.json();
    let due = NOW.parse::<jiff::Timestamp>().unwrap() + Duration::from_secs(30);
    assert_eq!(
        ben["recipients"][0],
        json!({
            "user": "ben", "state": "new", "seq": 1, "stopped": null, "due_at": due.to_string(),
            "entries": [{"at": NOW, "what": "recorded in the inbox; version 1 is shown"}],
        })
    );
    for (query, expected) in [
        ("limit=0", "limit: must be a number from 1 to 100"),
        ("limit=101", "limit: must be a number from 1 to 100"),
        ("user=a%01b", "user: must not contain the control character '\\u{1}'"),
        ("users=ana", "query: has a parameter that is not known: accepted are user, after, limit"),
        (
            "user=a&user=b",
            "user: is given more than once: give it once; several names have commas between them",
        ),
    ] {
        let answer = fixture.get(&format!("/v1/alerts/a/timeline?{query}")).await;
        assert_eq!(answer.problem(), (422, expected.into()), "{query}");
    }
}

#[tokio::test]
async fn cloudevents_become_alerts() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let id = "0198f3c2-7c1f-7d2e-8a46-5f0c6f9e41d2";
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/disks", "type": "full",
        "data": {"to": {"users": ["ana"]}, "title": "Disk full"},
    });
    let one = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let answer = fixture.send("POST", "/v1/alerts", &one, event.to_string()).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"id": id, "version": 1, "status": "accepted"})));
    let alert = fixture.alerts().remove(0);
    assert_eq!((alert.source.as_deref(), alert.category.as_deref()), (Some("/disks"), Some("full")));

    let several = [("content-type", "application/cloudevents-batch+json")];
    let mut other = event.clone();
    other["id"] = json!("7");
    let answer = fixture.send("POST", "/v1/alerts", &several, json!([event, other]).to_string()).await;
    assert_eq!((answer.status, answer.json()["accepted"].clone()), (202, json!(2)));
    other["specversion"] = json!("0.3");
    let plain = json!({"to": {"users": ["ana"]}, "title": "t"});
    for (why, headers, body, expected) in [
        ("its place is named", &several, json!([event, other]), (422, "[1] specversion: must be 1.0")),
        (
            "a plain alert is none",
            &one,
            plain,
            (422, "specversion: is missing: a CloudEvent has it, as text"),
        ),
    ] {
        let answer = fixture.send("POST", "/v1/alerts", headers, body.to_string()).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.into()), "{why}");
    }
}
