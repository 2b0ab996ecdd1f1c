//! The bare server: what any alert service has to do, and nothing else.
//!
//! It reads the same requests and forwards each alert to the sessions of its users, through memory. No broker, no
//! store, no durability, no order, no check of who anybody is, so it shows what HTTP, JSON, WebSocket and the client
//! cost by themselves. Its sockets are tuned like ours.

use std::{
    collections::{HashMap, VecDeque},
    io::{copy, sink, stdin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use futures_util::SinkExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;

use crate::output;

/// As workers/socket has them.
const READ_BUFFER_BYTES: usize = 1_024;
const WRITE_BUFFER_BYTES: usize = 4_096;
/// As workers/ingest has it.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Frames that wait for one session at the most. One more is dropped, and the bench misses it.
const OUTBOX_FRAMES_MAX: usize = 100_000;

/// Prints its address, and serves until standard input ends.
pub(super) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    output::line(format!("http://{}", listener.local_addr()?));
    let routes = Router::new()
        .route("/v1/alerts", post(alerts))
        .route("/v1/ws", get(upgrade))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::<Floor>::default());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = copy(&mut stdin(), &mut sink());
        stopping.cancel();
    });
    let serving = axum::serve(listener, routes);
    Ok(serving.with_graceful_shutdown(async move { stop.cancelled().await }).await?)
}

#[derive(Default)]
struct Floor {
    sessions: Mutex<HashMap<String, Vec<Arc<Outbox>>>>,
}

/// What waits for one session.
#[derive(Default)]
struct Outbox {
    frames: Mutex<VecDeque<Utf8Bytes>>,
    wake: Notify,
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

async fn alerts(
    State(floor): State<Arc<Floor>>,
    Json(alerts): Json<Vec<Value>>,
) -> (StatusCode, Json<Value>) {
    for alert in &alerts {
        let frame = Utf8Bytes::from(json!({"type": "alert", "alert": alert}).to_string());
        let users = alert["to"]["users"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let sessions = lock(&floor.sessions);
        for outbox in users.filter_map(|user| sessions.get(user)).flatten() {
            outbox.put(frame.clone());
        }
    }
    (StatusCode::ACCEPTED, Json(json!({"accepted": alerts.len()})))
}

async fn upgrade(State(floor): State<Arc<Floor>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| session(floor, socket))
}

async fn session(floor: Arc<Floor>, mut socket: WebSocket) {
    let Some(Ok(Message::Text(first))) = socket.recv().await else { return };
    let Ok(Auth { token: user }) = serde_json::from_str(&first) else { return };
    drop(first);
    let outbox = Arc::<Outbox>::default();
    lock(&floor.sessions).entry(user.clone()).or_default().push(Arc::clone(&outbox));
    // An error means that the client is gone, as the end of the stream does.
    let _ = forward(&mut socket, &outbox).await;
    let mut sessions = lock(&floor.sessions);
    if let Some(own) = sessions.get_mut(&user) {
        own.retain(|other| !Arc::ptr_eq(other, &outbox));
        if own.is_empty() {
            sessions.remove(&user);
        }
    }
}

async fn forward(socket: &mut WebSocket, outbox: &Outbox) -> Result<(), axum::Error> {
    socket.send(Message::text(r#"{"type":"hello"}"#)).await?;
    loop {
        tokio::select! {
            frames = outbox.take() => {
                for frame in frames {
                    socket.feed(Message::Text(frame)).await?;
                }
                socket.flush().await?;
            }
            said = socket.recv() => match said {
                Some(said) => drop(said?),
                None => return Ok(()),
            },
        }
    }
}

impl Outbox {
    fn put(&self, frame: Utf8Bytes) {
        let mut frames = lock(&self.frames);
        if frames.len() < OUTBOX_FRAMES_MAX {
            frames.push_back(frame);
        }
        drop(frames);
        self.wake.notify_one();
    }

    async fn take(&self) -> VecDeque<Utf8Bytes> {
        loop {
            let frames = std::mem::take(&mut *lock(&self.frames));
            if !frames.is_empty() {
                return frames;
            }
            self.wake.notified().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
