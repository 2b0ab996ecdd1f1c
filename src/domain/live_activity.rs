//! A Live Activity: an alert on the lock screen of an Apple device, which changes as the alert does and goes when nobody needs to look.
//!
//! What holds here:
//! - [`next_move`] decides and does nothing: it is given what the phone was told, and what the alert says now.
//! - What is over is never started, and ends wherever it was started (I5). An end needs no permission of quiet hours or preferences.
//! - A phone that was told nothing is told nothing of the end either.
//! - One that listens to the broadcast channel of its alert is started, and told nothing by itself any more: that is done by
//!   [`super::broadcast_channel`].
//!
//! Source: "Starting and updating Live Activities with ActivityKit push notifications",
//! <https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications>.

use std::time::Duration;

use super::{InboxState, Severity, Status, StopReason, Timestamp};

/// Activities that one person has at once, on all devices. A system shows fewer.
pub const ACTIVITIES_PER_USER_MAX: usize = 100;
/// How long a system keeps an activity: active for eight hours, and on the lock screen for four more.
/// <https://developer.apple.com/documentation/activitykit/displaying-live-data-with-live-activities>
pub const ACTIVITY_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How long an activity waits for the channel that it is to listen to. Then it does without.
pub const CHANNEL_WAIT_MAX: Duration = Duration::from_secs(30);
/// When it looks again whether the channel is there.
const CHANNEL_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How an activity that is not started yet will hear of what changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// By a token of its own, which the app registers.
    ByToken,
    /// By the broadcast channel of its alert, which Apple has not made yet.
    ByComingChannel,
    /// By the broadcast channel of its alert.
    ByChannel,
}

/// An activity of one alert on one device, as far as the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// When it was wanted, or registered.
    pub begun_at: Timestamp,
    /// Whether Apple accepted its start, or the app registered its token.
    pub is_started: bool,
    /// Whether the app registered its own token, by which it is updated and ended.
    pub has_token: bool,
    /// Whether its device is still the person's.
    pub has_device: bool,
    /// Whether the device has a token to start activities with.
    pub can_start: bool,
    /// The version that it shows, and how bad that is.
    pub told: Option<(u32, Severity)>,
    /// How it will hear of what changes, while it is not started.
    pub hears: Hears,
}

/// What the alert says to its person now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertNow {
    /// Its version.
    pub version: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Why nobody needs to look at it any more, if so.
    pub over: Option<StopReason>,
    /// When nobody does.
    pub expires_at: Timestamp,
}

/// What to do about an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Have the device start it.
    Start {
        /// Whether it listens to the channel of its alert.
        listens: bool,
    },
    /// Tell it what the alert says now.
    Update {
        /// Whether it is worse than what it shows, or nobody knows what it shows.
        is_urgent: bool,
    },
    /// Take it away.
    End(Ending),
    /// Nothing, until then or until something changes.
    Wait(Timestamp),
    /// Nothing is on the phone, or nothing can be done about it any more.
    Forget,
}

/// Why an activity ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nobody needs to look at the alert any more.
    Over(StopReason),
    /// The alert was deleted, or is not the person's any more.
    AlertGone,
    /// The device is not the person's any more.
    DeviceGone,
}

/// What happened, as the timeline says it after `ended: `.
impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Over(reason) => reason.fmt(f),
            Self::AlertGone => f.write_str("the alert was deleted"),
            Self::DeviceGone => f.write_str("the device was taken out"),
        }
    }
}

/// Why nobody needs to look at an alert any more: what ended its escalation, what its person did, what its producer says, or its time.
pub fn over(
    stopped: Option<StopReason>,
    state: InboxState,
    status: Status,
    expires_at: Timestamp,
    now: Timestamp,
) -> Option<StopReason> {
    let said = match status {
        Status::Firing => None,
        Status::Acknowledged => Some(StopReason::Acknowledged),
        Status::Suppressed => Some(StopReason::Suppressed),
        Status::Resolved => Some(StopReason::Resolved),
    };
    let seen = (state != InboxState::New).then_some(StopReason::Seen);
    let expired = (expires_at <= now).then_some(StopReason::Expired);
    // That every channel was used does not mean that anybody looked.
    said.or(stopped.filter(|reason| *reason != StopReason::Exhausted)).or(seen).or(expired)
}

/// The next thing to do about an activity; `alert` is none when it is gone. Does nothing itself: no clock, no I/O.
pub fn next_move(activity: &Activity, alert: Option<&AlertNow>, now: Timestamp) -> Move {
    let ends_at = activity.begun_at + ACTIVITY_LIFETIME;
    if ends_at <= now {
        return Move::Forget;
    }
    let ending = match alert {
        _ if !activity.has_device => Some(Ending::DeviceGone),
        None => Some(Ending::AlertGone),
        Some(alert) => alert.over.map(Ending::Over),
    };
    match (ending, alert) {
        (Some(_), _) | (None, None) if !activity.is_started => Move::Forget,
        (Some(ending), _) if activity.has_token => Move::End(ending),
        // Nobody registers a token for a device that is gone.
        (Some(Ending::DeviceGone), _) | (None, None) => Move::Forget,
        // The app may register its token late; then it ends.
        (Some(_), _) => Move::Wait(ends_at),
        (None, Some(_)) if !activity.is_started && !activity.can_start => Move::Forget,
        (None, Some(_)) if !activity.is_started => match activity.hears {
            Hears::ByComingChannel if now < activity.begun_at + CHANNEL_WAIT_MAX => {
                Move::Wait(now + CHANNEL_LOOK_EVERY)
            }
            Hears::ByComingChannel | Hears::ByToken => Move::Start { listens: false },
            Hears::ByChannel => Move::Start { listens: true },
        },
        (None, Some(alert)) => {
            let is_told = activity.told.is_some_and(|(version, _)| version >= alert.version);
            if !activity.has_token || is_told {
                return Move::Wait(alert.expires_at.min(ends_at));
            }
            let is_urgent = activity.told.is_none_or(|(_, severity)| alert.severity > severity);
            Move::Update { is_urgent }
        }
    }
}

#[cfg(test)]
#[path = "live_activity_tests.rs"]
mod tests;
