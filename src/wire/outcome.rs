//! What producers are told of their alerts: one message an outcome, the same over AMQP and in a webhook.

use serde::{Deserialize, Serialize};

use crate::domain::Outcome;

/// The body of a message of `watchbell.outcomes`, and of a webhook. Fields may be added; unknown ones are to be ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeV1 {
    /// The same whenever the same is told again: what a reader deduplicates by.
    pub id: String,
    /// Whose alert it is.
    pub tenant: String,
    /// Which alert.
    pub alert: String,
    /// The version that was in the person's inbox then.
    pub version: u32,
    /// For whom.
    pub user: String,
    /// What became of it, in one word.
    pub outcome: String,
    /// By which channel, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Why it bounced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the attempt, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// Who has acknowledged it: `user:NAME`, `key:ID` of an API key, or `amqp`, where nobody says who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Until when it is snoozed, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The id of the button that was pressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What stood on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When it happened, in RFC 3339.
    pub at: String,
}

impl OutcomeV1 {
    /// An outcome as it is told.
    pub fn new(outcome: &Outcome) -> Self {
        let answer = outcome.answer.as_ref();
        Self {
            id: outcome.id.to_string(),
            tenant: outcome.user.tenant.to_string(),
            alert: outcome.alert.to_string(),
            version: outcome.version,
            user: outcome.user.user.as_str().to_owned(),
            outcome: outcome.kind.to_string(),
            channel: outcome.channel.clone(),
            reason: outcome.reason.clone(),
            attempt: outcome.attempt.map(|attempt| attempt.to_string()),
            by: outcome.by.as_ref().map(ToString::to_string),
            until: outcome.until.map(|until| until.to_string()),
            action: answer.map(|answer| answer.action.clone()),
            title: answer.map(|answer| answer.title.clone()),
            answer: answer.map(|answer| answer.text.clone()),
            at: outcome.at.to_string(),
        }
    }

    /// The message body.
    pub fn encode(&self) -> Vec<u8> {
        // Text and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
