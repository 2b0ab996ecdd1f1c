//! `/openapi.json`: what the workers of this process answer, in one document; and `/docs`, the same for people.

use axum::{
    Router,
    http::{Method, header},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{
    docs,
    operation::{Document, Group, Operation},
};
use crate::wire::schema::{object, text};

/// Serves the documents of the workers as one, and the pages that show it.
pub fn routes(documents: &[String]) -> Router {
    let text = merged(documents).to_string();
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    Router::new().route(OPENAPI, get(answer)).merge(docs::routes())
}

/// The documents of all workers together, in bytes. They are made of our own routes.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// The address of the document.
const OPENAPI: &str = "/openapi.json";
/// The heading that what this module serves stands under.
const GROUPS: &[Group] = &[("This API", "The description of the API, for programs and for people.")];

/// One document of several, OpenAPI 3.1 each. A document's own `security` moves into its operations; of components with
/// the same name the first is kept. What is no JSON object adds nothing: each worker tests its own.
pub fn merged(documents: &[String]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut components: Map<String, Value> = Map::new();
    let mut groups = Vec::new();
    for document in documents.iter().chain([&own()]) {
        let mut document: Map<String, Value> = serde_json::from_str(document).unwrap_or_default();
        let security = document.remove("security");
        for (path, operations) in to_object(document.remove("paths")) {
            for (method, mut operation) in to_object(Some(operations)) {
                if let (Some(security), Some(operation)) = (&security, operation.as_object_mut()) {
                    operation.entry("security").or_insert_with(|| security.clone());
                }
                add(&mut paths, &path, method, operation);
            }
        }
        for (section, named) in to_object(document.remove("components")) {
            for (name, component) in to_object(Some(named)) {
                add(&mut components, &section, name, component);
            }
        }
        if let Some(Value::Array(own)) = document.remove("tags") {
            groups.extend(own);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Watchbell",
            "version": "1",
            "description": "Alerts for people: what producers and users may ask of this process. 202 means that an alert is \
                            durable. Every error is a problem document (RFC 9457) that names what is at fault. A format \
                            `watchbell-…` marks a text with a bound that JSON Schema cannot say; its description does.",
        },
        "tags": groups,
        "paths": paths,
        "components": components,
    })
}

/// The document of what is served here.
fn own() -> String {
    let page = |id, summary, about: &str| {
        let operation = Operation::new(GROUPS[0].0, id, summary).about(about).for_everybody();
        operation.answers_as(200, "A page for people.", "text/html", text())
    };
    let document = Operation::new(GROUPS[0].0, "getOpenApi", "This document").for_everybody();
    let document = document.answers_at_most(DOCUMENT_BYTES_MAX);
    Document::new("Watchbell", "What every process answers.", GROUPS, &[], [])
        .route(&Method::GET, OPENAPI, document.answers(200, "OpenAPI 3.1.", object()))
        .route(
            &Method::GET,
            docs::HTTP,
            page("showDocs", "This document, readable", "It loads nothing but this process's own documents."),
        )
        .route(
            &Method::GET,
            docs::SESSION,
            page(
                "showSessionDocs",
                "The session protocol, readable",
                "Of a process that holds sessions; from `/asyncapi.json`.",
            ),
        )
        .to_json()
}

fn to_object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        Some(_) | None => Map::new(),
    }
}

/// Adds to the object called `outer`, unless it has one of that name already.
fn add(all: &mut Map<String, Value>, outer: &str, name: String, value: Value) {
    if let Value::Object(inner) = all.entry(outer).or_insert_with(|| json!({})) {
        inner.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_one() {
        let producers = json!({
            "security": [{"key": []}],
            "tags": [{"name": "A"}],
            "paths": {"/a": {"post": {"operationId": "publish"}}, "/b": {"get": {"security": []}}},
            "components": {"schemas": {"Problem": {"type": "object"}}, "securitySchemes": {"key": {}}},
        });
        let users = json!({
            "security": [{"token": []}],
            "paths": {"/a": {"get": {"operationId": "read"}}},
            "components": {"schemas": {"Problem": {"type": "object"}, "Inbox": {}}, "securitySchemes": {"token": {}}},
        });
        let whole = merged(&[producers.to_string(), users.to_string()]);
        let mut paths = whole["paths"].clone();
        for own in ["/openapi.json", "/docs", "/docs/session"] {
            assert_eq!(paths[own]["get"]["security"], json!([]), "{own} is for anybody");
            paths.as_object_mut().and_then(|paths| paths.remove(own));
        }
        assert_eq!(
            paths,
            json!({
                "/a": {
                    "post": {"operationId": "publish", "security": [{"key": []}]},
                    "get": {"operationId": "read", "security": [{"token": []}]},
                },
                "/b": {"get": {"security": []}},
            })
        );
        assert_eq!(
            whole["components"],
            json!({
                "schemas": {"Problem": {"type": "object"}, "Inbox": {}},
                "securitySchemes": {"key": {}, "token": {}},
            })
        );
        assert_eq!(whole["security"], Value::Null);
        assert_eq!(whole["tags"][0]["name"], "A");
        assert_eq!(whole["tags"][1]["name"], "This API");
    }
}
