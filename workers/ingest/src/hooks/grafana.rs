//! Grafana's contact point of the type "Webhook"
//! (<https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/>).
//!
//! It has the shape of Alertmanager's webhook, with `version` "1", addresses of panels and dashboards, and values.

use jiff::Timestamp;
use serde_json::Value;
use watchbell::wire::Problem;

use super::{About, alertmanager, report::Post};

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "grafana",
    summary: "Grafana's contact point \"Webhook\"",
    description: "As Alertmanager's webhook, with the addresses of panels and dashboards.",
    payload: alertmanager::payload,
};

/// What Grafana posts.
///
/// # Errors
/// As for Alertmanager.
pub fn read(payload: &Value, now: Timestamp) -> Result<Post, Problem> {
    alertmanager::read_as("grafana", payload, now)
}
