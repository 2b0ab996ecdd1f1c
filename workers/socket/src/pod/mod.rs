//! What the sessions of one pod share.
//!
//! | file | what |
//! |---|---|
//! | `lent.rs` | the connection of an idle session, to which a live frame is written without the session |
//! | `mailbox.rs` | what waits for one session, bounded |
//! | `direct_writes.rs` | the mailboxes whose frames are written so, and who writes them |
//! | `by_user.rs` | sessions by their user, few or many |
//! | `hub.rs` | all mailboxes, by user and by topic |
//! | `partitions.rs` | which partitions the broker sends to this pod |
//! | `limits.rs` | sessions an address, sessions a second, messages a second |
//! | `sessions.rs` | how a session joins the pod and leaves it |
//! | `live.rs` | live messages from the broker into mailboxes |
//! | `pings.rs` | pings that carry the head of an inbox, so that whoever missed something heals |
//! | `history.rs` | notices that the store tells another history, and has every session told |
//! | `heads.rs` | the heads of inboxes, read from the store for many sessions at once |
//! | `receipts.rs` | the queue of receipts, and how one is read |
//! | `receipt_writer.rs` | writes receipts in batches, and tells the user's other sessions |
//! | `presence.rs` | who has come and who has left, until the store is told |
//! | `presence_writer.rs` | tells the store who is here, while the pod lives |
//! | `status.rs` | what this pod tells the others about itself |
//! | `rebalance.rs` | sessions are shared evenly among pods again |
//! | `leaving.rs` | how a pod leaves: what becomes of who is here and of who arrives |

pub(crate) mod by_user;
pub(crate) mod direct_writes;
pub(crate) mod heads;
pub(crate) mod history;
pub(crate) mod hub;
pub(crate) mod leaving;
pub(crate) mod lent;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod mailbox;
pub(crate) mod partitions;
pub(crate) mod pings;
pub(crate) mod presence;
pub(crate) mod presence_writer;
pub(crate) mod rebalance;
pub(crate) mod receipt_writer;
pub(crate) mod receipts;
pub(crate) mod sessions;
pub(crate) mod status;
