//! Who somebody is, and what their token allows.

use std::sync::Arc;

use jiff::Timestamp;
use watchbell::domain::{GroupId, Topic, TopicPattern, UserKey};

/// Who a token says it is, until when, and what else they may read. Cheap to clone: one a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person.
    pub user: UserKey,
    /// The token's time is over then.
    pub expires_at: Timestamp,
    /// When it was made, in whole seconds; none when it does not say, and then no revocation is older than it.
    pub issued_at: Option<Timestamp>,
    /// None for most people, who have only their inbox.
    pub grants: Option<Arc<Grants>>,
}

/// What a token allows beyond the inbox of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Topics of the tenant that may be read (I8).
    pub topics: Box<[TopicPattern]>,
    /// Groups the user belongs to.
    pub groups: Box<[GroupId]>,
}

impl Identity {
    /// Whether this topic, of their own tenant, may be read.
    pub fn may_read(&self, topic: &Topic) -> bool {
        self.topics().iter().any(|pattern| pattern.allows(topic))
    }

    /// The topics that may be read.
    pub fn topics(&self) -> &[TopicPattern] {
        self.grants.as_ref().map_or(&[], |grants| &grants.topics)
    }

    /// The groups they belong to, as far as the token says.
    pub fn groups(&self) -> &[GroupId] {
        self.grants.as_ref().map_or(&[], |grants| &grants.groups)
    }
}
