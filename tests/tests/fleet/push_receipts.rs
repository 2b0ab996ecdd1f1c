//! What a phone says by the token of a push, without its person's token: that the push arrived, and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{AttemptId, Secret},
    wire::push_receipt::PushReceipts,
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
const SECRET: &str = "a-secret-of-tests-that-says-nothing-for-anybody-else";

async fn arrived(fleet: &Fleet, kind: &str, id: &str) -> anyhow::Result<Value> {
    until(kind, DEADLINE, async || {
        let arrivals = fleet.arrivals("ana").await.ok()?;
        arrivals.into_iter().find(|arrival| arrival["kind"] == kind && arrival["alert"] == *id)
    })
    .await
}

#[tokio::test]
async fn a_phone_says_that_a_push_arrived_and_the_mail_goes_out_all_the_same() -> anyhow::Result<()> {
    let env = [("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", SECRET)];
    let fleet = Fleet::start(Engine::Embedded, (100, 1_000), &env).await?;
    fleet.furnish("ana").await?;
    let mut ids = Vec::new();
    for title in ["Disk full", "Disk slow"] {
        ids.push(fleet.send(&json!({"to": {"users": ["ana"]}, "title": title})).await?);
    }
    let [id, other] = [&ids[0], &ids[1]];
    let push = arrived(&fleet, "apns", id).await?;
    let token = push["payload"]["watchbell"]["receipt"].as_str().unwrap_or_default().to_owned();
    assert_eq!(push["payload"]["aps"]["mutable-content"], 1, "the extension is asked: {push}");

    let url = format!("{}/v1/inbox/receipts", fleet.url("up")?);
    let say =
        async |token: &str, body: Value| answer(fleet.http().post(&url).bearer_auth(token).json(&body)).await;
    let delivered = json!({"alerts": [id], "state": "delivered"});
    let attempt: AttemptId = push["ids"]["apns_id"].as_str().unwrap_or_default().parse()?;
    let (now, second) = (Timestamp::now(), jiff::SignedDuration::from_secs(1));
    let receipts = PushReceipts::new(&Secret::from(SECRET));
    let made = |attempt, until| receipts.token(attempt, until).expose().to_owned();
    let by_another = PushReceipts::new(&Secret::from("another")).token(attempt, now + second * 60);
    for (why, token, body, status, told) in [
        ("another alert", &token, json!({"alerts": [other], "state": "delivered"}), 403, "another alert"),
        ("that somebody looked", &token, json!({"alerts": [id], "state": "seen"}), 403, "nothing else"),
        ("that it was read", &token, json!({"alerts": [id], "state": "read"}), 403, "nothing else"),
        ("no alert", &token, json!({"alerts": [], "state": "delivered"}), 422, "must name"),
        ("too late", &made(attempt, now - second), delivered.clone(), 401, "expired"),
        (
            "a push that is not there",
            &made(AttemptId::nil(), now + second * 60),
            delivered.clone(),
            401,
            "not known",
        ),
        ("made up", &by_another.expose().to_owned(), delivered.clone(), 401, "no receipt token of ours"),
        (
            "cut short",
            &token[..token.len() - 4].to_owned(),
            delivered.clone(),
            401,
            "no receipt token of ours",
        ),
    ] {
        let (answered, problem) = say(token, body).await?;
        assert_eq!(answered, status, "{why}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{why}: {problem}");
    }
    let told = fleet.timeline(id, "ana").await?;
    assert!(!told.to_string().contains("reached"), "none of these is told: {told}");

    for _ in 0..2 {
        let (status, said) = say(&token, delivered.clone()).await?;
        assert_eq!((status, &said["alerts"], &said["unread"]), (200, &json!([]), &json!(null)), "{said}");
    }
    let told = fleet.timeline(id, "ana").await?;
    assert_eq!(told.to_string().matches("push alert to ana-phone: reached the device").count(), 1, "{told}");
    assert!(!told.to_string().contains("delivered to a screen"), "{told}");
    let other_told = fleet.timeline(other, "ana").await?;
    assert!(!other_told.to_string().contains("reached"), "{other_told}");
    arrived(&fleet, "email", id).await?;

    let metrics = format!("{}/metrics", fleet.operations_url("up")?);
    let samples = fleet.http().get(metrics).send().await?.text().await?;
    for line in [
        "watchbell_socket_push_receipts_total{outcome=\"reached\"} 1",
        "watchbell_socket_push_receipts_total{outcome=\"repeated\"} 1",
        "watchbell_socket_push_receipts_total{outcome=\"expired\"} 1",
        "watchbell_socket_push_receipts_total{outcome=\"refused\"} 6",
        "watchbell_socket_push_reached_seconds_count 1",
    ] {
        assert!(samples.lines().any(|sample| sample == line), "{line}: {samples}");
    }
    Ok(())
}

#[tokio::test]
async fn an_android_app_says_that_google_lowered_a_priority() -> anyhow::Result<()> {
    let env = [("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", SECRET)];
    let fleet = Fleet::start(Engine::Embedded, (100, 600_000), &env).await?;
    let token = fleet.token("gus")?;
    let up = fleet.url("up")?.to_owned();
    let device = fleet.http().put(format!("{up}/v1/devices/pixel")).bearer_auth(&token);
    let registration = json!({"service": "fcm", "token": format!("fGh-1:{}", "APA91b_".repeat(20))});
    assert_eq!(answer(device.json(&registration)).await?.0, 204);

    let lowered = "push alert to pixel: reached the device; Google had lowered its priority";
    for (title, lowers_priority, said) in
        [("Disk full", true, lowered), ("Disk slow", false, "push alert to pixel: reached the device\"")]
    {
        fleet.confirm_pushes_at(&up, lowers_priority).await?;
        let id =
            fleet.send(&json!({"to": {"users": ["gus"]}, "title": title, "severity": "critical"})).await?;
        until("what the phone says", DEADLINE, async || {
            let told = fleet.timeline(&id, "gus").await.ok()?;
            told.to_string().contains(said).then_some(())
        })
        .await?;
    }
    let metrics = format!("{}/metrics", fleet.operations_url("up")?);
    for priority in ["kept", "lowered"] {
        let line = format!("watchbell_socket_push_priorities_total{{priority=\"{priority}\"}} 1");
        // A receipt is counted once it is written.
        until(&line, DEADLINE, async || {
            let samples = fleet.http().get(&metrics).send().await.ok()?.text().await.ok()?;
            samples.lines().any(|sample| sample == line).then_some(())
        })
        .await?;
    }

    // A person's own token says nothing of a push.
    let said = json!({"alerts": ["any"], "state": "delivered", "priority_lowered": true});
    let receipts = fleet.http().post(format!("{up}/v1/inbox/receipts")).bearer_auth(&token);
    let (status, problem) = answer(receipts.json(&said)).await?;
    assert_eq!((status, &problem["field"]), (422, &json!("priority_lowered")), "{problem}");
    Ok(())
}
