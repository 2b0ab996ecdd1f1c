//! One answer for each kind of failure of what stands behind the HTTP routes: the store and the broker.
//!
//! What holds here:
//! - The answer follows from the [`FailureKind`] alone, so both HTTP workers say the same about the same failure.
//! - What may pass by itself is 503 with `Retry-After`, never 429: Alertmanager does not repeat what was answered 429.
//! - The cause goes into the log and not into the answer. An engine's own words may repeat a value (I12).
//!
//! The store and the broker stand on the runtime, so they cannot be named here. Their errors implement [`Failure`].

use jiff::Timestamp;
use tracing::warn;

use crate::{domain::Untrusted, runtime::log_limit::LogLimit, wire::Problem};

/// When a client that was sent away should come back, in seconds.
pub const RETRY_AFTER_S: u32 = 5;

/// What a client can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The store does not answer, or cannot work at the moment. Nothing was done, or nobody knows: repeat the request.
    StoreUnavailable,
    /// The broker does not confirm, or its queues are missing. Nothing was done, or nobody knows: repeat the request.
    BrokerUnavailable,
    /// A value was refused, and would be refused again.
    Refused,
    /// A message is longer than the broker carries.
    TooLarge,
    /// What is stored cannot be read by this version.
    Unreadable,
}

impl FailureKind {
    /// The answer to a request that met this failure.
    pub fn problem(self) -> Problem {
        match self {
            Self::StoreUnavailable => {
                Problem::unavailable("The store does not answer: send the request again.", RETRY_AFTER_S)
            }
            Self::BrokerUnavailable => Problem::unavailable(
                "The broker did not confirm in time: send the request again.",
                RETRY_AFTER_S,
            ),
            Self::Refused => Problem::not_storable("The store cannot hold a value of this request."),
            Self::TooLarge => {
                Problem::too_large("The request becomes a message that is too long: shorten it.")
            }
            Self::Unreadable => {
                Problem::internal("What is stored cannot be read; the operator finds the cause in the log.")
            }
        }
    }
}

/// An error that is a failure of the store or of the broker, and so has an answer over HTTP.
pub trait Failure: std::error::Error {
    /// What a client can do about it.
    fn kind(&self) -> FailureKind;
}

/// Readiness tells of an outage, once and not for each request; here is the cause that a request met.
static OUTAGES: LogLimit = LogLimit::per_minute(1);
/// What a value of a request is refused for. Whoever sends requests can cause these lines at will.
static REFUSALS: LogLimit = LogLimit::per_minute(20);

/// For `?` in handlers. The client gets what follows from the kind, and the operator finds the cause in the log.
impl<E: Failure> From<E> for Problem {
    fn from(error: E) -> Self {
        let kind = error.kind();
        let limit = match kind {
            FailureKind::StoreUnavailable | FailureKind::BrokerUnavailable => &OUTAGES,
            FailureKind::Refused | FailureKind::TooLarge | FailureKind::Unreadable => &REFUSALS,
        };
        if let Some(left_out) = limit.admit(Timestamp::now()) {
            let error = Untrusted(&error);
            warn!(%error, left_out, "A request could not be served: {error}");
        }
        kind.problem()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_503_with_a_time_and_nothing_else_is() {
        for (kind, status, retry_after_s) in [
            (FailureKind::StoreUnavailable, 503, Some(RETRY_AFTER_S)),
            (FailureKind::BrokerUnavailable, 503, Some(RETRY_AFTER_S)),
            (FailureKind::Refused, 422, None),
            (FailureKind::TooLarge, 413, None),
            (FailureKind::Unreadable, 500, None),
        ] {
            let problem = kind.problem();
            assert_eq!((problem.status, problem.retry_after_s), (status, retry_after_s), "{kind:?}");
            assert!(problem.detail.is_some(), "{kind:?} says what to do");
        }
    }

    #[test]
    fn the_cause_is_not_in_the_answer() {
        #[derive(Debug, thiserror::Error)]
        #[error("canary")]
        struct Secretive;
        impl Failure for Secretive {
            fn kind(&self) -> FailureKind {
                FailureKind::Refused
            }
        }
        assert_eq!(Problem::from(Secretive), FailureKind::Refused.problem());
    }
}
