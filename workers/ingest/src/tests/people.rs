//! Users and groups.

use serde_json::{Value, json};
use watchbell::{
    broker::{LiveEvent, topology::PARTITIONS},
    domain::{Channel, Secret, Tenant, Timestamp, UserId, UserKey, channel::Addressing},
};

use super::fixture::{Answer, Dispatch, Fixture, NOW};

async fn put(fixture: &Fixture, uri: &str, body: Value) -> Answer {
    fixture.send("PUT", uri, &[], body.to_string()).await
}

#[tokio::test]
async fn a_user_is_known_by_how_they_can_be_written_to() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    let answer = put(&fixture, "/v1/users/ana", json!({"email": "ana@example.com", "locale": "pt-BR"})).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let contact = fixture.store.contact(&ana).await.unwrap().unwrap();
    assert_eq!(contact.addresses[Channel::Email], Some(Secret::from("ana@example.com")));
    assert_eq!(contact.locale.as_deref(), Some("pt-BR"));
    assert_eq!(put(&fixture, "/v1/users/ana", json!({"email": null})).await.status, 204);
    let mailbox =
        async || fixture.store.contact(&ana).await.unwrap().unwrap().addresses[Channel::Email].clone();
    assert_eq!(mailbox().await, None, "the whole is replaced");
    let by_channel = json!({"addresses": {"email": "ana@example.org"}});
    assert_eq!(put(&fixture, "/v1/users/ana", by_channel).await.status, 204);
    assert_eq!(mailbox().await, Some(Secret::from("ana@example.org")), "by channel as well");
    let none = json!({"addresses": {"email": null}});
    assert_eq!(put(&fixture, "/v1/users/ana", none).await.status, 204);
    assert_eq!(mailbox().await, None);

    let addressed = Channel::ALL
        .into_iter()
        .filter(|channel| matches!(channel.facts().addressing, Addressing::Address(_)));
    let addressed: Vec<&str> = addressed.map(Channel::as_str).collect();
    let no_address = format!("addresses: has a channel that is none: accepted are {}", addressed.join(", "));
    for (uri, body, expected) in [
        (
            "/v1/users/ana",
            json!({"email": "canary@"}),
            "email: must be one address such as ana@example.com, at most 254 bytes",
        ),
        ("/v1/users/ana", json!({"email": 7}), "email: has the wrong type: expected a string"),
        (
            "/v1/users/ana",
            json!({"locale": "pt_BR"}),
            "locale: must be a language tag (BCP 47) such as en or pt-BR",
        ),
        (
            "/v1/users/ana",
            json!({"mail": "a@b"}),
            "mail: is not known here: accepted are email, addresses, locale, time_zone, preferences",
        ),
        ("/v1/users/ana", json!({"addresses": 7}), "addresses: has the wrong type: expected an object"),
        ("/v1/users/ana", json!({"addresses": {"pigeon": "coo"}}), &no_address),
        ("/v1/users/ana", json!({"addresses": {"push": "a device registers itself"}}), &no_address),
        (
            "/v1/users/ana",
            json!({"addresses": {"email": "canary@"}}),
            "addresses.email: must be one address such as ana@example.com, at most 254 bytes",
        ),
        (
            "/v1/users/ana",
            json!({"addresses": {"email": 7}}),
            "addresses.email: has the wrong type: expected a string",
        ),
        (
            "/v1/users/ana",
            json!({"email": "ana@example.com", "addresses": {"email": "ben@example.com"}}),
            "email: is in `addresses` as well: give it once",
        ),
        ("/v1/users/a%01b", json!({}), "user: must not contain the control character '\\u{1}'"),
    ] {
        assert_eq!(put(&fixture, uri, body).await.problem(), (422, expected.into()));
    }
}

#[tokio::test]
async fn a_group_changes_by_difference_and_is_read_by_page() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let uri = "/v1/groups/family:42/members";
    assert_eq!(fixture.get(uri).await.json(), json!({"members": [], "next": null}));
    assert_eq!(put(&fixture, uri, json!({"add": ["cem", "ana", "ben"]})).await.status, 204);
    assert_eq!(put(&fixture, uri, json!({"add": ["dan", "ana"], "remove": ["ben"]})).await.status, 204);
    let page = fixture.get(&format!("{uri}?limit=2")).await.json();
    assert_eq!(page, json!({"members": ["ana", "cem"], "next": "cem"}));
    let page = fixture.get(&format!("{uri}?limit=2&after=cem")).await.json();
    assert_eq!(page, json!({"members": ["dan"], "next": null}));
    let removed = fixture.send("DELETE", &format!("{uri}?users=ana,%20dan"), &[], "").await;
    assert_eq!(removed.status, 204);
    assert_eq!(fixture.get(uri).await.json()["members"], json!(["cem"]));

    let theirs = format!("Bearer {}", fixture.other_key);
    let other = fixture.send("GET", uri, &[("authorization", &theirs)], "").await;
    assert_eq!(other.json()["members"], json!([]), "a group of the same name behind another wall");
}

#[tokio::test]
async fn a_refused_change_of_a_group_changes_nothing() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let uri = "/v1/groups/ops/members";
    let many: Vec<String> = (0..=10_000).map(|n| n.to_string()).collect();
    for (body, expected) in [
        (json!({"add": many}), "add: has with `remove` more than 10000 names: send several requests"),
        (json!({"add": ["ana", "a\u{1}b"]}), "add[1]: must not contain the control character '\\u{1}'"),
        (json!({"add": [1]}), "add[0]: has the wrong type: expected a string"),
        (json!({"remove": "ana"}), "remove: has the wrong type: expected a list"),
        (
            json!({"add": ["ana"], "remove": ["ben", "ana"]}),
            "remove[1]: is in `add` as well: which of the two?",
        ),
        (json!({"members": ["ana"]}), "members: is not known here: accepted are add, remove"),
    ] {
        assert_eq!(put(&fixture, uri, body).await.problem(), (422, expected.into()));
    }
    let nobody = fixture.send("DELETE", uri, &[], "").await.problem();
    assert_eq!(nobody, (422, "users: must name whom to take out: ?users=ana,ben".into()));
    assert_eq!(fixture.get(uri).await.json()["members"], json!([]));
    assert_eq!(fixture.get(&format!("{uri}?limit=1001")).await.problem().0, 422);
}

#[tokio::test]
async fn revoked_sessions_are_stored_and_every_pod_is_told() {
    let fixture = Fixture::new(Dispatch::Absent).await;
    let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    let mut pod = fixture.broker.live().await;
    pod.control().follow(ana.partition(PARTITIONS)).await;
    let answer = fixture.send("DELETE", "/v1/users/ana/sessions", &[], "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"revoked_at": NOW, "devices": 0})));

    let now: Timestamp = NOW.parse().unwrap();
    assert_eq!(fixture.store.heads(std::slice::from_ref(&ana)).await.unwrap()[&ana].revoked_at, Some(now));
    let told = async {
        loop {
            if let Some(LiveEvent::Frame(message)) = pod.next().await {
                return serde_json::from_slice::<Value>(&message.body).unwrap();
            }
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), told).await.expect("the pod is told");
    let expected = json!({"tenant": "acme", "user": "ana", "issued_until_ms": now.as_millisecond()});
    assert_eq!(told, json!({"revoke": expected}));

    let nobody = fixture.send("DELETE", "/v1/users/a%01b/sessions", &[], "").await.problem();
    assert_eq!(nobody.0, 422);
}

/// A comma separates names, so a name with one could be put into a group and never taken out.
#[tokio::test]
async fn a_member_with_a_comma_in_the_name_can_be_taken_out() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    let uri = "/v1/groups/ops/members";
    put(&fixture, uri, json!({"add": ["Doe, Jane", "Doe", "ana", "ben", "cem"]})).await;
    for (query, left) in [
        ("users=Doe%5C%2C%20Jane", json!(["Doe", "ana", "ben", "cem"])),
        ("users=ana,ben", json!(["Doe", "cem"])),
        ("users=Doe,%20cem", json!([])),
    ] {
        assert_eq!(fixture.send("DELETE", &format!("{uri}?{query}"), &[], "").await.status, 204, "{query}");
        assert_eq!(fixture.get(uri).await.json()["members"], left, "{query}");
    }
}

#[tokio::test]
async fn an_erased_person_is_gone_with_a_receipt_and_every_pod_is_told() {
    let fixture = Fixture::new(Dispatch::Records).await;
    let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    put(&fixture, "/v1/users/ana", json!({"email": "ana@example.com"})).await;
    put(&fixture, "/v1/groups/ops/members", json!({"add": ["ana", "ben"]})).await;
    let published =
        fixture.post("/v1/alerts", json!({"id": "a", "to": {"users": ["ana"]}, "title": "Disk"})).await;
    assert_eq!(published.status, 202);
    let mut pod = fixture.broker.live().await;
    pod.control().follow(ana.partition(PARTITIONS)).await;

    let other = [("authorization", &*format!("Bearer {}", fixture.other_key))];
    let theirs = fixture.send("DELETE", "/v1/users/ana", &other, "").await;
    assert_eq!(theirs.json()["rows"], json!({}), "the ana of another tenant is nobody");
    assert!(fixture.store.contact(&ana).await.unwrap().is_some());

    let answer = fixture.send("DELETE", "/v1/users/ana", &[], "").await;
    let receipt = answer.json();
    assert_eq!(
        (answer.status, &receipt["complete"], &receipt["erased_at"]),
        (200, &json!(true), &json!(NOW))
    );
    let rows = json!({"addresses": 1, "alerts": 1, "audit_log": 1, "escalations": 1, "group_members": 1, "inbox": 1, "users": 1});
    assert_eq!(receipt["rows"], rows);
    assert!(!answer.text.contains("ana"), "a receipt names nobody: {}", answer.text);
    assert_eq!(fixture.store.contact(&ana).await.unwrap(), None);
    let now: Timestamp = NOW.parse().unwrap();
    let head = fixture.store.heads(std::slice::from_ref(&ana)).await.unwrap()[&ana];
    assert!(head.refuses(Some(now)), "an old token lets nobody in");
    let told = async {
        loop {
            if let Some(LiveEvent::Frame(message)) = pod.next().await {
                return serde_json::from_slice::<Value>(&message.body).unwrap();
            }
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), told).await.expect("the pod is told");
    assert_eq!(told["revoke"]["user"], "ana");

    let again = fixture.send("DELETE", "/v1/users/ana", &[], "").await;
    assert_eq!((again.status, &again.json()["rows"]), (200, &json!({})), "it is safe to repeat");
    assert_ne!(again.json()["id"], receipt["id"]);
    assert_eq!(fixture.send("DELETE", "/v1/users/a%01b", &[], "").await.problem().0, 422);
}
