//! The receipts of devices: a push carries a token with which the phone says that it arrived, without its person's token.
//!
//! What holds here:
//! - The token of a push says `delivered` of the alert of that push, and nothing else: it is not a session, and reads nothing.
//! - What it says stops nothing: a phone has the push, which nobody need have looked at (I4).
//! - Saying it again changes nothing; the first time counts.
//! - It is void once its person's sessions were ended, and once its push was deleted.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use watchbell::{
    domain::{ArrivedPush, AttemptId, Receipt, ReceiptState, Secret, Timestamp, UserKey},
    runtime::{Clock, Current, http::FailureKind},
    store::SentPush,
    wire::{
        Problem,
        push_receipt::{PushReceipts, UnusableReceipt, is_push_receipt},
    },
};

use crate::{
    entry::{
        credentials::token_of,
        sign_in::{SignIn, sessions_ended},
    },
    feed::inbox::Inbox,
    token::Identity,
};

/// Reads the tokens of pushes. None when pushes have none; replaced when their secret is.
#[derive(Clone)]
pub(crate) struct PushReceiptReader(pub(crate) Current<Option<PushReceipts>>);

/// Who says a receipt.
pub(crate) enum ReceiptSpeaker {
    /// A person, by their token.
    Person(Identity),
    /// A device, by the token of a push.
    Device {
        /// The push's attempt.
        attempt: AttemptId,
        push: SentPush,
    },
}

impl<S: Send + Sync> FromRequestParts<S> for ReceiptSpeaker
where
    SignIn: FromRef<S>,
    PushReceiptReader: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = token_of(&parts.headers);
        let Some(token) = token.as_ref().map(Secret::expose).filter(|token| is_push_receipt(token)) else {
            return Identity::from_request_parts(parts, state).await.map(Self::Person);
        };
        let now = Clock::from_ref(state).now();
        let attempt = PushReceiptReader::from_ref(state).attempt_of(token, now).map_err(|why| {
            count(match why {
                UnusableReceipt::Unknown => "refused",
                UnusableReceipt::Expired => "expired",
            });
            Problem::unauthorized(why.to_string())
        })?;
        let push = push_of(&SignIn::from_ref(state).inbox, attempt).await?;
        let push = push.inspect_err(|_| count("refused"))?;
        Ok(Self::Device { attempt, push })
    }
}

impl PushReceiptReader {
    fn attempt_of(&self, token: &str, now: Timestamp) -> Result<AttemptId, UnusableReceipt> {
        let reader = self.0.get();
        Option::as_ref(&reader).ok_or(UnusableReceipt::Unknown)?.read(token, now)
    }
}

/// The push of an attempt; a refusal where it is gone, or where its person's sessions were ended since.
async fn push_of(inbox: &Inbox, attempt: AttemptId) -> Result<Result<SentPush, Problem>, Problem> {
    let Some(push) = inbox.store.sent_push(attempt).await? else {
        let gone = "the push of this receipt token is not known any more: there is nothing to say of it";
        return Ok(Err(Problem::unauthorized(gone)));
    };
    let head = inbox.head(&push.key.user).await.map_err(|_| FailureKind::StoreUnavailable.problem())?;
    match head.refuses(Some(push.begun_at)) {
        true => Ok(Err(sessions_ended())),
        false => Ok(Ok(push)),
    }
}

impl ReceiptSpeaker {
    /// Whose alerts it may be about.
    pub(crate) fn user(&self) -> &UserKey {
        match self {
            Self::Person(identity) => &identity.user,
            Self::Device { push, .. } => &push.key.user,
        }
    }

    /// Where it is said, as `by` of the receipt has it.
    pub(crate) fn by(&self) -> &'static str {
        match self {
            Self::Person(_) => "http",
            Self::Device { .. } => "push",
        }
    }

    pub(crate) fn is_device(&self) -> bool {
        matches!(self, Self::Device { .. })
    }

    /// The receipt, if whoever says it may: a device only `delivered`, of the alert of its push, and whether Google had lowered the
    /// priority of that push.
    pub(crate) fn may_say(
        &self,
        receipt: Receipt,
        priority_lowered: Option<bool>,
    ) -> Result<Receipt, Problem> {
        let Self::Device { attempt, push } = self else { return Ok(receipt) };
        let problem = if receipt.state != ReceiptState::Delivered {
            "the receipt token of a push says `delivered` and nothing else: send other states with the person's token"
        } else if receipt.alerts.iter().any(|alert| *alert != push.key.alert) {
            "the receipt token is of a push about another alert: send the token that came with this one"
        } else {
            let push = ArrivedPush { attempt: *attempt, priority_lowered };
            return Ok(Receipt { push: Some(push), ..receipt });
        };
        count("refused");
        Err(Problem::forbidden(problem))
    }

    /// Counts the receipt of a device that was written.
    pub(crate) fn was_written(&self, priority_lowered: Option<bool>, now: Timestamp) {
        let Self::Device { push, .. } = self else { return };
        if push.reached_at.is_some() {
            return count("repeated");
        }
        count("reached");
        if let Some(is_lowered) = priority_lowered {
            let priority = if is_lowered { "lowered" } else { "kept" };
            metrics::counter!("watchbell_socket_push_priorities_total", "priority" => priority).increment(1);
        }
        let took = now.duration_since(push.begun_at).as_secs_f64().max(0.0);
        metrics::histogram!("watchbell_socket_push_reached_seconds").record(took);
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("watchbell_socket_push_receipts_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use watchbell::{
        domain::{AlertId, Tenant, UserId},
        store::EscalationKey,
    };

    use super::*;

    #[test]
    fn the_token_of_a_push_says_delivered_of_its_alert_and_nothing_else() {
        let id = |id: &str| AlertId::parse(id).unwrap();
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let key = EscalationKey { user: user.clone(), alert: id("a") };
        let push = SentPush { key, begun_at: Timestamp::UNIX_EPOCH, reached_at: None };
        let attempt = AttemptId::from_u128(7);
        let device = ReceiptSpeaker::Device { attempt, push };
        for (why, state, alerts, is_good) in [
            ("what it is for", ReceiptState::Delivered, &["a"][..], true),
            ("the same twice", ReceiptState::Delivered, &["a", "a"], true),
            ("another alert", ReceiptState::Delivered, &["b"], false),
            ("another alert beside it", ReceiptState::Delivered, &["a", "b"], false),
            ("that somebody looked", ReceiptState::Seen, &["a"], false),
            ("that it was opened", ReceiptState::Read, &["a"], false),
            ("that it was put away", ReceiptState::Dismissed, &["a"], false),
            ("that it is new again", ReceiptState::Unread, &["a"], false),
            ("that it waits", ReceiptState::Snoozed, &["a"], false),
            ("an answer", ReceiptState::Answered, &["a"], false),
        ] {
            let receipt = Receipt {
                user: user.clone(),
                alerts: alerts.iter().copied().map(id).collect(),
                state,
                until: None,
                answers: BTreeMap::new(),
                op: None,
                by: device.by().to_owned(),
                push: None,
            };
            let pushed = ArrivedPush { attempt, priority_lowered: Some(true) };
            match device.may_say(receipt, Some(true)) {
                Ok(receipt) => assert!(is_good && receipt.push == Some(pushed), "{why}"),
                Err(problem) => assert!(!is_good && problem.status == 403, "{why}: {problem:?}"),
            }
        }
    }
}
