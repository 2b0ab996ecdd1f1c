//! Decides whether refusals concern single devices or everybody. One refusal concerns its device alone; when several people
//! are refused, it is taken for everybody's. Pure: time is an argument.
//!
//! What holds here:
//! - A person counts once, however many of their devices and alerts are refused. A retry does not count.
//! - One tenant does not decide for others: at the gate that all tenants share, people of several tenants have to be refused.
//! - One message that is accepted outweighs all refusals before it.

use std::time::Duration;

use tokio::time::Instant;

/// People that have to be refused before the refusal is taken for everybody's.
pub(super) const AGREED_MIN: usize = 3;
/// The same while messages of others are accepted: where most are accepted, three refusals in a row may be chance.
pub(super) const AGREED_MIN_BUSY: usize = 20;
/// How long an accepted message counts for that.
pub(super) const BUSY_FOR: Duration = Duration::from_secs(60);
/// Refusals longer ago than this do not count.
pub(super) const AGREE_WITHIN: Duration = Duration::from_secs(300);

/// The person a call was for: numbers made of names, so that nothing here can print a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Witness {
    pub(super) person: u64,
    pub(super) tenant: u64,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It concerns this device, until others are refused as well.
    Alone,
    /// It concerns everybody: others were refused as well.
    Agreed,
    /// It concerns everybody, as was known, and this person was counted before.
    Repeated,
}

/// The refusals at one gate since a message was accepted, at most [`AGREED_MIN_BUSY`].
#[derive(Debug)]
pub(super) struct Evidence {
    tenants_min: usize,
    refusals: Vec<(Witness, Instant)>,
    served_at: Option<Instant>,
    is_agreed: bool,
}

impl Evidence {
    /// For a gate at which people of this many tenants have to be refused.
    pub(super) fn new(tenants_min: usize) -> Self {
        Self { tenants_min, refusals: Vec::new(), served_at: None, is_agreed: false }
    }

    /// A call was refused; `is_news` unless this device was refused before.
    pub(super) fn refused(&mut self, who: Witness, is_news: bool, now: Instant) -> Opinion {
        self.refusals.retain(|(_, at)| now.duration_since(*at) < AGREE_WITHIN);
        let has_spoken = !is_news || self.refusals.iter().any(|(witness, _)| witness.person == who.person);
        if has_spoken {
            return if self.is_agreed { Opinion::Repeated } else { Opinion::Alone };
        }
        if self.refusals.len() >= AGREED_MIN_BUSY {
            self.refusals.remove(0);
        }
        self.refusals.push((who, now));
        self.is_agreed |= self.refusals.len() >= self.people_min(now) && self.tenants() >= self.tenants_min;
        if self.is_agreed { Opinion::Agreed } else { Opinion::Alone }
    }

    /// A message was accepted. Says whether that ends a refusal of everybody.
    pub(super) fn served(&mut self, now: Instant) -> bool {
        self.refusals.clear();
        self.served_at = Some(now);
        std::mem::take(&mut self.is_agreed)
    }

    /// Whether nothing is remembered that still counts.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        !self.is_agreed && self.refusals.iter().all(|(_, at)| now.duration_since(*at) >= AGREE_WITHIN)
    }

    fn people_min(&self, now: Instant) -> usize {
        match self.served_at.is_some_and(|at| now.duration_since(at) < BUSY_FOR) {
            true => AGREED_MIN_BUSY,
            false => AGREED_MIN,
        }
    }

    fn tenants(&self) -> usize {
        let mut tenants: Vec<u64> = self.refusals.iter().map(|(witness, _)| witness.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of calls: `a1` is person 1 of tenant `a` refused for the first time, `a1'` once more, `+s` lets
    /// seconds pass, `ok` is a message that is accepted. The results: `.` alone, `!` agreed, `=` repeated.
    fn play(tenants_min: usize, script: &str) -> String {
        let (mut now, mut evidence, mut heard) = (Instant::now(), Evidence::new(tenants_min), String::new());
        for word in script.split_whitespace() {
            if let Some(secs) = word.strip_prefix('+') {
                now += Duration::from_secs(secs.parse().unwrap_or(0));
            } else if word == "ok" {
                evidence.served(now);
            } else {
                let (tenant, person) = word.trim_end_matches('\'').split_at(1);
                let tenant = u64::from(tenant.as_bytes()[0]);
                let person = tenant * 1_000 + person.parse::<u64>().unwrap_or(0);
                let is_news = !word.ends_with('\'');
                heard.push(match evidence.refused(Witness { person, tenant }, is_news, now) {
                    Opinion::Alone => '.',
                    Opinion::Agreed => '!',
                    Opinion::Repeated => '=',
                });
            }
        }
        heard
    }

    #[test]
    fn several_have_to_agree_as_the_table_says() {
        let twenty: String = (0..20).map(|n| format!("a{n} ")).collect();
        for (why, tenants_min, script, expected) in [
            ("one alone proves nothing", 1, "a1", "."),
            ("however often it is tried", 1, "a1 a1' a1' a1' a1'", "....."),
            ("nor with all the devices of one person", 1, "a1 a1 a1 a1", "...."),
            ("two may be chance", 1, "a1 a2", ".."),
            ("three agree", 1, "a1 a2 a3", "..!"),
            ("and a fourth confirms it", 1, "a1 a2 a3 a4", "..!!"),
            ("but who says it again adds nothing", 1, "a1 a2 a3 a1'", "..!="),
            ("three who spoke over hours do not agree", 1, "a1 +200 a2 +100 a3", "..."),
            ("one who is served speaks against them", 1, "a1 a2 ok a3", "..."),
            ("while others are served three are not enough", 1, "ok a1 a2 a3", "..."),
            ("a minute after the last one they are", 1, "ok +60 a1 a2 a3", "..!"),
            ("many are, even then", 1, &format!("ok {twenty}"), &format!("{}!", ".".repeat(19))),
            ("what was agreed ends with one who is served", 1, "a1 a2 a3 ok a4", "..!."),
            ("a tenant does not speak for all tenants", 2, "a1 a2 a3 a4", "...."),
            ("two tenants do", 2, "a1 a2 b1", "..!"),
            ("even after many of one", 2, &format!("{twenty} b1"), &format!("{}!", ".".repeat(20))),
        ] {
            assert_eq!(play(tenants_min, script), expected, "{why}: {script}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let (begun, mut evidence) = (Instant::now(), Evidence::new(2));
        for person in 0..1_000 {
            evidence.refused(Witness { person, tenant: 1 }, true, begun);
        }
        assert_eq!(evidence.refusals.len(), AGREED_MIN_BUSY);
        assert!(!evidence.is_idle(begun) && evidence.is_idle(begun + AGREE_WITHIN));
    }
}
