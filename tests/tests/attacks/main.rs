//! Attacks on the running program: each was carried out against an earlier version and did harm there.
//!
//! A file is one kind of attack. What holds against it is promised in `SECURITY.md`.
//!
//! | file | what |
//! |---|---|
//! | `keys.rs` | what a key that leaked may do |
| `people.rs` | what is known about a person outlives them |

#![allow(clippy::unwrap_used)]

mod amqp;
mod keys;
mod people;
