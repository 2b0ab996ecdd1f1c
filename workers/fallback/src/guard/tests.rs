//! Proof of the guard on a paused clock: minutes of an outage, without waiting.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::future::join_all;
use tokio::time::{sleep, sleep_until};

use super::{gate::RAMP, *};

const SECOND: Duration = Duration::from_secs(1);
/// How long a provider that is down keeps a call waiting: the senders' own deadline.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn apns() -> Provider {
    Provider::Push(PushService::Apns, None)
}

/// The same numbers in each run.
struct Chance(AtomicU64);

impl Chance {
    fn next(&self) -> f64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A provider that works or hangs, and remembers in which second it was called.
struct Scripted {
    is_down: AtomicBool,
    begun: Instant,
    calls: Mutex<BTreeMap<u64, u32>>,
}

impl Scripted {
    fn new(begun: Instant) -> Self {
        Self { is_down: AtomicBool::new(false), begun, calls: Mutex::default() }
    }

    async fn call(&self) -> Health {
        *self.calls.lock().unwrap().entry(self.begun.elapsed().as_secs()).or_default() += 1;
        if self.is_down.load(Ordering::Relaxed) {
            sleep(CALL_TIMEOUT).await;
            return Health::Trouble;
        }
        sleep(Duration::from_millis(20)).await;
        Health::Fine
    }

    fn calls_in(&self, secs: std::ops::Range<u64>) -> u32 {
        self.calls.lock().unwrap().range(secs).map(|(_, calls)| calls).sum()
    }

    fn busiest_in(&self, secs: std::ops::Range<u64>) -> u32 {
        self.calls.lock().unwrap().range(secs).map(|(_, calls)| *calls).max().unwrap_or(0)
    }
}

/// One push, put off and repeated as the store would have it; how long it took until it was taken.
async fn deliver(
    guard: &Guard,
    provider: Provider,
    scripted: &Scripted,
    senders: &Semaphore,
    chance: &Chance,
) -> Duration {
    let begun = Instant::now();
    let mut tries = 0_u32;
    loop {
        // A walk that waits is a row in the store and holds no sender.
        let wait = {
            let _sender = senders.acquire().await.unwrap();
            match guard.enter(provider.clone(), &acme(), tries > 0, chance.next()).await {
                Err(later) => later.wait,
                Ok(pass) => {
                    let health = scripted.call().await;
                    pass.end(health);
                    if health == Health::Fine {
                        return begun.elapsed();
                    }
                    tries += 1;
                    watchbell::domain::next_step::retry_wait(tries, Duration::ZERO, chance.next())
                }
            }
        };
        sleep(wait).await;
    }
}

/// Case 5 of providers.md, and R14 and R15: one provider hangs for ten minutes under load. The other notices nothing,
/// the one that hangs is left alone, and when it is back it is taken up along the ramp, losing nothing.
#[tokio::test(start_paused = true)]
async fn a_provider_down_for_ten_minutes_leaves_the_other_untouched_and_recovers_along_the_ramp() {
    const DOWN_FROM: u64 = 60;
    const DOWN_UNTIL: u64 = 660;
    let begun = Instant::now();
    let (guard, senders, chance) = (Guard::new(64), Semaphore::new(64), Chance(AtomicU64::new(7)));
    let (apple, google) = (Scripted::new(begun), Scripted::new(begun));
    let outage = async {
        sleep_until(begun + SECOND * DOWN_FROM as u32).await;
        apple.is_down.store(true, Ordering::Relaxed);
        sleep_until(begun + SECOND * DOWN_UNTIL as u32).await;
        apple.is_down.store(false, Ordering::Relaxed);
    };
    // Five pushes a second to each, for twelve minutes.
    let load = |provider: Provider, scripted| {
        let (guard, senders, chance) = (&guard, &senders, &chance);
        join_all((0..3_600_u32).map(move |n| {
            let provider = provider.clone();
            async move {
                sleep(Duration::from_millis(200) * n).await;
                deliver(guard, provider, scripted, senders, chance).await
            }
        }))
    };
    let android = Provider::Push(PushService::Fcm, None);
    let ((), to_apple, to_google) = tokio::join!(outage, load(apns(), &apple), load(android, &google));

    let slowest = to_google.iter().max().unwrap();
    assert!(*slowest < SECOND, "Google's pushes never waited: {slowest:?}");
    assert_eq!(to_apple.len(), 3_600, "nothing for Apple was lost");

    // The breaker needs twenty answers, the first of which come after a deadline; then only probes go out.
    let while_down = apple.calls_in(DOWN_FROM + 30..DOWN_UNTIL);
    assert!(while_down <= 20, "{while_down} calls to a provider that is down");
    // Back: within a ramp (and the longest time between two probes) everything has caught up, without a storm.
    let back = begun + SECOND * DOWN_UNTIL as u32;
    let caught_up =
        begun + (0..3_600_u32).map(|n| Duration::from_millis(200) * n + to_apple[n as usize]).max().unwrap();
    let took = caught_up.max(back) - back;
    assert!(took <= RAMP * 3, "caught up after {took:?}");
    let first_call = *apple.calls.lock().unwrap().range(DOWN_UNTIL..).next().unwrap().0;
    for second in 0..60 {
        let calls = apple.busiest_in(first_call + second..first_call + second + 1);
        // The rate at the end of that second, its burst, and the probe.
        let allowed = gate::ramp_rate(SECOND * (second as u32 + 2)) * 1.2 + 2.0;
        assert!(
            f64::from(calls) <= allowed,
            "{calls} calls in second {second} of the ramp, {allowed} allowed"
        );
    }
}

/// A provider that works and does not in turn is not given up, and not believed at once either: each time it shuts
/// sooner and for longer, until a whole ramp went well. Nothing is switched off that somebody has to switch on.
#[tokio::test(start_paused = true)]
async fn r19_a_provider_that_flaps_is_shut_for_longer_each_time_and_taken_up_again_by_itself() {
    const FLAPS_EVERY: u32 = 7;
    const FLAPS: u32 = 86;
    const FLAPS_FOR: Duration = Duration::from_secs((FLAPS_EVERY * FLAPS) as u64);
    let begun = Instant::now();
    let (guard, tenant) = (Guard::new(64), acme());
    let is_down = |at: Duration| at < FLAPS_FOR && (at.as_secs() / u64::from(FLAPS_EVERY)).is_multiple_of(2);
    let (mut openings, mut was_shut, mut passed) = (0, false, 0_u32);
    // Ten calls a second that ask whether they may, for as long as it flaps and a ramp and a breaker's time longer.
    while begun.elapsed() < FLAPS_FOR + gate::RAMP * 3 {
        let is_shut = match guard.enter(apns(), &tenant, false, 0.5).await {
            Ok(pass) => {
                pass.end(if is_down(begun.elapsed()) { Health::Trouble } else { Health::Fine });
                passed += 1;
                false
            }
            // On the ramp a call may wait for its turn; that is not shut.
            Err(_) => guard.gates()[&(apns(), None)].gate.is_shut(),
        };
        openings += u32::from(is_shut && !was_shut);
        was_shut = is_shut;
        sleep(SECOND / 10).await;
    }
    assert!((3..=FLAPS / 4).contains(&openings), "{openings} times shut in {FLAPS} flaps");
    assert!(passed > 100, "it was used when it worked: {passed} calls");
    for _ in 0..100 {
        let pass = guard.enter(apns(), &tenant, false, 0.5).await;
        assert!(pass.is_ok(), "nobody had to do anything for it to be at full speed again");
        pass.unwrap().end(Health::Fine);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_leaves_room_for_the_others() {
    let guard = Guard::new(8);
    let mut held = Vec::new();
    let mut put_off = None;
    for n in 0..8 {
        // Many tenants, so that no share of one is what fills up.
        let tenant = Tenant::parse(format!("t{n}")).unwrap();
        match guard.enter(apns(), &tenant, false, 0.0).await {
            Ok(pass) => held.push(pass),
            Err(later) => put_off = Some(later),
        }
    }
    assert_eq!(held.len(), 6, "three quarters of eight");
    assert_eq!(put_off.unwrap().wait, PLACE_RETRY);
    assert!(guard.enter(Provider::Email, &acme(), false, 0.0).await.is_ok(), "another one has places");
    drop(held);
    assert!(guard.enter(apns(), &acme(), false, 0.0).await.is_ok(), "places are given back");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_floods_leaves_room_for_the_others() {
    let guard = Guard::new(8);
    let mut held = Vec::new();
    while let Ok(pass) = guard.enter(apns(), &acme(), false, 0.0).await {
        held.push(pass);
    }
    assert_eq!(held.len(), 4, "three quarters of six");
    let other = Tenant::parse("other").unwrap();
    assert!(guard.enter(apns(), &other, false, 0.0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn trouble_of_one_tenant_or_push_service_is_its_own() {
    let guard = Guard::new(64);
    let host = |name: &str| Provider::Push(PushService::WebPush, Some(name.to_owned()));
    guard.enter(host("evil.example"), &acme(), false, 0.0).await.unwrap().end(Health::Broken);
    assert!(guard.enter(host("evil.example"), &acme(), false, 0.0).await.is_err());
    assert!(guard.enter(host("push.example"), &acme(), false, 0.0).await.is_ok(), "another host");

    // One tenant's mails bring nothing but trouble, among ten times as many that are fine.
    let other = Tenant::parse("other").unwrap();
    for _ in 0..25 {
        if let Ok(pass) = guard.enter(Provider::Email, &acme(), false, 0.0).await {
            pass.end(Health::Trouble);
        }
        for _ in 0..10 {
            guard.enter(Provider::Email, &other, false, 0.0).await.unwrap().end(Health::Fine);
        }
    }
    assert!(guard.enter(Provider::Email, &acme(), false, 0.0).await.is_err(), "theirs is shut");
    assert!(guard.enter(Provider::Email, &other, false, 0.0).await.is_ok(), "the relay's is open");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let guard = Guard::new(64);
    for n in 0..GATES_MAX + 100 {
        let host = Provider::Push(PushService::WebPush, Some(format!("h{n}.example")));
        if let Ok(pass) = guard.enter(host, &acme(), false, 0.0).await {
            pass.end(Health::Broken); // None of them is idle, so none can be forgotten.
        }
    }
    assert!(guard.gates().len() <= GATES_MAX);
}

#[tokio::test]
async fn dead_tokens_of_one_service_do_not_stop_the_others() {
    let guard = Guard::new(64);
    let dropped = (0..50).filter(|_| guard.may_drop(PushService::Apns, true)).count();
    assert_eq!(dropped, 19, "then it is a spike");
    assert!(guard.may_drop(PushService::Fcm, true));
}
