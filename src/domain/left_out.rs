//! Alerts for groups or everyone that did not come to a person, and why, as far as that can be known afterwards.
//!
//! Who was in a group when an alert was recorded is not kept. What is known is who is in it now, since when the person is stored,
//! and whether rows were deleted from their inbox.

use super::Timestamp;

/// Whom an alert was for besides those it named, as far as that was noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotedAudience {
    /// Everybody of the tenant.
    pub everyone: bool,
    /// The first groups.
    pub groups: Vec<String>,
    /// How many groups there were besides.
    pub more_groups: usize,
}

/// An alert that a person did not get, and what is known about why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut<'a> {
    /// Whom it was for.
    pub audience: &'a NotedAudience,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whether its audience is still being gone through.
    pub is_spreading: bool,
}

/// What is known of whoever did not get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outsider<'a> {
    /// Since when they are stored; none of nobody.
    pub since: Option<Timestamp>,
    /// Whether `everyone` reaches them.
    pub is_known: bool,
    /// Of the groups that the alert names, one that they are in now.
    pub member_of: Option<&'a str>,
    /// Rows of their inbox were deleted whose alerts were recorded up to then.
    pub deleted_before: Option<Timestamp>,
}

impl LeftOut<'_> {
    /// Whether the person belongs to its audience as that stands now. Otherwise it was meant for others.
    pub fn is_meant(&self, person: &Outsider<'_>) -> bool {
        self.audience.everyone || person.member_of.is_some()
    }

    /// Why it did not come to this person, in plain words.
    pub fn why(&self, person: &Outsider<'_>) -> String {
        let (to, after) = match person.member_of {
            Some(group) => (format!("for the group {group}"), "they were put into it after that"),
            None if self.audience.everyone => ("for everyone".to_owned(), "they became known after that"),
            None => {
                let groups = self.audience.groups.join(", ");
                let more = match self.audience.more_groups {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                return format!(
                    "it was for the groups {groups}{more}, and they are in none of those that were noted"
                );
            }
        };
        if self.is_spreading {
            return format!("it is {to}, and is still being spread: their turn may come");
        }
        let for_everyone = person.member_of.is_none();
        let because = match person.since {
            None => "nobody of this name is known".to_owned(),
            Some(_) if for_everyone && !person.is_known => {
                "they were only named in alerts, and everyone is who registered or signed in".to_owned()
            }
            Some(since) if since > self.recorded_at => format!("they are known only since {since}"),
            Some(_) if person.deleted_before.is_some_and(|at| self.recorded_at <= at) => {
                format!("{after}, or it was deleted from their inbox since")
            }
            Some(_) => after.to_owned(),
        };
        format!("it was {to}: {because}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-29T{time}Z").parse().unwrap()
    }

    #[test]
    fn why_somebody_was_left_out() {
        let ana =
            Outsider { since: Some(at("01:00:00")), is_known: true, member_of: None, deleted_before: None };
        let everyone = NotedAudience { everyone: true, ..NotedAudience::default() };
        let ops = NotedAudience { groups: vec!["ops".to_owned()], ..NotedAudience::default() };
        let many = NotedAudience { groups: vec!["a".to_owned(), "b".to_owned()], more_groups: 3, ..ops };
        let in_ops = Outsider { member_of: Some("ops"), ..ana };
        for (why, audience, is_spreading, person, told) in [
            (
                "not in it",
                &ops,
                false,
                ana,
                "it was for the groups ops, and they are in none of those that were noted",
            ),
            (
                "in none of many",
                &many,
                false,
                ana,
                "it was for the groups a, b and 3 more, and they are in none of those that were noted",
            ),
            ("too late", &ops, false, in_ops, "it was for the group ops: they were put into it after that"),
            (
                "it goes on",
                &ops,
                true,
                in_ops,
                "it is for the group ops, and is still being spread: their turn may come",
            ),
            (
                "it goes on, for all",
                &everyone,
                true,
                ana,
                "it is for everyone, and is still being spread: their turn may come",
            ),
            (
                "nobody",
                &everyone,
                false,
                Outsider { since: None, ..ana },
                "it was for everyone: nobody of this name is known",
            ),
            (
                "typed by a producer",
                &everyone,
                false,
                Outsider { is_known: false, ..ana },
                "it was for everyone: they were only named in alerts, and everyone is who registered or signed in",
            ),
            (
                "came later",
                &everyone,
                false,
                Outsider { since: Some(at("03:00:00")), ..ana },
                "it was for everyone: they are known only since 2026-11-29T03:00:00Z",
            ),
            ("signed in later", &everyone, false, ana, "it was for everyone: they became known after that"),
            (
                "trimmed",
                &everyone,
                false,
                Outsider { deleted_before: Some(at("02:00:00")), ..ana },
                "it was for everyone: they became known after that, or it was deleted from their inbox since",
            ),
        ] {
            let left_out = LeftOut { audience, recorded_at: at("02:00:00"), is_spreading };
            assert_eq!(left_out.why(&person), told, "{why}");
            let is_meant = audience.everyone || person.member_of.is_some();
            assert_eq!(left_out.is_meant(&person), is_meant, "{why}");
        }
    }
}
