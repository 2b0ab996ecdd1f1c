//! Every part of an audience, in pages, from the beginning and from any page on.

use std::collections::BTreeMap;

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
        occurred_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        dismissed_until: None,
    }
}

async fn store() -> (Store, std::path::PathBuf) {
    let file = std::env::temp_dir().join(format!("watchbell-audience-{}.db", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let store = Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 }).unwrap();
    store.migrate().await.unwrap();
    (store, file)
}

async fn pages(mut audience: Audience<'_>, store: &Store) -> Vec<Page> {
    let mut pages = Vec::new();
    while let Some(page) = audience.next(store).await.unwrap() {
        pages.push(page);
    }
    pages
}

#[tokio::test]
async fn an_audience_is_walked_in_pages_and_taken_up_at_any_of_them() {
    let (store, file) = store().await;
    let tenant = Tenant::parse("acme").unwrap();
    let members: Vec<UserId> = (0..ROWS_PER_COMMIT_MAX + 7).map(|n| user(&format!("m{n:05}"))).collect();
    let ops = GroupId::parse("ops").unwrap();
    store.change_members(&tenant, &ops, &members, &[]).await.unwrap();
    let zoe = UserKey::new(tenant.clone(), user("zoe"));
    store.put_user(&zoe, &Contact::default(), Timestamp::UNIX_EPOCH).await.unwrap();

    let named: Vec<UserId> = (0..ROWS_PER_COMMIT_MAX + 3).map(|n| user(&format!("n{n:05}"))).collect();
    let empty = GroupId::parse("empty").unwrap();
    let alert = alert(To { users: named.clone(), groups: vec![empty, ops], everyone: true });

    let whole = pages(Audience::of(&alert), &store).await;
    let sizes: Vec<usize> = whole.iter().map(|page| page.recipients.len()).collect();
    assert_eq!(sizes, [ROWS_PER_COMMIT_MAX, 3, ROWS_PER_COMMIT_MAX, 7, 1], "named, group, everyone");
    let everybody: Vec<UserId> = whole.iter().flat_map(|page| page.recipients.clone()).collect();
    assert_eq!(everybody, [named, members, vec![user("zoe")]].concat());

    for (number, page) in whole.iter().enumerate() {
        let stored: Position = page.begins.to_string().parse().unwrap();
        assert_eq!(stored, page.begins, "it reads back");
        let rest = pages(Audience::from(&alert, stored), &store).await;
        assert_eq!(rest.len(), whole.len() - number, "page {number} and what follows");
        assert_eq!(rest[0].recipients, page.recipients);
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_is_not_a_position_is_told() {
    for text in ["", "named", "named/x/", "nobody/0/", "group/0/a b"] {
        assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text}");
    }
}
