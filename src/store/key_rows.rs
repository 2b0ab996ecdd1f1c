//! Rows of batches that are keys and nothing else: what many statements look rows up by.

use super::{EscalationKey, row_batch::batch_row};
use crate::domain::{AlertId, Tenant, UserKey};

batch_row! {
    /// A person.
    pub(super) struct UserRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
    }
}

impl<'a> UserRow<'a> {
    pub(super) fn of(user: &'a UserKey) -> Self {
        Self { tenant: user.tenant.as_str(), user_id: user.user.as_str() }
    }
}

batch_row! {
    /// An alert.
    pub(super) struct AlertRow<'a> {
        tenant: &'a str,
        alert_id: &'a str,
    }
}

impl<'a> AlertRow<'a> {
    pub(super) fn of(tenant: &'a Tenant, alert: &'a AlertId) -> Self {
        Self { tenant: tenant.as_str(), alert_id: alert.as_str() }
    }
}

batch_row! {
    /// An alert for a person: the key of an inbox row, and of its escalation.
    pub(super) struct UserAlertRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
    }
}

impl<'a> UserAlertRow<'a> {
    pub(super) fn of(user: &'a UserKey, alert: &'a AlertId) -> Self {
        Self { tenant: user.tenant.as_str(), user_id: user.user.as_str(), alert_id: alert.as_str() }
    }
}

batch_row! {
    /// The key of an escalation with its place in the batch, for rows that are sorted back into the order of the batch.
    pub(super) struct PlacedEscalationRow<'a> {
        place: i64,
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
    }
}

impl<'a> PlacedEscalationRow<'a> {
    /// These keys, in their order.
    pub(super) fn all(keys: &[&'a EscalationKey]) -> impl Iterator<Item = Self> {
        (0..).zip(keys).map(|(place, key)| {
            let UserAlertRow { tenant, user_id, alert_id } = UserAlertRow::of(&key.user, &key.alert);
            Self { place, tenant, user_id, alert_id }
        })
    }
}
