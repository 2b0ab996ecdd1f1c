//! What the log says in trouble and at the end: little, and enough.

use std::time::Duration;

use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_names_whom_it_is_for_and_a_clean_stop_warns_of_nothing() {
    // Whoever does not look is pushed to at once, and mailed a moment later.
    let mut fleet = Fleet::start(Engine::Services, (50, 200), &[("WATCHBELL__SOCKET__DRAIN_WINDOW", "1s")])
        .await
        .unwrap();
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

    let before: Vec<(&str, usize)> = fleet.logs().into_iter().map(|(name, log)| (name, log.len())).collect();
    for name in fleet.names() {
        fleet.worker(name).unwrap().terminate();
    }
    for name in fleet.names() {
        let left = fleet.worker(name).unwrap().wait_exit(DEADLINE).await.unwrap();
        assert!(left.success(), "{name}: {left}");
    }
    for (name, log) in fleet.logs() {
        let (_, seen) = before.iter().find(|(other, _)| *other == name).unwrap();
        let end = &log[*seen..];
        let loud = |line: &&str| [" WARN ", " ERROR "].iter().any(|level| line.contains(level));
        let loud: Vec<&str> = end.lines().filter(loud).collect();
        assert!(loud.is_empty(), "{name} stops with\n{}", loud.join("\n"));
        assert!(end.contains("shutting down"), "{name}: {end}");
    }
}
