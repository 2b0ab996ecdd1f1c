//! What an operator sees at `/metrics`: everything that is declared and nothing else, with the numbers of what was done; the
//! rules and the dashboard ask for what is there; and nobody who uses the fleet can make more series of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    monitoring::{self, Declared},
    promql::{Matcher, Names, Selector, metric_of, names_in},
    scrape::Scrape,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
/// Before push and before email, in milliseconds: a push comes at once, an email never.
const WAITS: (u64, u64) = (100, 3_600_000);
/// What whoever scrapes adds to each series.
const FROM_OUTSIDE: [&str; 2] = ["job", "instance"];

async fn scrape(fleet: &Fleet) -> anyhow::Result<Scrape> {
    let url = format!("{}/metrics", fleet.operations_url("up")?);
    Scrape::of(&fleet.http().get(url).send().await?.text().await?)
}

/// A metric, labels of it, and how much it tells of them at the least.
type Expected<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Waits until the fleet has told as much of each of these.
async fn counted(fleet: &Fleet, expected: &[Expected<'_>]) -> anyhow::Result<Scrape> {
    let mut missing = String::new();
    let told = until("the fleet to have counted everything", DEADLINE, async || {
        let scrape = scrape(fleet).await.ok()?;
        let not_yet = |(name, labels, least): &&Expected<'_>| scrape.sum(name, labels) < *least;
        missing = format!("{:?}", expected.iter().filter(not_yet).collect::<Vec<_>>());
        (missing == "[]").then_some(scrape)
    })
    .await;
    told.with_context(|| missing.clone())
}

#[tokio::test]
async fn what_is_told_is_what_is_declared_and_what_is_asked_for_is_told() {
    let fleet = Fleet::start(Engine::Embedded, WAITS, &[]).await.unwrap();
    let fresh = scrape(&fleet).await.unwrap();
    let declared = monitoring::declared().unwrap();
    for (name, metric) in &declared {
        // Where all values are known, a counter is there before anything happens.
        if metric.kind == "counter" && metric.labels.values().all(Option::is_some) {
            assert!(fresh.names().contains(name.as_str()), "{name} does not begin at zero");
        }
    }

    fleet.furnish("ana").await.unwrap();
    let mut session = fleet.session("socket-1", "ana", None).await.unwrap();
    let alert = json!({"to": {"users": ["ana"]}, "severity": "critical", "title": "disk 99 %"});
    let id = fleet.send(&alert).await.unwrap();
    while session.next().await.unwrap()["type"] != "alert" {}
    let pushed = [("watchbell_fallback_provider_calls_total", &[("outcome", "accepted")][..], 1.0)];
    counted(&fleet, &pushed).await.unwrap();
    let receipt = json!({"alerts": [id], "state": "seen"});
    fleet.user("ana", Method::POST, "/v1/inbox/receipts", Some(&receipt)).await.unwrap();
    drop(session);

    let critical = &[("severity", "critical")][..];
    let ws = &[("transport", "ws")][..];
    let scrape = counted(
        &fleet,
        &[
            ("watchbell_build_info", &[], 1.0),
            ("watchbell_ready", &[("part", "store")], 1.0),
            ("watchbell_role_ready", &[("role", "socket")], 1.0),
            ("watchbell_alert_written_seconds_count", critical, 1.0),
            ("watchbell_alert_seen_seconds_count", critical, 1.0),
            ("watchbell_socket_frames_sent_total", &[("type", "hello")], 1.0),
            ("watchbell_socket_frames_sent_total", &[("type", "alert")], 1.0),
            ("watchbell_socket_opened_total", ws, 1.0),
            ("watchbell_socket_closed_total", ws, 1.0),
            ("watchbell_socket_session_seconds_count", ws, 1.0),
            ("watchbell_fallback_timer_lateness_seconds_count", &[], 1.0),
            ("watchbell_fallback_provider_call_seconds_count", &[("provider", "apns")], 1.0),
            ("watchbell_escalations_ended_total", &[("end", "seen")], 1.0),
            ("watchbell_store_batch_size_count", &[("operation", "record")], 1.0),
            ("watchbell_store_commit_seconds_count", &[("operation", "record")], 1.0),
            ("process_resident_memory_bytes", &[], 1e6),
            ("process_cpu_seconds_total", &[], 1e-3),
        ],
    )
    .await
    .unwrap();
    for queue in ["watchbell.dispatch", "watchbell.undelivered", "watchbell.rejected", "watchbell.dead"] {
        let is_told = |name: &str| {
            scrape
                .samples
                .keys()
                .any(|(of, labels)| of == name && labels.get("queue").is_some_and(|it| it == queue))
        };
        assert!(is_told("watchbell_queue_messages") && is_told("watchbell_queue_oldest_seconds"), "{queue}");
    }
    is_declared(&scrape, &declared).unwrap();
    is_asked_rightly(&scrape, &declared).unwrap();
}

/// Each sample is of a metric that the page declares, of its kind, with its labels and their values.
fn is_declared(scrape: &Scrape, declared: &BTreeMap<String, Declared>) -> anyhow::Result<()> {
    for (name, labels) in scrape.samples.keys() {
        let metric = declared.get(name).or_else(|| declared.get(metric_of(name)));
        let metric = metric.with_context(|| format!("{name} is not in docs/metrics.md"))?;
        let own = if metric.kind == "histogram" { metric_of(name) } else { name };
        ensure!(scrape.kinds.get(own) == Some(&metric.kind), "{own} is a {:?}", scrape.kinds.get(own));
        ensure!(scrape.help.contains_key(own), "nothing is told of {own}");
        let told: BTreeSet<&str> = labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
        ensure!(told.iter().copied().eq(metric.labels.keys().map(String::as_str)), "{name} has {told:?}");
        for (label, values) in &metric.labels {
            if let Some(values) = values {
                ensure!(values.contains(&labels[label]), "{name}: {label} is {}", labels[label]);
            }
        }
    }
    Ok(())
}

/// Each query of the rules and the dashboard names metrics that are told, and labels and values that they have.
fn is_asked_rightly(scrape: &Scrape, declared: &BTreeMap<String, Declared>) -> anyhow::Result<()> {
    let rules = monitoring::rules()?;
    let recorded: BTreeMap<&str, Names> =
        rules.iter().filter_map(|rule| Some((rule.record.as_deref()?, names_in(&rule.expr)))).collect();
    let told = scrape.names();
    let queries = rules
        .iter()
        .map(|rule| (rule.record.clone().unwrap_or_else(|| "an alert rule".into()), rule.expr.clone()));
    for (title, query) in queries.chain(monitoring::dashboard()?) {
        let at = || format!("{title}: {query}");
        let names = names_in(&query);
        ensure!(!names.selectors.is_empty(), "nothing is asked for: {}", at());
        let mut known: BTreeSet<&str> = FROM_OUTSIDE.into_iter().chain(["le"]).collect();
        for Selector { metric: name, matchers } in &names.selectors {
            if let Some(inner) = recorded.get(name.as_str()) {
                known.extend(inner.grouped.iter().map(String::as_str));
                continue;
            }
            let metric = declared.get(name).or_else(|| declared.get(metric_of(name)));
            let metric = metric.with_context(|| format!("there is no {name}. {}", at()))?;
            // What comes with an event that this fleet has not seen is declared all the same.
            let needs_an_event = metric.labels.values().any(Option::is_none) || metric.kind == "gauge";
            ensure!(told.contains(name.as_str()) || needs_an_event, "{name} is not told. {}", at());
            known.extend(metric.labels.keys().map(String::as_str));
            for Matcher { label, values } in matchers {
                let of_it = metric.labels.get(label);
                let of_it = of_it.with_context(|| format!("{name} has no label {label}. {}", at()))?;
                for value in values {
                    let can_be = of_it.as_ref().is_none_or(|all| all.contains(value));
                    ensure!(can_be, "{label} of {name} is never {value}. {}", at());
                }
            }
        }
        let unknown: Vec<_> = names.grouped.iter().filter(|label| !known.contains(label.as_str())).collect();
        ensure!(unknown.is_empty(), "nothing has the labels {unknown:?}. {}", at());
    }
    Ok(())
}

/// More than any part of the program does by itself meanwhile.
const STRANGERS: usize = 30;

#[tokio::test]
async fn whoever_uses_the_fleet_adds_no_series() {
    let fleet = Fleet::start(Engine::Embedded, WAITS, &[]).await.unwrap();
    let url = fleet.url("up").unwrap();
    let visit = async |number: usize| {
        let name = format!("stranger{number}");
        let alert = json!({"id": name, "to": {"users": [name], "groups": [name]}, "title": name, "source": name,
            "category": name, "labels": {name.clone(): name}});
        fleet.publish(&alert).await.unwrap();
        let event = json!({"type": name, "keep": 1});
        let topic = format!("/v1/topics/{name}/events");
        fleet.producer(Method::POST, &topic, Some(&event)).await.unwrap();
        fleet.user(&name, Method::GET, "/v1/inbox", None).await.unwrap();
        let tenants = fleet.mint(&name, &name, jiff::SignedDuration::from_hours(1)).unwrap();
        for (path, token) in [
            (format!("/v1/inbox?before={name}"), tenants.as_str()),
            (format!("/{name}/{name}"), ""),
            (format!("/v1/poll?wait=0&topics={name}"), tenants.as_str()),
            ("/v1/inbox".to_owned(), name.as_str()),
        ] {
            let request = fleet.http().get(format!("{url}{path}")).bearer_auth(token);
            request.header("user-agent", &name).header("x-forwarded-for", &name).send().await.unwrap();
        }
        let strange = fleet.http().request(Method::from_bytes(name.to_uppercase().as_bytes()).unwrap(), &url);
        strange.header("host", format!("{name}.example")).send().await.unwrap();
        drop(fleet.session("socket-1", &name, None).await.unwrap());
    };
    visit(0).await;
    let recorded = [("watchbell_dispatch_rows_total", &[("outcome", "recorded")][..], 1.0)];
    let before = counted(&fleet, &recorded).await.unwrap();
    for number in 1..=STRANGERS {
        visit(number).await;
    }
    let all = [("watchbell_dispatch_rows_total", &[("outcome", "recorded")][..], 1.0 + STRANGERS as f64)];
    let after = counted(&fleet, &all).await.unwrap();

    let named = after
        .samples
        .keys()
        .find(|(_, labels)| labels.values().any(|value| value.to_lowercase().contains("stranger")));
    assert_eq!(named, None, "a label has what a stranger wrote");
    // Histograms have a sample for each bucket.
    let series = |scrape: &Scrape| {
        scrape
            .samples
            .keys()
            .filter(|(_, labels)| !labels.contains_key("le"))
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let more: Vec<_> = series(&after).difference(&series(&before)).cloned().collect();
    assert!(more.len() < STRANGERS, "{more:?}");
}
