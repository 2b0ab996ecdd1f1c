//! Mails that come back: each counts once, and says something of the address it was sent to and of no other one (I7).

use std::time::Duration;

use watchbell::domain::{
    AttemptId, AttemptState, BounceKind, Channel, Secret,
    audit::Actor,
    bounce::{Bounce, SOFT_BOUNCES_MAX},
    email::address_digest,
    obstacles::AddressState,
};
use watchbell::store::{
    Act, Ask, AuditQuery, BounceRecorded, Contact, Decision, Escalation, Holder, MailedAlert, Stepped, Store,
};
use watchbell_tests::builders::{acme, alert, alert_id, answer, at, attempt, tenant, user};

use super::fixture::{LEASE, StoreFixture, ask};

on_both_engines!(
    a_mailbox_that_is_not_there_gets_no_more_mail,
    a_mail_that_came_back_was_not_delivered,
    a_graver_report_of_the_same_mail_counts,
    passing_reasons_end_an_address_after_a_while,
    what_is_about_us_or_about_another_address_ends_nothing,
    a_complaint_ends_an_address_and_the_mail_stays_delivered,
    a_refusal_is_lifted_by_an_operator,
    whoever_told_of_it_is_in_the_audit_log,
    a_mail_is_known_by_its_attempt,
    an_address_in_small_letters_is_the_same,
);

const ADDRESS: &str = "ana@example.com";

/// Ana with this address, and a mail to her that a relay took.
async fn mailed(store: &Store, number: u128) -> anyhow::Result<AttemptId> {
    let id = format!("a{number}");
    store.record(&[alert(&id).to_users(["ana"]).build()], at(0)).await?;
    let claims = store.claim_due(at(30), LEASE, 10).await?;
    let claim = claims.iter().find(|claim| claim.key.alert.as_str() == id);
    let claim = claim.ok_or_else(|| anyhow::anyhow!("{id} is due"))?;
    let attempt_id = AttemptId::from_u128(number);
    let call = Decision::new(0, at(30), Act::Attempt(vec![attempt(attempt_id, Channel::Email).build()]));
    let called = store.step(&ask(claim, at(30), &|_| call.clone()), LEASE).await?;
    let Stepped::Call { fence, .. } = called else { anyhow::bail!("it is called") };
    let answers = [answer(attempt_id, AttemptState::Accepted).build()];
    let rest = Decision::new(0, at(1_000_000), Act::Rest(at(1_000_000)));
    let decide = |_: &Escalation| rest.clone();
    let holder = Holder::Fence(fence);
    store
        .step(&Ask { key: &claim.key, holder, answers: &answers, now: at(31), decide: &decide }, LEASE)
        .await?;
    Ok(attempt_id)
}

async fn with_address(store: &Store, address: &str) -> anyhow::Result<()> {
    Ok(store.put_user(&acme("ana"), &Contact::default().with(Channel::Email, address), at(0)).await?)
}

fn bounce(attempt: AttemptId, kind: BounceKind) -> Bounce {
    let address_digest = address_digest(&Secret::from(ADDRESS));
    Bounce { attempt, address_digest, kind, reason: "550 5.1.1 unknown".to_owned() }
}

/// Whether mail is sent to ana, and why not.
async fn mailbox(store: &Store) -> anyhow::Result<(AddressState, Option<String>)> {
    let found = store.reachability(&acme("ana"), at(50)).await?.reachability;
    Ok((found.addresses[Channel::Email], found.refused_because[Channel::Email].clone()))
}

async fn a_graver_report_of_the_same_mail_counts(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    use BounceKind::{Complaint, Hard, Policy, Soft};
    use BounceRecorded::{Counted, Nothing, Suppressed};
    for (number, said) in [
        &[
            (Soft, Counted),
            (Soft, Nothing),
            (Policy, Nothing),
            (Hard, Suppressed),
            (Hard, Nothing),
            (Soft, Nothing),
        ][..],
        &[(Policy, Counted), (Hard, Suppressed), (Complaint, Counted), (Complaint, Nothing), (Hard, Nothing)],
        &[(Soft, Counted), (Complaint, Suppressed), (Hard, Nothing)],
    ]
    .into_iter()
    .enumerate()
    {
        // Another address in between, so that this one is not refused any more.
        with_address(store, &format!("someone-{number}@example.com")).await?;
        with_address(store, ADDRESS).await?;
        let mail = mailed(store, number as u128 + 1).await?;
        for (nth, (kind, expected)) in said.iter().enumerate() {
            let recorded = store.record_bounce(&bounce(mail, *kind), None, at(60)).await?;
            assert_eq!(recorded, *expected, "{number}: report {nth}, {kind:?}");
        }
        assert_eq!(mailbox(store).await?.0, AddressState::Refused, "{number}");
    }
    Ok(())
}

async fn a_mailbox_that_is_not_there_gets_no_more_mail(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let back = bounce(mailed(store, 1).await?, BounceKind::Hard);
    assert_eq!(store.record_bounce(&back, None, at(60)).await?, BounceRecorded::Suppressed);
    let because = Some("came back: 550 5.1.1 unknown".to_owned());
    assert_eq!(mailbox(store).await?, (AddressState::Refused, because));
    assert_eq!(store.record_bounce(&back, None, at(61)).await?, BounceRecorded::Nothing, "said again");
    with_address(store, ADDRESS).await?;
    assert_eq!(mailbox(store).await?.0, AddressState::Refused, "the same address says nothing new");
    with_address(store, "other@example.com").await?;
    assert_eq!(mailbox(store).await?, (AddressState::Usable, None));
    let of_another = bounce(mailed(store, 2).await?, BounceKind::Hard);
    let zeta = tenant("zeta");
    let told_by_another = store.record_bounce(&of_another, Some(&zeta), at(61)).await?;
    assert_eq!(told_by_another, BounceRecorded::Nothing, "another tenant's mail account");
    let unknown = bounce(AttemptId::from_u128(99), BounceKind::Hard);
    assert_eq!(store.record_bounce(&unknown, None, at(62)).await?, BounceRecorded::Nothing);
    Ok(())
}

/// Providers change the letters of the addresses that they tell of.
async fn an_address_in_small_letters_is_the_same(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, "Ana@example.com").await?;
    let of_another = Bounce {
        address_digest: address_digest(&Secret::from("anna@example.com")),
        ..bounce(mailed(store, 1).await?, BounceKind::Hard)
    };
    assert_eq!(store.record_bounce(&of_another, None, at(60)).await?, BounceRecorded::Counted);
    let in_small_letters = bounce(mailed(store, 2).await?, BounceKind::Hard);
    assert_eq!(store.record_bounce(&in_small_letters, None, at(61)).await?, BounceRecorded::Suppressed);
    Ok(())
}

async fn whoever_told_of_it_is_in_the_audit_log(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let provider = store.by(Actor::Key("mail".into()));
    let passing = bounce(mailed(store, 1).await?, BounceKind::Soft);
    provider.record_bounce(&passing, None, at(60)).await?;
    let entries = async || store.audit_entries(&AuditQuery { limit: 10, ..AuditQuery::default() }).await;
    assert_eq!(entries().await?, [], "the address goes on");
    let spam = bounce(mailed(store, 2).await?, BounceKind::Complaint);
    for _ in 0..2 {
        provider.record_bounce(&spam, None, at(61)).await?;
    }
    let told: Vec<[String; 4]> = entries()
        .await?
        .into_iter()
        .map(|entry| [entry.actor, entry.action, entry.object, entry.outcome])
        .collect();
    assert_eq!(
        told,
        [["key:mail", "user.address_refused", "user:ana", "a mail was called spam"].map(str::to_owned)]
    );
    Ok(())
}

async fn a_mail_that_came_back_was_not_delivered(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let id = mailed(store, 1).await?;
    store.record_bounce(&bounce(id, BounceKind::Policy), None, at(60)).await?;
    let (acme, ana) = (tenant("acme"), user("ana"));
    let counts = store.counts(&acme, &alert_id("a1")).await?;
    assert_eq!(counts.attempts, [(Channel::Email, AttemptState::Failed, 1)]);
    let timeline = store.timeline(&acme, &alert_id("a1"), Some(&ana), 10).await?;
    let told = format!("{timeline:?}");
    assert!(told.contains("came back: 550 5.1.1 unknown"), "{told}");
    Ok(())
}

async fn passing_reasons_end_an_address_after_a_while(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    for number in 1..=u128::from(SOFT_BOUNCES_MAX) {
        assert_eq!(mailbox(store).await?.0, AddressState::Usable, "before the mail {number}");
        let back = bounce(mailed(store, number).await?, BounceKind::Soft);
        store.record_bounce(&back, None, at(60) + Duration::from_secs(3600) * u32::try_from(number)?).await?;
    }
    assert_eq!(mailbox(store).await?.0, AddressState::Refused);
    Ok(())
}

async fn what_is_about_us_or_about_another_address_ends_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let about_us = bounce(mailed(store, 1).await?, BounceKind::Policy);
    assert_eq!(store.record_bounce(&about_us, None, at(60)).await?, BounceRecorded::Counted);
    let late = bounce(mailed(store, 2).await?, BounceKind::Hard);
    with_address(store, "other@example.com").await?;
    assert_eq!(
        store.record_bounce(&late, None, at(61)).await?,
        BounceRecorded::Counted,
        "she has another one by now"
    );
    assert_eq!(mailbox(store).await?, (AddressState::Usable, None));
    Ok(())
}

async fn a_complaint_ends_an_address_and_the_mail_stays_delivered(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let id = mailed(store, 1).await?;
    assert_eq!(
        store.record_bounce(&bounce(id, BounceKind::Complaint), None, at(60)).await?,
        BounceRecorded::Suppressed
    );
    assert_eq!(mailbox(store).await?.1.as_deref(), Some("called spam: 550 5.1.1 unknown"));
    let counts = store.counts(&tenant("acme"), &alert_id("a1")).await?;
    assert_eq!(counts.attempts, [(Channel::Email, AttemptState::Accepted, 1)]);
    Ok(())
}

async fn a_refusal_is_lifted_by_an_operator(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    assert!(!store.lift_refusal(&acme("ana"), Channel::Email, at(1)).await?, "there is none");
    let back = bounce(mailed(store, 1).await?, BounceKind::Hard);
    store.record_bounce(&back, None, at(60)).await?;
    assert!(store.lift_refusal(&acme("ana"), Channel::Email, at(61)).await?);
    assert_eq!(mailbox(store).await?, (AddressState::Usable, None));
    let again = bounce(mailed(store, 2).await?, BounceKind::Hard);
    assert_eq!(
        store.record_bounce(&again, None, at(70)).await?,
        BounceRecorded::Suppressed,
        "it is refused anew"
    );
    Ok(())
}

async fn a_mail_is_known_by_its_attempt(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    with_address(store, ADDRESS).await?;
    let known = store.mailed_alert(mailed(store, 1).await?).await?;
    let (user, alert) = (acme("ana"), alert_id("a1"));
    let expected = MailedAlert { user, alert, written_at: at(30), has_begun_anew: false };
    assert_eq!(known, Some(expected));
    assert_eq!(store.mailed_alert(AttemptId::from_u128(99)).await?, None);
    Ok(())
}
