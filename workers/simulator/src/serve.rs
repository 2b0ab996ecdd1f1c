//! Connections: accepting them up to a bound, serving HTTP on them, and ending them as a fault asks.
//!
//! What holds here:
//! - Every task is tracked: the accept loop returns when the last one has ended, at most
//!   [`DRAIN_MAX`] after shutdown begins.
//! - A handler can end its own connection through its [`Connection`]: politely (GOAWAY) or at once.
//!
//! Elsewhere: what is answered, in `http`, `apns`, `fcm`; SMTP's conversation, in `smtp`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::faults::{DropAt, Fault};

/// Connections of one listener; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// Requests in flight on one HTTP/2 connection; Apple allows 500 to 1000.
const STREAMS_MAX: u32 = 1000;
/// How long work that has begun may go on after shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(3);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEADER_READ_MAX: Duration = Duration::from_secs(30);
/// Between attempts to accept when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A handler's hold on the connection its request came by.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// Counted from 1 for each listener.
    pub(crate) number: u64,
    /// The client showed a certificate of the simulator's authority.
    pub(crate) is_certified: bool,
    /// No new requests; those in flight are answered. Cancelled by shutdown too.
    leave: CancellationToken,
    /// Closed now, whatever is in flight.
    cut: CancellationToken,
}

impl Connection {
    /// The part of a fault that comes before the request is looked at.
    pub(crate) async fn before(&self, fault: &Fault) {
        if let Some(delay_ms) = fault.delay_ms {
            sleep(Duration::from_millis(delay_ms)).await;
        }
        if fault.drop == Some(DropAt::Before) {
            self.close().await;
        }
    }

    /// The part of a fault that comes once the arrival is recorded.
    pub(crate) async fn after(&self, fault: &Fault) {
        if fault.drop == Some(DropAt::After) {
            self.close().await;
        }
        if fault.goaway {
            self.leave.cancel();
        }
    }

    /// Never returns: whoever calls it is dropped with the connection, so no answer can slip out.
    async fn close(&self) {
        self.cut.cancel();
        pending::<()>().await;
    }
}

/// Accepts until `shutdown`, giving each connection and its number to `handle`, then drains.
pub(crate) async fn accept<H, F>(
    listener: TcpListener,
    shutdown: &CancellationToken,
    tasks: &Tasks,
    handle: H,
) where
    H: Fn(TcpStream, u64) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let numbers = AtomicU64::new(1);
    loop {
        // The permit comes first: a connection we cannot serve is better left in the backlog.
        let begin = async { (Arc::clone(&permits).acquire_owned().await, listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            begun = begin => begun,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small and each is awaited: Nagle would hold them back 40 ms.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "TCP_NODELAY could not be set");
                }
                let work = handle(stream, numbers.fetch_add(1, Ordering::Relaxed));
                tasks.spawn(async move {
                    let _permit = permit; // Given back on success, error and panic alike.
                    work.await;
                });
            }
            Err(error) => {
                warn!(%error, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.drain().await;
}

/// The tasks of one listener. Cut short together when the drain takes too long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cut: CancellationToken,
}

impl Tasks {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move { cut.run_until_cancelled(work).await });
    }

    async fn drain(&self) {
        self.tracker.close();
        if timeout(DRAIN_MAX, self.tracker.wait()).await.is_err() {
            debug!(cut = self.tracker.len(), "Connections were cut at shutdown");
            self.cut.cancel();
            self.tracker.wait().await;
        }
    }
}

/// Serves HTTP/1.1 or HTTP/2 over TLS until the peer, a fault or `shutdown` ends it.
pub(crate) async fn serve_tls(
    stream: TcpStream,
    number: u64,
    acceptor: TlsAcceptor,
    router: Router,
    tasks: Tasks,
    shutdown: CancellationToken,
) {
    match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let is_certified = stream.get_ref().1.peer_certificates().is_some();
            serve_http(stream, (number, is_certified), router, tasks, shutdown).await;
        }
        Ok(Err(error)) => {
            debug!(%error, "A TLS handshake failed: does the sender trust the simulator's authority?");
        }
        Err(_) => debug!("A TLS handshake took too long"),
    }
}

/// Serves HTTP on an open stream. Requests carry their [`Connection`] as an extension.
pub(crate) async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (number, is_certified): (u64, bool),
    router: Router,
    tasks: Tasks,
    shutdown: CancellationToken,
) {
    let connection =
        Connection { number, is_certified, leave: shutdown.child_token(), cut: CancellationToken::new() };
    let with_connection = {
        let connection = connection.clone();
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            router.clone().oneshot(request)
        })
    };
    let mut server = auto::Builder::new(Streams { tasks, cut: connection.cut.clone() });
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX);
    server.http2().max_concurrent_streams(STREAMS_MAX);
    let mut serving = std::pin::pin!(server.serve_connection(TokioIo::new(stream), with_connection));
    let _cut = connection.cut.clone().drop_guard(); // Its streams end with it.
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            () = connection.cut.cancelled() => break,
            () = connection.leave.cancelled(), if !leaving => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    debug!(error, "A connection was closed early");
                }
                break;
            }
        }
    }
}

/// Where hyper puts the streams of one HTTP/2 connection: tracked, and gone when it is cut.
#[derive(Clone)]
struct Streams {
    tasks: Tasks,
    cut: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            let _ = cut.run_until_cancelled(stream).await;
        });
    }
}
