//! The floor: a process that accepts connections and, for each line on its standard input, writes the same bytes to all
//! of them in a bare loop. No protocol, no user, no order: what the kernel alone costs.

use std::{
    io::{BufRead as _, Write as _, stdin},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use anyhow::Context as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket},
};

use super::server::{SERVER_CORE, stay_on_core};

/// What tells the process that it is the floor.
pub const ARGUMENT: &str = "floor-process";

const HELLO: &str = r#"{"type":"hello"}"#;
/// Connections that wait to be accepted, as many as Watchbell's listener lets wait.
const BACKLOG: u32 = 4_096;

/// The process.
pub struct Floor {
    child: Child,
    stdin: ChildStdin,
    pub address: String,
}

impl Floor {
    pub fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut address = String::new();
        std::io::BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self { child, stdin, address: address.trim().to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes `payload` (one line) as a WebSocket frame to everybody.
    pub fn write(&mut self, payload: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.stdin, "{payload}")?)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text message of less than 64 KiB.
fn message(text: &str) -> Vec<u8> {
    let mut message = vec![0x81, 126];
    message.extend((text.len() as u16).to_be_bytes());
    message.extend(text.as_bytes());
    message
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

/// Runs the floor until its standard input ends. A task a connection, as any server has that waits for its clients.
pub fn serve() -> anyhow::Result<()> {
    stay_on_core(SERVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (lines, mut read) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    runtime.block_on(async move {
        let listener = listen()?;
        println!("{}", listener.local_addr()?);
        let mut clients = Vec::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    // So that a client knows that it was accepted.
                    stream.write_all(&message(HELLO)).await?;
                    clients.push(stream);
                }
                line = read.recv() => {
                    let Some(line) = line else { return Ok(()) };
                    let frame = message(&line);
                    for client in &mut clients {
                        // A client that has left is not missed here.
                        let _ = client.write_all(&frame).await;
                    }
                }
            }
        }
    })
}
