//! That the contract tells of the routes as they are.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use watchbell::{
    domain::{InboxState, ReceiptState, device, receipt},
    wire::Problem,
};

use crate::http::routes::{OPENAPI, table};

/// What needs no token: the contract, the public half of a key, and links whose secret is in the address.
const FOR_EVERYBODY: [&str; 3] = ["/asyncapi.json", "/v1/webpush/key", "/v1/unsubscribe/{token}"];

fn contract() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn the_contract_has_every_route_and_no_other() {
    let contract = contract();
    assert_eq!(contract["openapi"], "3.1.0");
    let paths = contract["paths"].as_object().unwrap();
    let written: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, all)| all.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
        .collect();
    let routed: BTreeSet<(String, String)> = table()
        .iter()
        .map(|(method, path, _)| ((*path).to_owned(), method.as_str().to_lowercase()))
        .collect();
    assert_eq!(written, routed);
    for (path, method) in written {
        let operation = &contract["paths"][&path][&method];
        let answers = operation["responses"].as_object().unwrap();
        for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
            let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
        }
        if operation["security"] == json!([]) {
            assert!(FOR_EVERYBODY.contains(&path.as_str()), "{path} is not for everybody");
            continue;
        }
        assert!(answers.contains_key("503"), "{path}");
        // A browser cannot see why a handshake is refused.
        assert_eq!(answers.contains_key("401"), path != "/v1/ws", "{path}");
        for name in path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)) {
            let parameters = operation["parameters"].as_array().unwrap();
            let is_there = |one: &Value| one["in"] == "path" && one["name"] == name;
            assert!(parameters.iter().any(is_there), "{path}: {name}");
        }
    }
}

#[test]
fn the_contract_has_every_schema_it_refers_to() {
    let contract = contract();
    let mut referred = BTreeSet::new();
    collect(&contract, &mut referred);
    let schemas = contract["components"]["schemas"].as_object().unwrap().keys();
    let schemas: BTreeSet<String> = schemas.map(|name| format!("#/components/schemas/{name}")).collect();
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

#[test]
fn the_contract_knows_the_words_and_the_bounds() {
    let contract = contract();
    let of = |path: &str| contract.pointer(&format!("/components/schemas/{path}")).cloned().unwrap();
    for (path, expected) in [
        ("InboxRow/properties/state/enum", json!(InboxState::WORDS)),
        ("ReceiptSaid/properties/state/enum", json!(ReceiptState::WORDS)),
        ("ReceiptSaid/properties/alerts/maxItems", json!(receipt::RECEIPT_ALERTS_MAX)),
        ("DeviceSaid/anyOf/1/properties/token/maxLength", json!(device::TOKEN_BYTES_MAX)),
    ] {
        assert_eq!(of(path), expected, "{path}");
    }
    let problem = Problem { index: Some(0), field: Some("f".into()), ..Problem::unavailable("d", 1) };
    let problem = serde_json::to_value(problem).unwrap();
    let fields: BTreeSet<&String> = problem.as_object().unwrap().keys().collect();
    let written = of("Problem/properties");
    assert_eq!(written.as_object().unwrap().keys().collect::<BTreeSet<_>>(), fields);
}
