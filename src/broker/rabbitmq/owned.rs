//! A connection to the broker with one owner.
//!
//! What holds here:
//! - [`Owned`] is all that a part of ours ever holds of a connection. When it is closed, given up or dropped, its
//!   socket is shut down, so the broker takes back what it had delivered. This holds for one that is still being
//!   made, too: a future that is dropped half way leaves nothing.
//! - Closing is polite first, in a time-box.

use anyhow::{Context, bail};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ConnectionStatus, tcp::OwnedTLSConfig,
    uri::AMQPUri,
};
use tokio::time::timeout;

use super::{
    CALL_MAX, CLOSE_MAX, RabbitConfig,
    gate::Gate,
    stream::{Followed, Runtime, SharedLedger},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Owned {
    connection: Connection,
    ledger: SharedLedger,
    end: End,
}

/// Shuts its gate when it is dropped.
#[derive(Debug, Default)]
struct End(Gate);

impl Drop for End {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl Owned {
    /// Connects to one node. Waits for as long as that takes: the caller has the time-box.
    pub(super) async fn open(config: &RabbitConfig, part: &str, uri: AMQPUri) -> lapin::Result<Self> {
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("{} {part}", config.name).into())
            .with_client_property("product".into(), "watchbell".into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: config.ca_pem.clone() };
        let (end, ledger) = (End::default(), SharedLedger::default());
        let (gate, noted) = (end.0.clone(), ledger.clone());
        let dial = async move |uri: AMQPUri, _| {
            // A TLS handshake is a large future.
            let dial = Box::pin(Followed::dial(&uri, &tls, &gate, noted.clone()));
            Ok(AsyncTcpStream::Plain(gate.while_open(dial).await?))
        };
        let connection = Connection::connector(uri, Runtime::current(), dial, properties).await?;
        Ok(Self { connection, ledger, end })
    }

    /// A new channel, in the time-box of a call.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        call("opening a channel", self.connection.create_channel()).await
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn status(&self) -> &ConnectionStatus {
        self.connection.status()
    }

    /// What went over this connection.
    pub(super) fn ledger(&self) -> &SharedLedger {
        &self.ledger
    }

    /// Closes politely, so that the broker's log has no complaint, and then for certain.
    pub(super) async fn close(&self) {
        if self.status().connected() && !self.status().blocked() {
            // There is nothing to do about a failure: what follows ends it either way.
            let _ = timeout(CLOSE_MAX, self.connection.close(200, "done".into())).await;
        }
        self.give_up();
    }

    /// Ends it at once, whoever else holds it.
    pub(super) fn give_up(&self) {
        self.end.0.shut();
    }
}

/// One AMQP call, time-boxed.
pub(super) async fn call<T>(
    what: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> anyhow::Result<T> {
    match timeout(CALL_MAX, answer).await {
        Ok(answer) => answer.context(what),
        Err(_) => bail!("{what}: no answer within {CALL_MAX:?}"),
    }
}
