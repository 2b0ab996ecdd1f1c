//! The names by which everything is addressed. A value that exists is well formed.
//!
//! There are two kinds. What operators and producers choose (tenants, alerts, devices) is written in an alphabet that
//! needs no quoting anywhere. What a team's own product and its sign-in service choose (users and groups) is any text,
//! because nobody can ask Auth0 for ids without `|`; it is percent-encoded in addresses.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::text::is_drawn_as_nothing;

/// Why a text is not a name. Names are shown (they are not secrets), so the reason can be precise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than the bound of this kind of name.
    #[error("must be at most {max} bytes long, has {len}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character outside the alphabet of this kind of name.
    #[error("must not contain {found:?}: use letters, digits and . _ - : @ + ~ =")]
    Character {
        /// The first one found.
        found: char,
    },
    /// A character that breaks lines or changes the direction of text: it would forge a log line or disguise a name.
    #[error("must not contain the control character {found:?}")]
    Control {
        /// The first one found.
        found: char,
    },
    /// A character that draws nothing, so that two names would look alike.
    #[error("must not contain {found:?}, which nobody sees: two ids would look alike")]
    Unseen {
        /// The first one found.
        found: char,
    },
    /// A step of a path, and not a name in it: no client can write an address with it.
    #[error("must not be `.` or `..`, which no address can hold")]
    PathStep,
    /// A blank that nobody sees, so that two names would look alike.
    #[error("must not begin or end with a blank")]
    Blank,
}

/// Whether every character is of the alphabet that needs no quoting in addresses, headers and logs.
pub(super) fn check(raw: &str, max: usize) -> Result<(), InvalidName> {
    check_len(raw, max)?;
    match raw.chars().find(|c| !(c.is_alphanumeric() || ".-_:@+~=".contains(*c))) {
        Some(found) => Err(InvalidName::Character { found }),
        None => Ok(()),
    }
}

/// The name in Unicode's form NFC, so that one word typed on two keyboards is one name.
fn any_text(raw: &str, max: usize) -> Result<Arc<str>, InvalidName> {
    // Composing never makes a text more than three times shorter, so this bounds what is normalized.
    check_len(raw, max * 3)?;
    let name: Arc<str> = match is_nfc_quick(raw.chars()) {
        IsNormalized::Yes => raw.into(),
        IsNormalized::No | IsNormalized::Maybe => raw.nfc().collect::<String>().into(),
    };
    check_len(&name, max)?;
    if let Some(found) = name.chars().find(|c| is_control(*c)) {
        return Err(InvalidName::Control { found });
    }
    match name.trim().len() == name.len() {
        true => Ok(name),
        false => Err(InvalidName::Blank),
    }
}

/// Whether addresses lose it: clients and servers take `.` and `..` out of a path, however they are encoded.
pub fn is_path_step(name: &str) -> bool {
    matches!(name, "." | "..")
}

fn check_len(raw: &str, max: usize) -> Result<(), InvalidName> {
    match raw.len() {
        0 => Err(InvalidName::Empty),
        len if len > max => Err(InvalidName::TooLong { len, max }),
        _ => Ok(()),
    }
}

/// Control characters, line and paragraph separators, and the marks that override the direction of text.
fn is_control(c: char) -> bool {
    let changes_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') || changes_direction
}

/// A name that prints as it is.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $crate::domain::names::name!(
            $(#[$doc])* $name, $max, "letters, digits and `. _ - : @ + ~ =`",
            |raw: &str| $crate::domain::names::check(raw, $max).map(|()| raw.into())
        );
    };
    ($(#[$doc:meta])* $name:ident, $max:expr, $accepted:literal, $parse:expr) => {
        $crate::domain::names::text!($(#[$doc])* $name, $max, $accepted, $parse);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use name;

/// The type of a name, which does not print yet.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $accepted:literal, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest accepted, in bytes.
            pub const LEN_MAX: usize = $max;

            #[doc = concat!("Accepts 1 to [`Self::LEN_MAX`] bytes of ", $accepted, ".")]
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong and what is allowed.
            pub fn parse(raw: impl AsRef<str>) -> Result<Self, InvalidName> {
                let parse: fn(&str) -> Result<Arc<str>, InvalidName> = $parse;
                parse(raw.as_ref()).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(raw: &str) -> Result<Self, InvalidName> {
                Self::parse(raw)
            }
        }
    };
}
pub(super) use text;

name! {
    /// One customer of the installation; nothing crosses between two of them (I8).
    Tenant, 64
}
text! {
    /// A person within a tenant, by the id the team's own product gives them.
    ///
    /// It may be an address or a phone number, which is nobody's business in a log (I12). So there is no `Display`:
    /// [`Self::as_str`] is for what is stored, sent and answered, and `Debug`, for logs and errors, prints `redacted` in
    /// the place of an address.
    UserId, 256, "any text, kept in Unicode's form NFC, without control characters and without blanks at its ends",
    |raw| any_text(raw, 256)
}
name! {
    /// A named set of users within a tenant.
    GroupId, 256, "any text, kept in Unicode's form NFC, without control characters and without blanks at its ends",
    |raw| any_text(raw, 256)
}
name! {
    /// An alert within a tenant: the idempotency key (I2). Any text of the alphabet; a UUIDv7 when we make it.
    AlertId, 200
}
name! {
    /// One push registration of one user, named by the app that registers it.
    DeviceId, 128
}

/// What is asked of a name that somebody else chose, where it comes from outside and may become a new one.
macro_rules! may_be_new {
    ($($name:ident),+) => {$(
        impl $name {
            /// The same for a name that may be new: it has no character that draws nothing (zero width, soft hyphens, fillers,
            /// variation selectors, marks of direction), or two that look alike would be two people, and can stand in an address. Names that were stored
            /// before this was asked are read by [`Self::parse`], and so are found and erased.
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong and what is allowed.
            pub fn parse_new(raw: impl AsRef<str>) -> Result<Self, InvalidName> {
                let name = Self::parse(raw)?;
                if is_path_step(name.as_str()) {
                    return Err(InvalidName::PathStep);
                }
                match name.as_str().chars().find(|c| is_drawn_as_nothing(*c)) {
                    Some(found) => Err(InvalidName::Unseen { found }),
                    None => Ok(name),
                }
            }
        }
    )+};
}
may_be_new!(UserId, GroupId, DeviceId);

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if is_address(&self.0) { "redacted" } else { &self.0 })
    }
}

/// Digits of a phone number that is written as one: the shortest have 7, and E.164 allows 15.
const PHONE_DIGITS: RangeInclusive<usize> = 7..=15;
/// Digits from which a bare number may be a phone number. Shorter ones are keys of somebody's table.
const BARE_PHONE_DIGITS_MIN: usize = 10;

/// Whether a person can be reached by it: an email address, a handle of that form, or a phone number, alone or behind
/// something such as `tel:`. In doubt it is one.
pub(super) fn is_address(id: &str) -> bool {
    let is_mailbox = id.contains(['@', '\u{ff20}']) || id.contains("%40");
    is_mailbox || id.split(['|', ':', '/', ',', ';', '=', '\\']).any(is_phone)
}

/// Digits, and between them what people write there.
fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_number = text.bytes().all(|c| c.is_ascii_digit() || b"+ ().-".contains(&c));
    let is_bare = text.len() == digits && !text.starts_with("00");
    is_number && PHONE_DIGITS.contains(&digits) && (!is_bare || digits >= BARE_PHONE_DIGITS_MIN)
}

/// A person, fully addressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey {
    /// The wall they live behind.
    pub tenant: Tenant,
    /// Who they are behind it.
    pub user: UserId,
}

impl UserKey {
    /// Both names together.
    pub fn new(tenant: Tenant, user: UserId) -> Self {
        Self { tenant, user }
    }

    /// Which of `partitions` live exchanges carries this user's frames: CRC-32 of `tenant/user`, so that
    /// every worker in every language agrees.
    pub fn partition(&self, partitions: u16) -> u16 {
        partition_of(&self.tenant, self.user.as_str(), partitions)
    }
}

/// CRC-32 of `tenant/name`, the same for users and topics.
pub(super) fn partition_of(tenant: &Tenant, name: &str, partitions: u16) -> u16 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(tenant.as_str().as_bytes());
    crc.update(b"/");
    crc.update(name.as_bytes());
    (crc.finalize() % u32::from(partitions)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_keep_to_the_alphabet() {
        let long = "x".repeat(65);
        for (why, raw, expected) in [
            ("letters of any script are letters", "żółw", Ok(())),
            ("a scoped id", "family:42", Ok(())),
            ("empty is nobody", "", Err(InvalidName::Empty)),
            ("a slash would split a URL path", "a/b", Err(InvalidName::Character { found: '/' })),
            ("a line break would forge a log line", "a\nb", Err(InvalidName::Character { found: '\n' })),
            ("longer than the bound", long.as_str(), Err(InvalidName::TooLong { len: 65, max: 64 })),
        ] {
            assert_eq!(Tenant::parse(raw).map(|_| ()), expected, "{why}");
        }
    }

    #[test]
    fn names_of_others_are_any_text() {
        let longest = "x".repeat(256);
        let long = "x".repeat(257);
        for (why, raw, expected) in [
            ("Auth0", "auth0|5f7c8ec7c33c6c004bbafe82", Ok("auth0|5f7c8ec7c33c6c004bbafe82")),
            ("an address", "ana@example.com", Ok("ana@example.com")),
            ("a path of Keycloak's", "/realm/ops", Ok("/realm/ops")),
            ("a distinguished name", "cn=Ana O'Brien, ou=ops", Ok("cn=Ana O'Brien, ou=ops")),
            ("a Windows account", "CORP\\ana", Ok("CORP\\ana")),
            ("percent signs are characters like others", "a%2Fb", Ok("a%2Fb")),
            ("composed and decomposed are one name", "Zoe\u{308}", Ok("Zo\u{eb}")),
            ("the longest", longest.as_str(), Ok(longest.as_str())),
            ("longer than the bound", long.as_str(), Err(InvalidName::TooLong { len: 257, max: 256 })),
            ("empty is nobody", "", Err(InvalidName::Empty)),
            ("only blanks", "  ", Err(InvalidName::Blank)),
            ("a blank before", " ana", Err(InvalidName::Blank)),
            ("another kind of blank behind", "ana\u{a0}", Err(InvalidName::Blank)),
            ("a line break would forge a log line", "a\nb", Err(InvalidName::Control { found: '\n' })),
            ("NUL cannot be stored", "a\0b", Err(InvalidName::Control { found: '\0' })),
            ("Unicode's own line break", "a\u{2028}b", Err(InvalidName::Control { found: '\u{2028}' })),
            ("text that runs backwards", "a\u{202e}b", Err(InvalidName::Control { found: '\u{202e}' })),
        ] {
            let parsed = UserId::parse(raw);
            assert_eq!(parsed.as_ref().map(UserId::as_str), expected.as_ref().copied(), "{why}");
            let group = GroupId::parse(raw);
            assert_eq!(group.as_ref().map(GroupId::as_str), expected.as_ref().copied(), "{why}: as a group");
        }
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_new_name_of_others_has_no_character_that_nobody_sees() {
        for (why, raw, unseen) in [
            ("Auth0", "auth0|5f7c8ec7c33c6c004bbafe82", None),
            ("an address", "zoë@exämple.com", None),
            ("a decomposed letter is composed", "Zoe\u{308}", None),
            ("a mark that cannot be composed is seen", "x\u{301}", None),
            ("Hindi", "अनिता", None),
            ("an emoji", "team 🔥", None),
            ("a zero width blank", "an\u{200b}a", Some('\u{200b}')),
            (
                "Persian and emojis have joiners in names, and an id is no name",
                "می\u{200c}نا",
                Some('\u{200c}'),
            ),
            ("the other one, between letters that do not join", "an\u{200d}a", Some('\u{200d}')),
            ("a word joiner", "an\u{2060}a", Some('\u{2060}')),
            ("a soft hyphen", "an\u{ad}a", Some('\u{ad}')),
            ("a mark of direction", "ana\u{200e}", Some('\u{200e}')),
            ("a variation selector", "ana\u{fe0f}", Some('\u{fe0f}')),
            ("a filler", "ana\u{3164}", Some('\u{3164}')),
            ("Braille without a dot", "ana\u{2800}", Some('\u{2800}')),
            ("a tag", "ana\u{e0061}", Some('\u{e0061}')),
        ] {
            let refused = unseen.map(|found| InvalidName::Unseen { found });
            assert_eq!(UserId::parse_new(raw).err(), refused, "{why}");
            assert_eq!(GroupId::parse_new(raw).err(), refused, "{why}: as a group");
            assert!(UserId::parse(raw).is_ok(), "{why}: one that is stored is read");
        }
        assert_eq!(UserId::parse_new(" ana"), Err(InvalidName::Blank), "all else is asked as well");
    }

    #[test]
    fn a_new_name_of_others_can_stand_in_an_address() {
        for (raw, expected) in [(".", true), ("..", true), ("...", false), (".ana", false), ("a..b", false)] {
            let refused = expected.then_some(InvalidName::PathStep);
            assert_eq!(DeviceId::parse_new(raw).err(), refused, "{raw}: as a device");
            assert_eq!(UserId::parse_new(raw).err(), refused, "{raw}");
            assert_eq!(GroupId::parse_new(raw).err(), refused, "{raw}: as a group");
            assert!(UserId::parse(raw).is_ok(), "{raw}: one that is stored is read");
        }
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn an_id_that_is_an_address_does_not_print() {
        for (why, id, is_shown) in [
            ("an email address", "ana@example.com", false),
            ("behind a sign-in service", "email|ana@example.com", false),
            ("percent-encoded", "ana%40example.com", false),
            ("with the at sign of East Asia", "ana\u{ff20}example.com", false),
            ("Matrix", "@ana:example.org", false),
            ("a phone number", "+447700900123", false),
            ("as people write it", "+44 (0)7700 900-123", false),
            ("with the prefix of a call abroad", "00447700900123", false),
            ("as an address", "tel:+447700900123", false),
            ("behind a sign-in service", "sms|+447700900123", false),
            ("in the form of a country", "020 7946 0018", false),
            ("bare, and as long as one", "447700900123", false),
            ("a name", "ana", true),
            ("Auth0", "auth0|5f7c8ec7c33c6c004bbafe82", true),
            ("a UUID", "0198f3c2-7a52-7cc4-a4a2-111122223333", true),
            ("a key of a table", "12345678", true),
            ("a short one behind a word", "user:42", true),
            ("longer than any phone number", "116203447801234567890", true),
            ("a distinguished name", "cn=Ana O'Brien, ou=ops", true),
        ] {
            let user = UserId::parse(id).unwrap();
            let expected = if is_shown { id } else { "redacted" };
            assert_eq!(format!("{user:?}"), expected, "{why}");
            assert_eq!(user.as_str(), id, "{why}: it is itself for whoever needs it");
            let key = UserKey::new(Tenant::parse("acme").unwrap(), user);
            assert_eq!(format!("{key:?}").contains(id), is_shown, "{why}, fully addressed");
        }
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_partition_is_stable_because_other_processes_compute_it_too() {
        let key = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        assert_eq!(key.partition(16), (crc32fast::hash(b"acme/ana") % 16) as u16);
        assert_eq!(key.partition(1), 0);
    }
}
