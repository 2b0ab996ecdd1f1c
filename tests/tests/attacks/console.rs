//! The operators' console: nobody looks in or acts without a session, and a session is worth what its key is.

use std::{fs, time::Duration};

use anyhow::ensure;
use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{ALL_SCOPES, Engine, Fleet},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);
const TOKEN: &str = "x-watchbell-console";
const TENANT: &str = "x-watchbell-tenant";

async fn fleet() -> Fleet {
    Fleet::start(Engine::Embedded, (60_000, 60_000), &[]).await.unwrap()
}

/// Both halves of a session.
struct Session {
    cookie: String,
    token: String,
}

impl Session {
    /// Signs in with a key, as the page does.
    async fn begin(fleet: &Fleet, key: &str) -> anyhow::Result<Self> {
        let post = fleet.http().post(format!("{}/console/sign-in", fleet.url("up")?));
        let response = post.json(&json!({"key": key})).send().await?;
        ensure!(response.status() == 200, "{} {}", response.status(), response.text().await?);
        let cookie = response.headers()[header::SET_COOKIE].to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let said: Value = response.json().await?;
        Ok(Self { cookie, token: said["token"].as_str().unwrap_or_default().to_owned() })
    }

    fn shown(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(header::COOKIE, &self.cookie).header(TOKEN, &self.token)
    }

    /// Asks below `/console/api`.
    async fn ask(
        &self,
        fleet: &Fleet,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let request = self.shown(at(fleet, method, path)?);
        answer(body.into_iter().fold(request, RequestBuilder::json)).await
    }
}

fn at(fleet: &Fleet, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
    Ok(fleet.http().request(method, format!("{}/console/api{path}", fleet.url("up")?)))
}

/// A key of `up` with these scopes.
fn key(fleet: &Fleet, tenant: &str, scopes: &str) -> String {
    let made = fleet.command(&[
        "key", "create", "--tenant", tenant, "--name", "alice", "--scope", scopes, "--data", "data",
    ]);
    made.unwrap().trim().to_owned()
}

#[tokio::test]
async fn nothing_is_answered_without_both_halves_of_a_session_of_this_page() {
    let fleet = fleet().await;
    let base = fleet.url("up").unwrap();
    let session = Session::begin(&fleet, fleet.key()).await.unwrap();
    let other = Session::begin(&fleet, fleet.key()).await.unwrap();
    let get = || at(&fleet, Method::GET, "/session").unwrap();
    for (why, request, expected) in [
        ("both halves", session.shown(get()), 200),
        ("of its own page", session.shown(get()).header(header::ORIGIN, &base), 200),
        ("no half", get(), 401),
        (
            "the cookie alone, as a foreign page has it sent",
            get().header(header::COOKIE, &session.cookie),
            401,
        ),
        ("the token alone", get().header(TOKEN, &session.token), 401),
        (
            "halves of two sessions",
            get().header(header::COOKIE, &session.cookie).header(TOKEN, &other.token),
            401,
        ),
        ("the key itself", get().bearer_auth(fleet.key()), 401),
        (
            "from another port of this machine",
            session.shown(get()).header(header::ORIGIN, "http://127.0.0.1:1"),
            403,
        ),
        ("from another page", session.shown(get()).header(header::ORIGIN, "https://evil.example"), 403),
        ("from a sandboxed frame", session.shown(get()).header(header::ORIGIN, "null"), 403),
    ] {
        let (status, said) = answer(request).await.unwrap();
        assert_eq!(status, expected, "{why}: {said}");
    }

    // Each route of the API that takes a key is there, too, and no other one is.
    let document: Value =
        fleet.http().get(format!("{base}/openapi.json")).send().await.unwrap().json().await.unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace(['{', '}'], "");
            let (status, said) = answer(at(&fleet, method.clone(), &path).unwrap()).await.unwrap();
            assert!(matches!(status, 401 | 404 | 405), "{method} {path} without a session: {status} {said}");
        }
    }
    for path in ["/v1/inbox", "/v1/hooks/grafana", "/v1/poll"] {
        let (status, _) = session.ask(&fleet, Method::GET, path, None).await.unwrap();
        assert_eq!(status, 404, "{path}");
    }

    // What is for everybody says nothing of the installation, and runs nothing from elsewhere.
    let page = fleet.http().get(format!("{base}/console")).send().await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text().await.unwrap();
    assert!(!text.contains("demo") && !text.contains(" style=") && !text.contains("<script>"), "{text}");

    let signed_out = session.shown(fleet.http().post(format!("{base}/console/sign-out")));
    assert_eq!(signed_out.send().await.unwrap().status(), 200);
    assert_eq!(session.ask(&fleet, Method::GET, "/session", None).await.unwrap().0, 401, "signed out");
    assert_eq!(
        other.ask(&fleet, Method::GET, "/session", None).await.unwrap().0,
        200,
        "the other one is not"
    );
}

#[tokio::test]
async fn a_session_is_worth_what_its_key_is() {
    let fleet = fleet().await;
    for (why, key, expected) in [
        ("another tenant's", key(&fleet, "evil", ALL_SCOPES), 403),
        ("without the scope", key(&fleet, "demo", "alerts,events,people,read"), 403),
        ("guessed", format!("wbk_{}", "A".repeat(43)), 401),
        ("a user's token", fleet.token("ana").unwrap(), 401),
    ] {
        let refused = Session::begin(&fleet, &key).await.map(drop).unwrap_err().to_string();
        assert!(refused.starts_with(&expected.to_string()), "{why}: {refused}");
        assert!(!refused.contains(&key), "{why}: {refused}");
    }

    let bare = key(&fleet, "demo", "operations");
    let session = Session::begin(&fleet, &bare).await.unwrap();
    let erase = session.ask(&fleet, Method::DELETE, "/v1/users/zed", None).await.unwrap();
    assert_eq!(erase.0, 403, "it may not change people: {}", erase.1);
    assert_eq!(
        session.ask(&fleet, Method::GET, "/v1/alerts", None).await.unwrap().0,
        403,
        "nor read of them"
    );
    let messages = session.ask(&fleet, Method::GET, "/messages?alert=a&user=ana", None).await.unwrap();
    assert_eq!(messages.0, 403, "nor what was written to them: {}", messages.1);
    assert_eq!(session.ask(&fleet, Method::GET, "/v1/audit", None).await.unwrap().0, 200);
    let more = json!({"tenant": "demo", "name": "more", "scopes": ["people"]});
    let (status, said) = session.ask(&fleet, Method::POST, "/keys", Some(&more)).await.unwrap();
    assert_eq!(status, 403, "nor make itself a key that may: {said}");

    // A key that was revoked signs out whoever came in with it.
    let operator = Session::begin(&fleet, fleet.key()).await.unwrap();
    let (_, said) = session.ask(&fleet, Method::GET, "/session", None).await.unwrap();
    let path = format!("/keys/{}", said["key"].as_str().unwrap());
    let (status, said) = operator.ask(&fleet, Method::DELETE, &path, None).await.unwrap();
    assert_eq!((status, &said["revoked"]), (200, &json!(1)));
    until("the session of the revoked key to end", DEADLINE, async || {
        let (status, _) = session.ask(&fleet, Method::GET, "/session", None).await.ok()?;
        (status == 401).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_operator_acts_for_any_tenant_and_each_act_is_in_the_log() {
    let fleet = fleet().await;
    let operator = Session::begin(&fleet, fleet.key()).await.unwrap();
    let (_, who) = operator.ask(&fleet, Method::GET, "/session", None).await.unwrap();
    let actor = format!("key:{}", who["key"].as_str().unwrap());

    let wanted = json!({"tenant": "acme", "name": "bot", "scopes": ["alerts", "read"], "expires_in_s": 3600});
    let (status, made) = operator.ask(&fleet, Method::POST, "/keys", Some(&wanted)).await.unwrap();
    assert_eq!(status, 200, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let url = format!("{}/v1/alerts", fleet.url("up").unwrap());
    let actions = json!([{"id": "grow", "title": "Grow it", "answer": "yes"}]);
    let alert = json!({"id": "theirs", "to": {"users": ["zoe"]}, "title": "of acme", "actions": actions});
    let (status, said) = answer(fleet.http().post(url).bearer_auth(secret).json(&alert)).await.unwrap();
    assert_eq!(status, 202, "the key works: {said}");

    let of_acme =
        |method: Method, path: &str| operator.shown(at(&fleet, method, path).unwrap()).header(TENANT, "acme");
    until("the alert to be recorded", DEADLINE, async || {
        let (status, _) = answer(of_acme(Method::GET, "/v1/alerts/theirs")).await.ok()?;
        (status == 200).then_some(())
    })
    .await
    .unwrap();
    let (status, _) = operator.ask(&fleet, Method::GET, "/v1/alerts/theirs", None).await.unwrap();
    assert_eq!(status, 404, "of another tenant than the one that is looked at");

    // What zoe gets is shown, without what would act for her, and of nobody who does not have the alert.
    let messages = |user: &str| of_acme(Method::GET, &format!("/messages?alert=theirs&user={user}"));
    let (status, said) = answer(messages("zoe")).await.unwrap();
    assert_eq!((status, &said["version"]), (200, &json!(1)), "{said}");
    assert_eq!(said["messages"]["apns"]["payload"]["aps"]["alert"]["title"], "of acme", "{said}");
    let html = said["messages"]["email"]["html"].as_str().unwrap();
    assert!(html.contains("of acme") && !html.contains("/v1/"), "no link that acts: {html}");
    assert!(!said.to_string().contains("answers_at"), "{said}");
    assert_eq!(answer(messages("ana")).await.unwrap().0, 404, "she does not have it");
    let (status, said) =
        operator.ask(&fleet, Method::GET, "/messages?alert=theirs&user=zoe", None).await.unwrap();
    assert_eq!(status, 404, "of another tenant: {said}");

    let resolve = of_acme(Method::PATCH, "/v1/alerts/theirs").json(&json!({"status": "resolved"}));
    let (status, said) = answer(resolve).await.unwrap();
    assert_eq!(status, 202, "{said}");
    let (status, said) = answer(of_acme(Method::DELETE, "/v1/users/zoe/sessions")).await.unwrap();
    assert!((200..300).contains(&status), "{status} {said}");
    let (status, receipt) = answer(of_acme(Method::DELETE, "/v1/users/zoe")).await.unwrap();
    assert_eq!((status, &receipt["complete"]), (200, &json!(true)), "{receipt}");

    let (_, log) = answer(of_acme(Method::GET, "/v1/audit")).await.unwrap();
    let acts: Vec<(&str, &str)> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["actor"].as_str().unwrap(), entry["action"].as_str().unwrap()))
        .collect();
    for action in ["key.created", "alert.changed", "sessions.revoked", "user.erased"] {
        assert!(acts.contains(&(actor.as_str(), action)), "{action}: {log}");
    }
    let (_, tenants) = operator.ask(&fleet, Method::GET, "/keys", None).await.unwrap();
    assert_eq!(tenants["tenants"], json!(["acme", "demo"]));
    assert!(!tenants.to_string().contains(secret), "a secret is shown once");
}

#[tokio::test]
async fn whoever_tries_keys_is_slowed_down() {
    let fleet = fleet().await;
    let mut statuses = Vec::new();
    for n in 0..12 {
        let post = fleet.http().post(format!("{}/console/sign-in", fleet.url("up").unwrap()));
        let guess = format!("wbk_{n:A>43}");
        let (status, said) = answer(post.json(&json!({"key": guess}))).await.unwrap();
        assert!(status == 401 || status == 429, "{status} {said}");
        if status == 429 {
            assert!(said["retry_after_s"].as_u64().unwrap() >= 1, "{said}");
        }
        statuses.push(status);
    }
    assert!(statuses.contains(&429) && statuses[0] == 401, "{statuses:?}");
}

#[tokio::test]
async fn dead_letters_are_replayed_from_the_console() {
    // What `up` has set aside is a file of its data folder, read when it starts.
    let mut fleet = fleet().await;
    fleet.furnish("ana").await.unwrap();
    let alert =
        json!({"id": "late", "version": 1, "tenant": "demo", "to": {"users": ["ana"]}, "title": "late"});
    let headers = json!({"watchbell-from": "watchbell.dispatch", "watchbell-reason": "delivered 20 times"});
    let letter = json!({"number": 0, "message_id": "late", "content_type": "application/json", "headers": headers, "body": alert.to_string()});
    fs::write(fleet.dir().join("data/dead.ndjson"), format!("{letter}\n")).unwrap();
    fleet.restart("up").await.unwrap();
    fleet.ready("up").await.unwrap();
    let operator = Session::begin(&fleet, fleet.key()).await.unwrap();
    let (_, listed) = operator.ask(&fleet, Method::GET, "/dead", None).await.unwrap();
    assert_eq!((&listed["total"], &listed["letters"][0]["id"]), (&json!(1), &json!("late")), "{listed}");
    let replay = json!({"action": "replay", "ids": ["late"]});
    let (status, done) = operator.ask(&fleet, Method::POST, "/dead", Some(&replay)).await.unwrap();
    assert_eq!((status, &done["acted"]), (200, &json!(1)), "{done}");
    until("the replayed alert", DEADLINE, async || {
        fleet.inbox("ana").await.ok()?.iter().any(|row| row["alert"]["id"] == "late").then_some(())
    })
    .await
    .unwrap();
    let (_, log) = operator.ask(&fleet, Method::GET, "/v1/audit?object=dead-letters", None).await.unwrap();
    assert_eq!(log["entries"][0]["action"], "dead.replayed", "{log}");
}

#[tokio::test]
async fn policies_and_routes_are_tried_and_nothing_is_changed() {
    let fleet = fleet().await;
    let operator = Session::begin(&fleet, fleet.key()).await.unwrap();
    let check = async |toml: &str| {
        operator.ask(&fleet, Method::POST, "/policies/check", Some(&json!({"toml": toml}))).await.unwrap()
    };
    let (status, found) =
        check("[policies.night]\nsteps = [{channel = \"push\", after = \"30s\"}, {channel = \"sms\", after = \"5m\"}]").await;
    assert_eq!(status, 200, "{found}");
    let told: Vec<u64> = found["policies"]["night"]["timelines"]["critical"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["tells"] == true)
        .map(|line| line["after_s"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [30, 330], "{found}");
    for (why, toml, expected) in [
        (
            "an unknown channel",
            "[policies.x]\nsteps = [{channel = \"fax\", after = \"5m\"}]",
            "steps[0].channel",
        ),
        ("another section", "[store]\nurl = \"sqlite:canary\"", "unknown section `store`"),
        ("no TOML", "steps = [", "toml"),
    ] {
        let (status, problem) = check(toml).await;
        assert_eq!(status, 422, "{why}: {problem}");
        assert!(
            problem.to_string().contains(expected) && !problem.to_string().contains("canary"),
            "{why}: {problem}"
        );
    }
    let (_, held) = operator.ask(&fleet, Method::GET, "/policies", None).await.unwrap();
    assert!(
        held["policies"]["night"].is_null() && !held["policies"]["default"].is_null(),
        "nothing is saved: {held}"
    );

    let post = json!({"alerts": [{"labels": {"alertname": "DiskFull"}, "status": "firing"}], "version": "4"});
    let sample = json!({"hook": "alertmanager", "query": "users=ana", "body": post.to_string()});
    let (status, tried) = operator.ask(&fleet, Method::POST, "/routes/try", Some(&sample)).await.unwrap();
    assert_eq!((status, &tried["alerts"][0]["alert"]["to"]["users"]), (200, &json!(["ana"])), "{tried}");
    let sample = json!({"body": json!({"team": "storage"}).to_string()});
    let (status, tried) = operator.ask(&fleet, Method::POST, "/routes/try", Some(&sample)).await.unwrap();
    assert!(status == 200 && !tried["lines"].as_array().unwrap().is_empty(), "{status} {tried}");
    let (_, alerts) = operator.ask(&fleet, Method::GET, "/v1/alerts", None).await.unwrap();
    assert_eq!(alerts["alerts"], json!([]), "nothing is published");
}
