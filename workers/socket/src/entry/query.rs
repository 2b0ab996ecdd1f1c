//! What the query of a stream or a poll may ask for.

use serde::Deserialize;
use watchbell::wire::frame::{Auth, Filter};

/// What may stand in the query. Not printed: it may hold a token.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct StreamQuery {
    token: Option<String>,
    pub(crate) cursor: Option<String>,
    /// Separated by commas, as all lists here.
    topics: Option<String>,
    types: Option<String>,
    sources: Option<String>,
    /// `name:value,name:value`
    labels: Option<String>,
    min_severity: Option<String>,
    /// Seconds a poll waits for something to tell.
    pub(crate) wait: Option<u64>,
}

impl StreamQuery {
    /// What the query asks for, in the words of an `auth` frame.
    pub(crate) fn auth(self) -> Auth {
        let list = |text: Option<String>| -> Vec<String> {
            text.iter()
                .flat_map(|text| text.split(','))
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()
        };
        // One without a name is refused where the filter is read.
        let label = |pair: String| {
            pair.split_once(':')
                .map_or_else(Default::default, |(name, value)| (name.to_owned(), value.to_owned()))
        };
        let filter = Filter {
            types: list(self.types),
            sources: list(self.sources),
            labels: list(self.labels).into_iter().map(label).collect(),
            min_severity: self.min_severity,
        };
        Auth {
            token: self.token,
            cursor: self.cursor,
            visibility: None,
            topics: list(self.topics),
            filter: (filter != Filter::default()).then_some(filter),
            batch: None,
        }
    }
}
