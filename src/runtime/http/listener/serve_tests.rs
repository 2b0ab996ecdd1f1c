//! Connections over real sockets: taken over, slow, idle, and when the listener closes.

use axum::{
    Extension,
    body::Body,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    time::timeout,
};

use super::*;
use crate::runtime::http::{ConnectionPlace, Patience, ShareBounds, Taken, read_body, take_over};

/// Longer than any test waits, so that only what is tested ends anything.
const NEVER: Duration = Duration::from_secs(60 * 60);
/// How long a test waits for what has to come.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Shorter than any test waits.
const SOON: Duration = Duration::from_millis(50);
const PLAIN: &[u8] = b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n";

fn patient() -> Listening {
    let mut listening = Listening::default();
    listening.patience =
        Patience { head: NEVER, keep_alive: NEVER, body: NEVER, stall: NEVER, ..listening.patience };
    listening
}

async fn serving(listening: Listening) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::default());
    let taken = || async {
        take_over(|mut taken: Taken| {
            tokio::spawn(async move {
                taken.stream.write_all(b"mine: ").await.unwrap();
                taken.stream.write_all(&taken.read_ahead).await.unwrap();
            });
        })
    };
    // Stays fired, for whoever comes to it later.
    let released = CancellationToken::new();
    let works = released.clone();
    let rests = released.clone();
    let routes = Router::new()
        .route("/plain", get(|| async { "plain" }))
        .route("/taken", get(taken))
        .route("/long", get(|| async { "long ".repeat(1_000_000) }))
        .route("/body", post(|body: Body| async { read_body(body, 1_000).await.map(|_| "read") }))
        .route("/works", get(async move || works.cancelled().await))
        .route(
            "/rests",
            get(async move |Extension(place): Extension<ConnectionPlace>| {
                let _given_back = place.give_back();
                rests.cancelled().await;
            }),
        )
        .route("/release", post(async move || released.cancel()));
    tokio::spawn(serve(listener, routes, listening, shutdown.clone()));
    (address, shutdown)
}

async fn connected(address: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream
}

/// What comes until the other side ends; also when it ends with a reset.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = timeout(WAIT_MAX, stream.read_to_end(&mut rest)).await.expect("the other side ends");
    String::from_utf8_lossy(&rest).into_owned()
}

/// One answer of a connection that stays open.
async fn answer_of(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 1024];
    let read = timeout(WAIT_MAX, stream.read(&mut answer)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_kept_connection_can_be_taken_over_with_all_that_was_read() {
    let (address, shutdown) = serving(Listening::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].ends_with(b"plain"), "an ordinary answer first");
    stream.write_all(b"GET /taken HTTP/1.1\r\nhost: a\r\n\r\nearly words").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "mine: early words");
    shutdown.stop.cancel();
}

#[tokio::test]
async fn a_request_that_never_comes_does_not_hold_the_connection() {
    let mut brief = Listening::default();
    brief.patience.head = Duration::from_millis(50);
    let (address, _shutdown) = serving(brief).await;
    for said in [&b""[..], b"GET /plain HT"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "closed without a word");
    }
}

#[tokio::test]
async fn an_open_connection_does_not_hold_the_shutdown() {
    let (address, shutdown) = serving(Listening::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    shutdown.stop.cancel();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0, "closed between two requests");
}

#[tokio::test]
async fn while_the_process_leaves_an_answer_is_the_last_of_its_connection() {
    let (address, shutdown) = serving(Listening::default()).await;
    let mut before = TcpStream::connect(address).await.unwrap();
    shutdown.leaving.cancel();
    let mut after = TcpStream::connect(address).await.unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "served all the same: {answer}");
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("plain"), "{answer}");
    }
}

#[tokio::test]
async fn who_connected_before_the_listener_closed_is_answered() {
    let (address, shutdown) = serving(Listening::default()).await;
    // Nothing has run since, so the listener has not accepted them: the system has.
    let waiting: Vec<std::net::TcpStream> = (0..5)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    shutdown.stop.cancel();
    for stream in waiting {
        let mut stream = TcpStream::from_std(stream).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("plain"), "{answer}");
    }
}

#[tokio::test]
async fn a_peer_that_is_too_slow_is_cut_off() {
    let cut = |name: &str| {
        let mut listening = patient();
        match name {
            "head" => listening.patience.head = SOON,
            "body" => listening.patience.body = SOON,
            _ => listening.patience.stall = SOON,
        }
        listening
    };
    for (why, deadline, said, answered) in [
        ("half a head", "head", b"GET /plain HT".to_vec(), ""),
        (
            "a body that does not come",
            "body",
            b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\na".to_vec(),
            "408",
        ),
        (
            "nor in chunks",
            "stall",
            b"POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            "408",
        ),
    ] {
        let (address, _shutdown) = serving(cut(deadline)).await;
        let mut stream = connected(address, &said).await;
        let rest = rest_of(&mut stream).await;
        assert_eq!(rest.get(9..12).unwrap_or_default(), answered, "{why}: {rest}");
    }
}

#[tokio::test]
async fn a_peer_that_takes_no_answer_is_cut_off() {
    let mut listening = patient();
    listening.patience.stall = SOON;
    let (address, _shutdown) = serving(listening).await;
    let stream = connected(address, &b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20)).await;
    // It reads nothing. That the connection is reset, it hears all the same.
    assert!(stream.ready(Interest::ERROR).await.unwrap().is_error());
}

#[tokio::test]
async fn a_connection_between_two_requests_makes_room() {
    let (address, _shutdown) = serving(Listening { connections_max: 2, ..patient() }).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = connected(address, PLAIN).await;
        assert!(answer_of(&mut stream).await.ends_with("plain"));
        idle.push(stream);
    }
    let mut new = connected(address, PLAIN).await;
    assert!(answer_of(&mut new).await.ends_with("plain"));
    assert_eq!(rest_of(&mut idle[0]).await, "", "the oldest is closed");
    idle[1].write_all(PLAIN).await.unwrap();
    assert!(answer_of(&mut idle[1]).await.ends_with("plain"), "the other is served");
}

#[tokio::test]
async fn one_that_is_slow_makes_room() {
    for (why, said) in [
        ("nothing was said", &b""[..]),
        ("half a head", b"GET /plain HT"),
        ("a body that does not come", b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\na"),
    ] {
        let (address, _shutdown) = serving(Listening { connections_max: 1, ..patient() }).await;
        let mut slow = connected(address, said).await;
        let mut new = connected(address, PLAIN).await;
        assert!(answer_of(&mut new).await.ends_with("plain"), "{why}");
        assert!(!rest_of(&mut slow).await.contains("200"), "{why}");
    }
}

#[tokio::test]
async fn who_waits_while_we_work_on_all_there_are_is_served_then() {
    let (address, _shutdown) = serving(Listening { connections_max: 2, ..patient() }).await;
    let mut works = connected(address, b"GET /works HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut other = connected(address, PLAIN).await;
    assert!(answer_of(&mut other).await.ends_with("plain"));
    other.write_all(b"POST /release HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut last = connected(address, PLAIN).await;
    assert!(answer_of(&mut last).await.ends_with("plain"));
    assert!(answer_of(&mut works).await.starts_with("HTTP/1.1 200"), "it was not closed for the others");
}

#[tokio::test]
async fn a_peer_has_its_share_and_no_more() {
    let share = ShareBounds { public_max: 1, private_max: 1 };
    let (address, _shutdown) = serving(Listening { share, ..patient() }).await;
    let mut works = connected(address, b"GET /works HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let from_elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    from_elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = from_elsewhere.connect(address).await.unwrap();
    elsewhere.write_all(PLAIN).await.unwrap();
    assert!(answer_of(&mut elsewhere).await.ends_with("plain"), "another address has its own");
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest_of(&mut second).await, "", "closed without a word");
    elsewhere.write_all(b"POST /release HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answer_of(&mut works).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_request_that_gave_its_place_back_is_in_nobodys_way() {
    let (address, _shutdown) = serving(Listening { connections_max: 2, ..patient() }).await;
    let mut resting = Vec::new();
    for _ in 0..3 {
        resting.push(connected(address, b"GET /rests HTTP/1.1\r\nhost: a\r\n\r\n").await);
        let mut other = connected(address, PLAIN).await;
        assert!(answer_of(&mut other).await.ends_with("plain"));
    }
    let mut other = connected(address, b"POST /release HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer_of(&mut other).await.starts_with("HTTP/1.1 200"));
    for mut stream in resting {
        assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 200"), "and is answered");
    }
}

#[tokio::test]
async fn a_request_without_one_host_is_refused_and_its_connection_closed() {
    for (why, hosts) in [("none", ""), ("two", "host: a\r\nhost: a\r\n")] {
        let (address, _shutdown) = serving(patient()).await;
        let said = [format!("GET /plain HTTP/1.1\r\n{hosts}\r\n").as_bytes(), PLAIN].concat();
        let rest = rest_of(&mut connected(address, &said).await).await;
        assert!(rest.starts_with("HTTP/1.1 400") && rest.matches("HTTP/1.1").count() == 1, "{why}: {rest}");
    }
}
