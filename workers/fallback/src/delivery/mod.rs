//! Delivery: carries attempts out. An attempt is one message by one channel to one device or address.
//!
//! ```text
//! AttemptRunner ──▶ MessageSender ──▶ Guard ──▶ ChannelSender ──▶ provider
//!   │                 └ WithdrawalBatches: many ids in one push
//!   └ what to record, and what a refusal means beyond its attempt
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `attempt_runner.rs` | one attempt: sends it, acts on a refusal, says what to record |
//! | `message_sender.rs` | puts the message together and sends it past the guard |
//! | `content.rs` | what a message says: one alert, or a summary of several |
//! | `rendering.rs` | the messages about one alert as they would be made now, for an operator to look at |
//! | `activity_runner.rs` | Live Activities: starts, changes and ends them as their alerts do |
//! | `channel_runner.rs` | broadcast channels: what all Live Activities of an alert for everyone are told at once |
//! | `device_tester.rs` | pushes that a person asks for, to see whether a device is reached |
//! | `withdrawal_batches.rs` | withdrawals for one device that are asked for at the same time go out as one push |
//! | `not_sent.rs` | why no provider accepted a message |
//! | `attempt_record.rs` | what is recorded of an attempt: pure |
//! | `refusals.rs` | dead tokens and addresses are dropped, and faults of the configuration are reported |

mod activity_runner;
mod attempt_record;
mod attempt_runner;
mod channel_runner;
mod content;
mod device_tester;
mod message_sender;
mod not_sent;
mod refusals;
mod rendering;
mod withdrawal_batches;

pub use activity_runner::ActivityRunner;
pub(crate) use attempt_runner::AttemptRunner;
pub use device_tester::DeviceTester;
pub(crate) use message_sender::MessageSender;
pub use rendering::{MessagesOf, rendered_messages};
pub use withdrawal_batches::WithdrawalBatches;
