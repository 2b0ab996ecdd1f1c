//! `watchbell send`

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{cli::SendArgs, client::Producer, output};

/// Alerts of one request when a file is sent.
const BATCH: usize = 100;

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<()> {
    let producer = Producer::new(&args.producer)?;
    if let Some(file) = &args.file {
        return match file.as_os_str() == "-" {
            true => send_lines(&producer, BufReader::new(stdin()), None).await,
            false => {
                let open = || File::open(file).with_context(|| format!("{} cannot be read", file.display()));
                let lines = BufReader::new(open()?).lines().count() as u64;
                send_lines(&producer, BufReader::new(open()?), Some(lines)).await
            }
        };
    }
    ensure!(
        !args.to.is_empty() || !args.group.is_empty() || args.everyone,
        "give --to, --group or --everyone"
    );
    let answer = producer.publish(&alert_of(&args)).await?;
    output::line(answer["id"].as_str().unwrap_or_default());
    Ok(())
}

fn alert_of(args: &SendArgs) -> Value {
    let mut alert = json!({
        "to": {"users": args.to, "groups": args.group, "everyone": args.everyone},
        "title": args.title,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            alert[name] = value;
        }
    };
    set("body", args.body.clone().map(Value::from));
    set("severity", args.severity.clone().map(Value::from));
    set("url", args.link.clone().map(Value::from));
    set("policy", args.policy.clone().map(Value::from));
    set("id", args.id.clone().map(Value::from));
    set("version", args.version.map(Value::from));
    set("status", args.status.clone().map(Value::from));
    alert
}

async fn send_lines(producer: &Producer, reader: impl BufRead, total: Option<u64>) -> anyhow::Result<()> {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} alerts, {per_sec}, {eta} to go")?);
    let (mut batch, mut first_line) = (Vec::with_capacity(BATCH), 1);
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.with_context(|| format!("line {number}"))?;
        if !line.trim().is_empty() {
            let alert: Value =
                serde_json::from_str(&line).with_context(|| format!("line {number} is not JSON"))?;
            batch.push(alert);
        }
        if batch.len() == BATCH {
            flush(producer, &mut batch, first_line).await?;
            first_line = number + 1;
            bar.set_position(number);
        }
    }
    flush(producer, &mut batch, first_line).await?;
    bar.finish();
    output::line("Everything was accepted.");
    Ok(())
}

async fn flush(producer: &Producer, batch: &mut Vec<Value>, first_line: u64) -> anyhow::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let alerts = Value::Array(std::mem::take(batch));
    producer.publish(&alerts).await.with_context(|| {
        format!("the alerts from line {first_line} on were not accepted; those before were")
    })?;
    Ok(())
}
