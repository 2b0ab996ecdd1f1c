//! The whole fleet, driven as its users drive it, on both engines.

#![allow(clippy::unwrap_used)]

mod commands;
mod dead;
mod devices;
mod outages;
mod producers;
mod refused;
mod resume;
mod secrets;
mod walk;
