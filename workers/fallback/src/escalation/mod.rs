//! The way of an alert for one person through the steps of a policy: claimed when it is due, decided, and stepped until it rests.

pub(crate) mod decide;
mod escalator;
mod senders;
pub(crate) mod step_batches;
pub(crate) mod timeline;
