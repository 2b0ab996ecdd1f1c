//! What all routes have in common, and that the contract tells it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fixture::{Dispatch, Fixture};
use crate::{Access, OPENAPI, routes};

#[test]
fn the_contract_has_every_route_and_no_other() {
    let contract: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(contract["openapi"], "3.1.0");
    let written: BTreeSet<(String, String)> = contract["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    let routed: BTreeSet<(String, String)> =
        routes().iter().map(|route| (route.path.to_owned(), route.method.as_str().to_lowercase())).collect();
    assert_eq!(written, routed);
    for route in routes() {
        let method = &contract["paths"][route.path][route.method.as_str().to_lowercase()];
        // Those without a header may give the key in the body.
        let may_be_without = method["security"].as_array().is_some_and(|ways| ways.contains(&json!({})));
        assert_eq!(may_be_without, route.access == Access::RoutingKey, "{}", route.path);
        let answers = method["responses"].as_object().unwrap();
        let problems = answers.iter().filter(|(status, _)| status.as_str() >= "400");
        for (status, answer) in problems {
            let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{} {status}", route.path);
        }
        assert!(answers.contains_key("401") && answers.contains_key("503"), "{}", route.path);
    }
}

#[test]
fn the_contract_has_every_schema_it_refers_to() {
    let contract: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut referred = BTreeSet::new();
    collect(&contract, &mut referred);
    let schemas: BTreeSet<String> = contract["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    assert_eq!(referred, schemas, "neither missing nor unused");
}

fn collect(value: &Value, referred: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            referred.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, referred));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, referred)),
        _ => {}
    }
}

/// The problem schema and the type agree on their fields.
#[test]
fn the_contract_describes_a_problem_as_it_is() {
    let contract: Value = serde_json::from_str(OPENAPI).unwrap();
    let written = contract["components"]["schemas"]["Problem"]["properties"].as_object().unwrap();
    let problem =
        watchbell::wire::Problem { index: Some(0), ..watchbell::wire::Problem::unavailable("d", 1) };
    let full = watchbell::wire::Problem { field: Some("f".into()), ..problem };
    let full = serde_json::to_value(full).unwrap();
    let fields: BTreeSet<&String> = full.as_object().unwrap().keys().collect();
    assert_eq!(written.keys().collect::<BTreeSet<_>>(), fields);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_a_problem_too() {
    let fixture = Fixture::new(Dispatch::Absent).await;
    let answer = fixture.send("PUT", "/v1/alerts", &[], "{}").await;
    assert_eq!(answer.problem().0, 405);
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn a_store_that_is_gone_sends_the_producer_away_for_a_while() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    fixture.store.close().await;
    let answer = fixture.get("/v1/alerts/a").await;
    assert_eq!(answer.problem(), (503, "The store does not answer: send the request again.".into()));
    assert_eq!(answer.headers["retry-after"], "5");
}
