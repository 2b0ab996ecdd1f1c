//! A pod that leaves, asked directly: whom it still takes, and for how long (I10). Behind real balancers: `balancers.rs`.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use watchbell_tests::{
    client::{Client, Transport},
    fleet::{Engine, Fleet},
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
const QUIET: (u64, u64) = (600_000, 600_000);
const POD: &str = "socket-1";

async fn not_ready(fleet: &Fleet) -> anyhow::Result<()> {
    let url = format!("{}/readyz", fleet.operations_url(POD)?);
    until("the pod is not ready any more", DEADLINE, async || {
        let answer = fleet.http().get(&url).send().await.ok()?;
        (answer.status().as_u16() == 503).then_some(())
    })
    .await
}

/// A balancer needs a moment to learn that a pod leaves, and sends it sessions meanwhile: they are taken, all three
/// transports alike, and told everything.
#[tokio::test]
async fn until_balancers_know_of_it_sessions_are_taken_as_ever() {
    let env = [("WATCHBELL__HTTP__LEAVE_WAIT", "12s"), ("WATCHBELL__SOCKET__DRAIN_WINDOW", "4s")];
    let mut fleet = Fleet::start(Engine::Services, QUIET, &env).await.unwrap();
    let old = fleet.client(Transport::WebSocket, POD, &fleet.asks("ana", &[]).unwrap()).await.unwrap();
    fleet.worker(POD).unwrap().terminate();
    not_ready(&fleet).await.unwrap();
    let mut clients = vec![old];
    for transport in Transport::ALL {
        clients.push(fleet.client(transport, POD, &fleet.asks("ana", &[]).unwrap()).await.unwrap());
    }
    fleet.send(&json!({"to": {"users": ["ana"]}, "title": "While it leaves"})).await.unwrap();
    for client in &mut clients {
        let frame = client.next().await.unwrap();
        assert_eq!(frame["alert"]["title"], "While it leaves", "not asked to move yet");
    }
    // The user's API as well; and its connection is the balancer's to open anew, elsewhere.
    let request = fleet.http().request(Method::GET, format!("{}/v1/inbox", fleet.url(POD).unwrap()));
    let answer = request.bearer_auth(fleet.token("ana").unwrap()).send().await.unwrap();
    let connection = answer.headers().get("connection").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((answer.status().as_u16(), connection.as_deref()), (200, Some("close")));
    for mut client in clients.into_iter().filter(|client| !matches!(client, Client::Poll(_))) {
        assert_eq!(client.next_of("goaway").await.unwrap()["reason"], "drain");
        assert_eq!(client.closed().await.unwrap(), "closed 4200 drain");
    }
    let left = fleet.worker(POD).unwrap().wait_exit(DEADLINE).await.unwrap();
    assert!(left.success(), "{left}");
}

/// Later it has less and less time for whoever comes. At the very end it refuses, and says why.
#[tokio::test]
async fn who_arrives_during_the_drain_is_asked_to_move_within_what_is_left() {
    let env = [("WATCHBELL__HTTP__LEAVE_WAIT", "0s"), ("WATCHBELL__SOCKET__DRAIN_WINDOW", "15s")];
    let mut fleet = Fleet::start(Engine::Services, QUIET, &env).await.unwrap();
    let asks = fleet.asks("ana", &[]).unwrap();
    // Stays to the end, so that the pod does.
    let mut stays = fleet.client(Transport::WebSocket, POD, &asks).await.unwrap();
    fleet.worker(POD).unwrap().terminate();
    stays.next_of("goaway").await.unwrap();
    let mut before = u64::MAX;
    let mut late = Vec::new();
    for transport in [Transport::WebSocket, Transport::Sse, Transport::WebSocket] {
        let mut client = fleet.client(transport, POD, &asks).await.unwrap();
        let goaway = client.next_of("goaway").await.unwrap();
        let within = goaway["within_ms"].as_u64().unwrap();
        assert!(within < before && goaway["after_ms"] == 0, "{transport:?}: {goaway}");
        before = within;
        late.push(client);
    }
    // A poll waits no longer than the pod does.
    let mut poll = fleet.client(Transport::Poll, POD, &asks).await.unwrap();
    let Client::Poll(poll) = &mut poll else { panic!("it is a poll") };
    poll.poll().await.unwrap();
    for mut client in late {
        assert_eq!(client.closed().await.unwrap(), "closed 4200 drain");
    }
}

/// A refusal of a pod that leaves is no overload: an operator must not look for more room.
#[tokio::test]
async fn a_refusal_at_the_end_is_counted_as_leaving() {
    let env = [("WATCHBELL__HTTP__LEAVE_WAIT", "0s"), ("WATCHBELL__SOCKET__DRAIN_WINDOW", "25s")];
    let mut fleet = Fleet::start(Engine::Services, QUIET, &env).await.unwrap();
    let asks = fleet.asks("ana", &[]).unwrap();
    // One that does not move holds the pod until its session is closed, and one that came later until the end.
    let stays = fleet.client(Transport::WebSocket, POD, &asks).await.unwrap();
    fleet.worker(POD).unwrap().terminate();
    not_ready(&fleet).await.unwrap();
    let mut clients = vec![stays];
    let refused = until("the pod takes nobody any more", DEADLINE, async || {
        match fleet.client(Transport::Sse, POD, &asks).await {
            Ok(client) => {
                clients.truncate(3);
                clients.push(client);
                None
            }
            Err(error) => Some(error.to_string()),
        }
    });
    let refused = refused.await.unwrap();
    assert!(refused.starts_with("answered 503") && refused.contains("leaving"), "{refused}");
    let counted = async |reason: &str| {
        let line = format!("watchbell_socket_refused_total{{reason=\"{reason}\"}}");
        fleet.metric(POD, &line).await
    };
    assert_eq!(counted("overload").await, Some(0.0));
    assert!(counted("leaving").await >= Some(1.0));
}
