//! The listener every worker's routes hang on: hyper over TCP, HTTP/1.1.
//!
//! What is special here:
//! - A handler may answer with [`take_over`] instead of a response. Then hyper and its buffers are gone and the handler
//!   owns the bare connection: a stream that stays open for hours must not cost what a request costs. It works for any
//!   request of a kept-alive connection, and unlike an HTTP upgrade for any status, which is what SSE needs.
//! - Every wait for a peer has a deadline, whatever the handler does, and places are shared out (I9, I16).
//! - TLS and HTTP/2 end at the load balancer; it speaks HTTP/1.1 to us, as every balancer can.
//!
//! | file | what |
//! |---|---|
//! | `course.rs` | what a connection is doing, and how long it may: pure |
//! | `places.rs` | who may speak HTTP at once, and who has to go for others |
//! | `settings.rs` | how connections are taken in: deadlines, places, shares, proxies |
//! | `host.rs` | the host that a request is for: pure |
//! | `single_headers.rs` | headers that may be given once: pure |
//! | `stream.rs` | what tells a connection's course what happens on it |
//! | `take_over.rs` | how a handler gets the bare connection |
//! | `connection.rs` | one connection, from its first byte to its end |
//! | `serve.rs` | the loop that takes connections in, to the shutdown |

mod connection;
mod course;
mod host;
mod places;
mod serve;
mod settings;
mod single_headers;
mod stream;
mod take_over;

pub use course::{Patience, Standing};
pub(super) use host::host_of;
pub use places::{ConnectionPlace, GivenBack, NoPlace, Place, Places};
pub use serve::serve;
pub use settings::{Listening, Share, Shutdown};
pub use stream::LateBody;
pub use take_over::{Taken, take_over};
