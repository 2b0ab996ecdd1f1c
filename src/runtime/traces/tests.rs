#![allow(clippy::unwrap_used)]

use opentelemetry_sdk::trace::SpanData;

use super::{queue::EndedSpans, span_table::*, tracer::Tracer, *};

const PRODUCER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn settings() -> TracerSettings {
    TracerSettings {
        sample_ratio: 0.5,
        follow_producers: true,
        queue_max: 2,
        user_ids: false,
        messaging_system: "rabbitmq",
    }
}

fn attribute(span: &SpanData, attribute: &Attribute) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == attribute.name);
    found.map(|pair| pair.value.to_string())
}

fn drained(mut spans: EndedSpans) -> Vec<SpanData> {
    let mut all = Vec::new();
    spans.fill(&mut all, 100);
    all
}

/// No test of this package installs a tracer.
#[test]
fn without_a_tracer_nothing_is_worked_out_or_held() {
    assert!(!is_on());
    let mut span = first(&DISPATCH, || panic!("no name"), || panic!("no header is read"));
    span.tell(|_| panic!("nothing is told"));
    span.link_to(&TraceContext::parse(PRODUCER, None).unwrap());
    let mut headers = BTreeMap::new();
    span.carry_in(&mut headers);
    assert_eq!((headers.len(), span.is_open(), span.context()), (0, false, None));
    assert!(span.log().is_disabled());
    headers.insert(TRACEPARENT.to_owned(), PRODUCER.to_owned());
    assert_eq!(context_of(&headers), None);
    // What every alert, frame and message in hand has of it.
    assert_eq!(size_of::<Span>(), size_of::<usize>());
}

#[test]
fn who_knows_first_decides() {
    let (tracer, _spans) = Tracer::new(settings());
    let (deaf, _spans) = Tracer::new(TracerSettings { follow_producers: false, ..settings() });
    for (why, tracer, producer, chance, expected) in [
        ("its producer wants it", &tracer, Some(true), 0.9, true),
        ("its producer does not", &tracer, Some(false), 0.1, false),
        ("nobody says, and it is drawn", &tracer, None, 0.4, true),
        ("nobody says, and it is not drawn", &tracer, None, 0.5, false),
        ("producers are not asked", &deaf, Some(true), 0.9, false),
        ("producers are not asked, and it is drawn", &deaf, Some(false), 0.1, true),
    ] {
        assert_eq!(tracer.samples(producer, || chance), expected, "{why}");
    }
}

#[test]
fn a_span_says_where_it_belongs_and_what_it_is() {
    let (tracer, spans) = Tracer::new(settings());
    let producer = TraceContext::parse(PRODUCER, Some("congo=t61")).unwrap();
    let mut span = Span::begin(&tracer, &DISPATCH, DISPATCH.name.into(), Some(&producer));
    let own = span.context().unwrap().clone();
    assert_eq!((own.trace_id, own.tracestate()), (producer.trace_id, Some("congo=t61")));
    assert!(own.is_sampled() && own.span_id != producer.span_id);
    span.tell(|told| {
        told.say(&TENANT, "acme").say(&ALERT, "a");
    });
    span.fail("refused");
    let mut headers = BTreeMap::from([(TRACEPARENT.to_owned(), PRODUCER.to_owned())]);
    span.carry_in(&mut headers);
    assert_eq!(carried_in(&headers), Some(own));
    drop(span);

    let [span] = drained(spans).try_into().unwrap();
    assert_eq!(span.name, "process watchbell.dispatch");
    assert_eq!(u64::from_be_bytes(span.parent_span_id.to_bytes()), producer.span_id);
    assert_eq!(attribute(&span, &TENANT).as_deref(), Some("acme"));
    assert_eq!(attribute(&span, &MESSAGING_SYSTEM).as_deref(), Some("rabbitmq"));
    assert_eq!(attribute(&span, &DESTINATION).as_deref(), Some("watchbell.alerts:watchbell.dispatch"));
    assert_eq!(attribute(&span, &ERROR_TYPE).as_deref(), Some("refused"));
    assert!(matches!(span.status, opentelemetry::trace::Status::Error { .. }));
}

#[test]
fn a_person_is_named_only_where_that_is_wanted() {
    let named = |user_ids, id: &str| {
        let (tracer, spans) = Tracer::new(TracerSettings { user_ids, ..settings() });
        let user = crate::domain::UserId::parse(id).unwrap();
        let mut span = Span::begin(&tracer, &DUE, DUE.name.into(), None);
        span.tell(|told| {
            told.user(&user);
        });
        drop(span);
        attribute(&drained(spans)[0], &USER)
    };
    assert_eq!(named(false, "ana"), None);
    assert!(named(true, "ana").unwrap().contains("ana"));
    assert!(!named(true, "ana@example.com").unwrap().contains("example.com"), "an address does not print");
}

#[test]
fn whoever_ends_a_span_never_waits_and_what_does_not_fit_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let (tracer, spans) = Tracer::new(settings());
    metrics::with_local_recorder(&recorder, || {
        for _ in 0..5 {
            drop(Span::begin(&tracer, &RECORD, RECORD.name.into(), None));
        }
    });
    assert_eq!(spans.waiting(), 2);
    let counted = r#"watchbell_tracing_spans_total{outcome="overflowed"} 3"#;
    assert!(handle.render().contains(counted), "{}", handle.render());
}
