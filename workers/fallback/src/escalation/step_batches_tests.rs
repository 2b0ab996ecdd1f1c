#![allow(clippy::unwrap_used)]

use watchbell::domain::{AlertId, Tenant, UserId, UserKey};

use super::*;

fn waiting(alert: usize) -> (Waiting, oneshot::Receiver<Option<Stepped>>) {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    let key = EscalationKey { user, alert: AlertId::parse(format!("a-{alert}")).unwrap() };
    let decide = Arc::new(|_: &Walk| -> Decision { panic!("nobody decides here") });
    let (holder, now) = (Holder::Claim(1), Timestamp::UNIX_EPOCH);
    let (done, told) = oneshot::channel();
    (Waiting { step: Step { key, holder, answers: Arc::default(), now, decide }, done }, told)
}

fn alerts(batch: &[Waiting]) -> Vec<String> {
    batch.iter().map(|waiting| waiting.step.key.alert.to_string()).collect()
}

#[test]
fn a_batch_is_bounded_and_leaves_out_who_is_gone() {
    let asked = (0..STEPS_PER_COMMIT_MAX + 2).map(waiting);
    let (mut queue, mut told): (Vec<_>, Vec<_>) = asked.unzip();
    drop(told.remove(0));
    let batch = take_batch(&mut queue);
    assert_eq!((batch.len(), alerts(&batch)[0].as_str()), (STEPS_PER_COMMIT_MAX, "a-1"));
    assert_eq!(take_batch(&mut queue).len(), 1);
}
