//! A body that is too long to be held, while it goes by: its beginning is kept, and the rest only counted and digested.
//! Memory only, no I/O.

use aws_lc_rs::digest::{Context, SHA256};

use crate::broker::{CutBody, parking::BEGINNING_BYTES};

/// One body, of which so much has come.
pub(super) struct LongBody {
    tag: u64,
    bytes: u64,
    /// Bytes that are still to come.
    left: u64,
    beginning: Vec<u8>,
    digest: Context,
}

impl LongBody {
    /// The body of this delivery, so many bytes long.
    pub(super) fn new(tag: u64, bytes: u64) -> Self {
        Self { tag, bytes, left: bytes, beginning: Vec::new(), digest: Context::new(&SHA256) }
    }

    /// How much of it is handed on, in bytes.
    pub(super) fn kept(&self) -> u64 {
        self.bytes.min(BEGINNING_BYTES as u64)
    }

    /// More of it has come.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.digest.update(part);
        let keep = part.len().min(BEGINNING_BYTES - self.beginning.len());
        self.beginning.extend_from_slice(&part[..keep]);
        self.left = self.left.saturating_sub(part.len() as u64);
    }

    /// Whether nothing more of it is to come.
    pub(super) fn is_whole(&self) -> bool {
        self.left == 0
    }

    /// Its delivery, its beginning, and what is told of the whole.
    pub(super) fn end(self) -> (u64, Vec<u8>, CutBody) {
        let digest = self.digest.finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.tag, self.beginning, CutBody { bytes: self.bytes, sha256 })
    }
}
