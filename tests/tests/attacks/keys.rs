//! A key of a producer leaks, say from a script of a CI. Before there were scopes, whoever found it had the tenant: with one
//! request they took over where a person's mail goes, read who saw what, ended sessions and changed groups.

use anyhow::{Context as _, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
/// Where the database of `up` is, for commands that run beside it.
const STORE: &[(&str, &str)] = &[("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];

struct Attacked {
    fleet: Fleet,
    url: String,
}

impl Attacked {
    async fn begin() -> anyhow::Result<Self> {
        let fleet = Fleet::start(Engine::Embedded, (60_000, 120_000), &[]).await?;
        let url = fleet.url("up")?;
        Ok(Self { fleet, url })
    }

    fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        Ok(self.fleet.command_with(args, STORE)?.trim().to_owned())
    }

    /// A new key of the tenant that is attacked.
    fn key(&self, further: &[&str]) -> anyhow::Result<String> {
        self.command(&[&["key", "create", "--tenant", "demo"], further].concat())
    }

    fn request(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.fleet.http().request(method, format!("{}{path}", self.url)).bearer_auth(key)
    }

    async fn get(&self, key: &str, path: &str) -> anyhow::Result<(u16, Value)> {
        answer(self.request(key, Method::GET, path)).await
    }

    async fn publish(&self, key: &str, id: &str) -> anyhow::Result<(u16, Value)> {
        let alert = json!({"id": id, "to": {"users": ["ana"]}, "title": "t"});
        answer(self.request(key, Method::POST, "/v1/alerts").json(&alert)).await
    }

    /// What `key list --json` says of the key with this name.
    fn listed(&self, name: &str) -> anyhow::Result<Value> {
        let all = self.command(&["key", "list", "--json"])?;
        let keys = all.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        keys.into_iter().find(|key| key["name"] == name).with_context(|| format!("{name} is listed: {all}"))
    }
}

#[tokio::test]
async fn a_leaked_key_does_only_what_it_is_for() -> anyhow::Result<()> {
    let attacked = Attacked::begin().await?;
    // Each waits for something, and none has to do with the others.
    tokio::try_join!(
        a_default_key_publishes_and_nothing_else(&attacked),
        what_a_key_changed_is_in_the_audit_log(&attacked),
        a_key_that_expired_is_told_so(&attacked),
        what_says_one_thing_is_said_once(&attacked),
        a_rotated_key_has_two_secrets_for_a_while(&attacked),
        a_key_for_its_own_alerts_touches_no_others(&attacked),
    )?;
    a_revoked_key_looks_after_no_dead_letters(&attacked).await
}

/// Two readers of one request, such as a proxy that looks at keys and this program, may each take another of two.
async fn what_says_one_thing_is_said_once(attacked: &Attacked) -> anyhow::Result<()> {
    let key = attacked.key(&["--name", "twice"])?;
    let alert = json!({"to": {"users": ["ana"]}, "title": "t"}).to_string();
    let post = || attacked.request(&key, Method::POST, "/v1/alerts");
    for (why, request, name) in [
        ("two keys", post().bearer_auth("wbk_another"), "authorization"),
        ("two of an application", post().header("x-api-key", &key).header("x-api-key", &key), "x-api-key"),
        ("two types", post().header("content-type", "application/json"), "content-type"),
        ("two ids", post().header("idempotency-key", "a").header("Idempotency-Key", "b"), "idempotency-key"),
        ("two of a CloudEvent", post().header("ce-id", "a").header("ce-id", "b"), "ce-id"),
    ] {
        let request = request.header("content-type", "application/json").body(alert.clone());
        let (status, problem) = answer(request).await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(status == 400 && detail.contains(&format!("`{name}`")), "{why}: {status} {problem}");
    }
    let once = post().header("content-type", "application/json").header("idempotency-key", "a");
    let (status, accepted) = answer(once.body(alert)).await?;
    ensure!((status, &accepted["id"]) == (202, &json!("a")), "once each: {status} {accepted}");
    let (status, problem) = answer(post().header("content-type", "text/plain").body("t")).await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(status == 415 && detail.contains("application/cloudevents-batch+json"), "{status} {problem}");
    Ok(())
}

async fn a_default_key_publishes_and_nothing_else(attacked: &Attacked) -> anyhow::Result<()> {
    let key = attacked.key(&["--name", "ci"])?;
    ensure!(attacked.publish(&key, "leak-1").await?.0 == 202, "it publishes");
    let mailbox = json!({"email": "me@evil.example"});
    let members = json!({"add": ["mallory"]});
    for (what, scope, method, path, body) in [
        ("takes over a mailbox", "people", Method::PUT, "/v1/users/ana", Some(&mailbox)),
        ("ends sessions", "people", Method::DELETE, "/v1/users/ana/sessions", None),
        ("joins a group", "people", Method::PUT, "/v1/groups/ops/members", Some(&members)),
        ("throws somebody out", "people", Method::DELETE, "/v1/groups/ops/members?users=ben", None),
        ("reads who saw what", "read", Method::GET, "/v1/alerts/leak-1/timeline", None),
        ("reads an alert", "read", Method::GET, "/v1/alerts/leak-1", None),
        ("reads who is on call", "read", Method::GET, "/v1/groups/ops/members", None),
        ("reads dead letters", "operations", Method::GET, "/operations/dead", None),
    ] {
        let request = attacked.request(&key, method, path);
        let (status, problem) =
            answer(body.map_or(request.try_clone().context("no body")?, |body| request.json(body))).await?;
        ensure!(status == 403, "{what}: {status} {problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        let command = format!("`watchbell key create --scope {scope}`");
        ensure!(detail.contains(&format!("`{scope}`")) && detail.contains(&command), "{what}: {detail}");
    }
    let listed = attacked.listed("ci")?;
    assert_eq!(listed["scopes"], json!(["alerts", "events"]));
    // The use is written down beside the requests.
    until("the last use to be listed", DEADLINE, async || {
        attacked.listed("ci").ok().filter(|key| key["last_used_at"].is_string())
    })
    .await?;
    Ok(())
}

/// What the victim's key did can be told afterwards, and by whom.
async fn what_a_key_changed_is_in_the_audit_log(attacked: &Attacked) -> anyhow::Result<()> {
    let key = attacked.key(&["--name", "directory", "--scope", "people"])?;
    let listed = attacked.listed("directory")?;
    let id = listed["id"].as_str().context("it has an id")?;
    let mailbox = json!({"email": "zoe@example.com"});
    for user in ["zoe", "yan%40example.com"] {
        let request = attacked.request(&key, Method::PUT, &format!("/v1/users/{user}"));
        ensure!(answer(request.json(&mailbox)).await?.0 == 204, "{user}");
    }
    let actor = format!("key:{id}");
    let (status, page) =
        attacked.get(attacked.fleet.key(), &format!("/v1/audit?actor={actor}&limit=1")).await?;
    ensure!(status == 200, "{status} {page}");
    let entry = &page["entries"][0];
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("user.put"), &json!(actor)));
    let next = page["next"].as_str().with_context(|| format!("there is another: {page}"))?;
    let (_, page) =
        attacked.get(attacked.fleet.key(), &format!("/v1/audit?actor={actor}&after={next}")).await?;
    assert_eq!((&page["entries"][0]["object"], &page["next"]), (&json!("user:zoe"), &Value::Null), "{page}");

    let all = attacked.command(&["audit", "--tenant", "demo", "--since", "1h"])?;
    ensure!(all.contains("key.created") && all.contains("cli") && !all.contains("yan@example.com"), "{all}");
    let of_yan = attacked.command(&["audit", "--object", "user:yan@example.com", "--json"])?;
    let entry: Value = serde_json::from_str(of_yan.lines().next().context("it is found by who knows it")?)?;
    assert_eq!((&entry["tenant"], &entry["actor"]), (&json!("demo"), &json!(actor)));
    let (status, _) = attacked.get(&key, "/v1/audit").await?;
    ensure!(status == 403, "it reads of nobody: {status}");
    Ok(())
}

async fn a_key_that_expired_is_told_so(attacked: &Attacked) -> anyhow::Result<()> {
    let key = attacked.key(&["--name", "brief", "--expires", "1s"])?;
    let (status, problem) = until("the key to expire", DEADLINE, async || {
        attacked.publish(&key, "leak-2").await.ok().filter(|(status, _)| *status != 202)
    })
    .await?;
    ensure!(status == 401, "{status} {problem}");
    ensure!(problem["detail"].as_str().unwrap_or_default().contains("expired at "), "{problem}");
    assert_eq!(attacked.listed("brief")?["state"], "expired");
    Ok(())
}

async fn a_rotated_key_has_two_secrets_for_a_while(attacked: &Attacked) -> anyhow::Result<()> {
    let old = attacked.key(&["--name", "rotated"])?;
    let listed = attacked.listed("rotated")?;
    let id = listed["id"].as_str().context("it has an id")?;
    let new = attacked.command(&["key", "rotate", id, "--overlap", "1h"])?;
    for secret in [&old, &new] {
        ensure!(attacked.publish(secret, "rotated").await?.0 == 202, "both work");
    }
    let newest = attacked.command(&["key", "rotate", id, "--overlap", "0s"])?;
    for secret in [&old, &new] {
        // It is remembered for some seconds.
        let (status, problem) = until("the old secrets to end", DEADLINE, async || {
            attacked.publish(secret, "rotated").await.ok().filter(|(status, _)| *status != 202)
        })
        .await?;
        ensure!(status == 401, "{status} {problem}");
        ensure!(problem["detail"].as_str().unwrap_or_default().contains("rotated"), "{problem}");
    }
    ensure!(attacked.publish(&newest, "rotated").await?.0 == 202, "the newest works");
    assert_eq!(attacked.listed("rotated")?["id"], id, "it is one key still");
    Ok(())
}

async fn a_key_for_its_own_alerts_touches_no_others(attacked: &Attacked) -> anyhow::Result<()> {
    let other = attacked.key(&["--name", "victim"])?;
    let own = attacked.key(&["--name", "own", "--own-alerts", "--scope", "alerts,read"])?;
    ensure!(attacked.publish(&other, "theirs").await?.0 == 202);
    ensure!(attacked.publish(&own, "mine").await?.0 == 202);
    for id in ["theirs", "mine"] {
        until("the alert to be recorded", DEADLINE, async || {
            let found = attacked.get(attacked.fleet.key(), &format!("/v1/alerts/{id}")).await.ok()?;
            (found.0 == 200).then_some(())
        })
        .await?;
    }
    let resolved = json!({"status": "resolved"});
    let last = |id: &str| json!({"id": id, "version": 9, "to": {}, "status": "resolved", "title": "t"});
    let hook = |id: &str| json!({"event_action": "resolve", "dedup_key": id});
    for (id, expected) in [("theirs", [403, 403]), ("mine", [200, 202])] {
        let path = format!("/v1/alerts/{id}");
        for (what, method, path, body) in [
            ("GET", Method::GET, path.clone(), None),
            ("timeline", Method::GET, format!("{path}/timeline"), None),
            ("PATCH", Method::PATCH, path, Some(resolved.clone())),
            ("a later version", Method::POST, "/v1/alerts".to_owned(), Some(last(id))),
            ("a hook", Method::POST, "/v1/hooks/pagerduty".to_owned(), Some(hook(id))),
        ] {
            let request = attacked.request(&own, method, &path);
            let request = match body {
                Some(body) => request.json(&body),
                None => request,
            };
            let (status, said) = answer(request).await?;
            ensure!(expected.contains(&status), "{what} of {id}: {status} {said}");
        }
    }
    let (_, theirs) = attacked.get(attacked.fleet.key(), "/v1/alerts/theirs").await?;
    assert_eq!(theirs["alert"]["status"], "firing", "{theirs}");
    Ok(())
}

/// The key of `demo.json` was compared with a text, whether it was revoked or not.
async fn a_revoked_key_looks_after_no_dead_letters(attacked: &Attacked) -> anyhow::Result<()> {
    let operator = attacked.key(&["--name", "operator", "--scope", "operations"])?;
    let (status, listed) = attacked.get(&operator, "/operations/dead").await?;
    ensure!(status == 200, "{status} {listed}");
    let elsewhere = ["key", "create", "--tenant", "evil", "--scope", "operations"];
    let elsewhere = attacked.command(&elsewhere)?;
    let (status, refused) = attacked.get(&elsewhere, "/operations/dead").await?;
    ensure!(status == 403, "the letters are of all tenants: {status} {refused}");

    let demo = attacked.fleet.key();
    ensure!(attacked.get(demo, "/operations/dead").await?.0 == 200);
    let listed = attacked.listed("demo")?;
    attacked.command(&["key", "revoke", listed["id"].as_str().context("it has an id")?])?;
    until("the key to stop working", DEADLINE, async || {
        let (status, _) = attacked.get(demo, "/operations/dead").await.ok()?;
        (status == 401).then_some(())
    })
    .await?;
    Ok(())
}
