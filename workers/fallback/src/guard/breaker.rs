//! The circuit breaker of one gate, with a ramp after an outage and a budget for retries. Pure: time and chance are
//! arguments. Whether a refusal concerns everybody was decided before (`evidence.rs`).
//!
//! ```text
//! Closed ──most calls fail, or everybody is refused──▶ Open ──time──▶ Probing ──one call works──▶ Ramping ──60 s──▶ Closed
//!                                                      ▲               │ it fails                   │ most calls fail
//!                                                      └───────────────┴────────────────────────────┘
//! ```

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// Calls that are needed before the share of failures counts, and the time in which they are counted.
const CALLS_MIN: u32 = 20;
const WINDOW: Duration = Duration::from_secs(30);
/// Failures of one person that count within a window, so that it takes three people to reach [`CALLS_MIN`]. And the number of
/// people for whom that is counted; failures of more people are not one person's.
const TROUBLES_OF_ONE_MAX: u32 = 7;
const TROUBLED_MAX: usize = 64;
/// How long a breaker is open for the first time; doubled each time that follows, up to the longest.
const OPEN_FIRST: Duration = Duration::from_secs(5);
const OPEN_LONGEST: Duration = Duration::from_secs(60);
/// How long a probe may stay unanswered before another one is sent.
const PROBE_MAX: Duration = Duration::from_secs(30);
/// From the first call after an outage to full speed, as Google asks for:
/// <https://firebase.google.com/docs/cloud-messaging/scale-fcm>.
pub(super) const RAMP: Duration = Duration::from_secs(60);
/// Calls a second at the beginning and at the end of the ramp.
const RAMP_FROM_PER_S: f64 = 5.0;
const RAMP_TO_PER_S: f64 = 500.0;
/// What a first try adds to the budget for retries, so that retries are a tenth of the traffic; what the budget may hold; and
/// what it gets each second in any case, so that retries go out when there is little traffic.
const BUDGET_PER_CALL: f64 = 0.1;
const BUDGET_MAX: f64 = 100.0;
const BUDGET_PER_S: f64 = 2.0;

/// What a call says of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It works, whether or not it accepted this message.
    Fine,
    /// It did not answer, or answered that it cannot now.
    Trouble,
    /// It wants no calls for this long.
    Brake(Duration),
    /// It refuses everybody: an operator has to act.
    Broken,
    /// It refused a person whose refusal was counted before. As a probe, this proves neither that it works nor that it does not.
    Unproven,
}

#[derive(Debug)]
enum BreakerState {
    Closed,
    Open { until: Instant, lasts: Duration },
    Probing { since: Option<Instant> },
    Ramping { since: Instant, tokens: f64, at: Instant },
}

#[derive(Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    /// Openings since it was last closed.
    openings: u32,
    window_began: Instant,
    calls: u32,
    troubles: u32,
    troubled: HashMap<u64, u32>,
    /// The person whose probe failed last.
    probed_by: Option<u64>,
    budget: f64,
    budget_at: Instant,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: BreakerState::Closed,
            openings: 0,
            window_began: now,
            calls: 0,
            troubles: 0,
            troubled: HashMap::new(),
            probed_by: None,
            budget: BUDGET_MAX / 2.0,
            budget_at: now,
        }
    }

    /// How long a call has to wait before it asks again; `None` when it may go now. `chance` in 0..1 spreads the
    /// calls that wait, so that they do not come back together.
    pub(super) fn wait(&mut self, is_retry: bool, now: Instant, chance: f64) -> Option<Duration> {
        self.pass_time(now);
        let spread = |over: Duration| Some(over.mul_f64(chance.clamp(0.0, 1.0)));
        let wait = match &self.state {
            BreakerState::Closed | BreakerState::Probing { since: None } => None,
            BreakerState::Open { until, lasts } => {
                Some(until.duration_since(now)).zip(spread(*lasts)).map(|(rest, spread)| rest + spread)
            }
            BreakerState::Probing { since: Some(_) } => {
                spread(OPEN_FIRST).map(|spread| spread + Duration::from_secs(1))
            }
            BreakerState::Ramping { tokens, .. } if *tokens >= 1.0 => None,
            BreakerState::Ramping { since, .. } => {
                let rest = (*since + RAMP).duration_since(now).max(Duration::from_secs(2));
                spread(rest).map(|spread| spread.max(Duration::from_millis(500)))
            }
        };
        match wait {
            // Waiting for the budget alone: others need the provider more.
            None if is_retry && self.budget < 1.0 => {
                spread(Duration::from_secs(10)).map(|spread| spread + Duration::from_secs(1))
            }
            wait => wait,
        }
    }

    /// A call begins that [`Self::wait`] let go.
    pub(super) fn begin(&mut self, is_retry: bool, now: Instant) {
        match &mut self.state {
            BreakerState::Probing { since } => *since = Some(now),
            BreakerState::Ramping { tokens, .. } => *tokens -= 1.0,
            BreakerState::Closed | BreakerState::Open { .. } => {}
        }
        self.budget = match is_retry {
            true => (self.budget - 1.0).max(0.0),
            false => (self.budget + BUDGET_PER_CALL).min(BUDGET_MAX),
        };
    }

    /// A call for `person` is over. `None`: it was given up by ourselves, or says nothing of the provider.
    pub(super) fn end(&mut self, health: Option<Health>, person: u64, now: Instant, chance: f64) {
        self.pass_time(now);
        let Some(health) = health else {
            if let BreakerState::Probing { since } = &mut self.state {
                *since = None;
            }
            return;
        };
        self.count(health, person);
        match (health, &self.state) {
            (Health::Brake(wait), _) => self.open(wait.max(OPEN_FIRST), now, chance),
            // What was under way when the gate shut is late news.
            (_, BreakerState::Open { .. }) => {}
            (Health::Broken, _) => self.open_longer(now, chance),
            // The same one once more: it may be theirs alone, so others do not wait longer for it.
            (Health::Trouble, BreakerState::Probing { .. }) if self.probed_by == Some(person) => {
                self.open_again(now, chance);
            }
            (Health::Trouble, BreakerState::Probing { .. }) => {
                self.probed_by = Some(person);
                self.open_longer(now, chance);
            }
            (Health::Unproven, BreakerState::Probing { .. }) => self.open_again(now, chance),
            (Health::Fine, BreakerState::Probing { .. }) => {
                self.forget_calls(now);
                self.state = BreakerState::Ramping { since: now, tokens: 1.0, at: now };
            }
            (Health::Trouble, _) if self.is_mostly_trouble() => self.open_longer(now, chance),
            (
                Health::Trouble | Health::Fine | Health::Unproven,
                BreakerState::Closed | BreakerState::Ramping { .. },
            ) => {}
        }
    }

    fn count(&mut self, health: Health, person: u64) {
        match health {
            Health::Fine => self.calls += 1,
            Health::Trouble if self.counts(person) => {
                (self.calls, self.troubles) = (self.calls + 1, self.troubles + 1);
            }
            Health::Trouble | Health::Brake(_) | Health::Broken | Health::Unproven => {}
        }
    }

    /// Whether one more failure of this person counts.
    fn counts(&mut self, person: u64) -> bool {
        let is_full = self.troubled.len() >= TROUBLED_MAX;
        match self.troubled.get_mut(&person) {
            Some(troubles) => {
                *troubles += 1;
                *troubles <= TROUBLES_OF_ONE_MAX
            }
            None if is_full => true,
            None => self.troubled.insert(person, 1).is_none(),
        }
    }

    /// Whether it is as a new breaker would be.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        self.pass_time(now);
        matches!(self.state, BreakerState::Closed) && self.troubles == 0 && self.budget >= BUDGET_MAX / 2.0
    }

    pub(super) fn is_shut(&self) -> bool {
        matches!(self.state, BreakerState::Open { .. } | BreakerState::Probing { .. })
    }

    fn pass_time(&mut self, now: Instant) {
        let idle = now.duration_since(self.budget_at).as_secs_f64();
        self.budget = (self.budget + idle * BUDGET_PER_S).min(BUDGET_MAX);
        self.budget_at = now;
        if now.duration_since(self.window_began) >= WINDOW {
            self.forget_calls(now);
        }
        match &mut self.state {
            BreakerState::Open { until, .. } if *until <= now => {
                self.state = BreakerState::Probing { since: None }
            }
            BreakerState::Probing { since: Some(since) } if now.duration_since(*since) >= PROBE_MAX => {
                self.state = BreakerState::Probing { since: None };
            }
            BreakerState::Ramping { since, .. } if now.duration_since(*since) >= RAMP => {
                (self.openings, self.probed_by) = (0, None);
                self.state = BreakerState::Closed;
            }
            BreakerState::Ramping { since, tokens, at } => {
                let rate = ramp_rate(now.duration_since(*since));
                *tokens =
                    (*tokens + rate * now.duration_since(*at).as_secs_f64()).min((rate / 10.0).max(1.0));
                *at = now;
            }
            BreakerState::Closed | BreakerState::Open { .. } | BreakerState::Probing { .. } => {}
        }
    }

    fn is_mostly_trouble(&self) -> bool {
        self.calls >= CALLS_MIN && self.troubles * 2 > self.calls
    }

    fn open_longer(&mut self, now: Instant, chance: f64) {
        let lasts = OPEN_FIRST.saturating_mul(1 << self.openings.min(8)).min(OPEN_LONGEST);
        self.open(lasts, now, chance);
    }

    /// Open for as short as the first time, without counting as another time.
    fn open_again(&mut self, now: Instant, chance: f64) {
        let openings = self.openings;
        self.open(OPEN_FIRST, now, chance);
        self.openings = openings;
    }

    fn open(&mut self, lasts: Duration, now: Instant, chance: f64) {
        self.openings = self.openings.saturating_add(1);
        self.forget_calls(now);
        // A tenth more or less, so that pods do not all ask at once.
        let until = now + lasts.mul_f64(1.0 + 0.1 * chance.clamp(0.0, 1.0));
        self.state = BreakerState::Open { until, lasts: lasts.min(OPEN_LONGEST) };
    }

    fn forget_calls(&mut self, now: Instant) {
        (self.window_began, self.calls, self.troubles) = (now, 0, 0);
        self.troubled.clear();
    }
}

/// Calls a second, this long after the first call that worked.
pub(super) fn ramp_rate(since: Duration) -> f64 {
    let share = since.as_secs_f64() / RAMP.as_secs_f64();
    RAMP_FROM_PER_S + (RAMP_TO_PER_S - RAMP_FROM_PER_S) * share.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of what happens to a breaker: `+ms` lets time pass, `f`ine, `t`rouble (each of another person), `o`: trouble
    /// of always the same one, `x` broken, `u`nproven, `b` a brake of 100 s, `n` given up by ourselves, `?` asks whether
    /// a call may go and begins it if so.
    fn play(script: &str) -> String {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        let (mut said, mut person) = (String::new(), 1);
        for step in script.split_whitespace() {
            let (what, times) = step.split_at(1);
            if what == "+" {
                now += Duration::from_millis(times.parse().unwrap_or(0));
                continue;
            }
            for _ in 0..times.parse().unwrap_or(1) {
                person += 1;
                match what {
                    "?" => {
                        let goes = breaker.wait(false, now, 0.0).is_none();
                        if goes {
                            breaker.begin(false, now);
                        }
                        said.push(if goes { 'g' } else { '-' });
                    }
                    "f" => breaker.end(Some(Health::Fine), person, now, 0.0),
                    "t" => breaker.end(Some(Health::Trouble), person, now, 0.0),
                    "o" => breaker.end(Some(Health::Trouble), 0, now, 0.0),
                    "u" => breaker.end(Some(Health::Unproven), person, now, 0.0),
                    "x" => breaker.end(Some(Health::Broken), person, now, 0.0),
                    "b" => breaker.end(Some(Health::Brake(Duration::from_secs(100))), person, now, 0.0),
                    "n" => breaker.end(None, person, now, 0.0),
                    other => panic!("{other}"),
                }
            }
        }
        said
    }

    #[test]
    fn a_gate_shuts_and_opens_as_the_table_says() {
        for (why, script, expected) in [
            ("open at first", "?3", "ggg"),
            ("a little trouble is nothing", "t10 ?", "g"),
            ("twenty answers, half of them trouble, is not more than half", "f10 t10 ?", "g"),
            ("more than half is", "f9 t11 ?", "-"),
            ("trouble long ago does not count", "t19 +30000 t1 ?", "g"),
            ("our configuration is refused: at once", "x ?", "-"),
            ("it stays shut for 5 s", "x +4999 ? +1 ?", "-g"),
            ("then one call tries the water", "x +5000 ?3", "g--"),
            ("which may get lost: another one after 30 s", "x +5000 ?2 +30000 ?2", "g-g-"),
            ("or be given up by ourselves", "x +5000 ? n ?", "gg"),
            ("it fails: shut for 10 s", "x +5000 ? t ? +9999 ? +1 ?", "g--g"),
            ("and again: 20 s", "x +5000 ? t +10000 ? t +19999 ? +1 ?", "gg-g"),
            ("it works: slowly at first", "x +5000 ? f ?3", "gg--"),
            ("5 a second to begin with", "x +5000 ? f ?2 +200 ?2", "gg-g-"),
            ("at full speed after a minute", "x +5000 ? f +60000 ?50", &format!("g{}", "g".repeat(50))),
            ("trouble on the ramp shuts it for longer", "x +5000 ? f t20 ? +9999 ? +1 ?", "g--g"),
            ("one person's trouble is theirs, however much", "o100 ?", "g"),
            (
                "the same one fails as probe: others do not wait longer for it",
                "x +5000 ? o +10000 ? o +4999 ? +1 ?",
                "gg-g",
            ),
            ("a suspect as probe: shut for 5 s again", "x +5000 ? u +4999 ? +1 ?", "g-g"),
            ("late news does not count", "x t50 +5000 ?", "g"),
            ("a brake lasts as long as was asked", "b +99999 ? +1 ?", "-g"),
        ] {
            assert_eq!(play(script), expected, "{why}: {script}");
        }
    }

    #[test]
    fn retries_are_a_tenth_of_the_traffic() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        let mut retried = 0;
        for _ in 0..1_000 {
            breaker.begin(false, now);
            if breaker.wait(true, now, 0.0).is_none() {
                breaker.begin(true, now);
                retried += 1;
            }
        }
        assert_eq!(retried, 150, "what was saved up, and a tenth of what went out");
        assert!(breaker.wait(false, now, 0.0).is_none(), "a first try does not wait for it");
        assert!(breaker.wait(true, now + Duration::from_secs(1), 0.0).is_none(), "two a second in any case");
    }

    #[test]
    fn those_who_wait_do_not_come_back_together() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        breaker.end(Some(Health::Broken), 1, now, 0.0);
        let waits: Vec<_> = (0..10).map(|n| breaker.wait(false, now, f64::from(n) / 10.0)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert_eq!(waits[0], Some(OPEN_FIRST), "and nobody before it opens");
    }
}
