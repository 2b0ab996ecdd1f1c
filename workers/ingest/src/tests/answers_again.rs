//! What a producer hears of an alert that is recorded already, of somebody else's, and of people nobody knows.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::{
    domain::{AlertId, Tenant, UserId, UserKey},
    store::{Contact, KeyRights},
};

use super::fixture::{Dispatch, Fixture};
use crate::key;

fn otp(title: &str, to: &str) -> Value {
    json!({"id": "otp", "to": {"users": [to]}, "title": title})
}

/// Two fields more or other than in an alert.
fn with(mut alert: Value, field: &str, value: impl Into<Value>) -> Value {
    alert[field] = value.into();
    alert
}

/// With these people known, so that answers are about the alerts alone.
async fn furnished() -> Fixture {
    let fixture = Fixture::new(Dispatch::Records).await;
    for name in ["ana", "ben", "eve"] {
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap());
        fixture.store.put_user(&user, &Contact::default(), fixture.clock.now()).await.unwrap();
    }
    fixture
}

/// A key of `acme` that may change only what it made.
async fn own_key(fixture: &Fixture) -> String {
    let key = key::generate(&mut rand::rng()).expose().to_owned();
    let rights = KeyRights { own_alerts: true, ..KeyRights::of(Tenant::parse("acme").unwrap()) };
    fixture.store.add_api_key(&key::hash(&key), &rights, "own", fixture.clock.now()).await.unwrap();
    key
}

async fn titles(fixture: &Fixture, name: &str) -> Vec<String> {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap());
    let rows = fixture.store.changes_after(&user, 0, 100).await.unwrap().rows;
    rows.iter()
        .map(|row| serde_json::from_str::<Value>(&row.content).unwrap()["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_same_again_is_a_duplicate_and_another_text_a_conflict() {
    let fixture = furnished().await;
    let dated = |at: &str| with(otp("dated", "ana"), "occurred_at", at);
    let dated = |id: &str, at: &str| with(dated(at), "id", id);
    let accepted = |version: u32| json!({"id": "otp", "version": version, "status": "accepted"});
    let duplicate = |version: u32| with(accepted(version), "duplicate", true);
    let noon = "2026-11-21T11:00:00Z";
    let steps = [
        ("the first", otp("ana's code", "ana"), Ok(accepted(1))),
        ("the same", otp("ana's code", "ana"), Ok(duplicate(1))),
        (
            "the same, written otherwise",
            with(otp("ana's code", "ana"), "severity", "warning"),
            Ok(duplicate(1)),
        ),
        ("the same to somebody else", otp("ana's code", "ben"), Ok(duplicate(1))),
        ("another text to somebody else", otp("eve's code", "eve"), Err(409)),
        ("another severity", with(otp("ana's code", "ana"), "severity", "info"), Err(409)),
        ("another policy", with(otp("ana's code", "ana"), "policy", "critical"), Err(409)),
        ("a time that it did not have", with(otp("ana's code", "ana"), "occurred_at", noon), Err(409)),
        ("the next version", with(otp("used", "ana"), "version", 2), Ok(accepted(2))),
        ("the first, too late", otp("ana's code", "ana"), Ok(with(accepted(1), "stale", true))),
        (
            "of another id, the second alone",
            with(with(otp("ana's", "ana"), "id", "o"), "version", 2),
            Ok(with(accepted(2), "id", "o")),
        ),
        (
            "below it, from a stranger",
            with(otp("eve's", "eve"), "id", "o"),
            Ok(with(with(accepted(1), "id", "o"), "stale", true)),
        ),
        ("what the first never said", otp("eve's code", "eve"), Err(409)),
        ("another text of the second", with(otp("expired", "eve"), "version", 2), Err(409)),
    ];
    for (why, alert, expected) in steps {
        fixture.clock.advance(Duration::from_secs(1));
        let answer = fixture.post("/v1/alerts", &alert).await;
        match expected {
            Ok(expected) => assert_eq!((answer.status, answer.json()), (202, expected), "{why}"),
            Err(status) => {
                let (found, problem) = answer.problem();
                assert_eq!(found, status, "{why}: {problem}");
                assert!(problem.starts_with("version: Version "), "{why}: {problem}");
            }
        }
    }
    assert_eq!(titles(&fixture, "ana").await, ["used", "ana's"]);
    assert_eq!(titles(&fixture, "eve").await, Vec::<String>::new(), "nobody is shown another's text");

    for (why, alert, status) in [
        ("a time of its own", dated("d", noon), 202),
        ("the same time", dated("d", noon), 202),
        ("the same time, written otherwise", dated("d", "2026-11-21T12:00:00+01:00"), 202),
        ("another time", dated("d", "2026-11-21T11:00:01Z"), 409),
        ("it goes without saying", with(otp("dated", "ana"), "id", "d"), 202),
    ] {
        assert_eq!(fixture.post("/v1/alerts", alert).await.status, status, "{why}");
    }
}

#[tokio::test]
async fn each_of_several_answers_for_itself() {
    let fixture = furnished().await;
    fixture.post("/v1/alerts", otp("ana's code", "ana")).await;
    let two = |title: &str| with(otp(title, "eve"), "id", "two");
    let batch = json!([
        otp("ana's code", "ana"),
        otp("eve's code", "eve"),
        two("first"),
        two("second"),
        two("first")
    ]);
    let answer = fixture.post("/v1/alerts", &batch).await;
    assert_eq!(answer.status, 202);
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(3), &json!(2)));
    let brief: Vec<(Value, Value, Value)> = answer["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].clone(), one["duplicate"].clone(), one["problem"]["status"].clone()))
        .collect();
    let expected = [
        (json!("otp"), json!(true), json!(null)),
        (json!("otp"), json!(null), json!(409)),
        (json!("two"), json!(null), json!(null)),
        (json!("two"), json!(null), json!(409)),
        (json!("two"), json!(true), json!(null)),
    ];
    assert_eq!(brief, expected);
    assert_eq!(titles(&fixture, "eve").await, ["first"]);

    let (status, problem) =
        fixture.post("/v1/alerts", json!([otp("eve's code", "eve"), two("third")])).await.problem();
    assert_eq!(status, 409, "nothing of it was accepted");
    assert!(problem.starts_with("[0] version: "), "{problem}");
    let lines = format!("\n{}\n{}\n", two("first"), two("third"));
    let ndjson = [("content-type", "application/x-ndjson"), ("idempotency-key", "k")];
    let answer = fixture.send("POST", "/v1/alerts", &ndjson, lines).await.json();
    assert_eq!((&answer["accepted"], &answer["alerts"][1]["status"]), (&json!(1), &json!("refused")));

    let nameless = |title: &str| json!({"to": {"users": ["ana"]}, "title": title}).to_string();
    let key = [("idempotency-key", "order-7")];
    for (title, status) in [("paid", 202), ("paid", 202), ("refunded", 409)] {
        let answer = fixture.send("POST", "/v1/alerts", &key, nameless(title)).await;
        assert_eq!(answer.status, status, "one key is one request: {title}");
    }
}

#[tokio::test]
async fn a_key_of_its_own_changes_what_it_made_and_nothing_else() {
    let fixture = furnished().await;
    let own = own_key(&fixture).await;
    let other = own_key(&fixture).await;
    fixture.post("/v1/alerts", otp("anybody's", "ana")).await;
    let mine = with(otp("mine", "ana"), "id", "mine");
    let version = |alert: &Value, version: u32| with(alert.clone(), "version", version);
    let any = fixture.key.clone();
    for (why, key, method, uri, body, status) in [
        ("it makes one", &own, "POST", "/v1/alerts", mine.clone(), 202),
        ("and the next version", &own, "POST", "/v1/alerts", version(&mine, 2), 202),
        ("and patches it", &own, "PATCH", "/v1/alerts/mine", json!({"status": "resolved"}), 202),
        ("another such key", &other, "POST", "/v1/alerts", version(&mine, 9), 403),
        ("the same text to more people", &other, "POST", "/v1/alerts", mine.clone(), 403),
        ("by PATCH", &other, "PATCH", "/v1/alerts/mine", json!({"status": "firing"}), 403),
        ("what another key made", &own, "POST", "/v1/alerts", version(&otp("x", "ana"), 2), 403),
        ("any other key is trusted", &any, "PATCH", "/v1/alerts/mine", json!({"title": "theirs"}), 202),
        ("and its maker still may", &own, "PATCH", "/v1/alerts/mine", json!({"title": "mine"}), 202),
    ] {
        let authorization = format!("Bearer {key}");
        let answer = fixture.send(method, uri, &[("authorization", &authorization)], body.to_string()).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text);
        if status == 403 {
            assert!(answer.problem().1.starts_with("id: The alert of this id was made by another"), "{why}");
        }
    }

    let trigger = |action: &str| json!({"event_action": action, "dedup_key": "pd-1", "payload": {"summary": "s", "source": "x", "severity": "error"}});
    for (why, key, action, status) in [
        ("a hook makes one", &own, "trigger", 202),
        ("another such key resolves it", &other, "resolve", 403),
        ("its maker does", &own, "resolve", 202),
    ] {
        let authorization = format!("Bearer {key}");
        let uri = "/v1/hooks/pagerduty?users=ana";
        let answer = fixture
            .send("POST", uri, &[("authorization", &authorization)], trigger(action).to_string())
            .await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text);
    }
    let (tenant, id) = (Tenant::parse("acme").unwrap(), AlertId::parse("mine").unwrap());
    let known = fixture.store.latest(&tenant, &id).await.unwrap();
    assert_eq!(known.unwrap().maker.as_deref(), key::hash(&own).get(..32));
}

#[tokio::test]
async fn unknown_people_are_named_up_to_a_bound_and_counted_and_told_all_the_same() {
    let fixture = furnished().await;
    let to = |users: Value| json!({"to": {"users": users}, "title": "t"});
    let known = fixture.post("/v1/alerts", to(json!(["ana", "ben"]))).await.json();
    assert_eq!((&known["users_unknown"], &known["users_unknown_count"]), (&json!(null), &json!(null)));
    let mixed = fixture.post("/v1/alerts", to(json!(["ana", "nobody-known"]))).await.json();
    assert_eq!(
        (&mixed["users_unknown"], &mixed["users_unknown_count"]),
        (&json!(["nobody-known"]), &json!(1))
    );
    assert_eq!(titles(&fixture, "nobody-known").await, ["t"], "it waits for their first sign-in");
    let again = fixture.post("/v1/alerts", to(json!(["nobody-known"]))).await.json();
    assert_eq!(again["users_unknown_count"], 1, "being named makes nobody known");
    let many: Vec<String> = (0..30).map(|n| format!("n{n:02}")).collect();
    let many = fixture.post("/v1/alerts", json!([to(json!(many)), to(json!(["ana"]))])).await.json();
    assert_eq!(many["alerts"][0]["users_unknown"].as_array().unwrap().len(), 20);
    assert_eq!(many["alerts"][0]["users_unknown_count"], 30);
    assert_eq!(many["alerts"][1]["users_unknown_count"], json!(null), "each answers for itself");
}

#[tokio::test]
async fn groups_in_which_nobody_is_are_named() {
    let fixture = furnished().await;
    let member = json!({"add": ["ana"]}).to_string();
    assert_eq!(fixture.send("PUT", "/v1/groups/ops/members", &[], member).await.status, 204);
    let to = |groups: Value| json!({"to": {"groups": groups, "users": ["ana"]}, "title": "t"});
    for (why, groups, expected) in [
        ("somebody is in it", json!(["ops"]), json!(null)),
        ("misspelt", json!(["osp"]), json!(["osp"])),
        ("one of two", json!(["ops", "osp"]), json!(["osp"])),
    ] {
        let answer = fixture.post("/v1/alerts", to(groups)).await;
        assert_eq!(answer.status, 202, "{why}: {}", answer.text);
        assert_eq!(answer.json()["groups_empty"], expected, "{why}");
    }
    let many: Vec<String> = (0..30).map(|n| format!("g{n:02}")).collect();
    let many = fixture.post("/v1/alerts", json!([to(json!(many)), to(json!(["ops"]))])).await.json();
    assert_eq!(many["alerts"][0]["groups_empty"].as_array().unwrap().len(), 20);
    assert_eq!(many["alerts"][1]["groups_empty"], json!(null), "each answers for itself");
}

/// Whom it asks is away; dispatch, which has its own way to the store, finds out.
#[tokio::test]
async fn without_an_answer_of_the_store_everything_is_published() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    fixture.get("/v1/alerts/warm-up").await; // The key is known from here on.
    fixture.store.close().await;
    for title in ["ana's code", "eve's code"] {
        let answer = fixture.post("/v1/alerts", otp(title, "ana")).await;
        assert_eq!((answer.status, answer.json()["status"].clone()), (202, json!("accepted")), "{title}");
    }
    assert_eq!(fixture.messages().len(), 2);
}
