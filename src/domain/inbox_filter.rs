//! Which alerts of an inbox a person wants to see: every condition has to be met.
//!
//! Pure. What a client asks in an address is read by `wire`; rows are read by `store`, which looks at states and severities
//! itself and asks for the rest.

use std::collections::BTreeMap;

use super::{InboxState, Severity, alert::words, search::SearchWords};

/// What a person sees as one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboxList {
    /// What counts in the badge.
    Unread,
    /// All but what was put away or off.
    Open,
    /// What was put away.
    Archived,
    /// What was put off.
    Snoozed,
}

words!(InboxList { Unread = "unread", Open = "open", Archived = "archived", Snoozed = "snoozed" });

impl InboxList {
    /// The states of its alerts.
    pub fn states(self) -> &'static [InboxState] {
        match self {
            Self::Unread => &[InboxState::New, InboxState::Seen],
            Self::Open => &[InboxState::New, InboxState::Seen, InboxState::Read],
            Self::Archived => &[InboxState::Dismissed],
            Self::Snoozed => &[InboxState::Snoozed],
        }
    }
}

/// The conditions. Those that were not given are met by every alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxFilter {
    /// Words of what the alert says.
    pub words: SearchWords,
    /// One of the lists.
    pub list: Option<InboxList>,
    /// One of these.
    pub severities: Vec<Severity>,
    /// One of these.
    pub categories: Vec<String>,
    /// All of these.
    pub labels: Vec<(String, String)>,
    /// This group.
    pub group: Option<String>,
}

/// What an alert says, as far as it is looked at. Its state and its severity are looked at by the store.
#[derive(Debug, Clone, Copy)]
pub struct Sayings<'a> {
    /// One line.
    pub title: &'a str,
    /// More.
    pub body: Option<&'a str>,
    /// The system that noticed.
    pub source: Option<&'a str>,
    /// The kind of alert.
    pub category: Option<&'a str>,
    /// What filters look at.
    pub labels: &'a BTreeMap<String, String>,
    /// What is shown together.
    pub group_key: Option<&'a str>,
}

impl InboxFilter {
    /// Whether every alert will do.
    pub fn is_empty(&self) -> bool {
        self.list.is_none() && self.severities.is_empty() && !self.looks_at_texts()
    }

    /// Whether what alerts say matters, beside their severity.
    pub fn looks_at_texts(&self) -> bool {
        !self.words.is_empty()
            || !self.categories.is_empty()
            || !self.labels.is_empty()
            || self.group.is_some()
    }

    /// The states that will do; empty: all of them.
    pub fn states(&self) -> &'static [InboxState] {
        self.list.map_or(&[], InboxList::states)
    }

    /// Whether what an alert says will do.
    pub fn takes(&self, said: &Sayings<'_>) -> bool {
        let is_of_category = self.categories.is_empty()
            || said.category.is_some_and(|category| self.categories.iter().any(|one| one == category));
        is_of_category
            && self.group.as_deref().is_none_or(|group| said.group_key == Some(group))
            && self.labels.iter().all(|(name, value)| said.labels.get(name) == Some(value))
            && self.words.are_in(&[
                said.title,
                said.body.unwrap_or_default(),
                said.source.unwrap_or_default(),
                said.category.unwrap_or_default(),
            ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_to_be_met() {
        let labels =
            BTreeMap::from([("env".to_owned(), "prod".to_owned()), ("zone".to_owned(), "a".to_owned())]);
        let said = Sayings {
            title: "Disk full",
            body: Some("2 % left on db-1"),
            source: Some("prometheus"),
            category: Some("capacity"),
            labels: &labels,
            group_key: Some("checkout"),
        };
        let bare = Sayings {
            body: None,
            source: None,
            category: None,
            labels: &BTreeMap::new(),
            group_key: None,
            ..said
        };
        let words = |typed: &str| InboxFilter {
            words: SearchWords::read(typed).unwrap_or_default(),
            ..Default::default()
        };
        let categories = |all: &[&str]| InboxFilter {
            categories: all.iter().copied().map(str::to_owned).collect(),
            ..Default::default()
        };
        let label = |all: &[(&str, &str)]| InboxFilter {
            labels: all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Default::default()
        };
        let group = |key: &str| InboxFilter { group: Some(key.to_owned()), ..Default::default() };
        for (why, filter, expected) in [
            ("nothing is asked", InboxFilter::default(), [true, true]),
            ("a word of the title", words("disk"), [true, true]),
            ("a word of the body", words("db-1"), [true, false]),
            ("a word of the source", words("prom"), [true, false]),
            ("a word of the category", words("capacity"), [true, false]),
            ("labels are not searched", words("prod"), [false, false]),
            ("its category", categories(&["capacity"]), [true, false]),
            ("one of two", categories(&["billing", "capacity"]), [true, false]),
            ("a category is not searched by its beginning", categories(&["cap"]), [false, false]),
            ("a label", label(&[("env", "prod")]), [true, false]),
            ("of another value", label(&[("env", "test")]), [false, false]),
            ("all labels", label(&[("env", "prod"), ("zone", "a")]), [true, false]),
            ("one of them is not its own", label(&[("env", "prod"), ("zone", "b")]), [false, false]),
            ("its group", group("checkout"), [true, false]),
            ("another group", group("check"), [false, false]),
            (
                "one of two conditions",
                InboxFilter { group: Some("checkout".to_owned()), ..words("cpu") },
                [false, false],
            ),
        ] {
            assert_eq!([filter.takes(&said), filter.takes(&bare)], expected, "{why}");
        }
    }

    #[test]
    fn each_state_is_in_its_list() {
        for (state, expected) in [
            (InboxState::New, [true, true, false, false]),
            (InboxState::Seen, [true, true, false, false]),
            (InboxState::Read, [false, true, false, false]),
            (InboxState::Dismissed, [false, false, true, false]),
            (InboxState::Snoozed, [false, false, false, true]),
        ] {
            let lists = [InboxList::Unread, InboxList::Open, InboxList::Archived, InboxList::Snoozed];
            assert_eq!(lists.map(|list| list.states().contains(&state)), expected, "{state}");
            assert_eq!(
                InboxList::Unread.states().contains(&state),
                state.is_unread(),
                "{state}: as the badge counts"
            );
        }
    }
}
