//! People, groups and alerts by page; devices on a user's behalf; everything about one person.

use axum::body::HttpBody as _;
use serde_json::{Value, json};
use watchbell::domain::{Device, DeviceId, PushEnvironment, PushService, Secret, Tenant, UserId, UserKey};

use super::fixture::{Answer, Dispatch, Fixture, NOW};

fn acme(user: &str) -> UserKey {
    UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(user).unwrap())
}

async fn put(fixture: &Fixture, uri: &str, body: Value) -> Answer {
    fixture.send("PUT", uri, &[], body.to_string()).await
}

fn phone(token: &str) -> Device {
    Device {
        id: DeviceId::parse("phone").unwrap(),
        service: PushService::Fcm,
        token: Secret::from(token),
        environment: PushEnvironment::Production,
        bound_to: None,
        start_token: None,
        registered_at: NOW.parse().unwrap(),
        issued_at: None,
    }
}

/// Clients that ask for much and take nothing hold no more than the budget (I9), whatever they ask for.
#[tokio::test]
async fn a_list_takes_of_the_memory_for_answers_until_its_client_has_it() {
    let fixture = Fixture::new(Dispatch::Records).await;
    put(&fixture, "/v1/groups/ops/members", json!({"add": ["ana", "ben"]})).await;
    fixture.store.put_device(&acme("ana"), &phone("a-token"), 20).await.unwrap();
    let published = fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "Disk"}));
    assert_eq!(published.await.status, 202);
    let all = fixture.answers.left();
    for uri in [
        "/v1/users",
        "/v1/users/ana",
        "/v1/users/ana/export",
        "/v1/users/ana/devices",
        "/v1/users/ana/devices/phone",
        "/v1/groups",
        "/v1/groups/ops/members",
        "/v1/alerts",
        "/v1/alerts/a",
        "/v1/alerts/a/timeline",
        "/v1/audit",
    ] {
        let answer = fixture.unread(uri).await;
        let length = answer.body().size_hint().exact().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{uri}");
        assert_eq!(fixture.answers.left() as u64, all as u64 - length, "{uri}: its length is taken");
        drop(answer);
        assert_eq!(fixture.answers.left(), all, "{uri}: and given back");
    }
}

/// Reads all pages of a list, and checks that each says what is on the next.
async fn all(fixture: &Fixture, uri: &str, items: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    for _ in 0..100 {
        let page = fixture.get(&format!("{uri}{after}")).await;
        assert_eq!(
            (page.status, &page.headers["cache-control"]),
            (200, &"no-store".parse().unwrap()),
            "{}",
            page.text
        );
        let page = page.json();
        all.extend(page[items].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => {
                let next: String = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
                after = format!("&after={next}");
            }
            None => return all,
        }
    }
    panic!("{uri} has no end");
}

#[tokio::test]
async fn users_are_listed_by_page_by_prefix_and_by_group() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    for user in ["ben", "team/ana", "team/ben", "team/cem", "zoe"] {
        put(&fixture, &format!("/v1/users/{}", user.replace('/', "%2F")), json!({})).await;
    }
    put(&fixture, "/v1/groups/ops/members", json!({"add": ["ben", "team/cem"]})).await;
    for (query, expected) in [
        ("limit=2", vec!["ana", "ben", "team/ana", "team/ben", "team/cem", "zoe"]),
        ("limit=2&prefix=team/", vec!["team/ana", "team/ben", "team/cem"]),
        ("limit=1&prefix=team/b", vec!["team/ben"]),
        ("limit=1&prefix=zoe", vec!["zoe"]),
        ("limit=1&prefix=nobody", vec![]),
        ("limit=1&group=ops", vec!["ben", "team/cem"]),
        ("limit=1&group=ops&prefix=team", vec!["team/cem"]),
        ("limit=1&group=none", vec![]),
    ] {
        let users = all(&fixture, &format!("/v1/users?{query}"), "users").await;
        let users: Vec<&str> = users.iter().map(|user| user["user"].as_str().unwrap()).collect();
        assert_eq!(users, expected, "{query}");
    }
    assert_eq!(fixture.get("/v1/users?limit=1001").await.problem().0, 422);
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    assert_eq!(fixture.send("GET", "/v1/users", &theirs, "").await.json()["users"], json!([]));
}

#[tokio::test]
async fn a_user_is_shown_with_everything_but_tokens() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let said = json!({
        "email": "ana@example.com", "locale": "pl", "time_zone": "Europe/Warsaw",
        "preferences": {"channels": {"push": false}},
    });
    assert_eq!(put(&fixture, "/v1/users/ana", said).await.status, 204);
    put(&fixture, "/v1/groups/ops/members", json!({"add": ["ana"]})).await;
    fixture.store.put_device(&acme("ana"), &phone("token-canary"), 20).await.unwrap();
    fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "Disk"})).await;
    let answer = fixture.get("/v1/users/ana").await;
    let device =
        json!({"device": "phone", "service": "fcm", "environment": "production", "registered_at": NOW});
    let expected = json!({
        "user": "ana", "known": true, "locale": "pl", "time_zone": "Europe/Warsaw", "created_at": NOW,
        "preferences": {"channels": {"push": false}}, "sessions_revoked_at": null,
        "addresses": {"email": {"address": "ana@example.com", "refused": false}},
        "groups": ["ops"], "has_more_groups": false, "devices": [device],
        "counts": {"unread": 1, "alerts": 1, "more_alerts": false},
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(fixture.get("/v1/users/nobody").await.problem().0, 404);
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    assert_eq!(
        fixture.send("GET", "/v1/users/ana", &theirs, "").await.status,
        404,
        "as if she did not exist"
    );

    for (body, expected) in [
        (
            json!({"time_zone": "Mars/Olympus"}),
            "time_zone: must be the name of a time zone, such as Europe/Warsaw",
        ),
        (
            json!({"preferences": {"quiet": {"zone": "Mars/Olympus"}}}),
            "preferences.quiet.zone: must be the name of a time zone, such as Europe/Warsaw",
        ),
    ] {
        assert_eq!(put(&fixture, "/v1/users/ana", body).await.problem(), (422, expected.into()));
    }
}

#[tokio::test]
async fn a_backend_looks_after_the_devices_of_its_users() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    fixture.store.put_device(&acme("ana"), &phone("token-canary"), 20).await.unwrap();
    let shown =
        json!({"device": "phone", "service": "fcm", "environment": "production", "registered_at": NOW});
    assert_eq!(fixture.get("/v1/users/ana/devices").await.json(), json!({"devices": [shown]}));
    assert_eq!(fixture.get("/v1/users/ana/devices/phone").await.json(), shown);
    assert_eq!(fixture.get("/v1/users/ana/devices/tablet").await.problem().0, 404);
    assert_eq!(fixture.get("/v1/users/a%01b/devices/phone").await.problem().0, 422);
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    for uri in ["/v1/users/ana/devices", "/v1/users/ana/devices/phone"] {
        fixture.send("DELETE", uri, &theirs, "").await;
    }
    assert_eq!(
        fixture.store.devices(&acme("ana")).await.unwrap().len(),
        1,
        "another tenant's key takes nothing out"
    );
    assert_eq!(fixture.send("DELETE", "/v1/users/ana/devices/phone", &[], "").await.status, 204);
    assert_eq!(fixture.send("DELETE", "/v1/users/ana/devices/phone", &[], "").await.status, 404);
    fixture.store.put_device(&acme("ana"), &phone("token-canary"), 20).await.unwrap();
    assert_eq!(fixture.send("DELETE", "/v1/users/ana/devices", &[], "").await.status, 204);
    assert_eq!(fixture.get("/v1/users/ana/devices").await.json(), json!({"devices": []}));
}

#[tokio::test]
async fn groups_are_listed_and_deleted() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    for group in ["ops", "dev", "night%20shift"] {
        put(&fixture, &format!("/v1/groups/{group}/members"), json!({"add": ["ana", "ben"]})).await;
    }
    assert_eq!(all(&fixture, "/v1/groups?limit=1", "groups").await, ["dev", "night shift", "ops"]);
    let deleted = fixture.send("DELETE", "/v1/groups/ops", &[], "").await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"removed": 2, "complete": true})));
    let again = fixture.send("DELETE", "/v1/groups/ops", &[], "").await;
    assert_eq!(again.json(), json!({"removed": 0, "complete": true}));
    assert_eq!(all(&fixture, "/v1/groups?limit=10", "groups").await, ["dev", "night shift"]);
}

#[tokio::test]
async fn alerts_are_listed_newest_first_and_filtered() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (id, of) in [
        ("a1", json!({"severity": "critical", "labels": {"env": "prod"}})),
        ("a2", json!({"source": "node", "labels": {"env": "test"}})),
        ("a3", json!({"severity": "critical", "status": "resolved"})),
    ] {
        let mut body = json!({"id": id, "to": {"users": ["ana"]}, "title": "Disk"});
        body.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        assert_eq!(fixture.post("/v1/alerts", body).await.status, 202);
    }
    fixture.post("/v1/alerts", json!({"id": "b1", "to": {"users": ["ben"]}, "title": "Mail"})).await;
    for (query, expected) in [
        ("", vec!["b1", "a3", "a2", "a1"]),
        ("user=ana", vec!["a3", "a2", "a1"]),
        ("user=nobody", vec![]),
        ("severity=critical", vec!["a3", "a1"]),
        ("severity=critical&status=firing", vec!["a1"]),
        ("source=node", vec!["a2"]),
        ("label=env%3Dprod", vec!["a1"]),
        ("since=2026-11-21T12:00:00Z&until=2026-11-21T12:00:00Z&source=node", vec!["a2"]),
        ("since=2026-11-21T12:00:01Z", vec![]),
        ("until=9999-12-31T23:59:59Z&source=node", vec!["a2"]),
        ("user=ana&until=2026-11-21T11:59:59Z", vec![]),
    ] {
        for limit in [1, 10] {
            let alerts = all(&fixture, &format!("/v1/alerts?limit={limit}&{query}"), "alerts").await;
            let ids: Vec<&str> =
                alerts.iter().map(|listed| listed["alert"]["id"].as_str().unwrap()).collect();
            assert_eq!(ids, expected, "{query}, {limit} a page");
        }
    }
    for query in [
        "status=burning",
        "severity=bad",
        "label=env",
        "since=today",
        "since=2026-11-21T12:00:01Z&until=2026-11-21T12:00:00Z",
        "after=x",
        "limit=201",
        "user=%01",
    ] {
        assert_eq!(fixture.get(&format!("/v1/alerts?{query}")).await.problem().0, 422, "{query}");
    }
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    assert_eq!(fixture.send("GET", "/v1/alerts?user=ana", &theirs, "").await.json()["alerts"], json!([]));
}

#[tokio::test]
async fn a_page_of_long_alerts_ends_by_bytes() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let body = "x".repeat(60_000);
    for n in 0..12 {
        let alert =
            json!({"id": format!("a{n}"), "to": {"users": ["ana"]}, "title": "Disk", "data": {"text": body}});
        assert_eq!(fixture.post("/v1/alerts", alert).await.status, 202);
    }
    for uri in ["/v1/alerts?limit=100", "/v1/users/ana/export?"] {
        let first = fixture.get(uri).await;
        assert!(
            first.text.len() < 1024 * 1024 && first.json()["next"].is_string(),
            "{uri}: {}",
            first.text.len()
        );
    }
    assert_eq!(all(&fixture, "/v1/alerts?limit=100", "alerts").await.len(), 12, "and nothing is lost by it");
    let records = all(&fixture, "/v1/users/ana/export?", "records").await;
    assert_eq!(records.iter().filter(|record| record["record"] == "inbox").count(), 12);
}

#[tokio::test]
async fn what_a_person_got_and_did_not_get_is_explained() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for (id, to, severity) in [
        ("first", json!({"users": ["zora"]}), "warning"),
        ("second", json!({"users": ["zora", "ben"]}), "critical"),
        ("for-all", json!({"users": ["ben"], "everyone": true}), "info"),
        ("for-ops", json!({"users": ["ben"], "groups": ["ops"]}), "info"),
        ("of-others", json!({"users": ["ben"]}), "critical"),
    ] {
        let alert = json!({"id": id, "to": to, "title": format!("about {id}"), "severity": severity});
        assert_eq!(fixture.post("/v1/alerts", alert).await.status, 202);
    }
    let explained = fixture.get("/v1/users/zora/explain").await.json();
    let ids = |of: &Value| -> Vec<String> {
        of.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&explained["alerts"]), ["second", "first"]);
    assert_eq!(
        explained["alerts"][0]["what"],
        "came under policy default · on no screen · new; next check at 2026-11-21T12:00:30Z"
    );
    assert_eq!(explained["alerts"][0]["title"], "about second");
    assert_eq!(ids(&explained["left_out"]), ["for-all", "for-ops"], "whom everyone reaches now comes first");
    assert_eq!(
        explained["left_out"][0]["what"],
        "it was for everyone: they were only named in alerts, and everyone is who registered or signed in"
    );
    let kinds: Vec<&Value> =
        explained["obstacles"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["only_named", "no_session", "no_device", "no_address"]);

    let by_page = all(&fixture, "/v1/users/zora/explain?limit=1", "alerts").await;
    assert_eq!(ids(&json!(by_page)), ["second", "first"]);
    for (query, expected) in [
        ("severity=warning", vec!["first"]),
        ("not_seen=true&severity=critical", vec!["second"]),
        ("since=2100-01-01T00:00:00Z", vec![]),
        ("until=2000-01-01T00:00:00Z&since=1999-01-01T00:00:00Z", vec![]),
    ] {
        let explained = fixture.get(&format!("/v1/users/zora/explain?{query}")).await.json();
        assert_eq!(ids(&explained["alerts"]), expected, "{query}");
    }
    for query in [
        "since=1h",
        "since=2026-11-21T11:00:00Z&until=2026-11-21T10:00:00Z",
        "severity=loud",
        "limit=0",
        "limit=101",
        "after=x",
        "not_seen=perhaps",
        "who=ana",
    ] {
        assert_eq!(fixture.get(&format!("/v1/users/zora/explain?{query}")).await.problem().0, 422, "{query}");
    }
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    let other = fixture.send("GET", "/v1/users/zora/explain", &theirs, "").await.json();
    let nothing = json!([]);
    assert_eq!((&other["alerts"], &other["left_out"], &other["next"]), (&nothing, &nothing, &Value::Null));
    assert_eq!(other["obstacles"][0]["kind"], "unknown", "another tenant's look like nobody (I8)");
}

#[tokio::test]
async fn everything_about_a_person_is_exported_and_nothing_after_the_erasure() {
    let fixture = Fixture::new(Dispatch::Records).await;
    put(&fixture, "/v1/users/ana", json!({"email": "ana@example.com"})).await;
    put(&fixture, "/v1/groups/ops/members", json!({"add": ["ana"]})).await;
    fixture.store.put_device(&acme("ana"), &phone("token-canary"), 20).await.unwrap();
    fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "Disk"})).await;
    let records = all(&fixture, "/v1/users/ana/export?", "records").await;
    let kinds: Vec<&str> = records.iter().map(|record| record["record"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["person", "address", "group", "device", "inbox", "escalation", "change"]);
    assert_eq!(records[1]["address"], "ana@example.com");
    assert_eq!(records[4]["content"]["title"], "Disk", "as JSON, not as a text of it");
    assert!(!json!(records).to_string().contains("canary"), "no token is exported");
    let part = fixture.get("/v1/users/ana/export?after=inbox").await.json();
    assert_eq!(part["records"][0]["record"], "inbox", "from a kind of records on");
    assert_eq!(fixture.get("/v1/users/ana/export?after=nothing").await.problem().0, 422);
    let theirs = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    let other = fixture.send("GET", "/v1/users/ana/export", &theirs, "").await.json();
    assert_eq!(other, json!({"user": "ana", "records": [], "next": null}));

    assert_eq!(fixture.send("DELETE", "/v1/users/ana", &[], "").await.status, 200);
    assert_eq!(all(&fixture, "/v1/users/ana/export?", "records").await, Vec::<Value>::new());
}
