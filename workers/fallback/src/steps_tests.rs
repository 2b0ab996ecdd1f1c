#![allow(clippy::unwrap_used)]

use watchbell::domain::{AlertId, Tenant, UserId, UserKey};

use super::*;

fn waiting(user: &str, alert: usize) -> (Waiting, oneshot::Receiver<Option<Stepped>>) {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse(user).unwrap());
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
fn a_batch_has_one_step_a_person_and_the_rest_wait_in_their_order() {
    let asked = [("ana", 0), ("ana", 1), ("ben", 2), ("ana", 3), ("ben", 4)];
    let (mut queue, _told): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|(user, alert)| waiting(user, alert)).unzip();
    for expected in [&["a-0", "a-2"][..], &["a-1", "a-4"], &["a-3"], &[]] {
        assert_eq!(alerts(&take_batch(&mut queue)), expected);
    }
}

#[test]
fn a_batch_is_bounded_and_leaves_out_who_is_gone() {
    let names: Vec<String> = (0..STEPS_PER_COMMIT_MAX + 2).map(|n| format!("user-{n}")).collect();
    let asked = names.iter().enumerate().map(|(alert, user)| waiting(user, alert));
    let (mut queue, mut told): (Vec<_>, Vec<_>) = asked.unzip();
    drop(told.remove(0));
    let batch = take_batch(&mut queue);
    assert_eq!((batch.len(), alerts(&batch)[0].as_str()), (STEPS_PER_COMMIT_MAX, "a-1"));
    assert_eq!(take_batch(&mut queue).len(), 1);
}
