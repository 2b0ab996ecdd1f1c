//! Who may do what: every route with every credential.
//!
//! The routes are those of the OpenAPI documents, and the few that no document has. Each has a row here that says what it
//! takes; a route without a row, and a row without a route, fails. What each credential is worth stands with it in
//! `credentials.rs`. From the two follows what each cell has to be, so that nobody writes down a thousand of them:
//!
//! | a route takes | no credential, a broken one | a user's token | a key without the scope | a key with it |
//! |---|---|---|---|---|
//! | a key with a scope | 401 | 401 | 403 | let in |
//! | a user's token | 401 | let in | 401 | 401 |
//! | the same, or the receipt token of a push | 401 | let in | 401 | 401 |
//! | a user's token, in a session | closed with 4001 or 4300 | greeted | closed | closed |
//! | a token with the topic | 401 | let in, or 403 | 401 | 401 |
//! | the operator's key | 401 | 401 | 403 | let in; 403 of another tenant |
//! | a session of the console | 401 | 401 | 401 | 401 |
//! | nothing | let in | let in | let in | let in |
//!
//! Let in is any status but 401 and 403: what is asked for is mostly not there. And no answer to anybody but whom it is for
//! has the text of one marked alert (I8). `page.rs` makes a page of the documentation of it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use watchbell::domain::{Scope, Scopes};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    session::Session,
    until::until,
};

use self::credentials::{Credential, Worth, all_credentials};

#[path = "authorization/credentials.rs"]
mod credentials;
#[path = "authorization/page.rs"]
mod page;

/// Requests under way at once.
const AT_ONCE: usize = 8;
const DEADLINE: Duration = Duration::from_secs(30);
/// The alert of ana in the tenant `demo`, and the text that only few may read.
const ALERT: &str = "marked";
const TEXT: &str = "canary-5c1f";

/// Nobody is pushed to but by the second policy.
const POLICIES: &str = "[policies.default]\nsteps = [{channel = \"push\", after = \"1h\"}]\n\
                        [policies.now]\nsteps = [{channel = \"push\", after = \"0s\"}]\n";

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// An API key with this scope.
    Key(Scope),
    /// An API key of the operator's tenant with the scope `operations`.
    OperatorsKey,
    /// A user's token.
    User,
    /// A user's token, or the receipt token of a push, which is good for nothing else.
    UserOrPush,
    /// A user's token, in the first frame of a session that was upgraded.
    Session,
    /// A user's token that allows the topic `monitor:7`.
    Topic,
    /// A session of the operators' console, which no key and no token is: `console.rs` beside this file signs in.
    Console,
    /// Nothing.
    Nothing,
}

/// A route: method, path, what it takes.
type Route = (&'static str, &'static str, Takes);

/// Every route.
const ROUTES: &[Route] = &[
    ("POST", "/v1/alerts", Takes::Key(Scope::Alerts)),
    ("GET", "/v1/alerts", Takes::Key(Scope::Read)),
    ("GET", "/v1/alerts/{id}", Takes::Key(Scope::Read)),
    ("PATCH", "/v1/alerts/{id}", Takes::Key(Scope::Alerts)),
    ("GET", "/v1/alerts/{id}/timeline", Takes::Key(Scope::Read)),
    ("POST", "/v1/topics/{topic}/events", Takes::Key(Scope::Events)),
    ("POST", "/v1/hooks/alertmanager", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/datadog", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/github", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/grafana", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/pagerduty", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/pagerduty/v2/enqueue", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/sentry", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/uptime-kuma", Takes::Key(Scope::Alerts)),
    ("POST", "/v1/hooks/{hook}", Takes::Key(Scope::Alerts)),
    ("GET", "/v1/users", Takes::Key(Scope::Read)),
    ("GET", "/v1/users/{user}", Takes::Key(Scope::Read)),
    ("GET", "/v1/users/{user}/explain", Takes::Key(Scope::Read)),
    ("GET", "/v1/users/{user}/export", Takes::Key(Scope::Read)),
    ("PUT", "/v1/users/{user}", Takes::Key(Scope::People)),
    ("DELETE", "/v1/users/{user}", Takes::Key(Scope::People)),
    ("DELETE", "/v1/users/{user}/sessions", Takes::Key(Scope::People)),
    ("GET", "/v1/users/{user}/devices", Takes::Key(Scope::Read)),
    ("DELETE", "/v1/users/{user}/devices", Takes::Key(Scope::People)),
    ("GET", "/v1/users/{user}/devices/{device}", Takes::Key(Scope::Read)),
    ("DELETE", "/v1/users/{user}/devices/{device}", Takes::Key(Scope::People)),
    ("POST", "/v1/mail-events/{provider}", Takes::Key(Scope::People)),
    ("DELETE", "/v1/users/{user}/addresses/{channel}/refusal", Takes::Key(Scope::People)),
    ("GET", "/v1/groups", Takes::Key(Scope::Read)),
    ("DELETE", "/v1/groups/{group}", Takes::Key(Scope::People)),
    ("GET", "/v1/groups/{group}/members", Takes::Key(Scope::Read)),
    ("PUT", "/v1/groups/{group}/members", Takes::Key(Scope::People)),
    ("DELETE", "/v1/groups/{group}/members", Takes::Key(Scope::People)),
    ("GET", "/v1/audit", Takes::Key(Scope::Operations)),
    ("GET", "/v1/inbox", Takes::User),
    ("GET", "/v1/inbox/categories", Takes::User),
    ("POST", "/v1/inbox/receipts", Takes::UserOrPush),
    ("GET", "/v1/preferences", Takes::User),
    ("PUT", "/v1/preferences", Takes::User),
    ("GET", "/v1/devices", Takes::User),
    ("GET", "/v1/devices/{device}", Takes::User),
    ("PUT", "/v1/devices/{device}", Takes::User),
    ("DELETE", "/v1/devices/{device}", Takes::User),
    ("PUT", "/v1/devices/{device}/activities/{alert}", Takes::User),
    ("DELETE", "/v1/devices/{device}/activities/{alert}", Takes::User),
    ("POST", "/v1/devices/{device}/test", Takes::User),
    ("GET", "/v1/topics/{topic}/events", Takes::Topic),
    ("GET", "/v1/poll", Takes::User),
    ("GET", "/v1/sse", Takes::User),
    // A browser cannot see how an upgrade was refused, so a session is let in and then closed with a code.
    ("GET", "/v1/ws", Takes::Session),
    ("GET", "/v1/webpush/key", Takes::Nothing),
    ("GET", "/v1/unsubscribe/{token}", Takes::Nothing),
    ("POST", "/v1/unsubscribe/{token}", Takes::Nothing),
    ("GET", "/v1/answers/{token}", Takes::Nothing),
    ("POST", "/v1/answers/{token}", Takes::Nothing),
    ("GET", "/openapi.json", Takes::Nothing),
    ("GET", "/asyncapi.json", Takes::Nothing),
    ("GET", "/docs", Takes::Nothing),
    ("GET", "/docs/session", Takes::Nothing),
];

/// Routes that no document has. The page of `up` and the simulator ask for a key of their own: `browser.rs` beside this file.
const UNDOCUMENTED: &[Route] = &[
    ("GET", "/operations/dead", Takes::OperatorsKey),
    ("POST", "/operations/dead", Takes::OperatorsKey),
    ("GET", "/healthz", Takes::Nothing),
    ("GET", "/readyz", Takes::Nothing),
    ("GET", "/metrics", Takes::Nothing),
    ("GET", "/manual", Takes::Nothing),
    ("GET", "/manual/index.html", Takes::Nothing),
    ("GET", "/console", Takes::Nothing),
    ("GET", "/console/console.css", Takes::Nothing),
    ("GET", "/console/console.js", Takes::Nothing),
    ("GET", "/console/sign-in", Takes::Nothing),
    ("POST", "/console/sign-in", Takes::Nothing),
    ("POST", "/console/oidc/begin", Takes::Nothing),
    ("POST", "/console/oidc/finish", Takes::Nothing),
    ("POST", "/console/sign-out", Takes::Nothing),
    ("GET", "/console/api/session", Takes::Console),
    ("GET", "/console/api/now", Takes::Console),
    ("GET", "/console/api/messages", Takes::Console),
    ("GET", "/console/api/dead", Takes::Console),
    ("POST", "/console/api/dead", Takes::Console),
    ("GET", "/console/api/keys", Takes::Console),
    ("POST", "/console/api/keys", Takes::Console),
    ("DELETE", "/console/api/keys/{id}", Takes::Console),
    ("GET", "/console/api/policies", Takes::Console),
    ("POST", "/console/api/policies/check", Takes::Console),
    ("POST", "/console/api/routes/try", Takes::Console),
    ("GET", "/console/api/v1/alerts", Takes::Console),
];

/// Routes of `watchbell up` that no other process has: the demo's page, which `attacks/browser.rs` looks at, the phones and the
/// mailbox beside it, and the service worker.
const OF_THE_DEMO: &[&str] = &[
    "/",
    "/demo.json",
    "/demo/demo.css",
    "/demo/demo.js",
    "/demo/open",
    "/favicon.ico",
    "/push-worker.js",
    "/simulator",
    "/simulator/",
];

/// What no document has is written down by hand, so that this looks for it in the source.
#[test]
fn a_new_route_that_no_document_has_needs_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files =
        vec![root.join("workers/fleet/src/demo.rs"), root.join("workers/fleet/src/demo_access.rs")];
    for folder in ["workers/fleet/src/console", "workers/fleet/src/dead"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            files.push(entry.unwrap().path());
        }
    }
    let mut found = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        for (at, begins) in text.match_indices("route(").chain(text.match_indices("nest(")) {
            let Some(path) = text[at + begins.len()..].trim_start().strip_prefix('"') else { continue };
            let path = path.split('"').next().unwrap_or_default();
            found += 1;
            // Those of the console's API are below one address.
            let is_known = OF_THE_DEMO.contains(&path)
                || UNDOCUMENTED
                    .iter()
                    .any(|(_, known, _)| known.trim_end_matches('/') == path.trim_end_matches('/'))
                || UNDOCUMENTED.iter().any(|(_, known, _)| known.strip_prefix("/console/api") == Some(path))
                || path == "/console/api";
            assert!(is_known, "{} has the route {path}, which has no row: say what it takes", file.display());
        }
    }
    assert!(found > 20, "only {found} routes were found: are they written in another way now?");
}

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Unauthorized,
    Forbidden,
    LetIn,
}

impl Cell {
    fn expected(takes: Takes, worth: Worth) -> Self {
        let if_allowed = |is_allowed: bool| if is_allowed { Self::LetIn } else { Self::Forbidden };
        match (takes, worth) {
            (Takes::Nothing, _)
            | (Takes::User | Takes::UserOrPush | Takes::Session, Worth::User { .. })
            | (Takes::UserOrPush, Worth::Push) => Self::LetIn,
            (Takes::Topic, Worth::User { has_topic, .. }) => if_allowed(has_topic),
            (Takes::Key(scope), Worth::Key { scopes, .. }) => if_allowed(scopes.has(scope)),
            (Takes::OperatorsKey, Worth::Key { scopes, is_demo }) => {
                if_allowed(is_demo && scopes.has(Scope::Operations))
            }
            // A credential of the other kind is none.
            (Takes::Key(_) | Takes::OperatorsKey, Worth::User { .. })
            | (Takes::User | Takes::UserOrPush | Takes::Session | Takes::Topic, Worth::Key { .. })
            | (_, Worth::Push)
            | (Takes::Console, _)
            | (_, Worth::Nothing) => Self::Unauthorized,
        }
    }

    fn of(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            _ => Self::LetIn,
        }
    }

    /// What a session says that was told the token.
    fn of_session(told: &anyhow::Result<Session>) -> anyhow::Result<Self> {
        let Err(error) = told else { return Ok(Self::LetIn) };
        match error.to_string().split(' ').nth(1) {
            Some("4001" | "4300") => Ok(Self::Unauthorized),
            Some("4003") => Ok(Self::Forbidden),
            _ => bail!("neither greeted nor refused for its token: {error:#}"),
        }
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_it_is_for_and_nobody_else() -> anyhow::Result<()> {
    let fleet = Fleet::start_configured(Engine::Embedded, POLICIES, &[]).await?;
    let url = fleet.url("up")?;
    each_route_has_a_row(&fleet, &url).await?;

    fleet.send(&json!({"id": ALERT, "to": {"users": ["ana"]}, "title": TEXT})).await?;
    until("the marked alert to be recorded", DEADLINE, async || {
        fleet.inbox("ana").await.ok().filter(|inbox| !inbox.is_empty())
    })
    .await?;
    let credentials = all_credentials(&fleet, receipt_token(&fleet).await?)?;
    let routes: Vec<&Route> = ROUTES.iter().chain(UNDOCUMENTED).collect();
    page::is_kept(&routes, &credentials)?;
    let cells =
        routes.into_iter().flat_map(|route| credentials.iter().map(move |credential| (route, credential)));
    let wrong: Vec<String> = stream::iter(cells)
        .map(|(route, credential)| look(&fleet, &url, route, credential))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |cell| {
            cell.transpose().map(|wrong| wrong.unwrap_or_else(|error| format!("{error:#}")))
        })
        .collect()
        .await;
    ensure!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// What came with a push to a phone of somebody's.
async fn receipt_token(fleet: &Fleet) -> anyhow::Result<String> {
    fleet.furnish("zoe").await?;
    fleet.send(&json!({"to": {"users": ["zoe"]}, "title": "For a phone", "policy": "now"})).await?;
    until("the push", DEADLINE, async || {
        let arrivals = fleet.arrivals("zoe").await.ok()?;
        arrivals.first()?["payload"]["watchbell"]["receipt"].as_str().map(str::to_owned)
    })
    .await
}

/// What is wrong with a cell, if anything is.
async fn look(
    fleet: &Fleet,
    url: &str,
    (method, path, takes): &Route,
    credential: &Credential,
) -> anyhow::Result<Option<String>> {
    let expected = Cell::expected(*takes, credential.worth);
    let name = format!("{method} {path} with {}", credential.name);
    if *takes == Takes::Session {
        let token = credential.bearer.as_deref().unwrap_or_default();
        let told = Session::open(&format!("{}{path}", url.replacen("http", "ws", 1)), token, None).await;
        let found = Cell::of_session(&told).with_context(|| name.clone())?;
        return Ok((found != expected).then(|| format!("{name}: {found:?}, and not {expected:?}")));
    }
    let address = filled(path);
    let request = fleet.http().request(method.parse()?, format!("{url}{address}"));
    let request = match &credential.bearer {
        Some(bearer) => request.bearer_auth(bearer),
        None => request,
    };
    // It is let in by a body of the wrong form as well, and changes nothing.
    let request = if *method == "GET" { request } else { request.json(&json!({})) };
    let answer = request.send().await.with_context(|| name.clone())?;
    let status = answer.status().as_u16();
    if Cell::of(status) != expected {
        return Ok(Some(format!("{name}: {status}, and not {expected:?}")));
    }
    // A stream has no end.
    let body =
        if *path == "/v1/sse" { String::new() } else { answer.text().await.with_context(|| name.clone())? };
    let may_read = match credential.worth {
        Worth::Nothing | Worth::Push => false,
        Worth::User { is_ana, .. } => is_ana,
        Worth::Key { scopes, is_demo } => is_demo && scopes.has(Scope::Read),
    };
    Ok((body.contains(TEXT) && !may_read).then(|| format!("{name}: it reads what is ana's")))
}

/// An address of the route. Whoever changes something changes nobody's who is looked at.
fn filled(path: &str) -> String {
    let parts = [
        ("{id}", ALERT),
        ("{topic}", "monitor:7"),
        ("{hook}", "none"),
        ("{user}", "zed"),
        ("{group}", "nobodys"),
        ("{device}", "none"),
        ("{token}", "forged"),
    ];
    let address = parts.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    if path == "/v1/poll" { format!("{address}?wait=0") } else { address }
}

/// The rows are the routes of the documents, with the scope that these say.
async fn each_route_has_a_row(fleet: &Fleet, url: &str) -> anyhow::Result<()> {
    let (status, document) = answer(fleet.http().request(Method::GET, format!("{url}/openapi.json"))).await?;
    ensure!(status == 200, "{status}");
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().context("it has paths")? {
        for (method, operation) in operations.as_object().context("a path has operations")? {
            documented.insert((method.to_uppercase(), path.clone(), scope_of(operation)));
        }
    }
    let rows: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, path, takes)| {
            let scope = if let Takes::Key(scope) = takes { Some(scope.to_string()) } else { None };
            ((*method).to_owned(), (*path).to_owned(), scope)
        })
        .collect();
    let without_row: Vec<_> = documented.difference(&rows).collect();
    let without_route: Vec<_> = rows.difference(&documented).collect();
    ensure!(without_row.is_empty(), "these routes need a row in ROUTES: {without_row:?}");
    ensure!(without_route.is_empty(), "no document has these rows: {without_route:?}");
    Ok(())
}

/// The scope that a route needs, as its document says.
fn scope_of(operation: &Value) -> Option<String> {
    let ways = operation["security"].as_array()?;
    let scopes = ways.iter().filter_map(Value::as_object).flat_map(|way| way.values());
    scopes.filter_map(|scopes| scopes.as_array()?.first()?.as_str()).map(str::to_owned).next()
}

#[test]
fn what_is_worth_everything_is_not_let_in_everywhere() {
    let (all, none) = (Scopes::ALL, Scopes::of(&[]));
    let key = |scopes, is_demo| Worth::Key { scopes, is_demo };
    let ana = Worth::User { is_ana: true, has_topic: false };
    for (why, takes, worth, expected) in [
        ("a key is no user", Takes::User, key(all, true), Cell::Unauthorized),
        ("a user has no key", Takes::Key(Scope::Alerts), ana, Cell::Unauthorized),
        ("a scope that is missing", Takes::Key(Scope::People), key(none, true), Cell::Forbidden),
        ("another tenant's operator", Takes::OperatorsKey, key(all, false), Cell::Forbidden),
        ("a topic that is not allowed", Takes::Topic, ana, Cell::Forbidden),
        ("a key that is not signed in", Takes::Console, key(all, true), Cell::Unauthorized),
        ("nobody", Takes::User, Worth::Nothing, Cell::Unauthorized),
        ("a push that says it arrived", Takes::UserOrPush, Worth::Push, Cell::LetIn),
        ("a push that reads", Takes::User, Worth::Push, Cell::Unauthorized),
        ("a person who says a receipt", Takes::UserOrPush, ana, Cell::LetIn),
        ("everybody", Takes::Nothing, Worth::Nothing, Cell::LetIn),
    ] {
        assert_eq!(Cell::expected(takes, worth), expected, "{why}");
    }
}
