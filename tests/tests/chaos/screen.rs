//! A screen: one user's session that comes back with its cursor whenever its pod dies, and keeps what it was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell_tests::{session::Session, until::until};

use crate::{chance::Chance, plan::is_seen};

/// How long a screen may be without any pod.
const RECONNECT_DEADLINE: Duration = Duration::from_secs(90);

/// What a screen needs to connect, and how its person behaves.
#[derive(Debug, Clone)]
pub struct Screen {
    pub user: String,
    pub token: String,
    /// Of each pod.
    pub urls: Vec<String>,
    pub seed: u64,
    /// Whether its person looks at alerts here: on one screen of theirs.
    pub answers: bool,
    heard: Arc<Mutex<Heard>>,
}

/// Everything a screen was told, and what it shows for it.
#[derive(Debug, Default)]
pub struct Heard {
    cursor: Option<String>,
    pub connects: usize,
    /// The last change number.
    pub last: u64,
    /// The badge.
    pub unread: u64,
    /// By change number: which alert.
    pub changes: BTreeMap<u64, String>,
    /// By alert.
    pub shown: BTreeMap<String, Shown>,
    /// When this screen learned that an alert had been seen, or was over.
    pub over_at: BTreeMap<String, Timestamp>,
    /// What it was told against the protocol.
    pub faults: Vec<String>,
}

/// An alert on a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub seq: u64,
    pub version: u64,
    pub state: String,
}

impl Screen {
    pub fn new(user: &str, token: String, urls: Vec<String>, seed: u64, answers: bool) -> Self {
        Self { user: user.to_owned(), token, urls, seed, answers, heard: Arc::default() }
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    /// Stays connected until it is dropped.
    pub async fn watch(self) {
        let mut chance = Chance::of(self.seed);
        loop {
            let cursor = self.heard().cursor.clone();
            let opened = until("a pod takes the session", RECONNECT_DEADLINE, async || {
                let url = &self.urls[chance.below(self.urls.len())];
                Session::open(url, &self.token, cursor.as_deref()).await.ok()
            });
            let mut session = match opened.await {
                Ok(session) => session,
                Err(error) => return self.heard().faults.push(error.to_string()),
            };
            self.heard().greeted(&session.hello);
            // What was said before the pod died may not have been heard.
            let mut alive = self.say_seen(&mut session).await;
            while alive.is_ok() {
                alive = match session.next().await {
                    Ok(frame) => self.hear(&mut session, &frame).await,
                    Err(error) => Err(error),
                };
            }
        }
    }

    async fn hear(&self, session: &mut Session, frame: &Value) -> anyhow::Result<()> {
        self.heard().told(frame);
        match frame["type"] == "alert" && frame["state"] == "new" {
            true => self.say(session, frame["alert"]["id"].as_str().unwrap_or_default()).await,
            false => Ok(()),
        }
    }

    /// Again for all that still show as new: a receipt is said until it is confirmed.
    async fn say_seen(&self, session: &mut Session) -> anyhow::Result<()> {
        let new = |(alert, shown): (&String, &Shown)| (shown.state == "new").then(|| alert.clone());
        let new: Vec<String> = self.heard().shown.iter().filter_map(new).collect();
        for alert in new {
            self.say(session, &alert).await?;
        }
        Ok(())
    }

    async fn say(&self, session: &mut Session, alert: &str) -> anyhow::Result<()> {
        match self.answers && is_seen(self.seed, &self.user, alert) {
            true => session.say(&json!({"type": "receipt", "alerts": [alert], "state": "seen"})).await,
            false => Ok(()),
        }
    }
}

impl Heard {
    fn greeted(&mut self, hello: &Value) {
        self.connects += 1;
        if hello["resumed"] != self.cursor.is_some() {
            self.faults.push(format!("came back with {:?}, greeted with {hello}", self.cursor));
        }
        if self.cursor.is_none() {
            self.cursor = hello["cursor"].as_str().map(str::to_owned);
            self.unread = hello["unread"].as_u64().unwrap_or_default();
        }
    }

    fn told(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("alert") => {
                let seq = self.advance(frame);
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (alert, state) = (text(&frame["alert"]["id"]), text(&frame["state"]));
                let version = frame["alert"]["version"].as_u64().unwrap_or_default();
                let is_over = state != "new" || frame["alert"]["status"] == "resolved";
                self.changed(seq, &alert, is_over);
                self.shown.insert(alert, Shown { seq, version, state });
            }
            Some("receipt") => {
                let seq = self.advance(frame);
                for alert in frame["alerts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    let state = frame["state"].as_str().unwrap_or_default();
                    self.changed(seq, alert, state != "new");
                    match self.shown.get_mut(alert) {
                        Some(shown) => (shown.seq, shown.state) = (seq, state.to_owned()),
                        None => self.faults.push(format!("a receipt for {alert}, which is not shown")),
                    }
                }
            }
            // Nobody here is slow, away for long, or ahead of the store.
            _ => self.faults.push(format!("was told {frame}")),
        }
    }

    fn advance(&mut self, frame: &Value) -> u64 {
        let seq = frame["seq"].as_u64().unwrap_or_default();
        if seq <= self.last {
            self.faults.push(format!("after {}: {frame}", self.last));
        }
        self.last = seq;
        self.unread = frame["unread"].as_u64().unwrap_or_default();
        self.cursor = frame["cursor"].as_str().map(str::to_owned);
        seq
    }

    fn changed(&mut self, seq: u64, alert: &str, is_over: bool) {
        self.changes.insert(seq, alert.to_owned());
        if is_over {
            self.over_at.entry(alert.to_owned()).or_insert_with(Timestamp::now);
        }
    }
}
