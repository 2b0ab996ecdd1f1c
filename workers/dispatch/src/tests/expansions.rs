//! Large audiences: accepted at once, reached page by page by whoever is there, whatever comes in between.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use watchbell::{domain::UserId, store::Head};

use super::bed::{Bed, alert, tenant, user};
use crate::audience::PAGE_ROWS_MAX;

const SIZE: usize = 3 * PAGE_ROWS_MAX + 7;

/// Its producer used to wait until the last person was recorded, and was told "not in time".
#[tokio::test]
async fn a_large_audience_is_accepted_with_its_first_page_and_reached_once_each_after_a_crash() {
    let mut bed = Bed::new().await;
    let members = bed.group("ops", SIZE).await;
    bed.run_without_expander(&[alert("big", 1, "t", json!({"groups": ["ops"]}))]).await;
    assert_eq!(bed.reached(&members).await, PAGE_ROWS_MAX, "the first page, and no more is waited for");

    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    let told = bed.told(&members).await;
    for member in &members {
        assert_eq!(told[member.as_str()], [(1, "t".to_owned())], "{member:?} is told once");
    }
    assert!(bed.heads(&members).await.iter().all(|head| (head.seq, head.unread) == (1, 1)));
    bed.until(async || {
        // Those that somebody holds as well.
        let waits = bed.dispatch.store.whose_expansion_waits(&tenant(), Timestamp::MAX).await;
        waits.unwrap().is_none()
    })
    .await;
    bed.end(running, &stop).await;
}

/// It used to be three: claimed, recorded, let go of. Everybody else's commits wait for each of them.
#[tokio::test]
async fn a_page_of_a_large_audience_is_one_commit() {
    const PAGES: usize = 40;
    let bed = Bed::new().await;
    let members = bed.group("ops", PAGES * PAGE_ROWS_MAX).await;
    let before = bed.dispatch.store.writes();
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.publish(&[alert("big", 1, "t", json!({"groups": ["ops"]}))]).await;
    bed.until(async || bed.reached(&members).await == members.len()).await;
    // One for each page, the first of which comes with the alert; the audience is claimed and forgotten; others write a few.
    let writes = bed.dispatch.store.writes() - before;
    assert!(writes < PAGES as u64 * 3 / 2, "{writes} commits for {PAGES} pages");
    bed.end(running, &stop).await;
}

#[tokio::test]
async fn others_alerts_do_not_wait_for_a_large_audience() {
    let bed = Bed::new().await;
    let members = bed.group("ops", 20 * PAGE_ROWS_MAX).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    bed.publish(&[alert("big", 1, "t", json!({"groups": ["ops"]}))]).await;
    let mut other = alert("small", 1, "t", json!({"users": ["zoe"]}));
    other["tenant"] = "globex".into();
    bed.publish(&[other]).await;
    assert!(bed.reached(&members).await < members.len(), "zoe's was accepted before the last page");
    bed.until(async || bed.reached(&members).await == members.len()).await;
    bed.end(running, &stop).await;
}

/// Whoever is not reached yet gets the later one, and nothing of the earlier; whoever has the earlier gets the later too,
/// whether the later is for the same people or names nobody at all.
#[tokio::test]
async fn a_later_version_overtakes_an_audience_that_is_under_way() {
    for (why, to) in [
        ("the same audience", json!({"groups": ["ops"]})),
        ("nobody", json!({"users": []})),
        ("somebody else", json!({"users": ["zoe"]})),
    ] {
        let mut bed = Bed::new().await;
        let members = bed.group("ops", SIZE).await;
        let first = alert("big", 1, "fire!", json!({"groups": ["ops"]}));
        bed.run_without_expander(&[first, alert("big", 2, "over", to)]).await;
        let stop = CancellationToken::new();
        let running = bed.start(&stop);
        let told = bed.told(&members).await;
        let reached_first: BTreeSet<&UserId> = members[..PAGE_ROWS_MAX].iter().collect();
        for member in &members {
            let titles: Vec<&str> = told[member.as_str()].iter().map(|(_, title)| title.as_str()).collect();
            let expected: &[&str] =
                if reached_first.contains(member) { &["fire!", "over"] } else { &["over"] };
            assert_eq!(titles, expected, "{why}: {member:?}");
        }
        assert_eq!(bed.dispatch.store.next_due().await.unwrap(), None, "{why}: nobody is chased for it");
        bed.end(running, &stop).await;
    }
}

/// A place in one audience used to be taken for one in another, and whoever came before it there was never told.
#[tokio::test]
async fn a_place_in_one_audience_is_not_used_for_another() {
    let mut bed = Bed::new().await;
    let members = bed.group("ops", SIZE).await;
    let others: Vec<UserId> = (0..SIZE).map(|n| user(&format!("a{n:05}"))).collect();
    let ops = watchbell::domain::GroupId::parse("all-as").unwrap();
    bed.dispatch.store.change_members(&tenant(), &ops, &others, &[], Timestamp::UNIX_EPOCH).await.unwrap();
    let to = |group: &str| alert("big", 1, "t", json!({"groups": [group]}));
    bed.run_without_expander(&[to("ops"), to("all-as"), to("ops")]).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    let everybody = [members, others].concat();
    bed.told(&everybody).await;
    assert!(bed.heads(&everybody).await.iter().all(|head: &Head| (head.seq, head.unread) == (1, 1)));
    bed.end(running, &stop).await;
}
