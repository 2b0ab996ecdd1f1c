//! A browser as a device, and a mailbox that wants no more: registered, reached, withdrawn from, unsubscribed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_fallback::channel::VapidKey;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
/// Signs links of emails in a fleet of services; `up` has its own.
const SECRET: &str = "a-secret-of-tests-that-unsubscribes-nobody-else";

/// A fleet whose fallback sends to browsers.
async fn with_browsers(engine: Engine) -> anyhow::Result<Fleet> {
    let vapid = VapidKey::generate()?;
    let (public, private) = (vapid.public(), vapid.private().expose().to_owned());
    let env = [
        ("WATCHBELL__WEBPUSH__PUBLIC_KEY", public.as_str()),
        ("WATCHBELL__WEBPUSH__PRIVATE_KEY", private.as_str()),
        ("WATCHBELL__WEBPUSH__SUBJECT", "mailto:ops@watchbell.test"),
        ("WATCHBELL__WEBPUSH__PRIVATE_ENDPOINTS", "true"),
        ("WATCHBELL__WEBPUSH__TRUST_ROOT_FILE", "simulator/ca.pem"),
        ("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", SECRET),
        ("WATCHBELL__HTTP__PUBLIC_URL", "https://alerts.watchbell.test"),
    ];
    match engine {
        Engine::Embedded => Fleet::start(engine, (1_000, 1_500), &[]).await,
        Engine::Services => Fleet::start(engine, (1_000, 1_500), &env).await,
    }
}

async fn a_browser_is_a_device(engine: Engine) -> anyhow::Result<()> {
    let fleet = with_browsers(engine).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let (status, key) = fleet.user("ana", Method::GET, "/v1/webpush/key", None).await?;
    assert_eq!((status, key["key"].as_str().unwrap_or_default().len()), (200, 87), "{key}");

    let mut subscription = fleet.subscription("ana-laptop").await?;
    subscription["service"] = json!("webpush");
    let put = async |body: &Value| fleet.user("ana", Method::PUT, "/v1/devices/laptop", Some(body)).await;
    let mut open = subscription.clone();
    open["endpoint"] = json!("http://localhost/x");
    let (status, problem) = put(&open).await?;
    assert_eq!((status, &problem["field"]), (422, &json!("endpoint")), "{problem}");
    assert_eq!(put(&subscription).await?.0, 204);
    let (_, devices) = fleet.user("ana", Method::GET, "/v1/devices", None).await?;
    assert!(!devices.to_string().contains("endpoint"), "a subscription is not shown: {devices}");

    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    let arrived = async |user: &'static str, kind: &'static str| {
        until(kind, DEADLINE, async || {
            fleet.arrivals(user).await.ok()?.into_iter().rev().find(|arrival| arrival["kind"] == kind)
        })
        .await
    };
    let push = arrived("ana", "webpush").await?;
    assert_eq!((&push["alert"], &push["title"]), (&json!(id), &json!("Disk full")));
    assert_eq!(push["payload"]["unread"], 1, "the server's count: {push}");
    let phone = arrived("ana", "apns").await?;
    assert_eq!(phone["payload"]["aps"]["badge"], 1, "the same on the phone: {phone}");
    let mail = arrived("ana", "email").await?;

    // Unsubscribing: looking at the link changes nothing, pressing the button does.
    let link = mail["headers"]["list-unsubscribe"].as_str().unwrap_or_default();
    let path = link.trim_matches(['<', '>']).split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}"));
    let url = format!("{}{}", fleet.url("socket-1")?, path.unwrap_or_default());
    let post = async |url: &str| {
        let form = [("List-Unsubscribe", "One-Click")];
        fleet.http().post(url).form(&form).send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(fleet.http().get(&url).send().await?.status(), 200);
    assert_eq!(post(&format!("{url}x")).await?, 404, "a link that was cut or made up");
    let everybody = json!({"to": {"users": ["ana", "ben"]}, "title": "Again"});
    let second = fleet.send(&everybody).await?;
    let mails = async |user: &str, alert: &str| -> anyhow::Result<usize> {
        let arrivals = fleet.arrivals(user).await?;
        Ok(arrivals.iter().filter(|a| a["kind"] == "email" && a["alert"] == alert).count())
    };
    until("ana's second mail", DEADLINE, async || (mails("ana", &second).await.ok()? == 1).then_some(()))
        .await?;
    assert_eq!([post(&url).await?, post(&url).await?], [200, 200], "harmless to repeat");
    let asked = answer(
        fleet
            .http()
            .get(format!("{}/v1/preferences", fleet.url("socket-1")?))
            .bearer_auth(fleet.token("ana")?),
    )
    .await?;
    assert_eq!(asked, (200, json!({"channels": {"email": false}})), "where she can turn it on again");
    let third = fleet.send(&everybody).await?;
    // Ben's mail is the clock: when it is there, ana's would be.
    until("ben's mail", DEADLINE, async || (mails("ben", &third).await.ok()? == 1).then_some(())).await?;
    assert_eq!(mails("ana", &third).await?, 0, "she wants no more");

    // Seen: what is on the phone and in the browser goes, with one push each.
    let mut session = fleet.session("socket-1", "ana", None).await?;
    let alerts = json!([id, second, third]);
    session.say(&json!({"type": "receipt", "alerts": alerts, "state": "seen"})).await?;
    until("every push to be withdrawn", DEADLINE, async || {
        let arrivals = fleet.arrivals("ana").await.ok()?;
        let mut pushes = arrivals.iter().filter(|arrival| arrival["kind"] != "email");
        pushes.all(|push| push["withdrawn"] == true).then_some(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_browser_is_a_device_in_one_process() {
    a_browser_is_a_device(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn a_browser_is_a_device_through_real_services() {
    a_browser_is_a_device(Engine::Services).await.unwrap();
}

/// A phone has one spelling of its token and a person one of their address, and what is no use is refused at once.
async fn what_is_registered_is_checked(engine: Engine) -> anyhow::Result<()> {
    const APNS: &str = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";
    let fleet = with_browsers(engine).await?;
    let put = async |device: &str, body: Value| {
        fleet.user("ana", Method::PUT, &format!("/v1/devices/{device}"), Some(&body)).await
    };
    let apns = |token: &str| json!({"service": "apns", "token": token});
    for (why, device, token) in [
        ("as it should be", "a", APNS.to_owned()),
        ("the same in capitals, under another name", "b", APNS.to_uppercase()),
        ("the same as old systems print it", "c", format!("<{} {}>", &APNS[..8], &APNS[8..])),
    ] {
        let (status, problem) = put(device, apns(&token)).await?;
        assert_eq!(status, 204, "{why}: {problem}");
        let (_, listed) = fleet.user("ana", Method::GET, "/v1/devices", None).await?;
        // `up` made a phone of its own.
        let devices = listed["devices"].as_array().into_iter().flatten().map(|one| &one["device"]);
        let names: Vec<&Value> = devices.filter(|name| *name != "ana-phone").collect();
        assert_eq!(names, [device], "{why}: one phone");
    }
    let subscription = fleet.subscription("ana-laptop").await?;
    let with_key = |key: &str, value: &str| {
        let mut body = subscription.clone();
        body["service"] = json!("webpush");
        body["keys"][key] = json!(value);
        body
    };
    for (why, body, field, remedy) in [
        ("Apple's token to Google", json!({"service": "fcm", "token": APNS}), "token", "service apns"),
        ("half a token", apns(&APNS[..20]), "token", "a part of it is missing"),
        ("no hexadecimal", apns("dA9HB7689U+bfCXUjjNYlF9qoB2l3bOHRix+r2G7eK0="), "token", "hexadecimal"),
        ("what is no token", json!({"service": "fcm", "token": "undefined"}), "token", "missing"),
        ("no token", json!({"service": "fcm"}), "token", "must be given"),
        (
            "a point beside the curve",
            with_key("p256dh", &format!("BA{}", "c".repeat(85))),
            "keys.p256dh",
            "P-256",
        ),
        ("a secret cut short", with_key("auth", "BTBZ"), "keys.auth", "16 bytes"),
    ] {
        let (status, problem) = put("d", body).await?;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{why}: {problem}");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(remedy), "{why}: {problem}");
    }
    let contact = async |email: &str| {
        fleet.producer(Method::PUT, "/v1/users/ana", Some(&json!({"email": email}))).await
    };
    for (email, expected) in [
        ("Ana@Watchbell.TEST", 204),
        ("ana@bücher.test", 204),
        ("Ana <ana@watchbell.test>", 422),
        ("ana@watchbell..test", 422),
        ("ana@watchbell.test\r\nBcc: eve@watchbell.test", 422),
    ] {
        let (status, problem) = contact(email).await?;
        assert_eq!(status, expected, "{email:?}: {problem}");
        if status == 422 {
            assert_eq!(problem["field"], "email", "{problem}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_registered_is_checked_in_one_process() {
    what_is_registered_is_checked(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn what_is_registered_is_checked_through_real_services() {
    what_is_registered_is_checked(Engine::Services).await.unwrap();
}

/// An alert that comes too late is in the inbox for whoever looks, and rings nobody.
async fn what_came_too_late_rings_nobody(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (0, 0), &[]).await?;
    fleet.furnish("ana").await?;
    let mut session = fleet.session("socket-1", "ana", None).await?;
    let late = json!({
        "to": {"users": ["ana"]}, "title": "Too late", "severity": "critical", "expires_at": "2026-01-01T00:00:00Z",
    });
    let id = fleet.send(&late).await?;
    let frame = session.next_of("alert").await?;
    assert_eq!(
        (&frame["alert"]["id"], &frame["state"], &frame["unread"]),
        (&json!(id), &json!("read"), &json!(0))
    );
    let told = until("its escalation to have ended", DEADLINE, async || {
        let told = fleet.timeline(&id, "ana").await.ok()?;
        (told["stopped"] == "expired").then_some(told)
    })
    .await?;
    assert!(told.to_string().contains("escalation ended: expired"), "{told}");
    assert_eq!(fleet.inbox("ana").await?[0]["alert"]["title"], "Too late");
    // Whoever is told after it shows that nothing of it is on its way.
    let next = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "In time"})).await?;
    until("the next push", DEADLINE, async || {
        fleet.arrivals("ana").await.ok()?.into_iter().find(|arrival| arrival["alert"] == next)
    })
    .await?;
    let of_late = fleet.arrivals("ana").await?.into_iter().filter(|arrival| arrival["alert"] == id).count();
    assert_eq!(of_late, 0);
    Ok(())
}

#[tokio::test]
async fn what_came_too_late_rings_nobody_in_one_process() {
    what_came_too_late_rings_nobody(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn what_came_too_late_rings_nobody_through_real_services() {
    what_came_too_late_rings_nobody(Engine::Services).await.unwrap();
}

/// A person sends a test to their phone, and the screen says how it ended.
#[tokio::test]
async fn a_person_tests_a_device() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, (600_000, 600_000), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let test = async |user: &str, device: &str| {
        fleet.user(user, Method::POST, &format!("/v1/devices/{device}/test"), None).await
    };
    assert_eq!(test("ben", "ana-phone").await?.0, 404, "nobody rings another's phone");
    let (status, device) = test("ana", "ana-phone").await?;
    assert_eq!(
        (status, &device["device"], &device["test"]["state"]),
        (202, &json!("ana-phone"), &json!("pending"))
    );
    let ended = async |outcome: &str| {
        until(&format!("the test to end: {outcome}"), DEADLINE, async || {
            let (_, device) = fleet.user("ana", Method::GET, "/v1/devices/ana-phone", None).await.ok()?;
            let test = &device["test"];
            (test["outcome"] == outcome && !test["ended_at"].is_null()).then(|| test.clone())
        })
        .await
    };
    assert_eq!(ended("accepted").await?["state"], "accepted");
    let arrivals = fleet.arrivals("ana").await?;
    assert_eq!(arrivals.len(), 1, "one push: {arrivals:?}");
    let told = ["kind", "alert", "title"].map(|name| arrivals[0][name].clone());
    assert_eq!(told, ["apns", "~test", "Test notification"]);
    assert!(fleet.inbox("ana").await?.is_empty(), "a test is no alert");

    let (status, problem) = test("ana", "ana-phone").await?;
    assert_eq!(status, 429, "not at once again: {problem}");
    let (status, _) = test("ben", "ben-phone").await?;
    assert_eq!(status, 202, "it is ana who waits, and nobody else");
    Ok(())
}
