//! The exact answer to everything that is not acceptable, over the wire, and that it stops nobody else.

use std::time::Duration;

use anyhow::ensure;
use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use watchbell::{
    domain::{Secret, UserId, UserKey},
    runtime::config::AuthConfig,
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    session::{Frames as _, Session},
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);
/// Sessions of one user in this fleet.
const SESSIONS_MAX: usize = 3;

async fn every_refusal(engine: Engine) -> anyhow::Result<()> {
    let env =
        [("WATCHBELL__SOCKET__AUTH_TIMEOUT", "500ms"), ("WATCHBELL__SOCKET__SESSIONS_PER_USER_MAX", "3")];
    let fleet = Fleet::start(engine, (1_000, 1_000), &env).await?;
    what_producers_hear(&fleet).await?;
    keys_and_walls(&fleet).await?;
    what_users_hear(&fleet).await?;
    a_foreign_page_is_refused_at_the_door(&fleet).await?;
    how_sessions_end(&fleet).await?;
    too_many_sessions(&fleet).await?;
    what_a_session_survives(&fleet).await?;
    somebody_elses_alert(&fleet).await?;
    somebody_unknown(&fleet).await
}

#[tokio::test]
async fn every_refusal_is_precise_in_one_process() {
    every_refusal(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn every_refusal_is_precise_through_real_services() {
    every_refusal(Engine::Services).await.unwrap();
}

/// Compares every row and tells of all that are wrong at once.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn expect(&mut self, why: &str, found: &Value, expected: &Value) {
        if found != expected {
            self.0.push(format!("{why}: expected {expected}, found {found}"));
        }
    }

    fn done(self) -> anyhow::Result<()> {
        ensure!(self.0.is_empty(), "{}", self.0.join("\n"));
        Ok(())
    }
}

/// The status, and the kind and field of a problem document, which has to be one.
async fn problem(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let text = response.text().await?;
    ensure!(
        kind.is_some_and(|kind| kind == "application/problem+json"),
        "{status} is no problem document: {text}"
    );
    let document: Value = serde_json::from_str(&text)?;
    ensure!(document["status"] == status && document["detail"].is_string(), "{document}");
    let slug = document["type"].as_str().unwrap_or_default().trim_start_matches("urn:watchbell:problem:");
    Ok(json!([status, slug, document["field"], document["index"]]))
}

async fn what_producers_hear(fleet: &Fleet) -> anyhow::Result<()> {
    let good = json!({"to": {"users": ["ana"]}, "title": "t"});
    let with = |field: &str, value: Value| {
        let mut alert = good.clone();
        alert[field] = value;
        alert.to_string()
    };
    let many = |count: usize| Value::from(vec![good.clone(); count]).to_string();
    let labels: Value = (0..65).map(|at| (format!("l{at}"), json!("x"))).collect();
    let url = format!("{}/v1/alerts", fleet.url("ingest")?);
    let mut report = Report::default();
    for (why, body, expected) in [
        ("not JSON", "{\"title\"".to_owned(), json!([400, "malformed", null, null])),
        ("nothing", String::new(), json!([400, "malformed", null, null])),
        ("a misspelt field", with("severty", json!("info")), json!([422, "invalid", "severty", null])),
        ("no title", json!({"to": {"users": ["ana"]}}).to_string(), json!([422, "invalid", "title", null])),
        ("a title that steers", with("title", json!("\u{1b}[2J")), json!([422, "invalid", "title", null])),
        ("an empty title", with("title", json!(" ")), json!([422, "invalid", "title", null])),
        ("for nobody", with("to", json!({})), json!([422, "invalid", "to", null])),
        (
            "a name that is none",
            with("to", json!({"users": ["ana", "a\nb"]})),
            json!([422, "invalid", "to.users[1]", null]),
        ),
        ("an unknown word", with("severity", json!("loud")), json!([422, "invalid", "severity", null])),
        ("another type", with("version", json!("one")), json!([422, "invalid", "version", null])),
        ("an unknown policy", with("policy", json!("nightly")), json!([422, "invalid", "policy", null])),
        ("somebody else's tenant", with("tenant", json!("evil")), json!([422, "invalid", "tenant", null])),
        ("65 labels", with("labels", labels), json!([422, "invalid", "labels", null])),
        (
            "64 KiB and more",
            with("body", json!("x".repeat(65_536))),
            json!([413, "too-large", "alert", null]),
        ),
        ("people by position", with("to", json!([["ana"]])), json!([422, "invalid", "to", null])),
        (
            "one person for a list",
            with("to", json!({"users": "ana"})),
            json!([422, "invalid", "to.users", null]),
        ),
        ("a text for people", with("to", json!("ana")), json!([422, "invalid", "to", null])),
        ("labels by position", with("labels", json!([["a", "b"]])), json!([422, "invalid", "labels", null])),
        ("an alert by position", json!([["alert", "a", 1]]).to_string(), json!([422, "invalid", "alert", 0])),
        ("1,001 alerts", many(1_001), json!([413, "too-large", null, null])),
        ("one bad one among good ones", format!("[{good}, {good}, {{}}]"), json!([422, "invalid", "to", 2])),
    ] {
        let request = fleet.http().post(&url).bearer_auth(fleet.key());
        let found = problem(request.header(header::CONTENT_TYPE, "application/json").body(body)).await?;
        report.expect(why, &found, &expected);
    }
    let get = |path: &str| fleet.http().get(format!("{url}{path}")).bearer_auth(fleet.key());
    for (why, request, expected) in [
        ("an alert nobody sent", get("/nothing"), json!([404, "not-found", null, null])),
        ("and its timeline", get("/nothing/timeline"), json!([404, "not-found", null, null])),
        (
            "a method that is not there",
            fleet.http().delete(&url).bearer_auth(fleet.key()),
            json!([405, "method-not-allowed", null, null]),
        ),
        (
            "a form",
            fleet.http().post(&url).bearer_auth(fleet.key()).form(&[("title", "t")]),
            json!([415, "unsupported-media-type", null, null]),
        ),
    ] {
        report.expect(why, &problem(request).await?, &expected);
    }
    report.done()
}

async fn keys_and_walls(fleet: &Fleet) -> anyhow::Result<()> {
    let store = [("WATCHBELL__STORE__URL", "sqlite:data/watchbell.db?mode=rw")];
    let store = if fleet.engine == Engine::Embedded { &store[..] } else { &[] };
    let revoked = fleet.command_with(&["key", "create", "--tenant", "other", "--name", "lost"], store)?;
    let url = format!("{}/v1/alerts", fleet.url("ingest")?);
    let post = |key: Option<&str>| {
        let request = fleet.http().post(&url).json(&json!({"to": {"users": ["ana"]}, "title": "t"}));
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    };
    let (status, sent) = answer(post(Some(revoked.trim()))).await?;
    ensure!(status == 202, "a new key works: {sent}");

    let mut report = Report::default();
    let unauthorized = json!([401, "unauthorized", null, null]);
    for (why, key) in [
        ("no key", None),
        ("a key that was never made", Some("wbk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")),
        ("no key at all", Some("hunter2")),
        ("a user's token", Some(fleet.token("ana")?.as_str())),
    ] {
        report.expect(why, &problem(post(key)).await?, &unauthorized);
    }
    let listed = fleet.command_with(&["key", "list"], store)?;
    let hash = listed.lines().find(|line| line.contains("lost")).and_then(|line| line.split(' ').next());
    fleet.command_with(&["key", "revoke", hash.unwrap_or_default()], store)?;
    // A revoked key is remembered for five seconds at the most.
    until("the revoked key to stop working", DEADLINE, async || {
        (problem(post(Some(revoked.trim()))).await.ok()? == unauthorized).then_some(())
    })
    .await?;
    let (status, _) = fleet
        .producer(Method::GET, &format!("/v1/alerts/{}", sent["id"].as_str().unwrap_or_default()), None)
        .await?;
    report.expect("another tenant's alert looks like none", &json!(status), &json!(404));
    report.done()
}

/// A token that says all the right things and was signed by somebody else.
fn forged(fleet: &Fleet) -> anyhow::Result<String> {
    let secret = Secret::from("a secret of the forger, long enough to sign with");
    let user = UserKey::new(fleet.tenant().clone(), UserId::parse("ana")?);
    let expires_at = jiff::Timestamp::now() + SignedDuration::from_hours(1);
    watchbell_socket::token::mint(&secret, &AuthConfig::default(), &user, expires_at)
}

async fn what_users_hear(fleet: &Fleet) -> anyhow::Result<()> {
    let base = fleet.url("socket-1")?;
    let (token, expired) =
        (fleet.token("ana")?, fleet.mint(fleet.tenant().as_str(), "ana", SignedDuration::from_hours(-1))?);
    let inbox = |token: &str| fleet.http().get(format!("{base}/v1/inbox")).bearer_auth(token);
    let put =
        |path: &str, body: Value| fleet.http().put(format!("{base}{path}")).bearer_auth(&token).json(&body);
    let receipt =
        |body: Value| fleet.http().post(format!("{base}/v1/inbox/receipts")).bearer_auth(&token).json(&body);
    let get = |path: &str| fleet.http().get(format!("{base}{path}")).bearer_auth(&token);
    let many_topics = format!("/v1/poll?topics={}", (0..65).map(|n| format!("t:{n},")).collect::<String>());
    let mut report = Report::default();
    for (path, expected) in [
        ("/v1/inbox?before=-5", json!([422, "invalid", "before", null])),
        ("/v1/poll?wait=-1", json!([422, "invalid", "wait", null])),
        ("/v1/inbox?limit=0", json!([422, "invalid", "limit", null])),
        ("/v1/inbox?limit=201", json!([422, "invalid", "limit", null])),
        ("/v1/inbox?serverity=critical", json!([422, "invalid", "query", null])),
        ("/v1/topics/x/events?limit=-1", json!([422, "invalid", "limit", null])),
        ("/v1/topics/x/events?limit=0", json!([422, "invalid", "limit", null])),
        ("/v1/topics/x/events?last=5", json!([422, "invalid", "query", null])),
        ("/v1/poll?labels=env", json!([422, "invalid", "filter", null])),
        (&many_topics, json!([422, "invalid", "topics", null])),
        ("/v1/sse?cursor=a&cursor=b", json!([422, "invalid", "cursor", null])),
        ("/v1/ws?wait=long", json!([422, "invalid", "wait", null])),
        ("/v1/ws", json!([400, "malformed", null, null])),
        ("/v1/devices/%FF", json!([422, "invalid", "device", null])),
        ("/v1/topics/%FF/events", json!([422, "invalid", "topic", null])),
        ("/v1/inboxes", json!([404, "not-found", null, null])),
        ("/v1/inbox/receipts", json!([405, "method-not-allowed", null, null])),
    ] {
        report.expect(path, &problem(get(path)).await?, &expected);
    }
    for (why, request, expected) in [
        ("no token", fleet.http().get(format!("{base}/v1/inbox")), json!([401, "unauthorized", null, null])),
        ("an expired token", inbox(&expired), json!([401, "unauthorized", null, null])),
        ("a forged token", inbox(&forged(fleet)?), json!([401, "unauthorized", null, null])),
        ("a producer's key", inbox(fleet.key()), json!([401, "unauthorized", null, null])),
        (
            "a phone of no known make",
            put("/v1/devices/d", json!({"service": "pigeon", "token": "t"})),
            json!([422, "invalid", "service", null]),
        ),
        (
            "a phone without a token",
            put("/v1/devices/d", json!({"service": "apns", "token": ""})),
            json!([422, "invalid", "token", null]),
        ),
        (
            "an unknown field",
            put("/v1/devices/d", json!({"service": "apns", "token": "t", "x": 1})),
            json!([422, "invalid", "x", null]),
        ),
        (
            "a list in place of an object",
            put("/v1/preferences", json!([])),
            json!([422, "invalid", "body", null]),
        ),
        (
            "channels by position",
            put("/v1/preferences", json!({"channels": [false, false]})),
            json!([422, "invalid", "channels", null]),
        ),
        (
            "a window by position",
            put("/v1/preferences", json!({"quiet": {"windows": [[["mon"], "23:00", "07:00"]]}})),
            json!([422, "invalid", "quiet.windows[0]", null]),
        ),
        (
            "a browser's keys by position",
            put(
                "/v1/devices/d",
                json!({"service": "webpush", "endpoint": "https://push.example.org/x", "keys": ["p", "a"]}),
            ),
            json!([422, "invalid", "keys", null]),
        ),
        ("a receipt by position", receipt(json!([["a"], "seen"])), json!([422, "invalid", "body", null])),
        (
            "a field of the wrong type",
            put("/v1/preferences", json!({"channels": {"email": "no"}})),
            json!([422, "invalid", "channels.email", null]),
        ),
        (
            "a page of another host, with the cookie",
            fleet
                .http()
                .post(format!("{base}/v1/inbox/receipts"))
                .header("cookie", format!("watchbell_token={token}"))
                .header("origin", "https://evil.example")
                .body(r#"{"alerts": ["a"], "state": "dismissed"}"#),
            json!([403, "forbidden", null, null]),
        ),
        (
            "too much",
            put("/v1/preferences", json!({"timezone": "x".repeat(70_000)})),
            json!([413, "too-large", null, null]),
        ),
        (
            "a device that is not there",
            fleet.http().get(format!("{base}/v1/devices/none")).bearer_auth(&token),
            json!([404, "not-found", null, null]),
        ),
        (
            "a receipt about nothing",
            receipt(json!({"alerts": [], "state": "seen"})),
            json!([422, "invalid", "alerts", null]),
        ),
        (
            "a receipt that says nothing",
            receipt(json!({"alerts": ["a"], "state": "glanced"})),
            json!([422, "invalid", "state", null]),
        ),
    ] {
        report.expect(why, &problem(request).await?, &expected);
    }
    report.done()
}

async fn a_foreign_page_is_refused_at_the_door(fleet: &Fleet) -> anyhow::Result<()> {
    let own = fleet.url("socket-1")?;
    let upgrade = |origin: &str| {
        fleet
            .http()
            .get(format!("{own}/v1/ws"))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(header::ORIGIN, origin)
    };
    let found = problem(upgrade("https://evil.example")).await?;
    assert_eq!(found, json!([403, "forbidden", null, null]));
    assert_eq!(upgrade(&own).send().await?.status(), 101, "our own page may");
    Ok(())
}

async fn how_sessions_end(fleet: &Fleet) -> anyhow::Result<()> {
    let auth = |token: &str| Message::text(json!({"type": "auth", "token": token}).to_string());
    let good = auth(&fleet.token("ana")?);
    let expired = fleet.mint(fleet.tenant().as_str(), "ana", SignedDuration::from_hours(-1))?;
    let text = |text: &str| Message::text(text.to_owned());
    let binary = || Message::Binary(Bytes::from_static(b"\x00\x01"));
    let ben = auth(&fleet.token("ben")?);
    let url = fleet.ws_url("socket-1")?;
    let mut report = Report::default();
    for (why, said, expected) in [
        ("nothing in time", vec![], "closed 4008 no auth"),
        ("an expired token", vec![auth(&expired)], "closed 4300 token expired"),
        ("a forged token", vec![auth(&forged(fleet)?)], "closed 4001 bad token"),
        ("a tenant claimed with another's signature", vec![auth(&spliced(fleet)?)], "closed 4001 bad token"),
        ("no token", vec![text(r#"{"type": "auth"}"#)], "closed 4001 bad token"),
        ("garbage at first", vec![text("hello?")], "closed 4000 protocol"),
        ("binary at first", vec![binary()], "closed 4000 protocol"),
        (
            "a receipt at first",
            vec![text(r#"{"type": "receipt", "alerts": ["a"], "state": "seen"}"#)],
            "closed 4000 protocol",
        ),
        (
            "ten lines that are no frames",
            vec![good.clone(), text("hello?\n[\"receipt\"]\n1\n{"), text(&"a\n".repeat(5)), text("b")],
            "closed 4000 protocol",
        ),
        ("binary later", vec![good.clone(), binary()], "closed 4000 protocol"),
        ("over 16 KiB", vec![good.clone(), text(&"x".repeat(20_000))], "closed 4000 protocol"),
        ("refreshed as somebody else", vec![good.clone(), ben], "closed 4003 forbidden"),
        ("refreshed with an expired token", vec![good, auth(&expired)], "closed 4300 token expired"),
    ] {
        let mut session = Session::connect(&url).await?;
        for message in said {
            session.say_raw(message).await?;
        }
        let found = session.closed().await.unwrap_or_else(|error| error.to_string());
        report.expect(why, &json!(found), &json!(expected));
    }
    let mut session = Session::connect(&url).await?;
    session.say_raw(Message::Ping(Bytes::new())).await?;
    session.say(&json!({"type": "auth", "token": fleet.token("ana")?})).await?;
    let first =
        session.next().await.map_or_else(|error| json!(error.to_string()), |frame| frame["type"].clone());
    report.expect("a WebSocket ping is not a first frame", &first, &json!("hello"));
    report.done()
}

/// The claims of a forged token under the signature of a good one.
fn spliced(fleet: &Fleet) -> anyhow::Result<String> {
    let (good, other) = (fleet.token("ana")?, fleet.mint("other", "ana", SignedDuration::from_hours(1))?);
    let (claims, _) = other.rsplit_once('.').unwrap_or_default();
    let (_, signature) = good.rsplit_once('.').unwrap_or_default();
    Ok(format!("{claims}.{signature}"))
}

async fn too_many_sessions(fleet: &Fleet) -> anyhow::Result<()> {
    let mut open = Vec::new();
    for _ in 0..SESSIONS_MAX {
        open.push(fleet.session("socket-1", "cem", None).await?);
    }
    let mut one_more = Session::connect(&fleet.ws_url("socket-1")?).await?;
    one_more.say(&json!({"type": "auth", "token": fleet.token("cem")?})).await?;
    assert_eq!(one_more.closed().await?, "closed 4101 too many connections");
    open.pop();
    until("the place to be free again", DEADLINE, async || fleet.session("socket-1", "cem", None).await.ok())
        .await?;
    Ok(())
}

/// What a session is told about, or ignores, and goes on after.
async fn what_a_session_survives(fleet: &Fleet) -> anyhow::Result<()> {
    let mut dora = fleet.session("socket-1", "dora", None).await?;
    let too_many: Vec<String> = (0..501).map(|at| format!("a{at}")).collect();
    let mut report = Report::default();
    for (why, said, named) in [
        ("no alert", json!({"type": "receipt", "alerts": [], "state": "seen"}), Some("alerts")),
        ("501 alerts", json!({"type": "receipt", "alerts": too_many, "state": "seen"}), Some("alerts")),
        (
            "a name that is none",
            json!({"type": "receipt", "alerts": ["a/b"], "state": "seen"}),
            Some("alerts"),
        ),
        (
            "a word that is none",
            json!({"type": "receipt", "alerts": ["a"], "state": "glanced"}),
            Some("state"),
        ),
        (
            "a long name for it",
            json!({"type": "receipt", "alerts": ["a"], "state": "seen", "op": "x".repeat(201)}),
            Some("op"),
        ),
        ("a frame of a later protocol", json!({"type": "holograms", "on": true}), None),
        ("a field of a later protocol", json!({"type": "pong", "seq": 0, "mood": "fine"}), None),
    ] {
        dora.say(&said).await?;
        if let Some(field) = named {
            let frame = dora.next_of("error").await?;
            report.expect(why, &frame["code"], &json!("invalid_receipt"));
            let title = frame["title"].as_str().unwrap_or_default();
            report.expect(why, &json!(title.contains(field)), &json!(true));
        }
    }
    for (why, said, title) in [
        ("a receipt of nothing", json!({"type": "receipt", "state": "seen"}), "alerts: is missing"),
        (
            "a list that is a text",
            json!({"type": "receipt", "alerts": "x", "state": "seen"}),
            "has the wrong type",
        ),
        ("no topic", json!({"type": "subscribe"}), "topic: is missing"),
        ("a word that is none", json!({"type": "visibility", "state": "half"}), "visible"),
    ] {
        dora.say(&said).await?;
        let frame = dora.next_of("error").await?;
        report.expect(why, &frame["code"], &json!("invalid_frame"));
        let told = frame["title"].as_str().unwrap_or_default();
        report.expect(&format!("{why}: {told}"), &json!(told.contains(title)), &json!(true));
    }
    for said in ["hello?", r#"{"type": "receipt""#, r#"["receipt", ["a"], "seen"]"#] {
        dora.say_raw(Message::text(said.to_owned())).await?;
        let frame = dora.next_of("error").await?;
        report.expect(said, &frame["code"], &json!("invalid_frame"));
    }
    let id = fleet.send(&json!({"to": {"users": ["dora"]}, "title": "t"})).await?;
    report.expect("it goes on", &dora.next_of("alert").await?["alert"]["id"], &json!(id));
    report.done()
}

/// I8: a receipt for what is in nobody's or somebody else's inbox changes nothing, and does not say which it was.
async fn somebody_elses_alert(fleet: &Fleet) -> anyhow::Result<()> {
    let mut eve = fleet.session("socket-1", "eve", None).await?;
    let id = fleet.send(&json!({"to": {"users": ["finn"]}, "title": "t"})).await?;
    until("finn to have it", DEADLINE, async || fleet.inbox("finn").await.ok()?.pop()).await?;
    eve.say(&json!({"type": "receipt", "alerts": [id, "nothing"], "state": "seen"})).await?;
    let body = json!({"alerts": [id], "state": "read"});
    let (status, said) = fleet.user("eve", Method::POST, "/v1/inbox/receipts", Some(&body)).await?;
    assert_eq!((status, &said["alerts"]), (200, &json!([])), "{said}");
    assert_eq!(fleet.inbox("finn").await?[0]["state"], "new");
    assert_eq!(fleet.timeline(&id, "eve").await?, Value::Null);
    // Her session heard of nothing: the next change it is told of is her own first one.
    fleet.send(&json!({"to": {"users": ["eve"]}, "title": "t"})).await?;
    assert_eq!(eve.next().await?["seq"], 1);
    Ok(())
}

/// Whoever is addressed has an inbox from then on, even if nobody ever told us of them.
async fn somebody_unknown(fleet: &Fleet) -> anyhow::Result<()> {
    let id = fleet.send(&json!({"to": {"users": ["greta"]}, "title": "Disk full"})).await?;
    until("greta's inbox", DEADLINE, async || fleet.inbox("greta").await.ok()?.pop()).await?;
    let explained = until("the escalation to find nobody", DEADLINE, async || {
        let told = fleet.timeline(&id, "greta").await.ok()?;
        told.to_string().contains("escalation ended").then_some(told)
    })
    .await?;
    let data =
        ["explain", id.as_str(), "--tenant", fleet.tenant().as_str(), "--user", "greta", "--data", "data"];
    let said = fleet.command(&data)?;
    for told in [&explained.to_string(), &said] {
        assert!(told.contains("no device") && told.contains("no address"), "{told}");
    }
    Ok(())
}
