//! Variables that are spelled nearly as ours, such as `WATCHBELL_HTTP__LISTEN`: said, because they would be lost in silence. Pure.
//!
//! Others name variables so, too: orchestrators (`WATCHBELL_PORT_7700_TCP` of a service of that name), compose files, and our own
//! commands (`WATCHBELL_URL`). So a name counts only when it begins with a section and then has a key of that section, or two
//! underscores.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};

/// How the name of each of our variables begins.
pub(super) const PREFIX: &str = "WATCHBELL__";
/// How the name of anything of Watchbell begins.
const OURS: &str = "WATCHBELL_";
/// Variables of our compose files that would count.
const OF_COMPOSE: [&str; 1] = ["WATCHBELL_WEBPUSH_SUBJECT"];

/// A section that may be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// Its keys; none of a list or of a table with names of the operator's.
    pub(super) keys: &'static [&'static str],
}

impl Section {
    /// The section that is read as this.
    pub(super) fn of<'de, T: Deserialize<'de>>(name: &'static str) -> Self {
        let mut keys: &'static [&'static str] = &[];
        // It fails once it has heard the keys.
        let _ = T::deserialize(Keys(&mut keys));
        Self { name, keys }
    }
}

/// A variable with the one that is probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NearMiss {
    pub(super) meant: String,
    /// Whether it can be nobody else's.
    pub(super) is_sure: bool,
}

/// Whether a variable may be a near miss. Only these are looked at.
pub(super) fn is_alike(name: &str) -> bool {
    let is_ours = |begin: &str| begin.eq_ignore_ascii_case(OURS);
    name.get(..OURS.len()).is_some_and(is_ours) && !OF_COMPOSE.contains(&name)
}

/// What is probably meant by the name of a variable that is no setting's.
pub(super) fn near_miss(name: &str, sections: &[Section]) -> Option<NearMiss> {
    if !is_alike(name) {
        return None;
    }
    let name = name.to_ascii_uppercase();
    let rest = name.get(OURS.len()..)?.trim_start_matches('_');
    sections
        .iter()
        .filter_map(|section| in_section(rest, section))
        .max_by_key(|(len, _)| *len)
        .map(|(_, miss)| miss)
}

/// The near miss of a setting of this section, with the length of the section's name.
fn in_section(rest: &str, section: &Section) -> Option<(usize, NearMiss)> {
    let name = section.name.to_ascii_uppercase();
    let after = rest.strip_prefix(&name)?.strip_prefix('_')?;
    let key = after.trim_start_matches('_');
    let is_sure = after.contains("__") || after.starts_with('_');
    let of_file = key.strip_suffix("_FILE").unwrap_or(key);
    let is_key = |known: &str| [key, of_file].iter().any(|key| key.eq_ignore_ascii_case(known));
    if key.is_empty() || !(is_sure || section.keys.iter().any(|known| is_key(known))) {
        return None;
    }
    Some((name.len(), NearMiss { meant: format!("{PREFIX}{name}__{key}"), is_sure }))
}

/// Takes the keys of a struct that wants to be read, and gives it nothing.
struct Keys<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = keys;
        Err(Error::custom("only the keys are asked for"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only the keys are asked for"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{HttpConfig, PolicyForSection, StoreSection, WebPushSection},
        *,
    };

    #[test]
    fn the_keys_of_a_section_are_known() {
        let keys = Section::of::<StoreSection>("store").keys;
        assert_eq!(keys, ["url", "connections_max"]);
        assert!(Section::of::<Option<WebPushSection>>("webpush").keys.contains(&"subject"));
        assert_eq!(Section::of::<Vec<StoreSection>>("mount").keys, &[] as &[&str]);
    }

    #[test]
    fn the_name_that_is_meant_is_told_and_others_names_are_left_alone() {
        let sections = [
            Section::of::<HttpConfig>("http"),
            Section::of::<StoreSection>("store"),
            Section::of::<Option<WebPushSection>>("webpush"),
            Section::of::<PolicyForSection>("policy_for"),
            Section { name: "policies", keys: &[] },
            Section { name: "socket", keys: &["sessions_max"] },
        ];
        for (name, expected) in [
            ("WATCHBELL_HTTP__LISTEN", Some(("WATCHBELL__HTTP__LISTEN", true))),
            ("WATCHBELL__HTTP_LISTEN", Some(("WATCHBELL__HTTP__LISTEN", false))),
            ("WATCHBELL_HTTP_LISTEN", Some(("WATCHBELL__HTTP__LISTEN", false))),
            ("WATCHBELL_STORE_URL", Some(("WATCHBELL__STORE__URL", false))),
            ("WATCHBELL_STORE_URL_FILE", Some(("WATCHBELL__STORE__URL_FILE", false))),
            ("watchbell__store__url", Some(("WATCHBELL__STORE__URL", true))),
            ("Watchbell_Store_Url", Some(("WATCHBELL__STORE__URL", false))),
            ("WATCHBELL_HTTP__NO_SUCH_KEY", Some(("WATCHBELL__HTTP__NO_SUCH_KEY", true))),
            ("WATCHBELL_POLICIES__PAGE__MANDATORY", Some(("WATCHBELL__POLICIES__PAGE__MANDATORY", true))),
            ("WATCHBELL_POLICY_FOR_SEVERITY", Some(("WATCHBELL__POLICY_FOR__SEVERITY", false))),
            // These are read by our commands, tests and compose files.
            ("WATCHBELL_URL", None),
            ("WATCHBELL_KEY", None),
            ("WATCHBELL_TOKEN", None),
            ("WATCHBELL_TENANT", None),
            ("WATCHBELL_MANAGEMENT_URL", None),
            ("WATCHBELL_RENEW", None),
            ("WATCHBELL_BIN", None),
            ("WATCHBELL_MIGRATIONS", None),
            ("WATCHBELL_PORT", None),
            ("WATCHBELL_HAPROXY_PORT", None),
            ("WATCHBELL_BENCH_STORE_URL", None),
            ("WATCHBELL_JWT_SECRET", None),
            ("WATCHBELL_AMQP_URL", None),
            ("WATCHBELL_WEBPUSH_SUBJECT", None),
            // These are how Kubernetes tells each pod of a service.
            ("WATCHBELL_SERVICE_HOST", None),
            ("WATCHBELL_SOCKET_PORT", None),
            ("WATCHBELL_SOCKET_SERVICE_PORT_HTTP", None),
            ("WATCHBELL_SOCKET_PORT_7700_TCP_ADDR", None),
            ("WATCHBELL_HTTP_SERVICE_HOST", None),
            // These begin otherwise, or name no setting, so they are somebody else's.
            ("WATCHBELLS_HTTP__LISTEN", None),
            ("PATH", None),
            ("", None),
            ("WATCHBELL_", None),
            ("WATCHBELL_HTTP_", None),
            ("WATCHBELL_HTTP", None),
            ("wätchbell_http__listen", None),
        ] {
            let expected = expected.map(|(meant, is_sure)| NearMiss { meant: meant.to_owned(), is_sure });
            assert_eq!(near_miss(name, &sections), expected, "{name}");
        }
    }
}
