//! What became of alerts is written for producers in the commit that makes it so, and waits there until it was told.

use watchbell::domain::{
    Answer, AttemptId, AttemptState, Channel, OutcomeKind, OutcomeRoute, OutcomeRoutes, ReceiptState, Status,
    StopReason, Tenant, outcome::every_kind, publication::Maker, restraint::Held,
};
use watchbell::store::{
    Act, Ask, Claim, Decision, Escalation, Hold, Holder, NewAlert, NewAttempt, ProviderAnswer, Stepped,
    Store, StoreError, SummaryOutcome, WaitingOutcome,
};
use watchbell_tests::builders::{
    self, acme, alert, answering, at, changed, later_version, receipt, snooze, tenant, users,
};

use super::fixture::{LEASE, StoreFixture, ask, head};

on_both_engines!(
    nothing_is_written_while_nobody_wants_it,
    what_people_say_is_told_once,
    an_answer_is_told_with_what_it_says,
    a_snooze_says_until_when,
    a_version_that_acknowledges_is_told_with_who,
    what_providers_answer_for_good_is_told_once,
    how_escalations_end_is_told_when_nobody_looked,
    who_took_an_alert_for_all_is_told,
    each_alert_of_a_summary_is_told_of,
    what_is_not_committed_is_not_told,
    each_route_hears_what_it_wants,
    what_was_told_and_not_settled_is_told_again_with_its_id,
    what_cannot_be_told_waits_its_time,
    the_oldest_are_dropped_first,
);

const QUEUE: OutcomeRoute = OutcomeRoute::Queue;

/// The store as a process has it that is to tell everything on the queue.
fn telling(fixture: &StoreFixture) -> Store {
    fixture.store.clone().telling(OutcomeRoutes { queue: every_kind(), ..OutcomeRoutes::default() })
}

async fn waiting(store: &Store) -> anyhow::Result<Vec<WaitingOutcome>> {
    Ok(store.waiting_outcomes(&QUEUE, at(1_000_000), 1_000).await?)
}

/// What waits, in words: what, for whom, of which alert and version, by which channel, why.
async fn words(store: &Store) -> anyhow::Result<Vec<String>> {
    let mut words: Vec<String> = waiting(store)
        .await?
        .iter()
        .map(|WaitingOutcome { outcome, .. }| {
            let about = format!(
                "{} {} {} v{}",
                outcome.kind,
                outcome.user.user.as_str(),
                outcome.alert,
                outcome.version
            );
            let more = [outcome.channel.as_deref(), outcome.reason.as_deref()].into_iter().flatten();
            let about = more.fold(about, |about, more| format!("{about} {more}"));
            let about = outcome.by.as_ref().map_or(about.clone(), |by| format!("{about} by {by}"));
            outcome.until.map_or(about.clone(), |until| format!("{about} until {}", until - at(0)))
        })
        .collect();
    words.sort();
    Ok(words)
}

/// Off costs nothing: no statement of whatever makes an outcome looks at the outbox, which is not even there.
async fn nothing_is_written_while_nobody_wants_it(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = &fixture.store;
    assert_eq!(store.outcome_route_after(None).await?, None);
    fixture.execute("DROP TABLE outbox").await?;
    let shared = alert("shared").to_users(["ana"]).first_stops_all().build();
    store.record(&[alert("a").to_users(["ana"]).build(), shared], at(0)).await?;
    for (alert, act) in [("a", Act::End(StopReason::Exhausted)), ("shared", Act::Rest(at(50)))] {
        let due = store.claim_due(at(30), LEASE, 10).await?;
        for claim in due.iter().filter(|claim| claim.key.alert.as_str() == alert) {
            let fence = begin(store, claim, vec![attempt(alert.len() as u128, Channel::Push)]).await?;
            let id = AttemptId::from_u128(alert.len() as u128);
            let accepted = [answer(id, AttemptState::Accepted, None)];
            go_on(store, claim, fence, &accepted, Decision::new(1, at(31), act.clone())).await?;
        }
        for claim in due.iter().filter(|claim| claim.key.alert.as_str() != alert) {
            store.rest_escalation(&claim.key, claim.number, "it cannot be read", at(31)).await?;
        }
    }
    store
        .record(
            &[later_version(&alert("a").to_users(["ana"]).build()).status(Status::Acknowledged).build()],
            at(40),
        )
        .await?;
    for state in [ReceiptState::Delivered, ReceiptState::Seen] {
        store.apply_receipts(&[receipt(&acme("ana"), ["a", "shared"], state)], at(41)).await?;
    }
    Ok(())
}

async fn a_version_that_acknowledges_is_told_with_who(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    let key = Maker { key: "3f1a".into(), own_alerts: false };
    let first = alert("a").to_users(["ana", "ben"]).published_by(&key.key, key.own_alerts).build();
    store.record(&[first.clone(), alert("b").to_users(["ana"]).build()], at(0)).await?;
    assert_eq!(words(&store).await?, [""; 0]);
    let taken = later_version(&first).status(Status::Acknowledged).build();
    // Its first page, which is delivered twice, and then, from another process, the people who are left.
    let [page, rest] = ["ana", "ben"].map(|name| NewAlert { recipients: users([name]), ..taken.clone() });
    for _ in 0..2 {
        store.record(std::slice::from_ref(&page), at(1)).await?;
    }
    assert_eq!(words(&store).await?, ["acknowledged ana a v2 by key:3f1a"]);
    telling(fixture).record(&[NewAlert { publication: None, ..rest }], at(2)).await?;
    // Another product said so over AMQP, where nobody says who they are.
    let of_b =
        later_version(&alert("b").to_users(["ana"]).build()).status(Status::Acknowledged).published().build();
    store.record(&[of_b], at(3)).await?;
    let expected = [
        "acknowledged ana a v2 by key:3f1a",
        "acknowledged ana b v2 by amqp",
        "acknowledged ben a v2 by key:3f1a",
    ];
    assert_eq!(words(&store).await?, expected);

    // What is acknowledged stays so; it is told again when it has fired in between.
    let worse = changed(&taken).version(3).critical().build();
    store.record(&[worse], at(4)).await?;
    assert_eq!(words(&store).await?, expected);
    for (version, status) in [(4, Status::Firing), (5, Status::Acknowledged)] {
        let next = changed(&taken).version(version).status(status).build();
        store.record(&[next], at(5)).await?;
    }
    let all = words(&store).await?;
    assert_eq!(all.iter().filter(|told| told.ends_with("a v5 by key:3f1a")).count(), 2, "{all:?}");
    assert_eq!(all.len(), 5, "{all:?}");

    // Whoever has it for all, and then the producer, of one version: two of them acknowledge.
    let shared = alert("shared").to_users(["cleo"]).first_stops_all().build();
    store.record(&[shared], at(6)).await?;
    store.apply_receipts(&[receipt(&acme("cleo"), ["shared"], ReceiptState::Seen)], at(7)).await?;
    let all = words(&store).await?;
    assert!(all.contains(&"acknowledged cleo shared v1 by user:cleo".to_owned()), "{all:?}");
    Ok(())
}

async fn a_snooze_says_until_when(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (telling(fixture), acme("ana"));
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    for until in [100, 100, 200] {
        store.apply_receipts(&[snooze(&ana, ["a"], at(until))], at(1)).await?;
    }
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Read)], at(2)).await?;
    let expected = ["read ana a v1", "snoozed ana a v1 until PT100S", "snoozed ana a v1 until PT200S"];
    assert_eq!(words(&store).await?, expected);
    Ok(())
}

/// The producer hears which button it was, what stood on it, and what it says; once, and not of a second answer.
async fn an_answer_is_told_with_what_it_says(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (telling(fixture), acme("ana"));
    let shared = alert("a").to_users(["ana"]).first_stops_all().build();
    store.record(&[shared], at(0)).await?;
    for text in ["yes", "no"] {
        store.apply_receipts(&[answering(&ana, ["a"], text)], at(1)).await?;
    }
    let told = ["acknowledged ana a v1 by user:ana", "answered ana a v1"];
    assert_eq!(words(&store).await?, told, "it counts as taking it for all");
    let waiting = waiting(&store).await?;
    let answers: Vec<_> = waiting.into_iter().filter_map(|waiting| waiting.outcome.answer).collect();
    let expected = Answer { action: "approve".into(), title: "Approve".into(), text: "yes".into() };
    assert_eq!(answers, [expected]);
    Ok(())
}

async fn what_people_say_is_told_once(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (telling(fixture), acme("ana"));
    let first = alert("a").to_users(["ana"]).build();
    store.record(&[first.clone(), alert("b").to_users(["ana"]).build()], at(0)).await?;
    store.record(&[changed(&first).version(2).build()], at(1)).await?;
    assert_eq!(words(&store).await?, [""; 0], "an alert that comes is no outcome");
    for state in ReceiptState::WORDS.iter().filter_map(|word| word.parse().ok()) {
        // Unread is nobody else's business. Whoever acknowledges what they put away reads it once more, which is told, too.
        if matches!(state, ReceiptState::Unread | ReceiptState::Acknowledged) {
            continue;
        }
        // Each twice, as two tabs say it, and about one that is not there.
        for _ in 0..2 {
            store.apply_receipts(&[receipt(&ana, ["a", "nothing"], state)], at(2)).await?;
        }
    }
    store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Unread)], at(3)).await?;
    let told = words(&store).await?;
    for word in ["delivered", "seen", "read", "dismissed"] {
        assert_eq!(told.iter().filter(|told| **told == format!("{word} ana a v2")).count(), 1, "{told:?}");
    }
    assert!(told.iter().all(|told| !told.starts_with("unread")), "{told:?}");

    // In one batch, as a pod writes them.
    let batch = [ReceiptState::Delivered, ReceiptState::Delivered, ReceiptState::Seen, ReceiptState::Read];
    let batch = batch.map(|state| receipt(&ana, ["b"], state));
    store.apply_receipts(&batch, at(4)).await?;
    let of_b: Vec<String> = words(&store).await?.into_iter().filter(|told| told.contains(" b ")).collect();
    assert_eq!(of_b, ["delivered ana b v1", "read ana b v1", "seen ana b v1"]);

    // Who opens it again after it was unread has said something new.
    store.apply_receipts(&[receipt(&ana, ["b"], ReceiptState::Unread)], at(5)).await?;
    store.apply_receipts(&[receipt(&ana, ["b"], ReceiptState::Read)], at(6)).await?;
    let read = waiting(&store).await?;
    let mut ids: Vec<_> = read.iter().map(|waiting| waiting.outcome.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), read.len(), "no two have one id");
    assert_eq!(words(&store).await?.iter().filter(|told| **told == "read ana b v1").count(), 2);
    Ok(())
}

fn attempt(number: u128, channel: Channel) -> NewAttempt {
    builders::attempt(AttemptId::from_u128(number), channel).build()
}

fn answer(id: AttemptId, state: AttemptState, reason: Option<&str>) -> ProviderAnswer {
    let answer = builders::answer(id, state);
    reason.map_or(answer.clone(), |reason| answer.reason(reason)).build()
}

async fn one_due(store: &Store, now: i64) -> anyhow::Result<Claim> {
    let mut due = store.claim_due(at(now), LEASE, 10).await?;
    anyhow::ensure!(due.len() == 1, "one is due at {now}: {due:?}");
    Ok(due.remove(0))
}

async fn begin(store: &Store, claim: &Claim, attempts: Vec<NewAttempt>) -> anyhow::Result<u64> {
    let decide = |_: &Escalation| Decision::new(0, at(30), Act::Attempt(attempts.clone()));
    match store.step(&ask(claim, at(30), &decide), LEASE).await? {
        Stepped::Call { fence, .. } => Ok(fence),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn go_on(
    store: &Store,
    claim: &Claim,
    fence: u64,
    answers: &[ProviderAnswer],
    decision: Decision,
) -> anyhow::Result<()> {
    let decide = move |_: &Escalation| decision.clone();
    let holder = Holder::Fence(fence);
    store.step(&Ask { key: &claim.key, holder, answers, now: at(31), decide: &decide }, LEASE).await?;
    Ok(())
}

fn rest() -> Decision {
    Decision::new(1, at(31), Act::Rest(at(50_000)))
}

async fn what_providers_answer_for_good_is_told_once(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let claim = one_due(&store, 30).await?;
    let [push, mail, dead, again, gone] = [1, 2, 3, 4, 5].map(AttemptId::from_u128);
    let attempts = vec![
        attempt(1, Channel::Push),
        attempt(2, Channel::Email),
        attempt(3, Channel::Push),
        attempt(4, Channel::Push),
        builders::attempt(gone, Channel::Push).withdrawal().build(),
    ];
    let fence = begin(&store, &claim, attempts).await?;
    let answers = [
        answer(push, AttemptState::Accepted, Some("projects/x/messages/1")),
        answer(mail, AttemptState::Accepted, None),
        answer(dead, AttemptState::Failed, Some("address_refused: 550 5.1.1 no ana here")),
        answer(again, AttemptState::Retrying, Some("unavailable: 503")),
        answer(gone, AttemptState::Accepted, None),
    ];
    go_on(&store, &claim, fence, &answers, rest()).await?;
    let expected =
        ["bounced ana a v1 push address_refused: 550 5.1.1", "mailed ana a v1 email", "pushed ana a v1 push"];
    assert_eq!(words(&store).await?, expected);
    let of_push = waiting(&store).await?.into_iter().find(|waiting| waiting.outcome.attempt == Some(push));
    assert_eq!(of_push.map(|waiting| waiting.outcome.kind), Some(OutcomeKind::Pushed));

    // Somebody whose answer was lost says it again, and is too late to say anything else.
    let late = [answer(push, AttemptState::Failed, None), answer(mail, AttemptState::Accepted, None)];
    go_on(&store, &claim, fence, &late, rest()).await?;
    assert_eq!(words(&store).await?, expected);
    Ok(())
}

async fn how_escalations_end_is_told_when_nobody_looked(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    for (id, reason) in [
        ("expires", StopReason::Expired),
        ("ends", StopReason::Exhausted),
        ("seen", StopReason::Seen),
        ("resolved", StopReason::Resolved),
    ] {
        store.record(&[alert(id).to_users(["ana"]).build()], at(0)).await?;
        let claim = one_due(&store, 30).await?;
        let decide = |_: &Escalation| Decision::new(0, at(30), Act::End(reason));
        store.step(&ask(&claim, at(30), &decide), LEASE).await?;
    }
    store.record(&[alert("aside").to_users(["ana"]).build()], at(0)).await?;
    let claim = one_due(&store, 30).await?;
    store.rest_escalation(&claim.key, claim.number + 1, "not mine", at(31)).await?;
    store.rest_escalation(&claim.key, claim.number, "it cannot be read", at(31)).await?;
    assert_eq!(
        words(&store).await?,
        ["dead ana aside v1", "exhausted ana ends v1", "expired ana expires v1"]
    );

    // It was seen while its end was on its way: that was told already.
    store.record(&[alert("late").to_users(["ana"]).build()], at(0)).await?;
    let claim = one_due(&store, 30).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["late"], ReceiptState::Seen)], at(30)).await?;
    let decide = |_: &Escalation| Decision::new(0, at(30), Act::End(StopReason::Expired));
    store.step(&ask(&claim, at(31), &decide), LEASE).await?;
    let of_late: Vec<String> =
        words(&store).await?.into_iter().filter(|told| told.contains("late")).collect();
    assert_eq!(of_late, ["seen ana late v1"]);
    Ok(())
}

async fn who_took_an_alert_for_all_is_told(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    let shared = alert("shared").to_users(["ana", "ben"]).first_stops_all().build();
    store.record(&[shared, alert("own").to_users(["ana"]).build()], at(0)).await?;
    let seen = |name| receipt(&acme(name), ["shared", "own"], ReceiptState::Seen);
    store.apply_receipts(&[seen("ben")], at(1)).await?;
    store.apply_receipts(&[seen("ana")], at(2)).await?;
    let taken: Vec<String> =
        words(&store).await?.into_iter().filter(|told| told.starts_with("acknowledged")).collect();
    assert_eq!(
        taken,
        ["acknowledged ben shared v1 by user:ben"],
        "one has it, and the others' sight of it changes nothing"
    );
    Ok(())
}

async fn each_alert_of_a_summary_is_told_of(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    store
        .record(&[alert("a").to_users(["ana"]).build(), alert("b").to_users(["ana"]).build()], at(0))
        .await?;
    for claim in store.claim_due(at(30), LEASE, 10).await? {
        let held = Held::Summary(Channel::Push);
        let hold = Hold { held, until: at(150), following: None, mandatory: false };
        let decide = move |_: &Escalation| Decision::new(0, at(30), Act::Hold(hold.clone()));
        store.step(&ask(&claim, at(30), &decide), LEASE).await?;
    }
    let claim = one_due(&store, 150).await?;
    let fence = begin(&store, &claim, vec![attempt(9, Channel::Push)]).await?;
    let told = SummaryOutcome { reached: true, note: "told in one".into() };
    let accepted = [answer(AttemptId::from_u128(9), AttemptState::Accepted, None)];
    go_on(&store, &claim, fence, &accepted, Decision { told: Some(told), ..rest() }).await?;
    assert_eq!(words(&store).await?, ["pushed ana a v1 push", "pushed ana b v1 push"]);
    Ok(())
}

/// The row of the inbox is written after its outcome, and refused.
async fn what_is_not_committed_is_not_told(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (telling(fixture), acme("ana"));
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    fixture
        .execute(fixture.dialect(
            "ALTER TABLE inbox ADD CONSTRAINT nothing_is_put_away CHECK (state <> 'dismissed')",
            "CREATE TRIGGER nothing_is_put_away BEFORE UPDATE ON inbox WHEN NEW.state = 'dismissed'
         BEGIN SELECT RAISE(ABORT, 'nothing is put away'); END",
        ))
        .await?;
    let refused = store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Dismissed)], at(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    assert_eq!(words(&store).await?, [""; 0], "what did not happen is not told");

    // And what cannot be told does not happen: the receipt is taken again.
    fixture
        .execute(fixture.dialect(
            "ALTER TABLE outbox ADD CONSTRAINT nothing_is_read CHECK (outcome <> 'read')",
            "CREATE TRIGGER nothing_is_read BEFORE INSERT ON outbox WHEN NEW.outcome = 'read'
         BEGIN SELECT RAISE(ABORT, 'nothing is read'); END",
        ))
        .await?;
    let refused = store.apply_receipts(&[receipt(&ana, ["a"], ReceiptState::Read)], at(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    assert_eq!(head(&store, &ana).await?.seq, 1, "the inbox has not changed");
    Ok(())
}

async fn each_route_hears_what_it_wants(fixture: &StoreFixture) -> anyhow::Result<()> {
    let webhook = |name| OutcomeRoute::Webhook(tenant(name));
    let routes = OutcomeRoutes {
        queue: [OutcomeKind::Seen].into(),
        webhooks: [
            (tenant("acme"), [OutcomeKind::Delivered, OutcomeKind::Seen].into()),
            (tenant("globex"), every_kind()),
        ]
        .into(),
    };
    let store = fixture.store.clone().telling(routes);
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    for state in [ReceiptState::Delivered, ReceiptState::Seen, ReceiptState::Read] {
        store.apply_receipts(&[receipt(&acme("ana"), ["a"], state)], at(1)).await?;
    }
    for (route, expected) in [(QUEUE, 1), (webhook("acme"), 2), (webhook("globex"), 0)] {
        let found = store.waiting_outcomes(&route, at(2), 10).await?;
        assert_eq!(found.len(), expected, "{route}: {found:?}");
    }
    // Routes are found in their order, whether anybody is configured to hear of them or not.
    let plain = fixture.another_handle();
    assert_eq!(plain.outcome_route_after(None).await?, Some(QUEUE));
    assert_eq!(plain.outcome_route_after(Some(&QUEUE)).await?, Some(webhook("acme")));
    assert_eq!(plain.outcome_route_after(Some(&webhook("acme"))).await?, None);
    Ok(())
}

async fn seen_by_many(store: &Store, number: usize) -> anyhow::Result<()> {
    let ids: Vec<String> = (0..number).map(|n| format!("a{n}")).collect();
    let batch: Vec<NewAlert> = ids.iter().map(|id| alert(id).to_users(["ana"]).build()).collect();
    store.record(&batch, at(0)).await?;
    for (n, id) in ids.iter().enumerate() {
        let seen = receipt(&acme("ana"), [id], ReceiptState::Seen);
        store.apply_receipts(&[seen], at(n as i64)).await?;
    }
    Ok(())
}

async fn what_was_told_and_not_settled_is_told_again_with_its_id(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = telling(fixture);
    seen_by_many(&store, 3).await?;
    assert!(!store.outcomes_wait(&QUEUE, at(-1)).await?, "nothing is told before it happened");
    assert!(store.outcomes_wait(&QUEUE, at(0)).await?);
    assert!(store.claim_route(&QUEUE, "one", at(10), at(40)).await?);
    let first = store.waiting_outcomes(&QUEUE, at(10), 2).await?;
    assert_eq!(first.iter().map(|waiting| waiting.outcome.at).collect::<Vec<_>>(), [at(0), at(1)]);
    assert!(!store.claim_route(&QUEUE, "other", at(39), at(70)).await?, "one at a time");
    // It published both, settled one, and died.
    store.settle_outcomes(&QUEUE, &[&first[0]], &[]).await?;
    let other = fixture.another_handle();
    assert!(other.claim_route(&QUEUE, "other", at(40), at(70)).await?, "its lease has ended");
    let again = other.waiting_outcomes(&QUEUE, at(40), 10).await?;
    assert_eq!(again[0], first[1], "told twice, with one id");
    assert_eq!(again.len(), 2);
    // The first is slow, not dead. It settles what is settled already, and frees nothing that it does not hold.
    store.settle_outcomes(&QUEUE, &[&first[0], &first[1]], &[]).await?;
    store.free_route(&QUEUE, "one", at(0)).await?;
    assert!(!store.claim_route(&QUEUE, "third", at(50), at(80)).await?);
    other.free_route(&QUEUE, "other", at(60)).await?;
    assert!(!store.claim_route(&QUEUE, "third", at(59), at(80)).await?, "it rests");
    assert!(store.claim_route(&QUEUE, "third", at(60), at(80)).await?);
    assert_eq!(waiting(&store).await?.len(), 1);
    Ok(())
}

async fn what_cannot_be_told_waits_its_time(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    seen_by_many(&store, 3).await?;
    let all = waiting(&store).await?;
    store.settle_outcomes(&QUEUE, &[&all[1]], &[(&all[0], at(500)), (&all[2], at(400))]).await?;
    assert!(!store.outcomes_wait(&QUEUE, at(399)).await?);
    let due = store.waiting_outcomes(&QUEUE, at(400), 10).await?;
    assert_eq!(due.len(), 1);
    assert_eq!((&due[0].outcome, due[0].tries), (&all[2].outcome, 1));
    assert_eq!(store.waiting_outcomes(&QUEUE, at(500), 10).await?.len(), 2, "in its turn");
    Ok(())
}

async fn the_oldest_are_dropped_first(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = telling(fixture);
    seen_by_many(&store, 6).await?;
    let backlog = store.outcome_backlog(&QUEUE, 100).await?;
    assert_eq!((backlog.waiting, backlog.oldest), (6, Some(at(0))));
    assert_eq!(store.outcome_backlog(&QUEUE, 4).await?.waiting, 4, "counted up to a bound");
    assert_eq!(store.drop_outcomes(&QUEUE, at(3), 2).await?, 2);
    assert_eq!(store.drop_outcomes(&QUEUE, at(3), 2).await?, 1);
    assert_eq!(store.drop_outcomes(&QUEUE, at(3), 2).await?, 0);
    let left: Vec<_> = waiting(&store).await?.into_iter().map(|waiting| waiting.outcome.at).collect();
    assert_eq!(left, [at(3), at(4), at(5)]);
    let elsewhere = OutcomeRoute::Webhook(Tenant::parse("acme")?);
    assert_eq!(store.drop_outcomes(&elsewhere, at(1_000), 10).await?, 0);
    let nothing = store.outcome_backlog(&elsewhere, 10).await?;
    assert_eq!((nothing.waiting, nothing.oldest), (0, None));
    Ok(())
}
