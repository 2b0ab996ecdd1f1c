//! Dead letters: seen, sent again and thrown away by the operator's command, on both engines, whatever lies there.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use watchbell::broker::{
    Address, Message, SharedBroker,
    rabbitmq::{BrokerAccess, RabbitBroker, RabbitConfig},
};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, entries, long, place, table, value},
    fleet::{Engine, Fleet},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// An alert that was delivered too often, as the broker would set it aside.
fn letter(tenant: &str, id: &str) -> Message {
    let body = json!({"id": id, "version": 1, "tenant": tenant, "to": {"users": ["ana"]}, "title": id});
    let mut message = Message::json(id.to_owned(), body.to_string());
    message.headers.insert("watchbell-from".into(), "watchbell.dispatch".into());
    message.headers.insert("watchbell-reason".into(), "delivered 20 times".into());
    message
}

fn dead(fleet: &Fleet, args: &[&str]) -> anyhow::Result<String> {
    fleet.command(&[&["dead"], args, &["--data", "data"]].concat())
}

async fn is_in_the_inbox(fleet: &Fleet, id: &str) -> anyhow::Result<()> {
    until("the replayed alert", DEADLINE, async || {
        fleet.inbox("ana").await.ok()?.iter().any(|row| row["alert"]["id"] == id).then_some(())
    })
    .await
}

async fn is_replayed_and_dropped(fleet: &Fleet) -> anyhow::Result<()> {
    let listed = dead(fleet, &["list"])?;
    for id in ["first", "second", "third"] {
        assert!(listed.contains(id), "{id} is missing: {listed}");
    }
    assert!(listed.contains("delivered 20 times") && listed.contains("watchbell.dispatch"), "{listed}");
    assert!(!listed.contains("title"), "a list tells no content: {listed}");
    assert!(dead(fleet, &["show", "second"])?.contains(r#""title":"second""#));

    assert_eq!(dead(fleet, &["replay", "second"])?.trim(), "1 replayed.");
    is_in_the_inbox(fleet, "second").await?;
    assert_eq!(dead(fleet, &["drop", "first"])?.trim(), "1 dropped.");
    assert!(dead(fleet, &["drop", "first"]).is_err(), "it is gone");
    assert_eq!(dead(fleet, &["replay", "--all"])?.trim(), "1 replayed.");
    assert!(dead(fleet, &["list"])?.is_empty());
    let inbox = fleet.inbox("ana").await?;
    assert!(inbox.iter().all(|row| row["alert"]["id"] != "first"), "{inbox:?}");
    Ok(())
}

async fn on_rabbitmq() -> (Fleet, SharedBroker, CancellationToken) {
    let fleet = Fleet::start(Engine::Services, (60_000, 60_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let config = RabbitConfig {
        access: BrokerAccess::to(fleet.urls.clone().unwrap().broker).into(),
        declare: false,
        name: "test".into(),
        names_user: false,
    };
    let leaving = CancellationToken::new();
    let broker = RabbitBroker::connect(config, leaving.clone());
    (fleet, broker, leaving)
}

#[tokio::test]
async fn dead_letters_are_replayed_and_dropped_on_rabbitmq() {
    let (fleet, broker, leaving) = on_rabbitmq().await;
    for id in ["first", "second", "third"] {
        broker.publish(Address::Dead, letter("acme", id), DEADLINE).await.unwrap();
    }
    leaving.cancel();
    is_replayed_and_dropped(&fleet).await.unwrap();
    whatever_lies_there(&fleet, &broker).await.unwrap();
}

/// Straight into the queue, as the broker's own dead-lettering would put it there.
async fn lay(amqp: &mut RawAmqp, properties: &Properties, body: &[u8]) -> anyhow::Result<()> {
    let message = RawMessage { properties: properties.encode(), body: body.to_vec() };
    let published = amqp.publish(b"", b"watchbell.dead", &message).await?;
    anyhow::ensure!(published == Published::Confirmed, "{published:?}");
    Ok(())
}

/// What RabbitMQ writes onto a message that it dead-letters.
fn died_in(queue: &str) -> Properties {
    let death = value(b'F', &table(&[(b"queue", value(b'S', &long(queue.as_bytes())))]));
    Properties::default().with(
        place::HEADERS,
        table(&[
            (b"x-death", value(b'A', &long(&death))),
            (b"x-first-death-queue", value(b'S', &long(queue.as_bytes()))),
            (b"x-first-death-reason", value(b'S', &long(b"delivery_limit"))),
            (b"x-request-id", value(b'S', &long(b"theirs"))),
        ]),
    )
}

/// Between a hundred good letters: one of 16 MB, one from nowhere, stubs, some without an id, some with the same.
async fn whatever_lies_there(fleet: &Fleet, broker: &SharedBroker) -> anyhow::Result<()> {
    let mut amqp = RawAmqp::connect(&fleet.urls.as_ref().unwrap().broker).await?;
    let named = |id: &str| died_in("watchbell.dispatch").text(place::MESSAGE_ID, id.as_bytes());
    let alert =
        |id: &str| json!({"id": id, "tenant": "acme", "to": {"users": ["ana"]}, "title": id}).to_string();
    lay(&mut amqp, &named("giant"), &vec![b'x'; 16 * 1024 * 1024]).await?;
    for number in 0..100 {
        let id = format!("good-{number}");
        lay(&mut amqp, &named(&id), alert(&id).as_bytes()).await?;
    }
    lay(&mut amqp, &Properties::default().text(place::MESSAGE_ID, b"nowhere"), b"{}").await?;
    let stub = table(&[
        (b"watchbell-from", value(b'S', &long(b"watchbell.dispatch"))),
        (b"watchbell-size", value(b'S', &long(b"9000000"))),
    ]);
    lay(&mut amqp, &named("stub").with(place::HEADERS, stub), b"{").await?;
    for id in ["nameless-1", "nameless-2"] {
        lay(&mut amqp, &died_in("watchbell.dispatch"), alert(id).as_bytes()).await?;
    }
    for _ in 0..2 {
        lay(&mut amqp, &named("twin"), alert("twin").as_bytes()).await?;
    }
    let all = 100 + 7;

    // Looking, often, shows each once and changes nothing.
    for _ in 0..3 {
        let listed = dead(fleet, &["list", "--limit", "10000"])?;
        assert_eq!(listed.lines().count(), all, "{listed}");
        let mut names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all - 1, "all but the twins have names of their own: {listed}");
        assert!(listed.contains("16777216 bytes") && listed.contains("delivery_limit"), "{listed}");
    }
    assert!(dead(fleet, &["show", "twin"])?.matches(r#""title":"twin""#).count() == 2);

    let said = dead(fleet, &["replay", "--all"])?;
    assert!(said.starts_with("104 replayed, 3 skipped:\n"), "{said}");
    for (name, why) in [("giant", "longer than"), ("nowhere", "nobody knows"), ("stub", "only its beginning")]
    {
        let line = said.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line.contains(why), "{name}: {said}");
    }
    for id in ["good-0", "good-99", "nameless-1", "nameless-2", "twin"] {
        is_in_the_inbox(fleet, id).await?;
    }
    let inbox = fleet.inbox("ana").await?;
    assert_eq!(inbox.iter().filter(|row| row["alert"]["id"] == "twin").count(), 1);
    let left = dead(fleet, &["list"])?;
    assert_eq!(left.lines().count(), 3, "{left}");

    let said = dead(fleet, &["replay", "--all"])?;
    assert!(said.starts_with("0 replayed, 3 skipped:\n"), "{said}");
    assert_eq!(dead(fleet, &["drop", "giant"])?.trim(), "1 dropped.");
    assert_eq!(dead(fleet, &["drop", "--all"])?.trim(), "2 dropped.");
    assert_eq!(broker.depth(watchbell::broker::WorkQueue::Dead).await?, 0);
    Ok(())
}

/// As the producer sent it: its own headers and properties, and nothing that was noted meanwhile.
#[tokio::test]
async fn a_letter_goes_back_as_its_producer_sent_it() {
    let (mut fleet, _broker, _leaving) = on_rabbitmq().await;
    let mut amqp = RawAmqp::connect(&fleet.urls.as_ref().unwrap().broker).await.unwrap();
    let sent = died_in("watchbell.dispatch")
        .text(place::MESSAGE_ID, b"m-1")
        .text(place::CORRELATION_ID, b"c-1")
        .text(place::APP_ID, b"their-app")
        .with(place::DELIVERY_MODE, vec![2])
        .with(place::TIMESTAMP, 7_u64.to_be_bytes().to_vec());
    lay(&mut amqp, &sent, b"{}").await.unwrap();
    // So that the replayed letter can be looked at.
    fleet.kill("dispatch").unwrap();
    let replayed = || dead(&fleet, &["replay", "--all"]);
    assert_eq!(replayed().unwrap().trim(), "1 replayed.");
    let back =
        until("the letter is back", DEADLINE, async || amqp.take("watchbell.dispatch").await.transpose());
    let RawMessage { properties, body } = back.await.unwrap().unwrap();
    assert_eq!(body, b"{}");
    let mut found = Properties::decode(&properties).unwrap();
    let mut headers = entries(&found.0[place::HEADERS].take().unwrap()).unwrap();
    // The count is the broker's, of this look at it.
    headers.retain(|(name, _)| name != b"x-delivery-count");
    assert_eq!(headers, [(b"x-request-id".to_vec(), value(b'S', &long(b"theirs")))]);
    let mut expected = sent;
    expected.0[place::HEADERS] = None;
    assert_eq!(found, expected);
}

#[tokio::test]
async fn dead_letters_are_replayed_and_dropped_in_one_process() {
    // What `up` has set aside is a file of its data folder, read when it starts.
    let mut fleet = Fleet::start(Engine::Embedded, (60_000, 60_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let file = fleet.dir().join("data/dead.ndjson");
    let line = |number: usize, letter: Message| {
        let Message { message_id, content_type, headers, body, .. } = letter;
        let body = String::from_utf8_lossy(&body);
        let line = json!({"number": number, "message_id": message_id, "content_type": content_type, "headers": headers, "body": body});
        format!("{line}\n")
    };
    let lines =
        ["first", "second", "third"].iter().enumerate().map(|(number, id)| line(number, letter("demo", id)));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    fleet.restart("up").await.unwrap();
    fleet.ready("up").await.unwrap();
    is_replayed_and_dropped(&fleet).await.unwrap();

    // One from nowhere, one without an id, and two of one id among 200 others.
    let others = (0..200).map(|number| letter("demo", &format!("good-{number}")));
    let nowhere = Message::json("nowhere".into(), "{}");
    let nameless = Message { message_id: String::new(), ..letter("demo", "nameless") };
    let odd = [nowhere, nameless, letter("demo", "twin"), letter("demo", "twin")];
    let lines = odd.into_iter().chain(others).enumerate().map(|(number, letter)| line(number, letter));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    fleet.restart("up").await.unwrap();
    fleet.ready("up").await.unwrap();
    assert_eq!(dead(&fleet, &["list", "--limit", "10000"]).unwrap().lines().count(), 204);
    let said = dead(&fleet, &["replay", "--all"]).unwrap();
    assert!(said.starts_with("203 replayed, 1 skipped:\n  nowhere"), "{said}");
    is_in_the_inbox(&fleet, "nameless").await.unwrap();
    assert_eq!(dead(&fleet, &["list"]).unwrap().lines().count(), 1);
}
