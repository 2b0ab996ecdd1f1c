//! `PATCH /v1/alerts/{id}`.

use serde_json::{Value, json};

use super::fixture::{self, Answer, Dispatch, Fixture};

async fn with_alert() -> Fixture {
    let fixture = Fixture::new(Dispatch::Records).await;
    let alert = json!({
        "id": "a", "to": {"users": ["ana"]}, "title": "Disk full", "body": "91 %", "policy": "critical",
        "labels": {"env": "prod"}, "expires_at": "2026-11-22T12:00:00Z",
    });
    assert_eq!(fixture.post("/v1/alerts", alert).await.status, 202);
    fixture
}

async fn patch(fixture: &Fixture, id: &str, change: Value) -> Answer {
    fixture.send("PATCH", &format!("/v1/alerts/{id}"), &[], change.to_string()).await
}

#[tokio::test]
async fn a_change_is_the_next_version_for_everybody_who_holds_it() {
    let fixture = with_alert().await;
    let answer = patch(&fixture, "a", json!({"status": "acknowledged", "body": null})).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"id": "a", "version": 2, "status": "accepted"})));
    let published = fixture.alerts().remove(1);
    assert!(published.to.is_empty(), "dispatch knows who holds it");
    assert_eq!(published.policy.as_deref(), Some("critical"), "should it fire again");
    let shown = fixture.get("/v1/alerts/a").await.json();
    let alert = &shown["alert"];
    assert_eq!((&alert["status"], &alert["version"]), (&json!("acknowledged"), &json!(2)));
    assert_eq!(
        (&alert["title"], &alert["labels"]),
        (&json!("Disk full"), &json!({"env": "prod"})),
        "the rest stays"
    );
    assert_eq!(alert.get("body"), None, "null takes away");
    assert_eq!(shown["recipients"], 1);
}

/// What is beside the text is changed and taken away as the rest is, and checked as in an alert.
#[tokio::test]
async fn buttons_a_picture_and_a_group_are_changed() {
    let fixture = with_alert().await;
    let approve = json!({"id": "approve", "title": "Approve", "answer": "yes"});
    let given = json!({
        "body_format": "markdown", "image": "https://a.example/a.png", "group_key": "db", "actions": [approve],
    });
    assert_eq!(patch(&fixture, "a", given.clone()).await.status, 202);
    let shown = fixture.get("/v1/alerts/a").await.json();
    for (field, expected) in given.as_object().unwrap() {
        assert_eq!(&shown["alert"][field], expected, "{field}");
    }
    let (status, problem) =
        patch(&fixture, "a", json!({"actions": [approve, {"id": "b", "title": "t"}]})).await.problem();
    assert_eq!((status, problem.split_once(':').unwrap().0), (422, "actions[1].answer"));
    let gone = json!({"image": null, "group_key": null, "actions": null, "body_format": "text"});
    assert_eq!(patch(&fixture, "a", gone).await.status, 202);
    let shown = fixture.get("/v1/alerts/a").await.json();
    for field in given.as_object().unwrap().keys() {
        assert_eq!(shown["alert"].get(field), None, "{field}");
    }
}

#[tokio::test]
async fn a_version_that_is_taken_is_a_conflict() {
    let fixture = with_alert().await;
    assert_eq!(patch(&fixture, "a", json!({"title": "t", "version": 5})).await.status, 202);
    for taken in [1, 4, 5] {
        let (status, problem) = patch(&fixture, "a", json!({"title": "u", "version": taken})).await.problem();
        assert_eq!(status, 409);
        assert!(problem.starts_with(&format!("version: Version {taken} is taken")), "{problem}");
    }
    assert_eq!(patch(&fixture, "a", json!({"title": "u"})).await.json()["version"], 6);
}

/// Its producer lost the answer and sends it again.
#[tokio::test]
async fn the_same_change_under_the_same_version_is_a_duplicate() {
    let fixture = with_alert().await;
    let over = json!({"status": "resolved", "version": 2});
    let accepted = json!({"id": "a", "version": 2, "status": "accepted"});
    let duplicate = json!({"id": "a", "version": 2, "status": "accepted", "duplicate": true});
    for (why, change, expected) in [
        ("the first time", over.clone(), Ok(&accepted)),
        ("the same", over, Ok(&duplicate)),
        ("a part of it", json!({"version": 2.0, "title": "Disk full"}), Ok(&duplicate)),
        ("another title", json!({"status": "resolved", "version": 2, "title": "Disk"}), Err(409)),
        ("the version before", json!({"status": "resolved", "version": 1}), Err(409)),
    ] {
        let answer = patch(&fixture, "a", change).await;
        match expected {
            Ok(expected) => assert_eq!((answer.status, &answer.json()), (202, expected), "{why}"),
            Err(status) => assert_eq!(answer.problem().0, status, "{why}"),
        }
    }
    assert_eq!(fixture.messages().len(), 2, "a duplicate is not published");
}

/// It used to come back as acknowledged.
#[tokio::test]
async fn an_acknowledgement_of_what_is_over_changes_nothing() {
    let fixture = with_alert().await;
    assert_eq!(patch(&fixture, "a", json!({"status": "resolved"})).await.status, 202);
    for change in [json!({"status": "acknowledged"}), json!({"status": "acknowledged", "version": 3})] {
        let answer = patch(&fixture, "a", change.clone()).await;
        let expected = json!({"id": "a", "version": 2, "status": "accepted", "duplicate": true});
        assert_eq!((answer.status, answer.json()), (202, expected), "{change}");
    }
    let late = patch(&fixture, "a", json!({"status": "acknowledged", "version": 1})).await;
    assert_eq!(late.problem().0, 409, "a version that is taken stays so");
    let more = patch(&fixture, "a", json!({"status": "acknowledged", "title": "mine"})).await;
    assert_eq!(more.problem().0, 409, "what else it changes is not passed over in silence");
    let shown = fixture.get("/v1/alerts/a").await.json();
    assert_eq!((&shown["alert"]["status"], &shown["alert"]["version"]), (&json!("resolved"), &json!(2)));
    assert_eq!(
        patch(&fixture, "a", json!({"status": "firing"})).await.json()["version"],
        3,
        "it fires again"
    );
}

#[tokio::test]
async fn dismissed_until_goes_with_the_suppression_it_came_with() {
    let (tomorrow, later) = ("2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z");
    for (why, change, expected) in [
        ("another status", json!({"status": "firing"}), None),
        ("another status with a time", json!({"status": "resolved", "dismissed_until": later}), Some(later)),
        ("the same status", json!({"status": "suppressed"}), Some(tomorrow)),
        ("no status", json!({"title": "t"}), Some(tomorrow)),
        ("null is no status", json!({"status": null}), Some(tomorrow)),
    ] {
        let fixture = with_alert().await;
        let put_off = json!({"status": "suppressed", "dismissed_until": tomorrow});
        assert_eq!(patch(&fixture, "a", put_off).await.status, 202, "{why}");
        assert_eq!(patch(&fixture, "a", change).await.status, 202, "{why}");
        let shown = fixture.get("/v1/alerts/a").await.json();
        assert_eq!(shown["alert"].get("dismissed_until").and_then(Value::as_str), expected, "{why}");
    }
}

/// Both read version 1 and publish a version 2; the store keeps one of them, and the other producer is told.
#[tokio::test]
async fn of_two_changes_at_once_none_is_lost_in_silence() {
    let fixture = with_alert().await;
    let (one, two) = tokio::join!(
        patch(&fixture, "a", json!({"title": "one"})),
        patch(&fixture, "a", json!({"title": "two"}))
    );
    let shown = fixture.get("/v1/alerts/a").await.json()["alert"]["title"].clone();
    match (one.status, two.status) {
        (202, 409) => assert_eq!(shown, "one"),
        (409, 202) => assert_eq!(shown, "two"),
        // The second read after the first was recorded, so it built on it.
        (202, 202) => assert_ne!(one.json()["version"], two.json()["version"]),
        other => panic!("{other:?}"),
    }
}

/// A later version used to be taken for a sign that one's own had been recorded before it.
#[tokio::test]
async fn a_change_whose_version_somebody_else_took_is_told_so_also_after_the_next_one() {
    for (why, second, status) in [("its own was recorded", "mine", 202), ("another one was", "theirs", 409)] {
        let fixture = Fixture::new(Dispatch::Acks).await;
        fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "t"})).await;
        fixture::record(&fixture.store, fixture.alerts().remove(0)).await;
        let recorded = async {
            let published = loop {
                if let Some(published) = fixture.alerts().into_iter().nth(1) {
                    break published;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            };
            let third = watchbell::domain::Alert { version: 3, title: "later".into(), ..published.clone() };
            let second = watchbell::domain::Alert { title: second.into(), ..published };
            fixture::record_all(&fixture.store, vec![second, third]).await;
        };
        let (answer, ()) = tokio::join!(patch(&fixture, "a", json!({"title": "mine"})), recorded);
        assert_eq!(answer.status, status, "{why}");
    }
}

#[tokio::test]
async fn a_change_of_nothing_is_a_version_too() {
    let fixture = with_alert().await;
    let answer = patch(&fixture, "a", json!({})).await;
    assert_eq!((answer.status, answer.json()["version"].clone()), (202, json!(2)));
    let absent = json!({"title": null, "status": null, "severity": null, "version": null});
    let answer = patch(&fixture, "a", absent).await;
    assert_eq!((answer.status, answer.json()["version"].clone()), (202, json!(3)), "null is absent");
    assert_eq!(fixture.get("/v1/alerts/a").await.json()["alert"]["title"], "Disk full");
}

#[tokio::test]
async fn what_is_confirmed_and_not_yet_recorded_is_accepted_as_any_alert() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "t"})).await;
    assert_eq!(
        patch(&fixture, "a", json!({"title": "u"})).await.problem().0,
        404,
        "there is nothing to build on yet"
    );
    fixture::record(&fixture.store, fixture.alerts().remove(0)).await;
    let answer = patch(&fixture, "a", json!({"title": "u"})).await;
    assert_eq!((answer.status, answer.json()["version"].clone()), (202, json!(2)));
}

#[tokio::test]
async fn a_refusal_is_exact() {
    let fixture = with_alert().await;
    for (change, expected) in [
        (
            json!({"titel": "t"}),
            "titel: is not known here: accepted are status, severity, title, body, body_format, url, image, actions, group_key, expires_at, dismissed_until, version",
        ),
        (json!({"title": " "}), "title: must not be empty"),
        (json!({"status": "gone"}), "status: must be one of firing, acknowledged, suppressed, resolved"),
        (json!({"severity": 7}), "severity: has the wrong type: expected a string"),
        (
            json!({"dismissed_until": "tomorrow"}),
            "dismissed_until: must be an RFC 3339 time such as 2026-11-21T12:00:00Z",
        ),
        (json!({"version": "2"}), "version: must be a number from 1 to 4294967295"),
    ] {
        assert_eq!(patch(&fixture, "a", change.clone()).await.problem(), (422, expected.into()), "{change}");
    }
    assert_eq!(
        patch(&fixture, "a", json!([1])).await.problem(),
        (422, "body: has the wrong type: expected an object".into())
    );
    let theirs = format!("Bearer {}", fixture.other_key);
    let other = fixture.send("PATCH", "/v1/alerts/a", &[("authorization", &theirs)], "{}").await;
    assert_eq!(other.problem().0, 404);
    assert_eq!(fixture.messages().len(), 1, "only the alert itself");
}
