//! Values that a database cannot hold, in each text field of each input, over HTTP and over AMQP: stored as they are or
//! refused with the field's name, never "come back later", and the next good one arrives as ever.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchbell::broker::{
    Address, Broker as _, Message,
    rabbitmq::{BrokerAccess, RabbitBroker, RabbitConfig},
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// Texts that PostgreSQL refuses, cuts or changes somewhere on their way, and neighbours of them.
const ODD: [&str; 5] = ["a\0b", "\0", "a\u{ffff}b", "\u{1f600}\u{10ffff}", "a\u{fffd}\u{85}b"];

/// A request of a producer or a user: what is asked, and which fields of its body are texts, as JSON pointers.
struct Input {
    method: Method,
    path: String,
    by_user: bool,
    body: Value,
    texts: &'static [&'static str],
}

fn inputs(number: usize) -> Vec<Input> {
    let producer = |path: &str, body: Value, texts| Input {
        method: Method::POST,
        path: path.to_owned(),
        by_user: false,
        body,
        texts,
    };
    let alert = json!({
        "id": format!("odd-{number}"), "to": {"users": ["ana"], "groups": ["ops"]}, "title": "t", "body": "b",
        "source": "s", "category": "c", "collapse_key": "k", "url": "https://example.com/a", "policy": "default",
        "labels": {"env": "prod"}, "data": {"note": "n"},
    });
    let event = json!({"type": "t", "data": {"note": "n"}, "keep": 1});
    let device =
        json!({"service": "fcm", "token": format!("token-{number}:0123456789abcdef0123456789abcdef")});
    let preferences = json!({"quiet": {"zone": "UTC", "windows": [{"from": "00:00", "to": "01:00"}]}});
    let by_user = |method, path: String, body, texts| Input { method, path, by_user: true, body, texts };
    vec![
        producer(
            "/v1/alerts",
            alert,
            &[
                "/id",
                "/to/users/0",
                "/to/groups/0",
                "/title",
                "/body",
                "/source",
                "/category",
                "/collapse_key",
                "/url",
                "/policy",
                "/labels/env",
                "/data/note",
            ],
        ),
        producer("/v1/topics/odd/events", event, &["/type", "/data/note"]),
        Input {
            method: Method::PUT,
            ..producer(
                "/v1/users/odd",
                json!({"email": "odd@example.com", "locale": "en"}),
                &["/email", "/locale"],
            )
        },
        Input {
            method: Method::PUT,
            ..producer(
                "/v1/groups/odd/members",
                json!({"add": ["ana"], "remove": ["ben"]}),
                &["/add/0", "/remove/0"],
            )
        },
        by_user(Method::PUT, format!("/v1/devices/odd-{number}"), device, &["/service", "/token"]),
        by_user(
            Method::PUT,
            "/v1/preferences".to_owned(),
            preferences,
            &["/quiet/zone", "/quiet/windows/0/from"],
        ),
        by_user(
            Method::POST,
            "/v1/inbox/receipts".to_owned(),
            json!({"alerts": ["odd"], "state": "seen", "op": "mine"}),
            &["/alerts/0", "/state", "/op"],
        ),
    ]
}

async fn nothing_waits_for_what_cannot_be_stored(engine: Engine) -> anyhow::Result<()> {
    let fleet = Fleet::start(engine, (600_000, 600_000), &[]).await?;
    let mut faults = Vec::new();
    let mut number = 0;
    for odd in ODD {
        for at in 0..inputs(0).len() {
            for text in inputs(0)[at].texts {
                number += 1;
                let mut input = inputs(number).swap_remove(at);
                *input.body.pointer_mut(text).context("a field of the body")? = json!(odd);
                let (status, said) = match input.by_user {
                    true => fleet.user("ana", input.method, &input.path, Some(&input.body)).await?,
                    false => fleet.producer(input.method, &input.path, Some(&input.body)).await?,
                };
                if !(200..300).contains(&status) && !matches!(status, 400 | 409 | 422) {
                    faults.push(format!("{} {text} = {odd:?}: {status} {said}", input.path));
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    if engine == Engine::Services {
        publish_over_amqp(&fleet).await?;
    }
    let mut ana = fleet.session("socket-1", "ana", None).await?;
    let good = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "as ever"})).await?;
    until("the good one", DEADLINE, async || {
        let frame = ana.next_of("alert").await.ok()?;
        (frame["alert"]["id"] == good.as_str()).then_some(())
    })
    .await?;
    fleet.ready("dispatch").await
}

/// The same alerts by way of the exchange, where nobody answers: what is refused is parked.
async fn publish_over_amqp(fleet: &Fleet) -> anyhow::Result<()> {
    let urls = fleet.urls.as_ref().context("a fleet of services")?;
    let access = BrokerAccess::to(urls.broker.clone()).into();
    let config = RabbitConfig { access, declare: false, name: "test".into(), names_user: false };
    let leaving = CancellationToken::new();
    let broker = RabbitBroker::connect(config, leaving.clone());
    let mut number = 10_000;
    for odd in ODD {
        for text in inputs(0)[0].texts {
            number += 1;
            let mut body = inputs(number).swap_remove(0).body;
            body["tenant"] = json!(fleet.tenant().as_str());
            *body.pointer_mut(text).context("a field of the body")? = json!(odd);
            let message = Message::json(format!("amqp-{number}"), body.to_string());
            broker.publish(Address::Alerts, message, DEADLINE).await?;
        }
    }
    leaving.cancel();
    Ok(())
}

#[tokio::test]
async fn nothing_waits_for_what_cannot_be_stored_in_one_process() {
    nothing_waits_for_what_cannot_be_stored(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn nothing_waits_for_what_cannot_be_stored_through_real_services() {
    nothing_waits_for_what_cannot_be_stored(Engine::Services).await.unwrap();
}
