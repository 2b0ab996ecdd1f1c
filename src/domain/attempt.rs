//! An attempt: one try on one channel (and device). Its row is written before the provider is called (I6)
//! and keeps its id through every retry, so that a duplicate replaces what is shown.

use uuid::Uuid;

use super::{Channel, DeviceId, Severity, Timestamp, alert::words};

/// The id a provider is given (`apns-id`, `Message-ID`).
pub type AttemptId = Uuid;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Kept through retries.
    pub id: AttemptId,
    /// To show, or to take away.
    pub kind: AttemptKind,
    /// The alert's version that opened this escalation; an older escalation's attempts do not count for this one.
    pub round: u32,
    /// Which of that version's escalations, from 0; more than one where a snooze ended.
    pub opening: u32,
    /// The policy's step it was made for.
    pub step: usize,
    /// By which channel.
    pub channel: Channel,
    /// To which device; none for the person's address.
    pub device: Option<DeviceId>,
    /// Where it stands.
    pub state: AttemptState,
    /// How often the provider was called.
    pub tries: u32,
    /// Not before then, for one that waits for its next try.
    pub next_try_at: Option<Timestamp>,
    /// Whether it may be shown now: accepted, or nobody knows. What certainly is not there needs no withdrawal.
    pub maybe_shown: bool,
    /// What the provider said last.
    pub reason: Option<String>,
    /// How bad the alert was that it told of last; none in what was written before that was noted.
    pub severity: Option<Severity>,
    /// What the provider calls the message, once it took it: where one is replaced or taken away by that.
    pub message_id: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
    /// When the last answer came.
    pub answered_at: Option<Timestamp>,
    /// When the device said that it has the push. None where it did not, which proves nothing: not every app says so.
    pub reached_at: Option<Timestamp>,
    /// Whether the device said that Google had lowered the priority of the push, so that it may have come late.
    pub priority_lowered: bool,
}

/// How the reason of an attempt begins that waits because its provider is in trouble, or refuses our configuration: it
/// may take long, and a mandatory alert goes on by its next channel ([`Attempt::is_put_off`]). Written with the answer
/// and read in decisions, so it stays as it is.
pub const PUT_OFF: &str = "put off: ";

impl Attempt {
    /// How bad an alert it told the person of, if it did or may have: a provider took it, or nobody knows.
    pub fn told(&self) -> Option<Severity> {
        let may_have =
            matches!(self.state, AttemptState::Accepted | AttemptState::Pending) || self.maybe_shown;
        // Of one that does not say it, the least: one is told once too often rather than once too rarely.
        (self.kind == AttemptKind::Alert && may_have).then(|| self.severity.unwrap_or(Severity::Info))
    }

    /// Whether it waits for a provider that is in trouble, rather than for its own next try.
    pub fn is_put_off(&self) -> bool {
        let is_marked = self.reason.as_ref().is_some_and(|reason| reason.starts_with(PUT_OFF));
        self.state == AttemptState::Retrying && is_marked
    }
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptKind {
    /// To show the alert.
    Alert,
    /// To take away what is shown.
    Withdrawal,
}

/// Where an attempt stands. `Accepted` and `Failed` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptState {
    /// Written; the provider may or may not have been called.
    Pending,
    /// The provider asked us to come back, or could not be reached.
    Retrying,
    /// The provider took it. That is not "shown", and not "seen".
    Accepted,
    /// It will not be tried again.
    Failed,
}

words!(AttemptKind { Alert = "alert", Withdrawal = "withdrawal" });
words!(AttemptState {
    Pending = "pending",
    Retrying = "retrying",
    Accepted = "accepted",
    Failed = "failed",
});

impl AttemptState {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Failed)
    }
}
