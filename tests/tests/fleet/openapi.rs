//! The OpenAPI document and the server hold each other to their word.
//!
//! schemathesis sends what the document permits and what it forbids to a running `up`: whatever is permitted has to be
//! accepted, whatever is forbidden refused, and every answer has a status, a content type and a body that the document
//! names. `tests/openapi` has its settings; what they except, and why, is written there.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    program,
};

/// Requests for each route beside those at every bound, and how long all of them may take. `WATCHBELL_OPENAPI=full` has more.
const SHORT: (&str, Duration) = ("10", Duration::from_secs(300));
const FULL: (&str, Duration) = ("300", Duration::from_secs(3_600));
/// The same requests in every run, unless `WATCHBELL_SEED` says otherwise.
const SEED: &str = "1";
/// An alert that is there: the settings name it.
const ALERT: &str = "schemathesis";

#[tokio::test]
async fn what_the_openapi_document_says_is_so() {
    let fleet = Fleet::start(Engine::Embedded, (60_000, 120_000), &[]).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    fleet.send(&json!({"id": ALERT, "to": {"users": ["ana"]}, "title": "Disk full"})).await.unwrap();
    schemathesis(&fleet).await.unwrap();
}

async fn schemathesis(fleet: &Fleet) -> anyhow::Result<()> {
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("the test executable is in no target folder")?;
    let tool = target.join("schemathesis/bin/st");
    ensure!(tool.is_file(), "no {}: run tests/tools.sh", tool.display());

    let (requests, deadline) = match std::env::var("WATCHBELL_OPENAPI").as_deref() {
        Ok("full") => FULL,
        _ => SHORT,
    };
    let seed = std::env::var("WATCHBELL_SEED").unwrap_or_else(|_| SEED.to_owned());
    let token =
        fleet.command(&["token", "--user", "ana", "--tenant", "demo", "--topics", "*", "--data", "data"])?;
    let mut command = Command::new(tool);
    command.current_dir(fleet.dir());
    command.arg("--config-file").arg(settings.join("schemathesis.toml"));
    command.args(["run", &format!("{}/openapi.json", fleet.url("up")?)]);
    command.args(["--max-examples", requests, "--seed", &seed, "--no-color"]);
    command.env("PYTHONPATH", &settings).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("WATCHBELL_KEY", fleet.key()).env("WATCHBELL_TOKEN", token.trim());
    let said =
        program::run("schemathesis", &mut command, &fleet.dir().join("schemathesis.log"), deadline).await?;
    // A run that reaches nobody has nothing to find.
    ensure!(said.contains("Fuzzing"), "it did not get that far:\n{said}");
    Ok(())
}
