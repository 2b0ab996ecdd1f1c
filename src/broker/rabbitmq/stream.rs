//! The stream that lapin is given in place of one that it opens itself.
//!
//! Plain TCP or TLS, as the URL says, with our reader in between ([`super::amqp`]). lapin takes the stream's type
//! from its runtime, so [`Runtime`] is tokio in everything but that type.

use std::{
    cell::RefCell,
    future::ready,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_rs::{
    Tokio,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use futures_util::{
    Stream,
    io::{AsyncRead, AsyncWrite},
};
use lapin::{
    AsyncTcpStream,
    tcp::OwnedTLSConfig,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::net::TcpStream;
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt},
    sync::{CancellationToken, DropGuard},
};
use tracing::{Instrument as _, Span, span::EnteredSpan};

use super::{
    amqp::{Inbound, Ledger, Outbound},
    gate::Gate,
};

/// Reader and writer note in it, the connection's owner asks.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLedger {
    ledger: Arc<Mutex<Ledger>>,
    /// The node's own certificate (DER), once it has shown one.
    certificate: Arc<OnceLock<Vec<u8>>>,
    /// Fires when the client library has let go of the stream.
    ended: CancellationToken,
}

impl SharedLedger {
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        // No code that can panic runs under the lock.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedLedger {
    /// Waits until the client library has let go of the stream.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        self.certificate.get().cloned()
    }

    fn note_certificate(&self, stream: &AsyncTcpStream<Compat<TcpStream>>) {
        if let AsyncTcpStream::Rustls(stream) = stream
            && let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)
        {
            // A connection dials once.
            let _ = self.certificate.set(certificate.as_ref().to_vec());
        }
    }
}

/// One connection's bytes, followed in both directions.
pub(super) struct Followed {
    stream: AsyncTcpStream<Compat<TcpStream>>,
    _serving: Serving,
    _ends: DropGuard,
    inbound: Inbound,
    outbound: Outbound,
    ledger: SharedLedger,
    /// The end of the stream was held back once. lapin reads all there is before it looks at it: where the broker's last word and the end
    /// came together, it would call a connection broken that was closed as it asked.
    has_held_end: bool,
}

impl Followed {
    /// Dials one node, on the thread that lapin has for the connection. The socket belongs to the gate before anything is
    /// said on it.
    pub(super) async fn dial(
        uri: &AMQPUri,
        tls: &OwnedTLSConfig,
        gate: &Gate,
        ledger: SharedLedger,
        span: &Span,
    ) -> io::Result<Self> {
        let host = uri.authority.host.as_str();
        let socket = TcpStream::connect((host, uri.authority.port)).await?;
        socket.set_nodelay(true)?;
        gate.admit(&socket)?;
        let plain = AsyncTcpStream::Plain(socket.compat());
        let stream = match uri.scheme {
            AMQPScheme::AMQP => plain,
            AMQPScheme::AMQPS => plain.into_tls(host, tls.as_ref()).await?,
        };
        ledger.note_certificate(&stream);
        let (_serving, _ends) = (Serving::within(span), ledger.ended.clone().drop_guard());
        Ok(Self {
            stream,
            _serving,
            _ends,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            ledger,
            has_held_end: false,
        })
    }
}

impl AsyncRead for Followed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let ready = this.inbound.ready();
            if !ready.is_empty() {
                let len = ready.len().min(into.len());
                into[..len].copy_from_slice(&ready[..len]);
                this.inbound.handed_on(len);
                return Poll::Ready(Ok(len));
            }
            match Pin::new(&mut this.stream).poll_read(cx, this.inbound.space()) {
                Poll::Ready(Ok(0)) => {
                    this.inbound.ended();
                    if !this.inbound.ready().is_empty() {
                        continue;
                    }
                    if this.inbound.is_closed() && !std::mem::replace(&mut this.has_held_end, true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    return Poll::Ready(Ok(0));
                }
                Poll::Ready(Ok(len)) => this.inbound.read(len, &mut this.ledger.lock()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Followed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            this.outbound.sent(&bytes[..len], &mut this.ledger.lock());
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}

thread_local! {
    /// The span of the connection that this thread of lapin's serves.
    static SERVED: RefCell<Option<EnteredSpan>> = const { RefCell::new(None) };
}

/// While it lives, what this thread logs is logged of one connection. lapin has a thread for each connection, on which it
/// dials, reads and writes, and drops the stream at its end; its own lines say neither which part of ours it is for nor
/// to which node it leads.
#[derive(Debug)]
struct Serving;

impl Serving {
    fn within(span: &Span) -> Self {
        SERVED.with_borrow_mut(|served| *served = Some(span.clone().entered()));
        Self
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // On another thread there is nothing to leave, and a thread that ends has left.
        let _ = SERVED.try_with(|served| served.take());
    }
}

/// Tokio, with [`Followed`] as its stream. What it runs is logged of the connection.
#[derive(Debug, Clone)]
pub(super) struct Runtime(Tokio, Span);

impl Runtime {
    /// The runtime that this is called in, for a connection with this span.
    pub(super) fn within(span: Span) -> async_rs::Runtime<Self> {
        async_rs::Runtime::new(Self(Tokio::current(), span))
    }
}

impl RuntimeKit for Runtime {}

impl Executor for Runtime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future.instrument(self.1.clone()))
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Runtime {
    type TcpStream = Followed;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Followed, _>(not_by_lapin())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        ready(Err(not_by_lapin()))
    }
}

/// lapin never gets to open a socket of its own: it would have no owner.
fn not_by_lapin() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "sockets are opened by their owner")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::{AsyncReadExt as _, future::poll_immediate};
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    const CLOSE_OK: &[u8] = &[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 51, 0xce];
    const HEARTBEAT: &[u8] = &[8, 0, 0, 0, 0, 0, 0, 0xce];

    /// What lapin reads of a broker that says this and closes its socket: as far as there is something, and then what comes first.
    async fn read_of(said: &[u8]) -> (usize, Option<usize>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: AMQPUri = format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (gate, tls, span) = (Gate::default(), OwnedTLSConfig::default(), Span::none());
        let dialled = Followed::dial(&uri, &tls, &gate, SharedLedger::default(), &span);
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        let (mut stream, mut broker) = (dialled.unwrap(), accepted.unwrap().0);
        broker.write_all(said).await.unwrap();
        broker.shutdown().await.unwrap();
        drop(broker);
        let mut bytes = [0; 64];
        let mut read = 0;
        while read < said.len() {
            read += stream.read(&mut bytes).await.unwrap();
        }
        let then = poll_immediate(stream.read(&mut bytes)).await.map(Result::unwrap);
        (read, then, stream.read(&mut bytes).await.unwrap())
    }

    #[tokio::test]
    async fn the_end_of_a_connection_that_was_closed_comes_after_a_look_at_the_last_word() {
        assert_eq!(read_of(CLOSE_OK).await, (CLOSE_OK.len(), None, 0), "closed as it was asked to");
        let (read, _, end) = read_of(HEARTBEAT).await;
        assert_eq!((read, end), (HEARTBEAT.len(), 0), "broken off");
    }
}
