//! Who an alert is for, in pages, so that an alert to everyone needs no more memory than one to a few, and one that a
//! crash cut off goes on with the page it was at.
//!
//! A person may come up on more than one page (named, and in a group): recording them twice changes nothing (I2).

use std::{collections::HashSet, fmt, str::FromStr};

use watchbell::{
    domain::{Alert, UserId},
    store::{Store, StoreError},
};

use crate::turns::QUANTUM;

/// People of one page. An audience that fits is recorded with its alert; a larger one goes on behind others' alerts.
/// A commit of this many holds up nobody for long.
pub(crate) const PAGE_ROWS_MAX: usize = 100;
/// People of one page of what is left of an audience while other tenants have alerts, who wait behind it: one turn.
pub(crate) const PAGE_ROWS_BESIDE_OTHERS: usize = QUANTUM as usize;
/// Groups and pages that are read for one page: an alert may name thousands of empty groups.
const PAGE_READS_MAX: usize = 8;

/// Where in an audience a page begins: people named, then groups, then everyone, then those an earlier version reached.
/// Stored as text beside the alert, and read back by whoever goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    part: AudiencePart,
    after: Option<UserId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AudiencePart {
    Named { from: usize },
    Group { number: usize },
    Everyone,
    Earlier,
    Done,
}

/// Some of the people, each once, and where the others begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) recipients: Vec<UserId>,
    pub(crate) next: Position,
}

impl Position {
    /// Before everybody.
    pub(crate) const BEGINNING: Self = Self { part: AudiencePart::Named { from: 0 }, after: None };

    /// Behind those whom the alert itself is for, at those whom an earlier version reached.
    pub(crate) const EARLIER: Self = Self { part: AudiencePart::Earlier, after: None };

    /// Whether nobody is left.
    pub(crate) fn is_done(&self) -> bool {
        self.part == AudiencePart::Done
    }

    /// Whether whoever is left was reached by an earlier version.
    pub(crate) fn is_earlier(&self) -> bool {
        self.part == AudiencePart::Earlier
    }
}

/// The page of `alert`'s audience that begins at `at`: about `rows_max` people, fewer than twice as many.
///
/// Whom an earlier version reached comes on pages of their own. Such a page is to be read when this version was
/// recorded for somebody already: from then on nobody is reached by an earlier one any more.
pub(crate) async fn page(
    alert: &Alert,
    at: &Position,
    rows_max: usize,
    store: &Store,
) -> Result<Page, StoreError> {
    if at.is_earlier() {
        return earlier(alert, at.after.as_ref(), rows_max, store).await;
    }
    let (mut recipients, mut known, mut next) = (Vec::new(), HashSet::new(), at.clone());
    let mut reads = 0;
    while !next.is_done() && !next.is_earlier() && recipients.len() < rows_max && reads < PAGE_READS_MAX {
        reads += usize::from(!matches!(next.part, AudiencePart::Named { .. }));
        let found = people(alert, &next, rows_max, store).await?;
        next = following(alert, &next, &found, rows_max);
        recipients.extend(found.into_iter().filter(|user| known.insert(user.clone())));
    }
    Ok(Page { recipients, next })
}

/// Who holds an older version than this, of the next holders. Whoever holds this one or a later is passed over.
async fn earlier(
    alert: &Alert,
    after: Option<&UserId>,
    rows_max: usize,
    store: &Store,
) -> Result<Page, StoreError> {
    let holders = store.holders_after(&alert.tenant, &alert.id, after, rows_max).await?;
    let next = match holders.last() {
        Some((last, _)) if holders.len() == rows_max => {
            Position { part: AudiencePart::Earlier, after: Some(last.clone()) }
        }
        _ => Position { part: AudiencePart::Done, after: None },
    };
    let older = holders.into_iter().filter(|(_, version)| *version < alert.version);
    Ok(Page { recipients: older.map(|(user, _)| user).collect(), next })
}

async fn people(
    alert: &Alert,
    at: &Position,
    rows_max: usize,
    store: &Store,
) -> Result<Vec<UserId>, StoreError> {
    let (tenant, after) = (&alert.tenant, at.after.as_ref());
    match at.part {
        AudiencePart::Named { from } => {
            Ok(alert.to.users.iter().skip(from).take(rows_max).cloned().collect())
        }
        AudiencePart::Group { number } => match alert.to.groups.get(number) {
            Some(group) => store.members_after(tenant, group, after, rows_max).await,
            None => Ok(Vec::new()),
        },
        AudiencePart::Everyone => store.everyone_after(tenant, after, rows_max).await,
        AudiencePart::Earlier | AudiencePart::Done => Ok(Vec::new()),
    }
}

/// Where to go on after these people, who begin at `at`.
fn following(alert: &Alert, at: &Position, found: &[UserId], rows_max: usize) -> Position {
    match (at.part, found.len() == rows_max) {
        (AudiencePart::Named { from }, true) => {
            Position { part: AudiencePart::Named { from: from + rows_max }, after: None }
        }
        (part, true) => Position { part, after: found.last().cloned() },
        (part, false) => Position { part: part_after(alert, part), after: None },
    }
}

fn part_after(alert: &Alert, part: AudiencePart) -> AudiencePart {
    let groups = alert.to.groups.len();
    match part {
        AudiencePart::Named { .. } if groups > 0 => AudiencePart::Group { number: 0 },
        AudiencePart::Group { number } if number + 1 < groups => AudiencePart::Group { number: number + 1 },
        AudiencePart::Named { .. } | AudiencePart::Group { .. } if alert.to.everyone => {
            AudiencePart::Everyone
        }
        // A first version has no earlier readers to look for.
        AudiencePart::Named { .. } | AudiencePart::Group { .. } | AudiencePart::Everyone
            if alert.version > 1 =>
        {
            AudiencePart::Earlier
        }
        AudiencePart::Named { .. }
        | AudiencePart::Group { .. }
        | AudiencePart::Everyone
        | AudiencePart::Earlier
        | AudiencePart::Done => AudiencePart::Done,
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_ref().map(UserId::as_str).unwrap_or_default();
        match self.part {
            AudiencePart::Named { from } => write!(f, "named/{from}/"),
            AudiencePart::Group { number } => write!(f, "group/{number}/{after}"),
            AudiencePart::Everyone => write!(f, "everyone/0/{after}"),
            AudiencePart::Earlier => write!(f, "earlier/0/{after}"),
            AudiencePart::Done => write!(f, "done/0/"),
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
            "named" => AudiencePart::Named { from: number },
            "group" => AudiencePart::Group { number },
            "everyone" => AudiencePart::Everyone,
            "earlier" => AudiencePart::Earlier,
            "done" => AudiencePart::Done,
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
