//! A TCP proxy before a RabbitMQ that can hold back one kind of its answers, while every connection lives on.
//!
//! What holds here:
//! - What the client sends goes on at once. Of what the broker sends, a method frame that is held and, as the test
//!   wishes, what follows it wait until they are let go. Reading from the broker goes on, so that it notices nothing.
//! - A connection counts as open until the client has closed it. What a client abandons without closing stays.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// A method's class and number, as its payload begins.
pub type Method = [u8; 4];

/// `basic.consume-ok`.
pub const CONSUME_OK: Method = [0, 60, 0, 21];
/// `confirm.select-ok`.
pub const CONFIRM_SELECT_OK: Method = [0, 85, 0, 11];

/// What of the broker's answers is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing, and what was held goes on.
    Nothing,
    /// This method, and everything after it on its channel.
    Channel(Method),
    /// This method, and everything after it on its connection.
    Connection(Method),
}

/// The proxy. Dropped, its connections are closed.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    hold: Mutex<Hold>,
    changed: Notify,
    open: AtomicUsize,
    holding: AtomicUsize,
    held: AtomicUsize,
}

impl Proxy {
    /// Listens, and connects each client to `port` on this machine.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            hold: Mutex::new(Hold::Nothing),
            changed: Notify::new(),
            open: AtomicUsize::new(0),
            holding: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        });
        let (ours, own_port) = (Arc::clone(&shared), listener.local_addr()?.port());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, port, Arc::clone(&ours)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port: own_port, shared, task })
    }

    /// `url`, which leads to the broker, as a URL that leads through here.
    pub fn url(&self, url: &str, broker_port: u16) -> String {
        url.replace(&format!(":{broker_port}/"), &format!(":{}/", self.port))
    }

    /// From now on.
    pub fn hold(&self, hold: Hold) {
        *self.shared.hold.lock().expect("no panic under the lock") = hold;
        self.shared.changed.notify_waiters();
    }

    /// Connections that their client has not closed.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Those of them on which something is held back.
    pub fn holding(&self) -> usize {
        self.shared.holding.load(Ordering::SeqCst)
    }

    /// Connections on which something was ever held back.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One less when it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connection(client: TcpStream, port: u16, shared: Arc<Shared>) {
    let _open = Counted::new(&shared.open);
    let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    tokio::select! {
        // Ends when the client closes; then the broker's half is closed with it.
        _ = tokio::io::copy(&mut from_client, &mut to_broker) => {}
        // A broker that closes ends it for the client too.
        _ = answers(from_broker, to_client, &shared) => {}
    }
}

async fn answers(
    mut broker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut waiting: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut holding = None;
    let (frames, mut next) = tokio::sync::mpsc::unbounded_channel();
    let reading = async {
        loop {
            let frame = frame(&mut broker).await?;
            if frames.send(frame).is_err() {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    let writing = async {
        loop {
            let changed = shared.changed.notified();
            let hold = *shared.hold.lock().expect("no panic under the lock");
            if hold == Hold::Nothing && !waiting.is_empty() {
                for (_, frame) in waiting.drain(..) {
                    client.write_all(&frame).await?;
                }
                holding = None;
            }
            tokio::select! {
                () = changed => {}
                Some((channel, frame)) = next.recv() => {
                    let is = |method: Method| frame[0] == 1 && frame[7..].starts_with(&method);
                    let begins = match hold {
                        Hold::Nothing => false,
                        Hold::Channel(method) | Hold::Connection(method) => is(method),
                    };
                    let behind = match hold {
                        Hold::Channel(_) => waiting.iter().any(|(held, _)| *held == channel),
                        _ => !waiting.is_empty(),
                    };
                    if begins || behind {
                        holding.get_or_insert_with(|| {
                            shared.held.fetch_add(1, Ordering::SeqCst);
                            Counted::new(&shared.holding)
                        });
                        waiting.push((channel, frame));
                    } else {
                        client.write_all(&frame).await?;
                    }
                }
            }
        }
    };
    tokio::select! {
        read = reading => read,
        written = writing => written,
    }
}

/// One frame, with its channel.
async fn frame(broker: &mut OwnedReadHalf) -> std::io::Result<(u16, Vec<u8>)> {
    let mut frame = vec![0; 7];
    broker.read_exact(&mut frame).await?;
    let channel = u16::from_be_bytes([frame[1], frame[2]]);
    let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
    frame.resize(7 + size + 1, 0);
    broker.read_exact(&mut frame[7..]).await?;
    Ok((channel, frame))
}
