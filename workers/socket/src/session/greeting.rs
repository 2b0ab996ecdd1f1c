//! How a session begins: from its first byte to `hello`, what was missed, and what it asked for.
//!
//! What holds here: a client is told nothing before it has authenticated, and what it may send until then is bounded by
//! `socket.auth_timeout`, by [`BEFORE_AUTH_MAX`] and by one wrong frame. How many there are of those has a bound of its own.

use std::sync::Arc;

use tokio::time::{Instant, timeout};
use tracing::debug;
use watchbell::wire::{
    CloseCode,
    frame::{Auth, ClientFrame, Hello, ServerFrame},
};

use crate::{
    feed::follower::{Follower, Joined, Start},
    frames::{
        batcher::Batcher,
        filter::SessionFilter,
        frame::{self, Frame},
    },
    pod::{leaving::Admission, mailbox::Item, sessions::NotJoined},
    session::{
        connection::Connection,
        deadlines::Deadlines,
        decoder::{ClientMessage, is_plain_ping},
        mount::Mount,
        parts::SessionParts,
        state::{Session, SessionEnd, SessionState, write},
        visitor::Visitor,
    },
    token::Identity,
};

/// Pings, pongs and fragments that a client may send until its `auth` frame is whole.
const BEFORE_AUTH_MAX: usize = 64;

/// From the first byte to `hello` and what was missed.
pub(crate) async fn begin(
    parts: &SessionParts,
    connection: &mut Connection,
    visitor: Box<Visitor>,
) -> Result<SessionState, SessionEnd> {
    let Visitor { mut auth, identity, address, client, mount, head, .. } = *visitor;
    connection.put_bytes(head.into());
    let address = address.ok_or(SessionEnd::Close(CloseCode::TooManyConnections))?;
    let (identity, messages) = match identity {
        Some(identity) => (identity, Vec::new()),
        None if auth.token.is_some() => authenticate(parts, connection, &mut auth).await?,
        None => {
            // Nobody knows yet for whom a place would be kept, so whoever waits longest has to go for others.
            let waiter = parts.unsigned.enter(client.0);
            tokio::select! {
                who = authenticate(parts, connection, &mut auth) => who?,
                () = waiter.has_to_go() => return Err(SessionEnd::Close(CloseCode::Overloaded)),
            }
        }
    };
    let registration = parts.sessions.join(identity.user.clone()).await.map_err(|why| match why {
        NotJoined::Overloaded => SessionEnd::Close(CloseCode::Overloaded),
        NotJoined::UserIsFull => SessionEnd::Close(CloseCode::TooManyConnections),
    })?;
    // After it joined: a drain that begins now finds it in the hub, one that began before is seen here.
    match parts.leaving.greet(Instant::now()) {
        Admission::Stay => {}
        Admission::Pass(leave) => registration.put(Item::Leave(leave)),
        // It was slow to say who it is. It was not greeted yet, so its client still believes the session it has.
        Admission::Refuse => return Err(SessionEnd::Close(CloseCode::Drain)),
    }
    let now = Instant::now();
    let oldest = now + parts.config.age_max.mul_f64(rand::random_range(0.8..1.2));
    let deadlines = Deadlines::new(now, parts.verifier.ends_at(&identity), oldest);
    let follower = Follower::after(0, parts.inbox.epoch());
    let mut state = SessionState::new(identity, registration, address, follower, deadlines, now);
    debug!(session = %state.id.simple(), user = ?state.identity.user.user, "A session begins");
    let mut session = Session { parts, connection, state };
    session.greet(auth, mount).await?;
    if !messages.is_empty() {
        Box::pin(session.hear(messages)).await?;
    }
    state = session.state;
    Ok(state)
}

/// Waits for the `auth` frame of a client whose request had no token, and believes it or not. A client need not wait for
/// `hello`: what it said right behind `auth` is given back, for the session to hear.
async fn authenticate(
    parts: &SessionParts,
    connection: &mut Connection,
    auth: &mut Auth,
) -> Result<(Identity, Vec<ClientMessage>), SessionEnd> {
    let deadline = parts.config.auth_timeout;
    let (mut behind, mut said) = (Vec::new(), 0);
    let asked = async {
        while auth.token.is_none() {
            // Nobody says anything before the handshake is answered. Where it said all there is, `hello` goes with it.
            write(parts, connection).await?;
            let mut all = connection.read().await?.into_iter();
            while let Some(message) = all.next() {
                said += 1;
                if said > BEFORE_AUTH_MAX {
                    return Err(SessionEnd::Close(CloseCode::Protocol));
                }
                match message {
                    ClientMessage::Text(text) if is_plain_ping(&text) => {
                        connection.put_bytes(frame::text("pong"));
                    }
                    ClientMessage::Text(text) => {
                        let (first, rest) = first_line(&text);
                        let frame = match ClientFrame::read(first) {
                            Ok(ClientFrame::Auth(frame)) => frame,
                            Ok(_) => return Err(SessionEnd::Close(CloseCode::Protocol)),
                            Err(unreadable) => {
                                let title = unreadable.to_string();
                                let refusal = ServerFrame::Error { code: "invalid_frame", title: &title };
                                connection.put(&Frame::new(&refusal, None), parts.inbox.epoch().name());
                                return Err(SessionEnd::Close(CloseCode::Protocol));
                            }
                        };
                        *auth = frame.over(std::mem::take(auth));
                        if auth.token.is_none() {
                            return Err(SessionEnd::Close(CloseCode::BadToken));
                        }
                        behind.extend((!rest.is_empty()).then(|| ClientMessage::Text(rest.to_owned())));
                        behind.extend(all.by_ref());
                    }
                    ClientMessage::Ping(payload) => connection.put_bytes(frame::pong(&payload)),
                    ClientMessage::Pong | ClientMessage::Part(_) => {}
                    ClientMessage::Close => return Err(SessionEnd::Closed),
                }
            }
        }
        Ok(())
    };
    timeout(deadline, asked).await.map_err(|_| SessionEnd::Close(CloseCode::NoAuth))??;
    Ok((parts.verifier.identify(auth.token.as_deref().unwrap_or_default()).await?, behind))
}

/// The first line that says anything, and what follows it: a message may have several frames, one a line.
fn first_line(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once('\n').map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

impl Session<'_> {
    /// `hello`, what changed since the cursor, and the topics that were asked for.
    async fn greet(&mut self, auth: Auth, mount: Option<Arc<Mount>>) -> Result<(), SessionEnd> {
        let user = &self.state.identity.user;
        let joined = Follower::join(&self.parts.inbox, user, auth.cursor.as_deref()).await;
        let Joined { follower, start, head, preferences } =
            joined.map_err(|_| SessionEnd::Close(CloseCode::Overloaded))?;
        self.state.follower = follower;
        self.check_revoked(&head)?;
        let from = self.state.follower.last();
        let hello = ServerFrame::Hello(Hello {
            session: &self.state.id.simple().to_string(),
            user: self.state.identity.user.user.as_str(),
            seq: head.seq,
            cursor: &self.state.follower.epoch().cursor(from),
            unread: head.unread,
            resumed: start == Start::Cursor,
            heartbeat_ms: self.parts.config.ping_every.mul_f64(1.2).as_millis() as u64,
            preferences: &preferences,
            server_time: &self.parts.verifier.clock().now().to_string(),
        });
        self.put(&Frame::new(&hello, Some(from)));
        self.configure(auth, mount).await?;
        if let Start::Refused(reason) = start {
            self.resync(reason, head);
        }
        if from < head.seq {
            self.catch_up().await?;
        }
        // A change since the head was read is in the mailbox.
        write(self.parts, self.connection).await
    }

    /// What the session asked for beyond its inbox.
    async fn configure(&mut self, auth: Auth, mount: Option<Arc<Mount>>) -> Result<(), SessionEnd> {
        if let Some(asked) = auth.filter {
            match SessionFilter::read(asked) {
                Ok(filter) => self.extras().filter = Some(filter),
                Err(title) => self.complain("invalid_filter", &title),
            }
        }
        if let Some(asked) = auth.batch {
            self.extras().batcher = Some(Batcher::of(asked));
        }
        self.note_visibility(auth.visibility);
        let mounted = mount.iter().flat_map(|mount| mount.topics().iter().cloned());
        let topics: Vec<String> = mounted.chain(auth.topics).collect();
        if let Some(mount) = &mount
            && mount.is_bare()
            && !mount.may_be_read_by(&self.state.identity)
        {
            // Its clients know no `error` frame, and would wait for ever.
            return Err(SessionEnd::Close(CloseCode::Forbidden));
        }
        if mount.is_some() {
            self.extras().mount = mount;
        }
        self.subscribe_to_all(topics).await
    }
}
