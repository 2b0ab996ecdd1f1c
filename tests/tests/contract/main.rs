//! The contracts of the seams, held by every implementation alike.

#![allow(clippy::unwrap_used)]

mod broker;
mod store;
