//! Why a token is not believed, in words that say nothing of what is in it, and how often that is logged.
//!
//! The reason goes to whoever sent the token and to the log, because a sign-in that is set up wrongly can otherwise not
//! be told from an attack. Nothing that it says helps to forge one: a signature that is not ours is one reason, and
//! every other is only found behind a good signature.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use tracing::info;
use watchbell::runtime::log_limit::LogLimit;

/// Refusals of one kind that are logged in a minute; the rest are counted and told with the next.
const LOG_MAX: u32 = 5;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once: get a new one.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours: forged, garbled, for somebody else, or without what is needed.
    #[error("the token is not valid here: {0}")]
    Invalid(Refusal),
    /// Its key is not known, and the keys have not been read since it came: it may be good a little later.
    #[error("the token's key is not known yet: try again")]
    UnknownKey,
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal)
    }
}

/// What is wrong with a token, without any of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not three parts in base64url, not JSON inside, or a registered claim of a type that it cannot have.
    #[error("it is not a JSON Web Token (RFC 7519)")]
    NotAToken,
    /// Longer than any that is looked at.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// Bytes that are looked at.
        max: usize,
    },
    /// The header lists extensions that have to be understood (RFC 7515, section 4.1.11), and we know none.
    #[error("its header has `crit` with a name that is not understood here")]
    Critical,
    /// None of the keys has signed it with the algorithm that belongs to the key.
    #[error("none of the configured keys has signed it")]
    Signature,
    /// It is for others than `auth.audience`.
    #[error("its `aud` does not name this audience (auth.audience)")]
    Audience,
    /// It is from another than `auth.issuer`.
    #[error("its `iss` is not the issuer that is believed (auth.issuer)")]
    Issuer,
    /// It begins later than now.
    #[error("its time has not begun (`nbf`): compare the clocks")]
    NotYet,
    /// It says it was made later than now.
    #[error("it was issued in the future (`iat`): compare the clocks")]
    FromTheFuture,
    /// A claim is missing or is not what it should be.
    #[error("its claim `{claim}` {problem}")]
    Claim {
        /// The claim's name.
        claim: String,
        /// What is wrong with it.
        problem: ClaimProblem,
    },
}

/// What is wrong with one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimProblem {
    /// It is needed.
    #[error("is missing")]
    Missing,
    /// A time that is not one.
    #[error("must be a number of seconds since 1970 (NumericDate)")]
    NotATime,
    /// A name of a type that cannot be one.
    #[error("must be a text")]
    NotAName,
    /// A text that cannot be a user's id.
    #[error("is not a user id: 1 to 256 bytes of text without control characters or blanks at its ends")]
    NotAUser,
    /// A text that cannot be a tenant's id.
    #[error("is not a tenant: 1 to 64 bytes of letters, digits and . _ - : @ + ~ =")]
    NotATenant,
    /// There is no tenant for it.
    #[error("is missing, and no auth.default_tenant is configured")]
    NoTenant,
}

impl Refusal {
    pub(crate) fn claim(claim: &impl fmt::Display, problem: ClaimProblem) -> Self {
        Self::Claim { claim: claim.to_string(), problem }
    }

    /// What jsonwebtoken found, for a token with a readable header that one key did not accept. It reads the claims
    /// only behind a good signature.
    pub(crate) fn of(error: &ErrorKind) -> Self {
        match error {
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::MissingRequiredClaim(claim) => {
                Self::Claim { claim: claim.clone(), problem: ClaimProblem::Missing }
            }
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => Self::NotAToken,
            _ => Self::Signature,
        }
    }

    /// Whether a key of ours had signed the token, so that no other key can do better.
    pub(crate) fn is_behind_the_signature(&self) -> bool {
        *self != Self::Signature
    }

    /// For metrics and for the bound of the log: a few words, whoever sends what.
    fn code(&self) -> &'static str {
        match self {
            Self::NotAToken => "not_a_token",
            Self::TooLong { .. } => "too_long",
            Self::Critical => "critical",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::NotYet => "not_yet",
            Self::FromTheFuture => "from_the_future",
            Self::Claim { .. } => "claim",
        }
    }
}

/// Logs refusals, a bounded number of each kind in a window, and counts them all.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    kinds: Mutex<BTreeMap<&'static str, LogLimit>>,
}

impl RefusalLog {
    /// Tells of a token that was refused.
    pub(crate) fn tell(&self, error: &TokenError, now: Timestamp) {
        let TokenError::Invalid(refusal) = error else { return };
        let code = refusal.code();
        metrics::counter!("watchbell_socket_tokens_refused_total", "reason" => code).increment(1);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = kinds.entry(code).or_insert_with(|| LogLimit::per_minute(LOG_MAX));
        let Some(left_out) = limit.admit(now) else { return };
        info!(reason = code, left_out, "A token was refused: {refusal}");
    }
}
