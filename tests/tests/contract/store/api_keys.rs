//! API keys: their scopes, their ends, their secrets, and when they were used.

use std::time::Duration;

use anyhow::Context as _;
use watchbell::domain::Scopes;
use watchbell::store::{KeyRights, KeyStanding, NotRotated, Rotated};
use watchbell_tests::builders::{at, tenant};

use super::fixture::StoreFixture;

on_both_engines!(
    a_key_works_until_it_is_revoked,
    a_key_from_before_there_were_scopes_keeps_what_it_could_do,
    a_rotated_key_has_two_secrets_until_the_overlap_ends,
    the_last_use_of_a_key_is_the_latest_one,
);

async fn a_key_works_until_it_is_revoked(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let acme = KeyRights { own_alerts: true, ..KeyRights::of(tenant("acme")) };
    let other = KeyRights { expires_at: Some(at(9)), ..KeyRights::of(tenant("other")) }.with(Scopes::ALL);
    store.add_api_key("aa11", &acme, "ci", at(1)).await?;
    store.add_api_key("aa22", &other, "hooks", at(2)).await?;
    store.add_api_key("aa11", &other, "the same hash again changes nothing", at(3)).await?;
    let found = store.api_key("aa11").await?.context("it was added")?;
    assert_eq!((&found.rights, found.standing(at(4))), (&acme, KeyStanding::Works));
    assert_eq!(store.api_key("aa").await?, None, "a prefix is no key");

    assert_eq!(store.revoke_api_key("", at(5)).await?, 0, "no prefix is not every key");
    assert_eq!(store.revoke_api_key("bb", at(5)).await?, 0);
    assert_eq!(store.revoke_api_key("aa1", at(5)).await?, 1);
    assert_eq!(store.revoke_api_key("aa1", at(6)).await?, 0, "it is revoked already");
    let standing = async |hash| anyhow::Ok(store.api_key(hash).await?.map(|key| key.standing(at(7))));
    assert_eq!(standing("aa11").await?, Some(KeyStanding::Revoked(at(5))));
    assert_eq!(standing("aa22").await?, Some(KeyStanding::Works));
    let keys = store.api_keys().await?;
    let brief: Vec<_> = keys.iter().map(|key| (key.name.as_str(), key.created_at, &key.rights)).collect();
    assert_eq!(brief, [("ci", at(1), &acme), ("hooks", at(2), &other)]);
    Ok(())
}

async fn a_key_from_before_there_were_scopes_keeps_what_it_could_do(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    fixture
        .execute("INSERT INTO api_keys (key_hash, tenant, name, created_at_ms) VALUES ('0123456789abcdef0123456789abcdef.', 'acme', 'ci', 1)")
        .await?;
    let key = fixture.store.api_key("0123456789abcdef0123456789abcdef.").await?.context("it is there")?;
    assert!(key.is_before_scopes);
    assert_eq!(key.rights, KeyRights::of(tenant("acme")).with(Scopes::BEFORE_SCOPES));
    assert_eq!(key.id, "0123456789abcdef0123456789abcdef", "as alerts have remembered it");
    Ok(())
}

async fn a_rotated_key_has_two_secrets_until_the_overlap_ends(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let rights = KeyRights { own_alerts: true, expires_at: Some(at(1_000)), ..KeyRights::of(tenant("acme")) };
    store.add_api_key("cc11", &rights, "ci", at(1)).await?;
    let minute = Duration::from_secs(60);
    let rotate =
        async |id, hash, expires_at| store.rotate_api_key(id, hash, minute, expires_at, at(10)).await;
    let rotated = |until| Ok(Rotated { key: "cc11".to_owned(), before_until: at(until) });
    assert_eq!(rotate("dd", "cc22", None).await?, Err(NotRotated::Unknown));
    assert_eq!(rotate("", "cc22", None).await?, Err(NotRotated::Unknown), "no prefix is not every key");
    assert_eq!(rotate("cc1", "cc22", None).await?, rotated(70));
    let key = async |hash| store.api_key(hash).await?.with_context(|| format!("{hash} is there"));
    let (old, new) = (key("cc11").await?, key("cc22").await?);
    assert_eq!((old.id.as_str(), new.id.as_str()), ("cc11", "cc11"), "what it made stays its own");
    assert_eq!((&new.rights, new.name.as_str(), new.created_at), (&rights, "ci", at(10)));
    for (secs, expected) in [(69, KeyStanding::Works), (70, KeyStanding::Replaced(at(70)))] {
        assert_eq!(old.standing(at(secs)), expected);
        assert_eq!(new.standing(at(secs)), KeyStanding::Works);
    }
    // Once more before the overlap is over, with another end.
    let later = store.rotate_api_key("cc11", "cc33", minute, Some(at(2_000)), at(50)).await?;
    assert_eq!(later, rotated(110));
    assert_eq!(key("cc11").await?.replaced_at, Some(at(70)), "no secret lives longer because of it");
    assert_eq!(key("cc22").await?.replaced_at, Some(at(110)));
    assert_eq!(key("cc33").await?.rights.expires_at, Some(at(2_000)));

    assert_eq!(store.revoke_api_key("cc11", at(60)).await?, 1, "one key, with all its secrets");
    for hash in ["cc11", "cc22", "cc33"] {
        assert_eq!(key(hash).await?.standing(at(61)), KeyStanding::Revoked(at(60)), "{hash}");
    }
    assert_eq!(rotate("cc11", "cc44", None).await?, Err(NotRotated::Over));

    // Whoever ends the key ends the secret that was lost, however long the overlap is.
    store.add_api_key("dd11", &KeyRights::of(tenant("acme")), "ci", at(1)).await?;
    let ended = store.rotate_api_key("dd11", "dd22", minute, Some(at(15)), at(10)).await?;
    assert_eq!(ended.map(|rotated| rotated.before_until), Ok(at(15)));
    assert_eq!(key("dd11").await?.standing(at(15)), KeyStanding::Replaced(at(15)));
    Ok(())
}

async fn the_last_use_of_a_key_is_the_latest_one(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    for hash in ["ee11", "ee22"] {
        store.add_api_key(hash, &KeyRights::of(tenant("acme")), "ci", at(1)).await?;
    }
    let used = |hash: &str, secs| (hash.to_owned(), at(secs));
    store.note_key_uses(&[used("ee11", 5), used("ee22", 6), used("gone", 7)]).await?;
    store.note_key_uses(&[used("ee11", 4), used("ee22", 8)]).await?;
    let last: Vec<_> = store.api_keys().await?.into_iter().map(|key| key.last_used_at).collect();
    assert_eq!(last, [Some(at(5)), Some(at(8))]);
    Ok(())
}
