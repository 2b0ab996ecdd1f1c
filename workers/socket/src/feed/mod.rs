//! The changes of one inbox, in order and without gaps. There is one feed for all transports.
//!
//! | file | what |
//! |---|---|
//! | `inbox.rs` | what sessions and requests need of a user's inbox |
//! | `order.rs` | what to do with a live frame, given what the client has: pure |
//! | `replay.rs` | what changed since a change number, from the store |
//! | `follower.rs` | one client that joins an inbox and follows it |

pub(crate) mod follower;
pub(crate) mod inbox;
pub(crate) mod order;
pub(crate) mod replay;
