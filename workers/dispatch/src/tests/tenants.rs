//! Tenants take turns, whoever sent more or sooner.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use watchbell::broker::WorkQueue;

use super::bed::{Bed, DEADLINE, alert};
use crate::{prepare::Preparer, turns::QUANTUM};

/// Alerts of the tenant that sends many.
const MANY: usize = 300;
/// Rows that are prepared ahead.
const ROOM: usize = 8;

fn of_tenant(tenant: &str, mut alert: Value) -> Value {
    alert["tenant"] = tenant.into();
    alert
}

#[tokio::test]
async fn an_alert_comes_between_the_many_of_another_tenant() {
    for (why, people) in [("small ones", 1), ("with a page of people each", 90)] {
        let mut bed = Bed::new().await;
        bed.dispatch.config.batch_max = ROOM;
        let users: Vec<String> = (0..people).map(|n| format!("u{n}")).collect();
        let to = |users: &[String]| json!({"users": users});
        let mut alerts: Vec<Value> =
            (0..MANY).map(|n| of_tenant("evil", alert(&format!("many-{n}"), 1, "t", to(&users)))).collect();
        alerts.push(of_tenant("globex", alert("one", 1, "t", to(&users[..1]))));
        let publishing = bed.queue(&alerts).await;

        let mut consumer = bed.dispatch.broker.consume(WorkQueue::Dispatch, 1_000).await;
        let stop = CancellationToken::new();
        let (prepared, mut to_commit) = mpsc::channel(ROOM);
        let (events, _to_keep) = mpsc::channel(1);
        let (refused, _to_park) = mpsc::channel(1);
        let room = Arc::new(Semaphore::new(ROOM));
        let preparer = Preparer { dispatch: &bed.dispatch, prepared, room, events, refused };
        let committing = async {
            // Once all of them are read, the last one too.
            bed.until(async || bed.depth().await == 0).await;
            let mut rows_before = 0;
            loop {
                let one = to_commit.recv().await.expect("the one comes");
                if one.taken.alert.tenant.as_str() == "globex" {
                    break;
                }
                rows_before += 1 + one.recipients.len();
            }
            stop.cancel();
            rows_before
        };
        let working = async { tokio::join!(preparer.run(consumer.as_mut(), &stop), committing).1 };
        let rows_before = timeout(DEADLINE, working).await.expect(why);
        // What was prepared ahead, and one turn; each may be exceeded by one alert.
        let bound = ROOM + QUANTUM as usize + 2 * (1 + people);
        assert!(rows_before <= bound, "{why}: {rows_before} rows came before it, not {bound} at most");
        publishing.abort();
    }
}
