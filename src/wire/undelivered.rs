//! What the escalator hands to the senders: which escalation is due, and by which claim.

use serde::{Deserialize, Serialize};

use crate::domain::{AlertId, InvalidName, Tenant, UserId, UserKey};

/// The body of a message on `watchbell.undelivered`. It says where to look, not what to do: that is decided on the
/// store's state when it is taken (I5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndeliveredV1 {
    /// The version of this format: 1.
    pub v: u8,
    /// Whose.
    pub tenant: String,
    /// Whose.
    pub user: String,
    /// Of what.
    pub alert: String,
    /// Which handing-out; a later one makes this message void.
    pub claim: u64,
}

impl UndeliveredV1 {
    /// What is due.
    pub fn new(user: &UserKey, alert: &AlertId, claim: u64) -> Self {
        let (tenant, user) = (user.tenant.to_string(), user.user.as_str().to_owned());
        Self { v: 1, tenant, user, alert: alert.to_string(), claim }
    }

    /// The names it holds, checked.
    ///
    /// # Errors
    /// One of them is not a name.
    pub fn names(&self) -> Result<(UserKey, AlertId), InvalidName> {
        let user = UserKey::new(Tenant::parse(&self.tenant)?, UserId::parse(&self.user)?);
        Ok((user, AlertId::parse(&self.alert)?))
    }

    /// The message body.
    pub fn encode(&self) -> Vec<u8> {
        // Text and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
