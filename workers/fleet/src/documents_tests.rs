//! The OpenAPI documents of the workers: each holds together, is the one that is kept, and fits the others.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};
use watchbell::runtime::http;

/// Writes the kept documents anew: `WATCHBELL_RENEW=1 cargo test -p watchbell-fleet documents`.
const RENEW: &str = "WATCHBELL_RENEW";
/// What needs no credentials: contracts, the public half of a key, and links whose secret is in the address.
const FOR_EVERYBODY: [&str; 4] =
    ["/asyncapi.json", "/v1/webpush/key", "/v1/unsubscribe/{token}", "/v1/answers/{token}"];

/// Each document, with where it is kept.
fn documents() -> [(String, &'static str); 2] {
    [
        (watchbell_ingest::openapi(), "../ingest/openapi.json"),
        (watchbell_socket::openapi(), "../socket/openapi.json"),
    ]
}

fn parsed() -> Vec<Value> {
    documents().iter().map(|(document, _)| serde_json::from_str(document).unwrap()).collect()
}

/// Each operation of a document, with its path and its method.
fn operations(document: &Value) -> Vec<(String, String, Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods
            .map(|(method, operation)| (path.clone(), method.clone(), operation.as_object().unwrap().clone()))
    });
    operations.collect()
}

#[test]
fn the_documents_are_those_that_are_kept() {
    for (document, path) in documents() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os(RENEW).is_some() {
            fs::write(&path, &document).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap();
        let differs = kept.lines().zip(document.lines()).position(|(kept, made)| kept != made);
        let lines = (kept.lines().count(), document.lines().count());
        assert!(
            kept == document,
            "{}: line {:?} of {lines:?} differs. Look at the change, and renew it with \
             `{RENEW}=1 cargo test -p watchbell-fleet documents`",
            path.display(),
            differs.map(|at| at + 1),
        );
    }
}

#[test]
fn each_operation_says_what_it_is_for_and_how_it_refuses() {
    for document in parsed() {
        assert_eq!(document["openapi"], "3.1.0");
        let groups: BTreeSet<&str> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        let mut used = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let name = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
            used.insert(operation["tags"][0].as_str().unwrap().to_owned());
            let answers = operation["responses"].as_object().unwrap();
            for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
                let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
            let parameters =
                operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            for part in path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)) {
                let is_it =
                    |one: &Value| one["in"] == "path" && one["name"] == part && one["required"] == true;
                assert!(parameters.iter().any(is_it), "{name}: {part}");
            }
            if operation.get("security") == Some(&json!([])) {
                assert!(FOR_EVERYBODY.contains(&path.as_str()), "{name} is not for everybody");
                continue;
            }
            assert!(answers.contains_key("503"), "{name}");
            // A browser cannot see why a handshake is refused.
            assert_eq!(answers.contains_key("401"), path != "/v1/ws", "{name}");
        }
        assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), groups, "used and explained");
    }
}

#[test]
fn each_document_has_the_schemas_it_refers_to_and_no_other() {
    for document in parsed() {
        let mut referred = BTreeSet::new();
        collect(&document, &mut referred);
        let schemas = document["components"]["schemas"].as_object().unwrap().keys();
        let schemas: BTreeSet<String> = schemas.map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(referred, schemas, "neither missing nor unused");
    }
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
fn the_documents_of_the_workers_fit_together() {
    let documents = documents().map(|(document, _)| document);
    let whole = http::merged_openapi(&documents);
    let mut names = BTreeSet::new();
    for (path, _, operation) in operations(&whole) {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        let ways =
            operation["security"].as_array().unwrap().iter().flat_map(|way| way.as_object().unwrap().keys());
        for way in ways {
            assert!(whole["components"]["securitySchemes"].get(way).is_some(), "{path}: {way}");
        }
        assert!(names.insert(id), "{path} has the name of another");
    }
    assert!(["publishAlerts", "pagerduty", "listInbox", "getOpenApi"].iter().all(|id| names.contains(*id)));
    for document in parsed() {
        for (section, named) in document["components"].as_object().unwrap() {
            for (name, component) in named.as_object().unwrap() {
                assert_eq!(&whole["components"][section][name], component, "{name} has two meanings");
            }
        }
        for group in document["tags"].as_array().unwrap() {
            assert!(whole["tags"].as_array().unwrap().contains(group), "{group}");
        }
    }
}
