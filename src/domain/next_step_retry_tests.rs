//! How long a retry waits, and when an attempt is given up.

use super::*;

#[test]
fn a_retry_waits_longer_each_time_and_never_less_than_asked() {
    let secs = |tries, wait_min, chance| retry_wait(tries, Duration::from_secs(wait_min), chance).as_secs();
    assert_eq!(secs(1, 0, 1.0), 10);
    assert_eq!(secs(3, 0, 1.0), 40);
    assert_eq!(secs(50, 0, 1.0), 600, "ten minutes at the most");
    assert_eq!(secs(3, 0, 0.0), 5, "jitter never means at once");
    assert_eq!(secs(1, 90, 0.0), 90, "Retry-After wins");
}

#[test]
fn an_attempt_is_given_up_by_age() {
    assert!(!is_too_old(Channel::Push, at(0), at(3_599)));
    assert!(is_too_old(Channel::Push, at(0), at(3_600)));
    assert!(!is_too_old(Channel::Email, at(0), at(3_600)));
}
