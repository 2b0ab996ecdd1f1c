//! A mail that waited for others is an attempt of its reader's summary. What comes of it counts for each alert that it told of, and a reply
//! to it for the only one. What was written before an alert began anew says nothing of what it is now.

use std::time::Duration;

use watchbell::domain::{
    AlertId, AttemptId, AttemptState, Channel, Secret, StopReason, Timestamp,
    bounce::{Bounce, BounceKind},
    email::address_digest,
    restraint::Held,
};
use watchbell::store::{
    Act, Ask, BounceRecorded, Contact, Decision, Escalation, Hold, Holder, MailedAlert, NewAlert, Stepped,
    Store, SummaryOutcome,
};
use watchbell_tests::builders::{
    acme, alert, alert_id, answer, at, attempt, later_version, snooze, tenant, user,
};

use super::{
    fixture::{LEASE, StoreFixture, ask},
    timers::look,
};

on_both_engines!(
    a_digest_that_came_back_told_of_nothing,
    a_digest_that_was_called_spam_told_of_it,
    what_another_summary_told_stays_told,
    a_reply_is_about_the_only_alert_that_a_mail_told_of,
    a_mail_says_nothing_of_what_began_anew_since,
    a_link_says_nothing_of_what_began_anew_since,
);

const ADDRESS: &str = "ana@example.com";

/// Holds these alerts of ana's, which are due at `now`, until a summary by this channel, and sends it: a provider takes it.
async fn summary_of(
    store: &Store,
    channel: Channel,
    ids: &[&str],
    number: u128,
    now: i64,
) -> anyhow::Result<AttemptId> {
    let held = Held::Summary(channel);
    for claim in store.claim_due(at(now), LEASE, 100).await? {
        if ids.contains(&claim.key.alert.as_str()) {
            let following = Some(Duration::from_secs(300));
            let hold = Hold { held, until: at(now + 120), following, mandatory: false };
            let hold = Decision::new(0, at(now), Act::Hold(hold));
            store.step(&ask(&claim, at(now), &|_| hold.clone()), LEASE).await?;
        }
    }
    let summary = AlertId::summary_by(channel).unwrap();
    let claims = store.claim_due(at(now + 120), LEASE, 100).await?;
    let claim = claims.iter().find(|claim| claim.key.alert == summary);
    let claim = claim.ok_or_else(|| anyhow::anyhow!("a summary is due"))?;
    let id = AttemptId::from_u128(number);
    let call = Decision::new(0, at(now + 120), Act::Attempt(vec![attempt(id, channel).build()]));
    let called = store.step(&ask(claim, at(now + 120), &|_| call.clone()), LEASE).await?;
    let Stepped::Call { fence, .. } = called else { anyhow::bail!("it is called") };
    let told = Some(SummaryOutcome { reached: true, note: "told in one".into() });
    let end = Act::End(StopReason::Exhausted);
    let told = Decision { told, ..Decision::new(1, at(now + 121), end) };
    let answers = [answer(id, AttemptState::Accepted).build()];
    let (holder, decide) = (Holder::Fence(fence), |_: &Escalation| told.clone());
    let asked = Ask { key: &claim.key, holder, answers: &answers, now: at(now + 121), decide: &decide };
    store.step(&asked, LEASE).await?;
    Ok(id)
}

/// Ana, with an address, and these alerts, which are due at 30 s.
async fn recorded(store: &Store, ids: &[&str]) -> anyhow::Result<()> {
    store.put_user(&acme("ana"), &Contact::default().with(Channel::Email, ADDRESS), at(0)).await?;
    let batch: Vec<NewAlert> = ids.iter().map(|id| alert(id).to_users(["ana"]).build()).collect();
    store.record(&batch, at(0)).await?;
    Ok(())
}

fn bounce(attempt: AttemptId, kind: BounceKind) -> Bounce {
    let address_digest = address_digest(&Secret::from(ADDRESS));
    Bounce { attempt, address_digest, kind, reason: "550 5.1.1 unknown".to_owned() }
}

/// What decides about this alert when its next step is due, which is before `now`.
async fn next(store: &Store, id: &str, now: i64) -> anyhow::Result<Escalation> {
    let claims = store.claim_due(at(now), LEASE, 100).await?;
    let claim = claims.iter().find(|claim| claim.key.alert.as_str() == id);
    look(store, claim.ok_or_else(|| anyhow::anyhow!("{id} is due"))?, at(now)).await
}

async fn entries(store: &Store, id: &str) -> anyhow::Result<Vec<String>> {
    let told = store.timeline(&tenant("acme"), &alert_id(id), Some(&user("ana")), 10).await?.remove(0);
    Ok(told.entries.into_iter().map(|entry| entry.what).collect())
}

async fn a_digest_that_came_back_told_of_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (number, ids) in [(1, &["alone"][..]), (2, &["one", "two"][..])] {
        let then = i64::try_from(number)? * 10_000;
        recorded(store, ids).await?;
        let back = bounce(summary_of(store, Channel::Email, ids, number, then).await?, BounceKind::Hard);
        let counted = store.record_bounce(&back, None, at(then + 130)).await?;
        assert_eq!(counted, BounceRecorded::Suppressed, "{ids:?}");
        assert_eq!(store.record_bounce(&back, None, at(then + 131)).await?, BounceRecorded::Nothing);
        for id in ids {
            let counts = store.counts(&tenant("acme"), &alert_id(id)).await?;
            assert_eq!(counts.in_summary, [], "{id}");
            let told = entries(store, id).await?;
            let came_back = "email: the mail came back: 550 5.1.1 unknown";
            assert_eq!(told.iter().filter(|what| *what == came_back).count(), 1, "{id}: {told:?}");
        }
        let claims = store.claim_due(at(then + 421), LEASE, 100).await?;
        for id in ids {
            let claim = claims.iter().find(|claim| claim.key.alert.as_str() == *id);
            let claim = claim.ok_or_else(|| anyhow::anyhow!("{id} goes on when its next step is due"))?;
            let Escalation { progress, .. } = look(store, claim, at(then + 421)).await?;
            let (sent, told_by) = (progress.sent(), progress.told_by);
            assert_eq!((progress.step, told_by, sent, progress.stopped), (1, vec![], None, None), "{id}");
        }
        assert!(store.lift_refusal(&acme("ana"), Channel::Email, at(then + 500)).await?);
    }
    Ok(())
}

async fn a_digest_that_was_called_spam_told_of_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    recorded(store, &["one", "two"]).await?;
    let id = summary_of(store, Channel::Email, &["one", "two"], 1, 30).await?;
    store.record_bounce(&bounce(id, BounceKind::Complaint), None, at(160)).await?;
    let told = entries(store, "two").await?;
    assert!(told.contains(&"email: the mail called spam: 550 5.1.1 unknown".to_owned()), "{told:?}");
    assert_eq!(next(store, "one", 451).await?.progress.told_by, [Channel::Email]);
    Ok(())
}

async fn what_another_summary_told_stays_told(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    recorded(store, &["a"]).await?;
    summary_of(store, Channel::Push, &["a"], 1, 30).await?;
    let mail = summary_of(store, Channel::Email, &["a"], 2, 451).await?;
    store.record_bounce(&bounce(mail, BounceKind::Hard), None, at(580)).await?;
    let progress = next(store, "a", 872).await?.progress;
    assert_eq!(progress.told_by, [Channel::Push]);
    assert!(progress.sent().is_some());
    Ok(())
}

fn mailed(id: &str, written_at: Timestamp, has_begun_anew: bool) -> MailedAlert {
    MailedAlert { user: acme("ana"), alert: alert_id(id), written_at, has_begun_anew }
}

async fn a_reply_is_about_the_only_alert_that_a_mail_told_of(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    recorded(store, &["alone"]).await?;
    let alone = summary_of(store, Channel::Email, &["alone"], 1, 30).await?;
    assert_eq!(store.mailed_alert(alone).await?, Some(mailed("alone", at(150), false)));
    recorded(store, &["one", "two"]).await?;
    let several = summary_of(store, Channel::Email, &["one", "two"], 2, 200).await?;
    assert_eq!(store.mailed_alert(several).await?, None);
    assert_eq!(
        store.mailed_alert(alone).await?,
        Some(mailed("alone", at(150), false)),
        "a later mail is another"
    );
    Ok(())
}

async fn a_mail_says_nothing_of_what_began_anew_since(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    recorded(store, &["a"]).await?;
    let mail = summary_of(store, Channel::Email, &["a"], 1, 30).await?;
    let first = alert("a").to_users(["ana"]).build();
    let over = later_version(&first).resolved().build();
    let again = later_version(&over).firing().build();
    store.record(&[over], at(200)).await?;
    assert_eq!(store.mailed_alert(mail).await?, Some(mailed("a", at(150), false)), "it is over");
    store.record(&[again], at(210)).await?;
    assert_eq!(store.mailed_alert(mail).await?, Some(mailed("a", at(150), true)), "it fires again");

    recorded(store, &["b"]).await?;
    let mail = summary_of(store, Channel::Email, &["b"], 2, 300).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["b"], at(480))], at(430)).await?;
    assert_eq!(store.mailed_alert(mail).await?, Some(mailed("b", at(420), false)), "it is snoozed");
    let back = NewAlert { first_due_at: Some(at(510)), ..alert("b").to_users(["ana"]).build() };
    anyhow::ensure!(store.wake(&[back], at(480)).await?.len() == 1, "it comes back");
    assert_eq!(store.mailed_alert(mail).await?, Some(mailed("b", at(420), true)), "it came back");
    Ok(())
}

async fn a_link_says_nothing_of_what_began_anew_since(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    recorded(store, &["a"]).await?;
    let anew = async |written_at: i64| -> anyhow::Result<bool> {
        let shown = store.shown_contents(&acme("ana"), &[alert_id("a")]).await?;
        Ok(shown[&alert_id("a")].has_begun_anew_since(at(written_at)))
    };
    assert!(!anew(30).await?);
    let same = later_version(&alert("a").to_users(["ana"]).build()).build();
    store.record(std::slice::from_ref(&same), at(100)).await?;
    assert!(!anew(30).await?, "another text of the same");
    let worse = later_version(&same).critical().build();
    store.record(&[worse], at(200)).await?;
    assert!(anew(30).await?, "it is worse");
    assert!(!anew(199).await?, "by clocks that are a little apart");
    assert!(!anew(200).await?);
    Ok(())
}
