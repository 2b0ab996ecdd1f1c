//! How a request becomes a session, over WebSocket and server-sent events alike.
//!
//! A WebSocket is never refused for its token at the handshake: a browser cannot see that status and would retry for
//! ever, so the session is accepted and then closed with a code. SSE is refused with a status: `EventSource` stops at
//! any that is not 200. Only a foreign origin (403) and overload (503) are refused for both.
//!
//! HEAD opens nothing and is answered 405: a stream has no end, so what GET would answer cannot be said without opening it.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, State, rejection::ExtensionRejection},
    http::{HeaderMap, Version, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use tokio::time::Instant;
use watchbell::{
    runtime::http::{ClientAddress, Query, RETRY_AFTER_S, Taken, take_over},
    wire::{Problem, frame::Auth},
};

use crate::{
    entry::{
        capacity::Capacity,
        credentials::token_of,
        handshake::{asks_for_websocket, server_sent_head, websocket_head},
        query::StreamQuery,
        sign_in::SignIn,
    },
    frames::frame::Form,
    pod::leaving::{Admission, Leaving},
    session::{mount::Mount, parts::SessionParts, run::run, visitor::Visitor},
};

/// Seconds after which a client may come back that only this pod refuses.
const LEAVING_RETRY_AFTER_S: u32 = 1;

/// What lets sessions in, and starts them.
pub(crate) struct Upgrades {
    pub(crate) sign_in: SignIn,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) session: Arc<SessionParts>,
    /// Pages of other hosts that may read a stream of server-sent events.
    pub(crate) allowed_origins: Arc<[String]>,
}

/// What a request says of itself that is to become a session, beside its query.
pub(crate) struct Opening {
    client: ClientAddress,
    version: Version,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Opening {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Extension(client) = Extension::from_request_parts(parts, state).await?;
        Ok(Self { client, version: parts.version, headers: std::mem::take(&mut parts.headers) })
    }
}

/// `GET /v1/ws`
pub(crate) async fn ws(
    State(upgrades): State<Arc<Upgrades>>,
    query: Query<StreamQuery>,
    opening: Opening,
) -> Result<Response, Problem> {
    upgrades.enter(opening, query.0.auth(), Form::Ws, None).await
}

/// `GET /v1/sse`
pub(crate) async fn sse(
    State(upgrades): State<Arc<Upgrades>>,
    query: Query<StreamQuery>,
    opening: Opening,
) -> Result<Response, Problem> {
    upgrades.enter(opening, query.0.auth(), Form::Sse, None).await
}

/// `HEAD` of a stream or a poll.
pub(crate) async fn no_head() -> Response {
    let problem = Problem::wrong_method("a stream has no end, so only GET says what it has");
    ([(header::ALLOW, "GET")], problem).into_response()
}

impl Upgrades {
    /// A stream under a team's own address: WebSocket when that is asked for, SSE otherwise.
    pub(crate) async fn enter_mount(
        &self,
        opening: Opening,
        query: StreamQuery,
        mount: Arc<Mount>,
    ) -> Result<Response, Problem> {
        let form = match (asks_for_websocket(&opening.headers), mount.is_bare()) {
            (true, false) => Form::Ws,
            (true, true) => Form::BareWs,
            (false, false) => Form::Sse,
            (false, true) => Form::BareSse,
        };
        self.enter(opening, query.auth(), form, Some(mount)).await
    }

    async fn enter(
        &self,
        opening: Opening,
        mut auth: Auth,
        form: Form,
        mount: Option<Arc<Mount>>,
    ) -> Result<Response, Problem> {
        let Self { sign_in, capacity, .. } = self;
        let Opening { client, version, headers } = &opening;
        capacity.check()?;
        // Counted before it is asked whether the pod takes anybody: a pod that leaves waits for whoever it took.
        let counted = capacity.count();
        self.check_stays()?;
        auth.token = token_of(headers).map(|token| token.expose().to_owned()).or(auth.token);
        let address = capacity.enter(client.0);
        let (head, identity) = if form.is_websocket() {
            (websocket_head(*version, headers)?, None)
        } else {
            if address.is_none() {
                return Err(Problem::too_many("this address has enough sessions", RETRY_AFTER_S));
            }
            let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
            // What the browser saw last is newer than what the page once put into the address.
            auth.cursor = last_id.or(auth.cursor);
            let identity = sign_in.identity_of(auth.token.as_deref()).await?;
            if mount.as_ref().is_some_and(|mount| mount.is_bare() && !mount.may_be_read_by(&identity)) {
                return Err(Problem::forbidden("your token does not allow this topic"));
            }
            (server_sent_head(&self.allowed_origins, headers), Some(identity))
        };
        let visitor = Visitor { form, auth, identity, address, client: *client, mount, head };
        let (session, tasks) = (self.session.clone(), capacity.tasks.clone());
        Ok(take_over(move |taken: Taken| {
            tasks.spawn(run(session, taken, Box::new(visitor)));
            drop(counted);
        }))
    }

    /// Refuses whoever could not move in time before this pod is gone.
    fn check_stays(&self) -> Result<(), Problem> {
        match self.leaving.admit(Instant::now()) {
            Admission::Stay | Admission::Pass(_) => Ok(()),
            Admission::Refuse => {
                metrics::counter!("watchbell_socket_refused_total", "reason" => "leaving").increment(1);
                let detail = "this pod is leaving: connect again, to another";
                // Another pod takes it now.
                Err(Problem::unavailable(detail, LEAVING_RETRY_AFTER_S))
            }
        }
    }
}
