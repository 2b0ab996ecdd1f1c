//! Who may have a socket, and its certain end.
//!
//! A connection that we gave up used to live on: its client library was dropped, its socket was not closed, and
//! the broker went on delivering to nobody, for up to half an hour with all signs green. So each connection has one
//! owner ([`super::owned`]) with a gate, every socket is let in by it, and when it shuts the socket is shut down
//! below the client library, whatever that is doing.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    /// Ends a dial that is under way.
    shut: CancellationToken,
    /// The socket that was let in, by a second descriptor. One at a time: lapin does not reconnect.
    socket: Arc<Mutex<Option<TcpStream>>>,
}

impl Gate {
    /// Lets a socket in.
    ///
    /// # Errors
    /// When the gate is shut: then the socket is shut down as well.
    pub(super) fn admit(&self, socket: &impl AsFd) -> io::Result<()> {
        let ours = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut place = self.place();
        if self.is_shut() {
            return end(&ours).and(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(before) = place.replace(ours) {
            // It has ended already, or lapin would not dial again.
            let _ = end(&before);
        }
        Ok(())
    }

    /// Shuts the socket down, and lets no other in. Again is harmless.
    pub(super) fn shut(&self) {
        self.shut.cancel();
        if let Some(socket) = self.place().take() {
            // Fails when the other side was faster: it has ended all the same.
            let _ = end(&socket);
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.is_cancelled()
    }

    /// Runs a dial until the gate shuts.
    pub(super) async fn while_open<T>(&self, dial: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let dialled = self.shut.run_until_cancelled(dial).await;
        dialled.unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn place(&self) -> MutexGuard<'_, Option<TcpStream>> {
        // No code that can panic runs under the lock.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn a_socket_ends_with_its_gate_even_while_somebody_holds_it() {
        let gate = Gate::default();
        let (near, mut far) = pair();
        gate.admit(&near).unwrap();
        gate.shut();
        gate.shut();
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the other side sees the end");
        drop(near);
    }

    #[test]
    fn a_shut_gate_lets_nothing_in() {
        let gate = Gate::default();
        gate.shut();
        let (near, mut far) = pair();
        gate.admit(&near).unwrap_err();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_dial_ends_with_its_gate() {
        let gate = Gate::default();
        let dial = gate.while_open(std::future::pending::<io::Result<()>>());
        let (dialled, ()) = tokio::join!(dial, async { gate.shut() });
        dialled.unwrap_err();
    }
}
