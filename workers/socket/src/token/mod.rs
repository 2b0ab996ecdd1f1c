//! Whose token is believed, and what it allows.
//!
//! | file | what |
//! |---|---|
//! | `authenticator.rs` | checks a token: signature, times, user, tenant |
//! | `claims.rs` | what a token says, and under which names: pure |
//! | `jwks.rs` | the keys of a sign-in service, read from its address |
//! | `refusal.rs` | why a token is not believed, without its content, and how often that is logged |
//! | `mint.rs` | tokens made here, for demos and tests |

mod authenticator;
mod claims;
mod jwks;
mod mint;
mod refusal;

pub use authenticator::{Authenticator, Grants, Identity, TOKEN_BYTES_MAX};
pub use mint::{NewToken, mint};
pub use refusal::{Problem, Refusal, TokenError};
