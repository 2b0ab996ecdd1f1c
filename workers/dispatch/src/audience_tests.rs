//! Every part of an audience, in pages, from the beginning and from any page on.

use std::collections::BTreeMap;

use tempfile::TempDir;
use watchbell::{
    domain::{AlertId, Audience as To, GroupId, Severity, Status, Tenant, Timestamp, UserKey},
    store::{Contact, StoreConfig},
};

use super::*;

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn alert(to: To) -> Alert {
    Alert {
        id: AlertId::parse("a").unwrap(),
        version: 1,
        tenant: Tenant::parse("acme").unwrap(),
        to,
        source: None,
        category: None,
        severity: Severity::Info,
        status: Status::Firing,
        title: "t".into(),
        body: None,
        url: None,
        labels: BTreeMap::new(),
        data: serde_json::Map::new(),
        policy: None,
        collapse_key: None,
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        occurred_at: Timestamp::UNIX_EPOCH,
        is_dated: true,
        expires_at: None,
        dismissed_until: None,
    }
}

/// A store, and the folder that it is in.
async fn store() -> (Store, TempDir) {
    let dir = TempDir::new().unwrap();
    let url = Store::sqlite_url(&dir.path().join("store.db"));
    let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
    store.migrate().await.unwrap();
    (store, dir)
}

async fn pages(alert: &Alert, from: &Position, store: &Store) -> Vec<Vec<UserId>> {
    let (mut pages, mut at) = (Vec::new(), from.clone());
    while !at.is_done() {
        let page = page(alert, &at, PAGE_ROWS_MAX, store).await.unwrap();
        assert_eq!(page.next.to_string().parse(), Ok(page.next.clone()), "it reads back");
        pages.push(page.recipients);
        at = page.next;
    }
    pages
}

#[tokio::test]
async fn an_audience_is_walked_in_pages_and_taken_up_at_any_of_them() {
    let (store, _dir) = store().await;
    let tenant = Tenant::parse("acme").unwrap();
    let members: Vec<UserId> = (0..PAGE_ROWS_MAX + 7).map(|n| user(&format!("m{n:05}"))).collect();
    let ops = GroupId::parse("ops").unwrap();
    store.change_members(&tenant, &ops, &members, &[], Timestamp::UNIX_EPOCH).await.unwrap();
    let zoe = UserKey::new(tenant.clone(), user("zoe"));
    store.put_user(&zoe, &Contact::default(), Timestamp::UNIX_EPOCH).await.unwrap();

    let named: Vec<UserId> = (0..PAGE_ROWS_MAX + 3).map(|n| user(&format!("n{n:05}"))).collect();
    let empty = || (0..2 * PAGE_READS_MAX).map(|n| GroupId::parse(format!("empty{n}")).unwrap());
    let alert = alert(To {
        users: named.clone(),
        groups: [ops].into_iter().chain(empty()).collect(),
        everyone: true,
    });

    let whole = pages(&alert, &Position::BEGINNING, &store).await;
    let sizes: Vec<usize> = whole.iter().map(Vec::len).collect();
    let expected = [PAGE_ROWS_MAX, PAGE_ROWS_MAX + 3, 7, 0, PAGE_ROWS_MAX, 8];
    assert_eq!(sizes, expected, "bounded by people and by what is read");
    // Members of a group are part of everyone, too: whoever comes twice is recorded once.
    assert_eq!(whole.concat(), [named, members.clone(), members, vec![user("zoe")]].concat());

    let (mut at, mut rest) = (Position::BEGINNING, whole.as_slice());
    while !at.is_done() {
        assert_eq!(pages(&alert, &at, &store).await, rest, "from {at} on");
        at = page(&alert, &at, PAGE_ROWS_MAX, &store).await.unwrap().next;
        rest = &rest[1..];
    }

    // Smaller pages while others have alerts, and larger ones again, reach the same people.
    let (mut at, mut reached, mut sizes) =
        (Position::BEGINNING, Vec::new(), [7, PAGE_ROWS_MAX].iter().cycle());
    while !at.is_done() {
        let page = page(&alert, &at, *sizes.next().unwrap(), &store).await.unwrap();
        reached.extend(page.recipients);
        at = page.next.to_string().parse().unwrap();
    }
    let everybody = |mut people: Vec<UserId>| {
        people.sort();
        people.dedup();
        people
    };
    assert_eq!(everybody(reached), everybody(whole.concat()));
}

#[tokio::test]
async fn a_person_comes_once_on_a_page() {
    let (store, _dir) = store().await;
    let tenant = Tenant::parse("acme").unwrap();
    let ops = GroupId::parse("ops").unwrap();
    store
        .change_members(&tenant, &ops, &[user("ana"), user("ben")], &[], Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    let alert = alert(To { users: vec![user("ben")], groups: vec![ops.clone(), ops], everyone: false });
    assert_eq!(pages(&alert, &Position::BEGINNING, &store).await, [[user("ben"), user("ana")]]);
}

#[test]
fn what_is_not_a_position_is_told() {
    for text in ["", "named", "named/x/", "nobody/0/", "group/0/a\u{1}b"] {
        assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text}");
    }
}
