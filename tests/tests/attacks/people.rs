//! What is known about a person outlives them: nothing ended it before (I17). An erased person is not notified, not let in with what
//! they had, and not found any more.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet, answer},
    session::Session,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// Ana has a screen, a phone and a mailbox, and is erased while an alert is on its way to her; ben has the same.
async fn an_erased_person_is_gone(engine: Engine) -> anyhow::Result<()> {
    // The push is due at once for whoever has no session, and for those who have one after 3 s.
    let fleet = Fleet::start(engine, (3_000, 4_000), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let token = fleet.token("ana")?;
    let mut screen = Session::open(&fleet.ws_url("socket-1")?, &token, None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full"})).await?;
    assert_eq!(screen.next().await?["type"], "alert");

    let (status, receipt) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!((status, &receipt["complete"]), (200, &json!(true)), "{receipt}");
    assert_eq!((&receipt["rows"]["inbox"], &receipt["rows"]["devices"]), (&json!(1), &json!(1)), "{receipt}");
    let ended = screen.next().await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(ended.starts_with("closed 4004"), "her screen closes: {ended}");
    let again = Session::open(&fleet.ws_url("socket-1")?, &token, None).await.err();
    let again = again.map(|error| error.to_string()).unwrap_or_default();
    assert!(again.starts_with("closed 4004"), "and does not open again with the same token: {again}");
    let inbox = format!("{}/v1/inbox", fleet.url("socket-1")?);
    assert_eq!(answer(fleet.http().get(inbox).bearer_auth(&token)).await?.0, 401);

    // Ben's mail is the last step: hers would have come before.
    until("ben has a mail", DEADLINE, async || {
        fleet.arrivals("ben").await.ok()?.iter().any(|arrival| arrival["kind"] == "email").then_some(())
    })
    .await?;
    assert_eq!(fleet.arrivals("ana").await?, Vec::<Value>::new(), "nobody notified her");
    assert_eq!(fleet.timeline(&id, "ana").await?, Value::Null);
    let (_, again) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!(again["rows"], json!({}), "nothing of her came back");
    Ok(())
}

#[tokio::test]
async fn an_erased_person_is_gone_in_one_process() -> anyhow::Result<()> {
    an_erased_person_is_gone(Engine::Embedded).await
}

#[tokio::test]
async fn an_erased_person_is_gone_from_a_fleet() -> anyhow::Result<()> {
    an_erased_person_is_gone(Engine::Services).await
}
