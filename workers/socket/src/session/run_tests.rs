//! Sessions over real connections, to which live frames are written with and without their tasks.

use std::sync::atomic::Ordering;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{io::AsyncReadExt as _, task::yield_now, time::timeout};
use watchbell::store::Head;

use self::fixture::{DEADLINE, Pod, Reader};
use super::*;
use crate::{
    frames::frame::Form,
    pod::mailbox::{Backlog, Item},
};

#[path = "fixture_tests.rs"]
mod fixture;

/// More than is put into any mailbox here, where a test is not about the bound.
const ROOMY: Backlog = Backlog { frames_max: 10_000, bytes_max: 64 << 20 };
/// More than the kernel takes at once.
const LARGE_BYTES: usize = 40_000;

#[tokio::test]
async fn live_frames_reach_idle_sessions_without_their_tasks() {
    const SESSIONS: usize = 100;
    const FRAMES: u64 = 5;
    let pod = Pod::start(ROOMY);
    let mut clients = Vec::new();
    for number in 0..SESSIONS {
        let form = if number % 2 == 0 { Form::Ws } else { Form::Sse };
        clients.push((pod.session(form).await.0, form));
    }
    pod.idle().await;
    let before = pod.runs.load(Ordering::SeqCst);
    for number in 1..=FRAMES {
        pod.alert(number).await;
        pod.event(number, 1).await;
    }
    pod.idle().await;
    assert_eq!(pod.runs.load(Ordering::SeqCst), before, "no task has run");
    let expected: Vec<u64> = (1..=FRAMES).collect();
    for (client, form) in clients {
        let mut reader = Reader::of(client, form, 0);
        reader.until(FRAMES as usize, FRAMES as usize).await;
        assert_eq!((&reader.screen.alerts, &reader.screen.events), (&expected, &expected));
    }
}

/// I3, whatever meets whatever: alerts whose neighbours change places or come twice, events, pings, clients that read slowly
/// and talk, frames of which the kernel takes a part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_come_once_and_in_order_however_they_are_written() {
    const SEEDS: u64 = 6;
    const STEPS: usize = 300;
    for seed in 0..SEEDS {
        let chance = &mut StdRng::seed_from_u64(seed);
        let pod = Pod::start(ROOMY);
        let (mut clients, mut alerts, mut events) = (Vec::new(), 0, 0);
        for number in 0..40 {
            let form = [Form::Ws, Form::Sse, Form::Ws, Form::BareSse][number % 4];
            clients.push((pod.session(form).await, form));
        }
        let plan: Vec<u32> = (0..STEPS).map(|_| chance.random_range(0..100)).collect();
        let told = plan
            .iter()
            .map(|step| {
                if *step < 40 {
                    1
                } else if *step < 50 {
                    2
                } else {
                    0
                }
            })
            .sum::<usize>();
        let happened = plan.iter().filter(|step| (50..80).contains(*step)).count();
        let reading: Vec<_> = (clients.into_iter().enumerate())
            .map(|(number, ((client, session), form))| {
                let told = if form.is_bare() { 0 } else { told };
                let reader = Reader::of(client, form, seed * 100 + number as u64);
                (reader.spawn(told, happened), session, told)
            })
            .collect();
        for step in plan {
            match step {
                0..40 => {
                    alerts += 1;
                    pod.alert(alerts).await;
                    if step < 3 {
                        pod.alert(alerts).await;
                    }
                }
                40..50 => {
                    pod.alert(alerts + 2).await;
                    pod.alert(alerts + 1).await;
                    alerts += 2;
                }
                50..80 => {
                    events += 1;
                    pod.event(events, if step < 55 { LARGE_BYTES } else { 10 }).await;
                }
                80..85 => {
                    let ping = Item::Ping { head: Head::default(), epoch: pod.epochs.current() };
                    pod.give(ping, 10).await;
                }
                _ => {
                    for _ in 0..step {
                        yield_now().await;
                    }
                }
            }
        }
        for (reads, session, told) in reading {
            let screen = reads.await.unwrap();
            assert_eq!(screen.alerts, (1..=told as u64).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(screen.events, (1..=happened as u64).collect::<Vec<_>>(), "seed {seed}");
            assert!(matches!(timeout(DEADLINE, session).await.unwrap().unwrap(), SessionEnd::Gone));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_frame_ends_its_own_session_alone() {
    const SESSIONS: usize = 40;
    let pod = Pod::start(ROOMY);
    let (mut stay, mut leave) = (Vec::new(), Vec::new());
    for number in 0..SESSIONS {
        let session = pod.session(Form::Ws).await;
        if number % 3 == 0 { leave.push(session) } else { stay.push(session) }
    }
    pod.idle().await;
    pod.event(1, LARGE_BYTES).await;
    for (mut client, session) in leave {
        client.read_exact(&mut [0; 100]).await.unwrap();
        drop(client);
        pod.event(2, LARGE_BYTES).await;
        assert!(matches!(timeout(DEADLINE, session).await.unwrap().unwrap(), SessionEnd::Gone));
    }
    assert_eq!(pod.hub.sessions(), stay.len());
    let happened = 1 + SESSIONS.div_ceil(3);
    for (client, _) in stay {
        let mut reader = Reader::of(client, Form::Ws, 0);
        reader.until(0, happened).await;
        let (first, others) = reader.screen.events.split_first().unwrap();
        assert_eq!((*first, others.iter().all(|event| *event == 2)), (1, true));
    }
}

#[tokio::test]
async fn a_client_that_never_reads_holds_nobody_up_and_its_backlog_is_dropped() {
    const EVENTS: u64 = 60;
    let pod = Pod::start(Backlog { frames_max: 8, bytes_max: 1 << 20 });
    let (deaf, session) = pod.session(Form::Ws).await;
    let mut readers = Vec::new();
    for number in 0..10 {
        readers.push(Reader::of(pod.session(Form::Ws).await.0, Form::Ws, number));
    }
    pod.idle().await;
    for event in 1..=EVENTS {
        pod.event(event, LARGE_BYTES).await;
        for reader in &mut readers {
            reader.until(0, event as usize).await;
        }
    }
    for reader in readers {
        assert_eq!(reader.screen.events, (1..=EVENTS).collect::<Vec<_>>());
    }
    // What it was sent before is whole and in order. It would be told to fetch its inbox, if the store had one here.
    let mut deaf = Reader::of(deaf, Form::Ws, 0);
    while deaf.read().await > 0 {}
    let told = deaf.screen.events.len();
    assert_eq!((deaf.screen.events, deaf.screen.rest), ((1..=told as u64).collect(), Vec::new()));
    assert!((1..20).contains(&told), "{told} events were kept for it");
    let end = timeout(DEADLINE, session).await.unwrap().unwrap();
    assert!(matches!(end, SessionEnd::Close(CloseCode::Overloaded)));
}

/// On one core nobody else runs while the pump goes on, and it may have hundreds of messages at once.
#[tokio::test]
async fn a_burst_does_not_fill_the_backlogs_of_clients_that_read() {
    const MESSAGES: u64 = 300;
    let pod = Pod::start(Backlog { frames_max: 16, bytes_max: 1 << 20 });
    let mut reading = Vec::new();
    for number in 0..100 {
        let (client, session) = pod.session(Form::Ws).await;
        reading.push((Reader::of(client, Form::Ws, number).spawn(MESSAGES as usize, 0), session));
    }
    pod.idle().await;
    for seq in 1..=MESSAGES {
        pod.alert(seq).await;
    }
    for (reads, _) in reading {
        assert_eq!(reads.await.unwrap().alerts, (1..=MESSAGES).collect::<Vec<_>>());
    }
}
