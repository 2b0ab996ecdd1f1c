//! What a web page, and another user of the same machine, can take from `watchbell up` and from the user's API.
//!
//! A page has a browser's means only: it can have its own name resolve to 127.0.0.1 (DNS rebinding), and it sends the cookies
//! of whoever looks at it. Another user of the machine can reach the port and read what files allow.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    ports,
    process::WatchbellProcess,
    requests::answer,
    scratch::Scratch,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// A fleet whose people are told late, so that nothing happens beside what a test does.
async fn fleet(env: &[(&str, &str)]) -> Fleet {
    Fleet::start(Engine::Embedded, (60_000, 60_000), env).await.unwrap()
}

/// The address that `up` prints, from the file that it leaves for scripts.
fn printed_address(dir: &Path) -> String {
    let demo: Value = serde_json::from_slice(&fs::read(dir.join("demo.json")).unwrap()).unwrap();
    demo["page"].as_str().expect("`page` is the printed address").to_owned()
}

/// The key in the fragment of a printed address.
fn key_of(address: &str) -> String {
    address.split_once("/#key=").expect("the key is in the fragment").1.to_owned()
}

/// Takes a key to the server, as the page does.
async fn exchange(fleet: &Fleet, key: &str) -> (u16, Value) {
    let post = fleet.http().post(format!("{}/demo/open", fleet.url("up").unwrap()));
    answer(post.json(&json!({"key": key}))).await.unwrap()
}

/// A request with a host of the test's own.
async fn asks_as(fleet: &Fleet, host: &str, path: &str) -> Response {
    let request = fleet.http().get(format!("{}{path}", fleet.url("up").unwrap()));
    request.header(header::HOST, host).send().await.unwrap()
}

/// What is no host at all is a bad request.
fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::MISDIRECTED_REQUEST | StatusCode::BAD_REQUEST)
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_is_turned_away() {
    let fleet = fleet(&[
        ("WATCHBELL__HTTP__ALLOWED_HOSTS", "watchbell.test,box.lan"),
        ("WATCHBELL__HTTP__PUBLIC_URL", "https://alerts.example.com/watchbell"),
    ])
    .await;
    let port = fleet.url("up").unwrap().rsplit_once(':').unwrap().1.to_owned();
    let with_port = |host: &str| format!("{host}:{port}");
    for (why, host, is_ours) in [
        ("the printed address", with_port("127.0.0.1"), true),
        ("all of 127/8 is this machine", with_port("127.8.9.10"), true),
        ("IPv6", with_port("[::1]"), true),
        ("IPv4 written as IPv6", with_port("[::ffff:127.0.0.1]"), true),
        ("the name of this machine", with_port("localhost"), true),
        ("names are not told apart by case", with_port("LocalHost"), true),
        ("the root's dot", with_port("localhost."), true),
        ("below localhost is this machine (RFC 6761)", with_port("demo.localhost"), true),
        ("no port, or another: a forwarded one", "localhost".to_owned(), true),
        ("a forwarded port", "localhost:80".to_owned(), true),
        ("http.allowed_hosts", with_port("watchbell.test"), true),
        ("http.allowed_hosts, the second", with_port("box.lan"), true),
        ("http.public_url", "alerts.example.com".to_owned(), true),
        ("a name that was bound anew", with_port("rebind.evil.example"), false),
        ("the same with a dot", with_port("rebind.evil.example."), false),
        ("it only begins like ours", with_port("localhost.evil.example"), false),
        ("it only ends like ours", with_port("evillocalhost"), false),
        ("it only begins like an address of this machine", with_port("127.0.0.1.evil.example"), false),
        ("below a name that is allowed", with_port("evil.watchbell.test"), false),
        ("a wildcard service", with_port("127-0-0-1.nip.example"), false),
        ("a user before the host", with_port("localhost@evil.example"), false),
        ("a user that looks like us", with_port("127.0.0.1:80@evil.example"), false),
        ("an address of another machine", with_port("192.0.2.7"), false),
        ("an address of another machine, IPv6", with_port("[2001:db8::7]"), false),
        ("not an address", with_port("[localhost]"), false),
        ("a port that is none", "localhost:evil".to_owned(), false),
        ("nothing", String::new(), false),
    ] {
        for path in ["/demo.json", "/", "/simulator/arrivals", "/healthz", "/openapi.json", "/nowhere"] {
            let answer = asks_as(&fleet, &host, path).await;
            let status = answer.status();
            assert_eq!(is_refused(status), !is_ours, "{why}: {host} {path} answered {status}");
            if status == StatusCode::MISDIRECTED_REQUEST {
                let problem: Value = answer.json().await.unwrap();
                assert!(problem["detail"].as_str().unwrap().contains("http.allowed_hosts"), "{problem}");
            }
        }
        let handshake = fleet.http().get(format!("{}/v1/ws", fleet.url("up").unwrap()));
        let handshake = handshake
            .header(header::HOST, &host)
            .header(header::ORIGIN, format!("http://{host}"))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        if !is_ours {
            let answered = handshake.send().await.unwrap().status();
            assert!(is_refused(answered), "{why}: a session of {host} is answered {answered}");
        }
    }

    // The simulator has a port of its own, which a page can find by trying.
    let demo: Value = serde_json::from_slice(&fs::read(fleet.dir().join("data/demo.json")).unwrap()).unwrap();
    let arrivals = format!("{}/arrivals", demo["simulator"].as_str().unwrap());
    for (host, expected) in [("rebind.evil.example", 421), ("localhost", 200)] {
        let answer = fleet.http().get(&arrivals).header(header::HOST, host).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "the simulator's own port, asked as {host}");
    }
}

/// One process with `run` answers to any host until it is told which are its own.
#[tokio::test]
async fn a_worker_answers_to_the_hosts_it_is_given() {
    let scratch = Scratch::new("hosts").unwrap();
    for (set, host, expected) in [
        ("", "rebind.evil.example", 404),
        ("alerts.example.com", "rebind.evil.example", 421),
        ("alerts.example.com", "alerts.example.com", 404),
        ("alerts.example.com", "127.0.0.1", 404),
    ] {
        let port = ports::free().unwrap();
        let listen = format!("127.0.0.1:{port}");
        let any = "127.0.0.1:0";
        let mut env = vec![
            ("WATCHBELL__HTTP__LISTEN", listen.as_str()),
            ("WATCHBELL__HTTP__OPERATIONS_LISTEN", any),
            ("WATCHBELL__SIMULATOR__LISTEN", any),
            ("WATCHBELL__SIMULATOR__PUSH_LISTEN", any),
            ("WATCHBELL__SIMULATOR__SMTP_LISTEN", any),
        ];
        if !set.is_empty() {
            env.push(("WATCHBELL__HTTP__ALLOWED_HOSTS", set));
        }
        let worker =
            WatchbellProcess::start("simulator", scratch.path(), &["run", "simulator"], &env).unwrap();
        let http = reqwest::Client::new();
        let status = until("an answer", DEADLINE, async || {
            let asked = http.get(format!("http://{listen}/")).header(header::HOST, host);
            Some(asked.send().await.ok()?.status().as_u16())
        });
        assert_eq!(status.await.unwrap(), expected, "allowed_hosts = {set:?}, asked as {host}");
        drop(worker);
    }
}

#[tokio::test]
async fn the_secrets_of_the_demo_are_for_whoever_has_the_printed_address() {
    let mut fleet = fleet(&[]).await;
    let base = fleet.url("up").unwrap();
    let data = fleet.dir().join("data");
    let get = |path: &str| fleet.http().get(format!("{base}{path}"));
    for (method, path) in [
        (Method::GET, "/demo.json"),
        (Method::GET, "/simulator/arrivals"),
        (Method::DELETE, "/simulator/arrivals"),
        (Method::GET, "/simulator/faults"),
        (Method::PUT, "/simulator/faults"),
        (Method::GET, "/simulator/webpush/ana.here"),
        (Method::GET, "/operations/dead"),
        (Method::POST, "/operations/dead"),
    ] {
        for credential in ["", "wb_guessed", "#key=guessed"] {
            let request = fleet.http().request(method.clone(), format!("{base}{path}"));
            let request = request.bearer_auth(credential).json(&json!({}));
            let (status, problem) = answer(request).await.unwrap();
            assert_eq!(status, 401, "{method} {path} with {credential:?}: {problem}");
            assert!(!problem.to_string().contains(fleet.key()), "{problem}");
        }
    }
    // What has no secret in it may be looked at, and says where the key is.
    let page = get("/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("the address that <code>watchbell up</code> printed"), "{page}");
    assert_eq!(get("/simulator/").send().await.unwrap().status(), 200);

    let first = printed_address(&data);
    assert!(first.starts_with(&format!("{base}/#key=")), "{first}");
    assert_eq!(exchange(&fleet, "").await.0, 403);
    assert_eq!(exchange(&fleet, "guessed").await.0, 403);
    let (status, opened) = exchange(&fleet, &key_of(&first)).await;
    assert_eq!(status, 200, "{opened}");
    let key = opened["producer_key"].as_str().unwrap().to_owned();
    for path in ["/demo.json", "/simulator/arrivals", "/simulator/faults", "/operations/dead"] {
        assert_eq!(get(path).bearer_auth(&key).send().await.unwrap().status(), 200, "{path}");
    }

    // Used once. The next one is printed, and in the file.
    let (status, problem) = exchange(&fleet, &key_of(&first)).await;
    assert_eq!(status, 403, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("printed last"), "{problem}");
    let second = printed_address(&data);
    assert_ne!(first, second);
    fleet.worker("up").unwrap().wait_log(&second, DEADLINE).await.unwrap();

    // After a restart in the same folder an open page goes on, and the address that is printed is a new one.
    fleet.restart("up").await.unwrap();
    fleet.ready("up").await.unwrap();
    assert_eq!(
        fleet.http().get(format!("{base}/demo.json")).bearer_auth(&key).send().await.unwrap().status(),
        200
    );
    let third = printed_address(&data);
    assert_eq!(exchange(&fleet, &key_of(&second)).await.0, 403, "the key of an earlier start");
    assert_eq!(exchange(&fleet, &key_of(&third)).await.0, 200);
}

#[tokio::test]
async fn the_data_folder_is_its_owners_alone() {
    let scratch = Scratch::new("modes").unwrap();
    let data = scratch.path().join("data");
    // As an earlier version left it under an ordinary umask, with a file that is not ours in it.
    fs::DirBuilder::new().mode(0o755).create(&data).unwrap();
    for (name, mode) in [("rejected.ndjson", 0o644), ("dead.ndjson", 0o664), ("notes.txt", 0o644)] {
        fs::write(data.join(name), "").unwrap();
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let listen = format!("127.0.0.1:{}", ports::free().unwrap());
    let args = ["up", "--data", "data", "--listen", &listen];
    let mut up = WatchbellProcess::start("up", scratch.path(), &args, &[]).unwrap();
    up.wait_log("Watchbell is up", DEADLINE).await.unwrap();
    let key = fs::read_to_string(data.join("demo.json")).unwrap();
    let key = serde_json::from_str::<Value>(&key).unwrap()["producer_key"].as_str().unwrap().to_owned();
    let post = reqwest::Client::new().post(format!("http://{listen}/v1/alerts")).bearer_auth(&key);
    let alert = json!({"title": "private", "to": {"users": ["ana"]}});
    assert_eq!(post.json(&alert).send().await.unwrap().status(), 202);
    // Its address is the last thing on the terminal: nothing is logged unless something is wrong.
    let said = up.log();
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap();
    assert!(last.contains("Watchbell is up: http://"), "{said}");
    assert!(!said.contains(" INFO "), "{said}");

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let mut looked_at = Vec::new();
    let mut folders = vec![data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true => {
                    assert_eq!(mode(&path), 0o700, "{name}");
                    folders.push(path);
                }
                // Whatever else somebody keeps there is theirs to share, though nobody gets past the folder.
                false if name == "notes.txt" => assert_eq!(mode(&path), 0o644),
                false => assert_eq!(mode(&path), 0o600, "{name}"),
            }
            looked_at.push(name);
        }
    }
    for name in
        ["watchbell.db", "watchbell.db-wal", "rejected.ndjson", "dead.ndjson", "demo.json", "auth.secret"]
    {
        assert!(looked_at.iter().any(|found| found == name), "{name} is not among {looked_at:?}");
    }
}

#[tokio::test]
async fn up_opens_itself_to_a_network_only_when_it_is_told_to() {
    let scratch = Scratch::new("exposed").unwrap();
    let port = ports::free().unwrap();
    let listen = format!("0.0.0.0:{port}");
    for (args, env) in [
        (vec!["up", "--listen", &listen], vec![]),
        (vec!["up"], vec![("WATCHBELL__HTTP__LISTEN", listen.as_str())]),
    ] {
        let mut refused = WatchbellProcess::start("refused", scratch.path(), &args, &env).unwrap();
        assert!(!refused.wait_exit(DEADLINE).await.unwrap().success(), "{args:?} began");
        let said = refused.wait_log("--expose", DEADLINE).await.unwrap();
        assert!(said.contains(&listen) && said.contains("127.0.0.1"), "{said}");
    }
    let args = ["up", "--listen", &listen, "--expose"];
    let mut up = WatchbellProcess::start("up", scratch.path(), &args, &[]).unwrap();
    let line = up.wait_log("Watchbell is up", DEADLINE).await.unwrap();
    assert!(line.contains(&format!("http://127.0.0.1:{port}/#key=")), "{line}");
    let http = reqwest::Client::new();
    // Whoever asks by an address is not a page that bound its name anew; a name is.
    for (host, expected) in
        [("192.0.2.7:7700", 200), ("[2001:db8::7]:7700", 200), ("rebind.evil.example", 421)]
    {
        let asked = http.get(format!("http://127.0.0.1:{port}/healthz")).header(header::HOST, host);
        assert_eq!(asked.send().await.unwrap().status().as_u16(), expected, "{host}");
    }
    let secrets = http.get(format!("http://127.0.0.1:{port}/demo.json")).send().await.unwrap();
    assert_eq!(secrets.status(), 401);
}

/// `https://alerts.example.com` is served by a proxy that ends TLS. A page of `http://alerts.example.com` may be anybody's who
/// is on the way, and the browser sends it the same cookies.
#[tokio::test]
async fn a_page_of_the_same_host_without_tls_is_foreign() {
    let fleet = fleet(&[
        ("WATCHBELL__HTTP__PUBLIC_URL", "https://alerts.example.com"),
        ("WATCHBELL__HTTP__ALLOWED_HOSTS", "proxied.example.com,plain.example.com"),
        ("WATCHBELL__HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("WATCHBELL__SOCKET__ALLOWED_ORIGINS", "https://app.example.com"),
    ])
    .await;
    let url = format!("{}/v1/inbox", fleet.url("up").unwrap());
    let cookie = format!("watchbell_token={}", fleet.token("ana").unwrap());
    for (why, host, forwarded, origin, allowed) in [
        ("our own page", "alerts.example.com", None, "https://alerts.example.com", true),
        ("its twin without TLS", "alerts.example.com", None, "http://alerts.example.com", false),
        ("a scheme of nobody's", "alerts.example.com", None, "x://alerts.example.com", false),
        ("a file", "alerts.example.com", None, "file://alerts.example.com", false),
        ("the word is not enough", "alerts.example.com", None, "alerts.example.com", false),
        ("another port of our host", "alerts.example.com", None, "https://alerts.example.com:8443", false),
        ("the usual port, written", "alerts.example.com:443", None, "https://alerts.example.com", true),
        ("the proxy says how", "proxied.example.com", Some("https"), "https://proxied.example.com", true),
        ("and its twin", "proxied.example.com", Some("https"), "http://proxied.example.com", false),
        (
            "nobody says anything: we speak plain HTTP",
            "plain.example.com",
            None,
            "http://plain.example.com",
            true,
        ),
        ("then TLS is another page", "plain.example.com", None, "https://plain.example.com", false),
        ("without a proxy", "127.0.0.1:7700", None, "http://127.0.0.1:7700", true),
        ("another port of this machine", "127.0.0.1:7700", None, "http://127.0.0.1:3000", false),
        ("named", "alerts.example.com", None, "https://app.example.com", true),
        ("named, without TLS", "alerts.example.com", None, "http://app.example.com", false),
        ("a sandboxed page", "alerts.example.com", None, "null", false),
        ("a user before the host", "alerts.example.com", None, "https://a@alerts.example.com", false),
    ] {
        let request = fleet.http().get(&url).header(header::HOST, host).header(header::ORIGIN, origin);
        let request = match forwarded {
            Some(scheme) => request.header("x-forwarded-proto", scheme),
            None => request,
        };
        let (status, problem) = answer(request.header(header::COOKIE, &cookie)).await.unwrap();
        assert_eq!(status, if allowed { 200 } else { 403 }, "{why}: {origin} at {host}: {problem}");
    }
}

#[tokio::test]
async fn what_a_user_is_answered_is_kept_by_nobody() {
    let fleet = fleet(&[]).await;
    let base = fleet.url("up").unwrap();
    let receipts = json!({"alerts": ["a"], "state": "seen"});
    for (method, path, body) in [
        (Method::GET, "/v1/inbox", None),
        (Method::POST, "/v1/inbox/receipts", Some(&receipts)),
        (Method::GET, "/v1/preferences", None),
        (Method::PUT, "/v1/preferences", Some(&json!({}))),
        (Method::GET, "/v1/devices", None),
        (Method::GET, "/v1/devices/none", None),
        (Method::DELETE, "/v1/devices/none", None),
        (Method::GET, "/v1/topics/monitor:7/events", None),
        (Method::GET, "/v1/poll?wait=0", None),
        (Method::GET, "/v1/sse", None),
        (Method::GET, "/v1/webpush/key", None),
        (Method::POST, "/v1/inbox", None),
        (Method::GET, "/v1/unsubscribe/none", None),
    ] {
        for token in [fleet.token("ana").unwrap(), "forged".to_owned()] {
            let request = fleet.http().request(method.clone(), format!("{base}{path}")).bearer_auth(token);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let answer = request.send().await.unwrap();
            let said = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
            let status = answer.status();
            assert_eq!(said(header::CACHE_CONTROL), Some("no-store"), "{method} {path}: {status}");
            assert_eq!(said(header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"), "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn who_is_turned_away_is_logged_once_with_the_remedy_and_counted() {
    let fleet = fleet(&[]).await;
    let base = fleet.url("up").unwrap();
    for n in 0..3 {
        let page = format!("https://evil-{n}.example");
        let asked = fleet.http().get(format!("{base}/v1/inbox")).header(header::ORIGIN, page);
        assert_eq!(asked.send().await.unwrap().status(), 403);
        assert_eq!(asks_as(&fleet, &format!("evil-{n}.example"), "/").await.status(), 421);
    }
    assert_eq!(fleet.metric("up", "watchbell_socket_refused_total{reason=\"origin\"}").await.unwrap(), 3.0);
    assert_eq!(fleet.metric("up", "watchbell_http_refused_total{reason=\"host\"}").await.unwrap(), 3.0);
    let (_, log) = fleet.logs().remove(0);
    for setting in ["socket.allowed_origins", "http.allowed_hosts"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(setting)).collect();
        assert_eq!(lines.len(), 1, "{setting}: {lines:#?}");
        assert!(lines[0].contains("evil-0.example"), "{}", lines[0]);
    }
}

/// I12: an id that is an address is somebody's data.
#[tokio::test]
async fn ids_that_are_addresses_are_not_in_the_log() {
    let fleet = fleet(&[("WATCHBELL__LOG__FILTER", "info,watchbell=debug,watchbell_socket=debug,watchbell_fallback=debug,watchbell_ingest=debug,watchbell_dispatch=debug")]).await;
    for user in ["canary.id@example.com", "+447700900199"] {
        let path = format!("/v1/users/{}", user.replace('+', "%2B"));
        let contact = json!({"email": "elsewhere@watchbell.test"});
        let (status, problem) = fleet.producer(Method::PUT, &path, Some(&contact)).await.unwrap();
        assert_eq!(status, 204, "{problem}");
        let mut session = fleet.session("up", user, None).await.unwrap();
        fleet.send(&json!({"title": "t", "to": {"users": [user]}})).await.unwrap();
        watchbell_tests::session::Frames::next_of(&mut session, "alert").await.unwrap();
        let (status, problem) =
            fleet.user(user, Method::PUT, "/v1/devices/none", Some(&json!({}))).await.unwrap();
        assert_eq!(status, 422, "{problem}");
    }
    let started = async || fleet.logs()[0].1.contains("A session begins").then_some(());
    until("the log tells of sessions", DEADLINE, started).await.unwrap();
    let (_, log) = fleet.logs().remove(0);
    let found: Vec<&str> =
        log.lines().filter(|line| line.contains("canary.id") || line.contains("447700900199")).collect();
    assert!(found.is_empty(), "{found:#?}");
    let told = log.lines().any(|line| line.contains("A session begins") && line.contains("redacted"));
    assert!(told, "the line is there, without the id");
}
