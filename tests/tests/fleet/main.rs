//! The whole fleet, driven as its users drive it, on both engines.

#![allow(clippy::unwrap_used)]

mod amqp;
mod answers;
mod balancers;
mod bounces;
mod bounds;
mod broadcasts;
mod channels;
mod commands;
mod conflicts;
mod dead;
mod devices;
mod dispatching;
mod doctor;
mod escalation;
mod examples;
mod explained;
mod finding;
mod identities;
mod leaving;
mod live_activities;
mod logs;
mod metrics;
mod openapi;
mod outages;
mod outcomes;
mod people;
mod presence;
mod producers;
mod push_receipts;
mod readiness;
mod refused;
mod restored;
mod resume;
mod rotation;
mod scenarios;
mod secrets;
mod snoozes;
mod topics;
mod traces;
mod transports;
mod unstorable;
mod worse;
