//! A broadcast channel of Apple's: what an alert for everyone says is sent to it once, and each Live Activity that listens shows it.
//!
//! What holds here:
//! - [`next_channel_move`] decides and does nothing: it is given what the channel was told, and what the alert says now.
//! - A channel is made when the first activity wants it, told what is new, ended with its alert, and deleted some time after that.
//! - Whoever began to listen late is told once more, and so is whoever began after the end.
//!
//! What one person does is not broadcast: it ends the activities of nobody else.
//!
//! Source: "Sending channel management requests to APNs",
//! <https://developer.apple.com/documentation/usernotifications/sending-channel-management-requests-to-apns>.

use std::time::Duration;

use super::{
    Severity, Timestamp,
    live_activity::{AlertNow, Ending},
};

/// How long Apple keeps what it sends to a channel for a device that is off, at the most. A channel is deleted that long after its end,
/// so that such a device hears it; an app has 10,000 channels in each environment (the page above).
pub const BROADCAST_KEPT_MAX: Duration = Duration::from_secs(8 * 60 * 60);

/// A channel, as far as the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BroadcastChannel {
    /// Whether Apple has made it.
    pub is_made: bool,
    /// The version that was sent to it last, and how bad that is.
    pub told: Option<(u32, Severity)>,
    /// Whether an activity began to listen with something older.
    pub has_missed: bool,
    /// When its activities were ended.
    pub ended_at: Option<Timestamp>,
}

/// What to do about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMove {
    /// Have Apple make it.
    Make,
    /// Tell all who listen what the alert says now.
    Update {
        /// Whether it is worse than what was told before.
        is_urgent: bool,
    },
    /// Take their activities away.
    End(Ending),
    /// Have Apple delete it.
    Delete,
    /// Nothing, until then or until something changes.
    Wait(Timestamp),
    /// Apple has none, and nobody needs one any more.
    Forget,
}

/// The next thing to do about a channel; `alert` is none when it is gone. Does nothing itself: no clock, no I/O.
pub fn next_channel_move(
    channel: &BroadcastChannel,
    alert: Option<&AlertNow>,
    now: Timestamp,
) -> ChannelMove {
    let ending = alert.map_or(Ending::AlertGone, |alert| alert.over.map_or(Ending::AlertGone, Ending::Over));
    if let Some(ended_at) = channel.ended_at {
        let deleted_at = ended_at + BROADCAST_KEPT_MAX;
        return match channel.has_missed {
            // An alert that fires again has another channel by now.
            true => ChannelMove::End(ending),
            false if deleted_at <= now => ChannelMove::Delete,
            false => ChannelMove::Wait(deleted_at),
        };
    }
    let Some(alert) = alert.filter(|alert| alert.over.is_none()) else {
        return if channel.is_made { ChannelMove::End(ending) } else { ChannelMove::Forget };
    };
    if !channel.is_made {
        return ChannelMove::Make;
    }
    let is_told = channel.told.is_some_and(|(version, _)| version >= alert.version);
    if is_told && !channel.has_missed {
        return ChannelMove::Wait(alert.expires_at);
    }
    let is_urgent = channel.told.is_none_or(|(_, severity)| alert.severity > severity);
    ChannelMove::Update { is_urgent }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::StopReason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The table is the specification. Each row says why it is there.
    #[test]
    fn a_channel_is_made_told_ended_and_deleted() {
        let wanted = BroadcastChannel { is_made: false, told: None, has_missed: false, ended_at: None };
        let made = BroadcastChannel { is_made: true, told: Some((1, Severity::Warning)), ..wanted };
        let missed = |channel: BroadcastChannel| BroadcastChannel { has_missed: true, ..channel };
        let ended = BroadcastChannel { ended_at: Some(at(100)), ..made };
        let firing = AlertNow { version: 1, severity: Severity::Warning, over: None, expires_at: at(3_600) };
        let later = AlertNow { version: 2, ..firing };
        let worse = AlertNow { severity: Severity::Critical, ..later };
        let over = AlertNow { over: Some(StopReason::Resolved), ..later };
        let (calm, urgent) =
            (ChannelMove::Update { is_urgent: false }, ChannelMove::Update { is_urgent: true });
        let end = ChannelMove::End(Ending::Over(StopReason::Resolved));
        let gone = ChannelMove::End(Ending::AlertGone);
        let deleted_at = at(100 + 8 * 3_600);
        for (why, channel, alert, now, expected) in [
            ("it is wanted", wanted, Some(firing), at(1), ChannelMove::Make),
            ("over before it was made", wanted, Some(over), at(1), ChannelMove::Forget),
            ("deleted before it was made", wanted, None, at(1), ChannelMove::Forget),
            ("nothing is new", made, Some(firing), at(1), ChannelMove::Wait(at(3_600))),
            ("a later version", made, Some(later), at(1), calm),
            ("worse", made, Some(worse), at(1), urgent),
            (
                "what it was told is not known",
                BroadcastChannel { told: None, ..made },
                Some(firing),
                at(1),
                urgent,
            ),
            ("somebody began to listen late", missed(made), Some(firing), at(1), calm),
            ("resolved", made, Some(over), at(1), end),
            ("the alert was deleted", made, None, at(1), gone),
            (
                "its last word may still be delivered",
                ended,
                Some(over),
                at(101),
                ChannelMove::Wait(deleted_at),
            ),
            ("somebody began to listen after the end", missed(ended), Some(over), at(101), end),
            (
                "the same, and the alert fires again by another channel",
                missed(ended),
                Some(firing),
                at(101),
                gone,
            ),
            ("nobody waits for it any more", ended, Some(over), deleted_at, ChannelMove::Delete),
            ("the same, whatever the alert does", ended, Some(firing), deleted_at, ChannelMove::Delete),
            ("the same, without an alert", ended, None, deleted_at, ChannelMove::Delete),
        ] {
            assert_eq!(next_channel_move(&channel, alert.as_ref(), now), expected, "{why}");
        }
    }
}
