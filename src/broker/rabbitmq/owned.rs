//! A connection to the broker with one owner.
//!
//! What holds here:
//! - [`Owned`] is all that a part of ours ever holds of a connection. When it is closed, given up or dropped, its
//!   socket is shut down, so the broker takes back what it had delivered. This holds for one that is still being
//!   made, too: a future that is dropped half way leaves nothing.
//! - Closing is polite first, in a time-box.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ConnectionStatus,
    options::BasicQosOptions,
    tcp::{OwnedIdentity, OwnedTLSConfig},
    uri::AMQPUri,
};
use tokio::time::timeout;
use tracing::error_span;

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
    /// The channels of the session that runs on it, one or two. Dropped last: see [`Owned::lasting_channel`].
    lasting: Mutex<Vec<Channel>>,
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
        let access = config.access.get();
        let identity = access.client_certificate_pem.as_ref().map(|pem| {
            // Both are read from one text: each reader takes what is its own.
            let pem = pem.expose().as_bytes().to_vec();
            OwnedIdentity::PKCS8 { pem: pem.clone(), key: pem }
        });
        let tls = OwnedTLSConfig { identity, cert_chain: access.trust_roots_pem.clone() };
        let (end, ledger) = (End::default(), SharedLedger::default());
        let (gate, noted) = (end.0.clone(), ledger.clone());
        // At the level of an error, so that no filter that lets lapin's errors through leaves it out.
        let span = error_span!(parent: None, "broker", part, node = %node(&uri));
        let runtime = Runtime::within(span.clone());
        let dial = async move |uri: AMQPUri, _| {
            // A TLS handshake is a large future.
            let dial = Box::pin(Followed::dial(&uri, &tls, &gate, noted.clone(), &span));
            Ok(AsyncTcpStream::Plain(gate.while_open(dial).await?))
        };
        let connection = Connection::connector(uri, runtime, dial, properties).await?;
        Ok(Self { connection, ledger, end, lasting: Mutex::default() })
    }

    /// A new channel, in the time-box of a call.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        call("opening a channel", self.connection.create_channel()).await
    }

    /// A new channel that is held until the connection has ended. The client library closes a channel that is dropped; if the
    /// connection is closed meanwhile, the two cross, and it calls that an error of the connection.
    pub(super) async fn lasting_channel(&self) -> anyhow::Result<Channel> {
        let channel = self.channel().await?;
        self.lasting().push(channel.clone());
        Ok(channel)
    }

    fn lasting(&self) -> MutexGuard<'_, Vec<Channel>> {
        // No code that can panic runs under the lock.
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn status(&self) -> &ConnectionStatus {
        self.connection.status()
    }

    /// The node's own certificate (DER), when the connection is over TLS.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        self.ledger.certificate()
    }

    /// What went over this connection.
    pub(super) fn ledger(&self) -> &SharedLedger {
        &self.ledger
    }

    /// Closes politely, so that the broker's log has no complaint, and then for certain.
    pub(super) async fn close(&self) {
        if self.status().connected() && !self.status().blocked() {
            // A channel works in order: after this answer, a consumer that was dropped on it has been cancelled.
            let channels = self.lasting().clone();
            for channel in channels {
                let _ = timeout(CLOSE_MAX, channel.basic_qos(1, BasicQosOptions::default())).await;
            }
            // There is nothing to do about a failure: what follows ends it either way.
            let _ = timeout(CLOSE_MAX, async {
                // The client library's thread ends by itself now. A socket that is shut down before it has would be an error to it.
                if self.connection.close(200, "done".into()).await.is_ok() {
                    self.ledger.ended().await;
                }
            })
            .await;
        }
        self.give_up();
    }

    /// Ends it at once, whoever else holds it.
    pub(super) fn give_up(&self) {
        self.end.0.shut();
    }
}

/// How logs name a node.
pub(super) fn node(uri: &AMQPUri) -> String {
    format!("{}:{}", uri.authority.host, uri.authority.port)
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
