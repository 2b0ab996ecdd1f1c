//! The sessions of a floor: by user, each with what waits for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use serde::Deserialize;
use tokio::sync::Notify;

/// Frames that wait for one session at the most. One more is dropped, and the bench misses it.
const OUTBOX_FRAMES_MAX: usize = 100_000;

/// The open sessions of each user.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, Vec<Arc<Outbox>>>>>);

impl Sessions {
    /// Hands a frame to every session of a user.
    pub(super) fn put(&self, user: &str, frame: &Utf8Bytes) {
        for outbox in lock(&self.0).get(user).into_iter().flatten() {
            outbox.put(frame.clone());
        }
    }
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

/// Serves one session until it ends.
pub(super) async fn serve(sessions: Sessions, mut socket: WebSocket) {
    let Some(Ok(Message::Text(first))) = socket.recv().await else { return };
    let Ok(Auth { token: user }) = serde_json::from_str(&first) else { return };
    drop(first);
    let outbox = Arc::<Outbox>::default();
    lock(&sessions.0).entry(user.clone()).or_default().push(Arc::clone(&outbox));
    // An error means that the client is gone, as the end of the stream does.
    let _ = forward(&mut socket, &outbox).await;
    let mut sessions = lock(&sessions.0);
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
