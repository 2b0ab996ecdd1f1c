//! Heads of inboxes for those who join, and what they want. Whoever asks while the store is busy shares the next question
//! with all the others: a stampede of ten thousand is a few dozen statements.

use std::collections::HashMap;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use watchbell::{
    domain::UserKey,
    store::{Head, StoreError},
    wire::preferences::PreferencesV1,
};

use crate::Socket;

/// Who waits to be told at the most; more are turned away as overload.
const WAITING_MAX: usize = 65_536;
/// Users of one question.
const BATCH_MAX: usize = 500;
/// Questions under way at once.
const QUESTIONS_MAX: usize = 2;

type Asked = (UserKey, oneshot::Sender<Answer>);
type Answer = (Head, Option<String>);

/// Where sessions ask for the head of an inbox, on the way to the loop that asks the store for many at once.
pub(crate) struct Heads {
    queue: mpsc::Sender<Asked>,
}

/// The questions, for that loop.
pub(crate) type HeadsQueue = mpsc::Receiver<Asked>;

/// The store does not answer, or too many ask.
#[derive(Debug)]
pub(crate) struct NotNow;

impl Heads {
    pub(crate) fn new() -> (Self, HeadsQueue) {
        let (queue, asked) = mpsc::channel(WAITING_MAX);
        (Self { queue }, asked)
    }

    /// Where somebody's inbox is.
    pub(crate) async fn of(&self, user: &UserKey) -> Result<Head, NotNow> {
        Ok(self.ask(user).await?.0)
    }

    /// The same, with what they want: what `hello` says.
    pub(crate) async fn welcome(&self, user: &UserKey) -> Result<(Head, PreferencesV1), NotNow> {
        let (head, stored) = self.ask(user).await?;
        Ok((head, stored.as_deref().and_then(PreferencesV1::decode).unwrap_or_default()))
    }

    async fn ask(&self, user: &UserKey) -> Result<Answer, NotNow> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((user.clone(), answer)).map_err(|_| NotNow)?;
        answered.await.map_err(|_| NotNow)
    }
}

impl Socket {
    /// Answers until `stop`.
    pub(crate) async fn read_heads(self, asked: HeadsQueue, stop: CancellationToken) {
        let asked = Mutex::new(asked);
        let questions = (0..QUESTIONS_MAX).map(|_| self.answer(&asked));
        tokio::select! {
            () = stop.cancelled() => {}
            _ = futures_util::future::join_all(questions) => {}
        }
    }

    async fn answer(&self, asked: &Mutex<HeadsQueue>) {
        let mut batch = Vec::new();
        while asked.lock().await.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let (users, answers): (Vec<UserKey>, Vec<_>) = batch.drain(..).unzip();
            match self.0.store.heads_and_preferences(&users).await {
                Ok(heads) => tell(&users, &heads, answers),
                // One of them has a row that cannot be read: the others are told all the same.
                Err(StoreError::Refused { .. } | StoreError::Unreadable { .. }) if users.len() > 1 => {
                    for (user, answer) in users.iter().zip(answers) {
                        self.answer_one(user, answer).await;
                    }
                }
                Err(error) => turn_away(&error, users.len()),
            }
        }
    }

    async fn answer_one(&self, user: &UserKey, answer: oneshot::Sender<Answer>) {
        let users = std::slice::from_ref(user);
        match self.0.store.heads_and_preferences(users).await {
            Ok(heads) => tell(users, &heads, vec![answer]),
            Err(error) => turn_away(&error, 1),
        }
    }
}

fn tell(users: &[UserKey], heads: &HashMap<UserKey, Answer>, answers: Vec<oneshot::Sender<Answer>>) {
    for (answer, head) in answers.into_iter().zip(each(users, heads)) {
        let _ = answer.send(head); // Whoever asked may have gone.
    }
}

/// Their answers are dropped, which tells them.
fn turn_away(error: &StoreError, sessions: usize) {
    warn!(%error, sessions, "Sessions are turned away: their heads cannot be read");
}

/// What each of them is told. Two sessions of one user may have asked together.
fn each(users: &[UserKey], heads: &HashMap<UserKey, Answer>) -> impl Iterator<Item = Answer> {
    users.iter().map(|user| heads.get(user).cloned().unwrap_or_default())
}

#[test]
#[allow(clippy::unwrap_used)]
fn two_sessions_of_one_user_are_told_the_same() {
    use watchbell::domain::{Tenant, UserId};

    let user = |name| UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(name).unwrap());
    let known = (Head { seq: 7, unread: 2, revoked_at: None }, Some("{}".to_owned()));
    let heads = HashMap::from([(user("ana"), known.clone())]);
    let told: Vec<Answer> = each(&[user("ana"), user("new"), user("ana")], &heads).collect();
    assert_eq!(told, [known.clone(), Answer::default(), known]);
}
