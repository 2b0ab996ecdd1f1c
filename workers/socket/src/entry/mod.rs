//! What a request must have to become a session.
//!
//! | file | what |
//! |---|---|
//! | `upgrade.rs` | `GET /v1/ws` and `/v1/sse`: origin, room, token, handshake |
//! | `extract.rs` | query strings, paths and bodies, and what is wrong with one |

pub(crate) mod extract;
pub(crate) mod upgrade;
