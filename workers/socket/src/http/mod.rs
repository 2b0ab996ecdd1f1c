//! The user's HTTP API, and the session in single requests.
//!
//! | file | what |
//! |---|---|
//! | `poll.rs` | `GET /v1/poll`: a session in single requests |
//! | `inbox.rs` | inbox, its categories, and receipts |
//! | `inbox_query.rs` | which alerts of an inbox are asked for |
//! | `topics.rs` | the kept events of a topic |
//! | `devices.rs` | push registrations of phones and browsers |
//! | `activities.rs` | the Live Activities that phones show |
//! | `preferences.rs` | the preferences of a user |
//! | `push_receipts.rs` | what devices say by the tokens of pushes |
//! | `unsubscribe.rs` | the links of emails, which need no login |
//! | `answer_links.rs` | the links by which alerts are answered, likewise |
//! | `link_page.rs` | the pages that such links lead to |
//! | `mounts.rs` | streams under a team's own addresses |
//! | `routes.rs` | every route, and the parts that handlers may ask for |
//! | `answers.rs` | what is answered, as JSON |
//! | `openapi.rs` `asyncapi.rs` | the HTTP API and the session protocol, for machines |

pub(crate) mod activities;
pub(crate) mod answer_links;
pub(crate) mod answers;
pub(crate) mod asyncapi;
pub(crate) mod devices;
pub(crate) mod inbox;
pub(crate) mod inbox_query;
mod link_page;
pub(crate) mod mounts;
pub(crate) mod openapi;
pub(crate) mod poll;
pub(crate) mod preferences;
pub(crate) mod push_receipts;
pub(crate) mod routes;
pub(crate) mod topics;
pub(crate) mod unsubscribe;
