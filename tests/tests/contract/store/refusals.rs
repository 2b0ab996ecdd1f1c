//! What cannot be stored is refused, with its code and alone; what is only away is waited for.
//!
//! A caller that hears `Unavailable` repeats, for ever if need be, so nothing that depends on the value may be called so.

use std::time::Duration;

use watchbell::domain::{Channel, PushService, ReceiptState};
use watchbell::store::{
    Contact, EscalationKey, KeyRights, NewAlert, Rest, Store, StoreConfig, StoreError, TOPIC_BYTES_MAX,
};
use watchbell_tests::builders::{acme, alert, alert_id, at, changed, device, event, receipt, tenant, topic};
use watchbell_tests::scratch::Scratch;

use super::fixture::{LEASE, StoreFixture, inbox};

on_both_engines!(
    what_a_constraint_refuses_is_refused_and_the_rest_of_the_store_works,
    a_due_escalation_that_cannot_be_claimed_does_not_hold_up_the_others,
    any_text_is_stored_as_given_or_refused,
    a_schema_that_is_not_there_yet_is_waited_for,
);

/// A rule that an operator might have added.
async fn what_a_constraint_refuses_is_refused_and_the_rest_of_the_store_works(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = &fixture.store;
    fixture
        .execute(fixture.dialect(
            "ALTER TABLE alerts ADD CONSTRAINT no_poison CHECK (alert_id <> 'poison')",
            "CREATE TRIGGER no_poison BEFORE INSERT ON alerts WHEN NEW.alert_id = 'poison'
             BEGIN SELECT RAISE(ABORT, 'no poison here'); END",
        ))
        .await?;
    let (good, poison) = (alert("good").to_users(["ana"]).build(), alert("poison").to_users(["ana"]).build());
    match store.record(&[good.clone(), poison], at(0)).await {
        Err(error @ StoreError::Refused { .. }) => {
            let expected = fixture.dialect("(code 23514, constraint no_poison)", "(code 1811)");
            let said = error.to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("no poison here"), "the engine's own words may repeat values: {said}");
        }
        other => panic!("{other:?}"),
    }
    assert!(inbox(store, &acme("ana")).await?.is_empty(), "nothing of the batch was recorded");
    let rows = store.record(&[good], at(0)).await?;
    assert_eq!(rows[0].seq, 1);
    Ok(())
}

async fn a_due_escalation_that_cannot_be_claimed_does_not_hold_up_the_others(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = &fixture.store;
    for id in ["first", "poison", "last"] {
        store.record(&[alert(id).to_users(["ana"]).build()], at(0)).await?;
    }
    fixture.execute(fixture.dialect(
        "ALTER TABLE escalations ADD CONSTRAINT no_poison CHECK (alert_id <> 'poison' OR claim < 1)",
        "CREATE TRIGGER no_poison BEFORE UPDATE ON escalations WHEN NEW.alert_id = 'poison' AND NEW.claim > 0
             BEGIN SELECT RAISE(ABORT, 'no poison here'); END",
    ))
    .await?;
    let claimed = async |now, limit| {
        let claims = store.claim_due(at(now), LEASE, limit).await?;
        let mut claimed: Vec<String> = claims.iter().map(|claim| claim.key.alert.to_string()).collect();
        claimed.sort_unstable();
        anyhow::Ok(claimed)
    };
    // What was tried in vain has given up its locks by then, so nobody's row is taken for one that another process holds.
    for round in 1..=20 {
        assert_eq!(claimed(round * 60, 10).await?, ["first", "last"], "all at once, round {round}");
    }
    // Their leases ended at the same moment, so either may come first.
    let mut one_by_one = claimed(1_290, 1).await?;
    assert_eq!(one_by_one.len(), 1, "no more than asked for");
    one_by_one.extend(claimed(1_291, 10).await?);
    one_by_one.sort_unstable();
    assert_eq!(one_by_one, ["first", "last"], "the rest, while the other is leased");
    assert!(claimed(1_292, 10).await?.is_empty(), "only the poison is left");
    Ok(())
}

/// One way to give the store a text: does it, and reads the text back.
type Input = (
    &'static str,
    fn(Store, String, usize) -> futures_util::future::BoxFuture<'static, Result<String, StoreError>>,
);

/// Every text field of everything the store is given, by what it may hold. Names are not among them: they are checked
/// where they are made.
async fn any_text_is_stored_as_given_or_refused(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let texts = [
        ("a NUL", "a\0b".to_owned()),
        ("only a NUL", "\0".to_owned()),
        ("an escape of half a character", r#"{"title": "\ud800"}"#.to_owned()),
        ("an escape of a NUL", r#"{"title": "\u0000"}"#.to_owned()),
        ("a backslash before a NUL", "\\\0".to_owned()),
        ("the last of the plane", "\u{ffff}".to_owned()),
        ("four bytes", "😀\u{10ffff}".to_owned()),
        ("nothing", String::new()),
        ("controls, quotes and percents", "\u{1}\u{7f}\u{85}'\"`$1 %s ; --\r\n\t".to_owned()),
        (
            "a mebibyte that does not compress",
            (0..1 << 17)
                .map(|n: u64| format!("{:08x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32))
                .collect(),
        ),
    ];
    let mut n = 0;
    for (why, text) in &texts {
        for (what, input) in INPUTS {
            n += 1;
            match input(store.clone(), text.clone(), n).await {
                Ok(kept) => assert!(kept == *text, "{what}: {why} came back as {kept:.80}"),
                Err(StoreError::Refused { .. }) => {
                    assert!(text.contains('\0') || text.len() > 4_096, "{what}: {why} was refused");
                }
                Err(error) => panic!("{what}: {why}: {error}"),
            }
        }
    }
    let rows = store.record(&[alert("still-works").to_users(["ana"]).build()], at(0)).await;
    assert!(rows.is_ok());
    Ok(())
}

fn named(n: usize) -> NewAlert {
    alert(&format!("a{n}")).to_users(["ana"]).build()
}

const INPUTS: &[Input] = &[
    ("an alert's content", |store, text, n| {
        Box::pin(async move {
            let new = NewAlert { content: text.into(), ..named(n) };
            store.record(std::slice::from_ref(&new), at(0)).await?;
            let kept = store.alert(&tenant("acme"), &new.alert.id).await?;
            Ok(kept.map(|kept| kept.content).unwrap_or_default())
        })
    }),
    ("the policy a producer named", |store, text, n| {
        Box::pin(async move {
            let new = changed(&named(n)).policy(text).build();
            store.record(std::slice::from_ref(&new), at(0)).await?;
            let kept = store.latest(&tenant("acme"), &new.alert.id).await?;
            Ok(kept.and_then(|kept| kept.policy).unwrap_or_default())
        })
    }),
    ("an alert that is left for the rest of its audience", |store, text, n| {
        Box::pin(async move {
            let rest = Rest { published: text.into(), next_page: "p".to_owned() };
            store.record(&[NewAlert { rest: Some(rest), ..named(n) }], at(0)).await?;
            let for_good = Duration::from_secs(1_000_000);
            let held = store.claim_expansion(None, at(0), for_good).await?;
            let Some(held) = held else { return Ok(String::new()) };
            Ok(store.expanded_alert(&held).await?.map(|published| published.to_string()).unwrap_or_default())
        })
    }),
    ("an address", |store, text, _| {
        Box::pin(async move {
            let contact = Contact::default().with(Channel::Email, text);
            store.put_user(&acme("ana"), &contact, at(0)).await?;
            let kept = store.contact(&acme("ana")).await?;
            let kept = kept.and_then(|contact| contact.addresses[Channel::Email].clone());
            Ok(kept.map(|email| email.expose().to_owned()).unwrap_or_default())
        })
    }),
    ("a language", |store, text, _| {
        Box::pin(async move {
            let contact = Contact { locale: Some(text), ..Contact::default() };
            store.put_user(&acme("ana"), &contact, at(0)).await?;
            Ok(store.contact(&acme("ana")).await?.and_then(|contact| contact.locale).unwrap_or_default())
        })
    }),
    ("preferences", |store, text, _| {
        Box::pin(async move {
            store.change_preferences(&acme("ana"), at(0), &move |_| text.clone()).await?;
            Ok(store.preferences(&acme("ana")).await?.unwrap_or_default())
        })
    }),
    ("a device's token", |store, text, _| {
        Box::pin(async move {
            let device = device("phone").service(PushService::Fcm).token(text).build();
            store.put_device(&acme("ana"), &device, 20).await?;
            let kept = store.devices(&acme("ana")).await?;
            Ok(kept[0].token.expose().to_owned())
        })
    }),
    ("who said a receipt", |store, text, n| {
        Box::pin(async move {
            let new = named(n);
            store.record(std::slice::from_ref(&new), at(0)).await?;
            let seen = receipt(&acme("ana"), [new.alert.id.as_str()], ReceiptState::Seen);
            let seen = watchbell::domain::Receipt { by: text.clone(), ..seen };
            store.apply_receipts(&[seen], at(1)).await?;
            Ok(text) // Nothing reads it but `explain`, as part of a line.
        })
    }),
    ("why an escalation is set aside", |store, text, n| {
        Box::pin(async move {
            let new = named(n);
            store.record(std::slice::from_ref(&new), at(0)).await?;
            let key = EscalationKey { user: acme("ana"), alert: new.alert.id.clone() };
            store.rest_escalation(&key, 0, &text, at(1)).await?;
            Ok(text) // A note is kept without its NULs.
        })
    }),
    ("an event's content", |store, text, n| {
        Box::pin(async move {
            let key = topic(&format!("t{n}"));
            let new = event(&key, "e").content(text).build();
            store.record_events(&[new], at(0)).await?;
            Ok(store.topic_events(&key, 1, TOPIC_BYTES_MAX).await?[0].to_string())
        })
    }),
    ("what an API key is for", |store, text, n| {
        Box::pin(async move {
            let hash = format!("hash-{n}");
            store.add_api_key(&hash, &KeyRights::of(tenant("acme")), &text, at(0)).await?;
            let kept = store.api_keys().await?.into_iter().find(|key| key.hash == hash);
            Ok(kept.map(|key| key.name).unwrap_or_default())
        })
    }),
    ("the hash of an API key", |store, text, n| {
        Box::pin(async move {
            let hash = format!("{text}{n}");
            store.add_api_key(&hash, &KeyRights::of(tenant("acme")), "ci", at(0)).await?;
            assert!(store.api_key(&hash).await?.is_some());
            Ok(text)
        })
    }),
    ("a pod", |store, text, n| {
        Box::pin(async move {
            let pod = format!("{text}{n}");
            store.renew_pod(&pod, at(0), LEASE).await?;
            store.arrive(&pod, &[acme("ana")], at(0)).await?;
            store.leave(&pod, &[acme("ana")], at(1)).await?;
            Ok(text)
        })
    }),
];

/// A worker that starts before `watchbell migrate` has run gives nothing up.
async fn a_schema_that_is_not_there_yet_is_waited_for(fixture: &StoreFixture) -> anyhow::Result<()> {
    fixture.execute("ALTER TABLE alerts RENAME TO alerts_of_old").await?;
    let refused = fixture.store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    fixture.execute("ALTER TABLE alerts_of_old RENAME TO alerts").await?;
    fixture.store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    assert!(fixture.store.alert(&tenant("acme"), &alert_id("a")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_opened_is_unavailable() -> anyhow::Result<()> {
    let dir = Scratch::new("store-gone")?;
    let url = Store::sqlite_url(&dir.path().join("no/such/folder/store.db"));
    let store = Store::open(&StoreConfig { url, connections_max: 1 })?;
    let refused = store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    Ok(())
}
