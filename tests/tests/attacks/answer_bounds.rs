//! Every route, asked at its worst: no answer is longer than the OpenAPI document says, with a store that is full of the
//! longest alerts and events. A route without a row here fails the test.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    client::Transport,
    fleet::{Engine, Fleet},
    requests::answer,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
const QUIET: (u64, u64) = (600_000, 600_000);
/// Beside what else an alert or event has, so that it is just short of 64 KiB.
const LONG: usize = 65_000;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Alerts in ana's inbox.
const ALERTS: usize = 40;

/// How a route is asked for its longest answer.
struct Worst {
    path: String,
    body: Value,
    meant: Meant,
}

/// What a question is meant to be answered, so that a refusal does not pass for a long answer that is short enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// It is done, and told.
    Done,
    /// The same, with an answer that is cut by its bytes: at least two fifths of what the route may say.
    Full,
    /// There is no such thing.
    Missing,
    /// The body cannot be read, and the answer repeats a part of it.
    Unreadable,
    /// It is read, and done or refused.
    Judged,
}

impl Meant {
    fn is(self, status: u16, bytes: usize, bound: usize) -> bool {
        match self {
            Self::Done => (200..300).contains(&status),
            Self::Full => status == 200 && 5 * bytes >= 2 * bound,
            Self::Missing => status == 404,
            Self::Unreadable => [400, 422].contains(&status),
            Self::Judged => [200, 202, 400, 422].contains(&status),
        }
    }
}

fn meant(meant: Meant, path: &str) -> Vec<Worst> {
    vec![Worst { path: path.to_owned(), body: Value::Null, meant }]
}

fn asked(path: &str) -> Vec<Worst> {
    meant(Meant::Done, path)
}

fn full(path: &str) -> Vec<Worst> {
    meant(Meant::Full, path)
}

fn missing(path: &str) -> Vec<Worst> {
    meant(Meant::Missing, path)
}

/// What is done, and the same with a body that nobody can read.
fn posted(path: &str, body: Value) -> Vec<Worst> {
    both(path, body, Meant::Done)
}

/// A body and what it is meant to be answered, and the same with one that nobody can read.
fn both(path: &str, body: Value, meant: Meant) -> Vec<Worst> {
    // The name of an unknown field is repeated by parsers.
    let unknown = json!({"x".repeat(60_000): 1});
    let meant_unknown = if meant == Meant::Judged { meant } else { Meant::Unreadable };
    [(body, meant), (unknown, meant_unknown)]
        .into_iter()
        .map(|(body, meant)| Worst { path: path.to_owned(), body, meant })
        .collect()
}

/// A name of 200 bytes, as long as they may be.
fn long_name(n: usize) -> String {
    format!("{n:0>200}")
}

/// What each route is asked. `None`: there is no row for it.
fn worst_of(route: &str) -> Option<Vec<Worst>> {
    let users: Vec<String> = (0..20).map(|n| format!("nobody-{}", long_name(n).split_off(20))).collect();
    let alerts = |n: usize| -> Vec<Value> {
        let alert = |n| json!({"id": long_name(n), "to": {"users": users}, "title": "t"});
        (0..n).map(alert).collect()
    };
    let events =
        |n: usize| -> Vec<Value> { (0..n).map(|n| json!({"id": long_name(n), "type": "t"})).collect() };
    let firing = |n: usize| json!({"labels": {"alertname": long_name(n)}, "status": "firing", "annotations": {"summary": "s"}});
    let alertmanager = json!({"version": "4", "alerts": (0..300).map(firing).collect::<Vec<_>>()});
    Some(match route {
        // Sessions are looked at frame by frame.
        "get /v1/ws" | "get /v1/sse" => Vec::new(),
        "get /v1/poll" => {
            let topics: Vec<String> = (0..64).map(|n| format!("long:{n}")).collect();
            [
                full(&format!("/v1/poll?topics={}", topics.join(","))),
                asked("/v1/poll?topics=long:0"),
                asked("/v1/poll?cursor=CURSOR&wait=0"),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
        "get /v1/topics/{topic}/events" => full("/v1/topics/long:0/events?limit=1000"),
        "get /v1/inbox" => ["/v1/inbox?limit=200", "/v1/inbox?limit=200&state=open&severity=warning"]
            .into_iter()
            .flat_map(full)
            .collect(),
        "get /v1/inbox/categories" => asked("/v1/inbox/categories"),
        "post /v1/inbox/receipts" => {
            let ids: Vec<String> = (0..ALERTS).map(|n| format!("long-{n}")).collect();
            posted("/v1/inbox/receipts", json!({"alerts": ids, "state": "read"}))
        }
        "get /v1/preferences" => asked("/v1/preferences"),
        "put /v1/preferences" => {
            let categories: BTreeMap<String, Value> = (0..100)
                .map(|n| (long_name(n).split_off(80), json!({"push": false, "email": true})))
                .collect();
            posted("/v1/preferences", json!({"categories": categories}))
        }
        "get /v1/devices" => asked("/v1/devices"),
        "get /v1/devices/{device}" => asked("/v1/devices/phone"),
        "put /v1/devices/{device}" => {
            posted("/v1/devices/phone", json!({"service": "fcm", "token": "t".repeat(4_000)}))
        }
        "put /v1/devices/{device}/activities/{alert}" => {
            both("/v1/devices/phone/activities/none", json!({"token": "a1".repeat(200)}), Meant::Missing)
        }
        "delete /v1/devices/{device}/activities/{alert}" => missing("/v1/devices/phone/activities/none"),
        "post /v1/devices/{device}/test" => asked("/v1/devices/phone/test"),
        "delete /v1/devices/{device}" => missing("/v1/devices/none"),
        "get /v1/webpush/key" => asked("/v1/webpush/key"),
        "get /v1/unsubscribe/{token}" | "post /v1/unsubscribe/{token}" => missing("/v1/unsubscribe/x"),
        "get /v1/answers/{token}" | "post /v1/answers/{token}" => missing("/v1/answers/x?action=a"),
        document @ ("get /asyncapi.json" | "get /openapi.json" | "get /docs" | "get /docs/session") => {
            asked(document.trim_start_matches("get "))
        }
        "post /v1/alerts" => posted("/v1/alerts", json!(alerts(200))),
        "get /v1/alerts" => {
            ["/v1/alerts?limit=200", "/v1/alerts?user=ana&limit=200"].into_iter().flat_map(full).collect()
        }
        "get /v1/users" => {
            ["/v1/users?limit=1000", "/v1/users?group=many&limit=1000"].into_iter().flat_map(asked).collect()
        }
        "get /v1/users/{user}" => asked("/v1/users/ana"),
        "get /v1/users/{user}/export" => {
            ["/v1/users/ana/export", "/v1/users/ana/export?after=inbox"].into_iter().flat_map(full).collect()
        }
        "get /v1/users/{user}/explain" => asked("/v1/users/ana/explain?limit=100"),
        "get /v1/users/{user}/devices" => asked("/v1/users/ana/devices"),
        "delete /v1/users/{user}/devices" => asked("/v1/users/zoe/devices"),
        "get /v1/users/{user}/devices/{device}" => asked("/v1/users/ana/devices/phone"),
        "delete /v1/users/{user}/devices/{device}" => missing("/v1/users/ana/devices/none"),
        // Events that are none of ours are passed over.
        "post /v1/mail-events/{provider}" => ["sendgrid", "mailgun", "postmark"]
            .into_iter()
            .flat_map(|provider| {
                both(&format!("/v1/mail-events/{provider}"), json!([{"event": "bounce"}]), Meant::Judged)
            })
            .collect(),
        "delete /v1/users/{user}/addresses/{channel}/refusal" => {
            missing("/v1/users/ana/addresses/email/refusal")
        }
        "get /v1/groups" => asked("/v1/groups?limit=1000"),
        "delete /v1/groups/{group}" => asked("/v1/groups/none"),
        "get /v1/alerts/{id}" => asked("/v1/alerts/long-0"),
        "patch /v1/alerts/{id}" => posted("/v1/alerts/long-0", json!({"title": "t".repeat(256)})),
        "get /v1/alerts/{id}/timeline" => asked("/v1/alerts/long-0/timeline?limit=100"),
        "post /v1/topics/{topic}/events" => posted("/v1/topics/other/events", json!(events(1_000))),
        "put /v1/users/{user}" => posted("/v1/users/zoe", json!({"locale": "en"})),
        "delete /v1/users/{user}" => asked("/v1/users/nobody"),
        "delete /v1/users/{user}/sessions" => asked("/v1/users/zoe/sessions"),
        "get /v1/audit" => asked("/v1/audit?limit=500"),
        "get /v1/groups/{group}/members" => asked("/v1/groups/many/members?limit=1000"),
        "put /v1/groups/{group}/members" => posted("/v1/groups/few/members", json!({"add": users})),
        "delete /v1/groups/{group}/members" => asked(&format!("/v1/groups/few/members?users={}", users[0])),
        // Those that tell of every alert, and those that tell of one and cannot read what Alertmanager sends.
        hook if hook.starts_with("post /v1/hooks/") => {
            let path = hook.trim_start_matches("post ").replace("{hook}", "none");
            let meant = match path.trim_start_matches("/v1/hooks/") {
                "none" => return Some(missing(&format!("{path}?users=nobody"))),
                "alertmanager" | "grafana" => Meant::Done,
                _ => Meant::Judged,
            };
            both(&format!("{path}?users=nobody"), alertmanager, meant)
        }
        _ => return None,
    })
}

/// Fills the store with the longest of everything, and gives a cursor from before ana's alerts.
async fn fill(fleet: &Fleet) -> anyhow::Result<String> {
    let session = fleet.session("socket-1", "ana", None).await?;
    let cursor = session.hello["cursor"].as_str().context("no cursor")?.to_owned();
    let text = json!({"text": "x".repeat(LONG)});
    let alert = |n: usize| json!({"id": format!("long-{n}"), "to": {"users": ["ana", "zoe"]}, "title": "t", "data": text});
    let all: Vec<Value> = (0..ALERTS).map(alert).collect();
    let (status, said) = fleet.publish(&json!(all)).await?;
    ensure!(status == 202, "{status} {said}");
    for topic in 0..64 {
        let several = if topic == 0 { 100 } else { 2 };
        let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "keep": 1_000, "data": text});
        let events: Vec<Value> = (0..several).map(event).collect();
        let path = format!("/v1/topics/long:{topic}/events");
        let (status, said) = fleet.producer(Method::POST, &path, Some(&json!(events))).await?;
        ensure!(status == 202, "{status} {said}");
    }
    let members: Vec<String> = (0..1_000).map(long_name).collect();
    let (status, said) =
        fleet.producer(Method::PUT, "/v1/groups/many/members", Some(&json!({"add": members}))).await?;
    ensure!(status == 204, "{status} {said}");
    let phone = json!({"service": "fcm", "token": format!("fGh-1:{}", "t".repeat(4_000))});
    let (status, said) = fleet.user("ana", Method::PUT, "/v1/devices/phone", Some(&phone)).await?;
    ensure!(status == 204, "{status} {said}");
    until("ana to have them all", DEADLINE, async || {
        (fleet.user("ana", Method::GET, "/v1/inbox?limit=1", None).await.ok()?.1["seq"].as_u64()?
            >= ALERTS as u64)
            .then_some(())
    })
    .await?;
    let token = fleet.grant("ana", &["*"], jiff::SignedDuration::from_hours(1))?;
    let url = format!("{}/v1/topics/long:63/events", fleet.url("socket-1")?);
    until("the last topic to be kept", DEADLINE, async || {
        let (_, kept) = answer(fleet.http().get(&url).bearer_auth(&token)).await.ok()?;
        (kept["events"].as_array()?.len() == 2).then_some(())
    })
    .await?;
    Ok(cursor)
}

#[tokio::test]
async fn no_answer_is_longer_than_its_route_says() {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap();
    let cursor = fill(&fleet).await.unwrap();
    let base = fleet.url("socket-1").unwrap();
    let token = fleet.grant("ana", &["*"], jiff::SignedDuration::from_hours(1)).unwrap();
    let document: Value =
        fleet.http().get(format!("{base}/openapi.json")).send().await.unwrap().json().await.unwrap();
    let mut wrong = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let route = format!("{method} {path}");
            let bound = operation["x-answer-bytes-max"].as_u64().unwrap_or_default() as usize;
            let Some(worst) = worst_of(&route) else {
                wrong.push(format!("{route}: no row says how it is asked for its longest answer"));
                continue;
            };
            for Worst { path, body, meant } in worst {
                let url = format!("{base}{}", path.replace("CURSOR", &cursor));
                // A user's routes take the token, a producer's the key.
                let is_users = operation["security"].to_string().contains("token") || is_of_users(&route);
                let credential = if is_users { token.as_str() } else { fleet.key() };
                // A machine that is busy confirms late, and says so.
                let (status, bytes) = until(&route, DEADLINE, async || {
                    let request = fleet.http().request(method.to_uppercase().parse().ok()?, &url);
                    let request = request.bearer_auth(credential).timeout(DEADLINE);
                    let request = if body.is_null() { request } else { request.json(&body) };
                    let answer = request.send().await.ok()?;
                    let status = answer.status().as_u16();
                    let bytes = answer.bytes().await.ok()?.len();
                    (status != 503).then_some((status, bytes))
                })
                .await
                .unwrap();
                if bytes > bound {
                    wrong.push(format!("{route}: {status} with {bytes} bytes, at most {bound} are declared"));
                }
                if !meant.is(status, bytes, bound) {
                    let length = body.to_string().len();
                    wrong.push(format!(
                        "{path} with {length} bytes: {status} with {bytes} of {bound} bytes, meant {meant:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    frames_are_bounded(&fleet, &document, &cursor).await.unwrap();
}

/// The routes of a user, which the document's own credentials are for where it says nothing of the route.
fn is_of_users(route: &str) -> bool {
    let path = route.split(' ').nth(1).unwrap_or_default();
    let of_producers = ["/v1/alerts", "/v1/users", "/v1/groups", "/v1/hooks", "/v1/audit", "/v1/mail-events"];
    !of_producers.iter().any(|of| path.starts_with(of)) && route != "post /v1/topics/{topic}/events"
}

/// What a session is sent at once: a snapshot, and a replay.
async fn frames_are_bounded(fleet: &Fleet, document: &Value, cursor: &str) -> anyhow::Result<()> {
    let bound =
        document["paths"]["/v1/ws"]["get"]["x-answer-bytes-max"].as_u64().context("no bound")? as usize;
    let asks = fleet.asks("ana", &["*"])?.topics(&["long:0"]).after(Some(cursor));
    for transport in [Transport::WebSocket, Transport::Sse] {
        let mut client = fleet.client(transport, "socket-1", &asks).await?;
        let mut told = Vec::new();
        while !(told.contains(&"snapshot".to_owned())
            && told.iter().any(|kind| kind == "alert" || kind == "resync"))
        {
            let frame = client.next().await?;
            let bytes = frame.to_string().len();
            ensure!(
                bytes <= bound,
                "{transport:?}: a {} of {bytes} bytes, at most {bound} are declared",
                frame["type"]
            );
            told.push(frame["type"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(())
}
