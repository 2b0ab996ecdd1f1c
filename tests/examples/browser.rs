//! A fleet of services for the browser tests (web/browser): RabbitMQ, PostgreSQL, a process a worker, two socket pods.
//!
//! Says where everything is as one line of JSON, then obeys one line at a time (`restart socket-1`, `kill socket-1`,
//! `revive socket-1`) and answers each with `done`. Ends with its input.

use std::{
    env,
    io::{BufRead as _, Write as _, stdin, stdout},
};

use anyhow::{Context as _, bail};
use serde_json::json;
use watchbell_tests::fleet::{Engine, Fleet};

/// Before push and before email: longer than a test.
const WAITS_MS: (u64, u64) = (600_000, 600_000);
const DRAIN_WINDOW: (&str, &str) = ("WATCHBELL__SOCKET__DRAIN_WINDOW", "3s");
const PODS: [&str; 2] = ["socket-1", "socket-2"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(Engine::Services, WAITS_MS, &[DRAIN_WINDOW]).await?;
    let users: Vec<String> = env::args().skip(1).collect();
    let tokens = users.iter().map(|user| {
        let token = fleet.command(&["token", "--tenant", "acme", "--user", user, "--topics", "monitor:*"])?;
        Ok(json!({"user": user, "token": token.trim()}))
    });
    let tokens: Vec<_> = tokens.collect::<anyhow::Result<_>>()?;
    let pods = [fleet.url(PODS[0])?, fleet.url(PODS[1])?];
    say(&json!({"ingest": fleet.url("ingest")?, "pods": pods, "key": fleet.key(), "users": tokens})
        .to_string())?;
    for line in stdin().lock().lines() {
        obey(&mut fleet, &line?).await?;
        say("done")?;
    }
    Ok(())
}

async fn obey(fleet: &mut Fleet, line: &str) -> anyhow::Result<()> {
    let (what, name) = line.split_once(' ').context("a command is a word and a worker")?;
    let pod = PODS.into_iter().find(|pod| *pod == name).with_context(|| format!("no pod {name}"))?;
    match what {
        "kill" => fleet.kill(pod),
        "revive" => {
            fleet.revive(pod)?;
            fleet.ready(pod).await
        }
        "restart" => {
            fleet.restart(pod).await?;
            fleet.ready(pod).await
        }
        _ => bail!("{what} is no command"),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
