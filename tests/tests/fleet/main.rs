//! The whole fleet, driven as its users drive it, on both engines.

#![allow(clippy::unwrap_used)]

mod commands;
mod outages;
mod producers;
mod refused;
mod resume;
mod secrets;
mod dead;
mod devices;
mod walk;
