//! What `up` leaves in its folder, so that other commands find the demo.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// `DIR/demo.json`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Demo {
    /// The one address.
    pub(crate) url: String,
    /// Where commands that read this file reach the fleet, if not there: they may run in a container beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<String>,
    /// The address to open in a browser, which lets in once.
    #[serde(default)]
    pub(crate) page: String,
    /// The simulator's own address.
    pub(crate) simulator: String,
    /// To publish with.
    pub(crate) producer_key: String,
    /// Who there is.
    pub(crate) users: Vec<DemoUser>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DemoUser {
    pub(crate) user: String,
    pub(crate) token: String,
    pub(crate) email: String,
    pub(crate) device: String,
}

impl Demo {
    /// Where commands that read this file reach the fleet.
    pub(crate) fn reached_at(&self) -> &str {
        self.reach.as_deref().unwrap_or(&self.url)
    }

    /// Reads what a running (or stopped) `up` left in its folder.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("demo.json");
        let text = fs::read(&file).with_context(|| {
            format!(
                "{} cannot be read: run `watchbell up`, give its folder as `--data` if it has another one, or give --url and a key or \
                 token",
                file.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not what `up` writes", file.display()))
    }
}
