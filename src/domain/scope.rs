//! What an API key may be used for: its scopes.
//!
//! What holds here:
//! - A key without further words may only publish ([`Scopes::DEFAULT`]): whoever finds it cannot read of people or change them.
//! - A word that this program does not know grants nothing.
//!
//! Elsewhere: which route needs which scope stands in the table of routes of `ingest`.

use std::{fmt, str::FromStr};

/// One thing that a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Publish alerts, change them, and post to hooks.
    Alerts,
    /// Publish events on topics.
    Events,
    /// Change users and groups, and end sessions.
    People,
    /// Read alerts, what became of them, users and groups.
    Read,
    /// Read the audit log, and look after dead letters.
    Operations,
}

/// A word that is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of alerts, events, people, read, operations")]
pub struct UnknownScope;

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Alerts, Self::Events, Self::People, Self::Read, Self::Operations];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Events => "events",
            Self::People => "people",
            Self::Read => "read",
            Self::Operations => "operations",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or(UnknownScope)
    }
}

/// The scopes of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Of a key for which nothing else was asked: it publishes.
    pub const DEFAULT: Self = Self::of(&[Scope::Alerts, Scope::Events]);
    /// Of a key that was made before there were scopes: everything that it could do then.
    pub const BEFORE_SCOPES: Self = Self::of(&[Scope::Alerts, Scope::Events, Scope::People, Scope::Read]);
    /// Everything.
    pub const ALL: Self = Self::of(&Scope::ALL);

    /// These.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < scopes.len() {
            bits |= scopes[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// Whether this one is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Each, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// Reads what [`Scopes`] prints. A word that a later program may have written is passed over: it grants nothing here.
    pub fn read(text: &str) -> Self {
        Self(
            text.split(',')
                .filter_map(|word| word.parse::<Scope>().ok())
                .fold(0, |bits, scope| bits | scope.bit()),
        )
    }
}

/// The words with commas between them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_and_an_unknown_word_grants_nothing() {
        for (why, text, expected) in [
            ("one that publishes", "alerts,events", Scopes::DEFAULT),
            ("everything", "alerts,events,people,read,operations", Scopes::ALL),
            ("of a later program", "alerts,everything,events", Scopes::DEFAULT),
            ("not by its beginning", "alert,Events, read", Scopes::of(&[])),
            ("nothing", "", Scopes::of(&[])),
        ] {
            assert_eq!(Scopes::read(text), expected, "{why}");
            assert_eq!(Scopes::read(&expected.to_string()), expected, "{why}: and back");
        }
    }

    #[test]
    fn no_key_can_operate_unless_it_was_asked_for() {
        for scope in Scope::ALL {
            assert_eq!(Scopes::DEFAULT.has(scope), matches!(scope, Scope::Alerts | Scope::Events), "{scope}");
            assert_eq!(Scopes::BEFORE_SCOPES.has(scope), scope != Scope::Operations, "{scope}");
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
    }
}
