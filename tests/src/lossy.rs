//! A TCP proxy that loses one answer: what was asked arrived and was done, and whoever asked cannot know.
//!
//! What holds here:
//! - The first answer that is the one to lose does not reach the client: what is said in its place does, and then the
//!   connection is closed.
//! - Everything before it, and every connection after it, goes through as it is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const READ_BYTES_MAX: usize = 64 * 1024;
/// As AMQP writes class and method of `basic.ack`, which confirms a publish.
const BASIC_ACK: [u8; 4] = [0, 60, 0, 80];
/// What a proxy that gave up waiting says.
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Which answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The first to an HTTP request. The client hears 503, and to come again after a second.
    Response,
    /// The first confirm of a broker. The client hears nothing but the end of its connection.
    Confirm,
}

/// The proxy. Dropped, its connections are closed.
#[derive(Debug)]
pub struct LossyProxy {
    port: u16,
    done: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl LossyProxy {
    /// Listens, and connects each client to `port` on this machine.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(port: u16, lost: Lost) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let done = Arc::new(AtomicBool::new(false));
        let (own_port, shared) = (listener.local_addr()?.port(), Arc::clone(&done));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, port, lost, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port: own_port, done, task })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the answer was lost.
    pub fn has_lost(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(client: TcpStream, port: u16, lost: Lost, done: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut bytes = vec![0; READ_BYTES_MAX];
        loop {
            let read = from_server.read(&mut bytes).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            if is_lost(lost, &bytes[..read]) && !done.swap(true, Ordering::SeqCst) {
                return to_client.write_all(instead(lost)).await;
            }
            to_client.write_all(&bytes[..read]).await?;
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = answers => {}
    }
}

fn is_lost(lost: Lost, bytes: &[u8]) -> bool {
    match lost {
        Lost::Response => true,
        // Nothing that a broker says before it has these bytes.
        Lost::Confirm => bytes.windows(BASIC_ACK.len()).any(|window| window == BASIC_ACK),
    }
}

fn instead(lost: Lost) -> &'static [u8] {
    match lost {
        Lost::Response => UNAVAILABLE,
        Lost::Confirm => b"",
    }
}
