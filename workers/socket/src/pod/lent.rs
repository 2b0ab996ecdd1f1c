//! The connection of an idle session, which it lends to its mailbox while it waits, so that a live frame is written without
//! waking the session's task.
//!
//! What holds here:
//! - A connection is in one place: with its session, or lent. So only one of them writes, and their bytes never mix.
//! - A frame is written whole, or its rest goes back with the connection and is the first thing that the session writes.
//! - A numbered frame is written only when it is the one that follows the last, in the session's epoch (I3). Any other is the
//!   session's business: it waits for what is missing, or leaves out what the client has.
//! - Nothing waits here. What the kernel does not take at once is the session's business too, with its deadline for clients
//!   that do not read.

use std::io::{self, IoSlice};

use tokio::net::TcpStream;
use watchbell::domain::Seq;

use crate::frames::{
    frame::{Form, Frame},
    sent::{Marks, Outgoing, SentFrames},
};

/// Frames given to the system with one call.
const FRAMES_AT_ONCE_MAX: usize = 32;

/// A connection that is lent, and what has to be known to write to it.
pub(crate) struct Lent {
    /// The connection. Everything that was put into line is written.
    pub(crate) stream: TcpStream,
    /// How frames look on it.
    pub(crate) form: Form,
    /// The epoch that its session is in.
    pub(crate) epoch: u32,
    /// The last change number that the client was given.
    pub(crate) last: Seq,
    /// What is left of a frame of which the kernel took a part.
    pub(crate) rest: Option<Box<Outgoing>>,
}

impl Lent {
    /// Writes the first of these frames, as many as follow in order and as the kernel takes at once. Says of how many the
    /// session need not know any more.
    pub(crate) fn write<'a>(
        &mut self,
        frames: impl Iterator<Item = &'a Frame> + Clone,
        sent: &SentFrames,
    ) -> usize {
        let mut slices = [IoSlice::new(&[]); FRAMES_AT_ONCE_MAX];
        let (mut count, mut last) = (0, self.last);
        for (slice, frame) in slices.iter_mut().zip(frames.clone()) {
            if self.rest.is_some() || !self.is_next(frame, last) {
                break;
            }
            last = frame.seq.unwrap_or(last);
            *slice = IoSlice::new(frame.live_bytes(self.form).map_or(&[][..], |bytes| &bytes[..]));
            count += 1;
        }
        // A client that is gone is found by its session.
        let mut written = self.write_once(&slices[..count]).unwrap_or(0);
        let mut done = 0;
        for frame in frames.take(count) {
            if let Some(bytes) = frame.live_bytes(self.form) {
                if written == 0 {
                    break;
                }
                if written < bytes.len() {
                    let marks = Marks::One(frame.mark());
                    self.rest = Some(Box::new(Outgoing { bytes: bytes.slice(written..), marks }));
                } else {
                    sent.count(&[frame.mark()]);
                }
                written = written.saturating_sub(bytes.len());
            }
            self.last = frame.seq.unwrap_or(self.last);
            done += 1;
        }
        done
    }

    fn is_next(&self, frame: &Frame, last: Seq) -> bool {
        frame.seq.is_none_or(|seq| seq == last + 1 && frame.epoch() == self.epoch)
    }

    fn write_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [] => Ok(0),
            // Nearly always; and a plain send costs the kernel less than a vectored write.
            [one] => self.stream.try_write(one),
            several => self.stream.try_write_vectored(several),
        }
    }
}
