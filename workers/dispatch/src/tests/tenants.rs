//! Tenants take turns, whoever sent more or sooner. What somebody waits behind is counted in rows, so that it holds on any machine.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use watchbell::broker::WorkQueue;

use super::bed::{Bed, DEADLINE, alert};
use crate::{
    commit::little_first,
    prepare::{Prepared, Preparer, next_batch},
    queues::LastTaken,
    room::{Place, Room},
    turns::QUANTUM,
};

/// Alerts of the tenant that sends many.
const MANY: usize = 600;
/// Rows of one turn.
const TURN: usize = QUANTUM as usize;

fn of_tenant(tenant: &str, mut alert: Value) -> Value {
    alert["tenant"] = tenant.into();
    alert
}

fn cost(one: &Prepared) -> usize {
    1 + one.recipients.len()
}

fn is_of(tenant: &str) -> impl Fn(&Prepared) -> bool {
    move |one| one.taken.alert.tenant.as_str() == tenant
}

/// The rows of another tenant before an alert: in commits of what is prepared, as the recorder makes them, up to and with its own.
async fn rows_until_globex(to_commit: &mut mpsc::Receiver<Prepared>, batch_max: usize) -> usize {
    let mut rows = 0;
    loop {
        let mut batch = next_batch(to_commit, batch_max, std::time::Duration::ZERO).await;
        batch.iter_mut().filter_map(|one| one.place.as_mut()).for_each(Place::give_back_room);
        for commit in little_first(batch, |one| (&one.taken.alert.tenant, cost(one))) {
            rows += commit.iter().filter(|one| is_of("evil")(one)).map(cost).sum::<usize>();
            if commit.iter().any(is_of("globex")) {
                return rows;
            }
        }
    }
}

#[tokio::test]
async fn an_alert_comes_between_the_many_of_another_tenant() {
    for (why, people, batch_max) in [
        ("small ones", 1, 256),
        ("with a page of people each", 90, 256),
        ("batches smaller than a turn", 1, 8),
    ] {
        let mut bed = Bed::new().await;
        bed.dispatch.config.batch_max = batch_max;
        let users: Vec<String> = (0..people).map(|n| format!("u{n}")).collect();
        let to = |users: &[String]| json!({"users": users});
        let globex = |id| of_tenant("globex", alert(id, 1, "t", to(&users[..1])));
        let mut alerts: Vec<Value> =
            (0..MANY).map(|n| of_tenant("evil", alert(&format!("many-{n}"), 1, "t", to(&users)))).collect();
        alerts.push(globex("first"));
        let publishing = bed.queue(&alerts).await;

        let mut consumer = bed.dispatch.broker.consume(WorkQueue::Dispatch, 1_000).await;
        let stop = CancellationToken::new();
        let (prepared, mut to_commit) = mpsc::channel(batch_max);
        let (events, _to_keep) = mpsc::channel(1);
        let (refused, _to_park) = mpsc::channel(1);
        let preparer = Preparer {
            dispatch: &bed.dispatch,
            prepared,
            room: Room::new(batch_max),
            contention: Arc::default(),
            prefetch: 1_000,
            events,
            refused,
            last_taken: &LastTaken::default(),
        };
        let committing = async {
            // Once all of them are read, the last one too.
            bed.until(async || bed.depth().await == 0).await;
            let first = rows_until_globex(&mut to_commit, batch_max).await;
            // From now on it is known that there are two of them.
            let mut second = Box::pin(bed.publish(&[globex("second")]));
            assert!(second.as_mut().now_or_never().is_none(), "it is in the queue");
            bed.until(async || bed.depth().await == 0).await;
            let rows = (first, rows_until_globex(&mut to_commit, batch_max).await);
            stop.cancel();
            rows
        };
        let working = async { tokio::join!(preparer.run(consumer.as_mut(), &stop), committing).1 };
        let (first, second) = timeout(DEADLINE, working).await.expect(why);
        // What was prepared ahead, and one turn; each may be exceeded by one alert.
        let bound = batch_max + TURN + 2 * (1 + people);
        assert!(first <= bound, "{why}: {first} rows came before the first, not {bound} at most");
        // A turn whose commit may have begun. The one that is prepared with it is recorded after it; so is an alert that is a turn.
        let bound = TURN + 1 + people;
        assert!(second <= bound, "{why}: {second} rows came before the second, not {bound} at most");
        publishing.abort();
    }
}
