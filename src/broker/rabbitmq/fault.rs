//! Why the broker cannot be used, in plain words: what `/readyz` says of a connection that could not be made.
//!
//! A broker's own message names the user and the vhost, so none is passed on (I12).

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use crate::runtime::health::Fault;

/// Why a part has no connection, for whoever asks; empty while it has one. And how often it found none.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    cause: Arc<Mutex<Option<Fault>>>,
    failures: Arc<AtomicU64>,
}

impl Trouble {
    pub(super) fn set(&self, fault: Option<Fault>) {
        self.failures.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed);
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Attempts that found no connection, since the process began.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The cause; in the moment before there is one, that a connection is being made.
    pub(super) fn cause(&self) -> Fault {
        let known = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| Fault::passing("a connection to RabbitMQ is being made"))
    }
}

/// The cause of a failed attempt, with its remedy.
pub(super) fn fault_of(error: &anyhow::Error) -> Fault {
    let found = error.chain().find_map(|cause| cause.downcast_ref::<lapin::Error>());
    let silent = || Fault::passing("RabbitMQ does not answer (broker.url)");
    let Some(error) = found else { return silent() };
    match error.kind() {
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => {
            Fault::of_io("RabbitMQ", "broker.url", error)
        }
        ErrorKind::ProtocolError(error) => of_protocol(error.kind(), error.get_message().as_str()),
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => Fault::new(
            "what answers at broker.url does not speak AMQP 0-9-1",
            "correct the host and the port in broker.url",
        ),
        ErrorKind::MissingHeartbeatError => silent(),
        _ => Fault::passing("RabbitMQ does not answer as it should"),
    }
}

fn of_protocol(kind: &AMQPErrorKind, message: &str) -> Fault {
    match kind {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Fault::new(
            "RabbitMQ refuses the user or the password",
            "correct the user and the password in broker.url",
        ),
        // What RabbitMQ says: "vhost NAME not found", "access to vhost NAME refused for user NAME", "… is down".
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if message.contains("not found") => Fault::new(
            "the vhost in broker.url does not exist",
            "make it with `rabbitmqctl add_vhost`, or correct its name in broker.url",
        ),
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if message.contains("refused for user") => Fault::new(
            "the user in broker.url has no rights in its vhost",
            "give it some with `rabbitmqctl set_permissions`; `watchbell topology show` lists them",
        ),
        AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => {
            Fault::passing("RabbitMQ is shutting down, or its operator closed the connection")
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => {
            Fault::passing(format!("RabbitMQ refuses the connection (code {})", code_of(kind)))
        }
    }
}

fn code_of(kind: &AMQPErrorKind) -> u16 {
    match kind {
        AMQPErrorKind::Soft(error) => error.get_id(),
        AMQPErrorKind::Hard(error) => error.get_id(),
    }
}

#[test]
fn a_refusal_is_told_in_plain_words_and_holds_no_name() {
    let not_allowed = || AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED);
    for (kind, message, expected) in [
        (
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED),
            "Login was refused for hunter2",
            "user or the password",
        ),
        (not_allowed(), "vhost hunter2 not found", "does not exist"),
        (not_allowed(), "access to vhost 'hunter2' refused for user 'hunter2'", "no rights"),
        (not_allowed(), "hunter2", "code 530"),
        (AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED), "hunter2", "shutting down"),
    ] {
        let fault = of_protocol(&kind, message);
        assert!(fault.cause.contains(expected) && !format!("{fault:?}").contains("hunter2"), "{fault:?}");
    }
}
