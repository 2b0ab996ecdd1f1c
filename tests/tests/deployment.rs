//! The names in the compose files and k8s/ are names the program knows: an unknown one would stop every
//! worker at its start, in the cluster, where nobody wants to find out. And the image is built from every package of the
//! workspace: cargo refuses to build one of them without the others' manifests.
//!
//! The memory limits there have room for what workers hold.
//!
//! The two configurations of HAProxy agree: one is tested with restarts of pods, the other is in front of the fleet of compose.
//!
//! Elsewhere: whether those files are well-formed and hold our rules, in `k8s/check.sh`; the compose files in a real engine, in
//! `tests/compose`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use serde_json::Value;
use watchbell::runtime::{MemoryBudgets, memory};
use watchbell_fallback::channel::VapidKey;
use watchbell_simulator::{Simulator, SimulatorConfig};
use watchbell_tests::{process::binary, scratch::Scratch};

#[test]
fn every_setting_of_the_deployment_files_is_known() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let base =
        ["k8s/base/config.yaml", "k8s/base/socket/deployment.yaml", "k8s/base/fallback/deployment.yaml"];
    for (fleet, own) in [
        ("compose", &["docker-compose.yml"][..]),
        ("compose with the demo", &["docker-compose.yml", "docker-compose.override.yml"]),
        ("local", &["k8s/overlays/local/providers.yaml", "k8s/overlays/local/kustomization.yaml"]),
        ("production", &["k8s/overlays/production/providers.yaml"]),
        (
            "production with components",
            &[
                "k8s/overlays/production/providers.yaml",
                "k8s/components/jwks/signin.yaml",
                "k8s/components/ingress-nginx/kustomization.yaml",
                "k8s/components/previous-secret/kustomization.yaml",
            ],
        ),
    ] {
        let base = if fleet.starts_with("compose") { &[][..] } else { &base };
        let mut settings = Vec::new();
        for file in base.iter().chain(own) {
            let text = fs::read_to_string(root.join(file)).with_context(|| (*file).to_owned())?;
            settings.extend(settings_in(&text));
        }
        ensure!(settings.len() > 8, "{fleet}: only {settings:?} was found");
        load(settings).with_context(|| fleet.to_owned())?;
    }
    Ok(())
}

/// As every worker of compose reads them, with secrets in place of the placeholders that are none.
#[test]
fn the_settings_files_of_compose_are_accepted() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    for file in ["compose/demo.toml", "compose/providers.example.toml"] {
        load_with(Vec::new(), &fs::read_to_string(root.join(file))?).with_context(|| file.to_owned())?;
    }
    Ok(())
}

#[test]
fn both_configurations_of_haproxy_have_the_same_timeouts_retries_and_checks() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let section = |file: &str, name: &str| -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
        let mut lines = text.lines().skip_while(|line| *line != name);
        ensure!(lines.next().is_some(), "{file} has no {name}");
        let body = lines.take_while(|line| line.is_empty() || line.starts_with(' ')).map(str::trim);
        // Servers differ, and in compose their names are looked up while HAProxy runs.
        let body =
            body.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("server "));
        Ok(body.map(|line| line.split(" resolvers").next().unwrap_or(line).to_owned()).collect())
    };
    for name in ["defaults", "backend socket"] {
        let recommended = section("workers/socket/balancers/haproxy.cfg", name)?;
        ensure!(recommended.len() > 3, "only {recommended:?} was found of {name}");
        ensure!(section("compose/haproxy.cfg", name)? == recommended, "{name} differs");
    }
    Ok(())
}

/// Each address leads to the worker that has it: by the documents of both.
#[test]
fn haproxy_of_compose_sends_every_route_to_the_worker_that_has_it() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let config = fs::read_to_string(root.join("compose/haproxy.cfg"))?;
    let publishes = config.lines().find_map(|line| line.trim().strip_prefix("acl publishes path_beg "));
    let publishes: Vec<&str> = publishes.context("there is no acl publishes")?.split(' ').collect();
    let mut looked_at = 0;
    for (worker, is_ingest) in [("ingest", true), ("socket", false)] {
        let document = fs::read_to_string(root.join(format!("workers/{worker}/openapi.json")))?;
        let document: Value = serde_json::from_str(&document)?;
        for (path, operations) in document["paths"].as_object().context("the document has no paths")? {
            for method in operations.as_object().into_iter().flat_map(|operations| operations.keys()) {
                let is_event = path.starts_with("/v1/topics") && method == "post";
                let goes_to_ingest = is_event || publishes.iter().any(|begins| path.starts_with(begins));
                // What is not below /v1 is each worker's own, such as its document.
                if path.starts_with("/v1/") {
                    ensure!(goes_to_ingest == is_ingest, "{method} {path} of {worker} goes to the other one");
                    looked_at += 1;
                }
            }
        }
    }
    ensure!(looked_at > 40, "only {looked_at} routes were looked at");
    Ok(())
}

#[test]
fn an_unknown_or_impossible_setting_is_found() {
    for (why, line) in [
        ("an unknown key", "  WATCHBELL__HTTP__LISTENS: 0.0.0.0:7700"),
        ("an unknown section", "- {name: WATCHBELL__SMTP__HOST, value: mail}"),
        ("a wrong value", "  WATCHBELL__BROKER__DECLARE: \"perhaps\""),
        ("half a provider", "  WATCHBELL__APNS__TEAM_ID: ABCDE12345"),
    ] {
        assert!(load(settings_in(line)).is_err(), "{why} goes unnoticed");
    }
}

/// What each worker is given there is enough for it: `config check WORKER` says so, as `run WORKER` would.
#[tokio::test]
async fn every_worker_can_run_with_what_it_is_given() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let secrets = Scratch::new("secrets")?;
    write_secrets(secrets.path()).await?;
    let read = |file: &str| fs::read_to_string(root.join(file)).with_context(|| file.to_owned());

    let compose = read("docker-compose.yml")?;
    for (service, worker) in [
        ("ingest", "ingest"),
        ("dispatch", "dispatch"),
        ("socket-1", "socket"),
        ("socket-2", "socket"),
        ("fallback", "fallback"),
    ] {
        let settings = settings_in(&service_of(&compose, service)?);
        check_worker(worker, settings, secrets.path()).with_context(|| format!("compose: {service}"))?;
    }
    for overlay in ["local", "production"] {
        let providers = read(&format!("k8s/overlays/{overlay}/providers.yaml"))?;
        for worker in ["ingest", "dispatch", "socket", "fallback"] {
            let deployment = read(&format!("k8s/base/{worker}/deployment.yaml"))?;
            let mut text = read("k8s/base/config.yaml")?;
            // A document of the file is one ConfigMap, and a worker names those that it has.
            for map in providers.split("\n---\n") {
                let name =
                    map.lines().find_map(|line| line.trim().strip_prefix("name: ")).unwrap_or_default();
                if deployment.contains(&format!("configMapRef: {{name: {name}}}")) {
                    text.push_str(map);
                    text.push('\n');
                }
            }
            text.push_str(&deployment);
            let checked = check_worker(worker, settings_in(&text), secrets.path());
            checked.with_context(|| format!("{overlay}: {worker}"))?;
        }
    }
    Ok(())
}

/// The lines of a service, with those of every anchor that it names.
fn service_of(compose: &str, name: &str) -> anyhow::Result<String> {
    let lines: Vec<&str> = compose.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let block = |at: usize| {
        let own = depth(lines[at]);
        let rest = lines[at + 1..].iter().take_while(|line| line.trim().is_empty() || depth(line) > own);
        std::iter::once(&lines[at]).chain(rest).map(|line| format!("{line}\n")).collect::<String>()
    };
    let begins = |line: &&str| line.starts_with(&format!("  {name}:"));
    let services = lines.iter().position(|line| *line == "services:").context("there are services")?;
    let at = lines[services..].iter().position(begins).context("no such service")? + services;
    let mut whole = block(at);
    let mut known: Vec<String> = Vec::new();
    loop {
        let named = whole.split('*').skip(1).map(|rest| {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect::<String>()
        });
        let Some(anchor) = named.into_iter().find(|anchor| !anchor.is_empty() && !known.contains(anchor))
        else {
            return Ok(whole);
        };
        let is_there = |line: &&str| line.split('&').skip(1).any(|rest| rest.trim_end() == anchor);
        let at = lines.iter().position(is_there).with_context(|| format!("no anchor {anchor}"))?;
        // What the service says itself goes before what it has from elsewhere.
        whole = format!("{}{whole}", block(at));
        known.push(anchor);
    }
}

/// A file for each secret that is mounted, by the last part of its path: those of the simulator where a provider checks them.
async fn write_secrets(dir: &Path) -> anyhow::Result<()> {
    let simulator = Simulator::bind(SimulatorConfig::default()).await?;
    let known = simulator.credentials();
    let key = VapidKey::generate()?;
    for (names, text) in [
        (&["broker-url"][..], "amqp://watchbell:password@rabbitmq/watchbell"),
        (&["store-url"], "postgres://watchbell:password@postgres/watchbell"),
        (&["hs256-secret", "unsubscribe-secret"], "as long as an HS256 secret has to be"),
        (&["apns-key", "apns.p8"], &known.apns.key_pem),
        (&["fcm-service-account", "fcm-service-account.json"], &known.fcm_service_account_json),
        (&["smtp-username", "smtp-password"], "watchbell"),
        (&["ca.pem"], &known.ca_pem),
        (&["vapid-private-key"], key.private().expose()),
        (&["vapid-public-key"], &key.public()),
    ] {
        for name in names {
            fs::write(dir.join(name), text)?;
        }
    }
    Ok(())
}

/// `config check WORKER` with these settings.
fn check_worker(worker: &str, settings: Vec<(String, String)>, secrets: &Path) -> anyhow::Result<()> {
    ensure!(settings.len() > 3, "only {settings:?} was found");
    let public = fs::read_to_string(secrets.join("vapid-public-key"))?;
    let here = |(name, value): (String, String)| match name.as_str() {
        // Our files have a pair of nobody's, or a placeholder.
        "WATCHBELL__WEBPUSH__PUBLIC_KEY" => (name, public.clone()),
        _ if name.ends_with("_FILE") => {
            let file = Path::new(&value).file_name().map(|file| secrets.join(file)).unwrap_or_default();
            (name, file.display().to_string())
        }
        _ => (name, value),
    };
    let said = watchbell("", &["config", "check", worker], settings.into_iter().map(here).collect())?;
    ensure!(said.contains(&format!("  run {worker}: yes\n")), "{said}");
    Ok(())
}

#[test]
fn the_image_is_built_with_every_package_of_the_workspace() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let context = fs::read_to_string(root.join(".dockerignore"))?;
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).context("no members")?;
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    ensure!(members.len() > 1, "only {members:?} was found");
    let dockerfile = fs::read_to_string(root.join("Dockerfile"))?;
    // The dependencies are compiled from what was copied until then, and cargo reads every manifest.
    let (before, _) = dockerfile.split_once("cargo build").context("Dockerfile: cargo build")?;
    let copied = |path: &str| {
        let mut copies = before.lines().filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next());
        copies.any(|from| path == from || path.starts_with(&format!("{from}/")))
    };
    for package in packages(root, &members)? {
        let mut needed = vec![format!("{package}/Cargo.toml")];
        // Cargo looks for the file of every target that a manifest names, whichever it is asked to build.
        let manifest = fs::read_to_string(root.join(&needed[0]))?;
        needed.extend(manifest.contains("[[bench]]").then(|| format!("{package}/benches")));
        let has_programs = manifest.contains("path = \"src/bin/");
        needed.extend(has_programs.then(|| format!("{package}/src/bin")));
        for path in needed {
            ensure!(lets_in(&context, &path), "`.dockerignore` leaves out {path}, so docker build fails");
            ensure!(
                copied(&path),
                "Dockerfile does not copy {path} before the first `cargo build`, which fails"
            );
        }
    }
    Ok(())
}

/// The manual is in the binary, so its pages have to be there when it is built.
#[test]
fn the_image_is_built_with_every_page_of_the_manual() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let context = fs::read_to_string(root.join(".dockerignore"))?;
    let pages = fs::read_to_string(root.join("workers/fleet/src/manual/pages.rs"))?;
    let sources =
        pages.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => (")?.0.into());
    let sources: Vec<&str> = sources.collect();
    ensure!(sources.len() > 20, "only {sources:?} was found");
    for source in sources {
        ensure!(lets_in(&context, source), "`.dockerignore` leaves out {source}, so docker build fails");
    }
    Ok(())
}

/// Whether the builder is given this file or folder.
fn lets_in(context: &str, path: &str) -> bool {
    let mut names = context.lines().filter_map(|line| line.strip_prefix('!'));
    names.any(|name| path == name || path.starts_with(&format!("{name}/")))
}

/// The folders of the workspace's packages.
fn packages(root: &Path, members: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut packages = Vec::new();
    for member in members {
        let Some(folder) = member.strip_suffix("/*") else {
            packages.push((*member).to_owned());
            continue;
        };
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                packages.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    Ok(packages)
}

const MIB: u64 = 1024 * 1024;
/// The process itself, its connections and its pool.
const ITSELF: u64 = 64 * MIB;

/// What a worker may hold at once, in bytes, of what others send.
fn held(worker: &str, budgets: &MemoryBudgets) -> usize {
    match worker {
        // A body is taken apart, read, and encoded again as the messages of its alerts.
        "ingest" => 4 * budgets.bodies,
        // An alert is held as it came, and as what was read from it.
        "dispatch" => 2 * budgets.deliveries,
        "socket" => 2 * budgets.answers,
        _ => 0,
    }
}

/// Budgets are shares of these limits (`src/runtime/memory.rs`), and what is made of what is held has to fit beside it.
#[test]
fn what_a_worker_may_hold_fits_into_its_memory_limit() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    for worker in ["ingest", "dispatch", "socket", "fallback"] {
        let file = format!("k8s/base/{worker}/deployment.yaml");
        let text = fs::read_to_string(root.join(&file)).with_context(|| file.clone())?;
        // Behind the init containers, which hold nothing.
        let limit = text.lines().filter_map(|line| line.trim().strip_prefix("limits: {memory: ")).next_back();
        let limit = limit.and_then(|limits| limits.split([',', '}']).next());
        let limit = limit.with_context(|| format!("{file}: no limit"))?;
        let (number, unit) = match (limit.strip_suffix("Mi"), limit.strip_suffix("Gi")) {
            (Some(number), _) => (number, MIB),
            (_, Some(number)) => (number, 1024 * MIB),
            _ => anyhow::bail!("{file}: {limit} is no limit in Mi or Gi"),
        };
        let limit = number.parse::<u64>()? * unit;
        ensure!(limit >= memory::LIMIT_BYTES_MIN, "{file}: {limit} bytes are less than a worker needs");
        let held = held(worker, &MemoryBudgets::within(Some(limit))) as u64;
        ensure!(held + ITSELF <= limit, "{file}: {held} bytes do not fit into {limit}");
    }
    Ok(())
}

/// Each process of compose has the same limit, so the worker that holds most decides.
#[test]
fn the_limit_of_compose_has_room_for_every_worker() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ is in the workspace")?;
    let text = fs::read_to_string(root.join("docker-compose.yml"))?;
    let (_, process) = text.split_once("x-process:").context("x-process")?;
    let limit =
        process.lines().find_map(|line| line.trim().strip_prefix("mem_limit: ")).context("mem_limit")?;
    let limit = limit.strip_suffix('m').context("a limit in MiB")?.parse::<u64>()? * MIB;
    ensure!(limit >= memory::LIMIT_BYTES_MIN, "{limit} bytes are less than a worker needs");
    let budgets = MemoryBudgets::within(Some(limit));
    for worker in ["ingest", "dispatch", "socket", "fallback"] {
        let held = held(worker, &budgets) as u64;
        ensure!(held + ITSELF <= limit, "{worker}: {held} bytes do not fit into {limit}");
    }
    Ok(())
}

/// `NAME: value` and `{name: NAME, value: value}`, one a line, as our files write them.
fn settings_in(text: &str) -> Vec<(String, String)> {
    let set = |line: &str| {
        let line = line.split(" #").next()?;
        let (_, rest) = line.split_once("WATCHBELL__")?;
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_uppercase() || "_0123456789".contains(*c)).collect();
        let value = rest[name.len()..].trim_start_matches([':', ',', ' ']);
        let value = value.strip_prefix("value:").unwrap_or(value).trim();
        let value = with_defaults(value.strip_suffix('}').filter(|_| !value.contains('$')).unwrap_or(value));
        Some((format!("WATCHBELL__{name}"), value.trim_matches('"').to_owned()))
    };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(set).collect()
}

/// With the default of each variable of compose in its place: `${NAME:-default}`.
fn with_defaults(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, variable)) = rest.split_once("${") {
        let (variable, after) = variable.split_once('}').unwrap_or((variable, ""));
        out.push_str(before);
        out.push_str(variable.split_once(":-").map_or("", |(_, default)| default));
        rest = after;
    }
    out + rest
}

/// Loads them as a worker would, with a file for each secret in place of the mounted one.
fn load(settings: Vec<(String, String)>) -> anyhow::Result<()> {
    load_with(settings, "")
}

fn load_with(settings: Vec<(String, String)>, file: &str) -> anyhow::Result<()> {
    let dir = Scratch::new("secrets")?;
    let secret = dir.path().join("secret");
    fs::write(&secret, "as long as an HS256 secret has to be\n")?;
    let mounted = settings.into_iter().map(|(name, value)| {
        let is_secret = name.ends_with("_FILE") && !name.ends_with("TRUST_ROOT_FILE");
        let value = if is_secret { secret.display().to_string() } else { value };
        (name, value)
    });
    // `show` and not `check`: the files have placeholders where an operator puts keys.
    watchbell(file, &["config", "show"], mounted.collect()).map(drop)
}

/// What the program prints with this settings file, when it succeeds.
fn watchbell(file: &str, args: &[&str], env: Vec<(String, String)>) -> anyhow::Result<String> {
    let dir = Scratch::new("bare")?;
    let config = dir.path().join("watchbell.toml");
    fs::write(&config, file)?;
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHBELL")) {
        command.env_remove(name);
    }
    let done = command.arg("--config").arg(&config).args(args).envs(env).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
