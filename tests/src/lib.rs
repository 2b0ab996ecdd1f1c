//! The harness: real services and real processes for tests, on private ports, gone when the tests are.
//!
//! What holds here:
//! - Nothing uses a default port, a system service, or a folder of the user's.
//! - Nothing outlives the test process, not even when that is killed with -9: [`guard`] sees to it.
//! - Tests wait for conditions with a deadline, in [`until`], which has the only sleep.
//!
//! Entry points: [`services`] for the RabbitMQ and PostgreSQL that all tests of one binary share
//! (a fresh vhost and database each), [`rabbit::RabbitNode`] and [`postgres::Postgres`] for a test
//! that kills its own, [`process::WatchbellProcess`] for the program itself.
//!
//! Elsewhere: the tests are in `tests/tests`; what must be installed, in `tests/services/install.sh`.

// In a unit test a panic is the report.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alertmanager;
pub mod amqp;
pub mod balancer;
pub mod builders;
pub mod chance;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod fleet;
pub mod guard;
pub mod http_by_hand;
pub mod lossy;
pub mod monitoring;
pub mod mover;
mod pods;
pub mod poll;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod promql;
pub mod proxy;
pub mod rabbit;
pub mod requests;
pub mod scrape;
pub mod scratch;
mod senders;
mod service;
pub mod services;
pub mod session;
pub mod sign_in_service;
pub mod sse;
pub mod until;
