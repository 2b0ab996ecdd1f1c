//! `watchbell send --file`: every line that can be accepted is, and of every other one it is said why not.
//!
//! Lines go in batches. The fleet refuses a batch as a whole for one alert that it cannot read, and names it; that line is
//! told and taken out, and the others are sent again. Nothing of a refused batch was published.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::Path,
};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use watchbell::wire::without_bom;

use super::send_notes::notes;
use crate::{
    client::{Producer, Refusal},
    output,
};

/// Alerts of one request.
const BATCH: usize = 100;

/// A line of the file, by its number there, which counts from 1.
type Line = (u64, Value);

pub(super) async fn run(producer: &Producer, file: &Path) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        return send(producer, BufReader::new(stdin()), None).await;
    }
    let open = || File::open(file).with_context(|| format!("{} cannot be read", file.display()));
    let lines = BufReader::new(open()?).split(b'\n').count() as u64;
    send(producer, BufReader::new(open()?), Some(lines)).await
}

async fn send(producer: &Producer, reader: impl BufRead, total: Option<u64>) -> anyhow::Result<()> {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} lines, {per_sec}, {eta} to go")?);
    let mut sending = Sending { producer, bar: &bar, accepted: 0, refused: 0 };
    let mut batch: Vec<Line> = Vec::with_capacity(BATCH);
    for (number, line) in (1..).zip(reader.split(b'\n')) {
        let line = line.with_context(|| format!("line {number} cannot be read"))?;
        let line = without_bom(&line).trim_ascii();
        match serde_json::from_slice(line) {
            _ if line.is_empty() => {}
            Ok(alert) => batch.push((number, alert)),
            Err(error) => sending.refuse(number, format!("is not JSON: {error}")),
        }
        if batch.len() == BATCH {
            sending.flush(&mut batch).await?;
            bar.set_position(number);
        }
    }
    sending.flush(&mut batch).await?;
    bar.finish_and_clear();
    let Sending { accepted, refused, .. } = sending;
    ensure!(refused == 0, "{refused} refused, {accepted} accepted");
    output::note(format!("All {accepted} alerts were accepted."));
    Ok(())
}

struct Sending<'a> {
    producer: &'a Producer,
    bar: &'a ProgressBar,
    accepted: u64,
    refused: u64,
}

impl Sending<'_> {
    /// Sends a batch until each of its lines is accepted or refused.
    async fn flush(&mut self, batch: &mut Vec<Line>) -> anyhow::Result<()> {
        while let Some((first, _)) = batch.first() {
            let alerts = Value::Array(batch.iter().map(|(_, alert)| alert.clone()).collect());
            let before = format!(
                "the alerts from line {first} on may not be accepted; those before were, or are named"
            );
            match self.producer.offer(&alerts).await.with_context(|| before.clone())? {
                Ok(answer) => {
                    for ((number, _), one) in
                        batch.drain(..).zip(answer["alerts"].as_array().into_iter().flatten())
                    {
                        self.tell(number, one);
                    }
                }
                Err(refusal) => {
                    match refusal.index().filter(|at| *at < batch.len() && refusal.status < 500) {
                        Some(at) => {
                            let (number, _) = batch.remove(at);
                            self.refuse(number, refusal.without_index());
                        }
                        // It is about all of them: a key that is not known, a fleet that is not ready.
                        None => return Err(refusal).context(before),
                    }
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, number: u64, answer: &Value) {
        if let Some(refusal) = Refusal::of(&answer["problem"]) {
            return self.refuse(number, refusal);
        }
        self.accepted += 1;
        self.bar.suspend(|| {
            output::line(answer["id"].as_str().unwrap_or_default());
            for note in notes(answer) {
                output::note(format!("line {number}: {note}"));
            }
        });
    }

    fn refuse(&mut self, number: u64, why: impl std::fmt::Display) {
        self.refused += 1;
        self.bar.suspend(|| output::note(format!("line {number}: {why}")));
    }
}
