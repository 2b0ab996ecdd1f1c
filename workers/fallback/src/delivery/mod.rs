//! Carries attempts out: one call to a provider for each, and withdrawals gathered into one push.

pub(crate) mod attempt_runner;
pub(crate) mod withdrawals;
