//! How often the same is logged: so many lines a minute, and how many were left out with the next.
//!
//! For what a stranger can cause at will. The clock is a parameter.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// One kind of line.
#[derive(Debug)]
pub struct LogLimit {
    lines_max: u32,
    window: Mutex<Window>,
}

/// What was logged lately.
#[derive(Debug, Default)]
struct Window {
    began: Option<Timestamp>,
    logged: u32,
    left_out: u64,
}

impl LogLimit {
    /// At most so many lines a minute.
    pub const fn per_minute(lines_max: u32) -> Self {
        Self { lines_max, window: Mutex::new(Window { began: None, logged: 0, left_out: 0 }) }
    }

    /// Whether one more is logged now, and then how many were left out before it.
    pub fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back begins a window as well: otherwise nothing might be logged for as long.
        let is_over = window.began.is_none_or(|began| {
            let age = now.duration_since(began);
            age >= WINDOW || age < SignedDuration::ZERO
        });
        if is_over {
            *window = Window { began: Some(now), logged: 0, left_out: window.left_out };
        }
        if window.logged == self.lines_max {
            window.left_out += 1;
            return None;
        }
        window.logged += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_logged_a_few_times_a_minute() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let limit = LogLimit::per_minute(2);
        for (why, second, expected) in [
            ("the first", 100, Some(0)),
            ("the second", 159, Some(0)),
            ("then no more", 159, None),
            ("nor now", 159, None),
            ("a new minute says how many were left out", 160, Some(2)),
            ("once", 160, Some(0)),
            ("a clock that is set back does not silence it", 50, Some(0)),
        ] {
            assert_eq!(limit.admit(at(second)), expected, "{why}");
        }
    }
}
