//! What may be asked of an inbox in an address: a page, and which alerts are wanted. Pure.
//!
//! Lists have commas, and `\,` is a comma in a name ([`names_of`]). What is not acceptable is refused with the parameter's name.

use serde::Deserialize;
use watchbell::{
    domain::{
        InboxFilter, Severity,
        alert::{
            UnknownWord,
            bounds::{LABEL_BYTES_MAX, TITLE_CHARS_MAX},
        },
        search::SearchWords,
    },
    wire::{Problem, names_of},
};

/// Categories of one question.
pub(crate) const CATEGORIES_MAX: usize = 20;
/// Labels of one question.
pub(crate) const LABELS_MAX: usize = 10;
/// Bytes of the key of a group.
pub(crate) const GROUP_BYTES_MAX: usize = 256;

/// The parameters of `GET /v1/inbox`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboxQuery {
    pub(crate) before: Option<String>,
    pub(crate) limit: Option<usize>,
    q: Option<String>,
    state: Option<String>,
    category: Option<String>,
    severity: Option<String>,
    label: Option<String>,
    group: Option<String>,
}

impl InboxQuery {
    /// Which alerts are wanted.
    pub(crate) fn filter(&self) -> Result<InboxFilter, Problem> {
        let words = self.q.as_deref().map(SearchWords::read).transpose();
        let words = words.map_err(|error| Problem::invalid("q", error.to_string()))?.unwrap_or_default();
        let list = self.state.as_deref().map(str::parse).transpose();
        let list = list.map_err(|error: UnknownWord| Problem::invalid("state", error.to_string()))?;
        let severities = list_of(self.severity.as_deref(), "severity", Severity::WORDS.len())?;
        let severities = severities.iter().map(|word| word.parse()).collect::<Result<_, _>>();
        let severities =
            severities.map_err(|error: UnknownWord| Problem::invalid("severity", error.to_string()))?;
        let categories = list_of(self.category.as_deref(), "category", CATEGORIES_MAX)?;
        if categories.iter().any(|name| name.chars().count() > TITLE_CHARS_MAX) {
            let problem = format!("a category has at most {TITLE_CHARS_MAX} characters");
            return Err(Problem::invalid("category", problem));
        }
        let labels = list_of(self.label.as_deref(), "label", LABELS_MAX)?;
        let labels = labels.iter().map(|label| label_of(label)).collect::<Result<_, _>>()?;
        if self.group.as_ref().is_some_and(|key| key.len() > GROUP_BYTES_MAX) {
            let problem = format!("must have at most {GROUP_BYTES_MAX} bytes");
            return Err(Problem::invalid("group", problem));
        }
        Ok(InboxFilter { words, list, severities, categories, labels, group: self.group.clone() })
    }
}

/// The names of a list.
fn list_of(list: Option<&str>, parameter: &str, max: usize) -> Result<Vec<String>, Problem> {
    let names = list.map(names_of).unwrap_or_default();
    let problem = match names.len() > max {
        true => format!("must have at most {max} entries"),
        false if names.iter().any(String::is_empty) => "must not have an empty entry".to_owned(),
        false => return Ok(names),
    };
    Err(Problem::invalid(parameter, problem))
}

/// A label, written `name:value`.
fn label_of(label: &str) -> Result<(String, String), Problem> {
    match label.split_once(':') {
        Some((name, value))
            if !name.is_empty() && name.len() <= LABEL_BYTES_MAX && value.len() <= LABEL_BYTES_MAX =>
        {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => {
            let problem = format!("must be name:value, each of at most {LABEL_BYTES_MAX} bytes");
            Err(Problem::invalid("label", problem))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};
    use watchbell::{domain::InboxList, runtime::http::Query};

    use super::*;

    fn filter(query: Value) -> Result<InboxFilter, String> {
        let query: InboxQuery = serde_json::from_value(query).unwrap();
        query
            .filter()
            .map_err(|problem| serde_json::to_value(&problem).unwrap()["field"].as_str().unwrap().to_owned())
    }

    #[test]
    fn conditions_are_read_from_an_address() {
        let owned = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        assert!(filter(json!({})).unwrap().is_empty());
        assert!(filter(json!({"q": "  "})).unwrap().is_empty());
        assert!(!filter(json!({"q": "%"})).unwrap().is_empty(), "it finds nothing");
        assert_eq!(filter(json!({"state": "archived"})).unwrap().list, Some(InboxList::Archived));
        let found =
            filter(json!({"severity": "warning,critical", "category": "a\\,b,c", "group": "checkout"}))
                .unwrap();
        assert_eq!(found.severities, [Severity::Warning, Severity::Critical]);
        assert_eq!(found.categories, owned(&["a,b", "c"]));
        assert_eq!(found.group.as_deref(), Some("checkout"));
        let found = filter(json!({"label": "env:prod,url:http://x"})).unwrap();
        let labels =
            [("env", "prod"), ("url", "http://x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.labels, labels);
    }

    #[test]
    fn a_parameter_that_is_misspelt_does_not_show_everything() {
        let read = |query: &str| Query::<InboxQuery>::of(&format!("/v1/inbox?{query}").parse().unwrap());
        assert!(read("severity=critical&limit=50&before=7").is_ok());
        let refused = read("serverity=critical").err().unwrap();
        assert_eq!((refused.status, refused.field.as_deref()), (422, Some("query")));
        assert!(refused.detail.unwrap().contains("severity"), "and those that there are");
    }

    #[test]
    fn what_is_not_acceptable_is_named() {
        let many = |n: usize| vec!["a:b"; n].join(",");
        for (why, query, field) in [
            ("a word that is not known", json!({"state": "new"}), "state"),
            ("two lists", json!({"state": "open,archived"}), "state"),
            ("a severity that is not known", json!({"severity": "warning,loud"}), "severity"),
            ("too many severities", json!({"severity": "info,info,info,info"}), "severity"),
            ("too many categories", json!({"category": many(CATEGORIES_MAX + 1)}), "category"),
            ("no category", json!({"category": "a,"}), "category"),
            ("a long category", json!({"category": "x".repeat(TITLE_CHARS_MAX + 1)}), "category"),
            ("no value", json!({"label": "env"}), "label"),
            ("no name", json!({"label": ":prod"}), "label"),
            ("a long value", json!({"label": format!("a:{}", "x".repeat(LABEL_BYTES_MAX + 1))}), "label"),
            ("too many labels", json!({"label": many(LABELS_MAX + 1)}), "label"),
            ("a long key", json!({"group": "x".repeat(GROUP_BYTES_MAX + 1)}), "group"),
            ("too much to search for", json!({"q": "x".repeat(257)}), "q"),
            ("too many words", json!({"q": "a b c d e f g h i"}), "q"),
            ("a NUL", json!({"q": "a\u{0}b"}), "q"),
        ] {
            assert_eq!(filter(query).unwrap_err(), field, "{why}");
        }
    }
}
