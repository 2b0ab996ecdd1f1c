//! The nouns of Watchbell and its pure decisions.
//!
//! What holds here:
//! - No I/O, no async, no clock: time comes in as an argument.
//! - A value that exists is valid: names, alerts and policies are checked where they are made.
//! - Serde formats are in `wire`; SQL is in `store`.
//!
//! Where to look: what people are told in [`alert`], with its buttons in [`action`], what they said of it in [`receipt`], until when they put it off in
//! [`snooze`], the inbox and its change number in [`inbox`], whether an alert was said before in [`publication`], the ways to
//! reach people in [`channel`], short-lived facts in [`topic`], when the next channel is due in [`policy`] and
//! [`next_step`], when somebody wants to be left alone in [`preferences`], how their mails are gathered in [`digest`], how little they get at once in [`restraint`], and how
//! long what is kept is kept in [`retention`].
//! What is told afterwards of an alert and a person is worded in [`explanation`], what is in the way of all their alerts in [`obstacles`],
//! and why an alert for many did not come to them in [`left_out`].
//! Which alerts of an inbox a person wants to see is in [`inbox_filter`], and how words are searched for in [`search`].
//! What an Apple device shows of an alert that changes is in [`live_activity`], and how all of them are told at once in [`broadcast_channel`].
//! What a mail says of its address that came back is in [`bounce`].
//! What an API key may be used for is in [`scope`], and what is told of who changed what in [`audit`].
//! What is checked once, where it enters: [`names`], [`push_token`], [`email`], [`web_address`], [`slack`], [`telegram`], [`phone`], how a [`text`] looks, and which part of [`markdown`] a body may have.
//! Who may publish for which tenant over AMQP is in [`producers`], and how outside text is shown to operators in [`untrusted`].

pub mod acknowledgement;
pub mod action;
pub mod alert;
pub mod attempt;
pub mod audit;
pub mod bounce;
pub mod broadcast_channel;
pub mod channel;
pub mod channel_bounds;
pub mod device;
pub mod device_test;
pub mod digest;
pub mod email;
pub mod explanation;
pub mod inbox;
pub mod inbox_filter;
pub mod internet;
pub mod left_out;
pub mod live_activity;
pub mod markdown;
pub mod names;
pub mod next_step;
pub mod obstacles;
pub mod outcome;
pub mod phone;
pub mod policy;
pub mod preferences;
pub mod producers;
pub mod publication;
pub mod push_token;
pub mod receipt;
pub mod restraint;
pub mod retention;
pub mod scope;
pub mod search;
pub mod secret;
pub mod slack;
pub mod snooze;
pub mod telegram;
pub mod text;
pub mod topic;
pub mod untrusted;
pub mod web_address;

pub use acknowledgement::Acknowledgement;
pub use action::{Action, Answer, Answered};
pub use alert::{Alert, Audience, BodyFormat, Severity, Status};
pub use attempt::{Attempt, AttemptId, AttemptKind, AttemptState};
pub use bounce::BounceKind;
pub use channel::{Channel, PerChannel};
pub use device::{Device, PushEnvironment, PushService};
pub use inbox::{InboxState, Seq};
pub use inbox_filter::{InboxFilter, InboxList};
pub use jiff::Timestamp;
pub use names::{AlertId, DeviceId, GroupId, InvalidName, Tenant, UserId, UserKey};
pub use next_step::{Person, Progress, Reach, Step, StopReason, Target, next_step};
pub use outcome::{Outcome, OutcomeBy, OutcomeKind, OutcomeKinds, OutcomeRoute, OutcomeRoutes};
pub use policy::{GroupRule, Policy, PolicyStep};
pub use preferences::Preferences;
pub use receipt::{ArrivedPush, Receipt, ReceiptState};
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::Secret;
pub use topic::{Event, EventId, Topic, TopicKey, TopicPattern};
pub use untrusted::Untrusted;

/// The last moment that an alert, a silence or a wait can name: 9999-12-30 22:00 UTC. A [`Timestamp`] goes on for less than a second after
/// it, which cannot be read again from the milliseconds that stores keep.
pub const LAST_MOMENT: Timestamp = Timestamp::constant(253_402_207_200, 0);
