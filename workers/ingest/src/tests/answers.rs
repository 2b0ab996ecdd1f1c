//! What all routes have in common, and that the contract tells it.

use serde_json::{Value, json};

use super::fixture::{Dispatch, Fixture};
use crate::{Access, openapi, routes};

/// Those without a header may give the key in the body, and no other route says that.
#[test]
fn the_contract_says_where_a_key_may_be_left_out() {
    let contract: Value = serde_json::from_str(&openapi()).unwrap();
    for route in routes() {
        let method = &contract["paths"][route.path][route.method.as_str().to_lowercase()];
        let may_be_without = method["security"].as_array().is_some_and(|ways| ways.contains(&json!({})));
        assert_eq!(may_be_without, route.access == Access::RoutingKey, "{}", route.path);
        let in_address = json!({"address": [route.scope.as_str()]});
        let in_address = method["security"].as_array().is_some_and(|ways| ways.contains(&in_address));
        assert_eq!(in_address, route.access != Access::ApiKey, "{}", route.path);
        let in_header = json!({"bearer": [route.scope.as_str()]});
        assert!(method["security"].as_array().unwrap().contains(&in_header), "{}", route.path);
        let about = method["description"].as_str().unwrap();
        assert!(about.ends_with(&format!("The API key needs the scope `{}`.", route.scope)), "{about}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_a_problem_too() {
    let fixture = Fixture::new(Dispatch::Absent).await;
    let answer = fixture.send("PUT", "/v1/alerts", &[], "{}").await;
    assert_eq!(answer.problem().0, 405);
    assert_eq!(answer.headers["allow"], "POST,GET,HEAD");
}

#[tokio::test]
async fn a_store_that_is_gone_sends_the_producer_away_for_a_while() {
    let fixture = Fixture::new(Dispatch::Acks).await;
    fixture.store.close().await;
    let answer = fixture.get("/v1/alerts/a").await;
    assert_eq!(answer.problem(), (503, "The store does not answer: send the request again.".into()));
    assert_eq!(answer.headers["retry-after"], "5");
}

/// Nothing is unpacked, and whoever compresses hears that at once, on every route that reads a body.
#[tokio::test]
async fn a_compressed_body_is_refused_everywhere_with_what_is_wrong() {
    let fixture = Fixture::new(Dispatch::Absent).await;
    let contract: Value = serde_json::from_str(&openapi()).unwrap();
    let mut asked = 0;
    for route in routes() {
        let operation = &contract["paths"][route.path][route.method.as_str().to_lowercase()];
        if operation["requestBody"].is_null() {
            continue;
        }
        asked += 1;
        assert!(!operation["responses"]["415"].is_null(), "{} says so", route.path);
        let uri = route
            .path
            .replace("{provider}", "postmark")
            .replace("{hook}", "made")
            .replace("{topic}", "monitor:7")
            .replace(['{', '}'], "");
        let headers = [("content-encoding", "gzip")];
        let answer = fixture.send(route.method.as_str(), &uri, &headers, &b"\x1f\x8b\x08"[..]).await;
        if answer.status == 404 {
            assert_eq!(route.path, "/v1/hooks/{hook}", "{}", answer.text);
            continue;
        }
        assert_eq!(answer.headers["accept-encoding"], "identity", "{} {uri}", route.method);
        let is_clear = answer.status == 415 && answer.text.contains("`Content-Encoding`");
        assert!(is_clear, "{} {uri}: {}", route.method, answer.text);
    }
    assert!(asked > 10, "{asked} routes read a body");
}
