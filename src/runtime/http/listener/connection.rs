//! One connection, from its first byte until it closes or a handler takes it over.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderValue, Request, header},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use super::{
    course::{Due, Standing},
    host::host_of,
    places::{ConnectionPlace, Place},
    settings::{Listening, Shutdown},
    single_headers::expect_single,
    stream::{AnswerBody, Watch, WatchedStream},
    take_over::{Run, Taken, wanted},
};
use crate::runtime::http::{ClientAddress, ClientScheme, proxy_protocol};

/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection that has not asked anything yet may take to do so after the listener closed.
const FIRST_REQUEST_WAIT: Duration = Duration::from_millis(500);

/// What every connection of a listener has to do with.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) routes: Router,
    pub(super) listening: Listening,
    pub(super) shutdown: Shutdown,
}

impl Served {
    /// Serves one connection, until it closes or is taken over.
    pub(super) async fn connection(self, mut stream: TcpStream, peer: SocketAddr, place: Place) {
        // Frames are small and late ones are worthless: never wait to fill a packet.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "A connection keeps Nagle's delay");
        }
        let Some(client) = self.client_of(&mut stream, peer, &place).await else { return };
        let place = Arc::new(place);
        if let Some((run, taken)) = Box::pin(self.speak_http(stream, (peer, client), place)).await {
            run(taken);
        }
    }

    /// Who is at the other end, as far as the connection says: `None` when it does not say what it has to, or may not stay.
    async fn client_of(&self, stream: &mut TcpStream, peer: SocketAddr, place: &Place) -> Option<IpAddr> {
        let near = peer.ip().to_canonical();
        if !self.listening.speaks_proxy_protocol(near) {
            return Some(near);
        }
        let read = timeout(self.listening.patience.head, proxy_protocol::read(stream));
        let goes = poll_fn(|context| match place.has_to_go(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let source = tokio::select! {
            read = read => match read {
                Ok(Ok(source)) => source,
                Ok(Err(error)) => {
                    debug!(%error, "A connection without a PROXY protocol header");
                    return None;
                }
                Err(_) => {
                    End::Due(Due::Head).count();
                    return None;
                }
            },
            () = goes => {
                End::HasToGo.count();
                return None;
            }
        };
        // A balancer that speaks for itself is not counted.
        let Some(client) = source else { return Some(near) };
        if let Some(share) = self.listening.share_of(client)
            && place.belongs_to(share).is_err()
        {
            End::NoShare.count();
            return None;
        }
        Some(client)
    }

    async fn speak_http(
        self,
        stream: TcpStream,
        (peer, client): (SocketAddr, IpAddr),
        place: Arc<Place>,
    ) -> Option<(Run, Taken)> {
        let watch = Watch::new(self.listening.patience_with(client));
        let requests = Requests {
            routes: self.routes,
            listening: self.listening,
            leaving: self.shutdown.leaving,
            watch: watch.clone(),
            place: ConnectionPlace(place.clone()),
            peer,
            client,
        };
        let mut connection = http1::Builder::new()
            // `course.rs` has the deadlines of a whole connection; hyper knows only that of a head.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(
                TokioIo::new(WatchedStream { stream, watch: watch.clone() }),
                service_fn(move |request| requests.answer(request)),
            );
        let stop = self.shutdown.stop;
        // One that was opened a moment ago has something to ask.
        let mut stopping = std::pin::pin!(async {
            stop.cancelled().await;
            if !watch.lock().was_asked {
                sleep(FIRST_REQUEST_WAIT).await;
            }
        });
        let mut timer = std::pin::pin!(sleep(watch.patience.head));
        let (mut leaves, mut goes) = (false, false);
        let end = poll_fn(|context: &mut Context<'_>| {
            if !goes && place.has_to_go(context.waker()) {
                // Between the decision and now a request may have come: it is still answered.
                if watch.lock().course.standing() != Standing::Busy {
                    return Poll::Ready(End::HasToGo);
                }
                goes = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if !leaves && stopping.as_mut().poll(context).is_ready() {
                leaves = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(done) = connection.poll_without_shutdown(context) {
                if let Err(error) = done {
                    debug!(%error, "A connection broke off");
                }
                return Poll::Ready(End::Closed);
            }
            let mut state = watch.lock();
            if let Some(run) = state.taken.take() {
                return Poll::Ready(End::TakenOver(run));
            }
            place.stands(state.course.standing());
            let Some((at, due)) = state.course.due(&watch.patience) else { return Poll::Pending };
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            match (timer.as_mut().poll(context), due) {
                (Poll::Pending, _) => Poll::Pending,
                (Poll::Ready(()), Due::Body) => {
                    // Whoever waits for it answers that it is too late.
                    End::Due(due).count();
                    state.give_up_body();
                    Poll::Pending
                }
                (Poll::Ready(()), _) => Poll::Ready(End::Due(due)),
            }
        })
        .await;
        end.count();
        let stream = connection.into_parts();
        let read_ahead = stream.read_buf;
        let stream = stream.io.into_inner().stream;
        match end {
            End::TakenOver(run) => return Some((run, Taken { stream, read_ahead })),
            // What the system holds of the answers goes with the connection, in place of waiting for a peer that does not
            // take them.
            End::Due(Due::Write) => _ = stream.set_zero_linger(),
            _ => {}
        }
        None
    }
}

/// How a connection ends.
pub(super) enum End {
    Closed,
    TakenOver(Run),
    Due(Due),
    HasToGo,
    NoShare,
}

impl End {
    /// Counts those that we cut off.
    pub(super) fn count(&self) {
        let reason = match self {
            Self::Closed | Self::TakenOver(_) => return,
            Self::Due(Due::Idle) => "idle",
            Self::Due(Due::Head) => "head",
            Self::Due(Due::Body) => "body",
            Self::Due(Due::Write) => "write",
            Self::HasToGo => "gave_way",
            Self::NoShare => "share",
        };
        metrics::counter!("watchbell_http_cut_total", "reason" => reason).increment(1);
    }
}

/// What answers the requests of one connection.
struct Requests {
    routes: Router,
    listening: Listening,
    leaving: CancellationToken,
    watch: Watch,
    place: ConnectionPlace,
    peer: SocketAddr,
    client: IpAddr,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

impl Requests {
    fn answer(&self, request: Request<Incoming>) -> Answer {
        let mut request = request.map(|body| self.watch.asked(body));
        let (watch, leaving) = (self.watch.clone(), self.leaving.clone());
        if let Err(problem) = host_of(&request).and_then(|_| expect_single(request.headers())) {
            let mut refusal = problem.into_response();
            // What follows may be meant for somebody else.
            refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Box::pin(async move { Ok(refusal.map(|body| watch.answering(body))) });
        }
        let proxies = &self.listening.trusted_proxies;
        let address =
            ClientAddress::of(self.client, request.headers(), proxies, self.listening.client_address);
        let scheme = ClientScheme::of(self.client, request.headers(), proxies, self.listening.client_address);
        let extensions = request.extensions_mut();
        extensions.insert(address);
        extensions.insert(scheme);
        extensions.insert(ConnectInfo(self.peer));
        extensions.insert(self.place.clone());
        let answer = self.routes.clone().oneshot(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(run) = wanted(&mut response) {
                watch.lock().taken = Some(run);
                return pending().await; // The connection is taken from under this answer.
            }
            if leaving.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| watch.answering(body)))
        })
    }
}
