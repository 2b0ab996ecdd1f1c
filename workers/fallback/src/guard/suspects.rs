//! Suspects: devices for which a provider refused our configuration. Each rests by itself, and calls to it are put off
//! meanwhile. Pure: time and chance are arguments.
//!
//! What holds here:
//! - A suspect is called once in a while, by one call at a time, and another refusal of it is no news.
//! - A device is no suspect any more when a message to it is accepted, or when the trouble of everybody is over.
//! - The list is bounded, and no tenant can fill it for the others. A device that found no room in it is refused each time it is
//!   called, and each of its attempts backs off all the same.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::channel::Provider;

/// The rest after the first refusal; doubled with each that follows, up to the longest.
const REST_FIRST: Duration = Duration::from_secs(60);
const REST_LONGEST: Duration = Duration::from_secs(600);
/// How long a call to a suspect may stay unanswered before another one is made.
const CALL_MAX: Duration = Duration::from_secs(30);
/// A suspect that was not called for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Suspects that are remembered, and those of one tenant.
pub(super) const SUSPECTS_MAX: usize = 10_000;
pub(super) const SUSPECTS_OF_TENANT_MAX: usize = 1_000;

#[derive(Debug)]
struct Suspect {
    provider: Provider,
    tenant: u64,
    refusals: u32,
    rests_until: Instant,
    heard_at: Instant,
}

/// The suspects of one process, by a number made of their token or address.
#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<u64, Suspect>);

impl Suspects {
    /// How long a call to this device has to wait; `None` when it may go.
    pub(super) fn wait(&self, device: u64, now: Instant) -> Option<Duration> {
        let rest = self.0.get(&device)?.rests_until.duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }

    /// A call to this device begins.
    pub(super) fn begin(&mut self, device: u64, now: Instant) {
        if let Some(suspect) = self.0.get_mut(&device) {
            suspect.rests_until = now + CALL_MAX;
        }
    }

    /// A call to it was refused. Says whether for the first time.
    pub(super) fn refused(
        &mut self,
        device: u64,
        provider: &Provider,
        tenant: u64,
        now: Instant,
        chance: f64,
    ) -> bool {
        let is_news = !self.0.contains_key(&device);
        if is_news && !self.has_room(tenant, now) {
            return true;
        }
        let suspect = self.0.entry(device).or_insert_with(|| Suspect {
            provider: provider.clone(),
            tenant,
            refusals: 0,
            rests_until: now,
            heard_at: now,
        });
        suspect.refusals = suspect.refusals.saturating_add(1);
        let rest = REST_FIRST.saturating_mul(1 << (suspect.refusals - 1).min(8)).min(REST_LONGEST);
        // A tenth more or less, so that those who were refused together do not come back together.
        suspect.rests_until = now + rest.mul_f64(1.0 + 0.1 * chance.clamp(0.0, 1.0));
        suspect.heard_at = now;
        is_news
    }

    /// A message to it was accepted, or refused for another reason. Says whether it was a suspect.
    pub(super) fn cleared(&mut self, device: u64) -> bool {
        self.0.remove(&device).is_some()
    }

    /// Its call ended, and says nothing of whether the device is refused.
    pub(super) fn nothing_learned(&mut self, device: u64, now: Instant) {
        if let Some(suspect) = self.0.get_mut(&device) {
            suspect.rests_until = now;
        }
    }

    /// The trouble of everybody at this provider is over, for one tenant or for all: their devices need not rest any more.
    pub(super) fn mended(&mut self, provider: &Provider, tenant: Option<u64>) {
        self.0.retain(|_, suspect| {
            suspect.provider != *provider || tenant.is_some_and(|tenant| tenant != suspect.tenant)
        });
    }

    /// How many there are at providers with this label.
    pub(super) fn count(&self, label: &str) -> usize {
        self.0.values().filter(|suspect| suspect.provider.label == label).count()
    }

    fn has_room(&mut self, tenant: u64, now: Instant) -> bool {
        if self.0.len() < SUSPECTS_OF_TENANT_MAX {
            return true;
        }
        self.0.retain(|_, suspect| now.duration_since(suspect.heard_at) < FORGOTTEN_AFTER);
        let of_tenant = self.0.values().filter(|suspect| suspect.tenant == tenant).count();
        self.0.len() < SUSPECTS_MAX && of_tenant < SUSPECTS_OF_TENANT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> Provider {
        Provider::named("email")
    }

    #[test]
    fn a_suspect_rests_for_longer_each_time_and_is_called_by_one_at_a_time() {
        let (mut now, mut suspects) = (Instant::now(), Suspects::default());
        assert_eq!(suspects.wait(1, now), None, "nobody has said anything yet");
        for (nth, rest) in [60, 120, 240, 480, 600, 600].into_iter().enumerate() {
            assert_eq!(suspects.refused(1, &relay(), 7, now, 0.0), nth == 0, "only the first is news");
            assert_eq!(suspects.wait(1, now), Some(Duration::from_secs(rest)));
            now += Duration::from_secs(rest);
            assert_eq!(suspects.wait(1, now), None);
            suspects.begin(1, now);
            assert_eq!(suspects.wait(1, now), Some(CALL_MAX), "another one waits for the answer");
        }
        suspects.nothing_learned(1, now);
        assert_eq!(suspects.wait(1, now), None, "it said nothing");
        suspects.cleared(1);
        assert!(suspects.refused(1, &relay(), 7, now, 0.0), "cleared, so this is news");
    }

    #[test]
    fn what_is_mended_frees_those_it_was_about() {
        let (now, mut suspects) = (Instant::now(), Suspects::default());
        for (device, tenant) in [(1, 7), (2, 7), (3, 8)] {
            suspects.refused(device, &relay(), tenant, now, 0.0);
        }
        suspects.mended(&relay(), Some(7));
        assert_eq!([1, 2, 3].map(|device| suspects.wait(device, now).is_some()), [false, false, true]);
        suspects.mended(&relay(), None);
        assert_eq!(suspects.count("email"), 0);
    }

    #[test]
    fn no_tenant_fills_it_for_the_others() {
        let (now, mut suspects) = (Instant::now(), Suspects::default());
        for device in 0..2 * SUSPECTS_OF_TENANT_MAX as u64 {
            suspects.refused(device, &relay(), 7, now, 0.0);
        }
        assert_eq!(suspects.count("email"), SUSPECTS_OF_TENANT_MAX);
        suspects.refused(u64::MAX, &relay(), 8, now, 0.0);
        assert!(suspects.wait(u64::MAX, now).is_some(), "another tenant's is remembered");
        for device in 0..10_000 {
            suspects.refused(1_000_000 + device, &relay(), 100 + device % 50, now, 0.0);
        }
        assert_eq!(suspects.count("email"), SUSPECTS_MAX);
        assert!(suspects.refused(2_000_000, &relay(), 9, now + FORGOTTEN_AFTER, 0.0));
        assert_eq!(suspects.count("email"), 1, "the old ones are forgotten");
    }
}
