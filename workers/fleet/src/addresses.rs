//! Where a process listens, and where it finds its broker and its store.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use watchbell::{
    broker::rabbitmq::{BrokerAccess, RabbitConfig},
    domain::Secret,
    runtime::{Config, cannot_listen::remedy_of, config::HttpConfig, http::AllowedHosts},
    store::StoreConfig,
};

use crate::cli::Role;

/// Connections that wait to be accepted. The kernel drops the first packet of any more, which costs its client a
/// second; it also cuts this to its own `net.core.somaxconn`, 4,096 by default.
const BACKLOG: u32 = 4_096;

/// The hosts of a process that listens there.
pub(crate) fn hosts(config: &HttpConfig, listen: SocketAddr) -> AllowedHosts {
    AllowedHosts::new(listen.ip(), config.public_url.as_deref(), &config.allowed_hosts)
}

/// Binds `http.listen`, with an error that says which address it was, and what to do.
pub(crate) fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    bind_as("http.listen", "http.listen", config.http.listen)
}

/// The same for `up`, whose address may be given on the command line.
pub(crate) fn bind_up(config: &Config) -> anyhow::Result<TcpListener> {
    bind_as("http.listen", "--listen", config.http.listen)
}

/// The same for `http.operations_listen`.
pub(crate) fn bind_operations(address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind_as("http.operations_listen", "http.operations_listen", address)
}

/// `setting` is where the address is written, and `by` is how another one is given.
fn bind_as(setting: &str, by: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).map_err(|error| {
        let remedy = remedy_of(error.kind(), by);
        anyhow::Error::new(error).context(format!("{setting}: {address} cannot be bound: {remedy}"))
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: a restart does not wait for connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The configured store's address.
pub(crate) fn store_config(config: &Config) -> anyhow::Result<StoreConfig> {
    let url = config.store.url.clone().context(
        "store.url must be given: postgres://user:password@host/database (`watchbell up` needs none)",
    )?;
    Ok(StoreConfig { url, connections_max: config.store.connections_max })
}

/// The configured cluster's addresses, and what is shown and believed there.
pub(crate) fn broker_access(config: &Config) -> anyhow::Result<BrokerAccess> {
    let broker = &config.broker;
    let needed = "broker.url must be given: amqp://user:password@host/vhost (`watchbell up` needs none)";
    let url = broker.url.as_ref().context(needed)?;
    let trust_roots = broker.trust_root_file.as_deref().map(|file| {
        let read = std::fs::read_to_string(file);
        read.with_context(|| format!("broker.trust_root_file {} cannot be read", file.display()))
    });
    Ok(BrokerAccess {
        urls: url.expose().split(',').map(|url| Secret::from(url.trim())).collect(),
        trust_roots_pem: trust_roots.transpose()?,
        client_certificate_pem: broker.client_certificate.clone(),
    })
}

/// How the configured cluster is reached by these workers.
pub(crate) fn rabbit_config(config: &Config, roles: &[Role]) -> anyhow::Result<RabbitConfig> {
    let access = broker_access(config)?.into();
    let names: Vec<String> = roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    Ok(RabbitConfig {
        access,
        declare: config.broker.declare,
        name: format!("watchbell {} {}/{}", names.join("+"), host(), std::process::id()),
        // What ingest publishes, and what is sent again, has to come from somebody as well.
        names_user: config.producers().is_mapped(),
    })
}

/// This machine's name, or its pod's: what an operator finds it by.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_the_remedy() {
        let taken = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut config = Config::default();
        config.http.listen = taken.local_addr().unwrap();
        let why = |bound: anyhow::Result<TcpListener>| format!("{:#}", bound.unwrap_err());
        let up = why(bind_up(&config));
        assert!(up.contains("another program listens there") && up.contains("with --listen"), "{up}");
        let run = why(bind(&config));
        assert!(run.contains("another port with http.listen"), "{run}");
        let operations = why(bind_operations(config.http.listen));
        assert!(operations.contains("another port with http.operations_listen"), "{operations}");
    }
}
