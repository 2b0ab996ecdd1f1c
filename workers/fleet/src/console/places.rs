//! How many requests of the console are answered at once: so many in all, and of one key no more than its share, so that one operator
//! whose requests are slow keeps nobody else out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Requests that are answered at once.
pub(super) const REQUESTS_MAX: usize = 16;
/// Those of one key among them. A page of the console asks for two things at once.
pub(super) const REQUESTS_OF_ONE_KEY_MAX: usize = 6;

/// The requests that are answered now, by the key whose they are.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<String, usize>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
    key: String,
}

impl Places {
    /// A place for a request of this key; none when all are taken, or those of this key.
    pub(super) fn take(&self, key: &str) -> Option<Place<'_>> {
        let mut taken = self.lock();
        let of_key = taken.get(key).copied().unwrap_or_default();
        if of_key >= REQUESTS_OF_ONE_KEY_MAX || taken.values().sum::<usize>() >= REQUESTS_MAX {
            return None;
        }
        taken.insert(key.to_owned(), of_key + 1);
        Some(Place { places: self, key: key.to_owned() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(of_key) = taken.get_mut(&self.key) {
            *of_key -= 1;
            if *of_key == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_key_leaves_places_for_the_others() {
        let places = Places::default();
        let mut of_ana: Vec<Place<'_>> =
            (0..REQUESTS_OF_ONE_KEY_MAX).map(|_| places.take("ana").unwrap()).collect();
        assert!(places.take("ana").is_none(), "she has her share");
        let of_ben: Vec<Place<'_>> =
            (0..REQUESTS_OF_ONE_KEY_MAX).map(|_| places.take("ben").unwrap()).collect();
        let left = REQUESTS_MAX - 2 * REQUESTS_OF_ONE_KEY_MAX;
        let of_eve: Vec<Place<'_>> = (0..left).map(|_| places.take("eve").unwrap()).collect();
        assert!(places.take("eve").is_none(), "all are taken");
        of_ana.pop();
        assert!(places.take("eve").is_some(), "one was given back");
        drop((of_ana, of_ben, of_eve));
        assert!(places.lock().is_empty(), "nothing is remembered of whoever asks no more");
    }
}
