//! What a channel is given to send: a message, and for whom it is.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};
use watchbell::domain::{
    AttemptId, BodyFormat, Device, Secret, Severity, Status, StopReason, UserKey, markdown,
};

/// Alerts that one withdrawal may name. The others are for the next one, or for the app when it is opened.
pub const WITHDRAWN_ALERTS_MAX: usize = 200;

/// One message to one recipient.
#[derive(Debug)]
pub struct Job<'a> {
    /// Kept on every retry of the same attempt (I6).
    pub attempt: AttemptId,
    /// The person it is for.
    pub user: &'a UserKey,
    /// Where it goes.
    pub to: Recipient<'a>,
    /// What it says.
    pub message: Message,
    /// The provider's ids of the messages about this alert that the recipient may still see, oldest first. A channel that
    /// replaces or withdraws messages by their ids uses them.
    pub shown: Vec<String>,
    /// The reader's language as a BCP 47 tag.
    pub locale: Option<&'a str>,
    /// The zone of the reader's days, if they have said one.
    pub zone: Option<TimeZone>,
    /// Where they acknowledge the alert without a login, by a POST. None of a summary, and where links cannot be signed.
    pub acknowledge_at: Option<String>,
    /// What a device says with that it has the message. Only of an alert's push, and where such tokens can be signed.
    pub receipt: Option<Secret>,
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

/// What a message does.
#[derive(Debug, Clone)]
pub enum Message {
    /// Show an alert, or replace the shown one with the same collapse key.
    Alert(AlertContent),
    /// Take away what is shown, or say in its place that it is over. It may fail: the inbox is the truth.
    Withdrawal(Withdrawal),
    /// Change what a Live Activity shows. Of Apple's devices only.
    Activity(ActivityMessage),
}

/// What a Live Activity is told.
#[derive(Debug, Clone)]
pub struct ActivityMessage {
    /// What it does.
    pub event: ActivityEvent,
    /// What the alert says now; none where it is gone, which only an end can be about.
    pub content: Option<AlertContent>,
    /// The alert's version.
    pub version: u32,
    /// When this was decided: a device leaves out what is older than what it shows.
    pub decided_at: Timestamp,
    /// The broadcast channel that it listens to from its start on; none: the app is given a token of its own.
    pub channel: Option<String>,
}

/// What a Live Activity does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivityEvent {
    /// It appears, with a notification of its own that makes no sound.
    Start,
    /// It shows something else.
    Update {
        /// Whether it is worth waking the device for.
        is_urgent: bool,
    },
    /// It goes.
    End {
        /// Whether it shows its end for a while.
        stays: bool,
    },
}

/// What is taken away.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The alerts, at most [`WITHDRAWN_ALERTS_MAX`].
    pub alerts: Vec<String>,
    /// The user's unread alerts without them.
    pub unread: u64,
    /// Why nobody needs to be told any more.
    pub because: StopReason,
    /// What the alert says now, where a message is replaced by another. `None` for a summary of several alerts.
    pub content: Option<Box<AlertContent>>,
}

/// An alert as it is given to a provider.
#[derive(Clone)]
pub struct AlertContent {
    /// The alert's id.
    pub alert: String,
    /// The user it is for.
    pub user: String,
    /// The tenant that it belongs to.
    pub tenant: String,
    /// One line, which can be read alone.
    pub title: String,
    /// The text below the title.
    pub body: Option<String>,
    /// How the body is written. Only those channels that have markup, or pass the alert on as it is, get other than text.
    pub body_format: BodyFormat,
    /// A link to more.
    pub url: Option<String>,
    /// A picture, at an https address.
    pub image: Option<String>,
    /// Its buttons.
    pub actions: Vec<Button>,
    /// Where the person of this message answers without a login: an action's `id` goes there as the query's `action`, by a POST.
    /// None where no action answers, and where links cannot be signed.
    pub answers_at: Option<String>,
    /// Whether it goes out whatever the person turned off.
    pub is_mandatory: bool,
    /// Whether this message asks the person to take the alert on (`first_acknowledges`), by a button of its own among the alert's.
    pub is_to_acknowledge: bool,
    /// How bad it is.
    pub severity: Severity,
    /// Whether the trouble goes on.
    pub status: Status,
    /// The producer's own fields.
    pub data: Map<String, Value>,
    /// The kind of alert; what a phone groups by.
    pub category: Option<String>,
    /// The same for every retry and every later version of this alert.
    pub collapse_key: String,
    /// What lists group by.
    pub group_key: Option<String>,
    /// The provider must not show it after this time.
    pub expires_at: Timestamp,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The user's unread alerts, this one included: what the badge shows.
    pub unread: u64,
}

/// The id of the button that takes an alert on. A producer's own has no `~`.
pub const ACKNOWLEDGE: &str = "~acknowledge";

/// A button of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// The id of the action.
    pub id: String,
    /// What stands on it.
    pub title: String,
    /// Where it leads. Of one that answers: to a page that asks for the answer; none where links cannot be signed.
    pub link: Option<String>,
    /// What it tells the producer, if it answers.
    pub answer: Option<String>,
}

/// What a channel makes of the Markdown in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkdownUse {
    /// It renders it, or passes it on as it is.
    Kept,
    /// It takes the marks out; a link keeps its address behind its text.
    TakenOut,
    /// The same without the addresses of links: nobody follows them there, and there is little room.
    TakenOutWithAddresses,
}

impl MarkdownUse {
    /// The alert with its body as the channel takes it.
    #[must_use]
    pub fn applied(self, alert: AlertContent) -> AlertContent {
        let plain = match (alert.body_format, self) {
            (BodyFormat::Text, _) | (_, Self::Kept) => return alert,
            (BodyFormat::Markdown, Self::TakenOut) => markdown::plain,
            (BodyFormat::Markdown, Self::TakenOutWithAddresses) => markdown::plain_without_addresses,
        };
        AlertContent { body: alert.body.as_deref().map(plain), body_format: BodyFormat::Text, ..alert }
    }
}

/// Ids only: a title or a body does not belong in a log (I12).
impl fmt::Debug for AlertContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertContent")
            .field("alert", &self.alert)
            .field("tenant", &self.tenant)
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}
