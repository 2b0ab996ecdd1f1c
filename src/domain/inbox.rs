//! The inbox: a user's alerts with their state, and the change number that orders everything (I2, I3).
//!
//! What one incoming alert or receipt does to one row is decided here; stores only carry it out.

use super::{Alert, ReceiptState, Severity, Status, StopReason, alert::words};

/// A user's change number: how many changes their inbox has had. Grows by exactly 1 with each (I3).
pub type Seq = u64;

/// What the person did with an alert. Delivery is another axis and has a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InboxState {
    /// Nobody has looked.
    New,
    /// It was on a screen.
    Seen,
    /// It was opened.
    Read,
    /// It was put away.
    Dismissed,
}

words!(InboxState { New = "new", Seen = "seen", Read = "read", Dismissed = "dismissed" });

impl InboxState {
    /// Whether it adds to the badge.
    pub fn is_unread(self) -> bool {
        matches!(self, Self::New | Self::Seen)
    }

    /// The state after a receipt, or `None` when the receipt changes nothing.
    #[allow(clippy::match_same_arms)] // A table: one row a receipt, and the one that never changes anything first.
    pub fn after(self, receipt: ReceiptState) -> Option<Self> {
        let next = match (receipt, self) {
            (ReceiptState::Delivered, _) => return None,
            (ReceiptState::Seen, Self::New) => Self::Seen,
            (ReceiptState::Read, Self::New | Self::Seen) => Self::Read,
            (ReceiptState::Dismissed, Self::New | Self::Seen | Self::Read) => Self::Dismissed,
            (ReceiptState::Unread, Self::Read | Self::Dismissed) => Self::Seen,
            (ReceiptState::Seen | ReceiptState::Read | ReceiptState::Dismissed | ReceiptState::Unread, _) => {
                return None;
            }
        };
        Some(next)
    }
}

/// What the inbox holds of an alert already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The version shown.
    pub version: u32,
    /// What the person did.
    pub state: InboxState,
    /// How bad the version shown is.
    pub severity: Severity,
    /// Where the version shown stands.
    pub status: Status,
}

/// What an alert says, as far as it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Which version says it.
    pub version: u32,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
}

impl Stand {
    /// What this alert says.
    pub fn of(alert: &Alert) -> Self {
        Self { version: alert.version, severity: alert.severity, status: alert.status }
    }
}

/// What an incoming alert does to one inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Published before, or older than what is shown: not a change (I2).
    Unchanged,
    /// The row becomes this, under the next change number.
    Changed {
        /// What the row holds now.
        row: Row,
        /// By how much the badge moves: -1, 0 or 1.
        unread_by: i64,
        /// What happens to the escalation.
        escalation: Escalation,
    },
}

/// What a change means for the escalation of that row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// The walk begins (again) at the policy's first step.
    Open,
    /// It goes on as it was, or there is none.
    Keep,
    /// It ends.
    Stop(StopReason),
}

/// What an incoming alert does to an inbox that holds `existing` of it.
///
/// A later version is shown in place and keeps what the person did, so that nobody sees two toasts for one
/// alert. It counts as new again only when it fires again after it was over, or when it is worse than before.
pub fn record(existing: Option<Row>, incoming: Stand) -> Recorded {
    let shown = |state| Row {
        version: incoming.version,
        state,
        severity: incoming.severity,
        status: incoming.status,
    };
    let Some(row) = existing else {
        let escalation = match stop_of(incoming.status) {
            None => Escalation::Open,
            Some(_) => Escalation::Keep, // Over before anybody was told: there is nothing to stop.
        };
        return Recorded::Changed { row: shown(InboxState::New), unread_by: 1, escalation };
    };
    if incoming.version <= row.version {
        return Recorded::Unchanged;
    }
    if let Some(reason) = stop_of(incoming.status) {
        let escalation = Escalation::Stop(reason);
        return Recorded::Changed { row: shown(row.state), unread_by: 0, escalation };
    }
    let fires_again = row.status != Status::Firing;
    let is_worse = incoming.severity > row.severity;
    if fires_again || is_worse {
        let unread_by = i64::from(!row.state.is_unread());
        // Still unseen and merely worse: the walk that is under way goes on, it does not start over.
        let escalation = match (row.state, fires_again) {
            (InboxState::New, false) => Escalation::Keep,
            _ => Escalation::Open,
        };
        return Recorded::Changed { row: shown(InboxState::New), unread_by, escalation };
    }
    Recorded::Changed { row: shown(row.state), unread_by: 0, escalation: Escalation::Keep }
}

fn stop_of(status: Status) -> Option<StopReason> {
    match status {
        Status::Firing => None,
        Status::Acknowledged => Some(StopReason::Acknowledged),
        Status::Suppressed => Some(StopReason::Suppressed),
        Status::Resolved => Some(StopReason::Resolved),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{AlertId, Audience, Tenant, Timestamp};

    pub(in crate::domain) fn alert(version: u32, severity: Severity, status: Status) -> Alert {
        Alert {
            id: AlertId::parse("a").unwrap(),
            version,
            tenant: Tenant::parse("acme").unwrap(),
            to: Audience::default(),
            source: None,
            category: None,
            severity,
            status,
            title: "t".into(),
            body: None,
            url: None,
            labels: Default::default(),
            data: Default::default(),
            policy: None,
            collapse_key: None,
            occurred_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            dismissed_until: None,
        }
    }

    #[test]
    fn an_incoming_alert_changes_a_row_by_this_table() {
        use Escalation::{Keep, Open, Stop};
        use InboxState::{Dismissed, New, Read, Seen};
        use Severity::{Critical, Warning};
        use Status::{Acknowledged, Firing, Resolved, Suppressed};
        let row = |version, state, status| Some(Row { version, state, severity: Warning, status });
        for (why, existing, incoming, expected) in [
            ("first sight", None, alert(1, Warning, Firing), Some((New, 1, Open))),
            ("over before anybody was told", None, alert(2, Warning, Resolved), Some((New, 1, Keep))),
            ("published twice", row(1, New, Firing), alert(1, Warning, Firing), None),
            ("overtaken by a later version", row(2, New, Resolved), alert(1, Warning, Firing), None),
            (
                "a new wording keeps what was done",
                row(1, Read, Firing),
                alert(2, Warning, Firing),
                Some((Read, 0, Keep)),
            ),
            (
                "resolved ends it",
                row(1, New, Firing),
                alert(2, Warning, Resolved),
                Some((New, 0, Stop(StopReason::Resolved))),
            ),
            (
                "acknowledged ends it",
                row(1, Seen, Firing),
                alert(2, Warning, Acknowledged),
                Some((Seen, 0, Stop(StopReason::Acknowledged))),
            ),
            (
                "suppressed ends it",
                row(1, New, Firing),
                alert(2, Warning, Suppressed),
                Some((New, 0, Stop(StopReason::Suppressed))),
            ),
            (
                "fires again: new again",
                row(2, Read, Resolved),
                alert(3, Warning, Firing),
                Some((New, 1, Open)),
            ),
            (
                "fires again, was still unread",
                row(2, Seen, Resolved),
                alert(3, Warning, Firing),
                Some((New, 0, Open)),
            ),
            (
                "worse, and it was put away",
                row(1, Dismissed, Firing),
                alert(2, Critical, Firing),
                Some((New, 1, Open)),
            ),
            (
                "worse, but nobody looked yet",
                row(1, New, Firing),
                alert(2, Critical, Firing),
                Some((New, 0, Keep)),
            ),
        ] {
            let got = match record(existing, Stand::of(&incoming)) {
                Recorded::Unchanged => None,
                Recorded::Changed { row, unread_by, escalation } => {
                    assert_eq!((row.version, row.status), (incoming.version, incoming.status), "{why}");
                    Some((row.state, unread_by, escalation))
                }
            };
            assert_eq!(got, expected, "{why}");
        }
    }

    #[test]
    fn a_receipt_changes_a_state_by_this_table() {
        use InboxState::{Dismissed, New, Read, Seen};
        use ReceiptState as R;
        for (state, receipt, expected) in [
            (New, R::Delivered, None),
            (New, R::Seen, Some(Seen)),
            (New, R::Read, Some(Read)),
            (New, R::Dismissed, Some(Dismissed)),
            (New, R::Unread, None),
            (Seen, R::Seen, None),
            (Seen, R::Read, Some(Read)),
            (Seen, R::Dismissed, Some(Dismissed)),
            (Seen, R::Unread, None),
            (Read, R::Seen, None),
            (Read, R::Read, None),
            (Read, R::Dismissed, Some(Dismissed)),
            (Read, R::Unread, Some(Seen)),
            (Dismissed, R::Seen, None),
            (Dismissed, R::Read, None),
            (Dismissed, R::Dismissed, None),
            (Dismissed, R::Unread, Some(Seen)),
        ] {
            assert_eq!(state.after(receipt), expected, "{state} after {receipt}");
        }
    }
}
