//! The socket worker: it holds the sessions of users, sends live frames, replays what was missed, takes receipts, and
//! serves the user's HTTP API.
//!
//! What holds here:
//! - A session's frames come in the order of `seq` without gaps: a missing one is waited for, and then read from the store
//!   (I3).
//! - A user sees their own inbox only: everything is keyed by the user of the token (I8).
//! - Every session's backlog is bounded; one that does not read gets one `resync` (I9).
//! - A pod can vanish: it keeps nothing that is not in the store.
//! - A file imports only from files that do not import it, and a folder only from those above it in this table.
//!   `start.rs` alone knows all parts.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | `[socket]` and `[[mount]]` |
//! | `metric_table.rs` | the metrics of this worker |
//! | `token/` | whose token is believed, and what it allows |
//! | `frames/` | frames as they leave, filtered and gathered, and the epoch of their numbers |
//! | `pod/` | what the sessions of one pod share: the hub, live messages, presence, receipts, leaving |
//! | `feed/` | the changes of one inbox, in order and without gaps, for every transport |
//! | `session/` | one session over WebSocket or SSE, from its first byte to its close |
//! | `entry/` | what a request must have to become a session |
//! | `http/` | the user's HTTP API, and the same session in single requests |
//! | `start.rs` | makes the parts and hands each the others that it needs |
//! | `fuzzing.rs` | ways in for `fuzz/` |
//! | `measuring.rs` | ways in for the benchmark `guard` |
//! | `properties.rs` | what must hold whatever happens, tried with many seeds |

mod config;
mod entry;
mod feed;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod http;
#[doc(hidden)]
pub mod measuring;
mod metric_table;
mod pod;
#[cfg(test)]
mod properties;
mod session;
mod start;
pub mod token;

pub use config::{MountConfig, MountShape, OWN_BEGINNINGS, SocketConfig, check_mounts};
pub use http::{devices::BrowserPush, routes::openapi};
pub use metric_table::METRICS;
pub use start::{SocketParts, Started, start};
pub use token::{Authenticator, Identity, TokenError};
