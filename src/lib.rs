//! What two or more of Watchbell's workers share. Code that only one worker needs lives with that worker.
//!
//! | module | what it is | may import of ours |
//! |---|---|---|
//! | [`domain`] | nouns and pure decisions: no I/O, no async, no clock | nothing |
//! | [`wire`] | what crosses a process: broker messages, HTTP bodies, session frames | domain |
//! | [`broker`] | the seam to RabbitMQ or to the embedded broker | domain, wire, runtime |
//! | [`store`] | the seam to PostgreSQL or SQLite: the inbox (truth) and the timers (time) | domain, runtime |
//! | [`runtime`] | configuration, clock, telemetry, health, the HTTP listener | domain, wire |

pub mod broker;
pub mod domain;
pub mod runtime;
pub mod store;
pub mod wire;
