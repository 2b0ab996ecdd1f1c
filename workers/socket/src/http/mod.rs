//! The user's HTTP API, and the session in single requests.
//!
//! | file | what |
//! |---|---|
//! | `poll.rs` | `GET /v1/poll`: a session in single requests |
//! | `inbox.rs` | inbox and receipts |
//! | `topics.rs` | the kept events of a topic |
//! | `devices.rs` | push registrations of phones and browsers |
//! | `preferences.rs` | what the user wants |
//! | `unsubscribe.rs` | the links of emails, which need no login |
//! | `asyncapi.rs` | the protocol for machines |

pub(crate) mod asyncapi;
pub(crate) mod devices;
pub(crate) mod inbox;
#[cfg(test)]
mod openapi_tests;
pub(crate) mod poll;
pub(crate) mod preferences;
pub(crate) mod topics;
pub(crate) mod unsubscribe;
