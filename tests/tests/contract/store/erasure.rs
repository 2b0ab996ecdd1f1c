//! A person is erased everywhere, and nobody else loses anything by it (I17).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::{Row as _, any::AnyRow};
use watchbell::domain::{
    Channel, DeviceId, GroupId, GroupRule, ReceiptState, Timestamp, UserKey,
    audit::{Actor, AuditAction},
    device::Registration,
};
use watchbell::store::{
    AuditQuery, Contact, ERASED_ROWS_PER_COMMIT_MAX, ERASED_SESSIONS_KEPT, ErasedBatch, EscalationKey,
    NewAlert, Store,
};
use watchbell_tests::builders::{
    acme, alert, alert_id, at, device, later_version, receipt, snooze, tenant, user, users,
};

use super::fixture::{LEASE, StoreFixture, head, inbox};

on_both_engines!(
    every_table_is_erased_or_has_a_reason,
    no_row_of_an_erased_person_is_left_in_any_table,
    an_alert_that_nobody_else_holds_goes_and_a_shared_one_stays,
    whoever_took_an_alert_on_is_forgotten_and_nobody_is_chased_for_it_again,
    a_long_history_goes_in_parts_and_a_second_erasure_finds_nothing,
    nobody_can_be_reached_after_the_first_part,
    a_later_alert_makes_a_new_person,
    tokens_of_an_erased_person_stay_refused_for_a_month,
    what_is_noted_after_the_erasure_names_nobody,
    an_answer_that_comes_after_the_erasure_leaves_no_note,
    a_snooze_that_ends_after_the_erasure_makes_nobody_known,
    alerts_recorded_meanwhile_are_lost_for_nobody,
);

/// Erases somebody in parts of this size, and says what went of each table.
async fn erase(store: &Store, who: &UserKey, rows_max: usize) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let mut all = BTreeMap::new();
    for _ in 0..1_000 {
        let ErasedBatch { rows, is_over } = store.erase_batch(who, rows_max).await?;
        for (table, rows) in rows {
            *all.entry(table).or_default() += rows;
        }
        if is_over {
            return Ok(all);
        }
    }
    anyhow::bail!("the erasure has no end: {all:?}")
}

async fn erase_all(store: &Store, who: &UserKey) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    erase(store, who, ERASED_ROWS_PER_COMMIT_MAX).await
}

/// A column as the engine's own catalogue has it.
struct Column {
    table: String,
    name: String,
    is_text: bool,
}

/// Every column that can be written, of every table but that of the migrations.
async fn columns(fixture: &StoreFixture) -> anyhow::Result<Vec<Column>> {
    let sql = fixture.dialect(
        "SELECT CAST(table_name AS TEXT) AS of_table, CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind
         FROM information_schema.columns WHERE table_schema = current_schema() AND is_generated = 'NEVER'
         ORDER BY 1, ordinal_position",
        "SELECT m.name AS of_table, p.name AS name, lower(p.type) AS kind
         FROM sqlite_master m JOIN pragma_table_xinfo(m.name) p
         WHERE m.type = 'table' AND p.hidden = 0 ORDER BY m.name, p.cid",
    );
    let mut connection = fixture.connection().await?;
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("/* of a test */ {sql}")));
    let rows = rows.fetch_all(&mut connection).await?;
    let column = |row: &AnyRow| {
        let is_text = match row.try_get::<String, _>("kind")?.as_str() {
            "text" => true,
            "bigint" => false,
            kind => anyhow::bail!("the filler of this test knows no {kind}"),
        };
        Ok(Column { table: row.try_get("of_table")?, name: row.try_get("name")?, is_text })
    };
    let rows = rows.iter().filter(|row| {
        let table: String = row.get("of_table");
        !table.starts_with("_sqlx") && !table.starts_with("sqlite_")
    });
    rows.map(column).collect()
}

async fn every_table_is_erased_or_has_a_reason(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (of_people, of_nobody) = Store::tables_of_people();
    let columns = columns(fixture).await?;
    let tables: BTreeSet<&str> = columns.iter().map(|column| column.table.as_str()).collect();
    let listed: BTreeSet<&str> =
        of_people.iter().copied().chain(of_nobody.iter().map(|(table, _)| *table)).collect();
    assert_eq!(
        tables, listed,
        "each table is in one of the two lists in src/store/erasure.rs: erase its rows, or say why it has none of people"
    );
    assert_eq!(of_people.len() + of_nobody.len(), listed.len(), "and in one of them only");
    for column in columns.iter().filter(|column| column.name == "user_id") {
        assert!(of_people.contains(&column.table.as_str()), "{} has a user and is not erased", column.table);
    }
    Ok(())
}

/// Puts one row for this person into every table that has a user, whatever the table is for.
fn filler(columns: &[Column], tables: &BTreeSet<&str>, who: &str) -> String {
    let mut all = String::new();
    for table in tables {
        let of_table: Vec<&Column> = columns.iter().filter(|column| column.table == *table).collect();
        let names: Vec<&str> = of_table.iter().map(|column| column.name.as_str()).collect();
        let value = |column: &&Column| match (column.name.as_str(), column.is_text) {
            ("tenant", _) => "'acme'".to_owned(),
            ("user_id", _) => format!("'{who}'"),
            (_, true) => format!("'x-{who}'"),
            (_, false) => "1".to_owned(),
        };
        let values: Vec<String> = of_table.iter().map(value).collect();
        all += &format!("INSERT INTO {table} ({}) VALUES ({});\n", names.join(", "), values.join(", "));
    }
    all
}

/// A new table with a user in it is found by this test without being named here.
async fn no_row_of_an_erased_person_is_left_in_any_table(fixture: &StoreFixture) -> anyhow::Result<()> {
    let columns = columns(fixture).await?;
    let tables: BTreeSet<&str> = columns
        .iter()
        .filter(|column| column.name == "user_id")
        .map(|column| column.table.as_str())
        .collect();
    assert!(tables.len() > 10, "the schema was read: {tables:?}");
    for who in ["ana", "ben"] {
        fixture.execute(filler(&columns, &tables, who)).await?;
    }
    let erased = erase_all(&fixture.store, &acme("ana")).await?;
    let mut connection = fixture.connection().await?;
    for table in &tables {
        let sql =
            format!("/* of a test */ SELECT user_id FROM {table} WHERE tenant = 'acme' ORDER BY user_id");
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        let left: Vec<String> = rows.iter().map(|row| row.get("user_id")).collect();
        assert_eq!(left, ["ben"], "{table}");
        assert_eq!(erased.get(table), Some(&1), "the receipt counts {table}: {erased:?}");
    }
    Ok(())
}

async fn an_alert_that_nobody_else_holds_goes_and_a_shared_one_stays(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let (alone, shared) =
        (alert("alone").to_users(["ana"]).build(), alert("shared").to_users(["ana", "ben"]).build());
    store.record(&[alone.clone(), shared.clone()], at(0)).await?;
    store.record(&[later_version(&alone).build(), later_version(&shared).build()], at(1)).await?;
    let erased = erase_all(store, &acme("ana")).await?;
    assert_eq!(erased["inbox"], 2);
    assert_eq!(
        (erased["alerts"], erased["versions"]),
        (1, 1),
        "those of the one that she alone held: {erased:?}"
    );
    let acme_ = tenant("acme");
    assert_eq!(store.alert(&acme_, &alert_id("alone")).await?, None);
    let shared = store.alert(&acme_, &alert_id("shared")).await?.unwrap();
    assert_eq!((shared.version, shared.recipients), (2, 1));
    assert_eq!(inbox(store, &acme("ben")).await?.len(), 1);
    assert!(store.timeline(&acme_, &alert_id("shared"), Some(&user("ana")), 1).await?.is_empty());
    Ok(())
}

async fn whoever_took_an_alert_on_is_forgotten_and_nobody_is_chased_for_it_again(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = &fixture.store;
    let new = alert("group").to_users(["ana", "ben"]).first_due_at(at(30)).build();
    store.record(&[NewAlert { group: GroupRule::FirstStopsAll, ..new }], at(0)).await?;
    store.apply_receipts(&[receipt(&acme("ana"), ["group"], ReceiptState::Seen)], at(1)).await?;
    erase_all(store, &acme("ana")).await?;
    let sql = "/* of a test */ SELECT taken_by FROM alerts";
    let taken: String = sqlx::raw_sql(sql).fetch_one(&mut fixture.connection().await?).await?.get("taken_by");
    assert_eq!(taken, "~erased");
    let claims = store.claim_due(at(30), LEASE, 10).await?;
    let seen = super::timers::look(store, &claims[0], at(30)).await?;
    assert!(seen.progress.stopped.is_some(), "somebody took it on, whoever that was: {seen:?}");
    Ok(())
}

async fn a_long_history_goes_in_parts_and_a_second_erasure_finds_nothing(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let batch: Vec<NewAlert> =
        (0..57).map(|n| alert(&format!("a{n}")).to_users(["ana"]).first_due_at(at(30)).build()).collect();
    store.record(&batch, at(0)).await?;
    let first = store.erase_batch(&acme("ana"), 10).await?;
    assert!(!first.is_over);
    let inbox_rows = |rows: &[(&str, u64)]| rows.iter().find(|(table, _)| *table == "inbox").unwrap().1;
    assert_eq!(inbox_rows(&first.rows), 10, "a commit is small: {first:?}");
    // Whoever began it died. Another one goes on.
    let rest = erase(store, &acme("ana"), 10).await?;
    assert_eq!((rest["inbox"], rest["alerts"], rest["users"]), (47, 47, 1));
    assert_eq!(erase(store, &acme("ana"), 10).await?, BTreeMap::new(), "there was nobody");
    assert_eq!(erase(store, &acme("stranger"), 10).await?, BTreeMap::new(), "and there never was");
    Ok(())
}

async fn nobody_can_be_reached_after_the_first_part(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    store.put_user(&ana, &Contact::default().with(Channel::Email, "ana@example.com"), at(0)).await?;
    store.put_device(&ana, &device("phone").build(), 20).await?;
    let ops = GroupId::parse("ops").unwrap();
    store.change_members(&tenant("acme"), &ops, &users(["ana"]), &[], at(0)).await?;
    let batch: Vec<NewAlert> =
        (0..20).map(|n| alert(&format!("a{n}")).to_users(["ana"]).first_due_at(at(30)).build()).collect();
    store.record(&batch, at(0)).await?;
    assert!(!store.erase_batch(&ana, 3).await?.is_over);
    assert_eq!(store.devices(&ana).await?, []);
    assert_eq!(store.contact(&ana).await?, Some(Contact::default()), "her row stays until the end");
    assert!(store.members_after(&tenant("acme"), &ops, None, 10).await?.is_empty());
    assert!(store.everyone_after(&tenant("acme"), None, 10).await?.is_empty());
    Ok(())
}

async fn a_later_alert_makes_a_new_person(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let ana = acme("ana");
    let first = alert("a").to_users(["ana"]).build();
    store.record(std::slice::from_ref(&first), at(0)).await?;
    store.change_preferences(&ana, at(0), &|_| r#"{"channels":{"email":false}}"#.to_owned()).await?;
    erase_all(store, &ana).await?;
    store.record(&[first, alert("b").to_users(["ana"]).build()], at(2)).await?;
    let head = head(store, &ana).await?;
    assert_eq!((head.seq, head.unread), (2, 2), "from the beginning");
    assert_eq!(store.preferences(&ana).await?, None);
    Ok(())
}

async fn tokens_of_an_erased_person_stay_refused_for_a_month(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (&fixture.store, acme("ana"));
    assert_eq!(store.refuse_erased_sessions(&ana, at(10)).await?, at(10));
    assert_eq!(store.refuse_erased_sessions(&ana, at(5)).await?, at(10), "the latest of all counts");
    erase_all(store, &ana).await?;
    let refuses = async |issued_at: Timestamp| {
        Ok::<_, anyhow::Error>(head(store, &ana).await?.refuses(Some(issued_at)))
    };
    assert!(refuses(at(10)).await?);
    assert!(!refuses(at(11)).await?, "who signs in anew is let in");
    let own = async |issued_at: Timestamp| {
        store.change_own_preferences(&ana, Some(issued_at), at(12), &|_| "{}".to_owned()).await
    };
    assert_eq!(own(at(10)).await?, None, "what was begun before is refused when its body comes");
    let phone = device("phone").registered_at(at(12)).issued_at(at(10)).build();
    assert_eq!(store.put_device(&ana, &phone, 20).await?, Registration::SessionEnded);
    let known = store.known_users(&ana.tenant, std::slice::from_ref(&ana.user)).await?;
    assert!(known.is_empty(), "and makes nobody known");
    assert_eq!(own(at(11)).await?.as_deref(), Some("{}"));
    store.record(&[alert("later").to_users(["ana"]).build()], at(20)).await?;
    assert!(refuses(at(10)).await?, "also of the new person");
    let welcome = store.heads_and_preferences(std::slice::from_ref(&ana)).await?;
    assert!(welcome[&ana].0.refuses(Some(at(10))));
    assert!(head(store, &UserKey::new(tenant("other"), user("ana"))).await?.revoked_at.is_none());

    let later = at(10) + ERASED_SESSIONS_KEPT + Duration::from_secs(1);
    store.refuse_erased_sessions(&acme("ben"), later).await?;
    assert!(!refuses(at(10)).await?, "it is swept with the next erasure after a month");
    Ok(())
}

/// A page of an export was read before the erasure and is noted after it.
async fn what_is_noted_after_the_erasure_names_nobody(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, ana) = (fixture.store.by(Actor::System), acme("ana"));
    let note = async |now| store.note_about_person(&ana, AuditAction::UserExported, "a page", now).await;
    let objects = async || {
        let entries = store.audit_entries(&AuditQuery { limit: 10, ..AuditQuery::default() }).await?;
        Ok::<_, anyhow::Error>(entries.into_iter().map(|entry| entry.object).collect::<Vec<_>>())
    };
    store.record(&[alert("a").to_users(["ana"]).build()], at(0)).await?;
    store.put_device(&ana, &device("anas-phone").build(), 20).await?;
    store.delete_devices(&ana, Some(&DeviceId::parse("anas-phone")?), at(0)).await?;
    note(at(1)).await?;
    assert_eq!(objects().await?, ["user:ana", "user:ana"], "she is there");
    store.refuse_erased_sessions(&ana, at(2)).await?;
    note(at(3)).await?;
    erase_all(&store, &ana).await?;
    note(at(4)).await?;
    let found = objects().await?;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|object| object.starts_with("user:~") && *object == found[0]), "{found:?}");
    let entries = store.audit_entries(&AuditQuery { limit: 10, ..AuditQuery::default() }).await?;
    let of_device = entries.iter().find(|entry| entry.action == AuditAction::DeviceDeleted.as_str());
    assert_eq!(
        of_device.map(|entry| entry.outcome.as_str()),
        Some("a device"),
        "people name devices after themselves"
    );
    store.record(&[alert("b").to_users(["ana"]).build()], at(5)).await?;
    note(at(6)).await?;
    assert_eq!(objects().await?[0], "user:ana", "a new person is told of");
    Ok(())
}

async fn an_answer_that_comes_after_the_erasure_leaves_no_note(fixture: &StoreFixture) -> anyhow::Result<()> {
    let store = &fixture.store;
    let phone = device("phone").build();
    store.put_device(&acme("ana"), &phone, 20).await?;
    store.record(&[alert("a").to_users(["ana"]).first_due_at(at(30)).build()], at(0)).await?;
    let claim = store.claim_due(at(30), LEASE, 1).await?.remove(0);
    erase_all(store, &acme("ana")).await?;
    store.forget_token(&claim.key, &phone, None, at(31)).await?;
    store.rest_escalation(&claim.key, claim.number, "for the test", at(31)).await?;
    let sql = "/* of a test */ SELECT count(*) AS notes FROM notes";
    let notes: i64 = sqlx::raw_sql(sql).fetch_one(&mut fixture.connection().await?).await?.get("notes");
    assert_eq!(notes, 0);
    Ok(())
}

async fn a_snooze_that_ends_after_the_erasure_makes_nobody_known(
    fixture: &StoreFixture,
) -> anyhow::Result<()> {
    let store = &fixture.store;
    let new = alert("a").to_users(["ana"]).build();
    store.record(std::slice::from_ref(&new), at(0)).await?;
    store.apply_receipts(&[snooze(&acme("ana"), ["a"], at(20))], at(1)).await?;
    assert_eq!(store.due_snoozes(at(20)).await?.len(), 1, "somebody found it");
    erase_all(store, &acme("ana")).await?;
    assert!(store.wake(&[new], at(20)).await?.is_empty());
    assert_eq!(store.contact(&acme("ana")).await?, None, "nobody is known by it");
    let key = EscalationKey { user: acme("ana"), alert: alert_id("a") };
    store.put_off_snoozes(&[key], at(20), at(21)).await?;
    Ok(())
}

/// While ana is erased again and again, alerts are recorded for her and for ben: ben has every one, and no row is without its
/// alert.
async fn alerts_recorded_meanwhile_are_lost_for_nobody(fixture: &StoreFixture) -> anyhow::Result<()> {
    let (store, other) = (&fixture.store, fixture.another_handle());
    let recording = tokio::spawn(async move {
        for n in 0..60 {
            let first = alert(&format!("a{n}")).to_users(["ana"]).first_due_at(at(30)).build();
            let both = alert(&format!("a{n}")).to_users(["ana", "ben"]).first_due_at(at(30)).build();
            other.record(&[first], at(0)).await?;
            let recorded = other.record(&[both], at(0)).await?;
            anyhow::ensure!(recorded.len() == 2, "{recorded:?}");
        }
        anyhow::Ok(())
    });
    while !recording.is_finished() {
        store.erase_batch(&acme("ana"), 7).await?;
    }
    recording.await??;
    assert_eq!(inbox(store, &acme("ben")).await?.len(), 60);
    erase_all(store, &acme("ana")).await?;
    let orphans = "/* of a test */ SELECT count(*) AS orphans FROM inbox i LEFT JOIN alerts a
         ON a.tenant = i.tenant AND a.alert_id = i.alert_id WHERE a.alert_id IS NULL";
    let orphans: i64 =
        sqlx::raw_sql(orphans).fetch_one(&mut fixture.connection().await?).await?.get("orphans");
    assert_eq!(orphans, 0, "an inbox row without its alert is an alert that was lost");
    Ok(())
}
