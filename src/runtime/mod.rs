//! What every process needs around its workers: configuration, clock, telemetry, health, HTTP.

pub mod cannot_listen;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod contention;
mod current;
mod escalation_config;
pub mod health;
pub mod http;
mod log_filter;
pub mod log_limit;
mod log_lines;
pub mod memory;
pub mod metric;
mod metric_table;
mod outcomes_config;
mod process;
mod producers_config;
pub mod rate_limit;
mod retention_config;
pub mod telemetry;
pub mod traces;
mod tracing_config;
pub mod waiting_room;
mod webpush_config;

pub use clock::Clock;
pub use config::Config;
pub use current::Current;
pub use health::Health;
pub use memory::MemoryBudgets;
pub use metric_table::{BATCH, METRICS, SECONDS, SEVERITY};
pub use process::PROCESS;
