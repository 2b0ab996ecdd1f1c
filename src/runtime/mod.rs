//! What every process needs around its workers: configuration, clock, telemetry, health, HTTP.

pub mod clock;
pub mod config;
mod escalation_config;
pub mod health;
pub mod http;
mod provider_config;
pub mod telemetry;

pub use clock::Clock;
pub use config::Config;
pub use health::Health;
