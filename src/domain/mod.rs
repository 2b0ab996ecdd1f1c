//! The nouns of Watchbell and its pure decisions.
//!
//! What holds here:
//! - No I/O, no async, no clock: time comes in as an argument.
//! - A value that exists is valid: names, alerts and policies are checked where they are made.
//! - Serde formats are in `wire`; SQL is in `store`.
//!
//! Where to look: what people are told in [`alert`], what they said of it in [`receipt`], the inbox and
//! its change number in [`inbox`], short-lived facts in [`topic`], when the next channel is due in [`policy`] and [`next_step`].

pub mod alert;
pub mod attempt;
pub mod device;
pub mod inbox;
pub mod internet;
pub mod names;
pub mod next_step;
pub mod policy;
pub mod receipt;
pub mod secret;
pub mod topic;

pub use alert::{Alert, Audience, Severity, Status};
pub use attempt::{Attempt, AttemptId, AttemptKind, AttemptState};
pub use device::{Device, PushEnvironment, PushService};
pub use inbox::{InboxState, Seq};
pub use jiff::Timestamp;
pub use names::{AlertId, DeviceId, GroupId, InvalidName, Tenant, UserId, UserKey};
pub use next_step::{Progress, Reach, Step, StopReason, next_step};
pub use policy::{Channel, Policy, PolicyStep};
pub use receipt::{Receipt, ReceiptState};
pub use secret::Secret;
pub use topic::{Event, EventId, Topic, TopicKey, TopicPattern};
