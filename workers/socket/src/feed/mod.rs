//! The changes of one inbox, in order and without gaps.
//!
//! | file | what |
//! |---|---|
//! | `order.rs` | what to do with a live frame, given what the session has: pure |
//! | `replay.rs` | what changed since a cursor, from the store |

pub(crate) mod order;
pub(crate) mod replay;
