//! Whose token is believed, and what it allows.
//!
//! | file | what |
//! |---|---|
//! | `authenticator.rs` | checks a token: signature, times, user, tenant |
//! | `identity.rs` | who somebody is, and what their token allows |
//! | `verifier.rs` | the authenticator and the clock: whose token it is now, and until when |
//! | `claims.rs` | what a token says, and under which names: pure |
//! | `jwks.rs` | the keys of a sign-in service, read from its address |
//! | `validation.rs` | audience and issuer, asked of every key's tokens |
//! | `refusal.rs` | why a token is not believed, without its content, and how often that is logged |
//! | `signed.rs` | one token of any sign-in service, by keys that are read for it |
//! | `mint.rs` | tokens made here, for demos and tests |

mod authenticator;
mod claims;
mod identity;
mod jwks;
mod mint;
mod refusal;
mod signed;
mod validation;
mod verifier;

pub use authenticator::{Authenticator, TOKEN_BYTES_MAX};
pub use identity::{Grants, Identity};
pub use jwks::is_unchanged_on_its_way;
pub use mint::{NewToken, mint};
pub use refusal::{ClaimProblem, Refusal, TokenError};
pub use signed::{FreshKeysError, claim, claims_by_fresh_keys};
pub(crate) use verifier::Verifier;
