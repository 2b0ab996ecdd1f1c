//! A value that is replaced while it is used: a key that was rotated, a password that was changed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// The value that holds now. Whoever took it before a change goes on with what they have. Cheap to clone; the clones are one.
pub struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Current<T> {
    /// Holds a first value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// What holds now.
    pub fn get(&self) -> Arc<T> {
        // What is in the lock is replaced as a whole, so a panic elsewhere leaves nothing half done.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this holds.
    pub fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Current<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Current<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[test]
fn a_change_is_seen_by_every_clone_and_by_nobody_who_took_the_value_before() {
    let one = Current::new("old");
    let (other, taken) = (one.clone(), one.get());
    other.replace("new");
    assert_eq!((*taken, *one.get(), *other.get()), ("old", "new", "new"));
}
