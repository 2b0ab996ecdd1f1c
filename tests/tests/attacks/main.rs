//! Attacks on the running program: each was carried out against an earlier version and did harm there.
//!
//! A file is one kind of attack. What holds against it is promised in `SECURITY.md`.

#![allow(clippy::unwrap_used)]

mod keys;
