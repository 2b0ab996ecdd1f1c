//! Signing in to the operators' console with an account of a sign-in service: whoever forges, repeats or redirects a part of it is not
//! let in, each with its reason, and whoever is let in may do what their values say and is named in the audit log.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use reqwest::{Client, Method, RequestBuilder, Url, header, redirect};
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    sign_in_service::{CLIENT_ID, CLIENT_SECRET, SignInService, Signed},
};

const TOKEN: &str = "x-watchbell-console";
const TENANT: &str = "x-watchbell-tenant";
/// The page as it is registered. Nobody of this test opens it there.
const PAGE: &str = "https://ops.example.com/console";
const ORIGIN: &str = "https://ops.example.com";
const HOST: &str = "ops.example.com";

async fn started() -> (SignInService, Fleet) {
    let service = SignInService::start().await.unwrap();
    let toml = format!(
        "[http]\nallowed_hosts = [\"{HOST}\"]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[console.oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
         redirect_url = \"{PAGE}\"\nname = \"Acme SSO\"\n\
         allow = [{{value = \"ops\", scopes = [\"operations\", \"read\"]}}, \
         {{value = \"acme-help\", tenant = \"acme\", scopes = [\"operations\", \"read\", \"people\"]}}]\n",
        service.issuer()
    );
    let fleet = Fleet::start_configured(Engine::Embedded, &toml, &[]).await.unwrap();
    (service, fleet)
}

/// A browser that went to the service and was sent back, before its page says so.
struct Back {
    cookie: String,
    state: String,
    code: String,
}

fn post(fleet: &Fleet, path: &str) -> RequestBuilder {
    fleet.http().post(format!("{}/console/{path}", fleet.url("up").unwrap()))
}

/// The name and the value of a cookie that is set.
fn cookies_of(response: &reqwest::Response) -> Vec<String> {
    let lines = response.headers().get_all(header::SET_COOKIE).iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

async fn go_and_come_back(fleet: &Fleet) -> Back {
    static ADDRESSES: AtomicU32 = AtomicU32::new(0);
    // Each from an address of its own, so that the rate of tries is not what is tested.
    let from = Ipv4Addr::from(0xcb00_7100 + ADDRESSES.fetch_add(1, Ordering::Relaxed)).to_string();
    let begin = post(fleet, "oidc/begin").header(header::ORIGIN, ORIGIN).header(header::HOST, HOST);
    let begun = begin.header("x-forwarded-for", from).json(&json!({})).send().await.unwrap();
    let set = cookies_of(&begun);
    let said: Value = begun.json().await.unwrap();
    let to = said["to"].as_str().with_context(|| said.to_string()).unwrap();
    assert_eq!(set.len(), 1);
    assert!(set[0].starts_with("__Host-watchbell_console_oidc=") && set[0].contains("HttpOnly"), "{set:?}");
    assert!(
        set[0].contains("SameSite=Strict") && set[0].contains("Secure") && set[0].contains("Max-Age=600"),
        "{set:?}"
    );
    let browser = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let sent_back = browser.get(to).send().await.unwrap();
    let to = Url::parse(sent_back.headers()[header::LOCATION].to_str().unwrap()).unwrap();
    let of = |name: &str| to.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert!(to.as_str().starts_with(PAGE), "{to}");
    let cookie = set[0].split(';').next().unwrap().to_owned();
    Back { cookie, state: of("state"), code: of("code") }
}

async fn finish(fleet: &Fleet, back: &Back, change: Value) -> reqwest::Response {
    let mut body = json!({"state": back.state, "code": back.code});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    let post = post(fleet, "oidc/finish").header(header::ORIGIN, ORIGIN).header(header::HOST, HOST);
    post.header(header::COOKIE, &back.cookie).json(&body).send().await.unwrap()
}

async fn is_refused(why: &str, response: reqwest::Response, expected: (u16, &str)) {
    let (status, set) = (response.status().as_u16(), cookies_of(&response));
    let text = response.text().await.unwrap();
    assert_eq!(status, expected.0, "{why}: {text}");
    assert!(text.contains(expected.1), "{why}: {text}");
    assert!(set.is_empty() && !text.contains("\"token\":"), "{why}: no session: {set:?} {text}");
    assert!(!text.contains(CLIENT_SECRET), "{why}: {text}");
}

/// Both halves of a session.
struct Session {
    cookie: String,
    token: String,
}

impl Session {
    async fn begin(fleet: &Fleet) -> Self {
        let response = finish(fleet, &go_and_come_back(fleet).await, json!({})).await;
        let set = cookies_of(&response);
        let (status, said) = (response.status(), response.json::<Value>().await.unwrap());
        assert_eq!(status, 200, "{said}");
        let session = set.iter().find(|line| line.starts_with("__Host-watchbell_console=")).unwrap();
        assert!(session.ends_with("Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"), "{session}");
        let over = set.iter().find(|line| line.starts_with("__Host-watchbell_console_oidc=;")).unwrap();
        assert!(over.contains("Max-Age=0"), "{over}");
        let cookie = session.split(';').next().unwrap().to_owned();
        Self { cookie, token: said["token"].as_str().unwrap().to_owned() }
    }

    async fn ask(&self, fleet: &Fleet, method: Method, path: &str, tenant: Option<&str>) -> (u16, Value) {
        let url = format!("{}/console/api{path}", fleet.url("up").unwrap());
        let request =
            fleet.http().request(method, url).header(header::COOKIE, &self.cookie).header(TOKEN, &self.token);
        answer(tenant.into_iter().fold(request, |request, tenant| request.header(TENANT, tenant)))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn whoever_forges_repeats_or_redirects_a_sign_in_is_not_let_in() {
    let (service, fleet) = started().await;
    let ways = format!("{}/console/sign-in", fleet.url("up").unwrap());
    let (_, said) = answer(fleet.http().get(ways)).await.unwrap();
    assert_eq!(said, json!({"oidc": "Acme SSO"}), "nothing else is said to everybody");

    for (why, origin, host, expected) in [
        ("another page", "https://evil.example", HOST, "The request comes from another page"),
        ("where the service does not send back to", "http://127.0.0.1:7709", "127.0.0.1:7709", PAGE),
    ] {
        let begin = post(&fleet, "oidc/begin").header(header::ORIGIN, origin).header(header::HOST, host);
        is_refused(why, begin.json(&json!({})).send().await.unwrap(), (403, expected)).await;
    }

    // What the browser shows when it comes back from the service.
    let not_begun = (400, "This sign-in was not begun in this browser");
    for (why, change, expected) in [
        ("another state", json!({"state": "forged"}), not_begun),
        ("a code that was guessed", json!({"code": "guessed"}), (403, "does not take this code")),
        ("no code", json!({"code": null}), (400, "sent no code")),
        ("another service", json!({"iss": "https://evil.example"}), (403, "another sign-in service")),
        (
            "the person said no",
            json!({"code": null, "error": "access_denied"}),
            (403, "(access_denied): sign in there"),
        ),
        (
            "a text in place of a code",
            json!({"error": "<b>call me</b>"}),
            (403, "did not sign you in (an error)"),
        ),
    ] {
        let back = go_and_come_back(&fleet).await;
        is_refused(why, finish(&fleet, &back, change).await, expected).await;
    }
    let (mine, theirs) = (go_and_come_back(&fleet).await, go_and_come_back(&fleet).await);
    let swapped = json!({"state": theirs.state, "code": theirs.code});
    is_refused("a sign-in of another browser", finish(&fleet, &mine, swapped).await, not_begun).await;
    let mixed = json!({"code": theirs.code});
    is_refused(
        "another's code in this sign-in",
        finish(&fleet, &mine, mixed).await,
        (403, "does not take this code"),
    )
    .await;
    is_refused("the state is used", finish(&fleet, &mine, json!({})).await, not_begun).await;
    let back = go_and_come_back(&fleet).await;
    assert_eq!(finish(&fleet, &back, json!({})).await.status(), 200);
    is_refused("again", finish(&fleet, &back, json!({})).await, not_begun).await;
    let mut next = go_and_come_back(&fleet).await;
    next.code.clone_from(&back.code);
    is_refused(
        "a code that was used",
        finish(&fleet, &next, json!({})).await,
        (403, "does not take this code"),
    )
    .await;

    // What the ID token says, and who signed it.
    let key = Signed::ByItsKey;
    for (why, signed, claims, expected) in [
        ("nobody signed", Signed::ByNobody, json!({}), "not signed by a key of the sign-in service"),
        ("a foreign key", Signed::ByAForeignKey, json!({}), "not signed by a key of the sign-in service"),
        ("HS256", Signed::ByTheSecret, json!({}), "not signed by a key of the sign-in service"),
        ("another sign-in", key, json!({"nonce": "another"}), "its `nonce` is another one"),
        ("no nonce", key, json!({"nonce": null}), "its `nonce` is another one"),
        ("another client", key, json!({"aud": "other"}), "is for another client (`aud`)"),
        ("several, another asked", key, json!({"aud": [CLIENT_ID, "other"], "azp": "other"}), "(`azp`)"),
        ("another issuer", key, json!({"iss": "https://evil.example"}), "another issuer (`iss`)"),
        ("expired", key, json!({"exp": 1_000_000_000}), "has expired"),
        ("without an end", key, json!({"exp": null}), "`exp` is missing"),
        ("of the future", key, json!({"iat": 4_000_000_000_u64}), "issued in the future"),
        ("about nobody", key, json!({"sub": ""}), "does not say who it is about"),
        ("no value", key, json!({"groups": ["staff"]}), "no value of your claim `groups` lets you in"),
        ("no claim", key, json!({"groups": null}), "has no claim `groups`"),
    ] {
        service.make(signed, claims);
        let back = go_and_come_back(&fleet).await;
        is_refused(why, finish(&fleet, &back, json!({})).await, (403, expected)).await;
    }
    drop(service);
    let begin = post(&fleet, "oidc/begin").header(header::ORIGIN, ORIGIN).header(header::HOST, HOST);
    is_refused(
        "no service",
        begin.json(&json!({})).send().await.unwrap(),
        (503, "of the sign-in service cannot be reached"),
    )
    .await;
}

#[tokio::test]
async fn whoever_signed_in_may_do_what_their_values_say_and_is_named() {
    let (service, fleet) = started().await;
    let alice = Session::begin(&fleet).await;
    let (_, who) = alice.ask(&fleet, Method::GET, "/session", None).await;
    assert_eq!((&who["actor"], &who["name"]), (&json!("oidc:7f3a"), &json!("alice@example.com")), "{who}");
    assert_eq!((&who["scopes"], &who["everywhere"]), (&json!(["read", "operations"]), &json!(true)), "{who}");
    for (why, method, path, tenant, expected) in [
        ("the installation", Method::GET, "/now", None, 200),
        ("keys", Method::GET, "/keys", None, 200),
        ("another tenant", Method::GET, "/v1/alerts", Some("acme"), 200),
        ("without the scope", Method::DELETE, "/v1/users/zoe", Some("acme"), 403),
    ] {
        let (status, said) = alice.ask(&fleet, method, path, tenant).await;
        assert_eq!(status, expected, "{why}: {said}");
    }

    service
        .make(Signed::ByItsKey, json!({"groups": ["acme-help"], "sub": "b0b", "email": "bob@example.com"}));
    let bob = Session::begin(&fleet).await;
    let (_, who) = bob.ask(&fleet, Method::GET, "/session", None).await;
    assert_eq!((&who["tenant"], &who["everywhere"]), (&json!("acme"), &json!(false)), "{who}");
    for (why, method, path, tenant, expected) in [
        ("his tenant", Method::GET, "/v1/alerts", None, 200),
        ("and by its name", Method::GET, "/v1/alerts", Some("acme"), 200),
        ("another one", Method::GET, "/v1/alerts", Some("demo"), 403),
        ("another one's log", Method::GET, "/v1/audit", Some("demo"), 403),
        ("another one's messages", Method::GET, "/messages?alert=a&user=ana", Some("demo"), 403),
        ("figures of all", Method::GET, "/now", Some("acme"), 403),
        ("keys of all", Method::GET, "/keys", Some("acme"), 403),
        ("a key", Method::POST, "/keys", Some("acme"), 403),
        ("dead letters of all", Method::GET, "/dead", Some("acme"), 403),
        ("routes of all", Method::POST, "/routes/try", Some("acme"), 403),
        ("erase in his tenant", Method::DELETE, "/v1/users/zoe", None, 200),
    ] {
        let (status, said) = bob.ask(&fleet, method, path, tenant).await;
        assert_eq!(status, expected, "{why}: {said}");
    }

    let acts = async |tenant: &str| {
        let (_, log) = alice.ask(&fleet, Method::GET, "/v1/audit", Some(tenant)).await;
        let entries = log["entries"].as_array().unwrap().clone();
        let act = |entry: Value| (entry["actor"].clone(), entry["action"].clone(), entry["outcome"].clone());
        entries.into_iter().map(act).collect::<Vec<_>>()
    };
    let erased = acts("acme").await;
    assert!(
        erased.iter().any(|(actor, action, _)| actor == "oidc:b0b" && action == "user.erased"),
        "{erased:?}"
    );
    let signed_in = acts("demo").await;
    for (actor, name) in [("oidc:7f3a", "alice@example.com: "), ("oidc:b0b", "bob@example.com: ")] {
        let is_there = signed_in.iter().any(|(who, action, outcome)| {
            who == actor && action == "operator.signed_in" && outcome.as_str().unwrap().starts_with(name)
        });
        assert!(is_there, "{actor}: {signed_in:?}");
    }

    let out = post(&fleet, "sign-out").header(header::ORIGIN, ORIGIN).header(header::HOST, HOST);
    let out = out.header(header::COOKIE, &alice.cookie).json(&json!({})).send().await.unwrap();
    assert!(cookies_of(&out)[0].starts_with("__Host-watchbell_console=; "), "{:?}", cookies_of(&out));
    assert_eq!(alice.ask(&fleet, Method::GET, "/session", None).await.0, 401, "signed out");
    assert_eq!(bob.ask(&fleet, Method::GET, "/session", None).await.0, 200, "he is not");
}
