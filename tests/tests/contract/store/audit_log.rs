//! The audit log: who changed what, written in the commit of the change.

use std::time::Duration;

use watchbell::domain::{
    GroupId, Tenant,
    audit::{Actor, AuditAction},
};
use watchbell::store::{AUDIT_DELETED_MAX, AuditEntry, AuditQuery, AuditedChange, Contact, KeyRights, Store};
use watchbell_tests::builders::{acme, at, tenant, user, users};

use super::fixture::StoreFixture;

on_both_engines!(
    each_change_leaves_its_entry_in_its_commit,
    a_change_that_is_not_made_leaves_no_entry,
    the_log_is_read_page_by_page_and_by_tenant,
    an_erased_person_is_not_named_in_the_log,
    old_entries_go_in_bounded_steps_whoever_they_are_of,
);

/// Everything in the log, the oldest first.
async fn log(store: &Store) -> anyhow::Result<Vec<String>> {
    let entries = store.audit_entries(&AuditQuery { limit: 100, ..AuditQuery::default() }).await?;
    let in_words = |entry: &AuditEntry| {
        let tenant = entry.tenant.as_ref().map_or("-", Tenant::as_str);
        format!("{tenant} {} {} {}: {}", entry.actor, entry.action, entry.object, entry.outcome)
    };
    Ok(entries.iter().rev().map(in_words).collect())
}

async fn each_change_leaves_its_entry_in_its_commit(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    store.put_user(&acme("ana"), &Contact::default(), at(0)).await?;
    assert_eq!(log(store).await?, [""; 0], "a worker's own doing");

    let operator = store.by(Actor::CommandLine(Some("alice".into())));
    operator.add_api_key("aa11", &KeyRights::of(tenant("acme")), "ci", at(1)).await?;
    operator.rotate_api_key("aa11", "aa22", Duration::from_secs(60), None, at(2)).await??;
    operator.revoke_api_key("aa11", at(3)).await?;
    let key = store.by(Actor::Key("k1".into()));
    key.put_user(&acme("ana"), &Contact::default(), at(4)).await?;
    key.put_user(&acme("ben@example.com"), &Contact::default(), at(5)).await?;
    let ops = GroupId::parse("ops")?;
    key.change_members(&tenant("acme"), &ops, &users(["ana"]), &[user("ben")], at(6)).await?;
    key.revoke_sessions(&acme("ana"), at(7)).await?;
    let dropped = AuditedChange {
        tenant: None,
        action: AuditAction::DeadDropped,
        object: "dead-letters".to_owned(),
        outcome: "3 dropped".to_owned(),
    };
    store.by(Actor::System).note_change(&dropped, at(8)).await?;
    let (of_ana, rotated_until) = ("user:ana", at(62));
    assert_eq!(
        log(store).await?,
        [
            "acme cli:alice key.created key:aa11: alerts,events".to_owned(),
            format!("acme cli:alice key.rotated key:aa11: the secret of before works until {rotated_until}"),
            "acme cli:alice key.revoked key:aa11: done".to_owned(),
            format!("acme key:k1 user.put {of_ana}: done"),
            "acme key:k1 user.put user:~f871a76fb7b15231: done".to_owned(),
            "acme key:k1 group.changed group:ops: 1 to be in it, 1 not to be".to_owned(),
            format!("acme key:k1 sessions.revoked {of_ana}: done, with 0 devices"),
            "- system dead.dropped dead-letters: 3 dropped".to_owned(),
        ]
    );
    Ok(())
}

async fn a_change_that_is_not_made_leaves_no_entry(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let key = store.by(Actor::Key("k1".into()));
    key.add_api_key("aa11", &KeyRights::of(tenant("acme")), "ci", at(1)).await?;
    key.add_api_key("aa11", &KeyRights::of(tenant("acme")), "the same again", at(2)).await?;
    key.revoke_api_key("bb", at(3)).await?;
    assert!(key.rotate_api_key("bb", "cc", Duration::ZERO, None, at(4)).await?.is_err());
    let twice = key.rotate_api_key("aa11", "aa11", Duration::ZERO, None, at(5)).await;
    assert!(twice.is_err(), "a secret that is there is refused by the table: {twice:?}");
    assert_eq!(log(store).await?, ["acme key:k1 key.created key:aa11: alerts,events"]);
    Ok(())
}

async fn an_erased_person_is_not_named_in_the_log(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let key = store.by(Actor::Key("k1".into()));
    for who in ["ana", "ben"] {
        key.put_user(&acme(who), &Contact::default(), at(1)).await?;
        key.revoke_sessions(&acme(who), at(2)).await?;
    }
    while !key.erase_batch(&acme("ana"), 1).await?.is_over {}
    key.note_erasure(&acme("ana"), "receipt 7, complete".to_owned(), at(3)).await?;
    let all = log(store).await?;
    assert_eq!(all.iter().filter(|entry| entry.contains("user:ben")).count(), 2);
    assert_eq!(all.iter().filter(|entry| entry.contains("user:ana")).count(), 0, "{all:?}");
    let erased: Vec<&String> = all.iter().filter(|entry| entry.contains(" user:~")).collect();
    assert_eq!(erased.len(), 3, "what was done is told still: {all:?}");
    assert!(erased[2].contains("user.erased") && erased[2].ends_with("receipt 7, complete"), "{erased:?}");
    Ok(())
}

async fn old_entries_go_in_bounded_steps_whoever_they_are_of(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (system, acme) = (store.by(Actor::System), tenant("acme"));
    // More than one step deletes within one millisecond, some of them of the whole installation.
    for n in 0..AUDIT_DELETED_MAX + 30 {
        let of_tenant = AuditedChange::done(&acme, AuditAction::UserPut, format!("user:u{n}"));
        let whose = if n % 2 == 0 { Some(&acme) } else { None };
        system.note_change(&AuditedChange { tenant: whose, ..of_tenant }, at(5)).await?;
    }
    let young = AuditedChange::done(&acme, AuditAction::UserPut, "user:young".to_owned());
    system.note_change(&young, at(6)).await?;

    assert_eq!(store.delete_old_audit_entries(at(5)).await?, 0, "as old as the bound");
    assert_eq!(store.delete_old_audit_entries(at(6)).await?, AUDIT_DELETED_MAX as u64, "a step is bounded");
    assert_eq!(store.delete_old_audit_entries(at(6)).await?, 30);
    assert_eq!(store.delete_old_audit_entries(at(6)).await?, 0);
    assert_eq!(log(store).await?, ["acme system user.put user:young: done"]);
    Ok(())
}

async fn the_log_is_read_page_by_page_and_by_tenant(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    // Several within one millisecond, and of two tenants in turn.
    for n in 0..10 {
        let (actor, whose) = (Actor::Key(format!("k{}", n % 3).into()), tenant(["acme", "other"][n % 2]));
        let change = AuditedChange::done(&whose, AuditAction::UserPut, format!("user:u{n}"));
        store.by(actor).note_change(&change, at(n as i64 / 4)).await?;
    }
    let read = async |wanted: AuditQuery| {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = AuditQuery { before: before.clone(), limit: 3, ..wanted.clone() };
            let page = store.audit_entries(&page).await?;
            let Some(last) = page.last() else { break };
            before = Some((last.at, last.id.clone()));
            all.extend(page.into_iter().map(|entry| entry.object));
        }
        anyhow::Ok(all)
    };
    let any = AuditQuery::default();
    for (why, wanted, expected) in [
        ("all", any.clone(), &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0][..]),
        ("one tenant's", AuditQuery { tenant: Some(tenant("acme")), ..any.clone() }, &[8, 6, 4, 2, 0]),
        ("since then", AuditQuery { since: Some(at(1)), ..any.clone() }, &[9, 8, 7, 6, 5, 4]),
        ("by one", AuditQuery { actor: Some("key:k0".into()), ..any.clone() }, &[9, 6, 3, 0]),
        ("about one", AuditQuery { object: Some("user:u5".into()), ..any.clone() }, &[5]),
        ("nobody's", AuditQuery { tenant: Some(tenant("third")), ..any }, &[]),
    ] {
        let mut found = read(wanted).await?;
        // Within one millisecond any order will do.
        found.sort_by(|one, other| other.cmp(one));
        let expected: Vec<String> = expected.iter().map(|n| format!("user:u{n}")).collect();
        assert_eq!(found, expected, "{why}");
    }
    Ok(())
}
