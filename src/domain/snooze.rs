//! Snooze: a person puts one alert off until a time, and it comes back unseen.
//!
//! While it is snoozed it is off the person's screens, not in their badge, and nobody chases them. It ends before its time
//! when the alert is over, when a worse version comes ([`super::inbox::record`]), and when the person says anything else
//! about it. A snooze says nothing to others: whoever snoozes has not taken the alert on.

use std::time::Duration;

use super::{
    InboxState, ReceiptState, Status, Timestamp,
    inbox::{EscalationChange, Row},
};

/// The longest snooze. What can wait longer is not an alert any more.
pub const SNOOZE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Until when a receipt puts its alerts off: what it says of it, checked. `None` for every other receipt.
///
/// # Errors
/// In words, about the field `until`.
pub fn until_of(
    state: ReceiptState,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, String> {
    let days = SNOOZE_MAX.as_secs() / (24 * 60 * 60);
    match (state, until) {
        (ReceiptState::Snoozed, None) => {
            Err(format!("is missing: say until when, at most {days} days from now"))
        }
        (ReceiptState::Snoozed, Some(until)) if until <= now => {
            Err(format!("must be in the future; it is {now} here"))
        }
        (ReceiptState::Snoozed, Some(until)) if until > now + SNOOZE_MAX => {
            Err(format!("must be at most {days} days from now"))
        }
        // To the millisecond, which is what stores keep: said twice, it is the same time.
        (ReceiptState::Snoozed, Some(until)) => Ok(Timestamp::from_millisecond(until.as_millisecond()).ok()),
        (_, Some(_)) => Err("belongs to the state snoozed only: leave it out".to_owned()),
        (_, None) => Ok(None),
    }
}

/// What a person did with an alert, and until when they put it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What they did.
    pub state: InboxState,
    /// Until when it is snoozed; only then.
    pub until: Option<Timestamp>,
}

impl Standing {
    /// The standing after a receipt, or `None` when it changes nothing. A new snooze takes the place of an older one.
    pub fn after(self, receipt: ReceiptState, until: Option<Timestamp>) -> Option<Self> {
        let state = self.state.after(receipt)?;
        let next = Self { state, until: until.filter(|_| state == InboxState::Snoozed) };
        (next != self).then_some(next)
    }

    /// The standing after the person took the alert on that was anybody's: a change, also of what they had read.
    pub fn after_taking(self) -> Self {
        self.after(ReceiptState::Acknowledged, None).unwrap_or(self)
    }

    /// The standing after the person gave back what they had taken on: a change, also of what they had put away.
    pub fn after_giving_back(self) -> Self {
        self.after(ReceiptState::PassedOn, None).unwrap_or(self)
    }

    /// The standing after an answer, or `None` when it changes nothing.
    pub fn after_answer(self, has_answered: bool) -> Option<Self> {
        let state = self.state.after_answer(has_answered)?;
        Some(Self { state, until: self.until.filter(|_| state == InboxState::Snoozed) })
    }
}

/// What the end of a snooze does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Woken {
    /// What the row holds now.
    pub state: InboxState,
    /// By how much the badge moves.
    pub unread_by: i64,
    /// What happens to the escalation.
    pub escalation: EscalationChange,
}

/// What happens to a snoozed row whose time has come.
///
/// It comes back as if it were new, and is chased as its status says. What is over by then, or has expired, is no news any
/// more: it is found among what was read, and rings nowhere.
pub fn wake(row: Row, has_expired: bool) -> Woken {
    if has_expired || row.status == Status::Resolved {
        return Woken { state: InboxState::Read, unread_by: 0, escalation: EscalationChange::Keep };
    }
    let escalation = match row.status {
        Status::Firing => EscalationChange::Begin,
        Status::Acknowledged | Status::Suppressed | Status::Resolved => EscalationChange::Keep,
    };
    Woken { state: InboxState::New, unread_by: 1, escalation }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::Severity;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_snooze_has_a_time_and_nothing_else_has_one() {
        const DAY: i64 = 24 * 60 * 60;
        for (why, state, until, expected) in [
            ("in an hour", ReceiptState::Snoozed, Some(3_600), Ok(Some(at(3_600)))),
            ("as long as may be", ReceiptState::Snoozed, Some(30 * DAY), Ok(Some(at(30 * DAY)))),
            ("longer", ReceiptState::Snoozed, Some(30 * DAY + 1), Err("at most 30 days")),
            ("now", ReceiptState::Snoozed, Some(0), Err("must be in the future")),
            ("in the past", ReceiptState::Snoozed, Some(-1), Err("must be in the future")),
            ("for ever", ReceiptState::Snoozed, None, Err("is missing")),
            ("read", ReceiptState::Read, None, Ok(None)),
            ("read until", ReceiptState::Read, Some(3_600), Err("belongs to the state snoozed")),
        ] {
            let got = until_of(state, until.map(at), at(0));
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{why}"),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{why}: {got}"),
                (got, expected) => panic!("{why}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_snooze_begins_is_replaced_and_ends_by_this_table() {
        use InboxState::{Dismissed, New, Read, Seen, Snoozed};
        use ReceiptState as R;
        for (why, state, until, receipt, to, expected) in [
            ("put off unseen", New, None, R::Snoozed, Some(60), Some((Snoozed, Some(60)))),
            ("put off after it was seen", Seen, None, R::Snoozed, Some(60), Some((Snoozed, Some(60)))),
            ("put off after it was read", Read, None, R::Snoozed, Some(60), Some((Snoozed, Some(60)))),
            ("brought back, later", Dismissed, None, R::Snoozed, Some(60), Some((Snoozed, Some(60)))),
            ("longer", Snoozed, Some(60), R::Snoozed, Some(90), Some((Snoozed, Some(90)))),
            ("shorter", Snoozed, Some(60), R::Snoozed, Some(30), Some((Snoozed, Some(30)))),
            ("said twice", Snoozed, Some(60), R::Snoozed, Some(60), None),
            ("shown now", Snoozed, Some(60), R::Unread, None, Some((Seen, None))),
            ("on a screen that says so by itself, and late", Snoozed, Some(60), R::Seen, None, None),
            ("opened", Snoozed, Some(60), R::Read, None, Some((Read, None))),
            ("put away", Snoozed, Some(60), R::Dismissed, None, Some((Dismissed, None))),
            ("a client has it", Snoozed, Some(60), R::Delivered, None, None),
        ] {
            let standing = Standing { state, until: until.map(at) };
            let after = standing.after(receipt, to.map(at));
            let expected = expected.map(|(state, until)| Standing { state, until: until.map(at) });
            assert_eq!(after, expected, "{why}");
        }
    }

    #[test]
    fn a_snooze_ends_by_this_table() {
        use EscalationChange::{Begin, Keep};
        use InboxState::{New, Read};
        use Status::{Acknowledged, Firing, Resolved, Suppressed};
        for (why, status, has_expired, expected) in [
            ("it still goes on", Firing, false, (New, 1, Begin)),
            ("somebody took it on meanwhile", Acknowledged, false, (New, 1, Keep)),
            ("its producer put it off, too", Suppressed, false, (New, 1, Keep)),
            ("it is over", Resolved, false, (Read, 0, Keep)),
            ("it has expired", Firing, true, (Read, 0, Keep)),
        ] {
            let row = Row {
                version: 1,
                state: InboxState::Snoozed,
                severity: Severity::Warning,
                status,
                looked: None,
            };
            let Woken { state, unread_by, escalation } = wake(row, has_expired);
            assert_eq!((state, unread_by, escalation), expected, "{why}");
        }
    }
}
