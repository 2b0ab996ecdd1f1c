//! Browsers, over HTTP/2 and TLS, with keys of their own.

use std::time::Duration;

use serde_json::json;
use watchbell_fallback::channel::{Disposition, PushContent, PushSender as _, VapidKey};

use crate::fixture::{ProviderFixture, VENDORS, alert, now, once, push_to, push_to_bound, told, withdrawal};

/// Every row of the reaction table (`docs/providers.md`, "Web Push"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_a_push_service_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let (sender, ana) = (fixture.webpush(), fixture.subscription("ana").await);
    let (retry, drop) = (Disposition::Retry { wait_min: Duration::ZERO }, Disposition::DropMessage);
    let forget = Disposition::ForgetToken { unless_registered_after: None };
    for (status, reason, code, expected) in [
        (404, "NotFound", "unregistered", forget),
        (410, "Gone", "unregistered", forget),
        (400, "BadRequest", "rejected", drop),
        (401, "Unauthorized", "config_fault", Disposition::ConfigFault),
        (403, "BadJwtToken", "config_fault", Disposition::ConfigFault),
        (413, "PayloadTooLarge", "rejected", drop),
        (429, "TooManyRequests", "throttled", retry),
        (500, "InternalError", "unavailable", retry),
        (503, "Unavailable", "unavailable", retry),
        (418, "NeverHeardOf", "rejected", drop),
    ] {
        fixture.faults(json!({"webpush": once(status, reason)})).await;
        let job = push_to(ana.clone(), PushContent::Alert(alert("x")));
        let error = told(reason, sender.send(&job, now()).await, code, reason);
        assert_eq!(error.disposition(), expected, "{status} {reason}");
    }
    fixture.faults(json!({"webpush": [{"status": 429, "retry_after": 40, "count": 1}]})).await;
    let job = push_to(ana, PushContent::Alert(alert("x")));
    let error = sender.send(&job, now()).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry { wait_min: Duration::from_secs(40) });
    fixture.stop().await;
}

/// The habits of each vendor (`docs/providers.md`), with the simulator at the vendor's own host.
#[tokio::test]
async fn each_vendors_own_words_have_their_consequence() {
    let [google, mozilla, microsoft, apple] = VENDORS;
    let fixture = ProviderFixture::start().await;
    let (key, other) = (VapidKey::generate().unwrap(), VapidKey::generate().unwrap());
    let sender = fixture.webpush_with(key.clone(), None);
    let (dropped, throttled) = (json!({"fate": "dropped"}), json!({"fate": "channelthrottled"}));
    let answered = |status: u16| json!({"status": status, "reason": "Simulated"});
    for (why, host, fault, subscribed_with, expected) in [
        ("Microsoft's 429", microsoft, answered(406), &key, Err("throttled")),
        ("of others it is what it is", mozilla, answered(406), &key, Err("rejected")),
        ("accepted, and dropped", microsoft, dropped.clone(), &key, Err("rejected")),
        ("accepted, and put off", microsoft, throttled, &key, Err("throttled")),
        ("others do not say so", google, dropped, &key, Ok(())),
        ("slow down", google, answered(429), &key, Err("throttled")),
        ("slow down", mozilla, answered(429), &key, Err("throttled")),
        ("slow down", apple, answered(429), &key, Err("throttled")),
        ("another key", google, json!(null), &other, Err("config_fault")),
        ("another key", mozilla, json!(null), &other, Err("config_fault")),
        ("another key", microsoft, json!(null), &other, Err("config_fault")),
        ("another key, with 400", apple, json!(null), &other, Err("config_fault")),
        ("nothing wrong", apple, json!(null), &key, Ok(())),
        ("nothing wrong", microsoft, json!(null), &key, Ok(())),
    ] {
        let faults: Vec<_> = [fault].into_iter().filter(|fault| !fault.is_null()).collect();
        fixture.faults(json!({"webpush": faults})).await;
        let query = format!("host={host}&key={}", subscribed_with.public());
        let job = push_to(fixture.subscription_with("ana", &query).await, PushContent::Alert(alert("x")));
        let sent = sender.send(&job, now()).await;
        assert_eq!(sent.map(drop).map_err(|error| error.code()), expected, "{host}: {why}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn each_vendor_is_sent_what_it_takes() {
    let fixture = ProviderFixture::start().await;
    for (host, topic, subject, expected) in [
        (VENDORS[0], false, "mailto:ops@watchbell.local", Ok(())),
        (VENDORS[1], true, "mailto:ops@watchbell.local", Ok(())),
        (VENDORS[2], true, "mailto:ops@watchbell.local", Ok(())),
        (VENDORS[3], true, "mailto:ops@watchbell.test", Ok(())),
        (VENDORS[3], true, "mailto:ops@watchbell.local", Err("config_fault")),
        (VENDORS[3], true, "https://localhost/", Err("config_fault")),
    ] {
        let sender = fixture.webpush_as(subject, VapidKey::generate().unwrap(), None);
        let name = format!("at.{host}");
        let job = push_to(fixture.subscription_at(&name, host).await, PushContent::Alert(alert("x")));
        let sent = sender.send(&job, now()).await;
        assert_eq!(sent.map(drop).map_err(|error| error.code()), expected, "{host}, {subject}");
        let arrivals = fixture.arrivals().await;
        let arrived = arrivals.iter().find(|arrival| arrival["to"] == name.as_str());
        assert_eq!(
            arrived.is_some_and(|one| one["headers"]["topic"].is_string()),
            topic,
            "{host}: {arrived:?}"
        );
    }
    fixture.stop().await;
}

#[tokio::test]
async fn the_browser_reads_it_replaces_it_and_gives_it_back() {
    let fixture = ProviderFixture::start().await;
    let (sender, ana) = (fixture.webpush(), fixture.subscription("ana").await);
    let job = push_to(ana.clone(), PushContent::Alert(alert("x")));
    for _ in 0..2 {
        sender.send(&job, now()).await.unwrap();
    }
    sender.send(&push_to(ana, withdrawal(&["x"])), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    for (field, expected) in [
        ("/kind", json!("webpush")),
        ("/to", json!("ana")),
        ("/user", json!("ana")),
        ("/title", json!("Disk is full")),
        ("/body", json!("2 % left")),
        ("/ids/tag", json!("x")),
        ("/copies", json!(2)),
        ("/withdrawn", json!(true)),
        ("/headers/urgency", json!("high")),
        ("/payload/unread", json!(3)),
    ] {
        assert_eq!(arrivals[0].pointer(field), Some(&expected), "{field}: {}", arrivals[0]);
    }
    assert_eq!(arrivals[0]["ids"]["topic"], arrivals[1]["ids"]["topic"], "what still waits is replaced");
    fixture.stop().await;
}

#[tokio::test]
async fn the_longest_texts_fit_into_one_record() {
    let fixture = ProviderFixture::start().await;
    let (sender, ana) = (fixture.webpush(), fixture.subscription("ana").await);
    let mut long = alert("x");
    (long.title, long.body) = ("ü".repeat(3_000), Some("\"ü\\".repeat(10_000)));
    sender.send(&push_to(ana.clone(), PushContent::Alert(long)), now()).await.unwrap();
    let ids: Vec<String> = (0..200).map(|n| format!("0198f3c2-0000-7000-8000-{n:012}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    sender.send(&push_to(ana, withdrawal(&ids)), now()).await.unwrap();
    let arrivals = fixture.arrivals().await;
    assert_eq!(arrivals.len(), 2);
    assert_eq!(arrivals[1].pointer("/payload/more"), Some(&json!(true)), "the rest when the page is opened");
    fixture.stop().await;
}

#[tokio::test]
async fn keys_of_another_browser_are_of_no_use() {
    let fixture = ProviderFixture::start().await;
    let (ana, ben) = (fixture.subscription("ana").await, fixture.subscription("ben").await);
    let swapped = watchbell::wire::webpush::SubscriptionV1 {
        keys: watchbell::wire::webpush::SubscriptionV1::of_token(&ben).unwrap().keys,
        ..watchbell::wire::webpush::SubscriptionV1::of_token(&ana).unwrap()
    };
    let job = push_to(swapped.to_token(), PushContent::Alert(alert("x")));
    told("not hers", fixture.webpush().send(&job, now()).await, "rejected", "HTTP 400");
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_key_that_was_changed_reaches_browsers_of_both_keys_and_no_other() {
    let fixture = ProviderFixture::start().await;
    let (before, present) = (VapidKey::generate().unwrap(), VapidKey::generate().unwrap());
    let older = VapidKey::generate().unwrap();
    let of = async |key: &VapidKey| fixture.subscription_with("ana", &format!("key={}", key.public())).await;
    let (of_before, of_present, of_older) = (of(&before).await, of(&present).await, of(&older).await);
    let both = fixture.webpush_with(present.clone(), Some(before.clone()));
    let one = fixture.webpush_with(present.clone(), None);
    let content = |alert_id: &str| PushContent::Alert(alert(alert_id));
    for (why, sender, token, bound_to, expected) in [
        ("the present one", &both, &of_present, Some(&present), Ok(())),
        ("the one before", &both, &of_before, Some(&before), Ok(())),
        ("nobody said which, and it is the present one", &both, &of_present, None, Ok(())),
        ("nobody said which, and it is the one before", &both, &of_before, None, Ok(())),
        ("nobody said which, and it is an older one", &both, &of_older, None, Err("config_fault")),
        ("an older one that is not configured any more", &both, &of_older, Some(&older), Err("unusable")),
        ("the one before was taken out", &one, &of_before, Some(&before), Err("unusable")),
        ("the same, where nobody said it", &one, &of_before, None, Err("config_fault")),
    ] {
        let job = match bound_to {
            Some(key) => push_to_bound(token.clone(), &key.public(), content(why)),
            None => push_to(token.clone(), content(why)),
        };
        let sent = sender.send(&job, now()).await;
        assert_eq!(sent.map(drop).map_err(|error| error.code()), expected, "{why}");
    }
    assert_eq!(fixture.arrivals().await.len(), 4);
    fixture.stop().await;
}

#[tokio::test]
async fn a_declarative_browser_shows_it_by_itself_and_takes_nothing_away() {
    let fixture = ProviderFixture::start().await;
    let ana = fixture.subscription_with("ana", "declarative=true").await;
    let ben = fixture.subscription("ben").await;
    for to in [&ana, &ben] {
        fixture.webpush().send(&push_to(to.clone(), PushContent::Alert(alert("x"))), now()).await.unwrap();
    }
    let arrivals = fixture.arrivals().await;
    for (at, declared) in [
        (0, json!({"navigate": "https://app.watchbell.test/alerts#watchbell=x", "app_badge": 3})),
        (1, json!(null)),
    ] {
        assert_eq!(arrivals[at]["declared"], declared);
        assert_eq!(arrivals[at]["title"], "Disk is full");
        assert_eq!(arrivals[at]["ids"]["tag"], "x");
    }
    fixture.stop().await;
}
