//! Restraint: what keeps ten thousand alerts from being ten thousand pushes.
//!
//! A person gets so many messages by a channel within a window, each of its own; what comes beyond waits for the window's
//! end and is told in one. By default some pushes go out alone, and emails always wait for their window, so that an
//! evening's trouble is one mail ([`super::channel`] has the bounds).

use std::ops::{Index, IndexMut};

use jiff::Timestamp;

use super::{
    AlertId, Channel, PerChannel,
    channel_bounds::{ChannelBounds, HOUR},
};

/// Bounds on what one person gets, by channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restraint(PerChannel<ChannelBounds>);

impl Default for Restraint {
    fn default() -> Self {
        Self(PerChannel::of(|channel| channel.facts().bounds))
    }
}

impl Index<Channel> for Restraint {
    type Output = ChannelBounds;

    fn index(&self, channel: Channel) -> &ChannelBounds {
        &self.0[channel]
    }
}

impl IndexMut<Channel> for Restraint {
    fn index_mut(&mut self, channel: Channel) -> &mut ChannelBounds {
        &mut self.0[channel]
    }
}

/// What one person got by one channel lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lately {
    /// When the window began, once there was one.
    pub window_began: Option<Timestamp>,
    /// What went out in it.
    pub sent: u32,
    /// When the hour began.
    pub hour_began: Option<Timestamp>,
    /// What went out in it.
    pub sent_in_hour: u32,
}

/// Whether something may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Alone, and then this is what they got lately.
    Alone(Lately),
    /// With others, then; and this is what to remember meanwhile.
    Hold(Timestamp, Lately),
}

impl Lately {
    /// Whether one more may go out alone at `now`.
    pub fn gate(self, bounds: &ChannelBounds, mandatory: bool, now: Timestamp) -> Gate {
        let lately = self.rolled(bounds, now);
        let alone_max = bounds.alone_max + if mandatory { bounds.mandatory_alone_max } else { 0 };
        let hour_is_full = lately.sent_in_hour >= bounds.per_hour_max;
        if !hour_is_full && (bounds.window.is_zero() || lately.sent < alone_max) {
            return Gate::Alone(lately.and_one());
        }
        let window_ends = lately.window_began.unwrap_or(now) + bounds.window;
        let hour_ends = lately.hour_began.unwrap_or(now) + HOUR;
        Gate::Hold(if hour_is_full { window_ends.max(hour_ends) } else { window_ends }, lately)
    }

    /// What they got lately once a summary went out at `now`: it begins a window, and is the first in it.
    pub fn after_summary(self, bounds: &ChannelBounds, now: Timestamp) -> Self {
        Self { window_began: Some(now), sent: 0, ..self.rolled(bounds, now) }.and_one()
    }

    /// The window and the hour that hold at `now`.
    fn rolled(self, bounds: &ChannelBounds, now: Timestamp) -> Self {
        let mut lately = self;
        if lately.window_began.is_none_or(|began| began + bounds.window <= now) {
            (lately.window_began, lately.sent) = (Some(now), 0);
        }
        if lately.hour_began.is_none_or(|began| began + HOUR <= now) {
            (lately.hour_began, lately.sent_in_hour) = (Some(now), 0);
        }
        lately
    }

    fn and_one(mut self) -> Self {
        self.sent += 1;
        self.sent_in_hour += 1;
        self
    }
}

/// Why an escalation that is due waits all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// The person wants to be left alone.
    Quiet,
    /// The tenant sends more than it may.
    Rate,
    /// It is told in the next summary by this channel.
    Summary(Channel),
    /// It cannot be carried on: its work is among the dead letters, until somebody replays it or the alert changes.
    SetAside,
}

impl Held {
    /// The word for it in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Rate => "rate",
            Self::SetAside => "set_aside",
            Self::Summary(channel) => channel.facts().held_word,
        }
    }

    /// In whose summary it is told, if it waits for one.
    pub fn summary(self) -> Option<Channel> {
        match self {
            Self::Summary(channel) => Some(channel),
            Self::Quiet | Self::Rate | Self::SetAside => None,
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Held {
    type Err = UnknownHeld;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let fixed = [Self::Quiet, Self::Rate, Self::SetAside].into_iter().find(|held| held.as_str() == word);
        let summary = || Channel::find(|facts| facts.held_word == word).map(Self::Summary);
        fixed.or_else(summary).ok_or(UnknownHeld)
    }
}

/// Nothing waits for a reason of this word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no reason to wait is written so")]
pub struct UnknownHeld;

impl AlertId {
    /// What the ids that are Watchbell's own begin with. A person's summary is an escalation of its own, under an id that no
    /// producer can use.
    pub const OWN_PREFIX: char = '~';

    /// The id of the escalation that tells of several alerts at once by `channel`.
    pub fn summary_by(channel: Channel) -> Option<Self> {
        Self::parse(format!("{}{channel}", Self::OWN_PREFIX)).ok()
    }

    /// By which channel this summary tells, if it is one.
    pub fn summary(&self) -> Option<Channel> {
        self.as_str().strip_prefix(Self::OWN_PREFIX)?.parse().ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs)
    }

    /// Sends what comes at these seconds; says which went alone and when the others go.
    fn gates_of(bounds: &ChannelBounds, mandatory: bool, arrivals: &[u64]) -> Vec<Result<u64, u64>> {
        let mut lately = Lately::default();
        let decide = |&secs: &u64| match lately.gate(bounds, mandatory, at(secs)) {
            Gate::Alone(next) => {
                lately = next;
                Ok(secs)
            }
            Gate::Hold(until, next) => {
                lately = next;
                Err(until.duration_since(at(0)).as_secs() as u64)
            }
        };
        arrivals.iter().map(decide).collect()
    }

    #[test]
    fn more_than_five_pushes_in_two_minutes_wait_for_the_end_of_them() {
        let push = Restraint::default()[Channel::Push];
        let arrivals = [0, 1, 2, 3, 4, 5, 119, 120];
        let expected = [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4), Err(120), Err(120), Ok(120)];
        assert_eq!(gates_of(&push, false, &arrivals), expected);
        assert_eq!(
            gates_of(&push, true, &arrivals)[5..7],
            [Ok(5), Ok(119)],
            "critical ones have room of their own"
        );
        assert_eq!(gates_of(&push, true, &[0; 11])[10], Err(120), "but not without end");
    }

    #[test]
    fn every_mail_waits_two_minutes_from_the_first() {
        let email = Restraint::default()[Channel::Email];
        assert_eq!(gates_of(&email, false, &[0, 60, 119]), [Err(120), Err(120), Err(120)]);
        assert_eq!(
            gates_of(&email, true, &[0, 1]),
            [Ok(0), Err(120)],
            "the first critical one does not wait"
        );
        let none = ChannelBounds { window: Duration::ZERO, ..email };
        assert_eq!(gates_of(&none, false, &[0, 0]), [Ok(0), Ok(0)], "no window, no digest");
    }

    #[test]
    fn an_hour_has_its_own_bound() {
        let push = ChannelBounds { per_hour_max: 2, ..Restraint::default()[Channel::Push] };
        assert_eq!(
            gates_of(&push, false, &[0, 10, 20, 3599, 3600]),
            [Ok(0), Ok(10), Err(3600), Err(3719), Ok(3600)]
        );
    }

    #[test]
    fn a_summary_counts_as_the_first_of_the_next_window() {
        let push = Restraint::default()[Channel::Push];
        let mut lately = Lately::default().after_summary(&push, at(120));
        assert_eq!((lately.sent, lately.sent_in_hour), (1, 1));
        for _ in 0..4 {
            let Gate::Alone(next) = lately.gate(&push, false, at(121)) else { panic!("room for four") };
            lately = next;
        }
        assert!(matches!(lately.gate(&push, false, at(121)), Gate::Hold(until, _) if until == at(240)));
    }

    #[test]
    fn a_summary_is_told_by_its_id() {
        for channel in Channel::ALL {
            let id = AlertId::summary_by(channel).unwrap();
            assert_eq!((id.summary(), id.as_str().starts_with(AlertId::OWN_PREFIX)), (Some(channel), true));
        }
        assert_eq!(AlertId::summary_by(Channel::Push).unwrap().as_str(), "~push", "as it is stored");
        for id in ["push", "~pigeon", "~"] {
            assert_eq!(AlertId::parse(id).unwrap().summary(), None, "{id}");
        }
    }

    #[test]
    fn what_waits_reads_back_from_its_word() {
        let waits =
            [Held::Quiet, Held::Rate, Held::SetAside].into_iter().chain(Channel::ALL.map(Held::Summary));
        for held in waits {
            assert_eq!(held.as_str().parse(), Ok(held));
        }
        assert_eq!(Held::Summary(Channel::Push).as_str(), "bundle", "as it is stored");
        assert_eq!(Held::Summary(Channel::Email).as_str(), "digest", "as it is stored");
        assert_eq!("raining".parse::<Held>(), Err(UnknownHeld));
    }
}
