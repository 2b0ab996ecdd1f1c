//! The sections `[[broker.producer]]`: which user of the broker may publish for which tenants.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Tenant,
    producers::{Producers, Tenants},
};

/// What stands for every tenant.
const EVERY: &str = "*";

/// `[[broker.producer]]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerSection {
    /// The user of the broker, as RabbitMQ knows it. Watchbell's own users have to be among them.
    pub user: String,
    /// The tenants that this user may publish for; `["*"]`: every tenant, as Watchbell's own users need.
    pub tenants: Vec<String>,
}

/// The mappings, checked.
///
/// # Errors
/// Names the key and says what is accepted.
pub(super) fn producers(sections: &[ProducerSection]) -> anyhow::Result<Producers> {
    let mut by_user = BTreeMap::new();
    for (at, section) in sections.iter().enumerate() {
        let key = format!("broker.producer[{at}]");
        ensure!(!section.user.is_empty(), "{key}.user must name a user of the broker");
        let tenants = tenants(&section.tenants).with_context(|| format!("{key}.tenants"))?;
        let is_first = by_user.insert(section.user.clone(), tenants).is_none();
        ensure!(is_first, "{key}.user is there twice: write all of its tenants in one place");
    }
    Ok(Producers::new(by_user))
}

fn tenants(names: &[String]) -> anyhow::Result<Tenants> {
    ensure!(!names.is_empty(), "must name a tenant, or \"{EVERY}\" for every tenant");
    if names.iter().any(|name| name == EVERY) {
        ensure!(names.len() == 1, "must not name others beside \"{EVERY}\"");
        return Ok(Tenants::All);
    }
    let only = names.iter().map(Tenant::parse).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(Tenants::Only(only))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(sections: &[(&str, &[&str])]) -> Result<Producers, String> {
        let section = |(user, tenants): &(&str, &[&str])| ProducerSection {
            user: (*user).to_owned(),
            tenants: tenants.iter().map(|name| (*name).to_owned()).collect(),
        };
        let sections: Vec<_> = sections.iter().map(section).collect();
        producers(&sections).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_mapping_names_a_user_once_and_its_tenants() {
        let acme: &[&str] = &["acme"];
        for (why, sections, expected) in [
            ("nobody", vec![], None),
            ("one of each", vec![("watchbell", &["*"] as &[&str]), ("acme-svc", acme)], None),
            ("no name", vec![("", acme)], Some("broker.producer[0].user must name")),
            (
                "no tenant",
                vec![("a", acme), ("b", &[])],
                Some("broker.producer[1].tenants: must name a tenant"),
            ),
            ("all and one", vec![("a", &["*", "acme"])], Some("must not name others")),
            ("no tenant's name", vec![("a", &["a b"])], Some("must not contain ' '")),
            ("twice", vec![("a", acme), ("a", &["globex"])], Some("broker.producer[1].user is there twice")),
        ] {
            let said = read(&sections).err();
            assert_eq!(said.is_some(), expected.is_some(), "{why}: {said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{why}");
        }
        let producers = read(&[("watchbell", &["*"]), ("acme-svc", acme)]).unwrap();
        let globex = Tenant::parse("globex").unwrap();
        assert!(producers.allows(Some("watchbell"), &globex).is_ok());
        assert!(producers.allows(Some("acme-svc"), &globex).is_err());
    }
}
