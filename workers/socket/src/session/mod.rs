//! One session over WebSocket or server-sent events, from its first byte to its close.
//!
//! | file | what |
//! |---|---|
//! | `run.rs` | the session at work: one loop that waits for everything |
//! | `greeting.rs` | how a session begins: who it is, `hello`, what was missed |
//! | `client_frames.rs` | what a client sends: receipts, topics, a newer token |
//! | `deadlines.rs` | when a session does something by itself, and what: pure |
//! | `connection.rs` | the open connection: bytes in, bytes out, bounded in time |
//! | `decoder.rs` | WebSocket messages from bytes: pure |
//! | `mount.rs` | streams under a team's own addresses |

pub(crate) mod client_frames;
pub(crate) mod connection;
pub(crate) mod deadlines;
pub(crate) mod decoder;
pub(crate) mod greeting;
pub(crate) mod mount;
pub(crate) mod run;
