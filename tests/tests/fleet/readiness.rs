//! Ready means working (I14): each role says what it lacks, since when and why, and goes on with what it can do.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell::{
    domain::{Secret, Tenant, UserId, UserKey},
    runtime::config::AuthConfig,
};
use watchbell_socket::token;
use watchbell_tests::{
    fleet::{Fleet, Urls},
    ports,
    postgres::Postgres,
    process::WatchbellProcess,
    rabbit::RabbitNode,
    requests::answer,
    scratch::Scratch,
    services,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
/// Nobody is pushed to in the time of a test.
const QUIET: (u64, u64) = (600_000, 600_000);
const HS256_SECRET: &str = "a-secret-of-tests-that-opens-nothing-at-all";
const ROLES: [&str; 4] = ["ingest", "dispatch", "socket", "fallback"];
/// In every URL that should not be printed.
const CANARY: &str = "hunter2";

async fn readyz(http: &reqwest::Client, url: &str) -> Option<(u16, Value)> {
    answer(http.get(format!("{url}/readyz"))).await.ok()
}

/// Waits until a worker of a fleet answers this status, with this standing.
async fn is(fleet: &Fleet, name: &str, status: u16, standing: &str) -> anyhow::Result<Value> {
    let url = fleet.operations_url(name)?;
    let mut last = Value::Null;
    let found = until(&format!("{name} to be {standing}"), DEADLINE, async || {
        let (code, report) = readyz(fleet.http(), &url).await?;
        last = report;
        (code == status && last["status"] == standing).then(|| last.clone())
    })
    .await;
    found.with_context(|| last.to_string())
}

#[tokio::test]
async fn a_role_goes_on_with_what_it_can_do() {
    let (rabbit_dir, store_dir) = (Scratch::new("ready").unwrap(), Scratch::new("ready").unwrap());
    let mut rabbit = RabbitNode::start(rabbit_dir.path()).await.unwrap();
    let mut postgres = Postgres::start(store_dir.path()).await.unwrap();
    let urls = Urls { broker: rabbit.url(), store: postgres.fresh_database("ready").await.unwrap() };
    let fleet = Fleet::start_services(urls, QUIET, &[]).await.unwrap();
    let to = |user: &str| json!({"to": {"users": [user]}, "title": "t"});
    let first = fleet.send(&to("ana")).await.unwrap();
    until("the first alert", DEADLINE, async || {
        fleet.inbox("ana").await.ok().filter(|inbox| inbox.len() == 1)
    })
    .await
    .unwrap();

    // Without the broker: sessions, inbox and receipts go on, and the balancer keeps sending people.
    rabbit.stop().await.unwrap();
    for (name, role, status, standing) in [
        ("socket-1", "socket", 200, "degraded"),
        ("ingest", "ingest", 503, "not_ready"),
        ("dispatch", "dispatch", 503, "not_ready"),
        ("fallback", "fallback", 503, "not_ready"),
    ] {
        let report = is(&fleet, name, status, standing).await.unwrap();
        let lacks = report["roles"][role]["lacks"].as_array().unwrap();
        assert!(lacks.contains(&json!("broker")), "{name}: {report}");
        assert_eq!(report["parts"]["store"]["status"], "ok", "{name}: {report}");
        assert!(
            report["parts"]["broker"]["cause"].as_str().unwrap().contains("RabbitMQ"),
            "{name}: {report}"
        );
        assert!(report["parts"]["broker"]["since"].is_string(), "{name}: {report}");
    }
    let session = fleet.session("socket-1", "ana", None).await.unwrap();
    assert_eq!(session.hello["seq"], 1);
    let receipt = json!({"alerts": [first], "state": "seen"});
    let (status, said) = fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await.unwrap();
    assert_eq!(status, 200, "{said}");
    assert_eq!(fleet.inbox("ana").await.unwrap()[0]["state"], "seen");
    assert_eq!(fleet.publish(&to("ana")).await.unwrap().0, 503, "nothing keeps it");
    drop(session);
    rabbit.start_again().await.unwrap();
    for name in ["ingest", "dispatch", "socket-1", "fallback"] {
        is(&fleet, name, 200, "ready").await.unwrap();
    }

    // Without the store: alerts are accepted, kept by the broker, and delivered when it is back.
    let follower = fleet.follower("ben").await.unwrap();
    fleet.send(&to("nobody")).await.unwrap(); // The key was seen to work a moment before.
    postgres.stop().await.unwrap();
    for (name, status, standing) in [
        ("ingest", 200, "degraded"),
        ("socket-1", 503, "not_ready"),
        ("dispatch", 503, "not_ready"),
        ("fallback", 503, "not_ready"),
    ] {
        is(&fleet, name, status, standing).await.unwrap();
        let url = fleet.operations_url(name).unwrap();
        until(&format!("{name} to name the cause"), DEADLINE, async || {
            let (_, report) = readyz(fleet.http(), &url).await?;
            let store = &report["parts"]["store"];
            let named =
                store["cause"].as_str()?.contains("PostgreSQL cannot be reached: the connection is refused");
            (store["status"] == "failing" && named).then_some(())
        })
        .await
        .unwrap();
    }
    for _ in 0..20 {
        let (status, problem) = fleet.publish(&to("ben")).await.unwrap();
        assert_eq!(status, 202, "{problem}");
    }
    let stranger = fleet.http().post(format!("{}/v1/alerts", fleet.url("ingest").unwrap()));
    let stranger = stranger.bearer_auth(format!("wbk_{}", "a".repeat(43))).json(&to("ben"));
    let (status, problem) = answer(stranger).await.unwrap();
    assert_eq!(status, 503, "nobody knows whether it is a good key: {problem}");
    postgres.start_again().await.unwrap();
    for name in ["ingest", "dispatch", "socket-1", "socket-2", "fallback"] {
        is(&fleet, name, 200, "ready").await.unwrap();
    }
    until("what was accepted meanwhile", DEADLINE, async || (follower.changes().len() >= 20).then_some(()))
        .await
        .unwrap();
    assert_eq!(fleet.inbox("ben").await.unwrap().len(), 20);

    // The log has a line when a part goes and one when it is back, not four a second.
    for (name, log) in fleet.logs() {
        let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        let goes = lines("Readiness: store: ");
        assert!(
            name == "simulator" || (1..15).contains(&goes),
            "{name} told {goes} times of the store:\n{log}"
        );
        assert!(name == "simulator" || lines("Readiness: store is well") >= 2, "{name}: at first, and again");
        assert!(
            name == "simulator" || lines("Readiness: store is well again, after ") >= 1,
            "{name}:\n{log}"
        );
        assert_says_little(name, &log);
    }
}

/// Nobody says the same again and again, and the AMQP client's lines say which connection they are about.
fn assert_says_little(name: &str, log: &str) {
    // Each part of ours may fail and come back, twice with two outages.
    const SAME_MAX: usize = 4;
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for line in log.lines().filter(|line| [" WARN ", " ERROR "].iter().any(|level| line.contains(level))) {
        let (_at, text) = line.split_once(' ').unwrap_or_default();
        *said.entry(text).or_default() += 1;
        if line.contains(" lapin::") {
            assert!(line.contains("part=") && line.contains("node="), "{name}: {line}");
        }
    }
    let often: Vec<_> = said.iter().filter(|(_, times)| **times > SAME_MAX).collect();
    assert!(often.is_empty(), "{name} repeats itself: {often:#?}");
}

/// One worker, and where it is.
struct Running {
    url: String,
    operations: String,
    process: WatchbellProcess,
}

/// Workers without a fleet around them: what they need may not be there.
struct Alone {
    dir: Scratch,
    http: reqwest::Client,
    running: BTreeMap<String, Running>,
}

impl Alone {
    fn new() -> anyhow::Result<Self> {
        let dir = Scratch::new("alone")?;
        fs::write(dir.path().join("watchbell.toml"), "")?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { dir, http, running: BTreeMap::new() })
    }

    fn env<'a>(urls: &'a Urls, listen: &'a str, operations: &'a str) -> [(&'static str, &'a str); 5] {
        [
            ("WATCHBELL__STORE__URL", &urls.store),
            ("WATCHBELL__BROKER__URL", &urls.broker),
            ("WATCHBELL__AUTH__HS256_SECRET", HS256_SECRET),
            ("WATCHBELL__HTTP__LISTEN", listen),
            ("WATCHBELL__HTTP__OPERATIONS_LISTEN", operations),
        ]
    }

    fn start(&mut self, name: &str, roles: &[&str], urls: &Urls) -> anyhow::Result<()> {
        let [listen, operations] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let args: Vec<&str> = ["run"].iter().chain(roles).copied().collect();
        let env = Self::env(urls, &listen, &operations);
        let process = WatchbellProcess::start(name, self.dir.path(), &args, &env)?;
        let [url, operations] = [listen, operations].map(|address| format!("http://{address}"));
        self.running.insert(name.to_owned(), Running { url, operations, process });
        Ok(())
    }

    /// Waits until what `/readyz` of a process says pleases `wanted`.
    async fn says(&self, name: &str, wanted: impl Fn(u16, &Value) -> bool) -> anyhow::Result<Value> {
        let Running { operations, process, .. } = &self.running[name];
        let mut last = Value::Null;
        let found = until(&format!("{name} to say so"), DEADLINE, async || {
            let (status, report) = readyz(&self.http, operations).await?;
            last = report;
            wanted(status, &last).then(|| last.clone())
        })
        .await;
        found.with_context(|| format!("{last}\n{}", process.log()))
    }
}

/// A database that migrations up to this one were applied to, as the versions of then did it.
async fn database_at(postgres: &Postgres, newest: i64) -> anyhow::Result<String> {
    let url = postgres.fresh_database("older").await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/store/migrations");
    let mut files: Vec<_> = fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    postgres
        .psql_on(
            &url,
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
                 installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL,
                 checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)",
        )
        .await?;
    for file in files {
        let name = file.file_stem().and_then(|name| name.to_str()).context("a name")?;
        let (version, description) = name.split_once('_').context("NUMBER_NAME.sql")?;
        let version: i64 = version.parse()?;
        if version <= newest {
            let sql = fs::read_to_string(&file)?;
            let row = format!(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES ({version}, '{description}', true, sha384(convert_to($migration${sql}$migration$, 'UTF8')), 0)"
            );
            postgres.psql_on(&url, &format!("{sql};\n{row}")).await?;
        }
    }
    postgres.psql_on(&url, "INSERT INTO meta (name, value) VALUES ('epoch', 'older')").await?;
    Ok(url)
}

/// It once was ready and accepted alerts, while dispatch failed at each of them.
#[tokio::test]
async fn a_database_that_is_behind_is_not_ready_and_loses_nothing() {
    let postgres = services::postgres().await.unwrap();
    let urls = Urls {
        broker: services::rabbit().await.unwrap().fresh_vhost("behind").await.unwrap(),
        store: database_at(postgres, 4).await.unwrap(),
    };
    let mut alone = Alone::new().unwrap();
    // Keys are there since the first migration.
    let key = "INSERT INTO api_keys VALUES (encode(sha256('wbk_behind'::bytea), 'hex'), 'acme', 'tests', 0)";
    postgres.psql_on(&urls.store, key).await.unwrap();
    for role in ROLES {
        alone.start(role, &[role], &urls).unwrap();
    }
    for role in ROLES {
        let report = alone
            .says(role, |status, report| status == 503 && report["parts"]["store"]["status"] == "ok")
            .await
            .unwrap();
        let schema = &report["parts"]["schema"];
        assert!(
            schema["cause"].as_str().unwrap().starts_with("migration 4 is applied, this program needs"),
            "{report}"
        );
        assert_eq!(schema["remedy"], "run `watchbell migrate`", "{report}");
        assert!(report["roles"][role]["lacks"].as_array().unwrap().contains(&json!("schema")), "{report}");
        let Running { operations, process, .. } = alone.running.get_mut(role).unwrap();
        process.wait_log("migration 4 is applied", DEADLINE).await.unwrap();
        let (alive, _) = answer(alone.http.get(format!("{operations}/healthz"))).await.unwrap();
        assert_eq!(alive, 200, "{role} lives");
        assert!(!process.log().contains("does not exist"), "{role} did not try:\n{}", process.log());
    }

    // Whoever sends past the balancer is heard, and what they sent is kept until it can be recorded.
    let ingest = format!("{}/v1/alerts", alone.running["ingest"].url);
    let alert = json!({"id": "early", "to": {"users": ["ana"]}, "title": "t"});
    let (status, problem) =
        answer(alone.http.post(&ingest).bearer_auth("wbk_behind").json(&alert)).await.unwrap();
    assert_eq!(status, 202, "{problem}");

    // What an init container does: it waits, says why, and gives up in the end.
    let command = |args: &[&str]| {
        let mut command = std::process::Command::new(watchbell_tests::process::binary().unwrap());
        command.current_dir(alone.dir.path()).args(args).envs(Alone::env(
            &urls,
            "127.0.0.1:0",
            "127.0.0.1:0",
        ));
        command.output().unwrap()
    };
    let refused = command(&["migrate", "--check", "--wait", "1s"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("migration 4 is applied"), "{said}");
    let refused = command(&["key", "create", "--tenant", "acme", "--name", "late"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("run `watchbell migrate`"), "{said}");
    assert!(command(&["migrate"]).status.success());
    assert!(command(&["migrate", "--check"]).status.success());
    for role in ROLES {
        alone.says(role, |status, report| status == 200 && report["status"] == "ready").await.unwrap();
    }
    let auth = AuthConfig::default();
    let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    let ends_at = Timestamp::now() + SignedDuration::from_hours(1);
    let token = token::mint(&Secret::from(HS256_SECRET), &auth, &ana, ends_at).unwrap();
    let inbox = format!("{}/v1/inbox", alone.running["socket"].url);
    until("what was accepted before", DEADLINE, async || {
        let (_, page) = answer(alone.http.get(&inbox).bearer_auth(&token)).await.ok()?;
        (page["alerts"][0]["alert"]["id"] == "early").then_some(())
    })
    .await
    .unwrap();

    // A newer version migrates: pods of this one serve on, and a setup of this one that runs again is content.
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a later version', true, '', 0)";
    postgres.psql_on(&urls.store, newer).await.unwrap();
    for role in ROLES {
        let is_behind = |report: &Value| report["parts"]["schema"]["status"] == "degraded";
        alone.says(role, |status, report| status == 200 && is_behind(report)).await.unwrap();
    }
    let migrated = command(&["migrate"]);
    let said = String::from_utf8_lossy(&migrated.stdout).into_owned();
    assert!(migrated.status.success() && said.contains("Nothing to do: migration 9999 is applied"), "{said}");

    // One in between has failed, though the newest is there: nobody is ready.
    postgres
        .psql_on(&urls.store, "UPDATE _sqlx_migrations SET success = false WHERE version = 22")
        .await
        .unwrap();
    for role in ROLES {
        let lacks = |report: &Value| {
            let cause = report["parts"]["schema"]["cause"].as_str().unwrap_or_default();
            cause.contains("and 22 that this program needs is missing or failed")
        };
        alone.says(role, |status, report| status == 503 && lacks(report)).await.unwrap();
    }
}

/// Each way not to reach a service, as an operator meets it: the cause is named, with what to do, and no secret.
#[tokio::test]
async fn a_cause_is_named_with_its_remedy() {
    let (rabbit, postgres) = (services::rabbit().await.unwrap(), services::postgres().await.unwrap());
    let good = Urls {
        broker: rabbit.fresh_vhost("causes").await.unwrap(),
        store: postgres.fresh_database("causes").await.unwrap(),
    };
    let database = good.store.rsplit('/').next().unwrap().to_owned();
    let vhost = good.broker.rsplit('/').next().unwrap().to_owned();
    postgres.add_user_with_password("locked", "right").await.unwrap();
    postgres
        .psql(
            "CREATE USER poor; CREATE USER reader; ALTER USER reader SET default_transaction_read_only = on",
        )
        .await
        .unwrap();
    rabbit.ctl(&["add_user", "poor", CANARY]).await.unwrap();
    let mut alone = Alone::new().unwrap();
    let migrated = std::process::Command::new(watchbell_tests::process::binary().unwrap())
        .current_dir(alone.dir.path())
        .arg("migrate")
        .envs(Alone::env(&good, "127.0.0.1:0", "127.0.0.1:0"))
        .status()
        .unwrap();
    assert!(migrated.success());

    let (store_at, broker_at) = (postgres.port(), rabbit.port());
    let closed = ports::free().unwrap();
    let store = |user: &str, place: String| format!("postgres://{user}:{CANARY}@{place}");
    let broker = |user: &str, place: String| format!("amqp://{user}:{CANARY}@{place}");
    let table = [
        (
            "store",
            store("locked", format!("127.0.0.1:{store_at}/{database}")),
            "refuses the user or the password",
        ),
        ("store", store("postgres", format!("127.0.0.1:{store_at}/nowhere")), "does not exist"),
        ("store", store("postgres", format!("127.0.0.1:{closed}/{database}")), "connection is refused"),
        ("store", store("postgres", format!("nowhere.invalid/{database}")), "host name is not found"),
        ("store", store("poor", format!("127.0.0.1:{store_at}/{database}")), "may not read and write"),
        ("store", store("reader", format!("127.0.0.1:{store_at}/{database}")), "takes no writes"),
        ("store", store("postgres", format!("127.0.0.1:{store_at}/{database}?sslmode=require")), "TLS"),
        (
            "broker",
            broker("guest", format!("127.0.0.1:{broker_at}/{vhost}")),
            "refuses the user or the password",
        ),
        ("broker", broker("poor", format!("127.0.0.1:{broker_at}/nowhere")), "does not exist"),
        ("broker", broker("poor", format!("127.0.0.1:{broker_at}/{vhost}")), "has no rights"),
        ("broker", broker("guest", format!("127.0.0.1:{closed}/{vhost}")), "connection is refused"),
        ("broker", broker("guest", format!("nowhere.invalid/{vhost}")), "host name is not found"),
        ("broker", format!("amqps://guest:{CANARY}@127.0.0.1:{broker_at}/{vhost}"), "TLS"),
    ];
    for (number, (part, url, _)) in table.iter().enumerate() {
        let mut urls = good.clone();
        match *part {
            "store" => urls.store.clone_from(url),
            _ => urls.broker.clone_from(url),
        }
        alone.start(&number.to_string(), &["dispatch"], &urls).unwrap();
    }
    for (number, (part, _, expected)) in table.iter().enumerate() {
        let name = number.to_string();
        let report = alone
            .says(&name, |status, report| {
                let cause = report["parts"][part]["cause"].as_str().unwrap_or_default();
                status == 503 && cause.contains(expected)
            })
            .await
            .with_context(|| format!("{part}: {expected}"))
            .unwrap();
        assert!(report["parts"][part]["remedy"].is_string(), "{report}");
        let process = &mut alone.running.get_mut(&name).unwrap().process;
        let line = process.wait_log(expected, DEADLINE).await.unwrap();
        assert!(line.contains("Readiness"), "{line}");
        assert!(!process.log().contains(CANARY) && !report.to_string().contains(CANARY), "{}", process.log());
    }
}
