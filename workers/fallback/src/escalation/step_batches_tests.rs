#![allow(clippy::unwrap_used)]

use watchbell::{
    domain::{AlertId, Tenant, UserId, UserKey},
    store::{Decision, Escalation},
};

use super::*;

fn queued(alert: usize) -> (QueuedStep, oneshot::Receiver<Option<Stepped>>) {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
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
    let steps = (0..STEPS_PER_COMMIT_MAX + 2).map(queued);
    let (mut queue, mut results): (Vec<_>, Vec<_>) = steps.unzip();
    drop(results.remove(0));
    let batch = take_batch(&mut queue);
    assert_eq!((batch.len(), alerts(&batch)[0].as_str()), (STEPS_PER_COMMIT_MAX, "a-1"));
    assert_eq!(take_batch(&mut queue).len(), 1);
}
