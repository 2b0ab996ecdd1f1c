//! Proof of the guard on a paused clock: minutes of an outage, without waiting.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::future::join_all;
use tokio::{
    sync::Semaphore,
    time::{sleep, sleep_until},
};
use watchbell::domain::{PushEnvironment, PushService, Tenant, UserId};

use super::{breaker::RAMP, *};
use crate::channel::email::CALLS_MAX as EMAIL_CALLS_MAX;

const SECOND: Duration = Duration::from_secs(1);
/// How long a provider that is down keeps a call waiting: the senders' own deadline.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn push(service: PushService) -> Provider {
    Provider::named(service.as_str())
}

fn relay() -> Provider {
    Provider { calls_max: Some(EMAIL_CALLS_MAX), ..Provider::named("email") }
}

fn apns() -> Provider {
    push(PushService::Apns)
}

/// A call for a person who has one device there.
fn call(guard: &Guard, provider: Provider, tenant: &Tenant, person: u32) -> GuardedCall {
    let user = UserKey::new(tenant.clone(), UserId::parse(format!("user-{person}")).unwrap());
    guard.call(provider, &user, &Secret::from(format!("token-{person}")))
}

/// The same numbers in each run.
struct FixedChance(AtomicU64);

impl FixedChance {
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

    async fn call(&self) -> CallOutcome {
        *self.calls.lock().unwrap().entry(self.begun.elapsed().as_secs()).or_default() += 1;
        if self.is_down.load(Ordering::Relaxed) {
            sleep(CALL_TIMEOUT).await;
            return CallOutcome::Failed;
        }
        sleep(Duration::from_millis(20)).await;
        CallOutcome::Accepted
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
    call: GuardedCall,
    scripted: &Scripted,
    senders: &Semaphore,
    chance: &FixedChance,
) -> Duration {
    let begun = Instant::now();
    let mut tries = 0_u32;
    loop {
        // An escalation that waits is a row in the store and takes up no sender.
        let wait = {
            let _sender = senders.acquire().await.unwrap();
            match guard.admit(call.clone(), tries > 0, chance.next()).await {
                Err(later) => later.wait,
                Ok(permit) => {
                    let outcome = scripted.call().await;
                    permit.end(outcome);
                    if outcome == CallOutcome::Accepted {
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

/// Case 5, R14 and R15 (`docs/providers.md`, "Races and cases"): one provider hangs for ten minutes under load. The other notices nothing,
/// the one that hangs is left alone, and when it is back it is taken up along the ramp, losing nothing.
#[tokio::test(start_paused = true)]
async fn a_provider_down_for_ten_minutes_leaves_the_other_untouched_and_recovers_along_the_ramp() {
    const DOWN_FROM: u64 = 60;
    const DOWN_UNTIL: u64 = 660;
    let begun = Instant::now();
    let (guard, senders, chance) = (Guard::new(64), Semaphore::new(64), FixedChance(AtomicU64::new(7)));
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
            let call = call(guard, provider.clone(), &acme(), n % 500);
            async move {
                sleep(Duration::from_millis(200) * n).await;
                deliver(guard, call, scripted, senders, chance).await
            }
        }))
    };
    let android = push(PushService::Fcm);
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
        let allowed = breaker::ramp_rate(SECOND * (second as u32 + 2)) * 1.2 + 2.0;
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
    let mut person = 0;
    let mut next = || {
        person += 1;
        call(&guard, apns(), &tenant, person % 50)
    };
    // Ten calls a second that ask whether they may, for as long as it flaps and a ramp and a breaker's time longer.
    while begun.elapsed() < FLAPS_FOR + breaker::RAMP * 3 {
        let is_shut = match guard.admit(next(), false, 0.5).await {
            Ok(permit) => {
                permit.end(if is_down(begun.elapsed()) {
                    CallOutcome::Failed
                } else {
                    CallOutcome::Accepted
                });
                passed += 1;
                false
            }
            // On the ramp a call may wait for its turn; that is not shut.
            Err(_) => guard.health().gates.get_mut(&(apns(), None)).unwrap().gate.is_shut(),
        };
        openings += u32::from(is_shut && !was_shut);
        was_shut = is_shut;
        sleep(SECOND / 10).await;
    }
    assert!((3..=FLAPS / 4).contains(&openings), "{openings} times shut in {FLAPS} flaps");
    assert!(passed > 100, "it was used when it worked: {passed} calls");
    for _ in 0..100 {
        let permit = guard.admit(next(), false, 0.5).await;
        assert!(permit.is_ok(), "nobody had to do anything for it to be at full speed again");
        permit.unwrap().end(CallOutcome::Accepted);
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
        match guard.admit(call(&guard, apns(), &tenant, 1), false, 0.0).await {
            Ok(permit) => held.push(permit),
            Err(later) => put_off = Some(later),
        }
    }
    assert_eq!(held.len(), 6, "three quarters of eight");
    assert_eq!(put_off.map(|later| (later.wait, later.is_trouble)), Some((PLACE_RETRY, false)));
    let mail = call(&guard, relay(), &acme(), 1);
    assert!(guard.admit(mail, false, 0.0).await.is_ok(), "another one has places");
    drop(held);
    let permit = guard.admit(call(&guard, apns(), &acme(), 1), false, 0.0).await;
    assert!(permit.is_ok(), "places are given back");
}

fn origin(name: &str) -> Provider {
    Provider { origin: Some(name.to_owned()), ..push(PushService::WebPush) }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_hangs_leaves_room_for_the_others() {
    let guard = Guard::new(8);
    let mut held = Vec::new();
    for n in 0..8 {
        let tenant = Tenant::parse(format!("t{n}")).unwrap();
        held.extend(guard.admit(call(&guard, origin("slow.example"), &tenant, 1), false, 0.0).await.ok());
    }
    assert_eq!(held.len(), 4, "three quarters of what Web Push may have");
    let other = guard.admit(call(&guard, origin("push.example"), &acme(), 1), false, 0.0).await;
    assert!(other.is_ok(), "another origin has places");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_floods_leaves_room_for_the_others() {
    let other = Tenant::parse("other").unwrap();
    for (why, many) in [("one service", false), ("many origins", true)] {
        let guard = Guard::new(8);
        let at = |n: u32| if many { origin(&format!("h{n}.example")) } else { apns() };
        let mut held = Vec::new();
        for n in 0..8 {
            held.extend(guard.admit(call(&guard, at(n), &acme(), n), false, 0.0).await.ok());
        }
        assert_eq!(held.len(), 4, "three quarters of six, by {why}");
        assert!(guard.admit(call(&guard, at(1), &other, 1), false, 0.0).await.is_ok(), "{why}");
    }
}

/// Whose calls came to what, and whose are held back: everything that one device, origin, environment or tenant can cause.
#[tokio::test(start_paused = true)]
async fn whoever_is_in_trouble_is_held_back_and_nobody_else() {
    let apple = |environment: PushEnvironment| Provider { environment: Some(environment.as_str()), ..apns() };
    let (sandbox, production) = (apple(PushEnvironment::Sandbox), apple(PushEnvironment::Production));
    let other = Tenant::parse("other").unwrap();
    let (own, theirs) = (acme(), other);
    let fcm = || push(PushService::Fcm);
    let (sick, well) = (|| origin("sick.example"), || origin("well.example"));
    // Each of these calls comes to `outcome`, one after the other; then it is asked which calls may go.
    for (why, outcome, by, held, free) in [
        (
            "one token of Google's: that device",
            CallOutcome::DeviceRefused,
            vec![(fcm(), &own, 1); 8],
            vec![(fcm(), &own, 1)],
            vec![(fcm(), &own, 2), (fcm(), &theirs, 3)],
        ),
        (
            "three people of a tenant: that tenant",
            CallOutcome::DeviceRefused,
            vec![(fcm(), &own, 1), (fcm(), &own, 2), (fcm(), &own, 3)],
            vec![(fcm(), &own, 4)],
            vec![(fcm(), &theirs, 5), (apns(), &own, 4)],
        ),
        (
            "people of several tenants: everybody there",
            CallOutcome::DeviceRefused,
            vec![(fcm(), &own, 1), (fcm(), &own, 2), (fcm(), &theirs, 3)],
            vec![(fcm(), &theirs, 4), (fcm(), &own, 5)],
            vec![(apns(), &own, 4), (relay(), &theirs, 4)],
        ),
        (
            "three browsers of one origin: that origin",
            CallOutcome::DeviceRefused,
            vec![(sick(), &own, 1), (sick(), &own, 2), (sick(), &theirs, 3)],
            vec![(sick(), &own, 4)],
            vec![(well(), &own, 4), (well(), &theirs, 5)],
        ),
        (
            "three phones of Apple's sandbox: the sandbox",
            CallOutcome::DeviceRefused,
            vec![(sandbox.clone(), &own, 1), (sandbox.clone(), &own, 2), (sandbox.clone(), &theirs, 3)],
            vec![(sandbox.clone(), &own, 4)],
            vec![(production.clone(), &own, 4), (production.clone(), &own, 1)],
        ),
        (
            "our own credentials, before a device was named: everybody there",
            CallOutcome::EverybodyRefused,
            vec![(relay(), &own, 1)],
            vec![(relay(), &own, 2), (relay(), &theirs, 3)],
            vec![(fcm(), &own, 2)],
        ),
        (
            "one browser is asked to slow down: nobody else",
            CallOutcome::Throttled(SECOND * 600),
            vec![(sick(), &own, 1); 5],
            vec![],
            vec![(sick(), &own, 2), (sick(), &theirs, 3)],
        ),
        (
            "one device is in trouble: nobody else",
            CallOutcome::Failed,
            vec![(fcm(), &own, 1); 100],
            vec![],
            vec![(fcm(), &own, 2), (fcm(), &theirs, 3)],
        ),
    ] {
        let guard = Guard::new(64);
        for (provider, tenant, person) in by {
            if let Ok(permit) = guard.admit(call(&guard, provider, tenant, person), false, 0.0).await {
                permit.end(outcome);
            }
        }
        for (is_held, asked) in [(true, held), (false, free)] {
            for (provider, tenant, person) in asked {
                let asked = format!("{why}: {provider:?} {tenant} {person}");
                let later = guard.admit(call(&guard, provider, tenant, person), false, 0.0).await.err();
                assert_eq!(later.is_some_and(|later| later.is_trouble), is_held, "{asked}");
            }
        }
    }
}

/// Fleets of one device: nobody can agree with it, so it rests by itself, and is called again when that is over.
#[tokio::test(start_paused = true)]
async fn a_device_that_is_alone_rests_and_is_taken_up_again_by_itself() {
    let (guard, begun) = (Guard::new(64), Instant::now());
    let mut called = Vec::new();
    // An alert a second for an hour; what refuses it is mended after half of that.
    while begun.elapsed() < SECOND * 3_600 {
        if let Ok(permit) = guard.admit(call(&guard, apns(), &acme(), 1), false, 0.0).await {
            called.push(begun.elapsed().as_secs());
            permit.end(if begun.elapsed() < SECOND * 1_800 {
                CallOutcome::DeviceRefused
            } else {
                CallOutcome::Accepted
            });
        }
        sleep(SECOND).await;
    }
    assert_eq!(called[..6], [0, 60, 180, 420, 900, 1_500], "it is left alone for longer each time");
    assert_eq!(called[6], 2_100, "and is at full speed when it is mended");
    assert_eq!(called.len(), 6 + 1_500);
}

#[tokio::test(start_paused = true)]
async fn trouble_of_one_tenant_is_its_own() {
    let (guard, other) = (Guard::new(64), Tenant::parse("other").unwrap());
    let mail = |tenant: &Tenant, person| call(&guard, relay(), tenant, person);
    // One tenant's mails bring nothing but trouble, among ten times as many that are fine.
    for n in 0..25 {
        if let Ok(permit) = guard.admit(mail(&acme(), n), false, 0.0).await {
            permit.end(CallOutcome::Failed);
        }
        for _ in 0..10 {
            guard.admit(mail(&other, n), false, 0.0).await.unwrap().end(CallOutcome::Accepted);
        }
    }
    assert!(guard.admit(mail(&acme(), 1), false, 0.0).await.is_err(), "theirs is shut");
    assert!(guard.admit(mail(&other, 1), false, 0.0).await.is_ok(), "the relay's is open");
}

#[tokio::test]
async fn dead_tokens_of_one_service_do_not_stop_the_others() {
    let guard = Guard::new(64);
    let may_drop = |service: PushService, person| {
        guard.may_drop_token(service.as_str(), &call(&guard, push(service), &acme(), person), true)
    };
    let dropped = (0..50).filter(|person| may_drop(PushService::Apns, *person)).count();
    assert_eq!(dropped, 19, "then it is a spike");
    assert!(may_drop(PushService::Fcm, 1));
}
