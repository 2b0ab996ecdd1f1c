//! Escalation on a clock set by hand: the real store, the real decisions and senders, scripted providers. Whole days
//! pass in milliseconds, and every race happens when the test says so.
//!
//! | file | what |
//! |---|---|
//! | `world.rs` | the clock, the providers, and what people do |
//! | `races.rs` | the races that others had to fix (R1 to R20 of our notes), those that belong to deciding |
//! | `gates.rs` | who is held back when one, or everybody, is refused: real senders, and what the simulator says |
//! | `tokens.rs` | those about tokens (R7, R8): real senders, and what the simulator says |
//! | `retention.rs` | a hundred days in which what is old is deleted beside everything else |
//! | `scale.rs` | the arithmetic of `docs/scale.md` |
//! | `restraint.rs` | floods, quiet nights, policies |
//! | `activities.rs` | Live Activities: started with a push, changed with each version, ended wherever the alert was seen |
//! | `broadcasts.rs` | broadcast channels: an alert for everyone is told once for all Live Activities |
//! | `snoozes.rs` | what a person put off, and what it is when that is over |
//! | `telegram.rs` | a chat as a step of a policy: replaced, deleted, held back, closed |
//! | `worse.rs` | a later version that is worse, or less, wherever the one before stood |
//! | `by_message.rs` | channels whose messages are replaced and taken away by their ids: quiet hours, restraint, what became of an alert |
//! | `sms.rs` | text messages: the real sender, and what a phone of the simulator shows |
//! | `erasure.rs` | a person is erased in the middle of an escalation |
//! | `days.rs` | whole days of chance, with what must hold at every moment |

#![allow(clippy::unwrap_used)]

mod activities;
mod broadcasts;
mod by_message;
mod days;
mod erasure;
#[path = "../providers/fixture.rs"]
#[allow(dead_code, reason = "the tests of providers use the rest")]
mod fixture;
mod gates;
mod races;
mod restraint;
mod retention;
mod scale;
mod sms;
mod snoozes;
mod telegram;
mod tokens;
mod world;
mod worse;
