//! One session, from its first byte to its close. One task; everything it waits for is polled in one place.
//!
//! Join order: register, read the head, replay what changed since the cursor, then let go the live frames that came
//! meanwhile. A frame that comes twice is told by its number.
//!
//! What an idle session costs is this task, its mailbox and a pointer in the hub. Whatever happens rarely (greeting,
//! healing, topics) is boxed where it is awaited, so that its memory is not part of every task.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};
use tracing::warn;
use uuid::Uuid;
use watchbell::{
    domain::Seq,
    runtime::http::Taken,
    store::Head,
    wire::{CloseClass, CloseCode, frame::ServerFrame},
};

use crate::{
    Identity, Socket,
    entry::upgrade::Visitor,
    feed::{
        order::{Order, Taken as Ordered},
        replay::Replayed,
    },
    frames::{
        batcher::Batcher,
        epoch::Epoch,
        filter::Filter,
        frame::{self, Frame},
    },
    pod::{
        hub::{Place, Subscription},
        limits::{AddressPlace, Allowance},
        mailbox::{Item, Mail},
    },
    session::{
        connection::{Broken, Connection},
        deadlines::{Deadlines, Due, REBALANCE_WINDOW},
        decoder::Said,
        greeting::{begin, token_ends_at},
        mount::Mount,
    },
};

/// The wait before a token is looked at again that should be over by one clock and is not by the other.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How a session ends.
pub(crate) enum End {
    /// We close it.
    Close(CloseCode),
    /// The client closes it, and is owed an answer (RFC 6455, section 5.5.1).
    Closed,
    /// The client is gone.
    Gone,
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone => Self::Gone,
            Broken::NotTheProtocol => Self::Close(CloseCode::Protocol),
        }
    }
}

/// One session, to its end. What it holds for as long as it lives is captured once: a parameter or a local that is moved
/// would stand in the task's memory twice.
pub(crate) fn run(socket: Socket, taken: Taken, visitor: Box<Visitor>) -> impl Future<Output = ()> + Send {
    let message_bytes_max = socket.0.config.message_bytes_max;
    let mut connection = Connection::new(taken.stream, taken.read_ahead, visitor.form, message_bytes_max);
    async move {
        let end = live(&socket, &mut connection, visitor).await;
        let label = match &end {
            End::Close(code) => code.parts().1,
            End::Closed => "closed",
            End::Gone => "gone",
        };
        metrics::counter!("watchbell_socket_closes_total", "reason" => label).increment(1);
        match end {
            End::Close(code) => Box::pin(connection.close(code.parts(), code.class())).await,
            End::Closed => Box::pin(connection.close(frame::CLOSED, CloseClass::Stop)).await,
            End::Gone => {}
        }
    }
}

async fn live(socket: &Socket, connection: &mut Connection, visitor: Box<Visitor>) -> End {
    let mut session = match Box::pin(begin(socket, connection, visitor)).await {
        Ok(state) => Session { socket, connection, state },
        Err(end) => return end,
    };
    session.run().await
}

/// A session that stands.
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) place: Place,
    pub(crate) _address: AddressPlace,
    pub(crate) id: Uuid,
    pub(crate) order: Order<Arc<Frame>>,
    /// What the numbers of `order` are of.
    pub(crate) epoch: Arc<Epoch>,
    /// What few sessions have.
    pub(crate) extras: Option<Box<Extras>>,
    pub(crate) allowance: Allowance,
    /// Until when nothing is read, because the client says more than it may.
    pub(crate) deaf_until: Option<Instant>,
    /// Since when it says more than it may.
    pub(crate) loud_since: Option<Instant>,
    /// Lines that were no frame at all.
    pub(crate) malformed: u8,
    pub(crate) timer: Pin<Box<Sleep>>,
    pub(crate) deadlines: Deadlines,
}

/// What few sessions have.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) filter: Option<Filter>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) topics: Vec<Subscription>,
    pub(crate) mount: Option<Arc<Mount>>,
    /// Events of snapshots that were just sent, which may come live as well until then.
    pub(crate) known_events: Option<(Instant, HashSet<String>)>,
    pub(crate) is_hidden: bool,
}

pub(crate) async fn write(socket: &Socket, connection: &mut Connection) -> Result<(), End> {
    Ok(connection.write(socket.0.config.write_timeout).await.ok_or(End::Close(CloseCode::Slow))??)
}

/// A session at work: its state, with its connection.
pub(crate) struct Session<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) connection: &'a mut Connection,
    pub(crate) state: State,
}

/// What a session wakes up for.
enum Event {
    Said(Vec<Said>),
    Mail(Mail),
    Deadline,
}

impl Session<'_> {
    async fn run(&mut self) -> End {
        loop {
            let step = match poll_fn(|context| self.poll(context)).await {
                Ok(Event::Said(said)) => Box::pin(self.hear(said)).await,
                Ok(Event::Mail(mail)) => match self.take_frames(mail) {
                    Some(rest) => Box::pin(self.take(rest)).await,
                    None => Ok(()),
                },
                Ok(Event::Deadline) => Box::pin(self.deadline()).await,
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Writes first; reads, and takes mail, only when nothing is left to write: a slow client's backlog stays in its
    /// mailbox, which is bounded.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, End>> {
        if self.connection.has_unwritten() {
            match self.connection.poll_write(context) {
                Poll::Ready(Ok(())) => self.state.deadlines.written(),
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.into())),
                Poll::Pending => {
                    self.state.deadlines.writing(Instant::now(), self.socket.0.config.write_timeout);
                }
            }
        }
        if !self.state.deadlines.is_writing() {
            self.state.deaf_until = self.state.deaf_until.filter(|until| *until > Instant::now());
            let read = match self.state.deaf_until {
                None => self.connection.poll_read(context),
                Some(_) => Poll::Pending,
            };
            match read {
                Poll::Ready(Ok(said)) => return Poll::Ready(Ok(Event::Said(said))),
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.into())),
                Poll::Pending => {}
            }
            if let Poll::Ready(mail) = self.state.place.mailbox.poll_take(context) {
                return Poll::Ready(Ok(Event::Mail(mail)));
            }
        }
        let deadline = self.next_deadline();
        if self.state.timer.deadline() != deadline {
            self.state.timer.as_mut().reset(deadline);
        }
        self.state.timer.as_mut().poll(context).map(|()| Ok(Event::Deadline))
    }

    /// The earliest of all that is to be done at a time.
    fn next_deadline(&self) -> Instant {
        let state = &self.state;
        let batch = state.extras.as_ref().and_then(|extras| extras.batcher.as_ref()?.due_at());
        let forget = state.extras.as_ref().and_then(|extras| Some(extras.known_events.as_ref()?.0));
        let optional = [state.deaf_until, batch, forget].into_iter().flatten();
        optional.fold(state.deadlines.next(), Instant::min)
    }

    async fn deadline(&mut self) -> Result<(), End> {
        let now = Instant::now();
        while let Some(due) = self.state.deadlines.due(now) {
            match due {
                Due::Close(code) => return Err(End::Close(code)),
                Due::AskToLeave => {
                    self.ask_to_leave(0, REBALANCE_WINDOW.mul_f64(0.8).as_millis() as u32, "rebalance");
                }
                Due::Token if self.state.identity.expires_at <= self.socket.0.clock.now() => {
                    return Err(End::Close(CloseCode::TokenExpired));
                }
                Due::Token => {
                    let ends_at = token_ends_at(self.socket, &self.state.identity);
                    // A clock that was set back a little must not be asked again and again in one turn.
                    self.state.deadlines.token_ends(ends_at.max(now + LOOK_AGAIN));
                }
                Due::Heal => {
                    metrics::counter!("watchbell_socket_heals_total").increment(1);
                    Box::pin(self.catch_up()).await?;
                }
            }
        }
        self.send_batch(now);
        if let Some(extras) = &mut self.state.extras {
            extras.known_events = extras.known_events.take().filter(|(until, _)| *until > now);
        }
        Ok(())
    }

    /// Frames, which are nearly all that comes, wait for nothing. Gives back what does, and what comes after it.
    fn take_frames(&mut self, mail: Mail) -> Option<Mail> {
        let Mail::Items(mut items) = mail else { return Some(mail) };
        while let Some(item) = items.pop_front() {
            let Item::Frame(frame) = item else {
                items.push_front(item);
                return Some(Mail::Items(items));
            };
            self.tell(frame);
        }
        None
    }

    fn tell(&mut self, frame: Arc<Frame>) {
        match frame.seq {
            // Of an epoch that is over, or that this session has yet to begin with a resync.
            Some(_) if frame.epoch != self.state.epoch.number => {}
            Some(seq) => self.order(seq, frame),
            None => self.event(&frame),
        }
    }

    async fn take(&mut self, mail: Mail) -> Result<(), End> {
        let items = match mail {
            Mail::Items(items) => items,
            Mail::Overflowed => return Box::pin(self.start_over()).await,
        };
        for item in items {
            match item {
                Item::Frame(frame) => self.tell(frame),
                Item::Ping { head, epoch } => self.ping(head, epoch).await?,
                Item::Leave(leave) => self.leave(leave),
                Item::Revoked => {
                    let head = Box::pin(self.head()).await?;
                    self.check_revoked(&head)?;
                }
            }
        }
        Ok(())
    }

    /// A numbered frame: now, later or never.
    fn order(&mut self, seq: Seq, frame: Arc<Frame>) {
        match self.state.order.take(seq, frame) {
            Ordered::Next(frame) => self.put_filtered(&frame),
            Ordered::Send(frames) => {
                frames.iter().for_each(|frame| self.put_filtered(frame));
                if !self.state.order.has_hole() {
                    self.state.deadlines.whole();
                }
            }
            Ordered::Old => {}
            Ordered::Held => self.state.deadlines.hole(Instant::now()),
            Ordered::Heal => self.state.deadlines.heal_now(Instant::now()),
        }
    }

    /// An event of a topic, or what the user wants.
    fn event(&mut self, frame: &Frame) {
        let known = self.state.extras.as_ref().and_then(|extras| extras.known_events.as_ref());
        let is_known =
            known.is_some_and(|(_, ids)| frame.facets().id.as_ref().is_some_and(|id| ids.contains(id)));
        if !is_known {
            self.put_filtered(frame);
        }
    }

    async fn ping(&mut self, head: Head, epoch: Arc<Epoch>) -> Result<(), End> {
        // Who cannot answer is found by the write that fails.
        let answers = self.connection.form().is_websocket();
        if answers && self.state.deadlines.is_silent(Instant::now(), self.socket.0.config.ping_every) {
            return Err(End::Close(CloseCode::NoPong));
        }
        self.check_revoked(&head)?;
        if epoch.number > self.state.epoch.number {
            self.state.epoch = epoch;
            self.resync("the store tells another history", head);
            Box::pin(self.refresh(None)).await?;
        } else if head.seq > self.state.order.last() {
            Box::pin(self.catch_up()).await?;
        }
        let seq = self.state.order.last();
        self.put(&Frame::new(&ServerFrame::Ping { seq, cursor: None }, Some(seq)));
        if answers {
            self.connection.put_bytes(frame::ping());
        }
        Ok(())
    }

    /// The backlog was dropped: the inbox is fetched by the client, and topics are told afresh.
    async fn start_over(&mut self) -> Result<(), End> {
        let epoch = self.socket.epoch();
        let head = self.head().await?;
        self.state.epoch = epoch;
        self.resync("your backlog was dropped", head);
        self.refresh(None).await
    }

    pub(crate) fn resync(&mut self, reason: &str, head: Head) {
        self.state.order.jump_to(head.seq);
        self.state.deadlines.whole();
        self.put(&self.socket.resync_frame(reason, &self.state.epoch, head));
    }

    /// Sends everything that changed since what the client has, from the store.
    pub(crate) async fn catch_up(&mut self) -> Result<(), End> {
        self.state.deadlines.whole();
        loop {
            let State { identity, epoch, order, .. } = &mut self.state;
            match self.socket.replay(&identity.user, epoch, order).await {
                Ok(Replayed::Resync(head)) => {
                    self.resync("more changed than is replayed", head);
                    return Ok(());
                }
                Ok(Replayed::Frames { frames, complete }) => {
                    frames.iter().for_each(|frame| self.put_filtered(frame));
                    if complete {
                        break;
                    }
                    write(self.socket, self.connection).await?;
                }
                Err(error) => {
                    // Not the client's trouble: it keeps what it has, and is healed when the store is back.
                    warn!(%error, session = %self.state.id.simple(), "A session could not be healed yet");
                    self.state.deadlines.heal_later(Instant::now());
                    return Ok(());
                }
            }
        }
        if self.state.order.has_hole() {
            self.state.deadlines.hole(Instant::now());
        }
        Ok(())
    }

    pub(crate) fn check_revoked(&self, head: &Head) -> Result<(), End> {
        match head.refuses(self.state.identity.issued_at) {
            true => Err(End::Close(CloseCode::Kicked)),
            false => Ok(()),
        }
    }

    async fn head(&self) -> Result<Head, End> {
        self.socket.0.heads.of(&self.state.identity.user).await.map_err(|_| End::Close(CloseCode::Overloaded))
    }

    /// Sends an alert or event unless the session asked not to be told of its like.
    pub(crate) fn put_filtered(&mut self, frame: &Frame) {
        if self.lets_through(frame) {
            self.put(frame);
        }
    }

    pub(crate) fn lets_through(&self, frame: &Frame) -> bool {
        let filter = self.state.extras.as_ref().and_then(|extras| extras.filter.as_ref());
        filter.is_none_or(|filter| !frame.can_be_filtered() || filter.lets_through(frame.facets()))
    }

    pub(crate) fn put(&mut self, frame: &Frame) {
        let batcher = self.state.extras.as_mut().and_then(|extras| extras.batcher.as_mut());
        match batcher.filter(|_| self.connection.form() == frame::Form::Ws) {
            None => self.connection.put(frame, self.state.epoch.name()),
            Some(batcher) => {
                if let Some(bytes) = batcher.add(frame, Instant::now()) {
                    self.connection.put_bytes(bytes);
                }
            }
        }
    }

    fn send_batch(&mut self, now: Instant) {
        let batcher = self.state.extras.as_mut().and_then(|extras| extras.batcher.as_mut());
        if let Some(bytes) = batcher.and_then(|batcher| batcher.due(now)) {
            self.connection.put_bytes(bytes);
        }
    }

    pub(crate) fn complain(&mut self, code: &str, title: &str) {
        self.put(&Frame::new(&ServerFrame::Error { code, title }, None));
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.state.extras.get_or_insert_default()
    }
}
