//! The names by which everything is addressed. A value that exists is well formed.

use std::{fmt, sync::Arc};

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
    /// A character that would not survive a URL, a header or a log line.
    #[error("must not contain {found:?}: use letters, digits and . _ - : @ + ~ =")]
    Character {
        /// The first one found.
        found: char,
    },
}

pub(super) fn check(raw: &str, max: usize) -> Result<(), InvalidName> {
    if raw.is_empty() {
        return Err(InvalidName::Empty);
    }
    if raw.len() > max {
        return Err(InvalidName::TooLong { len: raw.len(), max });
    }
    match raw.chars().find(|c| !(c.is_alphanumeric() || ".-_:@+~=".contains(*c))) {
        Some(found) => Err(InvalidName::Character { found }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest accepted, in bytes.
            pub const LEN_MAX: usize = $max;

            /// Accepts 1 to [`Self::LEN_MAX`] bytes of letters, digits and `. _ - : @ + ~ =`.
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong and what is allowed.
            pub fn parse(raw: impl AsRef<str>) -> Result<Self, InvalidName> {
                let raw = raw.as_ref();
                check(raw, Self::LEN_MAX)?;
                Ok(Self(raw.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

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

name! {
    /// One customer of the installation; nothing crosses between two of them (I8).
    Tenant, 64
}
name! {
    /// A person within a tenant, by the id the team's own product gives them.
    UserId, 128
}
name! {
    /// A named set of users within a tenant.
    GroupId, 128
}
name! {
    /// An alert within a tenant: the idempotency key (I2). Any text of the alphabet; a UUIDv7 when we make it.
    AlertId, 200
}
name! {
    /// One push registration of one user, named by the app that registers it.
    DeviceId, 128
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
    fn names_are_checked_where_they_are_made() {
        let long = "x".repeat(129);
        for (why, raw, expected) in [
            ("an address is a fine user id", "ana@example.com", Ok(())),
            ("so is a scoped id", "family:42", Ok(())),
            ("letters of any script are letters", "żółw", Ok(())),
            ("empty is nobody", "", Err(InvalidName::Empty)),
            ("a slash would split a URL path", "a/b", Err(InvalidName::Character { found: '/' })),
            ("a line break would forge a log line", "a\nb", Err(InvalidName::Character { found: '\n' })),
            ("longer than the bound", long.as_str(), Err(InvalidName::TooLong { len: 129, max: 128 })),
        ] {
            assert_eq!(UserId::parse(raw).map(|_| ()), expected, "{why}");
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
