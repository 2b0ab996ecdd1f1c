//! Publications of one alert: whether one says the same as what is recorded, something else, or comes too late. Pure.
//!
//! Within a tenant an id and a version name one text. What was said under them is kept as a [`Fingerprint`], so that
//! repeating it is harmless, telling it to more people is possible, and another text under the same name is refused: its
//! people are never shown the first one's.
//!
//! What holds here:
//! - Whom an alert is for is no part of what it says.
//! - The time an alert is given because it came without one is no part of it either; one that its producer gave is.
//! - A publication that is delivered twice says the same as itself.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Alert;

/// How far a version may be above the one before it, and the first one above 0. Whoever publishes a version far ahead
/// would have the last word on an alert for ever: nobody else could say anything later. A time in seconds is no version.
pub const VERSION_STEP_MAX: u32 = 1_000_000;
/// Versions of one alert whose fingerprints are kept: the latest.
const SAID_MAX: usize = 16;
/// Bytes of the hash that are kept: nobody finds two texts of one fingerprint by chance.
const HASH_BYTES: usize = 16;

/// What one version of an alert says, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of everything but its time.
    hash: [u8; HASH_BYTES],
    /// When it happened, or when it reached us.
    at: Option<Timestamp>,
}

impl Fingerprint {
    /// Of an alert as clients are given it, and the policy that its producer named.
    pub fn of(content: &str, policy: Option<&str>) -> Self {
        // Written by `wire::content_of`; should it ever not be JSON, it is still the same as itself.
        let mut fields: Map<String, Value> = serde_json::from_str(content)
            .unwrap_or_else(|_| Map::from_iter([("unreadable".to_owned(), content.into())]));
        let at = fields.remove("occurred_at").and_then(|at| at.as_str()?.parse().ok());
        fields.insert("policy".into(), policy.into());
        let digest = Sha256::digest(Value::Object(fields).to_string());
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&digest[..HASH_BYTES]);
        Self { hash, at }
    }

    /// Whether a publication with the fingerprint `other` says what this one says. An undated one says nothing of its time.
    fn is_said_by(&self, other: &Self, is_dated: bool) -> bool {
        self.hash == other.hash && (!is_dated || self.at == other.at)
    }
}

/// `hash@nanoseconds`, or `hash@` without a time.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("@")?;
        self.at.map_or(Ok(()), |at| write!(f, "{}", at.as_nanosecond()))
    }
}

/// Not a fingerprint that this program wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let (hex, at) = text.split_once('@').ok_or(NotAFingerprint)?;
        let at = match at {
            "" => None,
            at => {
                let at = at.parse().map_err(|_| NotAFingerprint)?;
                Some(Timestamp::from_nanosecond(at).map_err(|_| NotAFingerprint)?)
            }
        };
        let mut hash = [0; HASH_BYTES];
        if hex.len() != 2 * HASH_BYTES || !hex.is_ascii() {
            return Err(NotAFingerprint);
        }
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| NotAFingerprint)?;
        }
        Ok(Self { hash, at })
    }
}

/// What the versions of one alert said: the last [`SAID_MAX`] that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFingerprints(BTreeMap<u32, Fingerprint>);

impl VersionFingerprints {
    /// Adds what a version says; of two, what came first stays. The oldest makes room.
    pub fn add(&mut self, version: u32, fingerprint: Fingerprint) {
        self.0.entry(version).or_insert(fingerprint);
        while self.0.len() > SAID_MAX {
            self.0.pop_first();
        }
    }
}

/// `version:fingerprint`, separated by blanks.
impl fmt::Display for VersionFingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (version, fingerprint)) in self.0.iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            write!(f, "{blank}{version}:{fingerprint}")?;
        }
        Ok(())
    }
}

impl VersionFingerprints {
    /// Reads what [`VersionFingerprints`] prints. What a later program may have written otherwise is passed over: it is not known.
    pub fn read(text: &str) -> Self {
        let one = |part: &str| {
            let (version, fingerprint) = part.split_once(':')?;
            Some((version.parse().ok()?, fingerprint.parse().ok()?))
        };
        Self(text.split(' ').filter_map(one).collect())
    }
}

/// Which API key published, as far as alerts are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// What the key is known by: its id, which stays when its secret is rotated; never the secret.
    pub key: Arc<str>,
    /// Whether it may change only what it made.
    pub own_alerts: bool,
}

/// What is recorded of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The version shown.
    pub version: u32,
    /// What its versions said.
    pub said: VersionFingerprints,
    /// The key that made it; none that came over AMQP, or was recorded by a program that did not ask.
    pub maker: Option<Arc<str>>,
}

/// An alert as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What it says.
    pub fingerprint: Fingerprint,
    /// Whether its producer said when it happened.
    pub is_dated: bool,
    /// Who published it; nobody known, over AMQP.
    pub by: Option<Maker>,
    /// Whether it was delivered before, so that what it meets may be itself and what came after it.
    pub is_redelivered: bool,
}

impl Publication {
    /// Of this alert, whose clients are given `content`.
    pub fn of(alert: &Alert, content: &str, by: Option<Maker>) -> Self {
        let fingerprint = Fingerprint::of(content, alert.policy.as_deref());
        Self { fingerprint, is_dated: alert.is_dated, by, is_redelivered: false }
    }
}

/// Why a version is refused that is [`Meets::TooFarAhead`], as whoever published it reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is too far ahead: at most {VERSION_STEP_MAX} above the version that is recorded, or above 0 for the first one. Count \
     versions from 1; a time is no version"
)]
pub struct TooFarAhead;

/// Whether `next` is near enough to follow `version`; a first one follows 0.
pub fn is_near(version: u32, next: u32) -> bool {
    next.saturating_sub(version) <= VERSION_STEP_MAX
}

/// How a publication meets what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// Nothing is recorded: it is the first.
    Nothing,
    /// It is a later version.
    Earlier,
    /// It says what is recorded: whoever is new to it is told, nobody is told again.
    Same,
    /// It was overtaken: a later version is recorded, and that is what its people are shown. What this one says is known.
    Later,
    /// This version or a later one is recorded, and nobody knows what this one said. It may be another alert's text under the
    /// same id, so nobody is shown the recorded one because of it.
    Stale,
    /// Its version says something else: nobody is shown either text because of it.
    Conflict,
    /// It is somebody else's, and the key may change only what it made.
    NotItsOwn,
    /// Its version is too far ahead: [`VERSION_STEP_MAX`].
    TooFarAhead,
}

impl Meets {
    /// Whether nothing of the publication is recorded.
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Stale | Self::Conflict | Self::NotItsOwn | Self::TooFarAhead)
    }
}

/// How `published` of this version meets what is recorded.
///
/// A version that is older than the recorded one and was never recorded itself may have been overtaken on its way, or it
/// may be a stranger's who chose the same id: nobody can know. So it is no conflict, and reaches nobody either.
pub fn meets(known: Option<&Known>, version: u32, published: &Publication) -> Meets {
    let Some(known) = known else {
        return if is_near(0, version) { Meets::Nothing } else { Meets::TooFarAhead };
    };
    let is_own = |by: &Maker| !by.own_alerts || known.maker.as_ref() == Some(&by.key);
    if !published.by.as_ref().is_none_or(is_own) {
        return Meets::NotItsOwn;
    }
    if version > known.version {
        return if is_near(known.version, version) { Meets::Earlier } else { Meets::TooFarAhead };
    }
    match known.said.0.get(&version) {
        Some(said) if !said.is_said_by(&published.fingerprint, published.is_dated) => Meets::Conflict,
        Some(_) if version < known.version => Meets::Later,
        Some(_) => Meets::Same,
        None => Meets::Stale,
    }
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
