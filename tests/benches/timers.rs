//! How late the fallback worker is with a million timers pending on PostgreSQL, and how many escalations a second it carries:
//! printed, not judged. `cargo bench -p watchbell-tests --bench timers`; `WATCHBELL_PENDING=100000` for a quick look.
//! Lateness is from when an escalation was due to when its provider is called: the escalator's poll, the claim, the broker
//! (embedded here), the sender's queue and its commit.

#[path = "../tests/contract/store/fixture.rs"]
#[allow(clippy::unwrap_used, reason = "a panic is the report, as in the contract suite")]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod fixture;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::embedded::EmbeddedBroker,
    domain::{Channel, PushService, device::DEVICES_PER_USER_MAX, policy::Policies, restraint::Restraint},
    runtime::Clock,
    store::{ROWS_PER_COMMIT_MAX, Store},
};
use watchbell_fallback::{
    Channels, EscalationRules, Fallback, FallbackConfig, FallbackParts, Guard, ProviderAccess, Randomness,
    Rates, WithdrawalBatches,
    channel::{Accepted, PushChannel, PushContent, PushJob, PushSender, SendError},
};
use watchbell_tests::builders::{acme, alert, device};
use watchbell_tests::until::until;

use fixture::StoreFixture;

/// Timers that stand while it is measured.
const PENDING: usize = 1_000_000;
/// Escalations that come due evenly, a second, and for how long.
const DUE_PER_S: usize = 200;
const OVER: Duration = Duration::from_secs(30);
/// Escalations that come due at one moment.
const BURST: usize = 20_000;
/// From recording them to the first one that is due.
const AHEAD: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(240);

/// When each alert is due; filled in before the escalation begins.
#[derive(Default)]
struct Measured {
    due: Mutex<HashMap<String, Timestamp>>,
    late_ms: Mutex<Vec<i64>>,
}

struct Phone(Arc<Measured>);

#[async_trait]
impl PushSender for Phone {
    async fn send(&self, job: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
        if let PushContent::Alert(alert) = &job.content {
            let due = locked(&self.0.due).get(&alert.alert).copied();
            let late = due.map(|due| Timestamp::now().duration_since(due).as_millis() as i64);
            locked(&self.0.late_ms).extend(late);
        }
        Ok(Accepted::default())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let StoreFixture { store, .. } = &StoreFixture::postgres().await?;
    let names: Vec<String> = (0..ROWS_PER_COMMIT_MAX).map(|n| format!("user-{n}")).collect();
    let everybody: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        let device = device("phone").token(name.as_str()).registered_at(Timestamp::now()).build();
        store.put_device(&acme(name), &device, DEVICES_PER_USER_MAX).await?;
    }
    let begun = Instant::now();
    let now = Timestamp::now();
    let pending = match std::env::var("WATCHBELL_PENDING") {
        Ok(pending) => pending.parse()?,
        Err(_) => PENDING,
    };
    for commit in 0..pending / ROWS_PER_COMMIT_MAX {
        let first_due_at = now + Duration::from_secs(86_400 + commit as u64);
        let expires_at = now + Duration::from_secs(900_000);
        let pending = alert(&format!("pending-{commit}")).to_users(&everybody);
        let pending = pending.first_due_at(first_due_at).escalated_until(expires_at).build();
        store.record(&[pending], now).await?;
    }
    eprintln!("{pending} timers recorded in {:.0} s", begun.elapsed().as_secs_f64());

    let measured = Arc::new(Measured::default());
    // Some people get several; none is to wait for others.
    let mut restraint = Restraint::default();
    restraint[Channel::Push].window = Duration::ZERO;
    let config = FallbackConfig::default();
    let phones =
        HashMap::from([(PushService::Apns, Arc::new(Phone(measured.clone())) as Arc<dyn PushSender>)]);
    let fallback = Fallback::new(FallbackParts {
        broker: EmbeddedBroker::open(None)?,
        store: store.clone(),
        clock: Clock::system(),
        rules: EscalationRules {
            policies: Arc::new(Policies::with_defaults(BTreeMap::new())),
            restraint,
            tenant_rates: Arc::new(Rates::new(100_000)),
        },
        providers: ProviderAccess {
            channels: Arc::new(Channels::default().with(Arc::new(PushChannel::new(phones)))),
            guard: Arc::new(Guard::new(config.in_flight_max)),
            withdrawals: Arc::new(WithdrawalBatches::gathering_for(Duration::ZERO)),
        },
        config,
        randomness: Randomness::of_the_system(),
    });
    let stop = CancellationToken::new();
    let running = tokio::spawn(fallback.run(stop.clone()));
    let evenly = |n: usize| Duration::from_secs_f64(n as f64 / DUE_PER_S as f64);
    let steady = DUE_PER_S * OVER.as_secs() as usize;
    let (late, _) = measured.escalations(store, "steady", steady, &everybody, evenly).await?;
    eprintln!("{DUE_PER_S} escalations due a second, {pending} more pending: late by {late}");
    let (late, took) = measured.escalations(store, "burst", BURST, &everybody, |_| Duration::ZERO).await?;
    let per_s = BURST as f64 / took.as_secs_f64();
    eprintln!("{BURST} escalations due at once: {per_s:.0} a second, late by {late}");
    stop.cancel();
    running.await?;
    Ok(())
}

impl Measured {
    /// Records escalations, each due so long after the first, and waits until all of them are sent. Gives how late they were,
    /// and how long it took from the moment the first was due.
    async fn escalations(
        &self,
        store: &Store,
        name: &str,
        count: usize,
        everybody: &[&str],
        after: impl Fn(usize) -> Duration,
    ) -> anyhow::Result<(String, Duration)> {
        locked(&self.late_ms).clear();
        let first = Timestamp::now() + AHEAD;
        let escalation = |n: usize| {
            let id = format!("{name}-{n}");
            let at = first + after(n);
            locked(&self.due).insert(id.clone(), at);
            let content = format!(r#"{{"id":"{id}","severity":"warning","title":"t","occurred_at":"{at}"}}"#);
            alert(&id)
                .to_users([everybody[n % everybody.len()]])
                .content(content)
                .first_due_at(at)
                .escalated_until(at + Duration::from_secs(900_000))
                .build()
        };
        for batch in (0..count).map(escalation).collect::<Vec<_>>().chunks(ROWS_PER_COMMIT_MAX) {
            store.record(batch, Timestamp::now()).await?;
        }
        anyhow::ensure!(
            Timestamp::now() < first,
            "they were due before they were recorded: this machine is too busy"
        );
        let all = async || (locked(&self.late_ms).len() >= count).then_some(());
        until("everything due is sent", DEADLINE, all).await?;
        let took = Timestamp::now().duration_since(first).unsigned_abs();
        let mut late = locked(&self.late_ms).clone();
        late.sort_unstable();
        let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
        Ok((format!("p50 {} ms, p99 {} ms, most {} ms", at(0.5), at(0.99), at(1.0)), took))
    }
}
