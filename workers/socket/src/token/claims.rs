//! What a token says, read as RFC 7519 defines it: pure.
//!
//! Sign-in services agree on the signature and on little else, so which claim holds the user, the tenant and the topics
//! is a setting. Times are NumericDates (section 2), which may have a fraction; an audience is one text or a list of
//! them (section 4.1.3) and is checked by jsonwebtoken.

use std::sync::Arc;

use anyhow::ensure;
use serde_json::{Map, Value};
use watchbell::runtime::config::AuthConfig;

use super::refusal::{ClaimProblem, Refusal};

/// The longest name of a claim that can be configured, in bytes.
const CLAIM_BYTES_MAX: usize = 256;

/// Which claims are looked at. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    pub(crate) user: ClaimName,
    pub(crate) tenant: ClaimName,
    pub(crate) topics: ClaimName,
}

impl ClaimNames {
    /// Those of the configuration.
    ///
    /// # Errors
    /// Names the setting that cannot be a claim's name.
    pub(crate) fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        let name = |setting: &str, name: &str| {
            ensure!(
                (1..=CLAIM_BYTES_MAX).contains(&name.len()),
                "auth.{setting} must be the name of a claim, 1 to {CLAIM_BYTES_MAX} bytes long"
            );
            Ok(ClaimName(name.into()))
        };
        Ok(Self {
            user: name("user_claim", &config.user_claim)?,
            tenant: name("tenant_claim", &config.tenant_claim)?,
            topics: name("topics_claim", &config.topics_claim)?,
        })
    }
}

/// The name of one claim. One that begins with `/` is a JSON pointer (RFC 6901) into claims that are objects, such as
/// `/resource_access/watchbell/roles` of Keycloak; any other is looked up as it is, because Auth0's are addresses
/// with dots and slashes in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimName(Arc<str>);

impl ClaimName {
    pub(crate) const fn new(name: Arc<str>) -> Self {
        Self(name)
    }

    fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        self.found_in(&claims.0)
    }

    /// What stands there, if anything does.
    pub(super) fn found_in<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let found = match self.0.starts_with('/') {
            true => self.pointed(claims),
            false => claims.get(&*self.0),
        };
        // `null` is how some services say that there is none.
        found.filter(|value| !value.is_null())
    }

    fn pointed<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
        let mut parts = self.0.split('/').skip(1);
        let first = claims.get(&unescaped(parts.next()?));
        parts.fold(first, |value, part| value?.get(unescaped(part)))
    }
}

/// The claims of a token whose signature is good.
#[derive(Debug)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    /// A claim that is a name: a text, or a number, because some products count their users.
    ///
    /// # Errors
    /// It has another type.
    pub(crate) fn name(&self, claim: &ClaimName) -> Result<Option<String>, Refusal> {
        match claim.find(self) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(_) => Err(Refusal::claim(claim, ClaimProblem::NotAName)),
        }
    }

    /// A NumericDate in whole seconds since 1970; a fraction is cut.
    ///
    /// # Errors
    /// It is not a number.
    pub(crate) fn seconds(&self, claim: &'static str) -> Result<Option<i64>, Refusal> {
        let claim = ClaimName(claim.into());
        let Some(value) = claim.find(self) else { return Ok(None) };
        let whole = value.as_i64();
        // Saturates, which makes nonsense very old or very new, and then the times decide.
        let seconds = whole.or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
        seconds.map(Some).ok_or_else(|| Refusal::claim(&claim, ClaimProblem::NotATime))
    }

    /// A claim of several words: a list of texts, or a text with blanks between them as `scope` has it (RFC 8693,
    /// section 4.2). Whatever else stands there is somebody else's claim of the same name, and says nothing.
    pub(crate) fn words(&self, claim: &ClaimName) -> Vec<&str> {
        match claim.find(self) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => text.split_whitespace().collect(),
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for ClaimName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => Claims(claims),
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let token = claims(json!({
            "sub": "ana", "https://acme.example/tenant": "acme", "realm_access": {"roles": ["a", "b"]},
            "a/b": {"c~d": "deep"}, "none": null, "count": 7, "half": 7.5,
        }));
        for (why, claim, expected) in [
            ("a plain name", "sub", Ok(Some("ana"))),
            ("a name that is an address", "https://acme.example/tenant", Ok(Some("acme"))),
            ("a pointer", "/sub", Ok(Some("ana"))),
            ("a pointer with escapes", "/a~1b/c~0d", Ok(Some("deep"))),
            ("one that is not there", "email", Ok(None)),
            ("a pointer past the end", "/sub/x", Ok(None)),
            ("null is none", "none", Ok(None)),
            ("a number is a name", "count", Ok(Some("7"))),
            ("a fraction is not", "half", Err(ClaimProblem::NotAName)),
            ("an object is not", "realm_access", Err(ClaimProblem::NotAName)),
        ] {
            let found = token.name(&ClaimName::new(claim.into()));
            let expected = expected
                .map(|name| name.map(str::to_owned))
                .map_err(|problem| Refusal::Claim { claim: claim.to_owned(), problem });
            assert_eq!(found, expected, "{why}");
        }
        assert_eq!(token.words(&ClaimName::new("/realm_access/roles".into())), ["a", "b"]);
    }

    #[test]
    fn times_are_numeric_dates() {
        for (why, exp, expected) in [
            ("whole seconds", json!(500), Ok(Some(500))),
            ("a fraction is cut", json!(500.9), Ok(Some(500))),
            ("before 1970", json!(-1.5), Ok(Some(-2))),
            ("after all time", json!(1e300), Ok(Some(i64::MAX))),
            ("none", json!(null), Ok(None)),
            ("a text is not a number", json!("500"), Err(ClaimProblem::NotATime)),
        ] {
            let found = claims(json!({"exp": exp})).seconds("exp");
            let expected = expected.map_err(|problem| Refusal::Claim { claim: "exp".into(), problem });
            assert_eq!(found, expected, "{why}");
        }
    }
}
