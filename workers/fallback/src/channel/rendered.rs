//! A message as it would be made now, for an operator to look at. It is not sent.

/// A message, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMessage {
    /// By which provider it would go, as in logs and metrics.
    pub provider: &'static str,
    /// What it is, or why the provider would not be given it.
    pub form: Result<RenderedForm, String>,
}

/// What a provider is given.
#[derive(Clone, PartialEq, Eq)]
pub enum RenderedForm {
    /// A mail, of which the mailbox shows these.
    Mail {
        /// Its subject.
        subject: String,
        /// Its body as plain text.
        text: String,
        /// Its body as a page.
        html: String,
    },
    /// The JSON of a push.
    Payload(String),
}

/// Without what it says (I12).
impl std::fmt::Debug for RenderedForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mail { .. } => "a mail",
            Self::Payload(_) => "a payload",
        })
    }
}
