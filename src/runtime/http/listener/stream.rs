//! What tells the course of a connection what happens on it: its bytes, the bodies of its requests, and its answers.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{
    course::{Course, Patience},
    take_over::Run,
};

/// A body did not come within its time.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub struct LateBody;

/// What is known of a connection by its task, its bytes and its requests.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) patience: Patience,
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    pub(super) course: Course,
    /// Whether a request came at all.
    pub(super) was_asked: bool,
    /// What goes on with the connection, when a handler wants it.
    pub(super) taken: Option<Run>,
    body_is_late: bool,
    body_waits: Option<Waker>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("course", &self.course).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(patience: Patience) -> Self {
        let state = State {
            course: Course::new(Instant::now()),
            was_asked: false,
            taken: None,
            body_is_late: false,
            body_waits: None,
        };
        Self { patience, state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came. Gives its body, as handlers get it.
    pub(super) fn asked(&self, body: Incoming) -> Body {
        let mut state = self.lock();
        state.course.asked();
        state.was_asked = true;
        state.body_is_late = false;
        state.body_waits = None;
        drop(state);
        Body::new(RequestBody { inner: body, watch: self.clone() })
    }

    /// An answer goes out.
    pub(super) fn answering(&self, body: Body) -> AnswerBody {
        AnswerBody { inner: body, watch: self.clone() }
    }
}

impl State {
    /// Whoever waits for the body hears that it is too late.
    pub(super) fn give_up_body(&mut self) {
        self.body_is_late = true;
        if let Some(waker) = self.body_waits.take() {
            waker.wake();
        }
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub(super) struct WatchedStream {
    pub(super) stream: TcpStream,
    pub(super) watch: Watch,
}

impl WatchedStream {
    fn write_seen(&self, wrote: &Poll<io::Result<usize>>) {
        let mut state = self.watch.lock();
        match wrote {
            Poll::Ready(Ok(bytes)) => state.course.written(*bytes, &self.watch.patience, Instant::now()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => state.course.write_blocked(Instant::now()),
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.watch.lock().course.read(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.write_seen(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.write_seen(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The body of a request. Only while somebody waits for it is it late.
struct RequestBody {
    inner: Incoming,
    watch: Watch,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let mut state = self.watch.lock();
        match &frame {
            Poll::Ready(frame) => {
                let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                let bytes = bytes.map_or(0, Bytes::len);
                state.course.got_body(bytes, &self.watch.patience, Instant::now());
            }
            Poll::Pending if state.body_is_late => return Poll::Ready(Some(Err(LateBody.into()))),
            Poll::Pending => {
                state.course.awaits_body(Instant::now());
                state.body_waits = Some(context.waker().clone());
            }
        }
        frame.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.watch.lock().course.got_body(0, &self.watch.patience, Instant::now());
    }
}

/// The body of an answer. It is dropped when all of it was handed over.
pub(super) struct AnswerBody {
    inner: Body,
    watch: Watch,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.watch.lock().course.answered(Instant::now());
    }
}
