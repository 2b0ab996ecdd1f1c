//! One id and version is one text (I2): repeated it is harmless, and another text under the same name reaches nobody.

use watchbell::domain::publication::{Known, Meets, VersionFingerprints};
use watchbell::store::{NewAlert, Store, TimelineEntry};
use watchbell_tests::builders::{
    AlertBuilder, Recording, acme, alert, alert_id, at, changed, later_version, tenant, user,
};

use super::fixture::StoreFixture;

on_both_engines!(
    a_publication_meets_what_is_recorded,
    what_is_in_one_batch_meets_as_in_several,
    what_was_recorded_before_fingerprints_is_compared_by_its_content,
    a_version_that_comes_too_late_is_told_once_in_the_timeline,
    a_redelivered_version_that_comes_too_late_is_not_told,
    a_version_that_the_store_was_not_sent_is_known_too,
    an_older_version_that_nobody_knows_reaches_nobody,
    what_only_a_key_of_its_own_made_is_changed_by_it_alone,
);

/// `title` of alert `otp`, version `version`, to these people, to be compared with what is recorded.
fn unfinished_otp(version: u32, title: &str, to: &[&str]) -> AlertBuilder<Recording> {
    alert("otp").version(version).title(title).to_users(to).content_on_the_wire().published()
}

fn otp(version: u32, title: &str, to: &[&str]) -> NewAlert {
    unfinished_otp(version, title, to).build()
}

/// The same, published by a key: one of its own alerts, or one that may change any.
fn otp_by(key: &str, own_alerts: bool, version: u32, title: &str, to: &[&str]) -> NewAlert {
    unfinished_otp(version, title, to).published_by(key, own_alerts).build()
}

/// The titles in a person's inbox.
async fn shown(store: &Store, name: &str) -> anyhow::Result<Vec<String>> {
    let title = |content: &str| -> Option<String> {
        Some(serde_json::from_str::<serde_json::Value>(content).ok()?["title"].as_str()?.to_owned())
    };
    let rows = store.changes_after(&acme(name), 0, 100).await?.rows;
    Ok(rows.iter().filter_map(|row| title(&row.content)).collect())
}

fn steps() -> Vec<(&'static str, NewAlert, Meets)> {
    let undated = unfinished_otp(1, "ana's code", &["ana"]).undated(at(77)).build();
    vec![
        ("the last word before anybody spoke", otp(u32::MAX, "eve's code", &["eve"]), Meets::TooFarAhead),
        ("the first", otp(1, "ana's code", &["ana"]), Meets::Nothing),
        ("again", otp(1, "ana's code", &["ana"]), Meets::Same),
        ("again, with the time of its arrival", undated, Meets::Same),
        ("to somebody else as well", otp(1, "ana's code", &["ben"]), Meets::Same),
        ("another text, to somebody else", otp(1, "eve's code", &["eve"]), Meets::Conflict),
        ("a later version", otp(2, "used", &["ana"]), Meets::Earlier),
        ("the last word on it", otp(u32::MAX, "eve's code", &["eve"]), Meets::TooFarAhead),
        ("too late, as it was", otp(1, "ana's code", &["cem"]), Meets::Later),
        ("too late, and never said", otp(1, "eve's code", &["eve"]), Meets::Conflict),
        ("another text of the later version", otp(2, "expired", &["eve"]), Meets::Conflict),
    ]
}

async fn judge(store: &Store) -> anyhow::Result<()> {
    assert_eq!(shown(store, "ana").await?, ["used"]);
    assert_eq!(shown(store, "ben").await?, ["used"], "an alert says the same to all who hold it");
    assert_eq!(shown(store, "cem").await?, ["used"], "what is too late is shown as what is so by now");
    assert_eq!(shown(store, "eve").await?, Vec::<String>::new(), "nobody is shown another's text");
    Ok(())
}

/// Eve was shown ana's one-time code: her own producer had used the same id.
async fn a_publication_meets_what_is_recorded(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for (why, new, expected) in steps() {
        let recorded = store.record_batch(&[new], at(1)).await?;
        assert_eq!(recorded.met, [expected], "{why}");
        assert_eq!(recorded.rows.is_empty(), expected.is_refused(), "{why}");
    }
    judge(store).await
}

async fn what_is_in_one_batch_meets_as_in_several(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (batch, expected): (Vec<_>, Vec<_>) = steps().into_iter().map(|(_, new, met)| (new, met)).unzip();
    let recorded = store.record_batch(&batch, at(1)).await?;
    assert_eq!(recorded.met, expected);
    judge(store).await?;
    // The broker delivers all of it again after a crash: nothing contradicts itself.
    let again = store.record_batch(&batch, at(2)).await?;
    for ((one, before), new) in again.met.iter().zip(expected).zip(&batch) {
        assert_eq!(one.is_refused(), before.is_refused(), "{}", new.content);
    }
    judge(store).await
}

async fn what_was_recorded_before_fingerprints_is_compared_by_its_content(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = &fixture.store;
    let first = unfinished_otp(1, "ana's code", &["ana"]).policy("critical").build();
    let own = changed(&first).content_on_the_wire().published_by("k1", true).build();
    store.record(std::slice::from_ref(&first), at(0)).await?;
    fixture.execute("UPDATE alerts SET said = NULL, maker = NULL").await?;
    for (why, new, expected) in [
        ("the same", first.clone(), Meets::Same),
        ("another policy", otp(1, "ana's code", &["ana"]), Meets::Conflict),
        ("another text", otp(1, "eve's code", &["eve"]), Meets::Conflict),
        ("somebody's own", own, Meets::NotItsOwn),
        ("later", otp(2, "used", &[]), Meets::Earlier),
        ("too late, as it was", first, Meets::Later),
    ] {
        let known = store.known_alerts(&tenant("acme"), &[alert_id("otp")]).await?;
        assert!(
            known[&alert_id("otp")].said != VersionFingerprints::default(),
            "{why}: it is known what it says"
        );
        assert_eq!(store.record_batch(&[new], at(1)).await?.met, [expected], "{why}");
    }
    Ok(())
}

async fn a_version_that_comes_too_late_is_told_once_in_the_timeline(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let late = otp(1, "ana's code", &["ana", "ben"]);
    store.record(&[otp(1, "ana's code", &["ana"]), otp(3, "used", &["ana"])], at(0)).await?;
    for secs in 1..4 {
        let recorded = store.record_batch(std::slice::from_ref(&late), at(secs)).await?;
        assert_eq!(recorded.met, [Meets::Later]);
    }
    for who in ["ana", "ben"] {
        let told = store.timeline(&tenant("acme"), &alert_id("otp"), Some(&user(who)), 1).await?;
        let notes: Vec<_> =
            told[0].entries.iter().filter(|entry| entry.what.contains("came after")).collect();
        assert_eq!(notes.len(), 1, "{who}: however often it comes");
        assert_eq!(notes[0].what, "version 1 came after version 3, which is shown");
        assert_eq!(notes[0].at, at(1));
    }
    Ok(())
}

async fn a_redelivered_version_that_comes_too_late_is_not_told(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[otp(1, "ana's code", &["ana"]), otp(3, "used", &["ana"])], at(0)).await?;
    let mut redelivered = otp(1, "ana's code", &["cem"]);
    redelivered.publication.as_mut().unwrap().is_redelivered = true;
    assert_eq!(store.record_batch(&[redelivered], at(4)).await?.met, [Meets::Later]);
    let told = store.timeline(&tenant("acme"), &alert_id("otp"), Some(&user("cem")), 1).await?;
    let is_late = |entry: &TimelineEntry| entry.what.contains("came after");
    assert!(!told[0].entries.iter().any(is_late), "one that was delivered before may have been in time");
    let known = store.known_alerts(&tenant("acme"), &[alert_id("otp"), alert_id("other")]).await?;
    assert_eq!(known.len(), 1);
    assert_eq!(store.record_batch(&[otp(1, "eve's code", &["eve"])], at(5)).await?.met, [Meets::Conflict]);
    Ok(())
}

/// What fires again by itself is a version that nobody published; another text under its number is a contradiction all the same.
async fn a_version_that_the_store_was_not_sent_is_known_too(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[otp(1, "ana's code", &["ana"])], at(0)).await?;
    let returned = NewAlert { publication: None, returns: true, ..otp(2, "ana's code", &["ana"]) };
    store.record(&[returned], at(1)).await?;
    let met = store.record_batch(&[otp(2, "eve's text", &["eve"])], at(2)).await?.met;
    assert_eq!(met, [Meets::Conflict]);
    assert_eq!(shown(store, "eve").await?, Vec::<String>::new(), "nobody is shown another's text");
    assert_eq!(store.record_batch(&[otp(2, "ana's code", &["ben"])], at(3)).await?.met, [Meets::Same]);
    Ok(())
}

/// Eve was shown ana's text: the version of her own producer was below that of ana's, and had never been recorded.
async fn an_older_version_that_nobody_knows_reaches_nobody(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.record(&[otp(2, "ana's code", &["ana"])], at(0)).await?;
    let strangers = otp(1, "eve's text", &["ana", "eve"]);
    let mut redelivered = strangers.clone();
    redelivered.publication.as_mut().unwrap().is_redelivered = true;
    for (why, new) in [("once", &strangers), ("again", &strangers), ("redelivered", &redelivered)] {
        let recorded = store.record_batch(std::slice::from_ref(new), at(1)).await?;
        assert_eq!((recorded.met, recorded.rows), (vec![Meets::Stale], Vec::new()), "{why}");
    }
    assert_eq!(shown(store, "eve").await?, Vec::<String>::new(), "nobody is shown another's text");
    assert_eq!(shown(store, "ana").await?, ["ana's code"]);
    let told = store.timeline(&tenant("acme"), &alert_id("otp"), None, 10).await?;
    let notes = |at: usize| told[at].entries.iter().filter(|entry| entry.what.contains("came after"));
    assert_eq!(told.len(), 1, "only ana holds it");
    assert_eq!(notes(0).count(), 1, "and reads of it once");
    // Its producer can say what is so by now to those people.
    let newest = store.record_batch(&[otp(2, "ana's code", &["eve"])], at(2)).await?;
    assert_eq!(newest.met, [Meets::Same]);
    assert_eq!(shown(store, "eve").await?, ["ana's code"]);
    Ok(())
}

async fn what_only_a_key_of_its_own_made_is_changed_by_it_alone(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = otp_by("k1", true, 1, "mine", &["ana"]);
    let later = later_version(&first).resolved().published_by("k2", true).build();
    for (why, new, expected) in [
        ("it makes one", first.clone(), Meets::Nothing),
        ("another's own key", later, Meets::NotItsOwn),
        ("another's own key, to more people", otp_by("k2", true, 1, "mine", &["eve"]), Meets::NotItsOwn),
        ("a key that may change any", otp_by("k3", false, 2, "theirs", &[]), Meets::Earlier),
        ("its maker still", otp_by("k1", true, 3, "mine", &[]), Meets::Earlier),
        ("over AMQP there is no key", otp(4, "anybody's", &[]), Meets::Earlier),
    ] {
        assert_eq!(store.record_batch(&[new], at(1)).await?.met, [expected], "{why}");
    }
    let known = store.known_alerts(&tenant("acme"), &[alert_id("otp")]).await?;
    let Known { version, maker, .. } = &known[&alert_id("otp")];
    assert_eq!((*version, maker.as_deref()), (4, Some("k1")));
    Ok(())
}

/// The statements of migration 11 over what an earlier version left.
mod migration {
    use std::collections::BTreeSet;

    use super::super::fixture::StoreFixture;

    const MIGRATION: &str = include_str!("../../../../src/store/migrations/0011_same_and_other.sql");

    async fn whom_it_leaves_out(fixture: &StoreFixture) -> anyhow::Result<()> {
        // As it was before: without what the migration adds.
        fixture.execute(
            "DROP INDEX users_everyone; ALTER TABLE users DROP COLUMN named_only; ALTER TABLE alerts DROP COLUMN said;
             ALTER TABLE alerts DROP COLUMN maker; ALTER TABLE api_keys DROP COLUMN own_alerts",
        )
        .await?;
        let user = |name: &str, more: &str| {
            let (columns, values) =
                more.split_once('=').map_or((String::new(), String::new()), |(column, value)| {
                    (format!(", {column}"), format!(", {value}"))
                });
            format!(
                "INSERT INTO users (tenant, user_id, seq, unread, created_at_ms{columns}) VALUES ('acme', '{name}', 1, 1, 5{values})"
            )
        };
        let row = |name: &str, recorded: i64, seen: &str| {
            format!(
                "INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms, seen_at_ms)
                 VALUES ('acme', '{name}', 'a', 1, 1, 'new', 'info', 'firing', {recorded}, {seen})"
            )
        };
        let mut all = vec![
            user("typo", ""),
            row("typo", 5, "NULL"),
            user("mailed", "email='m@example.com'"),
            row("mailed", 5, "NULL"),
            user("reader", ""),
            row("reader", 5, "9"),
            user("registered", ""),
            row("registered", 6, "NULL"),
            user("member", ""),
            row("member", 5, "NULL"),
            user("phone", ""),
            row("phone", 5, "NULL"),
        ];
        for name in ["member", "unseen-member"] {
            all.push(format!(
                "INSERT INTO group_members (tenant, group_id, user_id) VALUES ('acme', 'ops', '{name}')"
            ));
        }
        all.push(
            "INSERT INTO devices (tenant, user_id, device_id, service, environment, token, token_hash, registered_at_ms)
             VALUES ('acme', 'phone', 'd', 'fcm', 'production', 't', 'h', 1)"
                .to_owned(),
        );
        fixture.execute(all.join(";\n")).await?;
        fixture.execute(MIGRATION).await?;
        let everyone = fixture.store.everyone_after(&super::tenant("acme"), None, 100).await?;
        let names: BTreeSet<&str> = everyone.iter().map(|user| user.as_str()).collect();
        let expected = ["mailed", "member", "phone", "reader", "registered", "unseen-member"];
        assert_eq!(names, BTreeSet::from(expected));
        Ok(())
    }

    on_both_engines!(whom_it_leaves_out);
}
