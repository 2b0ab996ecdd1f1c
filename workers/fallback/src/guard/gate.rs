//! One gate: it stands before a provider, for all tenants or for one, and shuts when the outcomes of calls say that the
//! provider is in trouble. Pure: time and chance are arguments.
//!
//! Here a provider includes its environment (Apple has two) or its origin (the host of a push service).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    breaker::{Breaker, Health},
    evidence::{Evidence, Opinion, Witness},
    outcome::CallOutcome,
};

/// Tenants whose people have to be refused before all tenants are held back.
const TENANTS_MIN: usize = 2;
/// A gate that no call passed for this long is forgotten, whatever state it is in.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// What the end of a call changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GateChange {
    /// The gate shut (true) or opened (false).
    pub(super) shut: Option<bool>,
    /// The trouble that several people had is over.
    pub(super) is_mended: bool,
}

#[derive(Debug)]
pub(super) struct Gate {
    breaker: Breaker,
    refusals: Evidence,
    throttles: Evidence,
    used_at: Instant,
}

impl Gate {
    pub(super) fn new(of_one_tenant: bool, now: Instant) -> Self {
        let tenants_min = if of_one_tenant { 1 } else { TENANTS_MIN };
        let evidence = || Evidence::new(tenants_min);
        Self { breaker: Breaker::new(now), refusals: evidence(), throttles: evidence(), used_at: now }
    }

    /// How long a call has to wait before it asks again; `None` when it may go now.
    pub(super) fn wait(&mut self, is_retry: bool, now: Instant, chance: f64) -> Option<Duration> {
        self.used_at = now;
        self.breaker.wait(is_retry, now, chance)
    }

    pub(super) fn begin(&mut self, is_retry: bool, now: Instant) {
        self.breaker.begin(is_retry, now);
    }

    /// A call is over. `None`: it was given up by ourselves, or not made. `is_news` unless this device was refused before.
    pub(super) fn end(
        &mut self,
        outcome: Option<CallOutcome>,
        who: Witness,
        is_news: bool,
        now: Instant,
        chance: f64,
    ) -> GateChange {
        let was_shut = self.breaker.is_shut();
        let mut is_mended = false;
        let health = match outcome {
            None => None,
            Some(CallOutcome::Accepted) => {
                self.throttles.served(now);
                is_mended = self.refusals.served(now);
                Some(Health::Fine)
            }
            Some(CallOutcome::MessageRefused) => Some(Health::Fine),
            Some(CallOutcome::Failed) => Some(Health::Trouble),
            Some(CallOutcome::EverybodyRefused) => Some(Health::Broken),
            Some(CallOutcome::ThrottledForAll(wait)) => Some(Health::Brake(wait)),
            Some(CallOutcome::DeviceRefused) => {
                health_of(self.refusals.refused(who, is_news, now), Health::Broken)
            }
            Some(CallOutcome::Throttled(wait)) => {
                health_of(self.throttles.refused(who, true, now), Health::Brake(wait))
            }
        };
        self.breaker.end(health, who.person, now, chance);
        let is_shut = self.breaker.is_shut();
        GateChange { shut: (is_shut != was_shut).then_some(is_shut), is_mended }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.breaker.is_shut()
    }

    /// Whether it is as a new gate would be, or was not used for a long time.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        let is_quiet = self.refusals.is_idle(now) && self.throttles.is_idle(now) && self.breaker.is_idle(now);
        is_quiet || now.duration_since(self.used_at) >= FORGOTTEN_AFTER
    }
}

/// What a refusal says of the provider: a single one says nothing.
fn health_of(opinion: Opinion, of_all: Health) -> Option<Health> {
    match opinion {
        Opinion::Alone => None,
        Opinion::Agreed => Some(of_all),
        Opinion::Repeated => Some(Health::Unproven),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of calls past the gate of one tenant: a letter for each outcome, by the person whose number follows.
    /// `s`erved, `a`nswered, `t`rouble, `b`rake of 100 s, `h`alted for 100 s without saying who, `r`efused, `r1'` once
    /// more, `x` refused before a device was named; `+s` lets seconds pass; `?` asks whether a call may go.
    fn play(script: &str) -> String {
        let mut now = Instant::now();
        let (mut gate, mut heard) = (Gate::new(true, now), String::new());
        for word in script.split_whitespace() {
            let (what, number) = word.trim_end_matches('\'').split_at(1);
            let number: u64 = number.parse().unwrap_or(1);
            let hundred = Duration::from_secs(100);
            let outcome = match what {
                "+" => {
                    now += Duration::from_secs(number);
                    continue;
                }
                "?" => {
                    let goes = gate.wait(false, now, 0.0).is_none();
                    if goes {
                        gate.begin(false, now);
                    }
                    heard.push(if goes { 'g' } else { '-' });
                    continue;
                }
                "s" => CallOutcome::Accepted,
                "a" => CallOutcome::MessageRefused,
                "t" => CallOutcome::Failed,
                "b" => CallOutcome::ThrottledForAll(hundred),
                "h" => CallOutcome::Throttled(hundred),
                "r" => CallOutcome::DeviceRefused,
                "x" => CallOutcome::EverybodyRefused,
                other => panic!("{other}"),
            };
            let who = Witness { person: number, tenant: 1 };
            gate.end(Some(outcome), who, !word.ends_with('\''), now, 0.0);
        }
        heard
    }

    #[test]
    fn who_said_what_holds_everybody_back_or_nobody() {
        let many = |what: &str, people: u64, times: usize| -> String {
            (0..times as u64).map(|n| format!("{what}{} ", n % people)).collect()
        };
        for (why, script, expected) in [
            ("one device is refused", "r1 ?".to_owned(), "g"),
            ("again and again", "r1 r1' r1' r1' r1' r1' r1' ?".to_owned(), "g"),
            ("three people are", "r1 r2 r3 ?".to_owned(), "-"),
            ("three people are, with one served between", "r1 r2 s4 r3 ?".to_owned(), "g"),
            ("a token that is gone says nothing on that", "r1 a2 r3 r4 ?".to_owned(), "-"),
            ("refused before a device was named", "x1 ?".to_owned(), "-"),
            ("one device in trouble, a hundred times", format!("{} ?", many("t", 1, 100)), "g"),
            ("two are, twenty times", format!("{} ?", many("t", 2, 20)), "g"),
            ("four are, twenty times", format!("{} ?", many("t", 4, 20)), "-"),
            ("asked to brake for all", "b1 ?".to_owned(), "-"),
            ("one is asked to slow down", "h1 h1 h1 ?".to_owned(), "g"),
            ("three are", "h1 h2 h3 ? +99 ? +1 ?".to_owned(), "--g"),
            ("three are, with one served between", "h1 h2 s1 h3 ?".to_owned(), "g"),
            ("mended: the probe, then the ramp", "r1 r2 r3 +5 ? s4 ? ?".to_owned(), "gg-"),
            ("a new one is refused as probe: longer", "r1 r2 r3 +5 ? r4 +9 ? +1 ?".to_owned(), "g-g"),
            ("a suspect as probe does not make it longer", "r1 r2 r3 +5 ? r1' +4 ? +1 ?".to_owned(), "g-g"),
            ("nor the second time", "r1 r2 r3 +5 ? r1' +5 ? r1' +5 ?".to_owned(), "ggg"),
            (
                "refused alone as probe after an outage: the next one tries",
                format!("{} +5 ? r9 ?", many("t", 4, 20)),
                "gg",
            ),
        ] {
            assert_eq!(play(&script), expected, "{why}: {script}");
        }
    }

    #[test]
    fn what_nobody_calls_any_more_is_forgotten() {
        let now = Instant::now();
        let mut gate = Gate::new(true, now);
        let who = Witness { person: 1, tenant: 1 };
        gate.end(Some(CallOutcome::EverybodyRefused), who, true, now, 0.0);
        gate.wait(false, now, 0.0);
        assert!(!gate.is_idle(now + FORGOTTEN_AFTER / 2));
        assert!(gate.is_idle(now + FORGOTTEN_AFTER), "though it never opened again");
    }
}
