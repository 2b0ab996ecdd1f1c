//! How a session begins: from its first byte to `hello`, what was missed, and what it asked for.
//!
//! What holds here: nobody is told anything before they said who they are, and what they say until then is bounded by
//! `socket.auth_timeout` and by one wrong frame.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use uuid::Uuid;
use watchbell::wire::{
    CloseCode,
    frame::{Auth, ClientFrame, Hello, ServerFrame},
};

use crate::{
    Identity, Socket,
    entry::upgrade::Visitor,
    feed::order::Order,
    frames::{
        batcher::Batcher,
        filter::Filter,
        frame::{self, Frame},
    },
    pod::{leaving::Admission, limits::Allowance, mailbox::Item},
    session::{
        client_frames::is_plain_ping,
        connection::Connection,
        deadlines::Deadlines,
        decoder::Said,
        mount::Mount,
        run::{End, Session, State, write},
    },
    token::TokenError,
};

/// A token that never ends is looked at again after this.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// From the first byte to `hello` and what was missed.
pub(crate) async fn begin(
    socket: &Socket,
    connection: &mut Connection,
    visitor: Box<Visitor>,
) -> Result<State, End> {
    let Visitor { mut auth, identity, address, mount, head, .. } = *visitor;
    connection.put_bytes(head.into());
    let address = address.ok_or(End::Close(CloseCode::TooManyConnections))?;
    let (identity, said) = match identity {
        Some(identity) => (identity, Vec::new()),
        None => authenticate(socket, connection, &mut auth).await?,
    };
    socket.0.turns.take().await.map_err(|_| End::Close(CloseCode::Overloaded))?;
    let place =
        socket.join(identity.user.clone()).await.map_err(|_| End::Close(CloseCode::TooManyConnections))?;
    // After it joined: a drain that begins now finds it in the hub, one that began before is seen here.
    match socket.0.leaving.greet(Instant::now()) {
        Admission::Stay => {}
        Admission::Pass(leave) => socket.0.hub.put(&place.mailbox, Item::Leave(leave)),
        // It was slow to say who it is. It was not greeted yet, so its client still believes the session it has.
        Admission::Refuse => return Err(End::Close(CloseCode::Drain)),
    }
    let now = Instant::now();
    let mut state = State {
        order: Order::after(0),
        epoch: socket.epoch(),
        id: Uuid::new_v4(),
        extras: None,
        allowance: Allowance::new(now),
        deaf_until: None,
        loud_since: None,
        malformed: 0,
        timer: Box::pin(sleep_until(now)),
        deadlines: Deadlines::new(
            now,
            token_ends_at(socket, &identity),
            now + socket.0.config.age_max.mul_f64(rand::random_range(0.8..1.2)),
        ),
        identity,
        place,
        _address: address,
    };
    debug!(session = %state.id.simple(), user = %state.identity.user.user, "A session begins");
    let mut session = Session { socket, connection, state };
    session.greet(auth, mount).await?;
    if !said.is_empty() {
        Box::pin(session.hear(said)).await?;
    }
    state = session.state;
    Ok(state)
}

/// Waits for the `auth` frame of a client whose request had no token, and believes it or not. A client need not wait for
/// `hello`: what it said right behind `auth` is given back, for the session to hear.
async fn authenticate(
    socket: &Socket,
    connection: &mut Connection,
    auth: &mut Auth,
) -> Result<(Identity, Vec<Said>), End> {
    let deadline = socket.0.config.auth_timeout;
    let mut behind = Vec::new();
    let asked = async {
        while auth.token.is_none() {
            // Nobody says anything before the handshake is answered. Where it said all there is, `hello` goes with it.
            write(socket, connection).await?;
            let mut all = connection.read().await?.into_iter();
            while let Some(said) = all.next() {
                match said {
                    Said::Text(text) if is_plain_ping(&text) => connection.put_bytes(frame::text("pong")),
                    Said::Text(text) => {
                        let (first, rest) = first_line(&text);
                        let frame = match ClientFrame::read(first) {
                            Ok(ClientFrame::Auth(frame)) => frame,
                            Ok(_) => return Err(End::Close(CloseCode::Protocol)),
                            Err(unreadable) => {
                                let title = unreadable.to_string();
                                let said = ServerFrame::Error { code: "invalid_frame", title: &title };
                                connection.put(&Frame::new(&said, None), socket.epoch().name());
                                return Err(End::Close(CloseCode::Protocol));
                            }
                        };
                        *auth = frame.over(std::mem::take(auth));
                        if auth.token.is_none() {
                            return Err(End::Close(CloseCode::BadToken));
                        }
                        behind.extend((!rest.is_empty()).then(|| Said::Text(rest.to_owned())));
                        behind.extend(all.by_ref());
                    }
                    Said::Ping(payload) => connection.put_bytes(frame::pong(&payload)),
                    Said::Pong => {}
                    Said::Close => return Err(End::Closed),
                }
            }
        }
        Ok(())
    };
    timeout(deadline, asked).await.map_err(|_| End::Close(CloseCode::NoAuth))??;
    Ok((identify(socket, auth.token.as_deref().unwrap_or_default()).await?, behind))
}

/// The first line that says anything, and what follows it: a message may have several frames, one a line.
fn first_line(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once('\n').map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

pub(crate) async fn identify(socket: &Socket, token: &str) -> Result<Identity, End> {
    let identified = socket.0.authenticator.identify(token, socket.0.clock.now()).await;
    identified.map_err(|error| match error {
        TokenError::Expired => End::Close(CloseCode::TokenExpired),
        TokenError::Invalid(_) => End::Close(CloseCode::BadToken),
        // Come back later: the keys cannot be read just now.
        TokenError::UnknownKey => End::Close(CloseCode::Overloaded),
    })
}

pub(crate) fn token_ends_at(socket: &Socket, identity: &Identity) -> Instant {
    let left = identity.expires_at.duration_since(socket.0.clock.now());
    Instant::now() + Duration::try_from(left).unwrap_or_default().min(FAR)
}

impl Session<'_> {
    /// `hello`, what changed since the cursor, and the topics that were asked for.
    async fn greet(&mut self, auth: Auth, mount: Option<Arc<Mount>>) -> Result<(), End> {
        let epoch = self.socket.0.epochs.known().await.ok_or(End::Close(CloseCode::Overloaded))?;
        self.state.epoch = epoch;
        let welcome = self.socket.0.heads.welcome(&self.state.identity.user).await;
        let (head, preferences) = welcome.map_err(|_| End::Close(CloseCode::Overloaded))?;
        self.check_revoked(&head)?;
        let from = auth.cursor.as_deref().map(|raw| self.state.epoch.number_of(raw, head));
        let start = match from {
            Some(Ok(seq)) => seq,
            Some(Err(_)) | None => head.seq,
        };
        let hello = ServerFrame::Hello(Hello {
            session: &self.state.id.simple().to_string(),
            user: self.state.identity.user.user.as_str(),
            seq: head.seq,
            cursor: &self.state.epoch.cursor(start),
            unread: head.unread,
            resumed: matches!(from, Some(Ok(_))),
            heartbeat_ms: self.socket.0.config.ping_every.mul_f64(1.2).as_millis() as u64,
            preferences: &preferences,
            server_time: &self.socket.0.clock.now().to_string(),
        });
        self.state.order = Order::after(start);
        self.put(&Frame::new(&hello, Some(start)));
        self.configure(auth, mount).await?;
        if let Some(Err(reason)) = from {
            self.resync(reason, head);
        }
        if start < head.seq {
            self.catch_up().await?;
        }
        // A change since the head was read is in the mailbox.
        write(self.socket, self.connection).await
    }

    /// What the session asked for beyond its inbox.
    async fn configure(&mut self, auth: Auth, mount: Option<Arc<Mount>>) -> Result<(), End> {
        if let Some(asked) = auth.filter {
            match Filter::read(asked) {
                Ok(filter) => self.extras().filter = Some(filter),
                Err(title) => self.complain("invalid_filter", &title),
            }
        }
        if let Some(asked) = auth.batch {
            self.extras().batcher = Some(Batcher::of(asked));
        }
        self.see(auth.visibility);
        let mounted = mount.iter().flat_map(|mount| mount.topics().iter().cloned());
        let topics: Vec<String> = mounted.chain(auth.topics).collect();
        if let Some(mount) = &mount
            && mount.is_bare()
            && !mount.may_be_read_by(&self.state.identity)
        {
            // Its clients know no `error` frame, and would wait for ever.
            return Err(End::Close(CloseCode::Forbidden));
        }
        if mount.is_some() {
            self.extras().mount = mount;
        }
        for topic in topics {
            self.subscribe(&topic).await?;
        }
        Ok(())
    }
}
