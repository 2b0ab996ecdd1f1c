//! Which process answers: figures are its own.

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Role;

/// Which process this is: the figures are its own.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessName {
    host: String,
    pid: u32,
    roles: Vec<&'static str>,
    version: &'static str,
    since: String,
}

impl ProcessName {
    /// This process, on a machine or a pod of this name.
    pub(crate) fn new(host: String, roles: &[Role], since: Timestamp) -> Self {
        Self {
            host,
            pid: std::process::id(),
            roles: roles.iter().map(|role| role.word()).collect(),
            version: env!("CARGO_PKG_VERSION"),
            since: since.to_string(),
        }
    }
}
