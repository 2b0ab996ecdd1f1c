//! Whose payload it is, told by its shape: one that was posted to another product's hook would be read as nonsense, and
//! its ends would end nothing. So it is refused, and the refusal names the right address. Pure.

use serde_json::Value;
use watchbell::wire::Problem;

use super::lenient::{at, text};

/// What a product's payloads look like.
struct Shape {
    /// The name of the hook.
    hook: &'static str,
    /// What the payload is called in the refusal.
    called: &'static str,
    /// Where it belongs.
    address: &'static str,
    is: fn(&Value) -> bool,
}

/// In the order of how much they say: the first that fits names the payload.
static SHAPES: [Shape; 8] = [
    Shape {
        hook: "pagerduty",
        called: "PagerDuty's Events API",
        address: "/v1/hooks/pagerduty",
        is: is_pagerduty,
    },
    Shape { hook: "github", called: "GitHub", address: "/v1/hooks/github", is: is_github },
    Shape { hook: "sentry", called: "Sentry", address: "/v1/hooks/sentry", is: is_sentry },
    Shape {
        hook: "uptime-kuma",
        called: "Uptime Kuma",
        address: "/v1/hooks/uptime-kuma",
        is: is_uptime_kuma,
    },
    Shape { hook: "datadog", called: "Datadog", address: "/v1/hooks/datadog", is: is_datadog },
    Shape { hook: "grafana", called: "Grafana", address: "/v1/hooks/grafana", is: is_grafana },
    Shape {
        hook: "alertmanager",
        called: "Alertmanager",
        address: "/v1/hooks/alertmanager",
        is: is_alertmanager,
    },
    Shape { hook: "", called: "Watchbell itself", address: "/v1/alerts", is: is_own },
];

/// Refuses what is another product's. What fits the product itself, or none that is known, is left to its reader.
///
/// # Errors
/// 422, with the address where it belongs.
pub fn expect(hook: &str, payload: &Value) -> Result<(), Problem> {
    let is_its_own = SHAPES.iter().any(|shape| shape.hook == hook && (shape.is)(payload));
    if is_its_own
        || (hook == "grafana" && is_alertmanager(payload))
        || (hook == "alertmanager" && is_grafana(payload))
    {
        return Ok(());
    }
    match SHAPES.iter().find(|shape| (shape.is)(payload)) {
        Some(Shape { called, address, .. }) => {
            Err(Problem::invalid("body", format!("has the shape of {called}: post it to {address}")))
        }
        None => Ok(()),
    }
}

fn has(payload: &Value, fields: &[&str]) -> bool {
    fields.iter().all(|field| payload.get(field).is_some())
}

fn is_pagerduty(payload: &Value) -> bool {
    text(payload, "event_action").is_some()
        && ["routing_key", "dedup_key", "payload"].iter().any(|field| at(payload, field).is_some())
}

fn is_github(payload: &Value) -> bool {
    at(payload, "workflow_run").is_some()
        || (at(payload, "repository.full_name").is_some() && at(payload, "sender").is_some())
        || has(payload, &["zen", "hook_id"])
}

fn is_sentry(payload: &Value) -> bool {
    let told = ["data.event", "data.issue", "data.metric_alert"];
    told.iter().any(|path| at(payload, path).is_some_and(Value::is_object))
        || (at(payload, "event").is_some_and(Value::is_object) && has(payload, &["project", "level"]))
}

fn is_uptime_kuma(payload: &Value) -> bool {
    has(payload, &["heartbeat", "monitor", "msg"])
}

/// What people write into it is up to them; these are Datadog's variables, and its default payload.
fn is_datadog(payload: &Value) -> bool {
    ["alert_transition", "alert_cycle_key", "aggreg_key"].iter().any(|field| at(payload, field).is_some())
        || has(payload, &["event_type", "last_updated", "title"])
}

fn is_grafana(payload: &Value) -> bool {
    is_alertmanager(payload) && (has(payload, &["orgId"]) || has(payload, &["state", "title"]))
}

fn is_alertmanager(payload: &Value) -> bool {
    at(payload, "alerts").is_some_and(Value::is_array)
}

fn is_own(payload: &Value) -> bool {
    at(payload, "to").is_some_and(Value::is_object) && at(payload, "title").is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    macro_rules! payload {
        ($name:literal) => {
            serde_json::from_str::<Value>(include_str!(concat!(
                "../../../../tests/fixtures/producers/",
                $name
            )))
            .unwrap()
        };
    }

    /// Every product's payloads at every hook.
    #[test]
    fn a_payload_is_taken_at_its_own_hook_and_named_at_every_other() {
        let payloads = [
            ("alertmanager", payload!("alertmanager/firing.json")),
            ("grafana", payload!("grafana/resolved.json")),
            ("sentry", payload!("sentry/event_alert.json")),
            ("sentry", payload!("sentry/issue_resolved.json")),
            ("sentry", payload!("sentry/metric_alert.json")),
            ("sentry", payload!("sentry/plugin.json")),
            ("uptime-kuma", payload!("uptime-kuma/down.json")),
            ("uptime-kuma", payload!("uptime-kuma/test.json")),
            ("datadog", payload!("datadog/default_recovered.json")),
            ("datadog", payload!("datadog/recommended.json")),
            ("github", payload!("github/failure.json")),
            ("github", payload!("github/ping.json")),
            ("pagerduty", payload!("pagerduty/trigger.json")),
            ("pagerduty", payload!("pagerduty/resolve.json")),
        ];
        let family = |product: &str| if product == "grafana" { "alertmanager" } else { product }.to_owned();
        for (product, payload) in &payloads {
            for hook in ["alertmanager", "grafana", "sentry", "uptime-kuma", "datadog", "github", "pagerduty"]
            {
                let found = expect(hook, payload).map_err(|problem| problem.detail.unwrap());
                match family(hook) == family(product) {
                    true => assert_eq!(found, Ok(()), "{product} at {hook}"),
                    false => {
                        let address = format!("post it to /v1/hooks/{product}");
                        assert!(
                            found.clone().is_err_and(|detail| detail.ends_with(&address)),
                            "{product} at {hook}: {found:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_known_shape_is_left_to_the_reader() {
        for payload in
            [json!({}), json!([]), json!(7), json!({"title": "x", "body": "y", "id": "1"}), Value::Null]
        {
            assert_eq!(expect("datadog", &payload), Ok(()), "{payload}");
        }
        let own = expect("datadog", &json!({"to": {"users": ["ana"]}, "title": "x"})).unwrap_err();
        assert_eq!(own.detail.unwrap(), "has the shape of Watchbell itself: post it to /v1/alerts");
    }
}
