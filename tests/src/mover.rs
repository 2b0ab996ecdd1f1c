//! A client that moves as the browser client does: it keeps its session until the next one stands (make before break).
//!
//! It counts what a person would notice, and what a balancer or pod did that it should not have: see [`Noticed`].

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{
    chance::Chance,
    client::{Asks, Client, Transport},
    session::{Frames as _, is_change},
};

/// When nothing is planned.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);
/// The wait after somebody refused.
const COME_BACK: Duration = Duration::from_millis(200);
/// What two connections may have said that was not looked at yet.
const HEARD_MAX: usize = 64;

/// What one session is followed for. Dropped, it goes away.
pub struct Mover {
    /// Over what.
    pub transport: Transport,
    noticed: Arc<Mutex<Noticed>>,
    task: JoinHandle<()>,
}

/// What became of a session until now.
#[derive(Debug, Clone, Default)]
pub struct Noticed {
    /// Whether a session stands.
    pub stands: bool,
    /// The number of the last change it was told.
    pub seq: u64,
    /// Changes it was told.
    pub changes: u64,
    /// How often it was asked to move, and did.
    pub moves: u64,
    /// Why it was asked to, each time.
    pub reasons: Vec<String>,
    /// Dials that nobody took: a status, a close before the greeting, no connection.
    pub refused: Vec<String>,
    /// Sessions that ended while no successor stood.
    pub interrupted: Vec<String>,
    /// Changes that were left out or told twice, and whatever else is against the protocol.
    pub faults: Vec<String>,
}

impl Mover {
    /// Begins at `url` (`http://host:port`), and goes there again each time it is asked to move. `seed` decides when within
    /// a window.
    pub fn start(transport: Transport, url: String, asks: Asks, seed: u64) -> Self {
        let noticed = Arc::default();
        let (says, heard) = mpsc::channel(HEARD_MAX);
        let moving = Moving {
            transport,
            url,
            asks,
            chance: Chance::of(seed),
            noticed: Arc::clone(&noticed),
            says,
            current: None,
            next: None,
            links: 0,
            move_at: Some(Instant::now()),
        };
        Self { transport, noticed, task: tokio::spawn(moving.follow(heard)) }
    }

    /// What became of it until now.
    pub fn noticed(&self) -> Noticed {
        locked(&self.noticed).clone()
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. Dropped, it is closed.
struct Link {
    id: u64,
    /// Up to here what it tells may have been told by the one before.
    told_to: u64,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection says.
enum Said {
    /// It stands; the greeting, or nothing where a poll goes on.
    Stands(Value),
    Frame(Value),
    Refused(String),
    Ended(String),
}

struct Moving {
    transport: Transport,
    url: String,
    asks: Asks,
    chance: Chance,
    noticed: Arc<Mutex<Noticed>>,
    says: mpsc::Sender<(u64, Said)>,
    current: Option<Link>,
    next: Option<Link>,
    links: u64,
    /// When the next connection is dialed.
    move_at: Option<Instant>,
}

impl Moving {
    async fn follow(mut self, mut heard: mpsc::Receiver<(u64, Said)>) {
        loop {
            let wake_at = self.move_at.filter(|_| self.next.is_none());
            match timeout_at(wake_at.unwrap_or_else(|| Instant::now() + FAR), heard.recv()).await {
                Ok(Some((link, said))) => self.hear(link, said),
                Ok(None) => return,
                Err(_) => self.dial(),
            }
        }
    }

    fn dial(&mut self) {
        self.links += 1;
        self.move_at = None;
        let (id, transport, says) = (self.links, self.transport, self.says.clone());
        let (url, asks) = (self.url.clone(), self.asks.clone());
        let task = tokio::spawn(async move {
            let mut client = match Client::open(transport, &url, &asks).await {
                Ok(client) => client,
                Err(error) => return drop(says.send((id, Said::Refused(format!("{error:#}")))).await),
            };
            if says.send((id, Said::Stands(client.hello().clone()))).await.is_err() {
                return;
            }
            loop {
                let said = match client.next().await {
                    Ok(frame) => Said::Frame(frame),
                    Err(error) => Said::Ended(format!("{error:#}")),
                };
                let is_over = matches!(said, Said::Ended(_));
                if says.send((id, said)).await.is_err() || is_over {
                    return;
                }
            }
        });
        self.next = Some(Link { id, told_to: 0, task });
    }

    fn hear(&mut self, id: u64, said: Said) {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.id == id);
        let (is_current, is_next) = (is(&self.current), is(&self.next));
        match said {
            Said::Stands(hello) if is_next => self.stands(&hello),
            Said::Frame(frame) if is_current => self.frame(&frame),
            Said::Refused(why) if is_next => {
                self.next = None;
                locked(&self.noticed).refused.push(why);
                self.move_at = Some(Instant::now() + COME_BACK);
            }
            Said::Ended(why) if is_current => {
                self.current = None;
                let mut noticed = locked(&self.noticed);
                noticed.stands = false;
                noticed.interrupted.push(why);
                drop(noticed);
                self.move_at = Some(Instant::now());
            }
            // Of a connection that was let go.
            _ => {}
        }
    }

    fn stands(&mut self, hello: &Value) {
        let Some(mut link) = self.next.take() else { return };
        let head = hello["seq"].as_u64().unwrap_or_default();
        let mut noticed = locked(&self.noticed);
        noticed.stands = true;
        // Both were there for a moment, so what came meanwhile came over both.
        link.told_to = head.max(noticed.seq);
        if self.asks.cursor.is_none() {
            self.asks.cursor = hello["cursor"].as_str().map(str::to_owned);
            noticed.seq = head;
        } else if !hello.is_null() && hello["resumed"] != true {
            noticed.faults.push(format!("came back with a cursor, greeted with {hello}"));
        }
        noticed.moves += u64::from(self.current.is_some());
        // Only now the one before is let go.
        self.current = Some(link);
    }

    fn frame(&mut self, frame: &Value) {
        let mut noticed = locked(&self.noticed);
        if frame["type"] == "goaway" {
            let millis = |field: &str| frame[field].as_u64().unwrap_or_default();
            let part = self.chance.below(1_000) as f64 / 1_000.0;
            let wait = Duration::from_millis(millis("after_ms"))
                + Duration::from_millis(millis("within_ms")).mul_f64(part);
            self.move_at = Some(Instant::now() + wait);
            noticed.reasons.push(frame["reason"].as_str().unwrap_or_default().to_owned());
            return;
        }
        if !is_change(frame) {
            noticed.faults.push(format!("was told {frame}"));
            return;
        }
        let told_to = self.current.as_ref().map_or(0, |link| link.told_to);
        let seq = frame["seq"].as_u64().unwrap_or_default();
        if seq <= noticed.seq && seq <= told_to {
            return; // The connection before has told it.
        }
        if seq != noticed.seq + 1 {
            let last = noticed.seq;
            noticed.faults.push(format!("after {last}: {frame}"));
        }
        noticed.seq = seq;
        noticed.changes += 1;
        self.asks.cursor = frame["cursor"].as_str().map(str::to_owned);
    }
}

fn locked(noticed: &Mutex<Noticed>) -> MutexGuard<'_, Noticed> {
    noticed.lock().unwrap_or_else(PoisonError::into_inner)
}
