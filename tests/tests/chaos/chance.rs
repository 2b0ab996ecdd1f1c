//! Chance from a seed: SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A stream of numbers that its seed decides.
#[derive(Debug, Clone)]
pub struct Chance(u64);

/// The seed of this run: `WATCHBELL_SEED`, or a new one.
pub fn seed() -> anyhow::Result<u64> {
    match std::env::var("WATCHBELL_SEED") {
        Ok(given) => Ok(given.parse()?),
        Err(_) => Ok(u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos())),
    }
}

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A time shorter than `max`, to the millisecond.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        Duration::from_millis(self.below(max.as_millis() as usize) as u64)
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// `count` different ones of `from`.
    pub fn pick(&mut self, from: &[String], count: usize) -> Vec<String> {
        let mut rest = from.to_vec();
        (0..count.min(from.len())).map(|_| rest.swap_remove(self.below(rest.len()))).collect()
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let numbers = |seed| {
        let mut chance = Chance::of(seed);
        (0..100).map(|_| chance.below(1_000)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
}
