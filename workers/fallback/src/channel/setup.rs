//! What the constructors of the channels share.

use std::{path::Path, time::Duration};

use anyhow::Context as _;

/// The bound of one call to a provider.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a section's `trust_root_file` holds.
pub(super) fn trust_root(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    file.map(|file| {
        std::fs::read_to_string(file)
            .with_context(|| format!("trust_root_file {} cannot be read", file.display()))
    })
    .transpose()
}
