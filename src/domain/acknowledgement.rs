//! Acknowledgements: which recipient has taken on an alert, under the policy rule [`super::GroupRule::FirstAcknowledges`].
//!
//! What holds here:
//! - To look at such an alert ends the looker's own escalation (I5) and nobody else's. What one person says for the others
//!   is said on purpose: `acknowledged`, or `passed_on`.
//! - Who takes it on first has it. It is anybody's again when it fires again or becomes worse ([`is_open_again`]), and when they pass it
//!   on after all.
//! - What is given back is told to the others again ([`state_given_back`]): whoever looked meanwhile had no reason to do anything.

use super::{InboxState, Status, Timestamp, UserId, inbox::Stand};

/// Where an alert stands that is to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Nobody has it.
    Open,
    /// This person has it.
    Taken {
        /// Who.
        by: UserId,
        /// Since when.
        at: Timestamp,
    },
}

/// Whether what was taken on is anybody's again, now that the alert says something else.
pub fn is_open_again(before: Stand, after: Stand) -> bool {
    after.status == Status::Firing && (before.status != Status::Firing || after.severity > before.severity)
}

/// What the row of another recipient becomes when an alert is given back, and their escalation begins again with it; none where it
/// stays as it is: whoever put it away said that it is not for them, and a snooze ends by itself.
pub fn state_given_back(state: InboxState) -> Option<InboxState> {
    match state {
        InboxState::New | InboxState::Seen | InboxState::Read => Some(InboxState::New),
        InboxState::Dismissed | InboxState::Snoozed => None,
    }
}

#[test]
fn what_was_taken_on_is_anybodys_again_by_this_table() {
    use super::Severity::{Critical, Info, Warning};
    use Status::{Acknowledged, Firing, Resolved, Suppressed};
    let stand = |(severity, status)| Stand { version: 1, severity, status };
    for (why, before, after, expected) in [
        ("a text was corrected", (Warning, Firing), (Warning, Firing), false),
        ("it is less bad", (Warning, Firing), (Info, Firing), false),
        ("it is worse", (Warning, Firing), (Critical, Firing), true),
        ("it fires again", (Warning, Resolved), (Warning, Firing), true),
        ("it fires again, and less", (Warning, Suppressed), (Info, Firing), true),
        ("its producer took it back", (Warning, Acknowledged), (Warning, Firing), true),
        ("it is over", (Warning, Firing), (Critical, Resolved), false),
        ("its producer has it", (Warning, Firing), (Critical, Acknowledged), false),
    ] {
        assert_eq!(is_open_again(stand(before), stand(after)), expected, "{why}");
    }
}
