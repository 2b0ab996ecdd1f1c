//! Batches of alerts: what is recorded, with whom it is for, and what became of it.

use std::sync::Arc;

use super::key_rows::UserAlertRow;
use crate::domain::{
    Acknowledgement, Alert, Answered, GroupRule, InboxState, Seq, Timestamp, UserId,
    publication::{Meets, Publication},
};

/// One alert with the people it goes to, at most [`super::ROWS_PER_COMMIT_MAX`] rows a call in all.
#[derive(Debug, Clone)]
pub struct NewAlert {
    /// What decides.
    pub alert: Arc<Alert>,
    /// What clients are given, encoded.
    pub content: Arc<str>,
    /// Whom it is for, each once.
    pub recipients: Vec<UserId>,
    /// The policy's name.
    pub policy: Arc<str>,
    /// What an act of one recipient does for the others.
    pub group: GroupRule,
    /// When the policy's first step is due; none for a policy without steps.
    pub first_due_at: Option<Timestamp>,
    /// When it is due for somebody without a session anywhere; the same when none.
    pub absent_due_at: Option<Timestamp>,
    /// When nobody is told any more.
    pub expires_at: Timestamp,
    /// Whether it fires again by itself because its `dismissed_until` has passed: the timeline says so.
    pub returns: bool,
    /// What is left of a large audience, for whoever takes the next turn: [`super::Store::claim_expansion`].
    pub rest: Option<Rest>,
    /// What is compared with what is recorded; none for more people of an alert that was compared before.
    pub publication: Option<Publication>,
    /// The trace that it belongs to, as `TraceContext::stored` writes it; only of one that is sampled.
    pub trace: Option<Arc<str>>,
}

/// What is left of an audience when an alert is recorded for the first of its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The alert as published, with its audience.
    pub published: Arc<str>,
    /// Where the people begin who are left.
    pub next_page: String,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBatch {
    /// The rows of its recipients, in the order of the batch. An alert that was refused has none.
    pub rows: Vec<RecordedRow>,
    /// How each of its alerts met what was recorded.
    pub met: Vec<Meets>,
}

/// What became of one alert for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRow {
    /// Which alert: its place in the batch.
    pub alert: usize,
    /// Whose inbox.
    pub user: UserId,
    /// The change number it stands under.
    pub seq: Seq,
    /// The user's badge.
    pub unread: u64,
    /// What the user did with it.
    pub state: InboxState,
    /// Until when it is snoozed; only then.
    pub until: Option<Timestamp>,
    /// What they answered, if they did.
    pub answer: Option<Answered>,
    /// Who has it, where it is to be acknowledged.
    pub acknowledgement: Option<Acknowledgement>,
    /// The version their inbox holds: a later one than the batch's when that came too late.
    pub version: u32,
    /// What clients are given of that version; of two contents of one version, the one that came first.
    pub content: Arc<str>,
    /// False when it was there before: published twice, or delivered twice.
    pub changed: bool,
}

/// The keys of the rows of a batch.
pub(super) fn keys_of<'a>(
    batch: impl IntoIterator<Item = &'a NewAlert>,
) -> impl Iterator<Item = UserAlertRow<'a>> {
    batch.into_iter().flat_map(|new| {
        new.recipients.iter().map(|user| UserAlertRow {
            tenant: new.alert.tenant.as_str(),
            user_id: user.as_str(),
            alert_id: new.alert.id.as_str(),
        })
    })
}
