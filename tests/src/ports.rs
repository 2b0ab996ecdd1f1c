//! Free ports on 127.0.0.1, each given out once in a process.
//!
//! They are below 32768, where Linux starts the ports of outgoing connections: a broker that
//! comes back after a kill must get its old port again, and a connection may have taken it.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::bail;

const FIRST: u32 = 10_240;
const COUNT: u32 = 32_000 - FIRST;
/// Test processes run side by side start this far apart, so that they rarely try the same port.
const PER_PROCESS: u32 = 64;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port nobody listens on now, and that this process has not been given before.
///
/// # Errors
/// When every port of the range has been tried.
pub fn free() -> anyhow::Result<u16> {
    let start = process::id().wrapping_mul(PER_PROCESS);
    loop {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        if taken >= COUNT {
            bail!("no free port between {FIRST} and {}", FIRST + COUNT);
        }
        let port = FIRST + start.wrapping_add(taken) % COUNT;
        let port = u16::try_from(port).expect("the range ends below 32768");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_given_out_once_and_is_never_an_outgoing_one() {
        let ports: Vec<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert!(ports.iter().all(|port| (10_240..32_000).contains(port)), "{ports:?}");
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let next = free().unwrap() + 1;
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        assert_ne!(free().unwrap(), next);
    }
}
