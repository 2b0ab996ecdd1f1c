//! Who is signed in to the console of this process.
//!
//! What holds here:
//! - A session has two halves: a cookie, which no script can read, and a token, which the page keeps in the storage of its origin
//!   and shows in a header. Neither opens anything alone. A cookie of `127.0.0.1` is sent to every port of that machine, so
//!   another program that listens there may get it; it does not get the token. A page of another origin cannot set the header.
//! - Both are kept by their hash. They live in memory: a restart signs everybody out.
//! - A session ends after [`IDLE_MAX`] without a request, and [`AGE_MAX`] after it began whatever happens; that of an account of a
//!   sign-in service after [`PERSON_AGE_MAX`], because nobody tells us when the account is closed.
//! - At most [`SESSIONS_MAX`] are kept. One more takes the place of the one that was used longest ago.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::CryptoRng;
use tokio::time::Instant;
use watchbell::domain::Secret;
use watchbell_ingest::key;

use super::oidc::Rights;

/// How long a session may be unused.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts.
pub(super) const AGE_MAX: Duration = Duration::from_secs(8 * 60 * 60);
/// How long one lasts that a sign-in service vouched for.
pub(super) const PERSON_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// Sessions of one process.
pub(super) const SESSIONS_MAX: usize = 64;

/// Everybody who is signed in, by the hash of the cookie.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

/// One who is signed in.
#[derive(Debug, Clone)]
struct Session {
    operator: Operator,
    token_hash: String,
    begun: Instant,
    used: Instant,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) credential: Credential,
    /// What the key is called, or the person.
    pub(super) name: String,
}

/// What somebody signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// The API key with this hash. It is looked up at each request.
    Key {
        /// The SHA-256 of the key.
        hash: String,
    },
    /// The account of a sign-in service.
    Person {
        /// What the service knows them by.
        subject: Arc<str>,
        /// What the values of their claim were worth.
        rights: Rights,
    },
}

impl Operator {
    /// Whoever has this key.
    pub(super) fn with_key(hash: String, name: String) -> Self {
        Self { credential: Credential::Key { hash }, name }
    }

    /// Whom a sign-in service knows.
    pub(super) fn person(subject: Arc<str>, name: String, rights: Rights) -> Self {
        Self { credential: Credential::Person { subject, rights }, name }
    }

    /// One word for each operator.
    pub(super) fn id(&self) -> &str {
        match &self.credential {
            Credential::Key { hash } => hash,
            Credential::Person { subject, .. } => subject,
        }
    }

    /// How long their session lasts.
    pub(super) fn age_max(&self) -> Duration {
        match &self.credential {
            Credential::Key { .. } => AGE_MAX,
            Credential::Person { .. } => PERSON_AGE_MAX,
        }
    }
}

/// The two halves of a new session.
#[derive(Debug)]
pub(super) struct Halves {
    /// What the browser keeps as a cookie that no script reads.
    pub(super) cookie: Secret,
    /// What the page keeps, and sends with each request.
    pub(super) token: Secret,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE_MAX
            || now.saturating_duration_since(self.begun) >= self.operator.age_max()
    }
}

impl Sessions {
    /// Begins a session.
    pub(super) fn begin(&self, operator: Operator, rng: &mut impl CryptoRng, now: Instant) -> Halves {
        let halves = Halves { cookie: key::generate(rng), token: key::generate(rng) };
        let token_hash = key::hash(halves.token.expose());
        let session = Session { operator, token_hash, begun: now, used: now };
        let mut sessions = self.lock();
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= SESSIONS_MAX {
            let longest = sessions.iter().min_by_key(|(_, session)| session.used);
            let longest = longest.map(|(hash, _)| hash.clone());
            longest.and_then(|hash| sessions.remove(&hash));
        }
        sessions.insert(key::hash(halves.cookie.expose()), session);
        halves
    }

    /// Whose session has both halves, which uses it.
    pub(super) fn operator(&self, cookie: &str, token: &str, now: Instant) -> Option<Operator> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&key::hash(cookie))?;
        if session.is_over(now) || session.token_hash != key::hash(token) {
            return None;
        }
        session.used = now;
        Some(session.operator.clone())
    }

    /// Ends the session with this cookie.
    pub(super) fn end(&self, cookie: &str) {
        self.lock().remove(&key::hash(cookie));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn alice() -> Operator {
        Operator::with_key("hash".to_owned(), "alice".to_owned())
    }

    #[test]
    fn a_session_needs_both_halves_and_ends() {
        let begun = Instant::now();
        let minutes = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let mut rng = StdRng::seed_from_u64(7);
        let (sessions, others) = (Sessions::default(), Sessions::default());
        let halves = sessions.begin(alice(), &mut rng, begun);
        let other = others.begin(alice(), &mut rng, begun);
        let (cookie, token) = (halves.cookie.expose(), halves.token.expose());
        for (why, cookie, token, at, expected) in [
            ("both", cookie, token, 0, true),
            ("the cookie alone", cookie, "", 0, false),
            ("the token alone", "", token, 0, false),
            ("the cookie in place of the token", cookie, cookie, 0, false),
            ("a token of another session", cookie, other.token.expose(), 0, false),
            ("a session of another process", other.cookie.expose(), other.token.expose(), 0, false),
            ("used within half an hour", cookie, token, 29, true),
            ("and again", cookie, token, 58, true),
            ("not used for half an hour", cookie, token, 88, false),
        ] {
            let found = sessions.operator(cookie, token, minutes(at));
            assert_eq!(found, expected.then(alice), "{why}");
        }
        let halves = sessions.begin(alice(), &mut rng, begun);
        let (cookie, token) = (halves.cookie.expose(), halves.token.expose());
        let used: Vec<bool> =
            (0..=32).map(|n| sessions.operator(cookie, token, minutes(15 * n)).is_some()).collect();
        assert_eq!(
            used.iter().filter(|is_in| **is_in).count(),
            32,
            "it ends after eight hours, however much it is used"
        );
        let halves = sessions.begin(alice(), &mut rng, begun);
        sessions.end(halves.cookie.expose());
        assert_eq!(
            sessions.operator(halves.cookie.expose(), halves.token.expose(), begun),
            None,
            "signed out"
        );
    }

    #[test]
    fn an_account_is_believed_for_an_hour() {
        let begun = Instant::now();
        let sessions = Sessions::default();
        let operator = Operator::person("7f3a".into(), "alice".to_owned(), Rights::default());
        let halves = sessions.begin(operator, &mut StdRng::seed_from_u64(7), begun);
        let (cookie, token) = (halves.cookie.expose(), halves.token.expose());
        let is_in = |minutes: u64| {
            sessions.operator(cookie, token, begun + Duration::from_secs(60 * minutes)).is_some()
        };
        assert_eq!([20, 40, 59, 60].map(is_in), [true, true, true, false]);
    }

    #[test]
    fn only_so_many_are_kept_and_who_was_away_longest_goes() {
        let begun = Instant::now();
        let mut rng = StdRng::seed_from_u64(7);
        let sessions = Sessions::default();
        let at = |n: usize| begun + Duration::from_secs(n as u64);
        let all: Vec<Halves> = (0..=SESSIONS_MAX).map(|n| sessions.begin(alice(), &mut rng, at(n))).collect();
        let is_in = |halves: &Halves| {
            sessions.operator(halves.cookie.expose(), halves.token.expose(), at(SESSIONS_MAX)).is_some()
        };
        let kept: Vec<bool> = all.iter().map(is_in).collect();
        assert_eq!(kept.iter().filter(|is_in| **is_in).count(), SESSIONS_MAX);
        assert!(!kept[0], "the first one");
    }
}
