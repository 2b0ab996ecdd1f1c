//! The search for what the store refuses: a batch that was refused is halved, and its halves are stored one after the
//! other, until what is refused alone is found. The rest of the batch is stored on the way.

/// Parts of a batch that are still to be stored, in their order.
pub(crate) struct Parts<T>(Vec<Vec<T>>);

impl<T> Parts<T> {
    /// The whole batch.
    pub(crate) fn of(batch: Vec<T>) -> Self {
        let mut parts = Self(Vec::new());
        parts.add(batch);
        parts
    }

    /// The next part to store.
    pub(crate) fn next(&mut self) -> Option<Vec<T>> {
        self.0.pop()
    }

    /// More to store, before what is left.
    pub(crate) fn add(&mut self, part: Vec<T>) {
        if !part.is_empty() {
            self.0.push(part);
        }
    }

    /// The store refused this part. Answers the culprit when the part holds nothing else; what was refused only together
    /// with others is stored by the halves, so this ends after twice as many parts as the batch is long.
    pub(crate) fn refused(&mut self, mut part: Vec<T>) -> Option<T> {
        if part.len() <= 1 {
            return part.pop();
        }
        let half = part.split_off(part.len() / 2);
        self.add(half);
        self.add(part);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_alone_is_found_and_everything_else_is_stored_in_order() {
        let everything: Vec<u32> = (0..9).collect();
        for (why, refuses, culprits) in [
            ("nothing is refused", (|_| false) as fn(&[u32]) -> bool, vec![]),
            ("the first", |part| part.contains(&0), vec![0]),
            ("the last", |part| part.contains(&8), vec![8]),
            ("two", |part| part.contains(&3) || part.contains(&4), vec![3, 4]),
            ("each", |_| true, everything.clone()),
            ("two only together", |part| part.contains(&1) && part.contains(&7), vec![]),
            ("any two", |part| part.len() > 1, vec![]),
        ] {
            let (mut stored, mut found, mut tries) = (Vec::new(), Vec::new(), 0);
            let mut parts = Parts::of(everything.clone());
            while let Some(part) = parts.next() {
                tries += 1;
                if refuses(&part) {
                    found.extend(parts.refused(part));
                } else {
                    stored.extend(part);
                }
            }
            let innocent: Vec<u32> =
                everything.iter().copied().filter(|item| !culprits.contains(item)).collect();
            assert_eq!((found, stored), (culprits, innocent), "{why}");
            assert!(tries < 2 * everything.len(), "{why}: {tries} tries");
        }
        assert_eq!(Parts::<u32>::of(Vec::new()).next(), None, "nothing is no part");
    }
}
