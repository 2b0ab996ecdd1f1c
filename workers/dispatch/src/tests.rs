//! Alerts through the whole worker, on the embedded broker and SQLite.

mod back;
mod bed;
mod conflicts;
mod expansions;
mod flow;
mod tenants;
mod versions;
