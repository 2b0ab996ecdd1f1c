//! People, groups, devices and alerts are listed, shown, exported and erased from the command line, and the preferences that a
//! backend sets for a person hold on that person's screens.

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
};

/// Nobody is pushed to while these tests look.
const QUIET: (u64, u64) = (600_000, 600_000);

/// What a command prints that talks to the fleet of `data`.
fn printed(fleet: &Fleet, args: &[&str]) -> anyhow::Result<String> {
    fleet.command(&[args, &["--data", "data"]].concat())
}

fn lines(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_operator_lists_shows_exports_and_erases() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await?;
    for user in ["kim", "kit/ops"] {
        let path = format!("/v1/users/{}", user.replace('/', "%2F"));
        fleet.producer(Method::PUT, &path, Some(&json!({"email": "kim@watchbell.test"}))).await?;
    }
    fleet.furnish("kim").await?;
    fleet.producer(Method::PUT, "/v1/groups/night/members", Some(&json!({"add": ["kim"]}))).await?;
    let id =
        fleet.send(&json!({"to": {"users": ["kim"]}, "title": "Disk full", "severity": "critical"})).await?;
    fleet.inbox("kim").await?;
    watchbell_tests::until::until("it is recorded", std::time::Duration::from_secs(20), async || {
        (!fleet.inbox("kim").await.ok()?.is_empty()).then_some(())
    })
    .await?;

    let listed = printed(&fleet, &["user", "list", "--prefix", "ki", "--json"])?;
    let users: Vec<Value> = lines(&listed).iter().map(|user| user["user"].clone()).collect();
    assert_eq!(users, ["kim", "kit/ops"]);
    let shown = printed(&fleet, &["user", "show", "kit/ops"])?;
    assert!(shown.contains("kim@watchbell.test") && shown.contains("unread 0"), "{shown}");
    let alerts =
        lines(&printed(&fleet, &["alert", "list", "--user", "kim", "--severity", "critical", "--json"])?);
    assert_eq!(alerts[0]["alert"]["id"], json!(id));
    assert!(printed(&fleet, &["group", "list"])?.lines().any(|group| group == "night"));
    assert_eq!(printed(&fleet, &["group", "show", "night"])?.trim(), "kim");
    assert!(printed(&fleet, &["device", "list", "kim"])?.starts_with("kim-phone"));

    printed(&fleet, &["user", "export", "kim", "--out", "kim.ndjson"])?;
    let exported = std::fs::read_to_string(fleet.dir().join("kim.ndjson"))?;
    let records: Vec<Value> = lines(&exported).iter().map(|record| record["record"].clone()).collect();
    assert_eq!(records[..4], ["person", "address", "group", "device"]);
    assert!(
        printed(&fleet, &["user", "export", "kim", "--out", "kim.ndjson"]).is_err(),
        "no file is overwritten"
    );

    printed(&fleet, &["device", "remove", "kim", "kim-phone"])?;
    assert_eq!(printed(&fleet, &["device", "list", "kim"])?, "");
    printed(&fleet, &["group", "delete", "night", "--yes"])?;
    assert!(!printed(&fleet, &["group", "list"])?.contains("night"));

    let unsure = format!("{:#}", printed(&fleet, &["user", "erase", "kim"]).unwrap_err());
    assert!(unsure.contains("--yes"), "{unsure}");
    let receipt = printed(&fleet, &["user", "erase", "kim", "--yes", "--json"])?;
    assert_eq!(lines(&receipt)[0]["rows"]["inbox"], 1, "{receipt}");
    assert!(printed(&fleet, &["user", "erase", "kim", "--yes"])?.contains("nothing about this user"));
    assert!(printed(&fleet, &["user", "show", "kim"]).is_err());
    Ok(())
}

#[tokio::test]
async fn what_a_backend_says_holds_until_the_person_says_it() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await?;
    let mut session = fleet.session("up", "ana", None).await?;
    let windows = json!([{"from": "22:00", "to": "07:00"}]);
    let said = json!({"time_zone": "Europe/Warsaw", "preferences": {"channels": {"email": false}, "quiet": {"windows": windows}}});
    assert_eq!(fleet.producer(Method::PUT, "/v1/users/ana", Some(&said)).await?.0, 204);
    let (_, holds) = fleet.user("ana", Method::GET, "/v1/preferences", None).await?;
    assert_eq!(
        (&holds["channels"], &holds["quiet"]["zone"]),
        (&json!({"email": false}), &json!("Europe/Warsaw")),
        "{holds}"
    );
    assert_eq!(holds["quiet"]["windows"][0]["from"], "22:00");
    assert_eq!(session.next_of("preferences").await?["preferences"], holds, "an open session hears of it");
    let own = json!({"channels": {"email": true}, "quiet": {"windows": []}});
    let (status, holds) = fleet.user("ana", Method::PUT, "/v1/preferences", Some(&own)).await?;
    assert_eq!(status, 200, "{holds}");
    let expected = json!({"channels": {"email": true}, "quiet": {"zone": "Europe/Warsaw", "windows": []}});
    assert_eq!(holds, expected, "her word counts, field by field");
    assert_eq!(fleet.user("ana", Method::GET, "/v1/preferences", None).await?.1, expected);
    assert_eq!(session.next_of("preferences").await?["preferences"], expected);

    // The same once more, and what she has said herself, change nothing that holds: nobody is told.
    let zone = said["time_zone"].clone();
    for body in [said, json!({"time_zone": zone, "preferences": {"channels": {"email": false}}})] {
        assert_eq!(fleet.producer(Method::PUT, "/v1/users/ana", Some(&body)).await?.0, 204);
    }
    assert_eq!(fleet.producer(Method::PUT, "/v1/users/ana", Some(&json!({}))).await?.0, 204);
    let told = session.next_of("preferences").await?["preferences"].clone();
    assert_eq!(told, own, "what her backend took back holds no longer");
    Ok(())
}
