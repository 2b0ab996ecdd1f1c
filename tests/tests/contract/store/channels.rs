//! Channels are rows: what was kept in a column for each of them is kept by channel, and nothing of it is lost.

use sqlx::Row as _;
use watchbell::domain::{AttemptId, AttemptState, Channel, Secret};
use watchbell::store::{Act, Ask, Contact, Decision, Escalation, Holder, Stepped, Store};
use watchbell_tests::builders::{acme, alert, alert_id, answer, at, attempt, tenant, user};

use super::fixture::{LEASE, StoreFixture, ask};
use super::timers::look;

on_both_engines!(
    what_a_summary_told_of_survives_the_migration,
    no_address_and_no_refusal_is_lost_by_the_migration,
    pods_of_the_version_before_write_addresses_that_count,
    an_attempt_keeps_what_its_provider_calls_it,
);

/// The migration that made channels rows.
const CHANNELS: i64 = 14;

async fn what_a_summary_told_of_survives_the_migration(fixture: &StoreFixture) -> anyhow::Result<()> {
    let older = fixture.before(CHANNELS).await?;
    let due = at(0).as_millisecond();
    for (alert, push, email) in [("pushed", 3, 0), ("mailed", 0, 4), ("both", 3, 4), ("neither", 0, 0)] {
        older
            .execute(format!(
                "INSERT INTO alerts (tenant, alert_id, version, content, recorded_at_ms) VALUES ('acme', '{alert}', 1, '{{}}', 0);
                 INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms)
                     VALUES ('acme', 'ana', '{alert}', 1, 1, 'new', 'info', 'firing', 0);
                 INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms,
                     leased_until_ms, claim, fence, opened_at_ms, expires_at_ms, pushed, told_push, told_email)
                     VALUES ('acme', 'ana', '{alert}', 1, 'default', 1, {due}, {due}, 0, 0, 0, 0, 9000000000000, 0, {push}, {email})"
            ))
            .await?;
    }
    older.store.migrate().await?;
    for claim in older.store.claim_due(at(1), LEASE, 10).await? {
        let escalation = look(&older.store, &claim, at(1)).await?;
        let expected: &[Channel] = match claim.key.alert.as_str() {
            "pushed" => &[Channel::Push],
            "mailed" => &[Channel::Email],
            "both" => &[Channel::Push, Channel::Email],
            _ => &[],
        };
        assert_eq!(escalation.progress.told_by, expected, "{}", claim.key.alert);
    }
    let mut told = Vec::new();
    for alert in ["both", "neither"] {
        told.push(older.store.counts(&tenant("acme"), &alert_id(alert)).await?.in_summary);
    }
    // The same round told of another by each of them.
    assert_eq!(told, [vec![(Channel::Email, 1), (Channel::Push, 1)], vec![]]);
    Ok(())
}

/// Where an escalation of this person that is due then would write to, by email.
async fn mailbox(store: &Store, name: &str, secs: i64) -> anyhow::Result<Option<Secret>> {
    let id = format!("for-{name}-{secs}");
    store.record(&[alert(&id).to_users([name]).build()], at(0)).await?;
    let claims = store.claim_due(at(secs), LEASE, 100).await?;
    let claim = claims.iter().find(|claim| claim.key.alert.as_str() == id);
    let claim = claim.ok_or_else(|| anyhow::anyhow!("{id} is due"))?;
    Ok(look(store, claim, at(secs)).await?.addresses[Channel::Email].clone())
}

async fn no_address_and_no_refusal_is_lost_by_the_migration(fixture: &StoreFixture) -> anyhow::Result<()> {
    let older = fixture.before(CHANNELS).await?;
    older
        .execute(
            "INSERT INTO users (tenant, user_id, seq, unread, email, email_refused_at_ms, locale, created_at_ms) VALUES
                 ('acme', 'ana', 0, 0, 'ana@example.com', NULL, 'pl', 7),
                 ('acme', 'ben', 0, 0, 'ben@example.com', 9, NULL, 7),
                 ('acme', 'cem', 0, 0, NULL, NULL, NULL, 7)",
        )
        .await?;
    older.store.migrate().await?;
    for (name, kept, used) in [
        ("ana", Some("ana@example.com"), Some("ana@example.com")),
        ("ben", Some("ben@example.com"), None),
        ("cem", None, None),
    ] {
        let contact = older.store.contact(&acme(name)).await?.ok_or_else(|| anyhow::anyhow!("{name}"))?;
        assert_eq!(contact.addresses[Channel::Email], kept.map(Secret::from), "{name}");
        assert_eq!(mailbox(&older.store, name, 30).await?, used.map(Secret::from), "{name}");
    }
    let mut connection = older.connection().await?;
    let rows = "SELECT user_id, address, refused_at_ms, registered_at_ms FROM addresses ORDER BY user_id";
    let rows = sqlx::query(rows).fetch_all(&mut connection).await?;
    let rows: Vec<(String, String, Option<i64>, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let row = |name: &str, refused| (name.to_owned(), format!("{name}@example.com"), refused, 7);
    assert_eq!(rows, [row("ana", None), row("ben", Some(9))]);
    Ok(())
}

/// What the version before runs while the new one is rolled out.
async fn pods_of_the_version_before_write_addresses_that_count(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = &fixture.store;
    store.put_user(&acme("ana"), &Contact::default().with(Channel::Email, "old@example.com"), at(0)).await?;
    let column = |set: &str| format!("UPDATE users SET {set} WHERE tenant = 'acme' AND user_id = 'ana'");
    let mut connection = fixture.connection().await?;
    let read = "SELECT email FROM users WHERE user_id = 'ana'";
    let read: Option<String> = sqlx::query(read).fetch_one(&mut connection).await?.get(0);
    assert_eq!(read.as_deref(), Some("old@example.com"), "an older pod finds what this one was given");

    fixture.execute(column("email = 'new@example.com', email_refused_at_ms = NULL")).await?;
    assert_eq!(mailbox(store, "ana", 200).await?, Some("new@example.com".into()), "it was given another one");
    fixture.execute(column("email_refused_at_ms = 5")).await?;
    assert_eq!(mailbox(store, "ana", 300).await?, None, "it heard of a refusal");
    store
        .put_user(&acme("ana"), &Contact::default().with(Channel::Email, "third@example.com"), at(1))
        .await?;
    assert_eq!(mailbox(store, "ana", 400).await?, Some("third@example.com".into()));
    let third = "third@example.com".into();
    assert!(store.suppress_address(&acme("ana"), Channel::Email, &third, "550 5.1.1", at(2)).await?);
    let refused = "SELECT email_refused_at_ms FROM users WHERE user_id = 'ana'";
    let refused: Option<i64> = sqlx::query(refused).fetch_one(&mut connection).await?.get(0);
    assert_eq!(refused, Some(at(2).as_millisecond()), "an older pod leaves it alone as well");
    fixture.execute(column("email = NULL")).await?;
    assert_eq!(mailbox(store, "ana", 500).await?, None, "it was told that there is none");
    Ok(())
}

async fn an_attempt_keeps_what_its_provider_calls_it(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    let claim = store.claim_due(at(30), LEASE, 1).await?.remove(0);
    let id = AttemptId::from_u128(1);
    let attempt = attempt(id, Channel::Email).build();
    let call = Decision::new(0, at(30), Act::Attempt(vec![attempt]));
    let rest = Decision::new(0, at(32), Act::Rest(at(32)));
    let called = store.step(&ask(&claim, at(30), &|_| call.clone()), LEASE).await?;
    let Stepped::Call { fence, .. } = called else { anyhow::bail!("it is called") };
    let answers = [answer(id, AttemptState::Accepted).message_id("m-1").build()];
    let decide = |_: &Escalation| rest.clone();
    let holder = Holder::Fence(fence);
    let ask = Ask { key: &claim.key, holder, answers: &answers, now: at(31), decide: &decide };
    store.step(&ask, LEASE).await?;

    let claim = store.claim_due(at(32), LEASE, 1).await?.remove(0);
    let escalation = look(store, &claim, at(32)).await?;
    assert_eq!(escalation.progress.attempts[0].message_id.as_deref(), Some("m-1"));
    let told = store.timeline(&tenant("acme"), &alert_id("a"), Some(&user("ana")), 1).await?.remove(0);
    let accepted = "email alert: accepted by the provider: m-1";
    assert!(told.entries.iter().any(|entry| entry.what == accepted), "{:?}", told.entries);
    Ok(())
}
