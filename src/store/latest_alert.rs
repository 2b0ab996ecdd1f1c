//! The latest version of an alert, on which a later one builds: a return, the end of a snooze, a hook, a `PATCH`.

use std::sync::Arc;

use sqlx::any::AnyRow;

use super::{Failure, int, maybe_text, text, word};
use crate::domain::{Severity, Status};

/// What a later version of an alert builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestAlert {
    /// The version shown.
    pub version: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it still goes on.
    pub status: Status,
    /// What clients are given, encoded; empty once the alert was deleted.
    pub content: String,
    /// The policy its producer named, if they did.
    pub policy: Option<String>,
    /// The API key that made it, by its id, if that is known.
    pub maker: Option<Arc<str>>,
}

impl LatestAlert {
    /// Whether it was deleted. Then only its version says something: whoever tells of it anew tells of the next one.
    pub fn is_deleted(&self) -> bool {
        self.content.is_empty()
    }
}

/// Reads it from a row of `alerts`.
pub(super) fn latest_of(row: &AnyRow) -> Result<LatestAlert, Failure> {
    Ok(LatestAlert {
        version: u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?,
        severity: word(row, "severity")?,
        status: word(row, "status")?,
        content: text(row, "content")?,
        policy: maybe_text(row, "policy")?,
        maker: maybe_text(row, "maker")?.map(Into::into),
    })
}
