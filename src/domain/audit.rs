//! What the audit log tells: who changed what, and what came of it.
//!
//! What holds here:
//! - An actor and an object are short words, such as `key:3fa9…`, `cli:alice`, `user:ana` or `group:ops`. Every kind of object
//!   has its function here, so that the same thing always has the same word and can be looked for.
//! - A user whose id is an email address or a phone number is told by a mark made of it (I12): whoever knows the id finds the
//!   entries, and whoever reads the entries does not learn it.

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{AlertId, GroupId, UserId, names::is_address};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has this API key, by its id.
    Key(Arc<str>),
    /// An operator who signed in by a sign-in service, by what that service knows them by for ever (`sub`).
    Operator(Arc<str>),
    /// Somebody at the command line, by their name on that machine where it is known.
    CommandLine(Option<String>),
    /// Watchbell itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Operator(subject) => f.write_str(&operator_object(subject)),
            Self::CommandLine(Some(name)) => write!(f, "cli:{name}"),
            Self::CommandLine(None) => f.write_str("cli"),
            Self::System => f.write_str("system"),
        }
    }
}

/// How actors are written, for help and documents.
pub const ACTORS: &str = "`key:ID`, `oidc:SUBJECT`, `cli:NAME`, `cli`, `system`";
/// How objects are written, for the same.
pub const OBJECTS: &str = "`user:NAME`, `group:NAME`, `key:ID`, `alert:ID`, `oidc:SUBJECT`, `dead-letters`";

/// What was done. The words are public: programs look for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// A key was made.
    KeyCreated,
    /// A key was given another secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// It was said how a user can be written to.
    UserPut,
    /// An address of a user that refused messages is written to again.
    RefusalLifted,
    /// An address of a user is no longer written to, because a mail provider told that a mail came back or was called spam.
    AddressRefused,
    /// Everything about a user was deleted.
    UserErased,
    /// Everything about a user was handed out.
    UserExported,
    /// A user's sessions were ended.
    SessionsRevoked,
    /// Members came into a group or left it.
    GroupChanged,
    /// A group was deleted.
    GroupDeleted,
    /// A user's device was deleted on their behalf.
    DeviceDeleted,
    /// Dead letters were sent again.
    DeadReplayed,
    /// Dead letters were deleted.
    DeadDropped,
    /// An operator changed an alert: what producers do themselves leaves no entry.
    AlertChanged,
    /// An operator sent an alert.
    AlertSent,
    /// An operator signed in by a sign-in service.
    OperatorSignedIn,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::KeyCreated,
        Self::KeyRotated,
        Self::KeyRevoked,
        Self::UserPut,
        Self::RefusalLifted,
        Self::AddressRefused,
        Self::UserErased,
        Self::UserExported,
        Self::SessionsRevoked,
        Self::GroupChanged,
        Self::GroupDeleted,
        Self::DeviceDeleted,
        Self::DeadReplayed,
        Self::DeadDropped,
        Self::AlertChanged,
        Self::AlertSent,
        Self::OperatorSignedIn,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::UserPut => "user.put",
            Self::RefusalLifted => "user.refusal_lifted",
            Self::AddressRefused => "user.address_refused",
            Self::UserErased => "user.erased",
            Self::UserExported => "user.exported",
            Self::SessionsRevoked => "sessions.revoked",
            Self::GroupChanged => "group.changed",
            Self::GroupDeleted => "group.deleted",
            Self::DeviceDeleted => "device.deleted",
            Self::DeadReplayed => "dead.replayed",
            Self::DeadDropped => "dead.dropped",
            Self::AlertChanged => "alert.changed",
            Self::AlertSent => "alert.sent",
            Self::OperatorSignedIn => "operator.signed_in",
        }
    }
}

/// The object that is an API key.
pub fn key_object(id: &str) -> String {
    format!("key:{id}")
}

/// An operator, by what their sign-in service knows them by.
pub fn operator_object(subject: &str) -> String {
    format!("oidc:{subject}")
}

/// The object that is a user.
pub fn user_object(user: &UserId) -> String {
    object("user", user.as_str())
}

/// The object that is a group.
pub fn group_object(group: &GroupId) -> String {
    object("group", group.as_str())
}

/// The object that is an alert.
pub fn alert_object(alert: &AlertId) -> String {
    object("alert", alert.as_str())
}

/// The object that is the queue of dead letters.
pub const DEAD_LETTERS: &str = "dead-letters";

/// What somebody looks for: an object or an actor as the log has it, or with the id of a person that the log only marks.
pub fn as_logged(word: &str) -> String {
    match word.split_once(':') {
        Some((kind @ ("user" | "group" | "alert"), name)) => object(kind, name),
        _ => word.to_owned(),
    }
}

fn object(kind: &str, name: &str) -> String {
    match is_address(name) {
        true => {
            let digest = Sha256::digest(name.as_bytes());
            let mark: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{kind}:~{mark}")
        }
        false => format!("{kind}:{name}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_user_whose_id_is_an_address_is_found_and_not_told() {
        for (why, id, expected) in [
            ("a plain id", "ana", "user:ana"),
            ("an id of a sign-in service", "auth0|5f7c", "user:auth0|5f7c"),
            ("a number that is no phone's", "471123", "user:471123"),
            ("a mailbox", "ana@example.com", "user:~8e43ca37701228e7"),
            ("a phone number", "+44 7700 900101", "user:~af3accc8e84dbe68"),
        ] {
            let user = UserId::parse(id).unwrap();
            let object = user_object(&user);
            assert_eq!(object, expected, "{why}");
            assert_eq!(as_logged(&format!("user:{id}")), object, "{why}: who knows the id finds it");
            assert_eq!(as_logged(&object), object, "{why}: and who read the mark");
        }
    }

    #[test]
    fn help_names_the_actors_and_objects_that_there_are() {
        let subject: Arc<str> = "SUBJECT".into();
        let actors = [
            Actor::Key("ID".into()),
            Actor::Operator(Arc::clone(&subject)),
            Actor::CommandLine(Some("NAME".to_owned())),
            Actor::CommandLine(None),
            Actor::System,
        ];
        let told =
            |words: &[String]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        assert_eq!(told(&actors.map(|actor| actor.to_string())), ACTORS);
        let objects = [
            user_object(&UserId::parse("NAME").unwrap()),
            group_object(&GroupId::parse("NAME").unwrap()),
            key_object("ID"),
            alert_object(&AlertId::parse("ID").unwrap()),
            operator_object(&subject),
            DEAD_LETTERS.to_owned(),
        ];
        assert_eq!(told(&objects), OBJECTS);
    }

    #[test]
    fn each_action_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = AuditAction::ALL.map(AuditAction::as_str).into();
        assert_eq!(words.len(), AuditAction::ALL.len());
    }
}
