//! What a stored alert says, as far as filters of an inbox look at it.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::domain::inbox_filter::{InboxFilter, Sayings};

/// Read of what clients are given ([`super::content_of`]). Fields that are not named here are passed over.
#[derive(Deserialize)]
struct SayingsV1<'a> {
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    category: Option<Cow<'a, str>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(borrow, default)]
    group_key: Option<Cow<'a, str>>,
}

/// Whether what a stored alert says will do. One that cannot be read says nothing.
pub fn takes(filter: &InboxFilter, content: &str) -> bool {
    let Ok(said) = serde_json::from_str::<SayingsV1<'_>>(content) else { return !filter.looks_at_texts() };
    filter.takes(&Sayings {
        title: &said.title,
        body: said.body.as_deref(),
        source: said.source.as_deref(),
        category: said.category.as_deref(),
        labels: &said.labels,
        group_key: said.group_key.as_deref(),
    })
}

/// The category of a stored alert, if it has one.
pub fn category_of(content: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct CategoryV1 {
        category: Option<String>,
    }
    serde_json::from_str::<CategoryV1>(content).ok()?.category
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{domain::search::SearchWords, wire};

    #[test]
    fn what_is_stored_is_what_is_searched() {
        let alert = br#"{"id": "a", "tenant": "acme", "to": {"users": ["ana"]}, "title": "Disk \"full\"", "body": "a\nb \u00e9t\u00e9",
            "source": "node", "category": "capacity", "labels": {"env": "prod"}, "data": {"title": "other"}}"#;
        let now = jiff::Timestamp::UNIX_EPOCH;
        let alert = wire::parse_alert(alert, &wire::alert::Defaults { tenant: None, id: None, now }).unwrap();
        let content = wire::content_of(&alert);
        for (typed, expected) in
            [("full", true), ("ete", true), ("b", true), ("node capacity", true), ("other", false)]
        {
            let filter = InboxFilter { words: SearchWords::read(typed).unwrap(), ..InboxFilter::default() };
            assert_eq!(takes(&filter, &content), expected, "{typed}");
        }
        let group = InboxFilter { group: Some("g".to_owned()), ..InboxFilter::default() };
        assert!(!takes(&group, &content));
        assert!(takes(&group, r#"{"title": "t", "group_key": "g", "later": [1]}"#));
        assert!(!takes(&group, "no JSON") && takes(&InboxFilter::default(), "no JSON"));
        assert_eq!(category_of(&content).as_deref(), Some("capacity"));
        assert_eq!(category_of(r#"{"title": "t"}"#), None);
    }
}
