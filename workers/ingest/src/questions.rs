//! Whose questions to the store are asked before alerts are published: no tenant's keep those of another from being answered (I16).
//!
//! What holds here:
//! - A tenant has at most [`QUESTIONS_PER_TENANT_MAX`] under way. Its others wait in a line of its own.
//! - A tenant whose question was not answered in time is not asked about for [`STORE_AWAY`]; the others are.
//! - Who is remembered has a request under way, or was slow a moment ago; beyond those, at most [`RATE_TENANTS_MAX`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::Semaphore, time::timeout};
use watchbell::domain::Tenant;

use crate::{
    api_keys::is_within,
    limits::{KNOWN_ASK_MAX, QUESTIONS_PER_TENANT_MAX, RATE_TENANTS_MAX, STORE_AWAY},
};

/// See the module. One a process.
#[derive(Debug, Default)]
pub struct Questions {
    tenants: Mutex<HashMap<Tenant, OfTenant>>,
}

#[derive(Debug)]
struct OfTenant {
    line: Arc<Semaphore>,
    slow_since: Option<Timestamp>,
}

impl Questions {
    /// Asks, when it is this tenant's turn, within [`KNOWN_ASK_MAX`]. `None`: there was no answer in time, this once or a moment
    /// ago.
    pub async fn ask<T>(
        &self,
        tenant: &Tenant,
        now: Timestamp,
        question: impl Future<Output = T>,
    ) -> Option<T> {
        let line = self.line(tenant, now)?;
        let asked = timeout(KNOWN_ASK_MAX, async {
            // Never closed, and if it were: nobody would wait.
            let _place = line.acquire().await.ok();
            question.await
        });
        let answer = asked.await.ok();
        if answer.is_none() {
            // It may be slow because it is large, so nobody else's is given up for it.
            self.was_slow(tenant, now);
        }
        answer
    }

    /// A permit for each question of a tenant. `None`: it was slow a moment ago.
    fn line(&self, tenant: &Tenant, now: Timestamp) -> Option<Arc<Semaphore>> {
        self.of(tenant, now, |of| (!of.is_slow(now)).then(|| Arc::clone(&of.line)))
    }

    fn was_slow(&self, tenant: &Tenant, now: Timestamp) {
        self.of(tenant, now, |of| of.slow_since = Some(now));
    }

    fn of<T>(&self, tenant: &Tenant, now: Timestamp, look: impl FnOnce(&mut OfTenant) -> T) -> T {
        // Nothing panics while it is held.
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= RATE_TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, of| Arc::strong_count(&of.line) > 1 || of.is_slow(now));
        }
        look(tenants.entry(tenant.clone()).or_insert_with(OfTenant::new))
    }
}

impl OfTenant {
    fn new() -> Self {
        Self { line: Arc::new(Semaphore::new(QUESTIONS_PER_TENANT_MAX)), slow_since: None }
    }

    fn is_slow(&self, now: Timestamp) -> bool {
        self.slow_since.is_some_and(|since| is_within(STORE_AWAY, since, now))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    /// It used to be taken for a store that is away, and nobody's questions were asked.
    #[tokio::test(start_paused = true)]
    async fn a_question_without_an_answer_costs_its_own_tenant_the_next_ones_and_nobody_else() {
        let questions = Questions::default();
        let (evil, acme) = (tenant("evil"), tenant("acme"));
        let never = || std::future::pending::<()>();
        assert_eq!(questions.ask(&evil, at(0), never()).await, None);
        assert_eq!(questions.ask(&evil, at(1), async { "asked" }).await, None);
        assert_eq!(questions.ask(&acme, at(1), async { "asked" }).await, Some("asked"));

        // However many there are of them.
        let many = futures_util::future::join_all((0..50).map(|_| questions.ask(&evil, at(10_000), never())));
        let (many, other) = tokio::join!(many, questions.ask(&acme, at(10_000), async { "asked" }));
        assert_eq!((many.len(), other), (50, Some("asked")));
    }

    #[test]
    fn a_slow_question_shuts_out_its_own_tenant_for_a_moment() {
        let questions = Questions::default();
        let moment = i64::try_from(STORE_AWAY.as_millis()).unwrap();
        questions.was_slow(&tenant("evil"), at(1_000));
        for (why, of, now, expected) in [
            ("its own next one is not asked", "evil", 1_000, false),
            ("to the last millisecond", "evil", 999 + moment, false),
            ("then it is", "evil", 1_000 + moment, true),
            ("another tenant's always is", "acme", 1_000, true),
            ("and when the clock was set back", "evil", 999, true),
        ] {
            assert_eq!(questions.line(&tenant(of), at(now)).is_some(), expected, "{why}");
        }
    }

    #[test]
    fn a_tenant_waits_behind_its_own_questions_alone() {
        let questions = Questions::default();
        let asked: Vec<_> = (0..QUESTIONS_PER_TENANT_MAX)
            .map(|_| questions.line(&tenant("evil"), at(0)).unwrap().try_acquire_owned().unwrap())
            .collect();
        assert!(questions.line(&tenant("evil"), at(0)).unwrap().try_acquire().is_err(), "it has its share");
        assert!(questions.line(&tenant("acme"), at(0)).unwrap().try_acquire().is_ok());
        drop(asked);
        assert!(questions.line(&tenant("evil"), at(0)).unwrap().try_acquire().is_ok(), "it is given back");
    }

    #[test]
    fn whoever_asks_nothing_is_forgotten() {
        let questions = Questions::default();
        let asking = questions.line(&tenant("asking"), at(0)).unwrap().try_acquire_owned().unwrap();
        questions.was_slow(&tenant("slow"), at(0));
        for n in 0..RATE_TENANTS_MAX {
            questions.line(&tenant(&format!("t{n}")), at(0)).unwrap();
        }
        let remembered = questions.tenants.lock().unwrap().len();
        assert!(remembered <= RATE_TENANTS_MAX, "{remembered}");
        assert!(questions.line(&tenant("slow"), at(0)).is_none(), "who was slow is not");
        let line = questions.line(&tenant("asking"), at(0)).unwrap();
        assert_eq!(line.available_permits(), QUESTIONS_PER_TENANT_MAX - 1, "nor who is asking");
        drop(asking);
    }
}
