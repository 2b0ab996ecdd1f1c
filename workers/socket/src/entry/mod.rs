//! What a request must have to become a session.
//!
//! | file | what |
//! |---|---|
//! | `query.rs` | what the query of a stream or a poll may ask for |
//! | `credentials.rs` | the token in the headers of a request: pure |
//! | `origin.rs` | which pages may connect: pure; and the layer that turns others away |
//! | `sign_in.rs` | who sends a request; every route that needs a token asks it |
//! | `capacity.rs` | whether the pod, and the address of the client, may have one more session |
//! | `handshake.rs` | the head of the response that begins a session: pure |
//! | `upgrade.rs` | `GET /v1/ws` and `/v1/sse`: lets a session in and starts it |

pub(crate) mod capacity;
pub(crate) mod credentials;
pub(crate) mod handshake;
pub(crate) mod origin;
pub(crate) mod query;
pub(crate) mod sign_in;
pub(crate) mod upgrade;
