//! What keeps alerts from one person in general, whichever alert it is: no device, nowhere to write to, quiet hours.
//!
//! The words of a channel are those of its timelines ([`super::channel::Phrases`]).

use std::{collections::BTreeSet, fmt};

use super::{Channel, PerChannel, Preferences, Timestamp};

/// What is known of a person at one moment, as far as it decides whether they can be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reachability {
    /// Whether there is anything about them at all.
    pub is_stored: bool,
    /// Whether they were registered, are or were in a group, or ever signed in.
    pub is_known: bool,
    /// Whether they have a session on some pod.
    pub has_session: bool,
    /// Registered devices.
    pub devices: usize,
    /// When devices were last taken out together with sessions, and how many.
    pub devices_ended: Option<(Timestamp, u64)>,
    /// Up to when tokens are refused.
    pub sessions_revoked_at: Option<Timestamp>,
    /// Their address by each channel that goes to one.
    pub addresses: PerChannel<AddressState>,
    /// Why an address takes no messages, in the words of whoever refused them, where that is known.
    pub refused_because: PerChannel<Option<String>>,
    /// What they want.
    pub preferences: Preferences,
}

/// Whether a channel can write to somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressState {
    /// There is no address.
    #[default]
    Absent,
    /// There is one that takes messages, as far as is known.
    Usable,
    /// There is one that refused messages for good.
    Refused,
}

/// One thing that is in the way of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody of this name is stored.
    Unknown,
    /// A producer named them, and nothing else is known of them.
    OnlyNamed,
    /// No screen is connected.
    NoSession,
    /// Tokens issued up to then let nobody in.
    SessionsRevoked(Timestamp),
    /// Nothing can be pushed to.
    NoDevice {
        /// When their devices were taken out together with their sessions, and how many, if they were.
        ended: Option<(Timestamp, u64)>,
    },
    /// There is no address for these channels.
    NoAddress(Vec<Channel>),
    /// The address for this channel refused messages for good.
    AddressRefused {
        /// Which channel.
        channel: Channel,
        /// In the words of whoever refused them.
        because: Option<String>,
    },
    /// They want nothing by this channel.
    OptedOut(Channel),
    /// They want nothing of this category by these channels.
    CategoryOff(String, BTreeSet<Channel>),
    /// They asked not to be disturbed until then.
    DoNotDisturb(Timestamp),
    /// A window of their day is quiet until then.
    QuietHours(Timestamp),
}

/// Categories that are told: a person may have an opinion on many.
const CATEGORIES_TOLD_MAX: usize = 20;

/// What is in the way at `now`, the most general first.
pub fn obstacles(person: &Reachability, now: Timestamp) -> Vec<Obstacle> {
    let mut found = Vec::new();
    match (person.is_stored, person.is_known) {
        (false, _) => return vec![Obstacle::Unknown],
        (true, false) => found.push(Obstacle::OnlyNamed),
        (true, true) => {}
    }
    if !person.has_session {
        found.push(Obstacle::NoSession);
    }
    found.extend(person.sessions_revoked_at.map(Obstacle::SessionsRevoked));
    if person.devices == 0 {
        found.push(Obstacle::NoDevice { ended: person.devices_ended });
    }
    let in_state = |wanted: AddressState| {
        let with_address = person.addresses.iter().filter(|(channel, _)| channel.address_form().is_some());
        with_address.filter(|(_, state)| **state == wanted).map(|(channel, _)| channel).collect::<Vec<_>>()
    };
    found.extend(in_state(AddressState::Refused).into_iter().map(|channel| Obstacle::AddressRefused {
        channel,
        because: person.refused_because[channel].clone(),
    }));
    let absent = in_state(AddressState::Absent);
    found.extend((!absent.is_empty()).then_some(Obstacle::NoAddress(absent)));
    let wants = &person.preferences;
    found.extend(wants.channels_off.iter().copied().map(Obstacle::OptedOut));
    let categories = wants.categories_off.iter().filter(|(_, channels)| !channels.is_empty());
    found.extend(
        categories
            .take(CATEGORIES_TOLD_MAX)
            .map(|(name, channels)| Obstacle::CategoryOff(name.clone(), channels.clone())),
    );
    found.extend(wants.quiet.until.filter(|until| *until > now).map(Obstacle::DoNotDisturb));
    let ends = wants.quiet.ends_at(now).filter(|ends| Some(*ends) != wants.quiet.until);
    found.extend(ends.map(Obstacle::QuietHours));
    found
}

impl Obstacle {
    /// Each word of [`Obstacle::word`].
    pub const WORDS: &[&str] = &[
        "unknown",
        "only_named",
        "no_session",
        "sessions_revoked",
        "no_device",
        "no_address",
        "address_refused",
        "opted_out",
        "category_off",
        "do_not_disturb",
        "quiet_hours",
    ];

    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::OnlyNamed => "only_named",
            Self::NoSession => "no_session",
            Self::SessionsRevoked(_) => "sessions_revoked",
            Self::NoDevice { .. } => "no_device",
            Self::NoAddress(_) => "no_address",
            Self::AddressRefused { .. } => "address_refused",
            Self::OptedOut(_) => "opted_out",
            Self::CategoryOff(..) => "category_off",
            Self::DoNotDisturb(_) => "do_not_disturb",
            Self::QuietHours(_) => "quiet_hours",
        }
    }
}

/// In plain words.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mandatory = "a mandatory policy ignores this";
        match self {
            Self::Unknown => f.write_str(
                "nobody of this name is known: no alert ever named them, and they never registered or signed in",
            ),
            Self::OnlyNamed => f.write_str(
                "only named in alerts: never registered, and never signed in; `everyone` does not reach them",
            ),
            Self::NoSession => f.write_str("no session is open: nothing is on a screen until they come back"),
            Self::SessionsRevoked(at) => {
                write!(f, "their sessions were ended: tokens issued up to {at} let nobody in any more")
            }
            Self::NoDevice { ended } => {
                write!(f, "push: {}", Channel::Push.facts().phrases.nobody)?;
                match ended {
                    Some((at, number)) => write!(f, "; {number} were taken out at {at}, with their sessions"),
                    None => Ok(()),
                }
            }
            Self::NoAddress(channels) => write!(f, "{}: no address is registered", listed(channels)),
            Self::AddressRefused { channel, because } => {
                write!(f, "{channel}: the address refused messages for good")?;
                if let Some(because) = because {
                    write!(f, " ({because})")?;
                }
                f.write_str(", and gets none until another one is registered or the refusal is lifted")
            }
            Self::OptedOut(channel) => write!(f, "{channel}: they have turned it off; {mandatory}"),
            Self::CategoryOff(category, channels) => {
                let off = listed(channels);
                write!(f, "{off}: they have turned the category {category} off; {mandatory}")
            }
            Self::DoNotDisturb(until) => write!(f, "do not disturb until {until}; {mandatory}"),
            Self::QuietHours(until) => write!(f, "these are their quiet hours, until {until}; {mandatory}"),
        }
    }
}

fn listed<'a>(channels: impl IntoIterator<Item = &'a Channel>) -> String {
    channels.into_iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "obstacles_tests.rs"]
mod tests;
