//! When sessions move, as a table; and fleets of many seeds, whose balancers are told nothing: they get level, and then
//! nothing moves any more.

use std::collections::VecDeque;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

const RULES: Rules =
    Rules { every: Duration::from_secs(30), band: 0.1, band_sessions_min: 50.0, per_minute_max: 3_000.0 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a small number")
}

/// A pod that has run for an hour.
fn pod(sessions: u64) -> PodLoad {
    PodLoad { sessions, sessions_max: 50_000, started_at: at(0), told_at: at(3_600), leaving: false }
}

fn decide(own: PodLoad, others: &[Option<PodLoad>]) -> usize {
    to_move(own, others, RULES, at(3_600), false, 0.5).map_or(0, |moves| moves.sessions)
}

#[test]
fn sessions_move_only_where_that_makes_the_fleet_level() {
    let some = |pods: &[u64]| pods.iter().map(|&sessions| Some(pod(sessions))).collect::<Vec<_>>();
    let sized = |sessions, sessions_max| PodLoad { sessions_max, ..pod(sessions) };
    let young = PodLoad { started_at: at(3_590), ..pod(0) };
    let leaving = PodLoad { leaving: true, ..pod(0) };
    let silent = PodLoad { told_at: at(3_588), ..pod(0) };
    for (why, own, others, expected) in [
        ("alone", pod(1_000), vec![], 0),
        ("level", pod(1_000), some(&[1_000, 1_000]), 0),
        ("within the band", pod(1_090), some(&[1_000, 910]), 0),
        ("one came back, and I hold a part of its share", pod(4_000), some(&[4_000, 4_000, 0]), 1_000),
        ("the one that came back has nothing to give", pod(0), some(&[4_000, 4_000, 4_000]), 0),
        (
            "one of twenty came back: each of the others is hardly beyond",
            pod(4_000),
            [some(&[4_000; 18]), some(&[0])].concat(),
            200,
        ),
        ("I alone am beyond, and the others all lack a little", pod(1_300), some(&[900, 900, 900]), 300),
        ("another is far beyond, and I lack", pod(900), some(&[1_300, 900, 900]), 0),
        ("no more than a round may ask", pod(40_000), some(&[0]), 1_500),
        ("few sessions are no sign", pod(60), some(&[40, 20, 0]), 0),
        ("nor is what chance leaves of some hundreds", pod(455), some(&[400, 400, 345]), 0),
        (
            "it says itself that it may have twice as many",
            sized(2_000, 40_000),
            vec![Some(sized(1_000, 20_000))],
            0,
        ),
        ("and a balancer that does not know it", sized(1_500, 40_000), vec![Some(sized(1_500, 20_000))], 0),
        (
            "a small one that is beyond the mean gives",
            sized(2_000, 20_000),
            vec![Some(sized(1_000, 40_000))],
            500,
        ),
        ("one that is full has no room", pod(4_000), vec![Some(pod(4_000)), Some(sized(1_000, 1_000))], 0),
        ("one has just started", pod(4_000), vec![Some(pod(4_000)), Some(young)], 0),
        ("I have just started", PodLoad { started_at: at(3_590), ..pod(4_000) }, some(&[0]), 0),
        ("one leaves", pod(4_000), vec![Some(pod(1_000)), Some(leaving)], 0),
        ("one was killed, and its lease still holds", pod(4_000), vec![Some(pod(1_000)), Some(silent)], 0),
        ("one of an earlier version does not say", pod(4_000), vec![Some(pod(1_000)), None], 0),
        ("nobody is there", pod(0), some(&[0, 0]), 0),
    ] {
        assert_eq!(decide(own, &others), expected, "{why}");
    }
}

#[test]
fn moves_are_over_before_the_pod_looks_again() {
    let moves = to_move(pod(4_000), &[Some(pod(0))], RULES, at(3_600), false, 0.5).expect("it moves");
    assert!(moves.within + RULES.every.mul_f64(CLOSED_IN) < RULES.every);
}

#[test]
fn where_moving_does_not_help_it_is_tried_less_and_less() {
    let lacks = |room| Some(Moves { sessions: 100, within: Duration::ZERO, room, helps_by: 6.0 });
    let mut patience = Patience::default();
    assert!(patience.allows(lacks(1_000.0)).is_some(), "the first time");
    assert!(patience.allows(lacks(900.0)).is_some(), "it helped");
    let tried: Vec<bool> = (0..12).map(|_| patience.allows(lacks(899.0)).is_some()).collect();
    let [no, yes] = [false, true];
    assert_eq!(tried, [no, yes, no, no, no, yes, no, no, no, no, no, no], "nobody sends it sessions");
    assert!(patience.allows(None).is_none(), "level");
    assert!(patience.allows(lacks(1_000.0)).is_some(), "so it is a new story");
    let mut patience = Patience::default();
    let tried = (0..10_000).filter(|_| patience.allows(lacks(1_000.0)).is_some()).count();
    assert!((100..400).contains(&tried), "and it is never given up: {tried}");
}

/// How a balancer chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Balancer {
    Random,
    LeastConnections,
}

/// A fleet in simulated time, a second a step.
struct Fleet {
    chance: StdRng,
    balancer: Balancer,
    /// What each pod holds, and what of it is asked to move, and when.
    pods: Vec<u64>,
    asked: Vec<VecDeque<i64>>,
    /// What others know: told every 4 s.
    told: Vec<u64>,
    looks_at: Vec<i64>,
    patience: Vec<Patience>,
    now: i64,
    moved: u64,
}

impl Fleet {
    /// All but one hold what that one held before it was killed.
    fn after_a_kill(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let count = chance.random_range(2..=20);
        let balancer = if chance.random_bool(0.5) { Balancer::Random } else { Balancer::LeastConnections };
        let mut fleet = Self {
            balancer,
            pods: vec![0; count],
            asked: vec![VecDeque::new(); count],
            told: vec![0; count],
            looks_at: (0..count).map(|_| 3_600 + chance.random_range(30..60)).collect(),
            patience: (0..count).map(|_| Patience::default()).collect(),
            now: 3_600,
            moved: 0,
            chance,
        };
        let sessions = fleet.chance.random_range(200..1_500) * count as u64;
        for _ in 0..sessions {
            fleet.arrive(1);
        }
        fleet
    }

    /// The balancer sends somebody to one of the pods from `first` on.
    fn arrive(&mut self, first: usize) {
        let to = match self.balancer {
            Balancer::Random => self.chance.random_range(first..self.pods.len()),
            Balancer::LeastConnections => {
                (first..self.pods.len()).min_by_key(|&pod| self.pods[pod]).expect("there is a pod")
            }
        };
        self.pods[to] += 1;
    }

    /// A second passes, in which some go and as many come.
    fn step(&mut self, comes_and_goes: u64) {
        self.now += 1;
        for _ in 0..comes_and_goes {
            // Any session goes, so a pod that holds more loses more.
            let mut gone = self.chance.random_range(0..self.pods.iter().sum());
            let from = self.pods.iter().position(|&sessions| {
                let is_here = gone < sessions;
                gone = gone.saturating_sub(sessions);
                is_here
            });
            self.pods[from.expect("it is somewhere")] -= 1;
            self.arrive(0);
        }
        for pod in 0..self.pods.len() {
            while self.asked[pod].front().is_some_and(|at| *at <= self.now) {
                self.asked[pod].pop_front();
                // Make before break: for a moment it counts twice.
                self.arrive(0);
                self.pods[pod] -= 1;
                self.moved += 1;
            }
            if (self.now + pod as i64) % 4 == 0 {
                self.told[pod] = self.pods[pod];
            }
            if self.looks_at[pod] <= self.now {
                self.look(pod);
            }
        }
    }

    fn look(&mut self, own: usize) {
        self.looks_at[own] = self.now + self.chance.random_range(30..=36);
        let told = |sessions| PodLoad { told_at: at(self.now), ..pod(sessions) };
        let others = (0..self.pods.len()).filter(|other| *other != own);
        let others: Vec<_> = others.map(|other| Some(told(self.told[other]))).collect();
        let holds = told(self.pods[own]);
        let chance = self.chance.random();
        let moves = to_move(holds, &others, RULES, at(self.now), self.patience[own].goes_on(), chance);
        if let Some(moves) = self.patience[own].allows(moves) {
            let within = moves.within.as_secs() as i64;
            let mut at: Vec<i64> =
                (0..moves.sessions).map(|_| self.now + self.chance.random_range(1..=within)).collect();
            at.sort_unstable();
            self.asked[own].extend(at);
        }
    }

    /// Whether every pod is within so many bands of the mean.
    fn is_within(&self, bands: f64) -> bool {
        let mean = self.pods.iter().sum::<u64>() as f64 / self.pods.len() as f64;
        let near = bands * RULES.band(mean, false);
        self.pods.iter().all(|&sessions| (sessions as f64 - mean).abs() <= near)
    }
}

#[test]
fn any_fleet_gets_level_and_then_nothing_moves() {
    for seed in 0..300 {
        let mut fleet = Fleet::after_a_kill(seed);
        let (count, balancer) = (fleet.pods.len() as u64, fleet.balancer);
        let sessions: u64 = fleet.pods.iter().sum();
        let comes_and_goes = fleet.chance.random_range(0..3);
        let story = format!("seed {seed}: {balancer:?}, {sessions} sessions, {count} pods");
        let is_random = balancer == Balancer::Random;
        // Where sessions land by chance, one in `count` lands where there is room: so it takes more of them, for longer.
        let minutes_max = if is_random { 4 + 3 * count as i64 } else { 4 };
        let moves_max = if is_random { sessions * 2 } else { sessions / count * 3 / 2 };
        let began = fleet.now;
        while !fleet.is_within(1.0) {
            fleet.step(comes_and_goes);
            let minutes = (fleet.now - began) / 60;
            assert!(minutes <= minutes_max, "{story}: after {minutes} min: {:?}", fleet.pods);
        }
        // It goes on for a while, until it is well within.
        for _ in 0..600 {
            fleet.step(comes_and_goes);
        }
        let moved = fleet.moved;
        assert!(moved <= moves_max, "{story}: {moved} moves");
        for _ in 0..1_800 {
            fleet.step(comes_and_goes);
            assert!(fleet.is_within(1.5), "{story}: it swings: {:?}", fleet.pods);
        }
        // What a balancer does by chance is beyond the band now and then, in a small fleet.
        let for_nothing = fleet.moved - moved;
        let for_nothing_max = sessions / if is_random { 20 } else { 50 };
        assert!(
            for_nothing <= for_nothing_max,
            "{story}: {for_nothing} moves in the half hour after it was level"
        );
    }
}
