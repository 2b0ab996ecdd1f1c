//! What a channel is given to send: a message, and for whom it is.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use watchbell::domain::{AttemptId, Device, Secret, Severity, Status, StopReason, UserKey};

/// Alerts one withdrawal may name. The rest is for the next one, or for the app when it is opened.
pub const WITHDRAWN_ALERTS_MAX: usize = 200;

/// One message to one recipient.
#[derive(Debug)]
pub struct Job<'a> {
    /// Kept on every retry of the same attempt (I6).
    pub attempt: AttemptId,
    /// Whom it is for.
    pub user: &'a UserKey,
    /// Where it goes.
    pub to: Recipient<'a>,
    /// What it says.
    pub message: Message,
    /// What the provider called the messages of this alert that this recipient may still see, oldest first: what is
    /// replaced, or taken away, where a channel does that by the message.
    pub shown: Vec<String>,
    /// The reader's language as a BCP 47 tag.
    pub locale: Option<&'a str>,
}

/// Where a message goes.
#[derive(Debug)]
pub enum Recipient<'a> {
    /// To one of the person's devices.
    Device(&'a Device),
    /// To an address.
    Address(Secret),
}

impl Recipient<'_> {
    /// What the provider knows the recipient by.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Device(device) => &device.token,
            Self::Address(address) => address,
        }
    }
}

/// What a message is to do.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every message shows an alert")]
pub enum Message {
    /// Show an alert, or replace the shown one with the same collapse key.
    Alert(AlertContent),
    /// Take away what is shown, or say in its place that it is over. Best effort: the inbox is the truth.
    Withdrawal(Withdrawal),
}

/// What is to be taken away.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The alerts, at most [`WITHDRAWN_ALERTS_MAX`].
    pub alerts: Vec<String>,
    /// The user's unread alerts without them.
    pub unread: u64,
    /// Why nobody needs to be told any more.
    pub because: StopReason,
    /// What the alert says now, where a message is replaced by another; none for a summary of several.
    pub content: Option<Box<AlertContent>>,
}

/// An alert as it leaves the house.
#[derive(Clone)]
pub struct AlertContent {
    /// The alert's id.
    pub alert: String,
    /// Whom it is for.
    pub user: String,
    /// Whose alert it is.
    pub tenant: String,
    /// One line that makes sense alone.
    pub title: String,
    /// More, for those who look.
    pub body: Option<String>,
    /// Where to read on.
    pub url: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// The producer's own fields.
    pub data: Map<String, Value>,
    /// The kind of alert; what a phone groups by.
    pub category: Option<String>,
    /// The same for every retry and every later version of this alert.
    pub collapse_key: String,
    /// After this the provider must not show it any more.
    pub expires_at: Timestamp,
    /// When the thing happened.
    pub occurred_at: Timestamp,
    /// The user's unread alerts, this one included: what the badge shows.
    pub unread: u64,
}

/// Names only: a title or a body in a log would be somebody's private matter (I12).
impl fmt::Debug for AlertContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertContent")
            .field("alert", &self.alert)
            .field("tenant", &self.tenant)
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}
