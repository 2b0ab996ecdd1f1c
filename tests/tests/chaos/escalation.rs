//! What happened to one alert for one user, read from the timeline that producers are given.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

/// After so many kills during one push, the email no longer waits for it.
const CUT_OFF_MAX: usize = 3;

/// One recipient of `GET /v1/alerts/{id}/timeline`.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub alert: String,
    pub user: String,
    pub state: String,
    /// The version shown.
    pub version: u32,
    pub stopped: Option<String>,
    /// Whether somebody will look at it again.
    pub is_due: bool,
    pub attempts: Vec<Begun>,
    /// How often each kind of attempt (`push alert`, `email alert`, `push withdrawal`) was accepted.
    accepted: BTreeMap<String, usize>,
    /// Everything the timeline says of it, for the person who reads a failure.
    pub story: Vec<String>,
}

/// An attempt as the timeline has it.
#[derive(Debug, Clone)]
pub struct Begun {
    pub kind: String,
    pub id: String,
    pub at: Timestamp,
}

impl Escalation {
    /// Every recipient's escalation.
    pub fn all_of(alert: &str, timeline: &Value) -> anyhow::Result<Vec<Self>> {
        let recipients = timeline["recipients"].as_array().context("no recipients")?;
        recipients.iter().map(|recipient| Self::of(alert, recipient)).collect()
    }

    fn of(alert: &str, recipient: &Value) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut escalation = Self {
            alert: alert.to_owned(),
            user: text(&recipient["user"]).context("user")?,
            state: text(&recipient["state"]).context("state")?,
            version: 0,
            stopped: text(&recipient["stopped"]),
            is_due: !recipient["due_at"].is_null(),
            attempts: Vec::new(),
            accepted: BTreeMap::new(),
            story: Vec::new(),
        };
        for entry in recipient["entries"].as_array().into_iter().flatten() {
            let what = entry["what"].as_str().context("what")?;
            let at = entry["at"].as_str().context("at")?;
            escalation.read(what, at.parse()?);
            escalation.story.push(format!("{at} {what}"));
        }
        Ok(escalation)
    }

    /// `recorded in the inbox; version 2 is shown`, `push alert to ana-phone: attempt 0198… begun`,
    /// `email alert: accepted by the provider: 250 …`.
    fn read(&mut self, what: &str, at: Timestamp) {
        if let Some(version) = what.strip_prefix("recorded in the inbox; version ") {
            self.version = version.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        }
        let Some((who, said)) = what.split_once(": ") else { return };
        let kind: String = who.split(' ').take(2).collect::<Vec<_>>().join(" ");
        if let Some(id) = said.strip_prefix("attempt ").and_then(|said| said.strip_suffix(" begun")) {
            self.attempts.push(Begun { kind, id: id.to_owned(), at });
        } else if said.starts_with("accepted by the provider") {
            *self.accepted.entry(kind).or_default() += 1;
        }
    }

    /// Whether kills cut the push off so often that the email was sent without waiting for it.
    pub fn was_cut_off(&self, kills: &[Timestamp]) -> bool {
        let begun = |kind: &str| self.attempts.iter().find(|attempt| attempt.kind == kind);
        let (Some(push), Some(email)) = (begun("push alert"), begun("email alert")) else { return false };
        let between = kills.iter().filter(|kill| push.at <= **kill && **kill <= email.at).count();
        self.accepted("push alert") == 0 && between >= CUT_OFF_MAX
    }

    pub fn begun(&self, kind: &str) -> usize {
        self.attempts.iter().filter(|attempt| attempt.kind == kind).count()
    }

    pub fn accepted(&self, kind: &str) -> usize {
        self.accepted.get(kind).copied().unwrap_or_default()
    }
}
