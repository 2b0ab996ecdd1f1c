//! AMQP 0-9-1 as it goes by, between the socket and the client library.
//!
//! The stream that lapin is given ([`super::stream`]) passes every byte through here. Inwards, deliveries are made
//! safe for lapin's parser; in both directions, what was delivered and what was settled is written down.
//!
//! | file | what |
//! |---|---|
//! | `inbound.rs` | frames from the broker: held until they are whole, checked, handed on |
//! | `outbound.rs` | frames to the broker: looked at |
//! | `repair.rs` | the grammar of methods and properties; what in them is broken |
//! | `cut.rs` | a body that is too long to be held |
//! | `ledger.rs` | what is delivered and not settled; which deliveries were broken, and which were cut |

mod cut;
mod inbound;
mod ledger;
mod outbound;
mod repair;

#[cfg(test)]
mod tests;

pub(super) use inbound::Inbound;
pub(super) use ledger::Ledger;
pub(super) use outbound::Outbound;
