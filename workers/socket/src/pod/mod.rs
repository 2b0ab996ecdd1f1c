//! What the sessions of one pod share.
//!
//! | file | what |
//! |---|---|
//! | `hub.rs` | who is connected here, who subscribes to what, and which partitions that needs |
//! | `mailbox.rs` | what waits for one session, bounded |
//! | `live.rs` | live messages from the broker to mailboxes |
//! | `pings.rs` | pings that carry the head of an inbox, so that whoever missed something heals |
//! | `heads.rs` | where inboxes are, asked of the store for many at once |
//! | `receipts.rs` | receipts to the store, batched, and to the user's other sessions |
//! | `presence.rs` | who is here, told to the store while the pod lives |
//! | `leaving.rs` | how a pod leaves: what becomes of who is here and of who arrives |
//! | `rebalance.rs` | sessions are shared evenly among pods again |
//! | `limits.rs` | how much anybody may ask of a pod |

pub(crate) mod heads;
pub(crate) mod hub;
pub(crate) mod leaving;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod mailbox;
pub(crate) mod pings;
pub(crate) mod presence;
pub(crate) mod rebalance;
pub(crate) mod receipts;
