//! How values are written that have no form of their own in TOML: durations, addresses and secrets. Each module is for
//! `#[serde(with = "…")]`.
//!
//! A duration has its unit: `250ms`, `30s`, `5m`, `24h`, `7d`. It may have several, and a fraction of the last
//! (`1h 30m`, `1.5s`), and units by their names (`2 hours`), as jiff's friendly format and ISO 8601 (`PT30S`) have it. A day
//! has 24 hours; months and years have no fixed length and are refused.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use crate::domain::Secret;

/// The longest duration of any setting, ten years: a moment so far away can still be computed.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Why a text is no duration that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// It has no unit, is negative, or is none at all.
    #[error("must be a duration with its unit, such as 250ms, 30s, 5m or 24h, and at most 87600h")]
    NotOne,
    /// It is longer than ten years.
    #[error("must be at most 87600h (3650d)")]
    TooLong,
}

/// A duration with its unit, such as `250ms`, `30s`, `5m`, `24h` or `7d`; not negative, and ten years at the most.
///
/// # Errors
/// [`InvalidDuration`], which does not repeat the text.
pub fn read_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let span: Span = text.parse().map_err(|_| InvalidDuration::NotOne)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let duration = duration.ok().and_then(|duration| Duration::try_from(duration).ok());
    match duration.ok_or(InvalidDuration::NotOne)? {
        duration if duration <= DURATION_MAX => Ok(duration),
        _ => Err(InvalidDuration::TooLong),
    }
}

/// The same for those who have words of their own.
pub fn parse_duration(text: &str) -> Option<Duration> {
    read_duration(text).ok()
}

/// A duration as it is written.
pub fn written_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

/// A duration.
pub mod duration {
    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        read_duration(&text).map_err(D::Error::custom)
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&written_duration(*duration))
    }
}

/// A duration that may be left out.
pub mod maybe_duration {
    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&written_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }
}

/// An address with its port.
pub mod address {
    use std::net::SocketAddr;

    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("must be an address with its port, such as 127.0.0.1:7700"))
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }
}

/// An address with its port that may be left out.
pub mod maybe_address {
    use std::net::SocketAddr;

    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        address::deserialize(deserializer).map(Some)
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_none(),
        }
    }
}

/// What a secret is written as.
const REDACTED: &str = "redacted";

/// A secret. Written, it is `redacted`.
pub mod secret {
    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(_: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// A secret that may be left out.
pub mod maybe_secret {
    use super::*;

    #[allow(missing_docs)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
    }

    #[allow(missing_docs)]
    pub fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(_) => serializer.serialize_some(REDACTED),
            None => serializer.serialize_none(),
        }
    }
}
