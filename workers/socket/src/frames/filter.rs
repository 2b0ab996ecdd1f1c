//! Which alerts and events a session asked to be told of. Pure.

use watchbell::{domain::Severity, wire::frame::Filter as Asked};

use crate::frames::frame::{Facets, Frame};

/// Entries of one filter at the most, over all its conditions.
const ENTRIES_MAX: usize = 100;

/// The filter of a session.
#[derive(Debug)]
pub(crate) struct SessionFilter {
    asked: Asked,
    min_severity: Option<Severity>,
}

impl SessionFilter {
    /// Reads what a client asked. The error names the field and the remedy.
    pub(crate) fn read(asked: Asked) -> Result<Self, String> {
        if asked.types.len() + asked.sources.len() + asked.labels.len() > ENTRIES_MAX {
            return Err(format!("filter: must have at most {ENTRIES_MAX} entries"));
        }
        if asked.labels.contains_key("") {
            return Err(
                "filter.labels: each must have a name and a value, in an address as name:value".to_owned()
            );
        }
        let min_severity = asked.min_severity.as_deref().map(str::parse::<Severity>).transpose();
        let min_severity = min_severity.map_err(|error| format!("filter.min_severity: {error}"))?;
        Ok(Self { asked, min_severity })
    }

    /// Whether a session is sent this frame: filters leave out alerts and events, and nothing else.
    pub(crate) fn lets_frame_through(&self, frame: &Frame) -> bool {
        !frame.can_be_filtered() || self.lets_through(frame.facets())
    }

    /// Whether a session is told of an alert or event.
    pub(crate) fn lets_through(&self, facets: &Facets) -> bool {
        let one_of = |wanted: &[String], found: [&Option<String>; 2]| {
            wanted.is_empty() || found.into_iter().flatten().any(|found| wanted.contains(found))
        };
        one_of(&self.asked.types, [&facets.kind, &facets.category])
            && one_of(&self.asked.sources, [&facets.source, &None])
            && self.asked.labels.iter().all(|(name, value)| facets.labels.get(name) == Some(value))
            && self
                .min_severity
                .is_none_or(|least| facets.severity().is_some_and(|severity| severity >= least))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_condition_has_to_be_met() {
        let alert = json!({"category": "disk", "source": "prometheus", "severity": "warning", "labels": {"env": "prod", "zone": "a"}});
        let event = json!({"type": "stats_updated", "data": {}});
        for (why, filter, told) in [
            ("nothing is asked", json!({}), [true, true]),
            ("its category", json!({"types": ["disk"]}), [true, false]),
            ("its type", json!({"types": ["disk", "stats_updated"]}), [true, true]),
            ("its source", json!({"sources": ["prometheus"]}), [true, false]),
            ("a label", json!({"labels": {"env": "prod"}}), [true, false]),
            ("a label of another value", json!({"labels": {"env": "test"}}), [false, false]),
            ("all labels", json!({"labels": {"env": "prod", "zone": "b"}}), [false, false]),
            ("as severe", json!({"min_severity": "warning"}), [true, false]),
            ("more severe", json!({"min_severity": "critical"}), [false, false]),
            ("one of two conditions", json!({"types": ["disk"], "sources": ["elsewhere"]}), [false, false]),
        ] {
            let filter = SessionFilter::read(serde_json::from_value(filter).unwrap()).unwrap();
            let found = [&alert, &event]
                .map(|said| filter.lets_through(&serde_json::from_value(said.clone()).unwrap()));
            assert_eq!(found, told, "{why}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_told_so() {
        let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
        for (asked, expected) in [
            (json!({"min_severity": "loud"}), "filter.min_severity: "),
            (json!({"types": many}), "filter: must have"),
        ] {
            let error = SessionFilter::read(serde_json::from_value(asked).unwrap()).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
