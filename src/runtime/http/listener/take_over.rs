//! How a handler gets the bare connection in place of answering.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::net::TcpStream;

/// A connection that a handler has taken over. Nothing of a response was written.
#[derive(Debug)]
pub struct Taken {
    /// The connection.
    pub stream: TcpStream,
    /// What was read of it beyond the request.
    pub read_ahead: Bytes,
}

/// What goes on with the connection.
pub(super) type Run = Box<dyn FnOnce(Taken) + Send>;

#[derive(Clone)]
struct TakeOver(Arc<Mutex<Option<Run>>>);

/// The answer of a handler that takes the connection itself. `run` must not block: it spawns.
pub fn take_over(run: impl FnOnce(Taken) + Send + 'static) -> Response {
    // The status is seen only where somebody else than `serve` calls the routes.
    let mut response = StatusCode::NOT_IMPLEMENTED.into_response();
    response.extensions_mut().insert(TakeOver(Arc::new(Mutex::new(Some(Box::new(run))))));
    response
}

/// What the handler wants of the connection, if it wants it.
pub(super) fn wanted(response: &mut Response) -> Option<Run> {
    let TakeOver(run) = response.extensions_mut().remove()?;
    // Nothing panics while it is held.
    run.lock().unwrap_or_else(PoisonError::into_inner).take()
}
