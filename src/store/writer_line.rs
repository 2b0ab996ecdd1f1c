//! The line for SQLite's one writer, so that whoever works through much does not keep the others from writing (I16).
//!
//! What holds here:
//! - [`BACKGROUND`] work, whatever there is of it, stands in the line with one transaction at a time.
//! - It stands in the line only when no other work writes or waits, or when it has given way [`GIVES_WAY_MAX`] times: it waits, and
//!   not for ever.
//! - It asks after a stretch whether somebody waits, and then commits and stands in line again.
//!
//! PostgreSQL has many writers and needs no line.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::dialect::Engine;

/// Operations that work through what is left or due, which may be much, and that nobody waits for by name.
const BACKGROUND: [&str; 7] = [
    "claim_due",
    "claim_expansion",
    "pass_on_expansion",
    "record_page",
    "release_expansion",
    "step",
    "steps",
];
/// How many transactions of others background work lets go before it, once it is its turn.
const GIVES_WAY_MAX: usize = 2;

/// See the module. Cheap to clone, one for a store.
#[derive(Debug, Clone)]
pub(super) struct WriterLine {
    /// None where several write at once.
    one: Option<Arc<OneWriter>>,
}

#[derive(Debug)]
struct OneWriter {
    /// Everybody who waits to write.
    waiting: AtomicUsize,
    /// Whoever writes or waits to, but for background work.
    others: AtomicUsize,
    /// Transactions that have begun and not ended: one at the most, but for moments.
    writing: AtomicUsize,
    /// Transactions that have ended.
    ended: AtomicUsize,
    /// Told when one of these numbers changed.
    changed: Notify,
    /// Held by the background work that writes or is next.
    background: Arc<Semaphore>,
}

/// Counted for as long as it is there.
#[derive(Debug)]
struct Counted {
    one: Arc<OneWriter>,
    which: fn(&OneWriter) -> &AtomicUsize,
}

impl Counted {
    fn of(one: &Arc<OneWriter>, which: fn(&OneWriter) -> &AtomicUsize) -> Self {
        which(one).fetch_add(1, Ordering::SeqCst);
        Self { one: Arc::clone(one), which }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.which)(&self.one).fetch_sub(1, Ordering::SeqCst);
        self.one.changed.notify_waiters();
    }
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    waiting: Option<Counted>,
    place: Place,
}

/// Somebody writes, until it is dropped.
#[derive(Debug)]
pub(super) struct Writing {
    writing: Option<Counted>,
    _place: Place,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.one.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Somebody is about to write, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct WriterTurn {
    _other: Option<Counted>,
}

#[derive(Debug)]
enum Place {
    Background { _permit: Option<OwnedSemaphorePermit> },
    Other { _other: Option<Counted> },
}

impl Waiting {
    /// It is its turn.
    pub(super) fn writes(self) -> Writing {
        let writing = self.waiting.as_ref().map(|waiting| Counted::of(&waiting.one, |one| &one.writing));
        Writing { writing, _place: self.place }
    }
}

impl WriterLine {
    pub(super) fn of(engine: Engine) -> Self {
        let one = || OneWriter {
            waiting: AtomicUsize::new(0),
            others: AtomicUsize::new(0),
            writing: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            changed: Notify::new(),
            background: Arc::new(Semaphore::new(1)),
        };
        Self { one: (engine == Engine::Sqlite).then(|| Arc::new(one())) }
    }

    /// Stands in line for the operation of this name.
    pub(super) async fn enter(&self, operation: &str) -> Waiting {
        let Some(one) = &self.one else {
            return Waiting { waiting: None, place: Place::Other { _other: None } };
        };
        let waiting = Some(Counted::of(one, |one| &one.waiting));
        if !BACKGROUND.contains(&operation) {
            let other = Some(Counted::of(one, |one| &one.others));
            return Waiting { waiting, place: Place::Other { _other: other } };
        }
        let permit = Arc::clone(&one.background).acquire_owned().await.ok(); // It is never closed.
        one.until(GIVES_WAY_MAX, |one| one.others.load(Ordering::SeqCst) == 0).await;
        Waiting { waiting, place: Place::Background { _permit: permit } }
    }

    /// Returns when whoever writes now has written.
    pub(super) async fn until_free(&self) -> WriterTurn {
        let Some(one) = &self.one else { return WriterTurn { _other: None } };
        let other = Some(Counted::of(one, |one| &one.others));
        one.until(1, |one| one.writing.load(Ordering::SeqCst) == 0).await;
        WriterTurn { _other: other }
    }

    /// Whether somebody waits for whoever writes.
    pub(super) fn others_wait(&self) -> bool {
        self.one.as_ref().is_some_and(|one| one.waiting.load(Ordering::SeqCst) > 0)
    }

    /// How many things are done before whoever does them asks whether somebody waits: all of them where nobody has to.
    pub(super) fn stretch(&self, all: usize, of_one_writer: usize) -> usize {
        if self.one.is_some() { of_one_writer } else { all }
    }
}

impl OneWriter {
    /// Returns when it `is_so`, or when so many transactions have ended meanwhile.
    async fn until(&self, ended_max: usize, is_so: impl Fn(&Self) -> bool) {
        let before = self.ended.load(Ordering::SeqCst);
        loop {
            // First the ear, then the look: what changes in between is heard.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_so(self) || self.ended.load(Ordering::SeqCst).wrapping_sub(before) >= ended_max {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn enter(line: &WriterLine, operation: &str) -> Option<Waiting> {
        line.enter(operation).now_or_never()
    }

    #[test]
    fn of_background_work_one_at_a_time_stands_in_line() {
        let line = WriterLine::of(Engine::Sqlite);
        let waiting = enter(&line, "steps").expect("nobody is there");
        assert!(line.others_wait());
        let writing = waiting.writes();
        assert!(!line.others_wait(), "it writes");
        let mut page = Box::pin(line.enter("record_page"));
        assert!(page.as_mut().now_or_never().is_none(), "more of it waits outside");
        assert!(line.others_wait(), "and counts as waiting");
        drop(enter(&line, "record").expect("others do not wait outside"));
        drop(writing);
        assert!(page.as_mut().now_or_never().is_some(), "its turn");
    }

    #[test]
    fn background_work_gives_way_and_not_for_ever() {
        let line = WriterLine::of(Engine::Sqlite);
        let mut others: Vec<_> = (0..3).map(|_| enter(&line, "record").unwrap()).collect();
        let mut page = Box::pin(line.enter("record_page"));
        for _ in 0..GIVES_WAY_MAX {
            let writing = others.pop().unwrap().writes();
            assert!(page.as_mut().now_or_never().is_none(), "another writes, and one waits");
            drop(writing);
        }
        assert!(page.as_mut().now_or_never().is_some(), "it gave way often enough");
    }

    #[test]
    fn whoever_gathers_what_they_write_waits_for_the_one_that_writes_and_no_longer() {
        let line = WriterLine::of(Engine::Sqlite);
        assert!(line.until_free().now_or_never().is_some(), "nobody writes");
        let writing = enter(&line, "steps").unwrap().writes();
        let mut gathering = Box::pin(line.until_free());
        assert!(gathering.as_mut().now_or_never().is_none());
        let mut more = Box::pin(line.enter("steps"));
        assert!(more.as_mut().now_or_never().is_none());
        drop(writing);
        assert!(more.as_mut().now_or_never().is_none(), "it gives way to whoever gathers");
        let turn = gathering.as_mut().now_or_never().expect("it is free");
        drop(turn);
        assert!(more.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_waits_no_more() {
        let line = WriterLine::of(Engine::Sqlite);
        let first = enter(&line, "steps");
        let mut second = Box::pin(line.enter("steps"));
        assert!(second.as_mut().now_or_never().is_none());
        drop((first, second, enter(&line, "record")));
        assert!(!line.others_wait());
        assert!(enter(&line, "steps").is_some());
    }

    #[test]
    fn nobody_stands_in_line_where_many_write() {
        let line = WriterLine::of(Engine::Postgres);
        let all: Vec<_> = (0..3).map(|_| enter(&line, "steps").map(Waiting::writes)).collect();
        assert!(all.iter().all(Option::is_some) && !line.others_wait());
        assert!(line.until_free().now_or_never().is_some());
        assert_eq!((line.stretch(128, 16), WriterLine::of(Engine::Sqlite).stretch(128, 16)), (128, 16));
    }
}
