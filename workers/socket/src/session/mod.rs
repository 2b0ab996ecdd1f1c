//! One session over WebSocket or server-sent events, from its first byte to its close.
//!
//! The state machine is spread over several files, each of which uses only those above it in the table.
//!
//! | file | what |
//! |---|---|
//! | `parts.rs` | what a session needs of its pod |
//! | `mount.rs` | what is different at an address of a team's own |
//! | `visitor.rs` | what a request brings that becomes a session |
//! | `decoder.rs` | messages of a client, from bytes: pure |
//! | `connection.rs` | the open connection: bytes in, bytes out, bounded in time |
//! | `deadlines.rs` | when a session does something by itself, and what: pure |
//! | `snapshots.rs` | which kept events it was sent lately: pure |
//! | `unheard.rs` | what its client said and waits to be handled, and what that costs: pure |
//! | `state.rs` | what a session holds while it lives, and how a frame is sent |
//! | `healing.rs` | what it does when something is missing |
//! | `topics.rs` | its topics: subscribing, and the kept events |
//! | `client_frames.rs` | what a client sends: receipts, topics, a newer token |
//! | `mail.rs` | what waits in its mailbox, and what it does about it |
//! | `fixture_tests.rs` | what tests of running sessions stand in |
//! | `greeting.rs` | how it begins: authentication, `hello`, what was missed |
//! | `run.rs` | the loop that waits for everything, to the close |

pub(crate) mod client_frames;
pub(crate) mod connection;
pub(crate) mod deadlines;
pub(crate) mod decoder;
pub(crate) mod greeting;
pub(crate) mod healing;
pub(crate) mod mail;
pub(crate) mod mount;
pub(crate) mod parts;
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod state;
pub(crate) mod topics;
pub(crate) mod unheard;
pub(crate) mod visitor;
