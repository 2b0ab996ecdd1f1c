//! What is told agrees with what is stored, whatever order versions come in and whoever they name.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, alert, user};

/// The pods used to be told what came, whatever the inboxes held: after "over" for ana, a stale "fire!" told ben "fire!", where
/// his inbox said "over", and nothing came after it.
#[tokio::test]
async fn what_is_told_is_what_is_stored() {
    let to = |names: &[&str]| json!({"users": names});
    let fire = |names: &[&str]| alert("s", 1, "fire!", to(names));
    let same = vec![alert("s", 1, "one", to(&["ana"])), alert("s", 1, "one", to(&["ben"]))];
    let stale = vec![fire(&["ana"]), alert("s", 2, "over", to(&["ana"])), fire(&["ben"])];
    let later = vec![fire(&["ana"]), alert("s", 2, "over", to(&["ben"]))];
    let nobody = vec![fire(&["ana", "ben"]), alert("s", 2, "over", to(&[]))];
    for (why, alerts, title) in [
        ("same version", same, "one"),
        ("stale version", stale, "over"),
        ("later version", later, "over"),
        ("later version for nobody new", nobody, "over"),
    ] {
        // In one commit, in commits that follow each other while the first is being told, and long after each other.
        for batch_max in [256, 1, 0] {
            let why = format!("{why}, batches of {batch_max}");
            let mut bed = Bed::new().await;
            bed.dispatch.config.batch_max = batch_max.max(1);
            let stop = CancellationToken::new();
            let running = if batch_max == 0 {
                let running = bed.start(&stop);
                for one in alerts.chunks(1) {
                    bed.publish(one).await;
                }
                running
            } else {
                let publishing = bed.queue(&alerts).await;
                let running = bed.start(&stop);
                publishing.await.unwrap();
                running
            };
            let people = [user("ana"), user("ben")];
            let told = bed.told(&people).await;
            for person in &people {
                let inbox = bed.inbox(person.as_str()).await;
                assert_eq!(inbox.len(), 1, "{why}: {person:?} has one row");
                let last = told[person.as_str()].iter().max().unwrap();
                assert_eq!((last.0, last.1.as_str()), (inbox[0].0, title), "{why}: {person:?} is told");
                assert_eq!(inbox[0].1["title"], title, "{why}: {person:?}'s inbox says the same");
            }
            let due = bed.dispatch.store.next_due().await.unwrap();
            assert_eq!(due.is_some(), title == "one", "{why}: what is over leaves no escalation");
            bed.end(running, &stop).await;
        }
    }
}

/// A change of one person follows the one that was published before it, over as many batches as it takes.
#[tokio::test]
async fn a_persons_changes_come_and_are_told_in_the_order_of_their_alerts() {
    let mut bed = Bed::new().await;
    bed.dispatch.config.batch_max = 10;
    let alerts: Vec<_> = (0..100)
        .map(|n| alert(&format!("a{n:03}"), 1, &format!("{n:03}"), json!({"users": ["ana", "ben"]})))
        .collect();
    let publishing = bed.queue(&alerts).await;
    let stop = CancellationToken::new();
    let running = bed.start(&stop);
    publishing.await.unwrap();
    let people = [user("ana"), user("ben")];
    let told = bed.told(&people).await;
    let expected: Vec<(u64, String)> = (0..100).map(|n| (n + 1, format!("{n:03}"))).collect();
    for person in &people {
        assert_eq!(told[person.as_str()], expected, "{person:?}");
    }
    bed.end(running, &stop).await;
}
