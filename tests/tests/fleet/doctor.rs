//! `watchbell doctor` beside real services: what is wrong with them is named with its remedy, and nothing else is.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use watchbell_tests::{
    balancer::{Balancer, Pod},
    fleet::{Fleet, Urls},
    ports,
    postgres::Postgres,
    process::binary,
    rabbit::RabbitNode,
    scratch::Scratch,
    services,
    sign_in_service::{CLIENT_ID, CLIENT_SECRET, Shown, SignInService},
    until::until,
};

const QUIET: (u64, u64) = (600_000, 600_000);
const DEADLINE: Duration = Duration::from_secs(60);
const HS256_SECRET: &str = "a-secret-of-tests-that-opens-nothing-at-all";

/// What `doctor ARGS… --json` prints with these variables, and whether it succeeded.
fn doctor(args: &[&str], env: &[(&str, &str)]) -> (bool, Value) {
    doctor_of("", args, env)
}

/// The same with this `watchbell.toml` as well.
fn doctor_of(toml: &str, args: &[&str], env: &[(&str, &str)]) -> (bool, Value) {
    let dir = Scratch::new("doctor").unwrap();
    std::fs::write(dir.path().join("watchbell.toml"), toml).unwrap();
    let mut command = Command::new(binary().unwrap());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHBELL")) {
        command.env_remove(name);
    }
    command.current_dir(dir.path()).arg("doctor").args(args).arg("--json").envs(env.iter().copied());
    let done = command.stdin(Stdio::null()).output().unwrap();
    let (out, complaint) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for secret in ["hunter2", CLIENT_SECRET] {
        assert!(!out.contains(secret) && !complaint.contains(secret), "{out}{complaint}");
    }
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{complaint}"));
    (done.status.success(), report)
}

/// Whether there is such a finding.
fn assert_found(report: &Value, verdict: &str, check: &str, says: &str, remedy: &str) {
    let holds =
        |finding: &Value, key: &str, part: &str| finding[key].as_str().unwrap_or_default().contains(part);
    let found = report["findings"].as_array().unwrap().iter().any(|finding| {
        finding["verdict"] == verdict
            && holds(finding, "check", check)
            && holds(finding, "found", says)
            && holds(finding, "remedy", remedy)
    });
    assert!(found, "{verdict} {check} {says}: {report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_real_services_is_named_with_its_remedy() {
    let (rabbit, postgres) = (services::rabbit().await.unwrap(), services::postgres().await.unwrap());
    let broker = rabbit.fresh_vhost("doctor").await.unwrap();
    let store = postgres.fresh_database("doctor").await.unwrap();
    let closed = ports::free().unwrap();
    let [no_broker, no_store] = [
        format!("amqp://guest:hunter2@127.0.0.1:{closed}/w"),
        format!("postgres://ana:hunter2@127.0.0.1:{closed}/w"),
    ];
    let wrong_password = broker.replace("guest:guest", "guest:hunter2");
    let other_vhost = format!("{broker}-of-nobody");
    let own = ("WATCHBELL__BROKER__DECLARE", "false");
    for (why, env, verdict, check, says, remedy) in [
        (
            "an empty database",
            vec![("WATCHBELL__BROKER__URL", &*broker), ("WATCHBELL__STORE__URL", &store)],
            "fail",
            "store schema",
            "no tables yet",
            "watchbell migrate",
        ),
        (
            "a store that is not there",
            vec![("WATCHBELL__BROKER__URL", &*broker), ("WATCHBELL__STORE__URL", &no_store)],
            "fail",
            "store",
            "the connection is refused",
            "start it",
        ),
        (
            "a broker that is not there",
            vec![("WATCHBELL__BROKER__URL", &*no_broker), ("WATCHBELL__STORE__URL", &store)],
            "fail",
            "broker 127.0.0.1",
            "the connection is refused",
            "start it",
        ),
        (
            "a wrong password",
            vec![("WATCHBELL__BROKER__URL", &*wrong_password), ("WATCHBELL__STORE__URL", &store)],
            "fail",
            "broker 127.0.0.1",
            "refuses the user or the password",
            "correct the user",
        ),
        (
            "a vhost that is not there",
            vec![("WATCHBELL__BROKER__URL", &*other_vhost), ("WATCHBELL__STORE__URL", &store)],
            "fail",
            "broker 127.0.0.1",
            "does not exist",
            "rabbitmqctl add_vhost",
        ),
        (
            "a topology that nobody declares",
            vec![("WATCHBELL__BROKER__URL", &*broker), ("WATCHBELL__STORE__URL", &store), own],
            "fail",
            "broker topology",
            "watchbell.dispatch",
            "watchbell topology apply",
        ),
    ] {
        let (ok, report) = doctor(&["dispatch", "--connect"], &env);
        assert!(!ok, "{why}: {report:#}");
        assert_found(&report, verdict, check, says, remedy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_works_has_no_failure() {
    // The shared one does not wait for the disk, which is a fault.
    let dir = Scratch::new("doctor-store").unwrap();
    let postgres = Postgres::start(dir.path()).await.unwrap();
    let urls = Urls {
        broker: services::rabbit().await.unwrap().fresh_vhost("doctor").await.unwrap(),
        store: postgres.fresh_database("doctor").await.unwrap(),
    };
    let fleet = Fleet::start_services(urls.clone(), QUIET, &[]).await.unwrap();
    let (token, public) = (fleet.token("ana").unwrap(), fleet.url("socket-1").unwrap());
    let env = [
        ("WATCHBELL__BROKER__URL", &*urls.broker),
        ("WATCHBELL__STORE__URL", &urls.store),
        ("WATCHBELL__AUTH__HS256_SECRET", HS256_SECRET),
        ("WATCHBELL_TOKEN", &token),
    ];
    let (ok, report) = doctor(&["--connect", "--public", &public], &env);
    assert!(ok && report["failed"] == 0, "{report:#}");
    for (check, says) in [
        ("store schema", "is the one"),
        ("store clock", "this machine's"),
        ("store settings", "are those"),
        ("broker topology", "every exchange and queue is there"),
        ("broker rights", "read watchbell.dispatch"),
        ("broker rights", "read and write watchbell.pod"),
        ("public address", "a socket pod answers"),
        ("public WebSocket", "the upgrade comes through"),
        ("public server-sent events", "as they are written"),
        ("socket.allowed_origins", "pages of other origins are refused"),
    ] {
        let says = if check == "broker rights" && says.contains("pod") { "watchbell.pod" } else { says };
        assert_found(&report, "ok", check, says, "");
    }
    // One node, whose API was not asked, is worth a word and no failure.
    assert_found(&report, "warn", "broker.url nodes", "names 1", "three nodes");
    assert_found(&report, "warn", "broker management", "not looked at", "--management");

    // Origins that the running pods do not know.
    let env = [&env[..], &[("WATCHBELL__SOCKET__ALLOWED_ORIGINS", "https://app.example.com")]].concat();
    let (ok, report) = doctor(&["socket", "--public", &public], &env);
    assert!(!ok, "{report:#}");
    assert_found(
        &report,
        "fail",
        "socket.allowed_origins",
        "refused with 403",
        "the same socket.allowed_origins",
    );

    // A balancer that passes no upgrade on, and gathers what a stream says.
    let pod = Pod { url: public, operations: fleet.operations_url("socket-1").unwrap() };
    let balancer = Balancer::start_gathering(&pod).await.unwrap();
    let env = [("WATCHBELL__AUTH__HS256_SECRET", HS256_SECRET), ("WATCHBELL_TOKEN", &*token)];
    let (ok, report) = doctor(&["socket", "--public", &balancer.url()], &env);
    assert!(!ok, "{report:#}");
    assert_found(&report, "ok", "public address", "a socket pod answers", "");
    assert_found(&report, "fail", "public WebSocket", "not with 101", "Connection and Upgrade");
    assert_found(&report, "fail", "public server-sent events", "gathers the answer", "proxy_buffering off");
}

/// What `topology show` prints of a policy.
struct PrintedPolicy {
    pattern: String,
    definition: String,
}

fn printed_policy(name: &str) -> PrintedPolicy {
    let shown = Command::new(binary().unwrap()).args(["topology", "show"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown.lines().find(|line| line.contains(name)).unwrap();
    let quoted: Vec<&str> = line.split('\'').collect();
    PrintedPolicy { pattern: quoted[1].to_owned(), definition: quoted[3].to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rabbitmqs_management_api_tells_is_named_with_its_remedy() {
    let dir = Scratch::new("managed").unwrap();
    let (rabbit, management) = RabbitNode::start_managed(dir.path()).await.unwrap();
    let broker = rabbit.fresh_vhost("managed").await.unwrap();
    let env = [("WATCHBELL__BROKER__URL", &*broker), ("WATCHBELL__AUTH__HS256_SECRET", HS256_SECRET)];
    let applied = Command::new(binary().unwrap())
        .current_dir(dir.path())
        .args(["topology", "apply"])
        .envs(env)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let look = |management: &str| doctor(&["dispatch", "--connect", "--management", management], &env).1;

    // Its numbers are gathered every few seconds.
    let told = until("the API to know the queues", DEADLINE, async || {
        let report = look(&management);
        report["findings"].to_string().contains("one node alone holds it").then_some(report)
    });
    let report = told.await.unwrap();
    assert_found(&report, "warn", "broker nodes", "has 1 of the 3 nodes", "add nodes");
    assert_found(
        &report,
        "warn",
        "broker queue watchbell.dispatch",
        "one node alone holds it",
        "rabbitmq-queues grow",
    );
    assert_found(
        &report,
        "warn",
        "broker policy watchbell.dispatch",
        "no policy says",
        "watchbell topology show",
    );

    // The policy that is printed is one that RabbitMQ takes.
    assert_found(&report, "warn", "broker policy watchbell.rejected", "has no age", "watchbell-parked-kept");
    let vhost = broker.rsplit('/').next().unwrap();
    let name = "watchbell-parked-kept";
    let PrintedPolicy { pattern, definition } = printed_policy(name);
    let set = ["set_policy", "-p", vhost, "--apply-to", "queues", name, &pattern, &definition];
    rabbit.ctl(&set).await.unwrap();
    let in_force = until("the API to know the policy", DEADLINE, async || {
        let report = look(&management);
        report["findings"].to_string().contains("goes after 30.0 days").then_some(())
    });
    in_force.await.unwrap();

    rabbit.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]).await.unwrap();
    let alarmed = until("the API to tell of the alarm", DEADLINE, async || {
        let report = look(&management);
        report["findings"].to_string().contains("is short of memory, so nothing").then_some(report)
    });
    assert_found(
        &alarmed.await.unwrap(),
        "fail",
        "broker alarm",
        "is short of memory, so nothing",
        "give it more",
    );

    for (why, address, says) in [
        ("a wrong password", management.replace("guest:guest", "guest:hunter2"), "answers 401"),
        (
            "the port of AMQP",
            management.replace(management.rsplit(':').next().unwrap(), &rabbit.port().to_string()),
            "does not answer",
        ),
        ("no address", "rabbitmq".to_owned(), "must be an address such as"),
    ] {
        let report = look(&address);
        assert!(report["failed"].as_u64() >= Some(1), "{why}: {report:#}");
        assert_found(&report, "fail", "broker management", says, "the tag `monitoring`");
    }
}

/// Nobody signs in: what operators would find is told beforehand.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_service_that_lets_no_operator_in_is_named_with_its_remedy() {
    const CHECK: &str = "console.oidc";
    let service = SignInService::start().await.unwrap();
    let configured = |issuer: &str| {
        format!(
            "[operations]\ntenant = \"acme\"\n[console.oidc]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
             redirect_url = \"https://ops.example.com/console\"\n\
             allow = [{{value = \"ops\", scopes = [\"operations\"]}}]\n"
        )
    };
    let look = async |toml: String| {
        // The service is served by this process meanwhile.
        let looked = tokio::task::spawn_blocking(move || doctor_of(&toml, &["dispatch", "--connect"], &[]));
        looked.await.unwrap().1
    };
    let issuer = service.issuer();
    let right = configured(issuer);
    let closed = ports::free().unwrap();
    let elsewhere = configured(&format!("http://127.0.0.1:{closed}"));
    for (why, toml, shown, verdict, says, remedy) in [
        ("a service that works", &right, Shown::Right, "ok", "can be read", ""),
        (
            "another issuer",
            &right,
            Shown::AnotherIssuer,
            "warn",
            "names another issuer",
            "correct console.oidc.issuer",
        ),
        (
            "a `/` too many",
            &configured(&format!("{issuer}/")),
            Shown::Right,
            "warn",
            "names another issuer",
            "letter by letter",
        ),
        ("nobody there", &elsewhere, Shown::Right, "warn", "cannot be reached: no connection", "network"),
        ("no document", &right, Shown::NoDocument, "warn", "answers 404", "correct console.oidc.issuer"),
        ("no PKCE by S256", &right, Shown::NoS256, "warn", "does not know PKCE by S256", "allow it there"),
        ("no keys", &right, Shown::NoKeys, "warn", "answers 404", "`jwks_uri`"),
        ("an empty set of keys", &right, Shown::EmptyKeys, "warn", "has no key for RS256", "`jwks_uri`"),
        ("no key of ours", &right, Shown::ForeignKeys, "warn", "has no key for RS256", "sign ID tokens"),
    ] {
        service.show(shown);
        let report = look(toml.clone()).await;
        let of_it = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == CHECK);
        let warned = of_it.filter(|finding| finding["verdict"] != "ok").count();
        assert_eq!(warned, usize::from(verdict == "warn"), "{why}: {report:#}");
        assert_found(&report, verdict, CHECK, says, remedy);
    }
}
