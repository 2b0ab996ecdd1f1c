//! What each role needs to do its work now (I14). Pure; the table in the tests is the specification.

use serde::Serialize;

/// A worker, as readiness sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// HTTP for producers.
    Ingest,
    /// Alerts into inboxes.
    Dispatch,
    /// Sessions and the user's API.
    Socket,
    /// Push and email.
    Fallback,
}

/// Something that a role stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The broker takes publishes.
    Broker,
    /// This pod hears live frames.
    Live,
    /// The store answers and takes writes.
    Store,
    /// The store's tables are the ones this program works with.
    Schema,
    /// The process has not been asked to leave.
    Leaving,
}

impl Role {
    /// As `/readyz` and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Dispatch => "dispatch",
            Self::Socket => "socket",
            Self::Fallback => "fallback",
        }
    }
}

impl Part {
    /// As `/readyz`, logs and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Live => "live",
            Self::Store => "store",
            Self::Schema => "schema",
            Self::Leaving => "leaving",
        }
    }
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Degraded,
    /// It does not work.
    Failing,
}

/// How a role, or a whole process, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It can do all of its work.
    Ready,
    /// It does the work that cannot wait, and should get traffic.
    Degraded,
    /// It cannot do its work: no traffic.
    NotReady,
}

/// What a part is to a role.
enum Need {
    /// Without it there is no work.
    Must,
    /// Without it something waits, and nothing is refused that could be done.
    Helps,
    /// It is not used.
    Not,
}

fn need(role: Role, part: Part) -> Need {
    match (part, role) {
        (Part::Leaving | Part::Schema, _)
        | (Part::Broker | Part::Store, Role::Dispatch | Role::Fallback)
        | (Part::Broker, Role::Ingest)
        | (Part::Store, Role::Socket) => Need::Must,
        // Accepted is durable in the broker (I1), and keys that are known are believed for a while without the store.
        (Part::Store, Role::Ingest)
        // Sessions, inbox and receipts are the store's, and live frames that did not come are healed from it (I3).
        | (Part::Broker | Part::Live, Role::Socket) => Need::Helps,
        (Part::Live, Role::Ingest | Role::Dispatch | Role::Fallback) => Need::Not,
    }
}

/// How `role` is when one of its parts is in this state.
pub fn standing(role: Role, part: Part, status: Status) -> Standing {
    match (need(role, part), status) {
        (Need::Not, _) | (_, Status::Ok) => Standing::Ready,
        (Need::Must, Status::Failing) => Standing::NotReady,
        (Need::Must, Status::Degraded) | (Need::Helps, Status::Degraded | Status::Failing) => {
            Standing::Degraded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_ready_when_what_it_needs_works() {
        use Standing::{Degraded as Lame, NotReady as Out, Ready as Well};
        const ROLES: [Role; 4] = [Role::Ingest, Role::Dispatch, Role::Socket, Role::Fallback];
        // In the order of ROLES.
        for (why, part, status, expected) in [
            ("all is well", Part::Broker, Status::Ok, [Well; 4]),
            (
                "no broker: sessions, inbox and receipts go on",
                Part::Broker,
                Status::Failing,
                [Out, Out, Lame, Out],
            ),
            (
                "a deaf pod heals its sessions from the store",
                Part::Live,
                Status::Failing,
                [Well, Well, Lame, Well],
            ),
            ("no store: alerts are still accepted", Part::Store, Status::Failing, [Lame, Out, Out, Out]),
            ("a store that wants attention", Part::Store, Status::Degraded, [Lame; 4]),
            ("tables that are not there", Part::Schema, Status::Failing, [Out; 4]),
            (
                "a newer program has migrated: a rollout is under way",
                Part::Schema,
                Status::Degraded,
                [Lame; 4],
            ),
            ("leaving", Part::Leaving, Status::Failing, [Out; 4]),
        ] {
            assert_eq!(ROLES.map(|role| standing(role, part, status)), expected, "{why}");
        }
    }
}
