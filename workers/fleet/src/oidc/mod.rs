//! The sign-in service of operators (OpenID Connect): how it is configured, and what is asked of it.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | `[console.oidc]` |
//! | `service.rs` | the discovery document, an ID token for a code, and what is asked of that token |
//!
//! Elsewhere: signing in, in `console/oidc`.

pub(crate) mod config;
pub(crate) mod service;
