//! The worked examples of `examples/`, run as a reader runs them, on real RabbitMQ and PostgreSQL.
//!
//! Each producer loses the answer to its first publish on the way, so that it has to publish again, and each alert has to be
//! told once all the same.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    lossy::{LossyProxy, Lost},
    program,
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// The examples of one language: how each is called.
struct Language {
    name: &'static str,
    http: Vec<PathBuf>,
    amqp: Vec<PathBuf>,
    token: Vec<PathBuf>,
}

/// Every language whose toolchain is on this machine; the others are said.
fn languages() -> anyhow::Result<Vec<Language>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let programs = std::env::current_exe()?;
    let (built, target) = programs
        .ancestors()
        .nth(2)
        .zip(programs.ancestors().nth(3))
        .context("the test executable is in no target folder")?;
    let made = target.join("examples");

    let script = |interpreter: &Path, file: &str| vec![interpreter.to_owned(), examples.join(file)];
    let (python, node) = (made.join("python/bin/python"), PathBuf::from("node"));
    let rust = |name: &str| vec![built.join(format!("example-{name}"))];
    let go = |name: &str| vec![made.join("go/bin").join(name)];
    let all = [
        (
            "rustc",
            Language {
                name: "rust",
                http: rust("http-producer"),
                amqp: rust("amqp-producer"),
                token: rust("user-token"),
            },
        ),
        (
            "python3",
            Language {
                name: "python",
                http: script(&python, "python/http_producer.py"),
                amqp: script(&python, "python/amqp_producer.py"),
                token: script(&python, "python/user_token.py"),
            },
        ),
        (
            "npm",
            Language {
                name: "node",
                http: script(&node, "node/http-producer.js"),
                amqp: script(&node, "node/amqp-producer.js"),
                token: script(&node, "node/user-token.js"),
            },
        ),
        ("go", Language { name: "go", http: go("http"), amqp: go("amqp"), token: go("token") }),
    ];
    let mut there = Vec::new();
    for (toolchain, language) in all {
        if is_in_path(toolchain) {
            there.push(language);
        } else {
            eprintln!("left out: the examples in {} ({toolchain} is not installed)", language.name);
        }
    }
    Ok(there)
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs an example with these variables, and gives what it printed.
async fn run(
    fleet: &Fleet,
    example: &[PathBuf],
    args: &[&str],
    env: &[(&str, &str)],
) -> anyhow::Result<String> {
    let (program, first) = example.split_first().context("no program")?;
    let path = program.components().count() > 1;
    ensure!(
        !path || program.is_file(),
        "no {}: run examples/install.sh and `cargo build --workspace --bins`",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(first).args(args).envs(env.iter().copied());
    let log = fleet.dir().join(format!("example-{}.log", uuid::Uuid::new_v4()));
    let said = program::run("an example", &mut command, &log, DEADLINE).await?;
    Ok(said.trim().to_owned())
}

/// What `GET /v1/inbox` shows to whoever has this token.
async fn inbox(fleet: &Fleet, token: &str) -> anyhow::Result<Value> {
    let url = format!("{}/v1/inbox", fleet.url("socket-1")?);
    let (status, page) = answer(fleet.http().request(Method::GET, url).bearer_auth(token)).await?;
    ensure!(status == 200, "answered {status}: {page}");
    Ok(page)
}

/// Waits until the inbox has changed so often and shows this alert in this status, once.
///
/// A later version is seen in the alert before the inbox has its number: whoever holds it is updated after the alert is.
async fn shown(fleet: &Fleet, token: &str, id: &str, status: &str, changes: u64) -> anyhow::Result<()> {
    let page = until(&format!("{id} to be {status}"), DEADLINE, async || {
        let page = inbox(fleet, token).await.ok()?;
        let is_shown = |row: &Value| row["alert"]["id"] == id && row["alert"]["status"] == status;
        let has_changed = page["seq"].as_u64()? >= changes;
        (has_changed && page["alerts"].as_array()?.iter().any(is_shown)).then_some(page)
    })
    .await?;
    let rows = page["alerts"].as_array().into_iter().flatten();
    ensure!(rows.filter(|row| row["alert"]["id"] == id).count() == 1, "more than once: {page}");
    ensure!(page["seq"] == json!(changes), "a repetition changed something: {page}");
    Ok(())
}

/// Fires and resolves one alert with a producer whose first answer is lost. `before` is how often the inbox changed by then.
async fn fire_and_resolve(
    fleet: &Fleet,
    user: &str,
    (producer, id): (&[PathBuf], &str),
    (env, proxy): (&[(&str, &str)], &LossyProxy),
    (token, before): (&str, u64),
) -> anyhow::Result<()> {
    let said = run(fleet, producer, &["fire", id, user], env).await?;
    ensure!(said == format!("accepted {id} version 1"), "said {said:?}");
    ensure!(proxy.has_lost(), "nothing was lost on the way, so nothing was tried again");
    shown(fleet, token, id, "firing", before + 1).await?;
    let said = run(fleet, producer, &["resolve", id], env).await?;
    ensure!(said == format!("accepted {id} version 2"), "said {said:?}");
    shown(fleet, token, id, "resolved", before + 2).await
}

async fn all_of(fleet: &Fleet, language: &Language) -> anyhow::Result<()> {
    let user = format!("reader-of-{}", language.name);
    let secret = [("WATCHBELL_JWT_SECRET", fleet.secret()), ("WATCHBELL_TENANT", fleet.tenant().as_str())];
    let token = run(fleet, &language.token, &[&user], &secret).await?;

    let ingest = port_of(&fleet.url("ingest")?)?;
    let proxy = LossyProxy::before(ingest, Lost::Response).await?;
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let env = [("WATCHBELL_URL", url.as_str()), ("WATCHBELL_KEY", fleet.key())];
    let id = format!("disk-http-{}", language.name);
    fire_and_resolve(fleet, &user, (&language.http, &id), (&env, &proxy), (&token, 0)).await?;

    let broker = &fleet.urls.as_ref().context("a fleet of services has a broker")?.broker;
    let rabbit = port_of(broker)?;
    let proxy = LossyProxy::before(rabbit, Lost::Confirm).await?;
    let url = broker.replace(&format!(":{rabbit}/"), &format!(":{}/", proxy.port()));
    let env = [("WATCHBELL_AMQP_URL", url.as_str()), ("WATCHBELL_TENANT", fleet.tenant().as_str())];
    let id = format!("disk-amqp-{}", language.name);
    fire_and_resolve(fleet, &user, (&language.amqp, &id), (&env, &proxy), (&token, 2)).await
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    reqwest::Url::parse(url)?.port().with_context(|| format!("no port in {url}"))
}

#[tokio::test]
async fn the_worked_examples_do_what_they_say() {
    let fleet = Fleet::start(Engine::Services, (60_000, 120_000), &[]).await.unwrap();
    let languages = languages().unwrap();
    let runs = languages.iter().map(async |language| {
        all_of(&fleet, language).await.with_context(|| format!("the examples in {}", language.name))
    });
    let ended = futures_util::future::join_all(runs).await;
    let wrong: Vec<String> =
        ended.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
