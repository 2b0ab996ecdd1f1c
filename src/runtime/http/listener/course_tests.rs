//! What is due when, step by step: the table of each kind of slow peer.

use super::*;

const PATIENCE: Patience = Patience {
    head: Duration::from_secs(5),
    keep_alive: Duration::from_secs(15),
    body: Duration::from_secs(30),
    stall: Duration::from_secs(10),
    bytes_per_second_min: 1_000,
};

/// What happens on a connection.
#[derive(Debug, Clone, Copy)]
enum Step {
    Read,
    Asked,
    AwaitsBody,
    GotBody(usize),
    Answered,
    Blocked,
    Written(usize),
}
use Step::*;

fn course_of(begin: Instant, steps: &[(u64, Step)]) -> Course {
    let mut course = Course::new(begin);
    for (ms, step) in steps {
        let now = begin + Duration::from_millis(*ms);
        match *step {
            Read => course.read(now),
            Asked => course.asked(),
            AwaitsBody => course.awaits_body(now),
            GotBody(bytes) => course.got_body(bytes, &PATIENCE, now),
            Answered => course.answered(now),
            Blocked => course.write_blocked(now),
            Written(bytes) => course.written(bytes, &PATIENCE, now),
        }
    }
    course
}

/// A body of which so many bytes come each second, and is waited for again after so many seconds.
fn a_body_each_second(seconds: u64, bytes: usize) -> Vec<(u64, Step)> {
    let each = (0..seconds).flat_map(|n| [(n * 1_000, AwaitsBody), (n * 1_000 + 1_000, GotBody(bytes))]);
    [(0, Asked)].into_iter().chain(each).chain([(seconds * 1_000, AwaitsBody)]).collect()
}

#[test]
fn whoever_is_waited_for_has_a_deadline() {
    let begin = Instant::now();
    for (why, steps, expected) in [
        ("nothing was said", vec![], Some((5_000, Due::Head))),
        ("a head that comes in drops", vec![(1_000, Read), (4_000, Read)], Some((5_000, Due::Head))),
        ("a handler works", vec![(10, Read), (10, Asked)], None),
        ("between two requests", vec![(10, Asked), (1_000, Answered)], Some((16_000, Due::Idle))),
        (
            "the next head has begun",
            vec![(10, Asked), (1_000, Answered), (9_000, Read), (11_000, Read)],
            Some((14_000, Due::Head)),
        ),
        ("a body that does not come", vec![(0, Asked), (1_000, AwaitsBody)], Some((11_000, Due::Body))),
        (
            "the time that a handler took counts for nothing",
            vec![(0, Asked), (1_000, AwaitsBody), (2_000, GotBody(0)), (60_000, AwaitsBody)],
            Some((69_000, Due::Body)),
        ),
        ("a byte a second: 9 s behind after the ninth", a_body_each_second(9, 1), Some((10_009, Due::Body))),
        (
            "at the lowest rate it goes on, to the end of the whole body's time",
            a_body_each_second(29, 1_000),
            Some((30_000, Due::Body)),
        ),
        ("an answer that is not taken", vec![(0, Asked), (0, Blocked)], Some((10_000, Due::Write))),
        (
            "taken at last, and again not",
            vec![(0, Asked), (0, Blocked), (8_000, Written(2_000)), (8_000, Blocked)],
            Some((12_000, Due::Write)),
        ),
        (
            "a byte now and then does not help",
            vec![(0, Asked), (0, Blocked), (9_000, Written(1)), (9_000, Blocked)],
            Some((10_001, Due::Write)),
        ),
        (
            "what was taken before is no credit for standing still",
            vec![(0, Asked), (0, Written(1_000_000)), (1_000, Blocked)],
            Some((11_000, Due::Write)),
        ),
        (
            "one that still takes an answer is not idle",
            vec![(0, Asked), (0, Answered), (0, Blocked), (9_000, Written(9_000)), (9_000, Blocked)],
            Some((19_000, Due::Write)),
        ),
        (
            "answers that wait while the next head comes in drops",
            vec![(0, Asked), (0, Answered), (0, Blocked), (1_000, Read)],
            Some((6_000, Due::Head)),
        ),
    ] {
        let due = course_of(begin, &steps).due(&PATIENCE);
        let due = due.map(|(at, due)| ((at - begin).as_millis(), due));
        assert_eq!(due, expected, "{why}");
    }
}

#[test]
fn only_who_is_waited_for_may_have_to_go() {
    let begin = Instant::now();
    let at = |ms| begin + Duration::from_millis(ms);
    for (why, steps, expected) in [
        ("nothing was said", vec![], Standing::Waits(begin)),
        ("a handler works", vec![(10, Asked)], Standing::Busy),
        ("a handler waits for a body", vec![(10, Asked), (20, AwaitsBody)], Standing::Waits(at(20))),
        ("a handler has it", vec![(10, Asked), (20, AwaitsBody), (30, GotBody(1))], Standing::Busy),
        ("between two requests", vec![(10, Asked), (20, Answered)], Standing::Idle(at(20))),
        ("an answer is not taken", vec![(10, Asked), (20, Answered), (15, Blocked)], Standing::Waits(at(15))),
    ] {
        assert_eq!(course_of(begin, &steps).standing(), expected, "{why}");
    }
}
