//! Which of the store's histories a change number belongs to. It becomes another one when a backup was restored or a
//! standby was promoted; `pod/history.rs` notices that.
//!
//! What holds here: a cursor of an epoch is given only with what was read while this pod believed in that epoch. So take
//! the epoch first, and read the store after it. A cursor of an epoch that is over is answered with `resync`, and so is one from
//! before something of the inbox was deleted: what its client shows may be gone.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use watchbell::{domain::Seq, store::Head, wire::frame::Cursor};

/// How long a session that begins waits for the store to be seen for the first time.
const KNOWN_MAX: Duration = Duration::from_secs(5);

/// One history of the store, as this pod has come to know it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Counts the epochs of this pod, from 1; 0 before the store was seen.
    pub(crate) number: u32,
    name: String,
}

impl Epoch {
    /// A place in somebody's inbox, as clients are given it.
    pub(crate) fn cursor(&self, seq: Seq) -> String {
        Cursor { epoch: &self.name, seq }.encode()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number a cursor stands for, or why it stands for none.
    pub(crate) fn number_of(&self, raw: &str, head: Head) -> Result<Seq, &'static str> {
        match Cursor::parse(raw) {
            None => Err("cursor not understood"),
            Some(cursor) if cursor.epoch != self.name => Err("cursor of another store"),
            Some(cursor) if cursor.seq > head.seq => Err("cursor from the future"),
            Some(cursor) if cursor.seq < head.deleted_to => Err("old alerts were deleted since"),
            Some(cursor) => Ok(cursor.seq),
        }
    }
}

/// The epoch of this pod.
#[derive(Debug)]
pub(crate) struct Epochs(watch::Sender<Arc<Epoch>>);

impl Default for Epochs {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl Epochs {
    /// The epoch that cursors belong to now. Take it before reading what they are given with.
    pub(crate) fn current(&self) -> Arc<Epoch> {
        self.0.borrow().clone()
    }

    /// The same, once the store has been seen; `None` when it is not seen in time.
    pub(crate) async fn known(&self) -> Option<Arc<Epoch>> {
        let mut epochs = self.0.subscribe();
        let known = timeout(KNOWN_MAX, epochs.wait_for(|epoch| epoch.number > 0)).await.ok()?.ok()?;
        Some(known.clone())
    }

    /// From now on the store's history has this name. Whether that is another epoch than one that was known before.
    pub(crate) fn begin(&self, name: &str) -> bool {
        let before = self.current();
        if before.number > 0 && before.name == name {
            return false;
        }
        self.0.send_replace(Arc::new(Epoch { number: before.number + 1, name: name.to_owned() }));
        before.number > 0
    }
}

#[test]
fn a_cursor_belongs_to_its_epoch() {
    let epochs = Epochs::default();
    assert!(!epochs.begin("aa"), "the first one that is seen is no change");
    let first = epochs.current();
    assert!(!epochs.begin("aa"), "nor is the same");
    assert_eq!(epochs.current(), first);
    let head = Head { seq: 7, ..Head::default() };
    let cursor = first.cursor(5);
    assert_eq!(first.number_of(&cursor, head), Ok(5));
    assert_eq!(first.number_of(&first.cursor(8), head), Err("cursor from the future"));
    assert_eq!(first.number_of("yesterday", head), Err("cursor not understood"));
    let swept = Head { deleted_to: 6, ..head };
    assert_eq!(first.number_of(&cursor, swept), Err("old alerts were deleted since"));
    assert_eq!(first.number_of(&first.cursor(6), swept), Ok(6), "that deletion is known to it");
    assert!(epochs.begin("bb"));
    let second = epochs.current();
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(second.number_of(&cursor, head), Err("cursor of another store"));
}
