#![allow(clippy::unwrap_used)]

use watchbell::{
    domain::{AlertId, Tenant, UserId, UserKey},
    store::{Decision, Escalation, StoreConfig},
};

use super::*;

fn queued(user: &str, alert: usize) -> (QueuedStep, oneshot::Receiver<Option<Stepped>>) {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(user).unwrap());
    let key = EscalationKey { user, alert: AlertId::parse(format!("a-{alert}")).unwrap() };
    let decide = Arc::new(|_: &Escalation| -> Decision { panic!("nothing is decided here") });
    let (holder, now) = (Holder::Claim(1), Timestamp::UNIX_EPOCH);
    let (done, result) = oneshot::channel();
    let request = StepRequest { key, holder, answers: Arc::default(), now, decide };
    (QueuedStep { request, done }, result)
}

fn alerts(batch: &[QueuedStep]) -> Vec<String> {
    batch.iter().map(|queued| queued.request.key.alert.to_string()).collect()
}

#[test]
fn a_batch_is_bounded_and_leaves_out_steps_that_nobody_waits_for() {
    let steps = (0..STEPS_PER_COMMIT_MAX + 2).map(|alert| queued(&format!("user-{alert}"), alert));
    let (waiting, mut results): (Vec<_>, Vec<_>) = steps.unzip();
    drop(results.remove(0));
    let mut queue = Queue { waiting, ..Queue::default() };
    let batch = queue.take_batch();
    assert_eq!((batch.len(), alerts(&batch)[0].as_str()), (STEPS_PER_COMMIT_MAX, "a-1"));
    assert_eq!(queue.take_batch().len(), 1);
}

#[tokio::test]
async fn no_two_batches_under_way_are_about_the_same_person() {
    let batches = StepBatches::new(Store::open(&in_memory()).unwrap(), Duration::from_secs(30));
    let mut results = Vec::new();
    let mut wait = |user: &str, alert| {
        let (step, result) = queued(user, alert);
        batches.queue().waiting.push(step);
        results.push(result);
    };
    wait("ana", 1);
    wait("ana", 2);
    let first = batches.queue().take_batch();
    assert_eq!(alerts(&first), ["a-1", "a-2"], "one batch may have several steps of a person");
    wait("ana", 3);
    wait("ben", 4);
    let second = batches.queue().take_batch();
    assert_eq!(alerts(&second), ["a-4"], "ana's are being written");
    assert!(batches.queue().take_batch().is_empty());
    drop(UnderWay { batches: &batches, of: persons(&first) });
    assert_eq!(alerts(&batches.queue().take_batch()), ["a-3"], "ben's are still being written");
}

/// A step whose person is in a batch under way waits for that batch, and is then written by its own task.
#[tokio::test]
async fn a_step_that_waited_for_its_person_is_written_once_the_batch_is_through() {
    let batches = Arc::new(StepBatches::new(Store::open(&in_memory()).unwrap(), Duration::from_secs(30)));
    let (step, _result) = queued("ana", 1);
    batches.queue().waiting.push(step);
    let first = batches.queue().take_batch();
    let under_way = UnderWay { batches: &batches, of: persons(&first) };
    let (step, _) = queued("ana", 2);
    let mut waits = Box::pin(batches.step_together(step.request));
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert_eq!(batches.queue().waiting.len(), 1, "it is in no batch yet");
    drop(under_way);
    // The store has no tables, so nobody knows what became of the batch: which shows that it was written.
    assert!(waits.await.is_none());
}

fn in_memory() -> StoreConfig {
    StoreConfig { url: "sqlite::memory:".into(), connections_max: 1 }
}
