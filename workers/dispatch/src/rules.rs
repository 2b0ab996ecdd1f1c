//! What is recorded of an alert, by its policy.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use watchbell::{
    domain::{Alert, PolicyStep, UserId, policy::Policies},
    store::NewAlert,
};

/// What decides about timers.
pub(crate) struct Rules {
    pub(crate) policies: Arc<Policies>,
    /// When an alert expires that says nothing of it, nor does its policy.
    pub(crate) expires_after: Duration,
}

impl Rules {
    /// The alert for these people, recorded now, under its policy. Those of a large audience are recorded later than the
    /// first, so their first step is due later; but it expires for all at once, counted from when it `began`.
    pub(crate) fn apply(
        &self,
        alert: &Arc<Alert>,
        content: &Arc<str>,
        recipients: Vec<UserId>,
        began: Timestamp,
        now: Timestamp,
    ) -> NewAlert {
        let name = self.policies.name_for(alert);
        let policy = self.policies.get_or_default(&alert.tenant, name);
        let first = policy.steps.first();
        let expires_after = policy.expires_after.unwrap_or(self.expires_after);
        let expires_at = alert.expires_at.unwrap_or(began + expires_after);
        // What had expired before it came waits for nothing: its escalation ends, and says so.
        let due_at = |step: &PolicyStep| if expires_at <= now { now } else { now + step.after };
        NewAlert {
            alert: alert.clone(),
            content: content.clone(),
            recipients,
            policy: name.into(),
            group: policy.group,
            first_due_at: first.map(due_at),
            // There is no screen to wait for.
            absent_due_at: first.map(|_| now),
            expires_at,
            returns: false,
            rest: None,
            publication: None,
            trace: None,
        }
    }
}
