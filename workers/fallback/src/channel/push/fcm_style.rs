//! How messages of Google's look, as the operator chose it.

use std::collections::BTreeMap;

use watchbell::domain::Severity;

/// How apps want their messages.
#[derive(Debug, Clone, Default)]
pub struct FcmStyle {
    /// Whether messages have no `notification`, so that the app on Android is always asked and shows the alert itself.
    pub data_only: bool,
    /// The channel of Android's that alerts are shown in. None: the app's default one.
    pub channel_id: Option<String>,
    /// The same for alerts of one severity, by its word.
    pub channel_id_by_severity: BTreeMap<String, String>,
}

impl FcmStyle {
    pub(super) fn channel(&self, severity: Severity) -> Option<&str> {
        let own = self.channel_id_by_severity.get(severity.as_str());
        own.or(self.channel_id.as_ref()).map(String::as_str)
    }
}
