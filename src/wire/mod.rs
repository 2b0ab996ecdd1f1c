//! What crosses a process, as JSON: alerts from producers, messages between workers, frames of a session.
//!
//! What holds here:
//! - Wire types are not domain types: they are versioned, checked and converted by hand at the edge.
//! - A refusal names the field and the remedy and never repeats a value (I11, I12).
//! - What a producer misspells is refused; what a session does not know is ignored, so that clients and servers of
//!   different age understand each other.

pub mod action;
pub mod alert;
pub mod answer_link;
pub mod close;
pub mod cloudevent;
pub mod content;
pub mod event;
#[cfg(test)]
mod fixture_tests;
pub mod frame;
pub mod live;
pub mod mail_ticket;
pub mod number;
mod objects;
pub mod outcome;
pub mod preferences;
pub mod problem;
pub mod push_receipt;
pub mod reply_ticket;
pub mod return_ticket;
pub mod sayings;
pub mod schema;
mod signed_token;
pub mod standard_webhooks;
pub mod stored;
pub mod time;
pub mod trace_context;
pub mod undelivered;
pub mod unsubscribe;
pub mod webpush;

pub use alert::{InvalidAlert, content_of, parse_alert};
pub use close::{CloseClass, CloseCode};
pub use event::{MessageKind, event_content_of, kind_of, parse_event};
pub use problem::Problem;
pub use trace_context::TraceContext;

/// Text without the byte-order mark that some editors and languages begin UTF-8 with.
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Names separated by commas, as they stand in addresses and on command lines. `\,` is a comma in a name, and `\\` a
/// backslash.
pub fn names_of(list: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if matches!(chars.peek(), Some(',' | '\\')) => name.extend(chars.next()),
            ',' => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names.push(name);
    names
}

#[test]
fn names_are_separated_by_commas_that_are_not_escaped() {
    for (list, expected) in [
        ("ana", &["ana"][..]),
        ("ana,ben", &["ana", "ben"]),
        (r"Doe\, Jane,ben", &["Doe, Jane", "ben"]),
        (r"a\\,b", &[r"a\", "b"]),
        (r"corp\ana", &[r"corp\ana"]),
        ("ana,", &["ana", ""]),
    ] {
        assert_eq!(names_of(list), expected, "{list}");
    }
}

/// Headers of an alert that ingest publishes: what dispatch cannot read in the alert itself. A program that does not know
/// them does without.
pub mod published {
    /// The alert came without a time, and was given that of its arrival.
    pub const UNDATED: &str = "watchbell-undated";
    /// When ingest took it, in milliseconds since 1970.
    pub const ACCEPTED_AT: &str = "watchbell-accepted-at";
    /// The beginning of the hash of the API key it came with.
    pub const KEY: &str = "watchbell-key";
    /// That key may change only alerts that it made.
    pub const OWN_ALERTS: &str = "watchbell-own-alerts";
}

/// Headers of a message that was refused, or set aside otherwise (I11).
pub mod refused {
    /// What they all begin with.
    pub const PREFIX: &str = "watchbell-";
    /// Why, in a sentence.
    pub const REASON: &str = "watchbell-reason";
    /// The queue it was taken from, for what is set aside by a worker.
    pub const FROM: &str = "watchbell-from";
    /// The field at fault, where one is.
    pub const FIELD: &str = "watchbell-field";
    /// How long the body was, in bytes, where only its beginning is kept.
    pub const SIZE: &str = "watchbell-size";
    /// The SHA-256 of the whole body, in hexadecimal, where only its beginning is kept.
    pub const SHA256: &str = "watchbell-sha256";
    /// Which headers were left out, because they were too long to be carried on.
    pub const CUT: &str = "watchbell-cut";
    /// Properties that cannot be read, as they came, in hexadecimal: the content header of AMQP.
    pub const RAW: &str = "watchbell-raw-header";
    /// How long they were, in bytes, where only their beginning is kept.
    pub const RAW_SIZE: &str = "watchbell-raw-header-size";
    /// Properties that a broker would act on, as they came.
    pub const EXPIRATION: &str = "watchbell-expiration";
    /// See [`EXPIRATION`].
    pub const USER: &str = "watchbell-user-id";
    /// See [`EXPIRATION`]; a header of RabbitMQ's.
    pub const CC: &str = "watchbell-cc";
    /// See [`CC`].
    pub const BCC: &str = "watchbell-bcc";
    /// The longest text of ours in one of them, in bytes.
    pub const TEXT_BYTES_MAX: usize = 4096;
    /// What says why and from where it was set aside. Whoever publishes it again leaves them out.
    pub const NOTES: [&str; 8] = [REASON, FROM, FIELD, SIZE, SHA256, CUT, RAW, RAW_SIZE];
}
