//! `/openapi.json`: what the workers of this process answer, in one document.

use axum::{Router, http::header, routing::get};
use serde_json::{Map, Value, json};

/// Serves the documents of the workers as one.
pub fn routes(documents: &[&str]) -> Router {
    let text = merged(documents).to_string();
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    Router::new().route("/openapi.json", get(answer))
}

/// One document of several, OpenAPI 3.1 each. A document's own `security` moves into its operations; of components with
/// the same name the first is kept. What is no JSON object adds nothing: each worker tests its own.
pub fn merged(documents: &[&str]) -> Value {
    let mut paths = Map::from_iter([("/openapi.json".to_owned(), own_path())]);
    let mut components: Map<String, Value> = Map::new();
    for document in documents {
        let mut document: Map<String, Value> = serde_json::from_str(document).unwrap_or_default();
        let security = document.remove("security");
        for (path, operations) in object(document.remove("paths")) {
            for (method, mut operation) in object(Some(operations)) {
                if let (Some(security), Some(operation)) = (&security, operation.as_object_mut()) {
                    operation.entry("security").or_insert_with(|| security.clone());
                }
                add(&mut paths, &path, method, operation);
            }
        }
        for (section, named) in object(document.remove("components")) {
            for (name, component) in object(Some(named)) {
                add(&mut components, &section, name, component);
            }
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
        "paths": paths,
        "components": components,
    })
}

fn own_path() -> Value {
    let answer = json!({"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}});
    json!({"get": {"operationId": "getOpenApi", "summary": "This document", "security": [], "responses": {"200": answer}}})
}

fn object(value: Option<Value>) -> Map<String, Value> {
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
            "paths": {"/a": {"post": {"operationId": "publish"}}, "/b": {"get": {"security": []}}},
            "components": {"schemas": {"Problem": {"type": "object"}}, "securitySchemes": {"key": {}}},
        });
        let users = json!({
            "security": [{"token": []}],
            "paths": {"/a": {"get": {"operationId": "read"}}},
            "components": {"schemas": {"Problem": {"type": "object"}, "Inbox": {}}, "securitySchemes": {"token": {}}},
        });
        let whole = merged(&[&producers.to_string(), &users.to_string()]);
        let mut paths = whole["paths"].clone();
        assert_eq!(paths["/openapi.json"]["get"]["security"], json!([]), "anybody");
        paths.as_object_mut().and_then(|paths| paths.remove("/openapi.json"));
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
    }
}
