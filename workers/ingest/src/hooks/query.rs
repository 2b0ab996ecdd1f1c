//! What the operator wrote behind the address of a hook: whom its alerts are for when nothing else says so.
//!
//! What can be used of it is: a name that cannot be, or a parameter nobody knows, is a note and no refusal, because
//! otherwise nobody would be told. Only an address that cannot be read at all is refused.

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use watchbell::{
    domain::{Audience, GroupId, Tenant, UserId, policy::Policies},
    runtime::http::unreadable_query,
    wire::Problem,
};

use super::report::usable;

/// What clients put behind an address that they take for a base address.
pub const APPENDED: &str = "/v2/enqueue";

/// What the address says.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub audience: Audience,
    pub policy: Option<String>,
    /// Which of several senders that count alike: two installations of Uptime Kuma both have a monitor 1.
    pub sender: Option<String>,
    /// What could not be used of it.
    pub notes: Vec<String>,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// 400 when it is no query string.
    pub fn of(uri: &Uri, tenant: &Tenant, policies: &Policies) -> Result<Self, Problem> {
        let text = uri.query().unwrap_or_default();
        Self::read(text.strip_suffix(APPENDED).unwrap_or(text), tenant, policies)
    }

    /// Reads `users=ana,ben&groups=ops&everyone=true&policy=critical`.
    ///
    /// # Errors
    /// As for [`Self::of`].
    pub fn read(text: &str, tenant: &Tenant, policies: &Policies) -> Result<Self, Problem> {
        let mut query = Self::default();
        check(text)?;
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, raw) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decoded(name), decoded(raw));
            // A comma that is written as %2C is part of a name.
            let names = raw.split(',').map(|name| decoded(name).trim().to_owned());
            let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
            let Self { audience, policy, sender, notes } = &mut query;
            match name.as_str() {
                "users" => {
                    audience.users.extend(usable(&names, "parameter users of the address", |name| UserId::parse_new(name), notes));
                }
                "groups" => {
                    audience.groups.extend(usable(&names, "parameter groups of the address", |name| GroupId::parse_new(name), notes));
                }
                "everyone" => audience.everyone = is_yes(&value),
                "from" => *sender = Some(value).filter(|sender| !sender.is_empty()),
                "policy" if value.is_empty() => {}
                "policy" => match policies.get(tenant, &value) {
                    Some(_) => *policy = Some(value),
                    None => notes.push(format!(
                        "the parameter policy of the address must be one of {}; it was ignored, and the usual policy rules were used",
                        policies.names(tenant).join(", ")
                    )),
                },
                // The name is not repeated: people put keys into addresses.
                _ => notes.push(
                    "the address has an unknown parameter; known are users, groups, everyone, policy and from".into(),
                ),
            }
        }
        Ok(query)
    }
}

fn is_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// Refuses what is no query string.
fn check(text: &str) -> Result<(), Problem> {
    let uri: Result<Uri, _> = format!("/?{text}").parse();
    uri.map(drop).map_err(|_| unreadable_query())
}

/// A name or a value of a query string, decoded.
fn decoded(part: &str) -> String {
    percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_can_be_used_of_an_address_is_used_and_the_rest_is_noted() {
        let tenant = Tenant::parse("acme").unwrap();
        let policies = Policies::with_defaults(BTreeMap::new());
        for (why, text, (users, groups, everyone), policy, notes) in [
            ("nothing", "", (&[][..], &[][..], false), None, 0),
            (
                "all of it",
                "users=ana,%20ben&groups=ops&everyone=true&policy=critical",
                (&["ana", "ben"], &["ops"], true),
                Some("critical"),
                0,
            ),
            ("empty ones", "users=&policy=&groups=,", (&[], &[], false), None, 0),
            ("a name that is none", "users=ana,%01", (&["ana"], &[], false), None, 1),
            ("given twice", "users=ana&users=ben", (&["ana", "ben"], &[], false), None, 0),
            ("no policy of that name", "users=ana&policy=urgent", (&["ana"], &[], false), None, 1),
            ("a misspelt parameter", "users=ana&polcy=critical", (&["ana"], &[], false), None, 1),
            (
                "a name with a comma",
                "users=Smith%2C+Jane,ben",
                (&["Smith, Jane", "ben"], &[], false),
                None,
                0,
            ),
            ("which sender", "users=ana&from=berlin", (&["ana"], &[], false), None, 0),
            ("yes in other words", "everyone=1", (&[], &[], true), None, 0),
            ("not yes", "everyone=no", (&[], &[], false), None, 0),
        ] {
            let query = Query::read(text, &tenant, &policies).unwrap();
            let found: Vec<&str> = query.audience.users.iter().map(UserId::as_str).collect();
            assert_eq!(found, users, "{why}");
            let found: Vec<&str> = query.audience.groups.iter().map(GroupId::as_str).collect();
            assert_eq!((found.as_slice(), query.audience.everyone), (groups, everyone), "{why}");
            assert_eq!((query.policy.as_deref(), query.notes.len()), (policy, notes), "{why}");
        }
    }

    #[test]
    fn a_path_that_a_client_appended_is_no_part_of_the_last_name() {
        let tenant = Tenant::parse("acme").unwrap();
        let uri: Uri = "/v1/hooks/pagerduty?users=ana/v2/enqueue".parse().unwrap();
        let query = Query::of(&uri, &tenant, &Policies::with_defaults(BTreeMap::new())).unwrap();
        assert_eq!((query.audience.users[0].as_str(), query.notes.len()), ("ana", 0));
    }
}
