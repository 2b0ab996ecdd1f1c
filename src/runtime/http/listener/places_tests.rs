//! Who is taken in, and who has to go for them.

use std::time::Duration;

use super::*;

fn share(address: &str, max: usize) -> Option<Share> {
    Some(Share { prefix: AddressPrefix::of(address.parse().unwrap()), max })
}

fn has_to_go(place: &Place) -> bool {
    place.has_to_go(Waker::noop())
}

#[test]
fn the_idle_go_before_those_in_the_middle_of_a_request() {
    let begin = Instant::now();
    let at = |ms| begin + Duration::from_millis(ms);
    let later = |ns| at(3) + Duration::from_nanos(ns);
    for (why, standings, expected) in [
        ("nobody", vec![], None),
        ("we are at work on all", vec![Standing::Busy, Standing::Busy], None),
        ("the only one that waits", vec![Standing::Busy, Standing::Waits(at(9))], Some(1)),
        ("the oldest of the idle", vec![Standing::Idle(at(9)), Standing::Idle(at(3))], Some(1)),
        ("the oldest of one millisecond", vec![Standing::Idle(later(2)), Standing::Idle(later(1))], Some(1)),
        ("an idle one, however old others are", vec![Standing::Waits(at(1)), Standing::Idle(at(9))], Some(1)),
        ("the one that is waited for longest", vec![Standing::Waits(at(2)), Standing::Waits(at(1))], Some(1)),
    ] {
        let ranks = standings.iter().map(|standing| Rank::of(*standing, begin)).enumerate();
        assert_eq!(first_to_go(ranks), expected, "{why}");
    }
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_waits() {
    let places = Places::new(2);
    let busy = places.enter(None).unwrap();
    busy.stands(Standing::Busy);
    let idle = places.enter(None).unwrap();
    idle.stands(Standing::Idle(Instant::now()));
    let new = places.enter(None).unwrap();
    assert_eq!([&busy, &idle, &new].map(has_to_go), [false, true, false]);
    new.stands(Standing::Busy);
    assert_eq!(places.enter(None).unwrap_err(), NoPlace::AllAreBusy);
    drop(idle);
    assert_eq!(places.enter(None).unwrap_err(), NoPlace::AllAreBusy, "its place was taken long ago");
    drop(busy);
    assert!(places.enter(None).is_ok());
}

#[test]
fn a_peer_that_has_its_share_makes_room_among_its_own() {
    let places = Places::new(100);
    let stranger = places.enter(share("8.8.8.8", 2)).unwrap();
    stranger.stands(Standing::Idle(Instant::now()));
    let own: Vec<Place> = (0..2).map(|_| places.enter(share("93.184.215.14", 2)).unwrap()).collect();
    own[0].stands(Standing::Busy);
    let third = places.enter(share("93.184.215.14", 2)).unwrap();
    assert_eq!([&stranger, &own[0], &own[1], &third].map(has_to_go), [false, false, true, false]);
    third.stands(Standing::Busy);
    assert_eq!(places.enter(share("93.184.215.14", 2)).unwrap_err(), NoPlace::ShareIsBusy);
    assert!(places.enter(share("93.184.215.15", 2)).is_ok(), "others have theirs");
    drop((own, third));
    assert!(places.enter(share("93.184.215.14", 2)).is_ok());
}

#[test]
fn whose_connection_it_is_may_be_known_later() {
    let places = Places::new(100);
    let [first, second] = [0, 1].map(|_| places.enter(None).unwrap());
    let one = share("93.184.215.14", 1).unwrap();
    first.belongs_to(one).unwrap();
    first.stands(Standing::Busy);
    assert_eq!(second.belongs_to(one).unwrap_err(), NoPlace::ShareIsBusy);
    drop(first);
    second.belongs_to(one).unwrap();
    drop(second);
    assert!(places.lock().by_prefix.is_empty(), "nothing is kept of who has left");
    assert_eq!(places.lock().count, 0);
}

#[test]
fn a_place_that_was_given_back_is_free_until_it_is_wanted_again() {
    let places = Places::new(1);
    let poll = Arc::new(places.enter(share("8.8.8.8", 1)).unwrap());
    poll.stands(Standing::Busy);
    let given_back = poll.give_back();
    let other = places.enter(share("8.8.8.8", 1)).unwrap();
    assert!(!has_to_go(&poll), "it is not closed for the other");
    drop(given_back);
    assert!(has_to_go(&other), "which waits for its peer, and goes");
    assert_eq!(places.lock().count, 1);
    let busy = {
        drop((poll, other));
        places.enter(None).unwrap()
    };
    busy.stands(Standing::Busy);
    let again = Arc::new(places.enter_at_any_rate());
    again.stands(Standing::Busy);
    drop(again.give_back());
    assert_eq!(places.lock().count, 2, "one too many, rather than not to answer");
    drop((busy, again));
    assert_eq!(places.lock().count, 0);
}

#[tokio::test]
async fn whoever_waits_for_a_place_hears_when_there_may_be_one() {
    let places = Places::new(1);
    let only = places.enter(None).unwrap();
    only.stands(Standing::Busy);
    let waiting = async { places.enter_in_turn(None).await.is_ok() };
    let working = async {
        tokio::task::yield_now().await;
        only.stands(Standing::Idle(Instant::now()));
    };
    assert!(tokio::join!(waiting, working).0);
}
