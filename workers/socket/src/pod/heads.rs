//! The head of an inbox and the preferences of its owner, for sessions that begin. Whoever asks while the store is busy
//! shares the next statement with all the others, so a stampede of ten thousand sessions is a few dozen statements.

use std::collections::HashMap;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use watchbell::{
    domain::UserKey,
    store::{Head, Store, StoreError},
    wire::preferences::PreferencesV1,
};

/// Sessions that wait for their head at the most; more are turned away as overload.
const WAITING_MAX: usize = 65_536;
/// Users of one statement.
const BATCH_MAX: usize = 500;
/// Statements under way at once.
const READERS_MAX: usize = 2;

/// The head of an inbox, and the preferences of its owner as they are stored.
type HeadAndPreferences = (Head, Option<String>);
type HeadRequest = (UserKey, oneshot::Sender<HeadAndPreferences>);

/// Where sessions ask for the head of an inbox, on the way to the loop that asks the store for many at once. Cheap to
/// clone.
#[derive(Clone)]
pub(crate) struct Heads {
    queue: mpsc::Sender<HeadRequest>,
}

/// The requests, for that loop.
pub(crate) type HeadsQueue = mpsc::Receiver<HeadRequest>;

/// The store does not answer, or too many sessions ask.
#[derive(Debug)]
pub(crate) struct HeadUnavailable;

impl Heads {
    pub(crate) fn new() -> (Self, HeadsQueue) {
        let (queue, asked) = mpsc::channel(WAITING_MAX);
        (Self { queue }, asked)
    }

    /// The head of somebody's inbox.
    pub(crate) async fn of(&self, user: &UserKey) -> Result<Head, HeadUnavailable> {
        Ok(self.ask(user).await?.0)
    }

    /// The head of somebody's inbox and their preferences: what `hello` says.
    pub(crate) async fn welcome(&self, user: &UserKey) -> Result<(Head, PreferencesV1), HeadUnavailable> {
        let (head, stored) = self.ask(user).await?;
        Ok((head, stored.as_deref().and_then(PreferencesV1::decode).unwrap_or_default()))
    }

    async fn ask(&self, user: &UserKey) -> Result<HeadAndPreferences, HeadUnavailable> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((user.clone(), answer)).map_err(|_| HeadUnavailable)?;
        answered.await.map_err(|_| HeadUnavailable)
    }
}

/// Answers requests from the store until `stop`.
pub(crate) async fn answer_requests(store: Store, requests: HeadsQueue, stop: CancellationToken) {
    let requests = Mutex::new(requests);
    let readers = (0..READERS_MAX).map(|_| answer(&store, &requests));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = futures_util::future::join_all(readers) => {}
    }
}

async fn answer(store: &Store, requests: &Mutex<HeadsQueue>) {
    let mut batch = Vec::new();
    while requests.lock().await.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (users, answers): (Vec<UserKey>, Vec<_>) = batch.drain(..).unzip();
        match store.heads_and_preferences(&users).await {
            Ok(heads) => send_each(&users, &heads, answers),
            // One of them has a row that cannot be read. The others are answered all the same.
            Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) if users.len() > 1 => {
                for (user, answer) in users.iter().zip(answers) {
                    answer_one(store, user, answer).await;
                }
            }
            Err(error) => turn_away(&error, users.len()),
        }
    }
}

async fn answer_one(store: &Store, user: &UserKey, answer: oneshot::Sender<HeadAndPreferences>) {
    let users = std::slice::from_ref(user);
    match store.heads_and_preferences(users).await {
        Ok(heads) => send_each(users, &heads, vec![answer]),
        Err(error) => turn_away(&error, 1),
    }
}

fn send_each(
    users: &[UserKey],
    heads: &HashMap<UserKey, HeadAndPreferences>,
    answers: Vec<oneshot::Sender<HeadAndPreferences>>,
) {
    for (answer, head) in answers.into_iter().zip(each(users, heads)) {
        let _ = answer.send(head); // Whoever asked may have gone.
    }
}

/// Their senders are dropped, which tells them.
fn turn_away(error: &StoreError, sessions: usize) {
    let what = "Sessions are turned away: their heads cannot be read";
    match error.is_unavailable() {
        // Readiness tells of it, once for all of them.
        true => debug!(%error, sessions, "{what}"),
        false => warn!(%error, sessions, "{what}"),
    }
}

/// The answer to each. Two sessions of one user may have asked together.
fn each(
    users: &[UserKey],
    heads: &HashMap<UserKey, HeadAndPreferences>,
) -> impl Iterator<Item = HeadAndPreferences> {
    users.iter().map(|user| heads.get(user).cloned().unwrap_or_default())
}

#[test]
#[allow(clippy::unwrap_used)]
fn two_sessions_of_one_user_are_told_the_same() {
    use watchbell::domain::{Tenant, UserId};

    let user = |name| UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap());
    let known = (Head { seq: 7, unread: 2, ..Head::default() }, Some("{}".to_owned()));
    let heads = HashMap::from([(user("ana"), known.clone())]);
    let told: Vec<HeadAndPreferences> = each(&[user("ana"), user("new"), user("ana")], &heads).collect();
    assert_eq!(told, [known.clone(), HeadAndPreferences::default(), known]);
}
