//! One session, from its first frame to its close. One task; everything it waits for is in one `select`.
//!
//! Join order: register, read the head, replay what changed since the cursor, then let go the live frames that came
//! meanwhile. A frame that comes twice is told by its number.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};
use uuid::Uuid;
use watchbell::{
    domain::{AlertId, Receipt, Seq, receipt::RECEIPT_ALERTS_MAX},
    store::Head,
    wire::{
        CloseCode,
        frame::{AlertFrame, ClientFrame, Cursor, Hello, ReceiptFrame, ServerFrame},
    },
};

use crate::{
    Identity, Socket,
    hub::Place,
    order::{Order, Taken},
    outbox::{Item, Out},
    token::TokenError,
    upgrade::Greeting,
};

/// How long a frame waits for its predecessor before the session is healed from the store.
const HOLE_WAIT: Duration = Duration::from_millis(150);
/// Changes replayed at the most; a client that missed more is told to fetch its inbox.
const REPLAY_MAX: u64 = 1_000;
/// Rows read at a time while replaying.
const REPLAY_PAGE: usize = 200;
/// The wait before the store is asked again.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// A client that takes nothing for this long is slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a close may take to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a session ends.
enum End {
    /// We close it.
    Close(CloseCode),
    /// The client is gone.
    Gone,
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

/// Runs one session to its end.
pub(crate) async fn run(socket: Socket, mut ws: WebSocket, greeting: Greeting) {
    let end = match authenticate(&socket, &mut ws, greeting).await {
        Ok((identity, cursor)) => live(&socket, &mut ws, identity, cursor).await,
        Err(end) => end,
    };
    let label = match &end {
        End::Close(code) => code.parts().1,
        End::Gone => "gone",
    };
    metrics::counter!("watchbell_socket_closes_total", "reason" => label).increment(1);
    if let End::Close(code) = end {
        let (number, reason) = code.parts();
        let frame = CloseFrame { code: number, reason: reason.into() };
        // Whoever does not take even that is gone.
        let _ = timeout(CLOSE_TIMEOUT, ws.send(Message::Close(Some(frame)))).await;
    }
}

async fn authenticate(
    socket: &Socket,
    ws: &mut WebSocket,
    greeting: Greeting,
) -> Result<(Identity, Option<String>), End> {
    let (token, cursor) = match greeting.token {
        Some(token) => (token.expose().to_owned(), greeting.cursor),
        None => {
            let first = timeout(socket.0.config.auth_timeout, ws.recv()).await;
            let Ok(Some(Ok(Message::Text(text)))) = first else { return Err(End::Close(CloseCode::NoAuth)) };
            match serde_json::from_str(&text) {
                Ok(ClientFrame::Auth(auth)) => {
                    (auth.token.unwrap_or_default(), auth.cursor.or(greeting.cursor))
                }
                _ => return Err(End::Close(CloseCode::Protocol)),
            }
        }
    };
    match socket.0.authenticator.verify(&token, socket.0.clock.now()) {
        Ok(identity) => Ok((identity, cursor)),
        Err(TokenError::Expired) => Err(End::Close(CloseCode::TokenExpired)),
        Err(TokenError::Invalid) => Err(End::Close(CloseCode::BadToken)),
    }
}

async fn live(socket: &Socket, ws: &mut WebSocket, identity: Identity, cursor: Option<String>) -> End {
    let Ok(place) = socket.join(&identity.user).await else {
        return End::Close(CloseCode::TooManyConnections);
    };
    let id = Uuid::new_v4().simple().to_string();
    debug!(session = %id, user = %identity.user.user, "A session begins");
    let mut session = Session {
        heard_at: Instant::now(),
        heal_at: None,
        ends_at: None,
        order: Order::after(0),
        socket,
        ws,
        identity,
        place,
        id,
    };
    match session.greet(cursor.as_deref()).await {
        Ok(()) => session.run().await,
        Err(end) => end,
    }
}

struct Session<'a> {
    socket: &'a Socket,
    ws: &'a mut WebSocket,
    identity: Identity,
    place: Place,
    id: String,
    order: Order<Utf8Bytes>,
    /// When something was last heard from the client.
    heard_at: Instant,
    /// When a hole is healed from the store, if there is one.
    heal_at: Option<Instant>,
    /// When the drain window ends, once the pod is leaving.
    ends_at: Option<Instant>,
}

impl Session<'_> {
    /// `hello`, and what changed since the cursor.
    async fn greet(&mut self, cursor: Option<&str>) -> Result<(), End> {
        let head = head(self.socket, &self.identity).await?;
        let from = cursor.map(|raw| self.number_of(raw, head));
        let resumed = matches!(from, Some(Ok(_)));
        let start = match from {
            Some(Ok(seq)) => seq,
            Some(Err(_)) | None => head.seq,
        };
        let hello = ServerFrame::Hello(Hello {
            session: &self.id,
            user: self.identity.user.user.as_str(),
            seq: head.seq,
            cursor: &self.socket.cursor(start),
            unread: head.unread,
            resumed,
            heartbeat_ms: self.socket.0.config.ping_every.mul_f64(1.2).as_millis() as u64,
            server_time: &self.socket.0.clock.now().to_string(),
        })
        .encode();
        self.order = Order::after(start);
        self.send(hello.into()).await?;
        if let Some(Err(reason)) = from {
            self.resync(reason, head).await?;
        }
        // With no cursor as well: something may have changed since the head was read.
        self.catch_up().await
    }

    /// The number a cursor stands for here, or why it stands for none.
    fn number_of(&self, raw: &str, head: Head) -> Result<Seq, &'static str> {
        match Cursor::parse(raw) {
            None => Err("cursor not understood"),
            Some(cursor) if cursor.epoch != self.socket.0.epoch => Err("cursor of another store"),
            Some(cursor) if cursor.seq > head.seq => Err("cursor from the future"),
            Some(cursor) => Ok(cursor.seq),
        }
    }

    async fn run(&mut self) -> End {
        loop {
            let deadline = self.next_deadline();
            let step = tokio::select! {
                out = self.place.outbox.take() => self.put_out(out).await,
                said = self.ws.recv() => self.hear(said).await,
                () = sleep_until(deadline) => self.deadline().await,
                () = self.socket.0.leaving.cancelled(), if self.ends_at.is_none() => self.announce_leaving().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn put_out(&mut self, out: Out) -> Result<(), End> {
        let items = match out {
            Out::Items(items) => items,
            Out::Overflowed => {
                let head = head(self.socket, &self.identity).await?;
                return self.resync("your backlog was dropped", head).await;
            }
        };
        let mut frames = Vec::new();
        for item in items {
            match item {
                Item::Frame { seq, text } => match self.order.take(seq, text) {
                    Taken::Send(ready) => frames.extend(ready),
                    Taken::Old => {}
                    Taken::Held => self.heal_at = self.heal_at.or(Some(Instant::now() + HOLE_WAIT)),
                    Taken::Heal => self.heal_at = Some(Instant::now()),
                },
                Item::Ping { head } => {
                    self.send_all(std::mem::take(&mut frames)).await?;
                    self.ping(head).await?;
                }
            }
        }
        if !self.order.has_hole() {
            self.heal_at = None;
        }
        self.send_all(frames).await
    }

    async fn ping(&mut self, head: Seq) -> Result<(), End> {
        if self.heard_at.elapsed() > self.socket.0.config.ping_every.mul_f64(2.5) {
            return Err(End::Close(CloseCode::NoPong));
        }
        if head > self.order.last() {
            self.catch_up().await?;
        }
        self.send(ServerFrame::Ping { seq: self.order.last() }.encode().into()).await?;
        // A browser answers this one by itself, whatever its page does.
        self.write(Message::Ping(Default::default())).await
    }

    /// What the client says.
    async fn hear(&mut self, said: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = said.ok_or(End::Gone)??;
        self.heard_at = Instant::now();
        match message {
            Message::Text(text) if text.as_str() == "ping" => self.send("pong".into()).await,
            Message::Text(text) => {
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    self.obey(line).await?;
                }
                Ok(())
            }
            Message::Binary(_) => Err(End::Close(CloseCode::Protocol)),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }

    async fn obey(&mut self, line: &str) -> Result<(), End> {
        match serde_json::from_str(line) {
            Ok(ClientFrame::Receipt(frame)) => self.receipt(frame).await,
            Ok(ClientFrame::Auth(auth)) => {
                let token = auth.token.unwrap_or_default();
                match self.socket.0.authenticator.verify(&token, self.socket.0.clock.now()) {
                    Ok(identity) if identity.user == self.identity.user => {
                        self.identity = identity;
                        Ok(())
                    }
                    Ok(_) => Err(End::Close(CloseCode::Forbidden)),
                    Err(TokenError::Expired) => Err(End::Close(CloseCode::TokenExpired)),
                    Err(TokenError::Invalid) => Err(End::Close(CloseCode::BadToken)),
                }
            }
            Ok(ClientFrame::Pong {} | ClientFrame::Unknown) => Ok(()),
            Err(_) => Err(End::Close(CloseCode::Protocol)),
        }
    }

    async fn receipt(&mut self, frame: ReceiptFrame) -> Result<(), End> {
        match receipt_of(&self.identity, &self.id, frame) {
            Ok(receipt) => {
                self.socket.0.receipts.say(receipt).await;
                Ok(())
            }
            Err((_, title)) => {
                self.send(ServerFrame::Error { code: "invalid_receipt", title: &title }.encode().into()).await
            }
        }
    }

    /// The earliest of: a hole to heal, the token's end, the drain window's end.
    fn next_deadline(&self) -> Instant {
        const FAR: Duration = Duration::from_secs(24 * 60 * 60);
        let left = self.identity.expires_at.duration_since(self.socket.0.clock.now());
        let expires = Instant::now() + Duration::try_from(left).unwrap_or_default().min(FAR);
        [self.heal_at, self.ends_at].into_iter().flatten().fold(expires, Instant::min)
    }

    async fn deadline(&mut self) -> Result<(), End> {
        if self.ends_at.is_some_and(|at| at <= Instant::now()) {
            return Err(End::Close(CloseCode::Drain));
        }
        if self.identity.expires_at <= self.socket.0.clock.now() {
            return Err(End::Close(CloseCode::TokenExpired));
        }
        if self.heal_at.is_some_and(|at| at <= Instant::now()) {
            metrics::counter!("watchbell_socket_heals_total").increment(1);
            self.catch_up().await?;
        }
        Ok(())
    }

    /// The pod leaves: the client may move within the window and gets everything until it does (I10).
    async fn announce_leaving(&mut self) -> Result<(), End> {
        let window = self.socket.0.config.drain_window;
        self.ends_at = Some(Instant::now() + window);
        // The last fifth is for those whose clock or network is slow.
        let within_ms = window.mul_f64(0.8).as_millis() as u64;
        self.send(ServerFrame::Goaway { after_ms: 0, within_ms, reason: "drain" }.encode().into()).await
    }

    /// Sends everything that changed since what the client has, from the store.
    async fn catch_up(&mut self) -> Result<(), End> {
        self.heal_at = None;
        loop {
            let after = self.order.last();
            let changes =
                match self.socket.0.store.changes_after(&self.identity.user, after, REPLAY_PAGE).await {
                    Ok(changes) => changes,
                    Err(error) => {
                        // Not the client's trouble: it keeps what it has, and is healed when the store is back.
                        warn!(%error, session = %self.id, "A session could not be healed yet");
                        self.heal_at = Some(Instant::now() + STORE_WAIT);
                        return Ok(());
                    }
                };
            if changes.head.seq.saturating_sub(after) > REPLAY_MAX {
                return self.resync("more changed than is replayed", changes.head).await;
            }
            let mut frames = Vec::with_capacity(changes.rows.len());
            for row in &changes.rows {
                // `content_of` wrote it, so it is JSON.
                let Ok(alert) = serde_json::from_str::<&RawValue>(&row.content) else { continue };
                let frame = AlertFrame {
                    seq: row.seq,
                    cursor: &self.socket.cursor(row.seq),
                    unread: changes.head.unread,
                    state: row.state.as_str(),
                    alert,
                };
                frames.push(Utf8Bytes::from(ServerFrame::Alert(frame).encode()));
            }
            self.send_all(frames).await?;
            let reached = changes.rows.last().map_or(after, |row| row.seq);
            if changes.complete {
                let ready = self.order.healed_to(reached.max(changes.head.seq));
                self.send_all(ready).await?;
                break;
            }
            self.order.paged_to(reached);
        }
        if self.order.has_hole() {
            self.heal_at = Some(Instant::now() + HOLE_WAIT);
        }
        Ok(())
    }

    async fn resync(&mut self, reason: &str, head: Head) -> Result<(), End> {
        metrics::counter!("watchbell_socket_resyncs_total").increment(1);
        self.order.jump_to(head.seq);
        let cursor = self.socket.cursor(head.seq);
        let frame = ServerFrame::Resync { reason, seq: head.seq, cursor: &cursor, unread: head.unread };
        self.send(frame.encode().into()).await
    }

    async fn send(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.write(Message::Text(text)).await
    }

    /// Several frames with one flush: a third of the cost of one each.
    async fn send_all(&mut self, frames: Vec<Utf8Bytes>) -> Result<(), End> {
        if frames.is_empty() {
            return Ok(());
        }
        let writing = async {
            for text in frames {
                self.ws.feed(Message::Text(text)).await?;
            }
            self.ws.flush().await
        };
        in_time(writing).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        in_time(self.ws.send(message)).await
    }
}

/// Not a method: a `&Session` cannot cross an await, because a WebSocket is not `Sync`.
async fn head(socket: &Socket, identity: &Identity) -> Result<Head, End> {
    match socket.0.store.heads(std::slice::from_ref(&identity.user)).await {
        Ok(heads) => Ok(heads.get(&identity.user).copied().unwrap_or_default()),
        Err(error) => {
            warn!(%error, "A session was turned away: the store does not answer");
            Err(End::Close(CloseCode::Overloaded))
        }
    }
}

async fn in_time(writing: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(End::Close(CloseCode::Slow)),
    }
}

/// Reads a receipt. The error names the field and the remedy.
pub(crate) fn receipt_of(
    identity: &Identity,
    by: &str,
    frame: ReceiptFrame,
) -> Result<Receipt, (&'static str, String)> {
    if frame.alerts.is_empty() || frame.alerts.len() > RECEIPT_ALERTS_MAX {
        return Err(("alerts", format!("must name 1 to {RECEIPT_ALERTS_MAX} alerts")));
    }
    if frame.op.as_ref().is_some_and(|op| op.len() > AlertId::LEN_MAX) {
        return Err(("op", format!("must have at most {} bytes", AlertId::LEN_MAX)));
    }
    let alerts = frame.alerts.iter().map(AlertId::parse).collect::<Result<Vec<_>, _>>();
    Ok(Receipt {
        user: identity.user.clone(),
        alerts: alerts.map_err(|error| ("alerts", error.to_string()))?,
        state: frame
            .state
            .parse()
            .map_err(|error: watchbell::domain::alert::UnknownWord| ("state", error.to_string()))?,
        op: frame.op,
        by: by.to_owned(),
    })
}
