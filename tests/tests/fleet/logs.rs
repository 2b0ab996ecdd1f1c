//! What the log says: little, and enough.

use std::time::Duration;

use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_names_whom_it_is_for() {
    // Whoever does not look is pushed to at once, and mailed a moment later.
    let fleet = Fleet::start(Engine::Services, (50, 200), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    fleet.send(&json!({"to": {"users": ["ana"]}, "title": "t"})).await.unwrap();
    let attempts = async || {
        let log = fleet.logs().into_iter().find(|(name, _)| *name == "fallback")?.1;
        let line = log.lines().find(|line| line.contains("ended: accepted"))?;
        Some(line.to_owned())
    };
    let line = until("an attempt", DEADLINE, attempts).await.unwrap();
    for field in ["tenant=acme", "user=ana", "channel=push", "provider=\"apns\"", "alert.id="] {
        assert!(line.contains(field), "{field}: {line}");
    }
}
