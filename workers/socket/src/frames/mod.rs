//! Frames: how they are encoded, which of them a session is sent, and which history their numbers belong to.
//!
//! | file | what |
//! |---|---|
//! | `epoch.rs` | which of the store's histories a change number belongs to |
//! | `frame.rs` | one frame, encoded once for everybody who gets it |
//! | `filter.rs` | which alerts and events a session asked for: pure |
//! | `batcher.rs` | frames gathered into one message: pure |
//! | `sent.rs` | what is in line to be written, and what is counted once it is |
//! | `traced.rs` | what is traced of a live message: its arrival, and the first of the writes that it leads to |

pub(crate) mod batcher;
pub(crate) mod epoch;
pub(crate) mod filter;
pub(crate) mod frame;
pub(crate) mod sent;
pub(crate) mod traced;
