//! The routes as a producer meets them: the embedded broker, a real SQLite store, and a stand-in for dispatch.

#![allow(clippy::unwrap_used)]

mod alertmanager;
mod alerts;
mod answers;
mod answers_again;
mod deleted;
mod events;
mod fixture;
mod hook_kinds;
mod hooks;
mod hooks_at_once;
mod keys;
mod lists;
mod metrics;
mod pagerduty;
mod patch;
mod people;
mod tenants;
