//! Senders against the simulator, over real HTTP and SMTP: every row of the providers' reaction tables.
//!
//! The tables in the senders' own files say what an answer means; these say that it comes through the wire.

#![allow(clippy::unwrap_used)]

mod apns;
mod apns_channels;
mod dry_run;
mod email;
mod fcm;
mod fixture;
mod mails;
mod relays;
mod slack;
mod sms;
mod telegram;
mod webhook;
mod webpush;
