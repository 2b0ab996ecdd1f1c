//! Who an alert is for, in pages, so that an alert to everyone needs no more memory than one to a few, and one that a
//! crash cut off goes on with the page it was at.
//!
//! A person may come up on more than one page (named, and in a group): recording them twice changes nothing (I2).

use std::{fmt, str::FromStr};

use watchbell::{
    domain::{Alert, UserId},
    store::{ROWS_PER_COMMIT_MAX, Store, StoreError},
};

/// Walks an audience: people named, then groups, then everyone, then those an earlier version reached.
pub(crate) struct Audience<'a> {
    alert: &'a Alert,
    at: Position,
}

/// Where a page begins. Stored as text with the page, and read back after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    part: Part,
    after: Option<UserId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Named { from: usize },
    Group { number: usize },
    Everyone,
    Earlier,
    Done,
}

/// Some of the people, and where they begin.
pub(crate) struct Page {
    pub(crate) recipients: Vec<UserId>,
    pub(crate) begins: Position,
    /// Whether there may be more.
    pub(crate) is_full: bool,
}

impl<'a> Audience<'a> {
    /// From the beginning.
    pub(crate) fn of(alert: &'a Alert) -> Self {
        Self { alert, at: Position { part: Part::Named { from: 0 }, after: None } }
    }

    /// From a page that may have been recorded, and must be repeated because it may not have been told.
    pub(crate) fn from(alert: &'a Alert, at: Position) -> Self {
        Self { alert, at }
    }

    /// The next page, at most [`ROWS_PER_COMMIT_MAX`] people, each once; `None` after the last.
    pub(crate) async fn next(&mut self, store: &Store) -> Result<Option<Page>, StoreError> {
        loop {
            let begins = self.at.clone();
            let recipients = match begins.part {
                Part::Done => return Ok(None),
                Part::Named { from } => self.named(from),
                Part::Group { .. } | Part::Everyone | Part::Earlier => self.stored(&begins, store).await?,
            };
            let is_full = recipients.len() == ROWS_PER_COMMIT_MAX;
            self.at = match (begins.part, is_full) {
                (Part::Named { from }, true) => {
                    Position { part: Part::Named { from: from + ROWS_PER_COMMIT_MAX }, after: None }
                }
                (part, true) => Position { part, after: recipients.last().cloned() },
                (part, false) => Position { part: self.part_after(part), after: None },
            };
            if !recipients.is_empty() {
                return Ok(Some(Page { recipients, begins, is_full }));
            }
        }
    }

    fn named(&self, from: usize) -> Vec<UserId> {
        self.alert.to.users.iter().skip(from).take(ROWS_PER_COMMIT_MAX).cloned().collect()
    }

    async fn stored(&self, begins: &Position, store: &Store) -> Result<Vec<UserId>, StoreError> {
        let (tenant, after) = (&self.alert.tenant, begins.after.as_ref());
        match begins.part {
            Part::Group { number } => match self.alert.to.groups.get(number) {
                Some(group) => store.members_after(tenant, group, after, ROWS_PER_COMMIT_MAX).await,
                None => Ok(Vec::new()),
            },
            Part::Everyone => store.users_after(tenant, after, ROWS_PER_COMMIT_MAX).await,
            Part::Earlier => store.recipients_after(tenant, &self.alert.id, after, ROWS_PER_COMMIT_MAX).await,
            Part::Named { .. } | Part::Done => Ok(Vec::new()),
        }
    }

    fn part_after(&self, part: Part) -> Part {
        let groups = self.alert.to.groups.len();
        match part {
            Part::Named { .. } if groups > 0 => Part::Group { number: 0 },
            Part::Group { number } if number + 1 < groups => Part::Group { number: number + 1 },
            Part::Named { .. } | Part::Group { .. } if self.alert.to.everyone => Part::Everyone,
            // A first version has no earlier readers to look for.
            Part::Named { .. } | Part::Group { .. } | Part::Everyone if self.alert.version > 1 => {
                Part::Earlier
            }
            Part::Named { .. } | Part::Group { .. } | Part::Everyone | Part::Earlier | Part::Done => {
                Part::Done
            }
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_ref().map(UserId::as_str).unwrap_or_default();
        match self.part {
            Part::Named { from } => write!(f, "named/{from}/"),
            Part::Group { number } => write!(f, "group/{number}/{after}"),
            Part::Everyone => write!(f, "everyone/0/{after}"),
            Part::Earlier => write!(f, "earlier/0/{after}"),
            Part::Done => write!(f, "done/0/"),
        }
    }
}

/// Not a position that this version wrote: begin at the beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().ok_or(NotAPosition);
        let (part, number, after) = (next()?, next()?.parse().map_err(|_| NotAPosition)?, next()?);
        let part = match part {
            "named" => Part::Named { from: number },
            "group" => Part::Group { number },
            "everyone" => Part::Everyone,
            "earlier" => Part::Earlier,
            "done" => Part::Done,
            _ => return Err(NotAPosition),
        };
        let after =
            if after.is_empty() { None } else { Some(UserId::parse(after).map_err(|_| NotAPosition)?) };
        Ok(Self { part, after })
    }
}

#[cfg(test)]
#[path = "audience_tests.rs"]
mod tests;
