//! How a part's state follows what is seen of it, and what `/readyz` makes of all parts.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn failing(cause: &'static str) -> Seen {
    Seen::Failing(Fault::passing(cause))
}

#[test]
fn a_part_is_told_of_when_it_goes_and_when_it_is_back() {
    let mut state = PartState::unseen(at(0));
    for (why, seen, now, is_told, status, since) in [
        ("connecting takes a moment", failing("refused"), 1, false, Status::Failing, 0),
        ("a moment is over", failing("refused"), 2, true, Status::Failing, 0),
        ("the same again", failing("refused"), 100, false, Status::Failing, 0),
        ("another cause", failing("password"), 101, true, Status::Failing, 0),
        ("and another, too soon", failing("starting"), 102, false, Status::Failing, 0),
        ("which goes on", failing("starting"), 111, true, Status::Failing, 0),
        ("it is back", Seen::Ok, 113, true, Status::Ok, 113),
        ("and stays", Seen::Ok, 200, false, Status::Ok, 113),
        ("nobody can see it: it is as it was", Seen::Hidden, 201, false, Status::Ok, 113),
        ("it goes at once after it came", failing("refused"), 202, true, Status::Failing, 202),
        ("it works again, just", Seen::Degraded(Fault::passing("old")), 203, true, Status::Degraded, 203),
    ] {
        assert_eq!(state.see(seen, 0, at(now)), is_told, "{why}");
        assert_eq!((state.status, state.since), (status, at(since)), "{why}");
    }
}

#[test]
fn an_outage_is_told_with_its_length_and_the_calls_that_failed() {
    let mut state = PartState::unseen(at(0));
    let over =
        |seconds, failed_calls| Some(Outage { lasted: SignedDuration::from_secs(seconds), failed_calls });
    for (why, seen, failed_calls, now, expected) in [
        ("it begins well", Seen::Ok, 0, 1, None),
        ("calls fail now and then", Seen::Ok, 3, 2, None),
        ("it goes; some calls failed since the last look", failing("refused"), 5, 3, None),
        ("and stays away", failing("refused"), 40, 60, None),
        ("it is back", Seen::Ok, 45, 63, over(60, 42)),
        ("which is told once", Seen::Ok, 45, 64, None),
        ("the next outage has its own count", failing("refused"), 46, 70, None),
        ("which ends", Seen::Ok, 46, 71, over(1, 1)),
    ] {
        state.see(seen, failed_calls, at(now));
        assert_eq!(state.over, expected, "{why}");
    }
}

fn check(part: &'static [Part], seen: impl Fn() -> Seen + Send + Sync + 'static) -> Check {
    Check {
        parts: part,
        look: Arc::new(move || {
            let seen: Vec<(Part, Seen)> = part.iter().map(|part| (*part, seen())).collect();
            Box::pin(async { seen })
        }),
        failed_calls: Arc::new(|| 0),
    }
}

#[tokio::test]
async fn the_report_names_the_roles_what_they_lack_and_why() {
    let health = Health::new(Clock::at(at(60)));
    health.add_roles([Role::Ingest, Role::Socket]);
    health.add_check(check(&[Part::Store], || Seen::Ok));
    health.add_check(check(&[Part::Broker], || Seen::Failing(Fault::new("it is away", "start it"))));
    assert_eq!(health.report().status, Standing::NotReady, "nothing was seen yet");
    health.look().await;
    let expected = json!({
        "status": "not_ready",
        "roles": {
            "ingest": {"status": "not_ready", "lacks": ["broker"]},
            "socket": {"status": "degraded", "lacks": ["broker"]},
        },
        "parts": {
            "broker": {"status": "failing", "since": "1970-01-01T00:01:00Z", "cause": "it is away", "remedy": "start it"},
            "store": {"status": "ok", "since": "1970-01-01T00:01:00Z"},
        },
    });
    assert_eq!(serde_json::to_value(health.report()).unwrap(), expected);
    health.leave();
    let left = health.report();
    assert_eq!((left.status, left.roles[&Role::Socket].status), (Standing::NotReady, Standing::NotReady));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_is_given_up_and_does_not_hold_up_the_others() {
    let health = Health::new(Clock::at(at(0)));
    health.add_roles([Role::Socket]);
    let hangs = Check {
        parts: &[Part::Broker],
        look: Arc::new(|| Box::pin(std::future::pending())),
        failed_calls: Arc::new(|| 0),
    };
    health.add_check(hangs);
    health.add_check(check(&[Part::Store], || Seen::Ok));
    health.look().await;
    let report = health.report();
    assert_eq!(report.parts[&Part::Store].status, Status::Ok);
    assert_eq!(report.parts[&Part::Broker].fault, Some(Fault::passing("no answer within 2s")));
    assert_eq!(report.status, Standing::Degraded);
}

#[tokio::test(start_paused = true)]
async fn asking_costs_nothing_and_work_begins_when_its_part_works() {
    let looks = Arc::new(AtomicUsize::new(0));
    let (counted, stop) = (looks.clone(), CancellationToken::new());
    let health = Health::new(Clock::at(at(0)));
    health.add_check(check(&[Part::Schema], move || match counted.fetch_add(1, Ordering::SeqCst) {
        0..3 => failing("behind"),
        _ => Seen::Ok,
    }));
    let watching = tokio::spawn(health.clone().watch(stop.clone()));
    assert!(health.works(Part::Schema, &stop).await, "in the end");
    let looked = looks.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        assert_eq!(health.report().status, Standing::Ready);
    }
    assert_eq!((looked, looks.load(Ordering::SeqCst)), (4, 4), "a storm of probes looks at nothing");
    stop.cancel();
    watching.await.unwrap();

    let never = Health::new(Clock::at(at(0)));
    never.add_check(check(&[Part::Schema], || failing("behind")));
    assert!(!never.works(Part::Schema, &stop).await, "a process that leaves begins nothing");
}
