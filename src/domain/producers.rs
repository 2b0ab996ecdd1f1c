//! Which user of the broker may publish for which tenants (I8). Pure.
//!
//! Over HTTP the tenant follows from the API key. Over AMQP a message says its tenant itself, so the right to say it
//! follows from the user it was published by: RabbitMQ refuses a `user_id` that is not the user of the connection
//! (<https://www.rabbitmq.com/docs/validated-user-id>). What the user is mapped to is the operator's to say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Tenant, Untrusted};

/// Whom the broker's users may publish for. Without any mapping, everybody who reaches the exchange may publish for
/// every tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_user: BTreeMap<String, Tenants>,
}

/// The tenants of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// All of them: Watchbell's own user, and a backend that publishes for everybody.
    All,
    /// These.
    Only(BTreeSet<Tenant>),
}

/// Why a message is refused for whom it was published by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Nobody knows who published it.
    #[error(
        "is missing: since [[broker.producer]] maps users to tenants, publish with the property user_id, set to the \
         name of the user that the connection signed in as"
    )]
    NoUser,
    /// No mapping names the user.
    #[error("`{}` is mapped to no tenant: add a [[broker.producer]] for this user of the broker", Untrusted(.0))]
    UnknownUser(String),
    /// A mapping names the user, and not this tenant.
    #[error(
        "`{}` may not publish for the tenant {tenant}: add it to the tenants of this user in [[broker.producer]], or \
         publish as a user that has it",
        Untrusted(.user)
    )]
    OtherTenant {
        /// The user of the broker.
        user: String,
        /// Which tenant the message names.
        tenant: Tenant,
    },
}

impl Producers {
    /// These users and nobody else.
    pub fn new(by_user: BTreeMap<String, Tenants>) -> Self {
        Self { by_user }
    }

    /// Whether there is a mapping at all.
    pub fn is_mapped(&self) -> bool {
        !self.by_user.is_empty()
    }

    /// Who counts as the publisher: the user that the broker vouches for, or whom a user with all tenants names in
    /// `on_behalf_of`. Watchbell names so who published a message first when it publishes one again.
    pub fn publisher<'a>(&self, user: Option<&'a str>, on_behalf_of: Option<&'a str>) -> Option<&'a str> {
        match on_behalf_of {
            Some(first) if self.is_trusted(user) => Some(first),
            _ => user,
        }
    }

    /// Whether what a message says about its own origin is believed: it is from a user with all tenants, or nobody is
    /// mapped.
    pub fn is_trusted(&self, user: Option<&str>) -> bool {
        let tenants = user.and_then(|user| self.by_user.get(user));
        !self.is_mapped() || tenants == Some(&Tenants::All)
    }

    /// Whether the publisher may publish for anybody: asked before the message is read.
    ///
    /// # Errors
    /// [`NotAllowed`], with the remedy.
    pub fn knows(&self, publisher: Option<&str>) -> Result<(), NotAllowed> {
        if !self.is_mapped() {
            return Ok(());
        }
        let user = publisher.filter(|user| !user.is_empty()).ok_or(NotAllowed::NoUser)?;
        match self.by_user.contains_key(user) {
            true => Ok(()),
            false => Err(NotAllowed::UnknownUser(user.to_owned())),
        }
    }

    /// Whether the publisher may publish for this tenant.
    ///
    /// # Errors
    /// [`NotAllowed`], with the remedy.
    pub fn allows(&self, publisher: Option<&str>, tenant: &Tenant) -> Result<(), NotAllowed> {
        self.knows(publisher)?;
        match publisher.and_then(|user| Some((user, self.by_user.get(user)?))) {
            Some((user, Tenants::Only(tenants))) if !tenants.contains(tenant) => {
                Err(NotAllowed::OtherTenant { user: user.to_owned(), tenant: tenant.clone() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    fn mapped() -> Producers {
        let only = |names: &[&str]| Tenants::Only(names.iter().map(|name| tenant(name)).collect());
        Producers::new(BTreeMap::from([
            ("watchbell".to_owned(), Tenants::All),
            ("acme-svc".to_owned(), only(&["acme", "acme-test"])),
        ]))
    }

    #[test]
    fn a_user_publishes_for_the_tenants_it_is_mapped_to() {
        for (why, user, name, expected) in [
            ("its own", Some("acme-svc"), "acme", None),
            ("another of its own", Some("acme-svc"), "acme-test", None),
            ("somebody else's", Some("acme-svc"), "globex", Some("may not publish for the tenant globex")),
            ("all of them", Some("watchbell"), "globex", None),
            ("a user whom nobody mapped", Some("eve"), "acme", Some("`eve` is mapped to no tenant")),
            ("names are told apart by case", Some("ACME-SVC"), "acme", Some("mapped to no tenant")),
            ("no user", None, "acme", Some("is missing")),
            ("an empty user", Some(""), "acme", Some("is missing")),
        ] {
            let said = mapped().allows(user, &tenant(name)).err().map(|error| error.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{why}: {said:?}");
            if let (Some(said), Some(expected)) = (said, expected) {
                assert!(said.contains(expected), "{why}: {said}");
                assert!(said.contains("[[broker.producer]]"), "{why} has a remedy: {said}");
            }
        }
    }

    #[test]
    fn without_a_mapping_everybody_publishes_for_everybody() {
        for user in [None, Some(""), Some("eve")] {
            assert_eq!(Producers::default().allows(user, &tenant("acme")), Ok(()), "{user:?}");
            assert!(Producers::default().is_trusted(user), "{user:?}");
        }
    }

    #[test]
    fn only_who_has_all_tenants_speaks_for_another() {
        for (why, user, first, expected) in [
            ("a message that is sent again", Some("watchbell"), Some("acme-svc"), Some("acme-svc")),
            ("its own message", Some("watchbell"), None, Some("watchbell")),
            ("a forged header", Some("acme-svc"), Some("watchbell"), Some("acme-svc")),
            ("a forged header of nobody", None, Some("watchbell"), None),
        ] {
            assert_eq!(mapped().publisher(user, first), expected, "{why}");
        }
    }

    #[test]
    fn a_name_of_a_user_cannot_forge_a_line() {
        let said = mapped().knows(Some("eve\n\u{1b}[31m")).unwrap_err().to_string();
        assert!(said.contains(r"`eve\n\u{1b}[31m`"), "{said}");
    }
}
