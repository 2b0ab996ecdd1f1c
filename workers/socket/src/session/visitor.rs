//! What a request brings that becomes a session.

use std::sync::Arc;

use watchbell::{runtime::http::ClientAddress, wire::frame::Auth};

use crate::{frames::frame::Form, pod::limits::AddressSlot, session::mount::Mount, token::Identity};

/// A request that was let in.
pub(crate) struct Visitor {
    pub(crate) form: Form,
    /// What the request asked for; the token of a WebSocket may still come as its first frame.
    pub(crate) auth: Auth,
    /// Who it is, where that had to be known before the request was answered.
    pub(crate) identity: Option<Identity>,
    /// `None`: too many sessions from there. A WebSocket is told by its close code.
    pub(crate) address: Option<AddressSlot>,
    /// Where it comes from.
    pub(crate) client: ClientAddress,
    pub(crate) mount: Option<Arc<Mount>>,
    /// The head of the response, to be written first.
    pub(crate) head: String,
}
