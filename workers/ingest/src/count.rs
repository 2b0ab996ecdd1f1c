//! How many were accepted or not, and why not.

use std::fmt;

use watchbell::{
    domain::{alert::bounds::ALERT_BYTES_MAX, topic::bounds::EVENT_BYTES_MAX},
    wire::Problem,
};

/// What a request publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// For people.
    Alert,
    /// For the subscribers of a topic.
    Event,
}

impl What {
    /// Adds to the metric of this kind. Outcomes are few words.
    pub fn count(self, outcome: &'static str, number: usize) {
        let metric = match self {
            Self::Alert => "watchbell_ingest_alerts_total",
            Self::Event => "watchbell_ingest_events_total",
        };
        metrics::counter!(metric, "outcome" => outcome).increment(number as u64);
    }

    /// The answer to one that is too long.
    pub fn too_large(self, len: usize) -> Problem {
        match self {
            Self::Alert => alert_too_large(len),
            Self::Event => event_too_large(len),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alert => "alert",
            Self::Event => "event",
        })
    }
}

/// The answer to one event that is too long.
fn event_too_large(len: usize) -> Problem {
    let detail =
        format!("The event has {len} bytes of JSON, at most {EVENT_BYTES_MAX} are carried: shorten `data`.");
    Problem { field: Some("event".into()), ..Problem::too_large(detail) }
}

/// The answer to one alert that is too long.
fn alert_too_large(len: usize) -> Problem {
    let detail = format!(
        "The alert has {len} bytes of JSON, at most {ALERT_BYTES_MAX} are carried: shorten `data` or `body`, or name a group \
         in place of its members."
    );
    Problem { field: Some("alert".into()), ..Problem::too_large(detail) }
}
