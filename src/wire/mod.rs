//! What crosses a process, as JSON: alerts from producers, messages between workers, frames of a session.
//!
//! What holds here:
//! - Wire types are not domain types: they are versioned, checked and converted by hand at the edge.
//! - A refusal names the field and the remedy and never repeats a value (I11, I12).
//! - What a producer misspells is refused; what a session does not know is ignored, so that clients and servers of
//!   different age understand each other.

pub mod alert;
pub mod close;
pub mod cloudevent;
pub mod event;
#[cfg(test)]
mod fixture_tests;
pub mod frame;
pub mod live;
pub mod preferences;
pub mod problem;
pub mod undelivered;
pub mod unsubscribe;
pub mod webpush;

pub use alert::{InvalidAlert, content_of, parse_alert};
pub use close::CloseCode;
pub use event::{Kind, event_content_of, kind_of, parse_event};
pub use problem::Problem;

/// Headers of a message that was refused (I11).
pub mod refused {
    /// Why, in a sentence.
    pub const REASON: &str = "watchbell-reason";
    /// The queue it was taken from, for what is set aside by a worker.
    pub const FROM: &str = "watchbell-from";
    /// The field at fault, where one is.
    pub const FIELD: &str = "watchbell-field";
}
