//! What an operator sees of it: every alert and event is counted once, by what became of it.

use std::num::NonZeroU32;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};

use super::fixture::{Dispatch, Fixture};
use crate::limits::Limits;

/// The value of one counter, of all its outcomes.
fn counted(text: &str, metric: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    let mut all: Vec<String> = lines.map(|line| line.trim_start_matches(metric).to_owned()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn everything_is_counted_once_by_what_became_of_it() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let limits = Limits { publishes_in_flight_max: 7, ..Limits::default() };
    let fixture = Fixture::at_rate(Dispatch::Acks, limits, NonZeroU32::new(1)).await;
    let alerts = |number: usize| json!(vec![json!({"to": {"users": ["ana"]}, "title": "t"}); number]);
    let event = json!({"type": "t"});
    let topic = "/v1/topics/t/events";
    for (why, uri, body, status) in [
        ("refused", "/v1/alerts", json!({"title": "t"}), 422),
        ("refused", topic, json!({}), 422),
        ("more than fit at once", "/v1/alerts", alerts(4), 503),
    ] {
        assert_eq!(fixture.post(uri, body).await.status, status, "{why}");
    }
    // That request took its share of the rate: what is refused for another reason counts, or it could be repeated
    // without end.
    assert_eq!(fixture.post(topic, event.clone()).await.status, 503);
    let other = [("authorization", format!("Bearer {}", fixture.other_key))];
    let other = [("authorization", other[0].1.as_str())];
    for (uri, body) in [("/v1/alerts", alerts(2)), (topic, event)] {
        let answer = fixture.send("POST", uri, &other, Value::to_string(&body)).await;
        assert_eq!(answer.status, if uri == topic { 503 } else { 202 }, "{uri}");
    }
    let text = handle.render();
    assert_eq!(
        counted(&text, "watchbell_ingest_alerts_total"),
        ["{outcome=\"accepted\"} 2", "{outcome=\"busy\"} 4", "{outcome=\"invalid\"} 1"]
    );
    assert_eq!(
        counted(&text, "watchbell_ingest_events_total"),
        ["{outcome=\"invalid\"} 1", "{outcome=\"rate\"} 2"]
    );
    assert!(!text.contains(&fixture.key) && !text.contains(&fixture.other_key));
    let seconds = "watchbell_ingest_seconds_count{route=\"/v1/alerts\",status=\"202\"} 1";
    assert!(text.contains(seconds), "{text}");
}

#[tokio::test]
async fn a_tenant_beyond_its_rate_hears_when_to_come_again() {
    let fixture = Fixture::at_rate(Dispatch::Acks, Limits::default(), NonZeroU32::new(1)).await;
    let alerts = json!(vec![json!({"to": {"users": ["ana"]}, "title": "t"}); 5]);
    assert_eq!(fixture.post("/v1/alerts", &alerts).await.status, 202, "a request is taken whole");
    let answer = fixture.post("/v1/alerts", &alerts).await;
    let detail =
        "Your tenant publishes more alerts than it may (`ingest.rate_per_tenant`): none of these was.";
    assert_eq!(answer.problem(), (503, detail.into()), "never 429");
    assert_eq!(answer.headers["retry-after"], "4");
    let other = format!("Bearer {}", fixture.other_key);
    let answer = fixture.send("POST", "/v1/alerts", &[("authorization", &other)], alerts.to_string()).await;
    assert_eq!(answer.status, 202, "another tenant");
}
