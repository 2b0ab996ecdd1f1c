//! People and groups by the ids that real sign-in services and products give them: from the address of a request to
//! the screen, on both engines.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

/// For what comes without being asked for.
const DEADLINE: Duration = Duration::from_secs(20);

/// A text as one segment of an address: everything but unreserved characters is percent-encoded (RFC 3986, section 2).
fn segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

async fn everybody_is_reached_under_their_own_id(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (60_000, 60_000), &[]).await?;
    let group = "/realm/on call";
    let people = [
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "google-oauth2|108",
        "/tenants/7/users/42",
        "cn=Ana O'Brien, ou=ops",
        "CORP\\ana",
        "a%2Fb?c#d&e=f",
        "\"quoted\" $1 'text'; --",
        "Zo\u{eb} 山田",
    ];
    for user in people {
        let address = format!("/v1/users/{}", segment(user));
        let (status, answer) = fleet.producer(Method::PUT, &address, Some(&json!({}))).await?;
        assert_eq!(status, 204, "{user}: {answer}");
    }
    let members = format!("/v1/groups/{}/members", segment(group));
    let (status, answer) = fleet.producer(Method::PUT, &members, Some(&json!({"add": people}))).await?;
    assert_eq!(status, 204, "{answer}");

    let mut sessions = Vec::new();
    for user in people {
        let session = fleet.session("socket-1", user, None).await?;
        assert_eq!(session.hello["user"], user);
        sessions.push((user, session));
    }
    let by_name = fleet.send(&json!({"to": {"users": people}, "title": "By name"})).await?;
    let by_group = fleet.send(&json!({"to": {"groups": [group]}, "title": "By group"})).await?;
    for (user, session) in &mut sessions {
        let first = session.next_of("alert").await?;
        let second = session.next_of("alert").await?;
        let ids = [&first["alert"]["id"], &second["alert"]["id"]];
        assert!(ids.contains(&&json!(by_name)) && ids.contains(&&json!(by_group)), "{user}: {ids:?}");
        let timeline = fleet.timeline(&by_name, &segment(user)).await?;
        assert_eq!(timeline["user"], *user);
    }
    // Decomposed on this keyboard, composed on that one: the same person.
    assert_eq!(fleet.inbox("Zoe\u{308} 山田").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn ids_of_others_reach_their_people_in_one_process() {
    everybody_is_reached_under_their_own_id(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn ids_of_others_reach_their_people_through_real_services() {
    everybody_is_reached_under_their_own_id(Engine::Services).await.unwrap();
}

#[tokio::test]
async fn whoever_sends_a_token_that_is_refused_is_told_why() -> anyhow::Result<()> {
    let env = [("WATCHBELL__AUTH__AUDIENCE", "app")];
    let fleet = Fleet::start(Engine::Embedded, (60_000, 60_000), &env).await?;
    let (status, problem) = fleet.user("ana", Method::GET, "/v1/inbox", None).await?;
    assert_eq!(
        (status, &problem["detail"]),
        (401, &json!("the token is not valid here: its claim `aud` is missing"))
    );
    // The line is written beside the answer, and so may be read later.
    until("the log to say why", DEADLINE, async || {
        let said = "A token was refused: its claim `aud` is missing";
        fleet.logs().iter().any(|(_, log)| log.contains(said)).then_some(())
    })
    .await
}
