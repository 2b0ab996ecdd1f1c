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
    /// It is out of the way until a time ([`super::snooze`]).
    Snoozed,
}

words!(InboxState {
    New = "new",
    Seen = "seen",
    Read = "read",
    Dismissed = "dismissed",
    Snoozed = "snoozed",
});

impl InboxState {
    /// Whether it adds to the badge.
    pub fn is_unread(self) -> bool {
        matches!(self, Self::New | Self::Seen)
    }

    /// The state after a receipt, or `None` when the receipt changes nothing. Whether a snooze moves its time is
    /// [`super::snooze::Standing`]'s to say.
    #[allow(clippy::match_same_arms)] // A table: one row a receipt, and the one that never changes anything first.
    pub fn after(self, receipt: ReceiptState) -> Option<Self> {
        let next = match (receipt, self) {
            (ReceiptState::Delivered, _) => return None,
            // A screen says `seen` by itself, and perhaps late: that does not undo a person's snooze.
            (ReceiptState::Seen, Self::New) => Self::Seen,
            (ReceiptState::Read | ReceiptState::Answered, Self::New | Self::Seen | Self::Snoozed) => {
                Self::Read
            }
            // Whoever takes on what they had put away has it before them again.
            (ReceiptState::Acknowledged, Self::New | Self::Seen | Self::Dismissed | Self::Snoozed) => {
                Self::Read
            }
            (
                ReceiptState::Dismissed | ReceiptState::PassedOn,
                Self::New | Self::Seen | Self::Read | Self::Snoozed,
            ) => Self::Dismissed,
            (ReceiptState::Unread, Self::Read | Self::Dismissed | Self::Snoozed) => Self::Seen,
            (ReceiptState::Snoozed, _) => Self::Snoozed,
            (
                ReceiptState::Seen
                | ReceiptState::Read
                | ReceiptState::Answered
                | ReceiptState::Dismissed
                | ReceiptState::Unread
                | ReceiptState::Acknowledged
                | ReceiptState::PassedOn,
                _,
            ) => return None,
        };
        Some(next)
    }

    /// The state after the person's answer, or `None` when it changes nothing: a person answers an alert once, and what they
    /// said first stays, however often it shows or fires again. Whoever answers has read; what is read or put away stays so.
    pub fn after_answer(self, has_answered: bool) -> Option<Self> {
        match has_answered {
            true => None,
            false => Some(self.after(ReceiptState::Answered).unwrap_or(self)),
        }
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
    /// How bad it was when the person last looked at it, since it last began to fire; none when they did not look.
    pub looked: Option<Severity>,
}

/// What was sent of an alert to one person, and where its escalation stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chase {
    /// The worst severity that was sent, since it last began to fire or the person last looked. What is on its way counts.
    pub sent: Option<Severity>,
    /// Whether the escalation is open and has sent nothing yet. False when it is over, and when there is none.
    pub waits: bool,
    /// Whether the incoming version's policy is another than the one it goes by.
    pub is_other_policy: bool,
    /// Whether it ended because the version shown had expired, is about to, or is snoozed and would have by now.
    pub has_expired: bool,
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
        escalation: EscalationChange,
    },
}

/// What a change means for the escalation of that row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscalationChange {
    /// It begins at the first step of the version's policy, and nothing that was told before counts: the first version,
    /// or one that fires again.
    Begin,
    /// It begins anew at the first step of the version's policy, because the version is worse than what the person was
    /// told. Nobody waits longer than they would have without it.
    Anew,
    /// It has sent nothing and goes on under the version's policy. Nobody waits longer than they would have without it.
    GoOn,
    /// It goes on as it was, until the version's expiry; or there is none.
    Keep,
    /// It ends.
    Stop(StopReason),
}

/// What an incoming alert does to an inbox that holds `existing` of it.
///
/// A later version is shown in place and keeps what the person did, so that nobody sees two toasts for one alert. What
/// else follows (I13) is this table; the first line that holds is the one that counts. *Told* is the worse of what was
/// sent and what the person last looked at:
///
/// | the version | the row, and what was told | what follows |
/// |---|---|---|
/// | is not later | | unchanged |
/// | is over, or in somebody's hands | there is none | shown as new, nothing to stop |
/// | is over | snoozed | read: no news any more; the escalation stops |
/// | is over, or in somebody's hands | | in place; the escalation stops |
/// | fires | there is none, it was over and is not snoozed, or it had expired | new; the escalation begins, and what was told before is forgotten |
/// | is worse than the one shown | told of less than that, or of nothing | new again, also when it was snoozed; the escalation begins anew |
/// | is not worse | looked at as much, and the escalation waits | in place; it stops: there is nothing left to tell |
/// | has another policy | the escalation waits | in place; it goes on under the version's policy, no later |
/// | anything else | | in place, snoozed as it was; the escalation goes on as it was, until the version's expiry |
///
/// So a fall never opens an escalation, and what fell and rises to what was told already rings nobody a second time.
/// Another policy alone opens nothing anew, also when the severity rises to what was told and that policy rings louder. What is
/// kept of an escalation is the policy it last opened under, and it may have fallen and been stopped before it told anybody
/// under that: so nobody knows under which policy the person was told, and they could be rung a second time for what they
/// looked at. A producer who wants to ring raises the severity above it, or lets the alert fire again.
///
/// What expired is over, also when it was snoozed: a version that is valid again is news, as one that fires again is. So is
/// one of an alert that had expired when it came, which shows as read though nobody looked. Who was told all there is, or
/// looked, before it expired is not told again: their escalation ended by that.
///
/// Whether an escalation may break a silence is asked of the version that is shown (`next_step`), in every line. Whoever
/// snoozes has looked.
pub fn record(existing: Option<(Row, Chase)>, incoming: Stand) -> Recorded {
    let shown = |state, looked| Row {
        version: incoming.version,
        state,
        severity: incoming.severity,
        status: incoming.status,
        looked,
    };
    let Some((row, chase)) = existing else {
        let escalation = match stop_of(incoming.status) {
            None => EscalationChange::Begin,
            Some(_) => EscalationChange::Keep, // Over before anybody was told: there is nothing to stop.
        };
        return Recorded::Changed { row: shown(InboxState::New, None), unread_by: 1, escalation };
    };
    let in_place =
        |escalation| Recorded::Changed { row: shown(row.state, row.looked), unread_by: 0, escalation };
    let new_again = |looked, escalation| {
        let unread_by = i64::from(!row.state.is_unread());
        Recorded::Changed { row: shown(InboxState::New, looked), unread_by, escalation }
    };
    if incoming.version <= row.version {
        return Recorded::Unchanged;
    }
    if let Some(reason) = stop_of(incoming.status) {
        // What is over does not come back as news: it is among what was read, and rings nowhere.
        if (row.state, incoming.status) == (InboxState::Snoozed, Status::Resolved) {
            let (row, escalation) = (shown(InboxState::Read, row.looked), EscalationChange::Stop(reason));
            return Recorded::Changed { row, unread_by: 0, escalation };
        }
        return in_place(EscalationChange::Stop(reason));
    }
    let was_over = row.status != Status::Firing && row.state != InboxState::Snoozed;
    let was_read_by_nobody = row.state == InboxState::Read && row.looked.is_none();
    if was_over || chase.has_expired || was_read_by_nobody {
        return new_again(None, EscalationChange::Begin);
    }
    let is_worse = incoming.severity > row.severity;
    let says = Some(incoming.severity);
    if is_worse && says > row.looked.max(chase.sent) {
        return new_again(row.looked, EscalationChange::Anew);
    }
    if chase.waits && !is_worse && says <= row.looked {
        return in_place(EscalationChange::Stop(StopReason::Seen));
    }
    match chase.waits && chase.is_other_policy {
        true => in_place(EscalationChange::GoOn),
        false => in_place(EscalationChange::Keep),
    }
}

/// What an alert does that had expired when it came: late from a queue that stood, or from a clock that is wrong.
///
/// It is kept, for whoever looks, and nobody is told: it is no part of the badge, shows as read where an earlier version was
/// unread too, and its escalation opens only to end as expired, which the timeline says and which takes away what an
/// earlier version showed on phones.
pub fn record_expired(existing: Option<(Row, Chase)>, incoming: Stand) -> Recorded {
    let Recorded::Changed { row, escalation, .. } = record(existing, incoming) else {
        return Recorded::Unchanged;
    };
    let (state, unread_by) = match existing.map(|(existing, _)| existing.state) {
        None => (InboxState::Read, 0),
        Some(before) if before.is_unread() => (InboxState::Read, -1),
        // What was put off and is over is no news any more; nothing else becomes news either.
        Some(before) if row.state == InboxState::New => (before, 0),
        Some(_) => (row.state, 0),
    };
    let escalation = match stop_of(incoming.status) {
        None => EscalationChange::Begin,
        Some(_) => escalation,
    };
    Recorded::Changed { row: Row { state, ..row }, unread_by, escalation }
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
#[path = "inbox_tests.rs"]
pub(super) mod tests;
