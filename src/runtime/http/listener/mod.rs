//! The listener every worker's routes hang on: hyper over TCP, HTTP/1.1.
//!
//! What is special here:
//! - A handler may answer with [`take_over`] instead of a response. Then hyper and its buffers are gone and the handler
//!   owns the bare connection: a stream that stays open for hours must not cost what a request costs. It works for any
//!   request of a kept-alive connection, and unlike an HTTP upgrade for any status, which is what SSE needs.
//! - TLS and HTTP/2 end at the load balancer; it speaks HTTP/1.1 to us, as every balancer can.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

use super::{ClientAddress, Network, proxy_protocol};
use crate::runtime::config::HttpConfig;

/// How long open requests may take to end after the listener closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept between two requests. Longer than balancers keep theirs (nginx and ALB: 60 s), so that
/// it is they who close, and no request is sent into a connection that we are closing.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection that has not asked anything yet may take to do so after the listener closed.
const FIRST_REQUEST_WAIT: Duration = Duration::from_millis(500);
/// Connections that the system took in before the listener closed and that are still served.
const BACKLOG_TAKEN_MAX: usize = 4_096;
/// The wait after the system refused to give us a connection (out of files).
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// How connections are taken in.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Addresses whose word about the client is believed.
    pub trusted_proxies: Arc<[Network]>,
    /// Whether connections of trusted proxies begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// How long the first request head of a connection may take.
    pub head_timeout: Duration,
    /// Connections that speak HTTP at once; more wait. Those that were taken over do not count.
    pub connections_max: usize,
}

impl Listening {
    /// As configured.
    pub fn of(config: &HttpConfig) -> Self {
        Self {
            trusted_proxies: config.trusted_proxies.as_slice().into(),
            proxy_protocol: config.proxy_protocol,
            head_timeout: config.head_timeout,
            connections_max: config.connections_max,
        }
    }
}

impl Default for Listening {
    fn default() -> Self {
        Self::of(&HttpConfig::default())
    }
}

/// How the listener is told to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// From when this fires every answer is the last of its connection, so that balancers take theirs elsewhere while
    /// everything is still served.
    pub leaving: CancellationToken,
    /// When this fires nothing more is taken in.
    pub stop: CancellationToken,
}

/// A connection that a handler has taken over. Nothing of a response was written.
#[derive(Debug)]
pub struct Taken {
    /// The connection.
    pub stream: TcpStream,
    /// What was read of it beyond the request.
    pub read_ahead: Bytes,
}

type Run = Box<dyn FnOnce(Taken) + Send>;

#[derive(Clone)]
struct TakeOver(Arc<Mutex<Option<Run>>>);

impl TakeOver {
    fn run(&self) -> Option<Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The answer of a handler that takes the connection itself. `run` must not block: it spawns.
pub fn take_over(run: impl FnOnce(Taken) + Send + 'static) -> Response {
    // The status is seen only where somebody else than `serve` calls the routes.
    let mut response = StatusCode::NOT_IMPLEMENTED.into_response();
    response.extensions_mut().insert(TakeOver(Arc::new(Mutex::new(Some(Box::new(run))))));
    response
}

/// Serves `routes` until `shutdown.stop`, then lets open requests end within 5 s. Handlers may ask for
/// `ConnectInfo<SocketAddr>` and the extension [`ClientAddress`].
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    listening: Listening,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    info!(%address, "HTTP listens on {address}");
    let places = Arc::new(Semaphore::new(listening.connections_max));
    let connections = TaskTracker::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            () = shutdown.stop.cancelled() => break,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        let (Ok(place), accepted) = accepted else { break };
        match accepted {
            Ok((stream, peer)) => {
                let (routes, listening, shutdown) = (routes.clone(), listening.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, peer, routes, listening, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "A connection could not be accepted");
                sleep(ACCEPT_WAIT).await;
            }
        }
    }
    // Connections that the system took in for us already would be reset with the listener, and what was asked on them lost.
    for (stream, peer) in taken_already(listener) {
        connections.spawn(connection(stream, peer, routes.clone(), listening.clone(), shutdown.clone()));
    }
    connections.close();
    if timeout(CLOSE_TIMEOUT, connections.wait()).await.is_err() {
        warn!(requests = connections.len(), "Requests were still open and are cut off");
    }
    Ok(())
}

/// The connections that wait to be accepted; closes the listener.
fn taken_already(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    // It does not block, so it ends with the last that waits.
    let waiting = std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG_TAKEN_MAX);
    waiting
        .filter_map(|(stream, peer)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, peer))
        })
        .collect()
}

/// One connection, until it closes or is taken over.
async fn connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    listening: Listening,
    shutdown: Shutdown,
) {
    // Frames are small and late ones are worthless: never wait to fill a packet.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "A connection keeps Nagle's delay");
    }
    let mut client = peer.ip().to_canonical();
    if listening.proxy_protocol && Network::any_has(&listening.trusted_proxies, client) {
        match timeout(listening.head_timeout, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(source)) => client = source.unwrap_or(client),
            Ok(Err(error)) => return debug!(%error, "A connection without a PROXY protocol header"),
            Err(_) => return,
        }
    }
    if let Some((run, taken)) = speak_http(stream, (peer, client), routes, &listening, shutdown).await {
        run(taken);
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

async fn speak_http(
    stream: TcpStream,
    (peer, client): (SocketAddr, IpAddr),
    routes: Router,
    listening: &Listening,
    shutdown: Shutdown,
) -> Option<(Run, Taken)> {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let (seen, proxies) = (Arc::clone(&shared), Arc::clone(&listening.trusted_proxies));
    let leaving = shutdown.leaving;
    let service = service_fn(move |request: Request<Incoming>| -> Answer {
        locked(&seen).asked = true;
        let mut request = request.map(Body::new);
        let address = ClientAddress::of(client, request.headers(), &proxies);
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (answer, seen) = (routes.clone().oneshot(request), Arc::clone(&seen));
        let leaving = leaving.clone();
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(take_over) = response.extensions_mut().remove::<TakeOver>() {
                locked(&seen).taken = take_over.run();
                return pending().await; // The connection is taken from under this answer.
            }
            if leaving.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);

    let mut head_is_due = std::pin::pin!(sleep(listening.head_timeout));
    // One that was opened a moment ago has something to ask.
    let mut stopping = std::pin::pin!(async {
        shutdown.stop.cancelled().await;
        if !locked(&shared).asked {
            sleep(FIRST_REQUEST_WAIT).await;
        }
    });
    let (mut waits_for_head, mut leaves) = (true, false);
    let taken = poll_fn(|context| {
        if !leaves && stopping.as_mut().poll(context).is_ready() {
            leaves = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(done) = connection.poll_without_shutdown(context) {
            if let Err(error) = done {
                debug!(%error, "A connection broke off");
            }
            return Poll::Ready(None);
        }
        let mut shared = locked(&shared);
        if let Some(run) = shared.taken.take() {
            return Poll::Ready(Some(run));
        }
        waits_for_head &= !shared.asked;
        match waits_for_head && head_is_due.as_mut().poll(context).is_ready() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    });
    let run = taken.await?;
    let parts = connection.into_parts();
    Some((run, Taken { stream: parts.io.into_inner(), read_ahead: parts.read_buf }))
}

/// What a connection's requests tell its task.
#[derive(Default)]
struct Shared {
    asked: bool,
    taken: Option<Run>,
}

fn locked(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    // Nothing panics while it is held.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

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
        let routes = Router::new().route("/plain", get(|| async { "plain" })).route("/taken", get(taken));
        tokio::spawn(serve(listener, routes, listening, shutdown.clone()));
        (address, shutdown)
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
        let brief = Listening { head_timeout: Duration::from_millis(50), ..Listening::default() };
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
}
