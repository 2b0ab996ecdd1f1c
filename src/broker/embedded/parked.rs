//! The file behind a queue for the operator: one JSON object a line, readable with any text tool.
//!
//! What holds here:
//! - A line is synced to disk before its writer hears `Ok`.
//! - Settling appends a line too; opening the file writes it anew without what was settled.
//! - A line that a crash cut short was never confirmed, and is dropped when the file is opened. Any other that cannot be
//!   read, because somebody edited the file or a newer version wrote it, is moved to a file beside it, and the rest is read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use bytes::Bytes;
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

#[derive(Debug)]
pub(super) struct ParkedFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
    next_number: u64,
}

impl ParkedFile {
    /// Opens or makes the file, and gives what is parked in it, oldest first.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, Vec<(u64, Message)>)> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let Parked { messages: parked, unreadable } = read(&text);
        keep(path, &unreadable)?;
        let next_number = parked.len() as u64;
        let (file, len) = write_anew(path, &parked).with_context(|| format!("writing {}", path.display()))?;
        let open = Open { file, len, next_number };
        Ok((Self(Arc::new(Mutex::new(open))), (0..).zip(parked).collect()))
    }

    /// Gives the number to settle it by.
    pub(super) async fn append(&self, message: &Message) -> io::Result<u64> {
        let message = message.clone();
        self.blocking(move |open| {
            let number = open.next_number;
            open.write(&Line::parked(number, &message))?;
            open.next_number += 1;
            Ok(number)
        })
        .await
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
    messages: Vec<Message>,
    /// The lines that cannot be read, each with its number.
    unreadable: Vec<(usize, &'a [u8])>,
}

fn read(text: &[u8]) -> Parked<'_> {
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
            Ok(Line::Parked { number, message_id, content_type, headers, body }) => {
                let envelope = Envelope::default();
                let message =
                    body.bytes().map(|body| Message { message_id, content_type, headers, body, envelope });
                match message {
                    // Two of one number are two messages: somebody put files together.
                    Ok(message) => parked.entry(number).or_insert_with(Vec::new).push(message),
                    Err(_) => unreadable.push((index + 1, line)),
                }
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
fn write_anew(path: &Path, parked: &[Message]) -> anyhow::Result<(File, u64)> {
    let beside = path.with_extension("ndjson.new");
    let mut text = Vec::new();
    for (number, message) in (0..).zip(parked) {
        serde_json::to_writer(&mut text, &Line::parked(number, message))?;
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
    fn parked(number: u64, message: &Message) -> Self {
        Self::Parked {
            number,
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
