//! Traces: one alert is one trace, from its producer to the provider, as a collector is told of it; and whatever the collector does, alerts
//! do not notice.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    amqp::{Properties, Published, RawAmqp, RawMessage, long, place, table, value},
    client::{Asks, Transport},
    collector::{Mood, OtlpCollector, SeenSpan},
    fleet::{Engine, Fleet},
    requests::answer,
    scrape::Scrape,
    scratch::Scratch,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
/// Before push and before email, in milliseconds.
const WAITS: (u64, u64) = (100, 300);
const TOKEN: &str = "a-token-of-the-collector";
const NEXT_TOKEN: &str = "the-next-token-of-the-collector";

/// A producer's place in a trace of its own.
struct Producer {
    trace: String,
    span: String,
}

impl Producer {
    fn number(n: u8) -> Self {
        Self { trace: format!("{n:02x}").repeat(16), span: format!("{n:02x}").repeat(8) }
    }

    fn traceparent(&self, flags: &str) -> String {
        format!("00-{}-{}-{flags}", self.trace, self.span)
    }
}

async fn send(fleet: &Fleet, alert: &Value, headers: &[(&str, &str)]) -> anyhow::Result<String> {
    let url = format!("{}/v1/alerts", fleet.url("ingest")?);
    let mut request = fleet.http().request(Method::POST, url).bearer_auth(fleet.key()).json(alert);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, answer) = answer(request).await?;
    ensure!(status == 202, "answered {status}: {answer}");
    Ok(answer["id"].as_str().unwrap_or_default().to_owned())
}

/// The one span of this name in these.
fn one<'a>(spans: &'a [SeenSpan], name: &str) -> anyhow::Result<&'a SeenSpan> {
    let named: Vec<&SeenSpan> = spans.iter().filter(|span| span.name == name).collect();
    ensure!(named.len() == 1, "{} spans are called {name}: {spans:#?}", named.len());
    Ok(named[0])
}

/// The spans below a producer.
fn spans_of(collector: &OtlpCollector, producer: &Producer) -> Vec<SeenSpan> {
    collector.spans().into_iter().filter(|span| span.trace == producer.trace).collect()
}

fn attributes(span: &SeenSpan, expected: &[(&str, &str)]) -> anyhow::Result<()> {
    for (name, value) in expected {
        let found = span.attributes.get(*name).map(String::as_str);
        ensure!(found == Some(*value), "{name} of {} is {found:?}, not {value}", span.name);
    }
    Ok(())
}

#[tokio::test]
async fn one_alert_is_one_trace_through_real_services() {
    let collector = OtlpCollector::start().await.unwrap();
    let endpoint = collector.endpoint();
    let secrets = Scratch::new("traces").unwrap();
    let token_file = secrets.path().join("headers");
    std::fs::write(&token_file, format!("authorization=Bearer {TOKEN}")).unwrap();
    let env = [
        ("WATCHBELL__TRACING__ENDPOINT", endpoint.as_str()),
        ("WATCHBELL__TRACING__HEADERS_FILE", token_file.to_str().unwrap()),
        ("WATCHBELL__TRACING__SAMPLE_RATIO", "0"),
        ("WATCHBELL__TRACING__BATCH_WAIT", "20ms"),
    ];
    let fleet = Fleet::start(Engine::Services, WAITS, &env).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let mut session = fleet.session("socket-1", "ana", None).await.unwrap();

    // Nobody decided about the first, the second was decided against, and the third names no trace: none of them is in one.
    let untraced = Producer::number(0x11);
    let alert = json!({"to": {"users": ["ana"]}, "title": "a disk is full"});
    let mut others = vec![send(&fleet, &alert, &[]).await.unwrap()];
    let unwanted = untraced.traceparent("00");
    others.push(send(&fleet, &alert, &[("traceparent", &unwanted)]).await.unwrap());
    others.push(send(&fleet, &alert, &[("traceparent", "00-no-trace-01")]).await.unwrap());

    let producer = Producer::number(0xab);
    let traceparent = producer.traceparent("01");
    let id =
        send(&fleet, &alert, &[("traceparent", &traceparent), ("tracestate", "vendor=7")]).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 4 {
        let frame = session.next().await.unwrap();
        if frame["type"] == "alert" {
            told.push(frame.to_string());
        }
    }
    // A span is told when it ends, and those below it before it.
    let mut missing = String::new();
    let whole = until("the whole trace", DEADLINE, async || {
        let spans = spans_of(&collector, &producer);
        let connected = is_connected(&spans, &collector, &producer, &id);
        connected.map_err(|error| missing = format!("{error:#}")).ok()
    });
    whole.await.unwrap_or_else(|error| panic!("{error:#}: {missing}"));

    // What is refused has its span, and says so.
    parked_over_amqp(&fleet, &collector).await.unwrap();

    // Nobody outside is given it, and nothing else was traced.
    for text in told
        .iter()
        .chain(&fleet.all_arrivals().await.unwrap().iter().map(Value::to_string).collect::<Vec<_>>())
    {
        assert!(!text.contains(&producer.trace) && !text.contains("traceparent"), "{text}");
    }
    for span in collector.spans() {
        assert_eq!(span.service, "watchbell");
        let about = span.attributes.get("watchbell.alert.id");
        assert!(about.is_none_or(|about| !others.contains(about)), "{span:?}");
        let text = format!("{span:?}");
        assert!(!text.contains("disk is full") && !text.contains("ana"), "{text}");
    }
    assert!(collector.authorized().iter().all(|it| *it == format!("Bearer {TOKEN}")));
    // Lines of the log are found by the trace, and do not have the collector's token.
    let logs = fleet.logs();
    assert!(logs.iter().all(|(_, text)| !text.contains(TOKEN)));
    let of_fallback: String =
        logs.iter().filter(|(name, _)| *name == "fallback").map(|(_, it)| it.as_str()).collect();
    let attempts = of_fallback.lines().filter(|line| line.contains("ended: accepted"));
    let traced: Vec<&str> =
        attempts.filter(|line| line.contains(&format!("trace_id={}", producer.trace))).collect();
    assert_eq!(traced.len(), 2, "{of_fallback}");

    a_collector_is_given_its_next_token(&fleet, &collector, &token_file).await.unwrap();
    an_event_is_followed_to_its_subscriber(&fleet, &collector).await.unwrap();
}

/// What each worker sends from then on has the token that is in the file now.
async fn a_collector_is_given_its_next_token(
    fleet: &Fleet,
    collector: &OtlpCollector,
    token_file: &Path,
) -> anyhow::Result<()> {
    std::fs::write(token_file, format!("authorization=Bearer {NEXT_TOKEN}"))?;
    let producer = Producer::number(0xef);
    let traceparent = producer.traceparent("01");
    let alert = json!({"to": {"users": ["ana"]}, "title": "a disk is full"});
    until("spans to come with the next token", DEADLINE, async || {
        send(fleet, &alert, &[("traceparent", &traceparent)]).await.ok()?;
        collector.authorized().contains(&format!("Bearer {NEXT_TOKEN}")).then_some(())
    })
    .await
}

/// An event of a topic, from its producer to the connection of whoever follows that topic.
async fn an_event_is_followed_to_its_subscriber(
    fleet: &Fleet,
    collector: &OtlpCollector,
) -> anyhow::Result<()> {
    let asks = Asks { topics: vec!["stats".to_owned()], ..fleet.asks("reader", &["stats"])? };
    let mut session = fleet.client(Transport::WebSocket, "socket-1", &asks).await?;
    session.next_of("snapshot").await?;
    let producer = Producer::number(0x5e);
    let url = format!("{}/v1/topics/stats/events", fleet.url("ingest")?);
    let request =
        fleet.http().post(url).bearer_auth(fleet.key()).header("traceparent", producer.traceparent("01"));
    let (status, said) = answer(request.json(&json!({"type": "count", "data": {"number": 1}}))).await?;
    ensure!(status == 202, "answered {status}: {said}");
    session.next_of("event").await?;
    let mut missing = String::new();
    let whole = until("the trace of the event", DEADLINE, async || {
        let spans = spans_of(collector, &producer);
        is_written(&spans).map_err(|error| missing = format!("{error:#}")).ok()
    });
    whole.await.with_context(|| missing)
}

fn is_written(spans: &[SeenSpan]) -> anyhow::Result<()> {
    let dispatch = one(spans, "process watchbell.dispatch")?;
    let live = one(spans, "process watchbell.live")?;
    ensure!(live.parent == dispatch.id, "{live:?}");
    attributes(live, &[("watchbell.tenant", "acme")])?;
    let write = one(spans, "write frame")?;
    ensure!(write.parent == live.id, "{write:?}");
    Ok(())
}

/// Each span of the trace stands below the one that it comes from, and says what it is about.
fn is_connected(
    spans: &[SeenSpan],
    collector: &OtlpCollector,
    producer: &Producer,
    id: &str,
) -> anyhow::Result<()> {
    let about = [("watchbell.tenant", "acme"), ("watchbell.alert.id", id)];
    let request = one(spans, "POST /v1/alerts")?;
    ensure!(request.parent == producer.span && request.kind == 2, "{request:?}");
    ensure!(request.state == "vendor=7", "{request:?}");
    attributes(
        request,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/v1/alerts"),
            ("http.response.status_code", "202"),
        ],
    )?;
    let publish = one(spans, "send watchbell.alerts")?;
    ensure!(publish.parent == request.id && publish.kind == 4, "{publish:?}");
    attributes(
        publish,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "watchbell.alerts"),
        ],
    )?;
    let dispatch = one(spans, "process watchbell.dispatch")?;
    ensure!(dispatch.parent == publish.id && dispatch.kind == 5 && !dispatch.is_error, "{dispatch:?}");
    ensure!(dispatch.state == "vendor=7", "the state goes along: {dispatch:?}");
    attributes(dispatch, &about)?;

    // A batch is a trace of its own, and both know of each other.
    let everything = collector.spans();
    let linked = |span: &&SeenSpan| dispatch.links.contains(&(span.trace.clone(), span.id.clone()));
    let batch = everything.iter().find(linked).context("the batch that dispatch is linked to")?;
    ensure!(batch.name == "record alerts" && batch.parent.is_empty(), "{batch:?}");
    ensure!(batch.trace != dispatch.trace, "{batch:?}");
    ensure!(batch.links.contains(&(dispatch.trace.clone(), dispatch.id.clone())), "{batch:?}");

    let live = one(spans, "process watchbell.live")?;
    ensure!(live.parent == dispatch.id && live.kind == 5, "{live:?}");
    let write = one(spans, "write frame")?;
    ensure!(write.parent == live.id, "{write:?}");

    let by_id: BTreeMap<&str, &SeenSpan> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    for (name, channel, provider) in [("attempt push", "push", "apns"), ("attempt email", "email", "email")] {
        let attempt = one(spans, name)?;
        ensure!(attempt.kind == 3 && !attempt.is_error, "{attempt:?}");
        attributes(attempt, &about)?;
        let said = [
            ("watchbell.channel", channel),
            ("watchbell.provider", provider),
            ("watchbell.attempt.kind", "alert"),
            ("watchbell.attempt.try", "1"),
            ("watchbell.attempt.outcome", "accepted"),
        ];
        attributes(attempt, &said)?;
        let run = by_id.get(attempt.parent.as_str()).context("the run of the escalation")?;
        ensure!(run.name == "process watchbell.undelivered" && run.kind == 5, "{run:?}");
        let due = by_id.get(run.parent.as_str()).context("the escalation that was due")?;
        ensure!(due.name == "send watchbell.undelivered" && due.kind == 4, "{due:?}");
        ensure!(due.parent == dispatch.id, "{due:?}");
        ensure!(due.attributes.contains_key("watchbell.timer.lateness_ms"), "{due:?}");
    }
    Ok(())
}

/// A message of AMQP with a trace, under a policy that there is not.
async fn parked_over_amqp(fleet: &Fleet, collector: &OtlpCollector) -> anyhow::Result<()> {
    let producer = Producer::number(0xcd);
    let urls = fleet.urls.as_ref().context("a fleet of services")?;
    let mut amqp = RawAmqp::connect(&urls.broker).await?;
    let alert = json!({"tenant": "acme", "to": {"users": ["ana"]}, "title": "t", "policy": "nobody-has-it"});
    let traceparent = value(b'S', &long(producer.traceparent("01").as_bytes()));
    let properties = Properties::default()
        .text(place::CONTENT_TYPE, b"application/json")
        .with(place::HEADERS, table(&[(b"traceparent", traceparent)]))
        .text(place::MESSAGE_ID, b"refused-1");
    let message = RawMessage { properties: properties.encode(), body: alert.to_string().into_bytes() };
    ensure!(amqp.publish(b"watchbell.alerts", b"", &message).await? == Published::Confirmed, "not confirmed");
    let spans = until("the span of what is refused", DEADLINE, async || {
        Some(spans_of(collector, &producer)).filter(|spans| !spans.is_empty())
    })
    .await?;
    let refused = one(&spans, "process watchbell.dispatch")?;
    ensure!(refused.is_error && refused.parent == producer.span, "{refused:?}");
    attributes(
        refused,
        &[
            ("error.type", "refused"),
            ("watchbell.refused.field", "policy"),
            ("messaging.message.id", "refused-1"),
            ("messaging.destination.name", "watchbell.alerts:watchbell.dispatch"),
        ],
    )
}

#[tokio::test]
async fn whatever_the_collector_does_alerts_go_on_and_lost_spans_are_counted() {
    let collector = OtlpCollector::start().await.unwrap();
    let endpoint = collector.endpoint();
    let env = [
        ("WATCHBELL__TRACING__ENDPOINT", endpoint.as_str()),
        ("WATCHBELL__TRACING__SAMPLE_RATIO", "1"),
        ("WATCHBELL__TRACING__BATCH_WAIT", "10ms"),
        ("WATCHBELL__TRACING__BATCH_MAX", "2"),
        ("WATCHBELL__TRACING__QUEUE_MAX", "2"),
        // Longer than this test: whoever waited for the collector would be seen to.
        ("WATCHBELL__TRACING__TIMEOUT", "60s"),
        ("WATCHBELL__TRACING__FLUSH_TIMEOUT", "100ms"),
    ];
    let mut fleet = Fleet::start(Engine::Embedded, WAITS, &env).await.unwrap();
    fleet.furnish("ana").await.unwrap();
    let mut sent = 0;
    until("a message to be traced", DEADLINE, async || {
        fleet.send(&json!({"to": {"users": ["ana"]}, "title": "a disk is full"})).await.ok()?;
        sent += 1;
        let mut systems =
            collector.spans().into_iter().filter_map(|mut it| it.attributes.remove("messaging.system"));
        systems.next_back().map(|system| assert_eq!(system, "watchbell"))
    })
    .await
    .unwrap();
    for (mood, outcome) in [
        (Mood::Takes, "exported"),
        (Mood::Refuses, "failed"),
        (Mood::HangsUp, "failed"),
        (Mood::Stalls, "overflowed"),
    ] {
        collector.be(mood);
        let before = spans_counted(&fleet, outcome).await.unwrap();
        until("spans to be counted", DEADLINE, async || {
            let alert = json!({"to": {"users": ["ana"]}, "title": "a disk is full"});
            fleet.send(&alert).await.ok()?;
            sent += 1;
            (spans_counted(&fleet, outcome).await.ok()? > before).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{mood:?}, {outcome}: {error:#}"));
    }
    // Each of them reached the inbox and the phone.
    until("every alert to be there", DEADLINE, async || {
        let rows = fleet.inbox("ana").await.ok()?.len();
        let pushed = fleet.arrivals("ana").await.ok()?;
        let pushed = pushed.iter().filter(|arrival| arrival["kind"] == "apns").count();
        (rows == sent && pushed >= sent).then_some(())
    })
    .await
    .unwrap();
    // The end waits for the collector no longer than it is told to: a request under way has a minute.
    let up = fleet.worker("up").unwrap();
    up.terminate();
    assert!(up.wait_exit(Duration::from_secs(40)).await.unwrap().success());
    let log = fleet.logs().remove(0).1;
    assert_eq!(log.matches("Traces do not reach the collector").count(), 1, "{log}");
    assert!(log.contains("are lost"), "{log}");
}

async fn spans_counted(fleet: &Fleet, outcome: &str) -> anyhow::Result<f64> {
    let url = format!("{}/metrics", fleet.url("up")?);
    let scrape = Scrape::of(&fleet.http().get(url).send().await?.text().await?)?;
    Ok(scrape.sum("watchbell_tracing_spans_total", &[("outcome", outcome)]))
}
