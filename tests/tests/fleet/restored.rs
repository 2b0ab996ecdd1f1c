//! The store is put back to an earlier time under a running fleet: everybody is told what they never saw.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    client::Transport,
    fleet::{Engine, Fleet, Urls},
    postgres::Postgres,
    scratch::Scratch,
    services,
    session::{Frames as _, Session},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(40);
/// Nobody is pushed to in the time of a test, and no ping heals what should be healed by itself.
const QUIET: (u64, u64) = (600_000, 600_000);
const ENV: [(&str, &str); 1] = [("WATCHBELL__SOCKET__PING_EVERY", "10m")];
const ALL: [&str; 5] = ["ingest", "dispatch", "socket-1", "socket-2", "fallback"];

/// Publishes one after the other, each when the one before has been recorded, and gives where u7's inbox is then.
async fn publish(fleet: &Fleet, ids: &[&str]) -> anyhow::Result<Value> {
    let mut page = Value::Null;
    for id in ids {
        fleet.send(&json!({"id": id, "to": {"users": ["u7"]}, "title": id})).await?;
        page = until(&format!("{id} in the inbox"), DEADLINE, async || {
            let (_, page) = fleet.user("u7", Method::GET, "/v1/inbox", None).await.ok()?;
            ids_of(&page["alerts"]).contains(&(*id).to_owned()).then_some(page)
        })
        .await?;
    }
    Ok(page)
}

fn ids_of(alerts: &Value) -> Vec<String> {
    let alerts = alerts.as_array().into_iter().flatten();
    alerts.filter_map(|told| Some(told["alert"]["id"].as_str()?.to_owned())).collect()
}

/// What a client has that does what the protocol says, when it was told to fetch its inbox and has `last`.
async fn told(fleet: &Fleet, session: &mut Session, last: &str) -> anyhow::Result<Vec<String>> {
    let (mut ids, mut started_over) = (Vec::new(), false);
    while !started_over || !ids.iter().any(|id| id == last) {
        let frame = session.next().await?;
        match frame["type"].as_str() {
            Some("alert") => ids.push(frame["alert"]["id"].as_str().unwrap_or_default().to_owned()),
            Some("resync") => {
                let (status, page) = fleet.user("u7", Method::GET, "/v1/inbox", None).await?;
                anyhow::ensure!(status == 200, "{page}");
                (ids, started_over) = (ids_of(&page["alerts"]), true);
            }
            _ => {}
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Waits until a pod takes a cursor for one of another history.
async fn refuses(fleet: &Fleet, pod: &str, cursor: &str) -> anyhow::Result<()> {
    until("the pod to know of the new history", DEADLINE, async || {
        let session = fleet.session(pod, "u7", Some(cursor)).await.ok()?;
        (session.hello["resumed"] == false).then_some(())
    })
    .await
}

/// After a store that lost `lost-1` to `lost-3`: five new alerts, and both the client that comes back with its cursor of
/// before and the one that stayed are told all that there is.
///
/// The numbers of the cursor are there again, and mean something else. A pod may learn of it a moment after the client is
/// back: then the client resumes, and is told to start over all the same.
async fn both_clients_start_over(fleet: &Fleet, cursor: &str, stays: &mut Session) {
    for name in ALL {
        fleet.ready(name).await.unwrap();
    }
    let news = ["new-1", "new-2", "new-3", "new-4", "new-5"];
    publish(fleet, &news).await.unwrap();
    let everything: Vec<String> = ["kept"].iter().chain(&news).map(|id| (*id).to_owned()).collect();
    let mut back = fleet.session("socket-1", "u7", Some(cursor)).await.unwrap();
    assert_eq!(told(fleet, &mut back, "new-5").await.unwrap(), everything, "the client that came back");
    let stayed = told(fleet, stays, "new-5").await.unwrap();
    assert_eq!(stayed, everything, "the one that was there all the time");
    refuses(fleet, "socket-1", cursor).await.unwrap();
}

#[tokio::test]
async fn a_client_of_before_a_restore_is_told_everything() {
    let dir = Scratch::new("restored").unwrap();
    let postgres = Postgres::start(dir.path()).await.unwrap();
    let broker = services::rabbit().await.unwrap().fresh_vhost("restored").await.unwrap();
    let url = postgres.fresh_database("restored").await.unwrap();
    let fleet = Fleet::start_services(Urls { broker, store: url.clone() }, QUIET, &ENV).await.unwrap();

    publish(&fleet, &["kept"]).await.unwrap();
    let dump = postgres.dump(&url, &[]).await.unwrap();
    let page = publish(&fleet, &["lost-1", "lost-2", "lost-3"]).await.unwrap();
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    let mut stays = fleet.session("socket-2", "u7", Some(&cursor)).await.unwrap();
    assert_eq!(stays.hello["resumed"], true, "before the restore it is a good cursor");
    let asks = fleet.asks("u7", &[]).unwrap().after(Some(&cursor));
    let mut streams = fleet.client(Transport::Sse, "socket-2", &asks).await.unwrap();

    postgres.restore(&url, &dump).await.unwrap();
    both_clients_start_over(&fleet, &cursor, &mut stays).await;
    let resync = streams.next_of("resync").await.unwrap();
    assert_ne!(resync["cursor"].as_str().unwrap().split('.').next(), cursor.split('.').next());

    // From there on as ever: a cursor of now resumes on the other pod.
    let now = resync["cursor"].as_str().unwrap();
    let page = publish(&fleet, &["later"]).await.unwrap();
    let mut after = fleet.session("socket-1", "u7", Some(now)).await.unwrap();
    assert_eq!(after.hello["resumed"], true, "{}", after.hello);
    while after.next_of("alert").await.unwrap()["alert"]["id"] != "later" {}

    // And where nothing gives a restore away, the operator says it.
    let cursor = page["cursor"].as_str().unwrap();
    let said = fleet.command(&["restored"]).unwrap();
    assert!(said.contains("A new history begins"), "{said}");
    after.next_of("resync").await.unwrap();
    refuses(&fleet, "socket-1", cursor).await.unwrap();
}

#[tokio::test]
async fn a_failover_to_a_standby_that_lagged_loses_nobody() {
    let (dir, standby_dir) = (Scratch::new("failover").unwrap(), Scratch::new("standby").unwrap());
    let mut primary = Postgres::start(dir.path()).await.unwrap();
    let broker = services::rabbit().await.unwrap().fresh_vhost("failover").await.unwrap();
    let url = primary.fresh_database("failover").await.unwrap();
    let fleet = Fleet::start_services(Urls { broker, store: url }, QUIET, &ENV).await.unwrap();
    publish(&fleet, &["kept"]).await.unwrap();
    let mut standby = primary.standby(standby_dir.path()).await.unwrap();
    standby.fall_behind().await.unwrap();
    let page = publish(&fleet, &["lost-1", "lost-2", "lost-3"]).await.unwrap();
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    let mut stays = fleet.session("socket-2", "u7", Some(&cursor)).await.unwrap();

    primary.kill9();
    standby.take_over(&mut primary).await.unwrap();
    both_clients_start_over(&fleet, &cursor, &mut stays).await;
}

/// The same in one process: the folder is put back while it is stopped.
#[tokio::test]
async fn a_folder_that_was_put_back_is_another_history() {
    let mut fleet = Fleet::start(Engine::Embedded, QUIET, &ENV).await.unwrap();
    publish(&fleet, &["kept"]).await.unwrap();
    let (file, kept) = (fleet.dir().join("data/watchbell.db"), fleet.dir().join("kept.db"));
    fleet.restart("up").await.unwrap(); // An orderly end leaves one whole file.
    fleet.ready("up").await.unwrap();
    let cursor = publish(&fleet, &["a"]).await.unwrap()["cursor"].as_str().unwrap().to_owned();
    let session = fleet.session("up", "u7", Some(&cursor)).await.unwrap();
    assert_eq!(session.hello["resumed"], true);
    drop(session);

    fleet.kill("up").unwrap();
    for part in ["", "-wal", "-shm"] {
        let part = |file: &std::path::Path| format!("{}{part}", file.display());
        let (from, to) = (part(&file), part(&kept));
        if std::fs::copy(&from, &to).is_ok() {
            std::fs::remove_file(&from).unwrap();
            std::fs::copy(&to, &from).unwrap();
        }
    }
    fleet.revive("up").unwrap();
    fleet.ready("up").await.unwrap();
    let session = fleet.session("up", "u7", Some(&cursor)).await.unwrap();
    assert_eq!(session.hello["resumed"], false, "{}", session.hello);
    drop(session);

    let said = fleet.command(&["restored", "--data", "data"]).unwrap();
    assert!(said.contains("A new history begins"), "{said}");
}
