//! How long what is kept of alerts and the audit log are kept, and which row of an inbox may go.
//!
//! An alert is as old as the version that is shown. Nothing that is still going on is deleted, however old it is: a person may
//! still be told of it, or it comes back by itself.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::Tenant;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the row of a deleted alert stays that knows its id and its versions, and nothing of what it said: as long as that
/// it is known what is delivered once more.
pub const DELETED_REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long what one tenant has is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Alerts with their inbox rows, since the version that is shown arrived.
    pub alerts_kept: Duration,
    /// Rows of one person's inbox; what changed longest ago goes first.
    pub alerts_per_person_max: u32,
    /// Attempts and the lines of timelines.
    pub timelines_kept: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { alerts_kept: 90 * DAY, alerts_per_person_max: 1_000, timelines_kept: 30 * DAY }
    }
}

/// How long what each tenant has is kept, and what belongs to the whole installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRules {
    /// For everybody without rules of their own.
    pub everybody: Retention,
    /// Tenants with rules of their own.
    pub tenants: BTreeMap<Tenant, Retention>,
    /// Entries of the audit log. Whoever answers for the installation reads it, so no tenant has a rule of its own.
    pub audit_kept: Duration,
    /// What the embedded broker parked for the operator.
    pub parked_kept: Duration,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self {
            everybody: Retention::default(),
            tenants: BTreeMap::new(),
            audit_kept: 400 * DAY,
            parked_kept: 90 * DAY,
        }
    }
}

impl RetentionRules {
    /// What holds for a tenant.
    pub fn of(&self, tenant: &Tenant) -> Retention {
        self.tenants.get(tenant).copied().unwrap_or(self.everybody)
    }
}

/// Where the escalation of an inbox row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscalationStanding {
    /// Whether it ended.
    pub has_ended: bool,
    /// Whether somebody is to look at it at some time.
    pub has_timer: bool,
    /// Whether its work is among the dead letters.
    pub is_set_aside: bool,
}

impl EscalationStanding {
    /// Whether it is over. One that was set aside is: nobody looks at it until its dead letter is replayed.
    pub fn is_over(self) -> bool {
        !self.has_timer && (self.has_ended || self.is_set_aside)
    }
}

/// What decides whether a row of an inbox may go.
#[derive(Debug, Clone, Copy)]
pub struct KeptRow {
    /// When the version of its alert that is shown arrived; none when the alert is not stored any more.
    pub latest_at: Option<Timestamp>,
    /// Whether the person put it off.
    pub is_snoozed: bool,
    /// Whether the alert fires again by itself at some time.
    pub returns: bool,
    /// Its escalation; none when there never was one.
    pub escalation: Option<EscalationStanding>,
}

/// Whether a row may go whose alert has to be older than this, if it has to be.
pub fn may_go(row: KeptRow, before: Option<Timestamp>) -> bool {
    let is_old = match (before, row.latest_at) {
        (Some(before), Some(latest_at)) => latest_at < before,
        (_, None) | (None, _) => true,
    };
    is_old && !row.is_snoozed && !row.returns && row.escalation.is_none_or(EscalationStanding::is_over)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn what_is_old_and_over_goes_by_this_table() {
        let over = EscalationStanding { has_ended: true, has_timer: false, is_set_aside: false };
        let row =
            KeptRow { latest_at: Some(at(10)), is_snoozed: false, returns: false, escalation: Some(over) };
        let with = |escalation| KeptRow { escalation: Some(escalation), ..row };
        let running = EscalationStanding { has_ended: false, has_timer: true, is_set_aside: false };
        let aside = EscalationStanding { has_ended: false, has_timer: false, is_set_aside: true };
        for (why, row, before, expected) in [
            ("old, and seen", row, Some(at(11)), true),
            ("not older than the bound", row, Some(at(10)), false),
            ("beyond the count: its age does not matter", row, None, true),
            ("nobody was ever told", KeptRow { escalation: None, ..row }, Some(at(11)), true),
            ("put off", KeptRow { is_snoozed: true, ..row }, Some(at(11)), false),
            ("put off, beyond the count", KeptRow { is_snoozed: true, ..row }, None, false),
            ("suppressed until a time", KeptRow { returns: true, ..row }, None, false),
            ("somebody is still told of it", with(running), Some(at(11)), false),
            ("the same beyond the count", with(running), None, false),
            (
                "its push is being taken back",
                with(EscalationStanding { has_timer: true, ..over }),
                Some(at(11)),
                false,
            ),
            (
                "lost: the auditor makes it due",
                with(EscalationStanding { has_timer: false, ..running }),
                None,
                false,
            ),
            ("set aside, as a dead letter", with(aside), Some(at(11)), true),
            (
                "set aside, and due again",
                with(EscalationStanding { has_timer: true, ..aside }),
                Some(at(11)),
                false,
            ),
            ("its alert is gone already", KeptRow { latest_at: None, ..row }, Some(at(0)), true),
        ] {
            assert_eq!(may_go(row, before), expected, "{why}");
        }
    }

    #[test]
    fn a_tenant_has_its_own_rules_or_those_of_everybody() {
        let acme = Tenant::parse("acme").unwrap();
        let own = Retention { alerts_per_person_max: 10, ..Retention::default() };
        let rules = RetentionRules { tenants: [(acme.clone(), own)].into(), ..RetentionRules::default() };
        assert_eq!(rules.of(&acme), own);
        assert_eq!(rules.of(&Tenant::parse("other").unwrap()), Retention::default());
    }
}
