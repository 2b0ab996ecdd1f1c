//! The dead letters: what was delivered too often, or cannot be carried on, waits on `watchbell.dead` for a person.
//!
//! What holds here:
//! - Looking changes nothing: what is looked at is held for a moment and given back.
//! - A letter is taken off only after its replay is confirmed, so a crash costs a second replay, not the letter.
//! - At most [`LOOK_MAX`] are held at once; replaying all of more goes on in passes that the caller asks for.
//!
//! `watchbell dead` uses it on RabbitMQ directly; `up`, whose broker is in its own process, serves it at
//! `/operations/dead` to whoever has its producer key.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use watchbell::{
    broker::{Address, Delivery, SharedBroker, WorkQueue, topology},
    domain::Secret,
    wire::refused,
};

/// Letters held at once while one pass looks for some of them.
pub(crate) const LOOK_MAX: u64 = 10_000;
/// When nothing more comes for so long, there is nothing more (another operator may hold the rest).
const SILENCE_MAX: Duration = Duration::from_secs(2);
const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// The longest list of ids in one request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What brokers write into headers of what they set aside; a replayed message begins anew.
const BROKER_HEADERS: &str = "x-";

/// One letter, as an operator reads it. Bodies hold what people are told, which is why only `show` prints them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) id: String,
    /// The queue it comes from, where that is known.
    pub(crate) from: String,
    pub(crate) reason: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What to do with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Back to where it came from.
    Replay,
    /// Away for good.
    Drop,
}

/// Which of them, and what: the body of `POST /operations/dead`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) action: Action,
    /// By id; absent, all.
    pub(crate) ids: Option<Vec<String>>,
}

/// The first letters, oldest first, and how many there are.
pub(crate) async fn look(broker: &SharedBroker, limit: u64) -> anyhow::Result<(Vec<Letter>, u64)> {
    let total = broker.depth(WorkQueue::Dead).await?;
    let wanted = total.min(limit).min(LOOK_MAX);
    if wanted == 0 {
        return Ok((Vec::new(), total));
    }
    let mut held = Vec::new();
    let mut letters = broker.consume(WorkQueue::Dead, u16::try_from(wanted).unwrap_or(u16::MAX)).await;
    while (held.len() as u64) < wanted {
        let Ok(Some(delivery)) = timeout(SILENCE_MAX, letters.next()).await else { break };
        held.push(delivery);
    }
    let shown = held.iter().map(letter_of).collect();
    drop(held); // Back to the queue.
    letters.close().await;
    Ok((shown, total))
}

/// One pass over the letters that are there now. `done` is told after each one that was acted on, with how many there
/// were to look at. Gives how many were acted on.
pub(crate) async fn act(
    broker: &SharedBroker,
    request: &Request,
    mut done: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let total = broker.depth(WorkQueue::Dead).await?.min(LOOK_MAX);
    if total == 0 {
        return Ok(0);
    }
    let mut letters = broker.consume(WorkQueue::Dead, u16::try_from(total).unwrap_or(u16::MAX)).await;
    let (mut acted, mut others, mut failed) = (0, Vec::new(), None);
    for _ in 0..total {
        let Ok(Some(delivery)) = timeout(SILENCE_MAX, letters.next()).await else { break };
        let is_meant = request.ids.as_ref().is_none_or(|ids| ids.contains(&delivery.message.message_id));
        if !is_meant {
            others.push(delivery);
            continue;
        }
        if request.action == Action::Replay
            && let Err(error) = replay(broker, &delivery).await
        {
            failed = Some(error);
            break;
        }
        delivery.settle.ack().await;
        acted += 1;
        done(acted);
    }
    drop(others); // Back to the queue.
    letters.close().await;
    failed.map_or(Ok(acted), Err)
}

async fn replay(broker: &SharedBroker, delivery: &Delivery) -> anyhow::Result<()> {
    let mut message = delivery.message.clone();
    let id = message.message_id.clone();
    let Some(to) = home_of(&message.headers) else {
        bail!("nobody knows where {id} came from: publish its body by hand (`dead show`), then drop it");
    };
    message.headers.retain(|name, _| {
        !name.starts_with(BROKER_HEADERS) && name != refused::REASON && name != refused::FROM
    });
    broker.publish(to, message, CONFIRM_MAX).await.with_context(|| format!("{id} was not replayed"))
}

/// Where a letter came from: as whoever set it aside says, else by its type.
fn home_of(headers: &BTreeMap<String, String>) -> Option<Address> {
    let queue = [refused::FROM, "x-first-death-queue"].iter().find_map(|name| headers.get(*name));
    let kind = headers.get(topology::TYPE_HEADER).map(String::as_str).unwrap_or_default();
    match queue.map(String::as_str) {
        Some(queue) if queue == WorkQueue::Dispatch.name() => Some(Address::Alerts),
        Some(queue) if queue == WorkQueue::Undelivered.name() => Some(Address::Undelivered),
        _ if kind.starts_with("alert.") => Some(Address::Alerts),
        _ if kind.starts_with("undelivered.") => Some(Address::Undelivered),
        _ => None,
    }
}

fn letter_of(delivery: &Delivery) -> Letter {
    let message = &delivery.message;
    let header = |name: &str| message.headers.get(name).cloned();
    let reason = header(refused::REASON).or_else(|| header("x-first-death-reason"));
    Letter {
        id: message.message_id.clone(),
        from: match home_of(&message.headers) {
            Some(Address::Alerts) => WorkQueue::Dispatch.name().to_owned(),
            Some(Address::Undelivered) => WorkQueue::Undelivered.name().to_owned(),
            _ => "unknown".to_owned(),
        },
        reason: reason.unwrap_or_else(|| "delivered too often".to_owned()),
        headers: message.headers.clone(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    }
}

/// For `up`: the same over HTTP, for whoever has its producer key.
pub(crate) fn routes(broker: SharedBroker, key: Secret) -> Router {
    Router::new()
        .route("/operations/dead", get(list).post(post))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state((broker, key))
}

type Shared = State<(SharedBroker, Secret)>;

/// What `GET /operations/dead` answers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) total: u64,
    pub(crate) letters: Vec<Letter>,
}

async fn list(State((broker, key)): Shared, headers: HeaderMap) -> Response {
    if !is_operator(&headers, &key) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match look(&broker, LOOK_MAX).await {
        Ok((letters, total)) => Json(Listed { total, letters }).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
    }
}

async fn post(State((broker, key)): Shared, headers: HeaderMap, Json(request): Json<Request>) -> Response {
    if !is_operator(&headers, &key) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match act(&broker, &request, |_| {}).await {
        Ok(acted) => Json(acted).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
    }
}

fn is_operator(headers: &HeaderMap, key: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|given| given == key.expose())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use watchbell::broker::{Broker as _, Message, embedded::EmbeddedBroker};

    use super::*;

    async fn with_letters(count: usize) -> SharedBroker {
        let broker = EmbeddedBroker::open(None).unwrap();
        for n in 0..count {
            let mut message = Message::json(format!("m-{n}"), format!("{{\"n\":{n}}}"));
            message.headers.insert(refused::FROM.into(), WorkQueue::Undelivered.name().into());
            message.headers.insert(refused::REASON.into(), "cannot be read".into());
            message.headers.insert("x-delivery-count".into(), "20".into());
            broker.publish(Address::Dead, message, CONFIRM_MAX).await.unwrap();
        }
        broker as Arc<_>
    }

    #[tokio::test]
    async fn looking_changes_nothing() {
        let broker = with_letters(3).await;
        for _ in 0..3 {
            let (letters, total) = look(&broker, 2).await.unwrap();
            assert_eq!((letters.len(), total), (2, 3));
            assert_eq!((letters[0].id.as_str(), letters[0].reason.as_str()), ("m-0", "cannot be read"));
            assert_eq!(letters[0].from, "watchbell.undelivered");
        }
    }

    #[tokio::test]
    async fn a_replayed_letter_goes_home_without_its_history_and_others_stay() {
        let broker = with_letters(3).await;
        let request = Request { action: Action::Replay, ids: Some(vec!["m-1".into(), "nobody".into()]) };
        assert_eq!(act(&broker, &request, |_| {}).await.unwrap(), 1);
        let mut work = broker.consume(WorkQueue::Undelivered, 1).await;
        let replayed = work.next().await.unwrap().message;
        assert_eq!((replayed.message_id.as_str(), &replayed.body[..]), ("m-1", &b"{\"n\":1}"[..]));
        let names: Vec<_> = replayed.headers.keys().map(String::as_str).collect();
        assert!(!names.contains(&refused::REASON) && !names.contains(&"x-delivery-count"), "{names:?}");
        let left: Vec<_> = look(&broker, 9).await.unwrap().0.into_iter().map(|letter| letter.id).collect();
        assert_eq!(left, ["m-0", "m-2"]);
    }

    #[tokio::test]
    async fn all_are_dropped_and_counted() {
        let broker = with_letters(5).await;
        let mut told = Vec::new();
        let request = Request { action: Action::Drop, ids: None };
        assert_eq!(act(&broker, &request, |done| told.push(done)).await.unwrap(), 5);
        assert_eq!(told, [1, 2, 3, 4, 5]);
        assert_eq!(look(&broker, 9).await.unwrap().1, 0);
        assert_eq!(broker.depth(WorkQueue::Undelivered).await.unwrap(), 0, "and went nowhere");
    }

    #[test]
    fn home_is_what_is_known_of_it() {
        let home = |pairs: &[(&str, &str)]| {
            home_of(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        for (why, headers, expected) in [
            ("set aside by us", vec![(refused::FROM, "watchbell.undelivered")], Some(Address::Undelivered)),
            ("by the broker", vec![("x-first-death-queue", "watchbell.dispatch")], Some(Address::Alerts)),
            ("by its type", vec![("type", "alert.v1")], Some(Address::Alerts)),
            ("by its type", vec![("type", "undelivered.v1")], Some(Address::Undelivered)),
            ("unknown", vec![("type", "live.v1")], None),
            ("nothing", vec![], None),
        ] {
            assert_eq!(home(&headers), expected, "{why}");
        }
    }
}
