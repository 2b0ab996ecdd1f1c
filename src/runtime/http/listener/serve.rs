//! The loop that takes connections in, to the shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    connection::{End, Served},
    places::{Place, Places},
    settings::{Listening, Share, Shutdown},
};

/// How long open requests may take to end after the listener closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that the system took in before the listener closed and that are still served.
const BACKLOG_TAKEN_MAX: usize = 4_096;
/// The wait after the system refused to give us a connection (out of files).
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Serves `routes` until `shutdown.stop`, then lets open requests end within 5 s. Handlers may ask for
/// `ConnectInfo<SocketAddr>` and the extensions [`ClientAddress`](crate::runtime::http::ClientAddress) and
/// [`ConnectionPlace`](super::ConnectionPlace).
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    listening: Listening,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    info!(%address, "HTTP listens on {address}");
    let places = Places::new(listening.connections_max);
    let connections = TaskTracker::new();
    let stop = shutdown.stop.clone();
    let served = Served { routes, listening, shutdown };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let share = served.listening.share_of(peer.ip().to_canonical());
                if let Some(place) = place_for(&places, share, &stop).await {
                    connections.spawn(served.clone().connection(stream, peer, place));
                }
            }
            Err(error) => {
                warn!(%error, "A connection could not be accepted");
                sleep(ACCEPT_WAIT).await;
            }
        }
    }
    // Connections that the system took in for us already would be reset with the listener, and what was asked on them lost.
    for (stream, peer) in taken_already(listener) {
        connections.spawn(served.clone().connection(stream, peer, places.enter_at_any_rate()));
    }
    connections.close();
    if timeout(CLOSE_TIMEOUT, connections.wait()).await.is_err() {
        warn!(requests = connections.len(), "Requests were still open and are cut off");
    }
    Ok(())
}

/// A place for a connection that was accepted. Waits while we are at work on all that there are; whoever comes next waits in
/// the system's queue meanwhile. `None`: its peer has its share, and we are at work on all of that.
async fn place_for(places: &Arc<Places>, share: Option<Share>, stop: &CancellationToken) -> Option<Place> {
    let entered = tokio::select! {
        entered = places.enter_in_turn(share) => entered,
        // It is served as those are that wait in the system's queue.
        () = stop.cancelled() => Ok(places.enter_at_any_rate()),
    };
    entered.inspect_err(|_| End::NoShare.count()).ok()
}

/// The connections that wait to be accepted; closes the listener.
fn taken_already(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    // It does not block, so it ends with the last that waits.
    let waiting = std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG_TAKEN_MAX);
    waiting
        .filter_map(|(stream, peer)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, peer))
        })
        .collect()
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
