//! Attacks on the running program: each was carried out against an earlier version and did harm there.
//!
//! A file is one kind of attack. What holds against it is promised in `SECURITY.md`.
//!
//! | file | what |
//! |---|---|
//! | `addresses.rs` | limits by address are passed round |
//! | `amqp.rs` | what a producer over AMQP may say of others, and in whose log |
//! | `answer_bounds.rs` | the longest answer of every route |
//! | `answers.rs` | readers who ask for much and take nothing |
//! | `authorization.rs` `authorization/` | every route with every credential |
//! | `browser.rs` | what a web page, and another user of the machine, takes from `up` and from the API of users |
//! | `connections.rs` | connections that are idle, slow, deaf or half open shut others out |
//! | `console.rs` | the operators' console without a session, with half of one, and from another page |
//! | `console_sign_in.rs` | signing in to it with an account: what is forged, repeated, redirected, or not allowed |
//! | `core_dumps.rs` | what a crash writes to the disk |
//! | `costs.rs` | a message that costs more than it counts |
//! | `devices.rs` | whose phone rings, and for how long |
//! | `keys.rs` | what a key that leaked may do |
//! | `people.rs` | what is known about a person outlives them |
//! | `retention.rs` | what a client believes to have, and a repetition brings back, after old alerts were deleted |
//! | `tenants.rs` | one tenant at its worst, beside another one |

#![allow(clippy::unwrap_used)]

mod addresses;
mod amqp;
mod answer_bounds;
mod answers;
mod authorization;
mod browser;
mod connections;
mod console;
mod console_sign_in;
mod core_dumps;
mod costs;
mod devices;
mod keys;
mod people;
mod retention;
mod tenants;
