//! The dead letters: what was delivered too often, or cannot be carried on, waits on `watchbell.dead` for a person.
//!
//! What holds here:
//! - Each letter that was there at the beginning is looked at once, whatever it is, and then it is over: what is not
//!   acted on is held until the end, so that it cannot be given out again, and what comes meanwhile is left alone.
//! - A letter is taken off only after its replay is confirmed, so a crash costs a second replay, not the letter.
//! - A letter that cannot be sent again is named, with the reason, and stays; it keeps no other from being sent.
//! - At most [`REPLAYS_MAX`] bodies are in memory, of at most [`BODY_BYTES_MAX`]; a longer one comes alone.
//!
//! `watchbell dead` uses it on RabbitMQ directly; `up`, whose broker is in its own process, serves it (`routes`) at
//! `/operations/dead` to keys with the scope `operations`. What a letter is, is in `letter`.
//!
//! [`BODY_BYTES_MAX`]: watchbell::broker::BODY_BYTES_MAX

use std::{ops::ControlFlow, time::Duration};

use anyhow::Context as _;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use watchbell::{
    broker::{Address, Delivery, Message, Settle, SharedBroker, WorkQueue},
    domain::{
        Tenant,
        audit::{AuditAction, DEAD_LETTERS},
    },
    store::AuditedChange,
};

pub(crate) use self::{
    letter::Letter,
    routes::{Wanted, acted, listed, routes},
};

mod letter;
mod routes;

/// The longest list in one look.
pub(crate) const LOOK_MAX: u64 = 10_000;
/// The most letters of one name that are shown whole.
pub(crate) const SHOW_MAX: usize = 10;
/// A list ends with the letter that reaches this, in bytes of what is told of letters. One letter has at most a body of
/// [`BODY_BYTES_MAX`](watchbell::broker::BODY_BYTES_MAX) and the headers of one frame.
const LISTED_BYTES_MAX: usize = 1024 * 1024;
/// Letters on their way back at once.
const REPLAYS_MAX: usize = 64;
/// The most skipped letters that are named; all are counted.
const NAMED_MAX: usize = 100;
const CONFIRM_MAX: Duration = Duration::from_secs(10);
const BROKEN_OFF: &str = "the letters could not be looked through to the end";

/// What to do with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Back to where it came from.
    Replay,
    /// Away for good.
    Drop,
}

/// Which of them, and what: the body of `POST /operations/dead`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) action: Action,
    /// By id or mark; absent, all.
    pub(crate) ids: Option<Vec<String>>,
}

/// What a look found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// How many there are.
    pub(crate) total: u64,
    /// Some of them, oldest first.
    pub(crate) letters: Vec<Letter>,
    /// There may be more of those that were asked for: the list has as many letters or bytes as one may have.
    #[serde(default)]
    pub(crate) more: bool,
}

/// A list in the making.
#[derive(Default)]
struct List {
    letters: Vec<Letter>,
    bytes: usize,
}

impl List {
    /// Adds a letter, and says whether there is room for another.
    fn add(&mut self, letter: Letter, letters_max: usize) -> ControlFlow<()> {
        self.bytes += letter.told_bytes();
        self.letters.push(letter);
        match self.letters.len() < letters_max && self.bytes < LISTED_BYTES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Letters that were acted on.
    pub(crate) acted: u64,
    /// Letters that were meant and stay.
    pub(crate) skipped: u64,
    /// The first of those, with the reason.
    pub(crate) named: Vec<Skipped>,
    /// Why it ended early, when it did: all else stays too.
    pub(crate) failed: Option<String>,
    /// Names that were asked for and that no letter has.
    #[serde(default)]
    pub(crate) missing: Vec<String>,
}

/// A letter that stays.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) letter: String,
    pub(crate) bytes: u64,
    pub(crate) why: String,
}

/// How many there are.
pub(crate) async fn count(broker: &SharedBroker) -> anyhow::Result<u64> {
    Ok(broker.depth(WorkQueue::Dead).await?)
}

/// The first letters, without their bodies.
pub(crate) async fn look(broker: &SharedBroker, limit: u64) -> anyhow::Result<Listed> {
    let total = count(broker).await?;
    let mut list = List::default();
    walk(broker, total.min(limit).min(LOOK_MAX), |delivery| list.add(Letter::of(delivery), usize::MAX))
        .await?;
    let more = (list.letters.len() as u64) < total;
    Ok(Listed { total, letters: list.letters, more })
}

/// The first letters of this name, at most [`SHOW_MAX`], with their bodies.
pub(crate) async fn show(broker: &SharedBroker, name: &str) -> anyhow::Result<Listed> {
    let total = count(broker).await?;
    let (names, mut list, mut more) = ([name.to_owned()], List::default(), false);
    walk(broker, total, |delivery| {
        if !letter::is_named(&delivery.message, &names) {
            return ControlFlow::Continue(());
        }
        let flow = list.add(Letter::with_body(delivery), SHOW_MAX);
        more = flow.is_break();
        flow
    })
    .await?;
    Ok(Listed { total, letters: list.letters, more })
}

/// Looks at each of the first letters once, and changes nothing.
async fn walk(
    broker: &SharedBroker,
    letters: u64,
    mut look: impl FnMut(&Delivery) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    if letters == 0 {
        return Ok(());
    }
    let mut browser = broker.browse(WorkQueue::Dead).await?;
    let mut outcome = Ok(());
    for _ in 0..letters {
        match browser.take().await {
            Ok(Some(delivery)) if look(&delivery).is_continue() => {}
            // Enough was seen, or another operator holds the rest.
            Ok(_) => break,
            Err(error) => {
                outcome = Err(error).context(BROKEN_OFF);
                break;
            }
        }
    }
    browser.close().await;
    outcome
}

/// Acts on the letters that are there now. `passed` is told how many were looked at, and of how many.
pub(crate) async fn act(
    broker: &SharedBroker,
    request: &Request,
    mut passed: impl FnMut(u64, u64),
) -> anyhow::Result<Done> {
    let total = count(broker).await?;
    let mut done = Done { missing: request.ids.clone().unwrap_or_default(), ..Done::default() };
    if total == 0 {
        return Ok(done);
    }
    let mut browser = broker.browse(WorkQueue::Dead).await?;
    let mut replays = FuturesUnordered::new();
    let mut looked = 0;
    while done.failed.is_none() && looked < total {
        if replays.len() >= REPLAYS_MAX
            && let Some(replayed) = replays.next().await
        {
            done.note(replayed).await;
            continue;
        }
        let delivery = match browser.take().await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => break,
            Err(error) => {
                done.failed = Some(format!("{BROKEN_OFF}: {error}"));
                break;
            }
        };
        looked += 1;
        passed(looked, total);
        if !request.ids.as_ref().is_none_or(|names| letter::is_named(&delivery.message, names)) {
            continue; // Held until the end.
        }
        done.missing.retain(|name| !letter::is_named(&delivery.message, std::slice::from_ref(name)));
        match request.action {
            Action::Drop => {
                delivery.settle.ack().await;
                done.acted += 1;
            }
            Action::Replay => match letter::replay_of(&delivery) {
                Ok((to, message)) => replays.push(replay(broker, to, message, delivery)),
                Err(why) => done.skip(&delivery, why),
            },
        }
    }
    while let Some(replayed) = replays.next().await {
        done.note(replayed).await;
    }
    if done.failed.is_some() {
        done.missing.clear(); // Not everything was looked at.
    }
    browser.close().await;
    Ok(done)
}

/// A letter whose replay was confirmed, to be taken off; or why it was not.
type Replayed = Result<Box<dyn Settle>, String>;

fn replay(
    broker: &SharedBroker,
    to: Address,
    message: Message,
    delivery: Delivery,
) -> BoxFuture<'static, Replayed> {
    let broker = broker.clone();
    Box::pin(async move {
        match broker.publish(to, message, CONFIRM_MAX).await {
            Ok(()) => Ok(delivery.settle),
            Err(error) => Err(format!("{} was not replayed: {error}", Letter::of(&delivery).name())),
        }
    })
}

impl Done {
    /// What was done, as the audit log tells it. `tenant`: of the one who did it; the letters are of all.
    pub(crate) fn audited<'a>(&self, action: Action, tenant: Option<&'a Tenant>) -> AuditedChange<'a> {
        let (action, word) = match action {
            Action::Replay => (AuditAction::DeadReplayed, "replayed"),
            Action::Drop => (AuditAction::DeadDropped, "dropped"),
        };
        let outcome = format!("{} {word}, {} skipped", self.acted, self.skipped);
        let end = self.failed.as_ref().map_or("", |_| ", then it failed");
        AuditedChange { tenant, action, object: DEAD_LETTERS.to_owned(), outcome: outcome + end }
    }

    async fn note(&mut self, replayed: Replayed) {
        match replayed {
            Ok(settle) => {
                settle.ack().await;
                self.acted += 1;
            }
            // The first tells it; those that were on their way with it may yet succeed.
            Err(why) => drop(self.failed.get_or_insert(why)),
        }
    }

    fn skip(&mut self, delivery: &Delivery, why: String) {
        self.skipped += 1;
        if self.named.len() < NAMED_MAX {
            let letter = Letter::of(delivery);
            self.named.push(Skipped { letter: letter.name().to_owned(), bytes: letter.bytes, why });
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
