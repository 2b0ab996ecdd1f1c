//! What a person's client says about their alerts.

use std::collections::BTreeMap;

use super::{AlertId, Answer, AttemptId, Timestamp, UserKey, alert::words};

/// One statement of one user about some of their alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who says it.
    pub user: UserKey,
    /// About which alerts. Ones that are not in the inbox are passed over.
    pub alerts: Vec<AlertId>,
    /// What is said.
    pub state: ReceiptState,
    /// Until when they are put off: checked by [`super::snooze::until_of`], given with `Snoozed` and only then.
    pub until: Option<Timestamp>,
    /// What is answered to which of the alerts, each by the same action: given with `Answered` and only then. An alert that is
    /// not here has no such action.
    pub answers: BTreeMap<AlertId, Answer>,
    /// The client's own name for this operation, echoed so that it knows its own doing.
    pub op: Option<String>,
    /// Where it was said: a session's id, `http`, [`BY_LINK`], [`BY_REPLY`], or `push`.
    pub by: String,
    /// The push that it is about, where the device said so with the push's own token: given with `Delivered` and only then.
    pub push: Option<ArrivedPush>,
}

/// A push that its device says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivedPush {
    /// Its attempt.
    pub attempt: AttemptId,
    /// Whether Google had lowered its priority on the way; none where the app did not say.
    pub priority_lowered: Option<bool>,
}

/// Said by a link in a message.
pub const BY_LINK: &str = "link";
/// Said by a reply to a mail.
pub const BY_REPLY: &str = "reply";

impl Receipt {
    /// What a person says who acknowledges one alert from a message, by its button or by a reply: one thing, however it was said. They
    /// take it on where one of its recipients is to do that (`is_to_be_taken_on`), and have seen it elsewhere.
    pub fn acknowledging(user: UserKey, alert: AlertId, by: &str, is_to_be_taken_on: bool) -> Self {
        Self {
            user,
            alerts: vec![alert],
            state: if is_to_be_taken_on { ReceiptState::Acknowledged } else { ReceiptState::Seen },
            until: None,
            answers: BTreeMap::new(),
            op: None,
            by: by.to_owned(),
            push: None,
        }
    }

    /// Whether it acknowledges from a message.
    pub fn is_from_a_message(&self) -> bool {
        self.answers.is_empty() && [BY_LINK, BY_REPLY].contains(&self.by.as_str())
    }

    /// The action by which the alerts are answered, if they are.
    pub fn action(&self) -> Option<&str> {
        self.answers.values().next().map(|answer| answer.action.as_str())
    }
}

/// Characters of a session's id that a person is shown: enough to tell their sessions apart.
const SESSION_SHOWN: usize = 4;

/// Where a receipt was said, in words for a timeline.
pub fn place_of(by: &str) -> String {
    match by.char_indices().nth(SESSION_SHOWN) {
        _ if by == "http" => "over HTTP".to_owned(),
        _ if by == BY_LINK => "by a link in a message".to_owned(),
        _ if by == BY_REPLY => "by a reply to a mail".to_owned(),
        Some((end, _)) => format!("by session {}…", &by[..end]),
        None => format!("by session {by}"),
    }
}

/// Alerts one receipt may name.
pub const RECEIPT_ALERTS_MAX: usize = 500;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptState {
    /// A client has it. The tab may be hidden, so nothing stops (I4) and the inbox does not change.
    Delivered,
    /// It was on a screen in front of somebody: everything stops (I5).
    Seen,
    /// It was opened.
    Read,
    /// It was put away.
    Dismissed,
    /// It is to count as unread again.
    Unread,
    /// It is to be out of the way until a time, and then new again.
    Snoozed,
    /// One of its buttons was pressed that answers its producer: it was opened, too.
    Answered,
    /// The person takes it on. Under a policy that asks for that it is theirs, and nobody else is chased.
    Acknowledged,
    /// It is not for this person: they put it away, and under a policy that asks for an acknowledgement what comes next for the
    /// others is due now.
    PassedOn,
}

words!(ReceiptState {
    Delivered = "delivered",
    Seen = "seen",
    Read = "read",
    Dismissed = "dismissed",
    Unread = "unread",
    Snoozed = "snoozed",
    Answered = "answered",
    Acknowledged = "acknowledged",
    PassedOn = "passed_on",
});

impl ReceiptState {
    /// What sessions are told that was said: what became of the rows, in a word that clients of every version know. Who took an
    /// alert on is told with the alert.
    pub fn told_as(self) -> Self {
        match self {
            Self::Acknowledged => Self::Read,
            Self::PassedOn => Self::Dismissed,
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_in_words() {
        for (by, told) in [
            ("e5a301ed-5f3c-4d8e-9c1b-2f7a60c1d9aa", "by session e5a3…"),
            ("tab", "by session tab"),
            ("éèêëà", "by session éèêë…"),
            ("http", "over HTTP"),
            ("link", "by a link in a message"),
            ("reply", "by a reply to a mail"),
        ] {
            assert_eq!(place_of(by), told);
        }
    }
}
