//! Whom a person's values let in, and what they may do where: pure.

use watchbell::domain::{Scope, Scopes, Tenant};

use crate::oidc::config::Allow;

/// What somebody may do, by the tenant for which they may; without one, for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights(Vec<(Option<Tenant>, Scopes)>);

impl Rights {
    /// Those of a person with these values; none where nothing signs in.
    pub(crate) fn of(values: &[&str], allow: &[Allow]) -> Option<Self> {
        let theirs = allow.iter().filter(|allow| values.contains(&allow.value.as_str()));
        let rights = Self(theirs.map(|allow| (allow.tenant.clone(), allow.scopes)).collect());
        let signs_in = |tenant: &Option<Tenant>| match tenant {
            None => rights.everywhere().has(Scope::Operations),
            Some(tenant) => rights.within(tenant).has(Scope::Operations),
        };
        rights.0.iter().any(|(tenant, _)| signs_in(tenant)).then_some(rights)
    }

    /// What they may do for a tenant.
    pub(crate) fn within(&self, tenant: &Tenant) -> Scopes {
        self.sum(|of| of.is_none_or(|of| of == tenant))
    }

    /// What they may do for all tenants, and so with what is of the whole installation.
    pub(crate) fn everywhere(&self) -> Scopes {
        self.sum(|of| of.is_none())
    }

    /// The tenant that they look at when they name none.
    pub(crate) fn home<'a>(&'a self, operators: &'a Tenant) -> &'a Tenant {
        let mut own = self.0.iter().filter_map(|(tenant, _)| tenant.as_ref());
        let own = own.find(|tenant| self.within(tenant).has(Scope::Operations));
        match (self.everywhere().has(Scope::Operations), own) {
            (false, Some(own)) => own,
            _ => operators,
        }
    }

    /// The tenants that they are bound to, in words.
    pub(crate) fn bound_to(&self) -> String {
        let mut names: Vec<&str> =
            self.0.iter().filter_map(|(tenant, _)| Some(tenant.as_ref()?.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }

    fn sum(&self, counts: impl Fn(Option<&Tenant>) -> bool) -> Scopes {
        let counting = self.0.iter().filter(|(tenant, _)| counts(tenant.as_ref()));
        let all: Vec<Scope> = counting.flat_map(|(_, scopes)| scopes.iter()).collect();
        Scopes::of(&all)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    pub(crate) fn allow(value: &str, of: Option<&str>, scopes: &[Scope]) -> Allow {
        Allow { value: value.to_owned(), tenant: of.map(tenant), scopes: Scopes::of(scopes) }
    }

    #[test]
    fn nobody_has_more_than_their_values_say_and_nowhere_else() {
        use Scope::{Alerts, Operations, People, Read};
        let table = [
            allow("ops", None, &[Operations, Read]),
            allow("acme-help", Some("acme"), &[Operations, Read, People]),
            allow("resolvers", None, &[Alerts]),
            allow("acme-erasers", Some("acme"), &[People]),
        ];
        let of = |values: &[&str]| Rights::of(values, &table);
        for (why, values) in [
            ("none", &[][..]),
            ("a foreign one", &["hr"]),
            ("one that only begins so", &["ops-interns", "op"]),
            ("of other letters", &["OPS"]),
            ("one that does not sign in", &["resolvers", "acme-erasers"]),
        ] {
            assert_eq!(of(values), None, "{why}");
        }
        for (why, values, everywhere, in_acme, in_others, home) in [
            (
                "of all tenants",
                &["ops", "hr"][..],
                &[Operations, Read][..],
                &[Operations, Read][..],
                &[Operations, Read][..],
                "operators",
            ),
            ("of one tenant", &["acme-help"], &[], &[Operations, Read, People], &[], "acme"),
            (
                "of one, and more of all, which does not sign in there",
                &["acme-help", "resolvers"],
                &[Alerts],
                &[Operations, Read, People, Alerts],
                &[Alerts],
                "acme",
            ),
            (
                "of all, and more of one",
                &["ops", "acme-erasers"],
                &[Operations, Read],
                &[Operations, Read, People],
                &[Operations, Read],
                "operators",
            ),
        ] {
            let rights = of(values).unwrap();
            assert_eq!(rights.everywhere(), Scopes::of(everywhere), "{why}");
            assert_eq!(rights.within(&tenant("acme")), Scopes::of(in_acme), "{why}");
            assert_eq!(rights.within(&tenant("other")), Scopes::of(in_others), "{why}");
            assert_eq!(rights.home(&tenant("operators")), &tenant(home), "{why}");
        }
        assert_eq!(of(&["acme-help", "acme-erasers"]).unwrap().bound_to(), "acme");
    }
}
