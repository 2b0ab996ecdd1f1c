//! The memory of one process for answers that clients have not taken yet: snapshots and pages, over HTTP and in sessions.
//!
//! What holds here:
//! - Whoever makes a long answer takes bytes first, before anything is read from the store, and gives them back when the
//!   client has taken the answer, or is gone. So clients that never read hold no more than the budget, however many they
//!   are (I9).
//! - One reader, a user or a tenant, gets at most [`one part in SHARE`](SHARE) of it, so that one account that does not
//!   read cannot keep the others from being answered (I16).
//! - Nobody waits longer than [`WAIT_MAX`]. Over HTTP the answer is then 503 with `Retry-After`.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{BuildHasher as _, Hash, RandomState},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::RETRY_AFTER_S;
use crate::{runtime::memory::MemoryBudgets, wire::Problem};

/// The longest answer that holds rows of the store, in bytes: a page of 1 MiB of what alerts or events say, and what stands
/// around them.
pub const PAGE_ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024 / 2;
/// What is taken for a page while it is read and written as JSON; what is left over is given back as soon as its length is
/// known.
pub const PAGE_BYTES_TAKEN: usize = 2 * 1024 * 1024;
/// The smallest budget: one reader's share has to hold a page in the making.
pub const ANSWER_BYTES_MIN: usize = SHARE * PAGE_BYTES_TAKEN;
/// The largest budget, as large as a semaphore counts on any machine that this runs on.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024 * 1024;
/// One reader gets one part in so many.
const SHARE: usize = 4;
/// How long an answer waits until there is memory for it.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Handed to the connection at a time. Bytes are given back when the last piece is taken, so that no more than this and
/// what the connection gathers itself is ever uncounted.
const PIECE_BYTES: usize = 16 * 1024;

/// The budget. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct AnswerBudget(Arc<Shared>);

struct Shared {
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    share_max: usize,
    /// What each reader may still take, of those who hold or wait for some.
    readers: Mutex<HashMap<u64, Arc<Semaphore>>>,
    hasher: RandomState,
}

/// There was no memory for an answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many answers wait to be taken by their clients")]
pub struct NoRoom;

impl From<NoRoom> for Problem {
    fn from(NoRoom: NoRoom) -> Self {
        let detail = "Too many answers wait to be taken by their clients: send the request again.";
        Self::unavailable(detail, RETRY_AFTER_S)
    }
}

/// Bytes of the budget. Given back when dropped.
pub struct AnswerBytes {
    budget: Arc<Shared>,
    reader: u64,
    /// Of the reader's share and of the whole; the same number of each. `None` only while this is dropped.
    taken: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl std::fmt::Debug for AnswerBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AnswerBytes").field(&self.len()).finish()
    }
}

impl std::fmt::Debug for AnswerBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AnswerBudget").field(&self.0.bytes_max).finish()
    }
}

impl Default for AnswerBudget {
    /// That of a process without a limit.
    fn default() -> Self {
        Self::new(MemoryBudgets::default().answers)
    }
}

impl AnswerBudget {
    /// Of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(ANSWER_BYTES_MAX);
        Self(Arc::new(Shared {
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            share_max: (bytes_max / SHARE).max(1),
            readers: Mutex::default(),
            hasher: RandomState::new(),
        }))
    }

    /// Takes so many bytes for an answer to this reader, or what one reader may have if that is less. Waits for them.
    ///
    /// # Errors
    /// [`NoRoom`] when there were none in time.
    pub async fn take(&self, reader: &impl Hash, bytes: usize) -> Result<AnswerBytes, NoRoom> {
        let Self(shared) = self;
        let reader = shared.hasher.hash_one(reader);
        let wanted = bytes.clamp(1, shared.share_max);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let share = {
            let mut readers = shared.readers();
            Arc::clone(readers.entry(reader).or_insert_with(|| Arc::new(Semaphore::new(shared.share_max))))
        };
        // Forgets the reader, if nobody else is at it, also when this is dropped while it waits.
        let mut answer = AnswerBytes { budget: Arc::clone(shared), reader, taken: None };
        let taking = async {
            let of_share = share.acquire_many_owned(wanted).await.map_err(|_| NoRoom)?;
            let of_all = Arc::clone(&shared.bytes).acquire_many_owned(wanted).await.map_err(|_| NoRoom)?;
            Ok((of_share, of_all))
        };
        match timeout(WAIT_MAX, taking).await {
            Ok(taken) => {
                answer.taken = Some(taken?);
                Ok(answer)
            }
            Err(_) => {
                metrics::counter!("watchbell_http_answers_refused_total").increment(1);
                Err(NoRoom)
            }
        }
    }

    /// Bytes that nobody has taken.
    pub fn left(&self) -> usize {
        self.0.bytes.available_permits()
    }
}

impl Shared {
    fn readers(&self) -> MutexGuard<'_, HashMap<u64, Arc<Semaphore>>> {
        // Nothing panics while it is held, and the map would still be a map.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswerBytes {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.taken.as_ref().map_or(0, |(_, of_all)| of_all.num_permits())
    }

    /// Whether they are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps so many, and gives the rest back.
    pub fn keep(&mut self, bytes: usize) {
        let rest = self.len().saturating_sub(bytes);
        if let Some((of_share, of_all)) = &mut self.taken {
            drop(of_share.split(rest));
            drop(of_all.split(rest));
        }
    }

    /// The answer in JSON. The bytes are given back when the client has taken it.
    pub fn json(mut self, answer: &impl Serialize) -> Response {
        // What handlers answer is objects, lists, numbers and texts, which always serialize.
        let bytes = Bytes::from(serde_json::to_vec(answer).unwrap_or_default());
        self.keep(bytes.len());
        let mut response = Response::new(Body::new(CountedBody { bytes, _taken: self }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        drop(self.taken.take());
        let mut readers = self.budget.readers();
        // Whoever holds or waits for some has the semaphore as well; one that only the map has is full again.
        if readers.get(&self.reader).is_some_and(|share| Arc::strong_count(share) == 1) {
            readers.remove(&self.reader);
        }
    }
}

/// A body that is handed over in pieces and holds what was taken for it until the last of them.
struct CountedBody {
    bytes: Bytes,
    _taken: AnswerBytes,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.bytes.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Whether somebody gets so many bytes, and what they got.
    async fn taken(budget: &AnswerBudget, reader: &str, bytes: usize) -> Option<AnswerBytes> {
        budget.take(&reader, bytes).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_gets_a_part_and_all_of_them_no_more_than_there_is() {
        let budget = AnswerBudget::new(400);
        let ana = taken(&budget, "ana", 60).await.unwrap();
        assert!(taken(&budget, "ana", 60).await.is_none(), "more than a quarter");
        let second = taken(&budget, "ana", 40).await.unwrap();
        let others: Vec<_> = [
            taken(&budget, "ben", 1_000).await.unwrap(),
            taken(&budget, "cem", 100).await.unwrap(),
            taken(&budget, "dora", 100).await.unwrap(),
        ]
        .into();
        assert_eq!(others[0].len(), 100, "no more than one reader may have, whatever is asked for");
        assert_eq!(budget.left(), 0);
        assert!(taken(&budget, "eve", 1).await.is_none(), "nothing is left");
        drop(ana);
        assert!(taken(&budget, "eve", 60).await.is_some(), "and now there is");
        drop((second, others));
        assert_eq!((budget.left(), budget.0.readers().len()), (400, 0), "nothing is kept of who is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_served_when_there_is_room_again() {
        let budget = AnswerBudget::new(400);
        let held = taken(&budget, "ana", 100).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(&"ana", 100).await.is_ok() }
        });
        tokio::time::advance(WAIT_MAX / 2).await;
        drop(held);
        assert!(waiting.await.unwrap());
        assert_eq!((budget.left(), budget.0.readers().len()), (400, 0));
    }

    #[tokio::test]
    async fn an_answer_holds_its_length_until_its_last_piece_is_taken() {
        let budget = AnswerBudget::new(4_000_000);
        let taken = budget.take(&"ana", 1_000_000).await.unwrap();
        let said = "x".repeat(100_000);
        let response = taken.json(&said);
        assert_eq!(4_000_000 - budget.left(), 100_002, "what was taken too much is given back at once");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let (_, body) = response.into_parts();
        assert_eq!(body.size_hint().exact(), Some(100_002));
        let whole = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(whole, format!("\"{said}\""));
        assert_eq!(budget.left(), 4_000_000);
        drop(budget.take(&"ana", 1_000_000).await.unwrap().json(&said));
        assert_eq!(budget.left(), 4_000_000, "a client that leaves gives it back");
    }
}
