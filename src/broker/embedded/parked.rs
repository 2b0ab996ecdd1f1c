//! The file behind a queue for the operator: one JSON object a line, readable with any text tool.
//!
//! What holds here:
//! - A line is synced to disk before its writer hears `Ok`.
//! - Settling appends a line too; opening the file, and deleting what is old, writes it anew without what was settled.
//! - A line tells when its message was parked. One of an earlier version does not, and counts from when it is first read.
//! - A line that a crash cut short was never confirmed, and is dropped when the file is opened. Any other that cannot be
//!   read, because somebody edited the file or a newer version wrote it, is moved to a file beside it, and the rest is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::broker::{Envelope, Message};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Settled {
        settled: u64,
    },
    Parked {
        number: u64,
        parked_at_ms: Option<i64>,
        message_id: String,
        content_type: String,
        headers: BTreeMap<String, String>,
        #[serde(flatten)]
        body: Body,
    },
}

/// Text stays text for whoever reads the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Body(String),
    BodyHex(String),
}

/// A message in the file.
#[derive(Debug, Clone)]
pub(super) struct ParkedMessage {
    /// What it is settled by.
    pub(super) number: u64,
    pub(super) parked_at: Timestamp,
    pub(super) message: Message,
}

#[derive(Debug)]
pub(super) struct ParkedFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    len: u64,
    next_number: u64,
}

impl ParkedFile {
    /// Opens or makes the file, and gives what is parked in it, oldest first.
    pub(super) fn open(path: &Path, now: Timestamp) -> anyhow::Result<(Self, Vec<ParkedMessage>)> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let Parked { messages, unreadable } = read(&text, now);
        keep(path, &unreadable)?;
        let renumbered = (0..).zip(messages).map(|(number, parked)| ParkedMessage { number, ..parked });
        let parked: Vec<ParkedMessage> = renumbered.collect();
        let next_number = parked.len() as u64;
        let (file, len) = write_anew(path, &parked).with_context(|| format!("writing {}", path.display()))?;
        let open = Open { path: path.to_owned(), file, len, next_number };
        Ok((Self(Arc::new(Mutex::new(open))), parked))
    }

    /// Gives the message with the number to settle it by.
    pub(super) async fn append(&self, message: &Message, parked_at: Timestamp) -> io::Result<u64> {
        let message = message.clone();
        self.blocking(move |open| {
            let parked = ParkedMessage { number: open.next_number, parked_at, message };
            open.write(&Line::parked(&parked))?;
            open.next_number += 1;
            Ok(parked.number)
        })
        .await
    }

    /// Writes the file anew without these, and without what was settled. A line that cannot be read goes aside, as at the start.
    pub(super) async fn forget(&self, numbers: BTreeSet<u64>, now: Timestamp) -> anyhow::Result<()> {
        self.blocking(move |open| Ok(open.forget(&numbers, now))).await?
    }

    pub(super) async fn settle(&self, number: u64) -> io::Result<()> {
        self.blocking(move |open| open.write(&Line::Settled { settled: number })).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Open) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let open = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut open.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(io::Error::other)?
    }
}

impl Open {
    fn forget(&mut self, numbers: &BTreeSet<u64>, now: Timestamp) -> anyhow::Result<()> {
        let text = fs::read(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        let Parked { mut messages, unreadable } = read(&text, now);
        keep(&self.path, &unreadable)?;
        messages.retain(|parked| !numbers.contains(&parked.number));
        let written = write_anew(&self.path, &messages);
        (self.file, self.len) = written.with_context(|| format!("writing {}", self.path.display()))?;
        Ok(())
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.len += text.len() as u64,
            // A full disk may have taken half a line: cut it off, or the next one would be unreadable too.
            Err(_) => self.file.set_len(self.len)?,
        }
        written
    }
}

/// What a file holds.
struct Parked<'a> {
    /// Everything that is not settled, in the order of its numbers.
    messages: Vec<ParkedMessage>,
    /// The lines that cannot be read, each with its number.
    unreadable: Vec<(usize, &'a [u8])>,
}

fn read(text: &[u8], now: Timestamp) -> Parked<'_> {
    let (mut parked, mut unreadable) = (BTreeMap::new(), Vec::new());
    // What follows the last line's end is empty, or was cut short by a crash. An editor may have left the end out.
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let is_whole = serde_json::from_slice::<Line>(&text[end..]).is_ok();
    let whole = if is_whole { text } else { &text[..end] };
    for (index, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(Line::Settled { settled }) => drop(parked.remove(&settled)),
            Ok(Line::Parked { number, parked_at_ms, message_id, content_type, headers, body }) => {
                let parked_at =
                    parked_at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
                let Ok(body) = body.bytes() else {
                    unreadable.push((index + 1, line));
                    continue;
                };
                let message =
                    Message { message_id, content_type, headers, body, envelope: Envelope::default() };
                let message = ParkedMessage { number, parked_at, message };
                // Two of one number are two messages: somebody put files together.
                parked.entry(number).or_insert_with(Vec::new).push(message);
            }
            Err(_) => unreadable.push((index + 1, line)),
        }
    }
    Parked { messages: parked.into_values().flatten().collect(), unreadable }
}

/// Moves lines that cannot be read to a file beside it, where they wait for somebody: nothing is thrown away.
fn keep(path: &Path, lines: &[(usize, &[u8])]) -> anyhow::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let beside = path.with_extension("ndjson.unreadable");
    let mut text = Vec::new();
    for (number, line) in lines {
        warn!(
            line = number, file = %path.display(), kept_in = %beside.display(),
            "A line of the parked messages cannot be read: it is kept in another file, and the rest is read"
        );
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    let written = File::options()
        .create(true)
        .append(true)
        .open(&beside)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    written.with_context(|| format!("writing {}", beside.display()))
}

/// Into a file beside it, which then takes its place: a crash leaves the old one or the new one.
fn write_anew(path: &Path, parked: &[ParkedMessage]) -> anyhow::Result<(File, u64)> {
    let beside = path.with_extension("ndjson.new");
    let mut text = Vec::new();
    for parked in parked {
        serde_json::to_writer(&mut text, &Line::parked(parked))?;
        text.push(b'\n');
    }
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        File::open(dir)?.sync_all()?;
    }
    let file = File::options().append(true).open(path)?;
    Ok((file, text.len() as u64))
}

impl Line {
    fn parked(parked: &ParkedMessage) -> Self {
        let ParkedMessage { number, parked_at, message } = parked;
        Self::Parked {
            number: *number,
            parked_at_ms: Some(parked_at.as_millisecond()),
            message_id: message.message_id.clone(),
            content_type: message.content_type.clone(),
            headers: message.headers.clone(),
            body: match std::str::from_utf8(&message.body) {
                Ok(text) => Body::Body(text.to_owned()),
                Err(_) => Body::BodyHex(message.body.iter().map(|byte| format!("{byte:02x}")).collect()),
            },
        }
    }
}

impl Body {
    fn bytes(self) -> anyhow::Result<Bytes> {
        match self {
            Self::Body(text) => Ok(Bytes::from(text)),
            Self::BodyHex(hex) => {
                let is_hex = hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                anyhow::ensure!(is_hex, "body_hex");
                let pairs = hex.as_bytes().chunks(2);
                let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).context("body_hex");
                pairs.map(byte).collect::<anyhow::Result<Vec<u8>>>().map(Bytes::from)
            }
        }
    }
}
