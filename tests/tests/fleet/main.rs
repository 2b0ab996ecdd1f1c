//! The whole fleet, driven as its users drive it, on both engines.

#![allow(clippy::unwrap_used)]

mod producers;
mod resume;
mod walk;
