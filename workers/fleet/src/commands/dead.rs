//! `watchbell dead list|show|replay|drop`: what could not be delivered, and what becomes of it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{Broker as _, SharedBroker, rabbitmq::RabbitBroker},
    domain::Secret,
    runtime::Config,
};

use crate::{
    cli::{DeadArgs, DeadCommand, DeadWhich},
    compose,
    dead::{self, Action, LOOK_MAX, Letter, Listed, Request},
    output,
    up::Demo,
};

/// How long the broker may take to be there, and how often that is looked at.
const CONNECT_MAX: Duration = Duration::from_secs(20);
const CONNECT_LOOK: Duration = Duration::from_millis(50);
/// Ids of one request to a running `up`.
const BATCH: usize = 50;

pub(crate) async fn run(config: &Config, args: DeadArgs) -> anyhow::Result<()> {
    let letters = Letters::of(config, &args.data).await?;
    let done = match args.command {
        DeadCommand::List { limit } => list(&letters, limit).await,
        DeadCommand::Show { id } => show(&letters, &id).await,
        DeadCommand::Replay(which) => act(&letters, Action::Replay, &which).await,
        DeadCommand::Drop(which) => act(&letters, Action::Drop, &which).await,
    };
    letters.close();
    done
}

async fn list(letters: &Letters, limit: u64) -> anyhow::Result<()> {
    let Listed { total, letters } = letters.look(limit).await?;
    for Letter { id, from, reason, body, .. } in &letters {
        let (id, reason) = (output::inline(id), output::inline(reason));
        output::line(format!("{id:<40} {from:<24} {:>7} bytes  {reason}", body.len()));
    }
    match (total, letters.len() as u64) {
        (0, _) => output::note("Nothing is dead."),
        (total, shown) if shown < total => output::note(format!("… and {} more.", total - shown)),
        _ => output::note(format!("{total} in all. `dead show ID` prints one whole.")),
    }
    Ok(())
}

async fn show(letters: &Letters, id: &str) -> anyhow::Result<()> {
    let found = letters.look(LOOK_MAX).await?.letters.into_iter().filter(|letter| letter.id == id);
    let found: Vec<_> = found.collect();
    ensure!(!found.is_empty(), "no dead letter has this id");
    for letter in found {
        let (id, reason) = (output::inline(&letter.id), output::inline(&letter.reason));
        output::line(format!("{id}\nfrom {}: {reason}", letter.from));
        for (name, value) in &letter.headers {
            output::line(format!("  {}: {}", output::inline(name), output::inline(value)));
        }
        output::line(letter.body);
    }
    Ok(())
}

async fn act(letters: &Letters, action: Action, which: &DeadWhich) -> anyhow::Result<()> {
    ensure!(which.all == which.ids.is_empty(), "give ids, or --all");
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {per_sec}, {eta} to go")?);
    let acted = letters.act(action, which, &bar).await?;
    bar.finish_and_clear();
    ensure!(acted > 0 || which.all, "no dead letter has one of these ids");
    output::line(match action {
        Action::Replay => format!("{acted} replayed."),
        Action::Drop => format!("{acted} dropped."),
    });
    Ok(())
}

/// Where the letters are: on RabbitMQ, or in a running `up`.
enum Letters {
    Broker { broker: SharedBroker, leaving: CancellationToken },
    Up { http: reqwest::Client, url: String, key: Secret },
}

impl Letters {
    async fn of(config: &Config, data: &Path) -> anyhow::Result<Self> {
        if config.broker.url.is_some() {
            let rabbit = compose::rabbit_config(config, &[])?;
            rabbit.check().context("broker.url")?;
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
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
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
            Self::Broker { broker, .. } => {
                let (letters, total) = dead::look(broker, limit).await?;
                Ok(Listed { total, letters })
            }
            Self::Up { http, url, key } => {
                let answer = http.get(url).bearer_auth(key.expose()).send().await;
                let mut listed: Listed = read(answer).await?;
                listed.letters.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                Ok(listed)
            }
        }
    }

    async fn act(&self, action: Action, which: &DeadWhich, bar: &ProgressBar) -> anyhow::Result<u64> {
        match self {
            Self::Broker { broker, .. } => {
                let ids = (!which.all).then(|| which.ids.clone());
                let total = dead::look(broker, 0).await?.1;
                bar.set_length(ids.as_ref().map_or(total, |ids| ids.len() as u64));
                let request = Request { action, ids };
                let mut acted = 0;
                loop {
                    let before = acted;
                    acted += dead::act(broker, &request, |done| bar.set_position(before + done)).await?;
                    // Only what was there at the beginning: a letter that comes back at once would go round for ever.
                    if !which.all || acted == before || acted >= total {
                        return Ok(acted);
                    }
                }
            }
            Self::Up { http, url, key } => {
                let ids = match which.all {
                    true => self.look(LOOK_MAX).await?.letters.into_iter().map(|letter| letter.id).collect(),
                    false => which.ids.clone(),
                };
                bar.set_length(ids.len() as u64);
                let mut acted = 0;
                for batch in ids.chunks(BATCH) {
                    let request = Request { action, ids: Some(batch.to_vec()) };
                    let answer = http.post(url).bearer_auth(key.expose()).json(&request).send().await;
                    acted += read::<u64>(answer).await?;
                    bar.inc(batch.len() as u64);
                }
                Ok(acted)
            }
        }
    }
}

async fn read<T: serde::de::DeserializeOwned>(
    answer: reqwest::Result<reqwest::Response>,
) -> anyhow::Result<T> {
    let answer = answer.map_err(reqwest::Error::without_url).context("`watchbell up` cannot be reached")?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{status}: {}", answer.text().await.unwrap_or_default());
    }
    Ok(answer.json().await?)
}
