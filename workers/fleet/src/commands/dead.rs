//! `watchbell dead list|show|replay|drop`: what could not be delivered, and what becomes of it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Broker as _, SharedBroker, rabbitmq::RabbitBroker},
    domain::Secret,
    runtime::Config,
    store::Store,
};

use crate::{
    addresses,
    cli::{DeadArgs, DeadCommand, DeadWhich},
    client::Refusal,
    dead::{self, Action, Done, Letter, Listed, Request, Skipped, Wanted},
    demo_file::Demo,
    output,
};

/// How long the broker may take to be there, and how often that is looked at.
const CONNECT_MAX: Duration = Duration::from_secs(20);
const CONNECT_LOOK: Duration = Duration::from_millis(50);
/// How long a running `up` may take over all of its letters.
const UP_MAX: Duration = Duration::from_secs(600);

pub(crate) async fn run(config: &Config, args: DeadArgs) -> anyhow::Result<()> {
    let letters = Letters::of(config, &args.data).await?;
    let done = match args.command {
        DeadCommand::List { limit } => list(&letters, limit).await,
        DeadCommand::Show { id } => show(&letters, &id).await,
        DeadCommand::Replay(which) => act(config, &letters, Action::Replay, &which).await,
        DeadCommand::Drop(which) => act(config, &letters, Action::Drop, &which).await,
    };
    letters.close();
    done
}

async fn list(letters: &Letters, limit: u64) -> anyhow::Result<()> {
    let Listed { total, letters, .. } = letters.look(limit).await?;
    for letter in &letters {
        let (id, reason) = (output::inline(letter.name()), output::inline(&letter.reason));
        output::line(format!("{id:<40} {:<24} {:>7} bytes  {reason}", letter.from, letter.bytes));
    }
    match (total, letters.len() as u64) {
        (0, _) => output::note("There are no dead letters."),
        (total, shown) if shown < total => output::note(format!("… and {} more.", total - shown)),
        (total, _) => output::note(format!("{total} dead letters. `dead show ID` prints one with its body.")),
    }
    Ok(())
}

async fn show(letters: &Letters, id: &str) -> anyhow::Result<()> {
    let Listed { letters: found, more, .. } = letters.show(id).await?;
    ensure!(!found.is_empty(), "no dead letter has this id");
    for letter in &found {
        let Letter { from, headers, body, .. } = letter;
        output::line(format!(
            "{}\nfrom {from}: {}",
            output::inline(letter.name()),
            output::inline(&letter.reason)
        ));
        for (name, value) in headers {
            output::line(format!("  {}: {}", output::inline(name), output::inline(value)));
        }
        output::line(body.clone().unwrap_or_default());
    }
    if more {
        let shown = found.len();
        output::note(format!("Only the first {shown} letters with this id are shown; there may be more."));
    }
    Ok(())
}

async fn act(config: &Config, letters: &Letters, action: Action, which: &DeadWhich) -> anyhow::Result<()> {
    ensure!(which.all == which.ids.is_empty(), "give ids, or --all");
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {per_sec}, {eta} to go")?);
    let request = Request { action, ids: (!which.all).then(|| which.ids.clone()) };
    let done = letters.act(&request, &bar).await?;
    bar.finish_and_clear();
    if matches!(letters, Letters::Broker { .. }) {
        note_in_audit_log(config, &done, action).await;
    }
    let word = match action {
        Action::Replay => "replayed",
        Action::Drop => "dropped",
    };
    ensure!(
        which.all || done.acted + done.skipped > 0 || done.failed.is_some(),
        "no dead letter has one of these ids"
    );
    output::line(summary(&done, word));
    if let Some(why) = done.failed {
        bail!("{why}; what is left can be {word} later");
    }
    ensure!(
        done.missing.is_empty(),
        "no dead letter has the id {}",
        output::inline(&done.missing.join(", "))
    );
    Ok(())
}

/// Leaves an entry of what was done. (A running `up` does so itself.) The letters are the broker's, and whoever looks after them
/// may have no store: then there is none to write to.
async fn note_in_audit_log(config: &Config, done: &Done, action: Action) {
    if config.store.url.is_none() {
        return output::note("store.url is not configured, so this is not in the audit log.");
    }
    let noted = async {
        let store = Store::open(&addresses::store_config(config)?)?.by(super::operator());
        store.note_change(&done.audited(action, None), Timestamp::now()).await?;
        store.close().await;
        anyhow::Ok(())
    };
    if let Err(error) = noted.await {
        output::note(format!("This is not in the audit log: {error:#}"));
    }
}

/// What was done, and what was not, with the reason.
fn summary(done: &Done, word: &str) -> String {
    if done.skipped == 0 {
        return format!("{} {word}.", done.acted);
    }
    let mut text = format!("{} {word}, {} skipped:", done.acted, done.skipped);
    for Skipped { letter, bytes, why } in &done.named {
        text.push_str(&format!("\n  {} ({bytes} bytes): {}", output::inline(letter), output::inline(why)));
    }
    match done.skipped - done.named.len() as u64 {
        0 => {}
        more => text.push_str(&format!("\n  … and {more} more")),
    }
    text
}

/// Where the letters are: on RabbitMQ, or in a running `up`.
enum Letters {
    Broker { broker: SharedBroker, leaving: CancellationToken },
    Up { http: reqwest::Client, url: String, key: Secret },
}

impl Letters {
    async fn of(config: &Config, data: &Path) -> anyhow::Result<Self> {
        if config.broker.url.is_some() {
            let rabbit = addresses::rabbit_config(config, &[])?;
            rabbit.check()?;
            let leaving = CancellationToken::new();
            let broker = RabbitBroker::connect(rabbit, leaving.clone());
            let connected = async {
                while !broker.is_ready() {
                    sleep(CONNECT_LOOK).await;
                }
            };
            timeout(CONNECT_MAX, connected).await.context("the broker cannot be reached")?;
            return Ok(Self::Broker { broker, leaving });
        }
        let demo =
            Demo::read(data).context("broker.url is not configured, so a running `up` is looked for")?;
        let http = reqwest::Client::builder().timeout(UP_MAX).build()?;
        let url = format!("{}/operations/dead", demo.url);
        Ok(Self::Up { http, url, key: Secret::from(demo.producer_key) })
    }

    fn close(self) {
        if let Self::Broker { leaving, .. } = self {
            leaving.cancel();
        }
    }

    async fn look(&self, limit: u64) -> anyhow::Result<Listed> {
        match self {
            Self::Broker { broker, .. } => dead::look(broker, limit).await,
            Self::Up { http, url, key } => get(http, url, key, Wanted { limit: Some(limit), id: None }).await,
        }
    }

    async fn show(&self, id: &str) -> anyhow::Result<Listed> {
        match self {
            Self::Broker { broker, .. } => dead::show(broker, id).await,
            Self::Up { http, url, key } => {
                get(http, url, key, Wanted { id: Some(id.to_owned()), limit: None }).await
            }
        }
    }

    async fn act(&self, request: &Request, bar: &ProgressBar) -> anyhow::Result<Done> {
        match self {
            Self::Broker { broker, .. } => {
                let passed = |looked, of| {
                    bar.set_length(of);
                    bar.set_position(looked);
                };
                dead::act(broker, request, passed).await
            }
            Self::Up { http, url, key } => {
                read(http.post(url).bearer_auth(key.expose()).json(request).send().await).await
            }
        }
    }
}

async fn get(http: &reqwest::Client, url: &str, key: &Secret, wanted: Wanted) -> anyhow::Result<Listed> {
    read(http.get(url).query(&wanted).bearer_auth(key.expose()).send().await).await
}

async fn read<T: serde::de::DeserializeOwned>(
    answer: reqwest::Result<reqwest::Response>,
) -> anyhow::Result<T> {
    let answer = answer.map_err(reqwest::Error::without_url).context("`watchbell up` cannot be reached")?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.json().await?);
    }
    let problem: Value = answer.json().await.unwrap_or_default();
    match Refusal::of(&problem) {
        Some(refusal) => Err(refusal.into()),
        None => bail!("`watchbell up` answered {status}"),
    }
}
