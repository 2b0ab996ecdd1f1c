//! Whose version won: posts of the same moment read the same stored version and publish the same next one.
//!
//! Dispatch keeps the one that came first and sets the other aside. A producer who numbers its versions itself contradicts
//! itself then; the versions of a hook are the hook's own, so the one that lost is told again on top of the one that won.

use std::collections::{BTreeSet, HashMap, HashSet};

use watchbell::{
    domain::{
        AlertId, Tenant,
        publication::{Known, Meets, Publication, meets},
    },
    store::Store,
};

use crate::patch::Looks;

/// What was published and confirmed.
#[derive(Debug)]
pub struct Sent {
    /// Which element of the post it is of.
    pub place: usize,
    pub id: AlertId,
    pub version: u32,
    pub publication: Publication,
}

impl Sent {
    fn meets(&self, known: &HashMap<AlertId, Known>) -> Meets {
        meets(known.get(&self.id), self.version, &self.publication)
    }
}

/// The places of those that lost, once all are recorded. What is not recorded in time, or when the store does not answer, is
/// taken to have won: it was confirmed, and repeating it would not be recorded any sooner.
pub async fn lost(store: &Store, tenant: &Tenant, sent: &[Sent]) -> BTreeSet<usize> {
    let mut known = HashMap::new();
    let mut looks = Looks::begin();
    loop {
        let pending: Vec<AlertId> = pending(sent, &known).into_iter().collect();
        if pending.is_empty() {
            break;
        }
        let Ok(found) = store.known_alerts(tenant, &pending).await else { break };
        known.extend(found);
        if !self::pending(sent, &known).is_empty() && !looks.again().await {
            break;
        }
    }
    lost_to(sent, &known)
}

/// The alerts of which something is not recorded yet.
fn pending(sent: &[Sent], known: &HashMap<AlertId, Known>) -> HashSet<AlertId> {
    let is_pending = |sent: &&Sent| matches!(sent.meets(known), Meets::Nothing | Meets::Earlier);
    sent.iter().filter(is_pending).map(|sent| sent.id.clone()).collect()
}

/// The places of those whose version says something else. When the last of several of one alert is recorded, that one holds,
/// and the ones before it are not told behind it.
fn lost_to(sent: &[Sent], known: &HashMap<AlertId, Known>) -> BTreeSet<usize> {
    let last: HashMap<&AlertId, bool> =
        sent.iter().map(|sent| (&sent.id, sent.meets(known).is_refused())).collect();
    let has_lost = |sent: &&Sent| sent.meets(known).is_refused() && last.get(&sent.id) == Some(&true);
    sent.iter().filter(has_lost).map(|sent| sent.place).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::publication::{Fingerprint, VersionFingerprints};

    use super::*;

    fn says(text: &str) -> Fingerprint {
        Fingerprint::of(&serde_json::json!({"title": text}).to_string(), None)
    }

    #[test]
    fn a_post_lost_where_its_last_version_says_something_else() {
        for (why, sent, recorded, lost, is_pending) in [
            ("nothing is recorded", &[(1, "mine")][..], &[][..], &[][..], true),
            ("an earlier one is recorded", &[(2, "mine")], &[(1, "theirs")], &[], true),
            ("it is recorded", &[(2, "mine")], &[(1, "theirs"), (2, "mine")], &[], false),
            ("both say the same", &[(1, "both")], &[(1, "both")], &[], false),
            ("another took its version", &[(2, "mine")], &[(1, "first"), (2, "theirs")], &[0], false),
            (
                "another took its version, and one came since",
                &[(2, "mine")],
                &[(2, "theirs"), (3, "next")],
                &[0],
                false,
            ),
            ("it is recorded, and one came since", &[(2, "mine")], &[(2, "mine"), (3, "next")], &[], false),
            (
                "both of one post lost",
                &[(1, "mine"), (2, "end")],
                &[(1, "theirs"), (2, "their end")],
                &[0, 1],
                false,
            ),
            (
                "the first lost, the last holds",
                &[(1, "mine"), (2, "end")],
                &[(1, "theirs"), (2, "end")],
                &[],
                false,
            ),
            ("the first won", &[(1, "mine"), (2, "end")], &[(1, "mine"), (2, "their end")], &[1], false),
        ] {
            let id = AlertId::parse("a").unwrap();
            let sent: Vec<Sent> = sent
                .iter()
                .enumerate()
                .map(|(place, (version, text))| Sent {
                    place,
                    id: id.clone(),
                    version: *version,
                    publication: Publication {
                        fingerprint: says(text),
                        is_dated: true,
                        by: None,
                        is_redelivered: false,
                    },
                })
                .collect();
            let mut said = VersionFingerprints::default();
            for (version, text) in recorded {
                said.add(*version, says(text));
            }
            let version = recorded.last().map(|(version, _)| *version);
            let known: HashMap<AlertId, Known> =
                version.map(|version| (id, Known { version, said, maker: None })).into_iter().collect();
            let places: Vec<usize> = lost_to(&sent, &known).into_iter().collect();
            assert_eq!((places.as_slice(), !pending(&sent, &known).is_empty()), (lost, is_pending), "{why}");
        }
    }
}
