//! Hooks: addresses that take other products' alerts in those products' own form.
//!
//! A hook is one pure function from a payload to a [`Post`](report::Post), in a file of its own, and one line in
//! [`HOOKS`]. Everything else is the same for all of them: leniency in [`lenient`] and [`fit`], whom an alert is for in
//! [`plan`] and [`route`], what is news in [`follow`], HTTP in [`accept`].
//!
//! What holds here:
//! - What can be taken is taken, the rest is told, and the answer says so for each alert (I13). 4xx is only for a post of
//!   which nothing can be told to anybody.
//! - An alert is what its source says it is, however it was posted: a second post of it is a repetition, a change or its
//!   end, never a second alert (I2).

pub mod accept;
mod alertmanager;
mod config;
mod configured;
mod datadog;
mod fit;
mod follow;
mod github;
mod grafana;
mod lenient;
mod matcher;
mod mend;
mod nobody;
pub mod pagerduty;
mod plan;
mod query;
mod report;
mod route;
mod sentry;
mod settle;
mod shape;
mod spread;
mod tell;
mod try_out;
mod uptime_kuma;

use jiff::Timestamp;
use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use watchbell::wire::Problem;

pub use config::{HookAudienceConfig, HookConfig, OneOrSeveral, RouteConfig, check_hooks};
pub use configured::ConfiguredHooks;
pub use plan::Outcome;
pub use report::NOTES;
pub use route::Routes;
pub use spread::spread;
pub use try_out::{Setting, planned, routes_of_sample, try_out};

use report::Post;

/// A product whose alerts are read here.
pub struct Hook {
    /// The last part of its address.
    pub name: &'static str,
    /// Its address.
    pub path: &'static str,
    /// What a payload says.
    read: fn(&Value, Timestamp) -> Result<Post, Problem>,
    /// What the OpenAPI document says of it.
    pub about: About,
}

/// What the OpenAPI document says of a product's hook.
pub struct About {
    /// Its name for programs.
    pub operation: &'static str,
    /// What it takes.
    pub summary: &'static str,
    /// What becomes of it.
    pub description: &'static str,
    /// What a payload looks like.
    pub payload: fn() -> ObjectBuilder,
}

impl Hook {
    /// What was posted to it.
    ///
    /// # Errors
    /// 422 for another product's payload, and for one that says nothing.
    pub fn read(&self, payload: &Value, now: Timestamp) -> Result<Post, Problem> {
        shape::expect(self.name, payload)?;
        (self.read)(payload, now)
    }
}

/// Every product with a hook of this shape. PagerDuty's has a key in its body and an answer of its own.
pub static HOOKS: [Hook; 6] = [
    Hook {
        name: "alertmanager",
        path: "/v1/hooks/alertmanager",
        read: alertmanager::read,
        about: alertmanager::ABOUT,
    },
    Hook { name: "grafana", path: "/v1/hooks/grafana", read: grafana::read, about: grafana::ABOUT },
    Hook { name: "sentry", path: "/v1/hooks/sentry", read: sentry::read, about: sentry::ABOUT },
    Hook {
        name: "uptime-kuma",
        path: "/v1/hooks/uptime-kuma",
        read: uptime_kuma::read,
        about: uptime_kuma::ABOUT,
    },
    Hook { name: "datadog", path: "/v1/hooks/datadog", read: datadog::read, about: datadog::ABOUT },
    Hook { name: "github", path: "/v1/hooks/github", read: github::read, about: github::ABOUT },
];

/// A payload of which no more is said than this.
fn object(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).description(Some(about))
}
