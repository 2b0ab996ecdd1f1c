//! The file behind a queue for the operator: one JSON object a line, readable with any text tool.
//!
//! What holds here:
//! - A line is synced to disk before its writer hears `Ok`.
//! - Settling appends a line too; opening the file writes it anew without what was settled.
//! - A line that a crash cut short was never confirmed, and is dropped when the file is opened.

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
        let parked = read(&text).with_context(|| format!("reading {}", path.display()))?;
        let next_number = parked.keys().next_back().map_or(0, |last| last + 1);
        let (file, len) = write_anew(path, &parked).with_context(|| format!("writing {}", path.display()))?;
        let open = Open { file, len, next_number };
        Ok((Self(Arc::new(Mutex::new(open))), parked.into_iter().collect()))
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

/// Everything parked and not settled, by number.
fn read(text: &[u8]) -> anyhow::Result<BTreeMap<u64, Message>> {
    let mut parked = BTreeMap::new();
    // What follows the last line's end is empty, or was cut short by a crash.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    for (index, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).with_context(|| format!("line {}", index + 1))?;
        match line {
            Line::Settled { settled } => drop(parked.remove(&settled)),
            Line::Parked { number, message_id, content_type, headers, body } => {
                let body = body.bytes().with_context(|| format!("line {}", index + 1))?;
                let envelope = Envelope::default();
                parked.insert(number, Message { message_id, content_type, headers, body, envelope });
            }
        }
    }
    Ok(parked)
}

/// Into a file beside it, which then takes its place: a crash leaves the old one or the new one.
fn write_anew(path: &Path, parked: &BTreeMap<u64, Message>) -> anyhow::Result<(File, u64)> {
    let beside = path.with_extension("ndjson.new");
    let mut text = Vec::new();
    for (number, message) in parked {
        serde_json::to_writer(&mut text, &Line::parked(*number, message))?;
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
                let pairs = hex.as_bytes().chunks(2);
                let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).context("body_hex");
                pairs.map(byte).collect::<anyhow::Result<Vec<u8>>>().map(Bytes::from)
            }
        }
    }
}
