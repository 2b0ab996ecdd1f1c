//! What a session holds while it lives, and how a frame is sent.
//!
//! What an idle session costs is its task, its mailbox and a pointer in the hub, so what few sessions have is behind one
//! pointer ([`Extras`]).

use std::{borrow::Cow, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};
use uuid::Uuid;
use watchbell::{
    store::Head,
    wire::{
        CloseCode,
        frame::{ServerFrame, Visibility},
    },
};

use crate::{
    feed::follower::Follower,
    frames::{
        batcher::Batcher,
        filter::SessionFilter,
        frame::{self, Frame},
    },
    pod::{
        lent::Lent,
        limits::{AddressSlot, Allowance},
        mailbox::Leave,
        sessions::{Registration, Subscription},
    },
    session::{
        connection::{Broken, Connection},
        deadlines::Deadlines,
        mount::Mount,
        parts::SessionParts,
        snapshots::Snapshots,
        unheard::Unheard,
    },
    token::{Identity, TokenError},
};

/// The longest title of an `error`, in characters.
const COMPLAINT_CHARS_MAX: usize = 300;

/// How a session ends.
pub(crate) enum SessionEnd {
    /// We close it.
    Close(CloseCode),
    /// The client closes it, and is owed an answer (RFC 6455, section 5.5.1).
    Closed,
    /// The client is gone.
    Gone,
}

impl From<Broken> for SessionEnd {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone => Self::Gone,
            Broken::NotTheProtocol => Self::Close(CloseCode::Protocol),
        }
    }
}

impl From<TokenError> for SessionEnd {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::Close(CloseCode::TokenExpired),
            TokenError::Invalid(_) => Self::Close(CloseCode::BadToken),
            // Come back later: the keys cannot be read just now.
            TokenError::UnknownKey => Self::Close(CloseCode::Overloaded),
        }
    }
}

/// What every session holds.
pub(crate) struct SessionState {
    pub(crate) identity: Identity,
    pub(crate) registration: Registration,
    pub(crate) _address: AddressSlot,
    pub(crate) id: Uuid,
    pub(crate) follower: Follower,
    /// What few sessions have.
    pub(crate) extras: Option<Box<Extras>>,
    pub(crate) allowance: Allowance,
    /// What was read and is not handled yet.
    pub(crate) unheard: Option<Box<Unheard>>,
    /// Until when nothing is handled or read, because the client says more than it may.
    pub(crate) deaf_until: Option<Instant>,
    /// Since when it has had more to say than it may.
    pub(crate) loud_since: Option<Instant>,
    pub(crate) timer: Pin<Box<Sleep>>,
    pub(crate) deadlines: Deadlines,
}

impl SessionState {
    /// Of a session that begins now.
    pub(crate) fn new(
        identity: Identity,
        registration: Registration,
        address: AddressSlot,
        follower: Follower,
        deadlines: Deadlines,
        now: Instant,
    ) -> Self {
        Self {
            identity,
            registration,
            _address: address,
            id: Uuid::new_v4(),
            follower,
            extras: None,
            allowance: Allowance::new(now),
            unheard: None,
            deaf_until: None,
            loud_since: None,
            timer: Box::pin(sleep_until(now)),
            deadlines,
        }
    }
}

/// What few sessions have.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) filter: Option<SessionFilter>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) topics: Vec<Subscription>,
    pub(crate) mount: Option<Arc<Mount>>,
    /// What was kept of the topics, as far as it was sent lately: its events may come live as well.
    pub(crate) snapshots: Snapshots,
    pub(crate) is_hidden: bool,
    /// Lines that were no frame at all.
    pub(crate) malformed: u8,
}

impl Extras {
    /// Whether a live frame is sent to the client as it is, at once and in any case.
    fn sends_as_it_comes(&self) -> bool {
        self.filter.is_none() && self.batcher.is_none() && self.snapshots.is_empty()
    }
}

/// A session at work: its state, with its connection and what it needs of the pod.
pub(crate) struct Session<'a> {
    pub(crate) parts: &'a SessionParts,
    pub(crate) connection: &'a mut Connection,
    pub(crate) state: SessionState,
}

/// Writes what is in line, or ends the session when its client takes too long.
pub(crate) async fn write(parts: &SessionParts, connection: &mut Connection) -> Result<(), SessionEnd> {
    let timeout = parts.config.write_timeout;
    Ok(connection.write(timeout, &parts.sent).await.ok_or(SessionEnd::Close(CloseCode::Slow))??)
}

/// A text of bounded length.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(COMPLAINT_CHARS_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

impl Session<'_> {
    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.state.extras.get_or_insert_default()
    }

    /// Sends an alert or event unless the session asked not to be told of its like.
    pub(crate) fn put_filtered(&mut self, frame: &Frame) {
        if self.lets_through(frame) {
            self.put(frame);
        }
    }

    pub(crate) fn lets_through(&self, frame: &Frame) -> bool {
        let filter = self.state.extras.as_ref().and_then(|extras| extras.filter.as_ref());
        filter.is_none_or(|filter| filter.lets_frame_through(frame))
    }

    pub(crate) fn put(&mut self, frame: &Frame) {
        let batcher = self.state.extras.as_mut().and_then(|extras| extras.batcher.as_mut());
        match batcher.filter(|_| self.connection.form() == frame::Form::Ws) {
            None => self.connection.put(frame, self.state.follower.epoch().name()),
            Some(batcher) => {
                if let Some(message) = batcher.add(frame, Instant::now()) {
                    self.connection.put_message(message);
                }
            }
        }
    }

    /// Sends what was gathered and has waited long enough.
    pub(crate) fn send_batch(&mut self, now: Instant) {
        let batcher = self.state.extras.as_mut().and_then(|extras| extras.batcher.as_mut());
        if let Some(message) = batcher.and_then(|batcher| batcher.due(now)) {
            self.connection.put_message(message);
        }
    }

    /// Lends the connection to the mailbox, so that a live frame is written without this session, if such a frame needs
    /// nothing that only the session knows.
    pub(crate) fn lend(&mut self) {
        let Session { connection, state, .. } = self;
        let is_plain = state.extras.as_ref().is_none_or(|extras| extras.sends_as_it_comes());
        if !is_plain || !state.follower.is_level() {
            return;
        }
        let Some(stream) = connection.lend() else { return };
        let (form, epoch, last) = (connection.form(), state.follower.epoch().number, state.follower.last());
        let refused = state.registration.mailbox.lend(Lent { stream, form, epoch, last, rest: None });
        if let Some(refused) = refused {
            connection.take_back(refused.stream, refused.rest);
        }
    }

    /// Takes the connection back, and notes what was written to it meanwhile.
    pub(crate) fn take_back(&mut self) {
        if let Some(Lent { stream, last, rest, .. }) = self.state.registration.mailbox.take_back() {
            self.connection.take_back(stream, rest);
            self.state.follower.was_given(last);
        }
    }

    /// Tells the client that something it sent was refused. What the title repeats of it is cut.
    pub(crate) fn complain(&mut self, code: &str, title: &str) {
        let title = cut(title);
        self.put(&Frame::new(&ServerFrame::Error { code, title: &title }, None));
    }

    /// Notes whether the client's page can be seen, when the client says so.
    pub(crate) fn note_visibility(&mut self, visibility: Option<Visibility>) {
        if let Some(visibility) = visibility {
            let is_hidden = visibility == Visibility::Hidden;
            if is_hidden || self.state.extras.is_some() {
                self.extras().is_hidden = is_hidden;
            }
        }
    }

    pub(crate) fn check_revoked(&self, head: &Head) -> Result<(), SessionEnd> {
        match head.refuses(self.state.identity.issued_at) {
            true => Err(SessionEnd::Close(CloseCode::Kicked)),
            false => Ok(()),
        }
    }

    /// The head of the user's inbox.
    pub(crate) async fn head(&self) -> Result<Head, SessionEnd> {
        let head = self.parts.inbox.head(&self.state.identity.user).await;
        head.map_err(|_| SessionEnd::Close(CloseCode::Overloaded))
    }

    /// Asks the client to connect anew, and closes the session when it did not.
    pub(crate) fn leave(&mut self, Leave { after_ms, within_ms, grace_ms, code }: Leave) {
        let all = [after_ms, within_ms, grace_ms].map(u64::from).iter().sum();
        self.state.deadlines.leave(Instant::now() + Duration::from_millis(all), code);
        self.ask_to_leave(after_ms, within_ms, code.parts().1);
    }

    /// Asks the client to connect anew in that window from now, and to read on until then.
    pub(crate) fn ask_to_leave(&mut self, after_ms: u32, within_ms: u32, reason: &'static str) {
        let goaway = ServerFrame::Goaway { after_ms: after_ms.into(), within_ms: within_ms.into(), reason };
        self.put(&Frame::new(&goaway, None));
    }
}
