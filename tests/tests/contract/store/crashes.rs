//! Whatever dies, what was answered stays, and half of nothing stays (I1).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use watchbell::domain::{AlertId, Secret};
use watchbell::store::StoreError;
use watchbell_tests::builders::{acme, alert, alert_id, at, tenant};
use watchbell_tests::postgres::Postgres;
use watchbell_tests::scratch::Scratch;
use watchbell_tests::until::until;

use super::fixture::{StoreFixture, head, inbox, open};

on_both_engines!(a_commit_that_is_given_up_half_way_leaves_nothing_or_all);

/// Dropped at every moment from "not begun" to "done".
async fn a_commit_that_is_given_up_half_way_leaves_nothing_or_all(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..300).map(|n| format!("u{n}")).collect();
    let to: Vec<&str> = names.iter().map(String::as_str).collect();
    let warm = Instant::now();
    store.record(&[alert("warm").to_users(&to).build()], at(0)).await?;
    let whole = warm.elapsed();
    let (mut all, mut nothing) = (0, 0);
    for n in 0..24 {
        let new = alert(&format!("a{n}")).to_users(&to).build();
        let given_up = timeout(whole * n / 20, store.record(std::slice::from_ref(&new), at(0))).await;
        let kept = store.alert(&tenant("acme"), &new.alert.id).await?.map_or(0, |stored| stored.recipients);
        let heads = store.heads(&[acme("u0"), acme("u299")]).await?;
        assert_eq!(heads[&acme("u0")], heads[&acme("u299")], "everybody's head moved, or nobody's");
        match kept {
            300 => all += 1,
            0 => nothing += 1,
            some => panic!("{some} of 300 rows stayed"),
        }
        assert!(given_up.is_err() || kept == 300, "answered is kept");
        // The commit may have been on its way while we looked.
        let again = store.record(&[new], at(0)).await?;
        let changed = again.iter().filter(|row| row.changed).count();
        assert!(changed == 0 || changed == 300 && kept == 0, "repeated, it is there once: {changed}, {kept}");
    }
    assert!(nothing > 0, "some were given up: {all} of 24 went through");
    let head = head(store, &acme("u7")).await?;
    assert_eq!((head.seq, head.unread), (25, 25));
    assert_eq!(inbox(store, &acme("u7")).await?.len(), 25);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_postgres_is_unavailable_and_comes_back_by_itself() -> anyhow::Result<()> {
    let dir = Scratch::new("store-stopped")?;
    let mut server = Postgres::start(dir.path()).await?;
    let store = open(&Secret::from(server.url()))?;
    store.migrate().await?;
    store.record(&[alert("before").to_users(["ana"]).build()], at(0)).await?;

    server.stop().await?;
    for what in ["with connections that just died", "with none"] {
        let begun = Instant::now();
        let refused = store.record(&[alert("during").to_users(["ana"]).build()], at(0)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{what}: {refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(11), "{what}: {:?}", begun.elapsed());
    }
    assert!(!store.is_ready().await);

    server.start_again().await?;
    let ready = async || store.is_ready().await.then_some(());
    until("the store is ready again", Duration::from_secs(10), ready).await?;
    let rows = store.record(&[alert("after").to_users(["ana"]).build()], at(0)).await?;
    assert_eq!(rows[0].seq, 2, "the same inbox");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_rows_stay_locked_gives_up_in_time() -> anyhow::Result<()> {
    let dir = Scratch::new("store-locked")?;
    let server = Postgres::start(dir.path()).await?;
    let store = &open(&Secret::from(server.url()))?;
    store.migrate().await?;
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(14)";
    let locker = tokio::spawn(async move { server.psql(lock).await.map(|_| server) });
    let locked = async || {
        let waited = timeout(Duration::from_millis(200), head(store, &acme("ana"))).await;
        waited.is_err().then_some(())
    };
    until("the table is locked", Duration::from_secs(10), locked).await?;

    let begun = Instant::now();
    let refused = store.record(&[alert("b").to_users(["ana"]).build()], at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    let _server = locker.await??;
    let works = async || store.record(&[alert("b").to_users(["ana"]).build()], at(0)).await.ok();
    until("the store works again", Duration::from_secs(40), works).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_loses_nothing_that_was_answered() -> anyhow::Result<()> {
    const ENOUGH: usize = 60;
    let dir = Scratch::new("store-killed")?;
    let mut server = Postgres::start(dir.path()).await?;
    let store = open(&Secret::from(server.url()))?;
    store.migrate().await?;
    let answered: &Mutex<Vec<AlertId>> = Box::leak(Box::default());
    let killed: &AtomicBool = Box::leak(Box::default());
    let mut writing = JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writing.spawn(async move {
            for n in 0.. {
                let new = alert(&format!("w{writer}-{n}")).to_users(["ana", "ben", "cas"]).build();
                match store.record(std::slice::from_ref(&new), at(0)).await {
                    Ok(_) => answered.lock().unwrap().push(new.alert.id.clone()),
                    Err(_) => break,
                }
                if killed.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
    }
    let many = async || (answered.lock().unwrap().len() >= ENOUGH).then_some(());
    until("enough was answered", Duration::from_secs(30), many).await?;
    server.kill9();
    killed.store(true, Ordering::Relaxed);
    while let Some(written) = writing.join_next().await {
        written?;
    }
    server.start_again().await?;

    let answered = answered.lock().unwrap().clone();
    // A store believes for half a second that a connection lives, so the first reads may meet dead ones.
    let all = async || {
        let mut kept = Vec::with_capacity(answered.len());
        for id in &answered {
            kept.push(store.alert(&tenant("acme"), id).await.ok()?);
        }
        Some(kept)
    };
    let kept = until("all is read again", Duration::from_secs(10), all).await?;
    for (id, kept) in answered.iter().zip(kept) {
        assert_eq!(kept.map(|stored| stored.recipients), Some(3), "{id} was answered");
    }
    let rows = inbox(&store, &acme("ana")).await?;
    let seqs: Vec<u64> = rows.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=rows.len() as u64).collect::<Vec<_>>(), "no number was lost with what was lost");
    assert!(rows.len() >= answered.len());
    assert!(store.alert(&tenant("acme"), &alert_id("w0-0")).await?.is_some());
    Ok(())
}
