//! `POST /v1/hooks/…`: HTTP for every hook.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use watchbell::{
    domain::{AlertId, Status},
    runtime::http::{Path, expect_media_type, expect_no_encoding, media_type, not_json},
    wire::Problem,
};

use super::{
    Hook,
    mend::mended,
    nobody::Unheard,
    plan::{Place, plan},
    query::{APPENDED, Query},
    report::Post,
    tell::{Answered, Became, tell},
};
use crate::{
    App, Shared,
    answers::{HookAnswer, HookEntry},
    auth::Producer,
    request,
    trace::trace_of,
};

/// The parameter that may hold the API key: some products let nothing be set but an address.
const KEY_PARAMETER: &str = "key=";
/// The header that it moves to.
const KEY_HEADER: &str = "x-api-key";

/// Accepts what one of the known products posts.
pub async fn accept(
    hook: &'static Hook,
    State(shared): App,
    Extension(producer): Extension<Producer>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, body) = parts_of(request).await?;
    let post = hook.read(&json_of(&headers, &body)?, shared.ingest.clock.now())?;
    Ok(answer(&tell_of(&shared, &producer, hook.name, &uri, &headers, post).await?))
}

/// Accepts what is posted to a configured hook.
pub async fn accept_configured(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    Path(name): Path<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let hooks = &shared.ingest.hooks;
    let unknown =
        || Problem::not_found("There is no hook of this name: `[[hook]]` of the configuration makes one.");
    let hook = hooks.get(&name, &producer.tenant).ok_or_else(unknown)?;
    let (headers, body) = parts_of(request).await?;
    let post = hooks.read(hook, &json_of(&headers, &body)?)?;
    Ok(answer(&tell_of(&shared, &producer, &name, &uri, &headers, post).await?))
}

async fn parts_of(request: Request) -> Result<(HeaderMap, bytes::Bytes), Problem> {
    let (parts, body) = request.into_parts();
    expect_json(&parts.headers)?;
    Ok((parts.headers, request::whole_body(body).await?))
}

/// Tells what a post says, whom the address or the routes name.
pub async fn tell_of(
    shared: &Shared,
    producer: &Producer,
    hook: &str,
    uri: &Uri,
    headers: &HeaderMap,
    post: Post,
) -> Result<Vec<Answered>, Problem> {
    let (ingest, tenant) = (&shared.ingest, &producer.tenant);
    let query = Query::of(uri, tenant, &ingest.policies)?;
    let place = Place {
        hook,
        tenant,
        query: &query,
        routes: &ingest.routes,
        policies: &ingest.policies,
        new_id: &ingest.new_id,
        now: ingest.clock.now(),
    };
    tell(shared, producer, plan(post, place), trace_of(headers).as_ref()).await
}

/// What the sender hears: each alert with what became of it. A post of which nothing can be told to anybody is refused.
fn answer(answers: &[Answered]) -> Response {
    let alerts: Vec<HookEntry> = answers.iter().filter_map(entry).collect();
    let first = answers.iter().find_map(|answer| match &answer.became {
        Became::Refused(problem) => Some((answer.index, problem.clone())),
        _ => None,
    });
    match first {
        Some((index, problem)) if !answers.iter().any(is_told) => {
            refusal(index.into_iter().fold(problem, Problem::at_index), &alerts)
        }
        _ => {
            let accepted =
                answers.iter().filter(|answer| matches!(answer.became, Became::Accepted(..))).count();
            (StatusCode::ACCEPTED, Json(HookAnswer { accepted, alerts })).into_response()
        }
    }
}

/// Whether it is about something that the post said, and somebody can be told of it.
fn is_told(answer: &Answered) -> bool {
    match (&answer.became, answer.index) {
        (Became::Accepted(..) | Became::Unchanged(..) | Became::Passed(_), Some(_)) => true,
        // The one about the rest tells of the post only if there is a rest.
        (Became::Accepted(_, _, status) | Became::Unchanged(_, _, status), None) => {
            *status != Status::Resolved
        }
        (Became::Passed(_), None) | (Became::Counted(_) | Became::Refused(_), _) => false,
    }
}

/// A problem document of the first that was refused, with what became of each where there are several.
fn refusal(problem: Problem, alerts: &[HookEntry]) -> Response {
    let Ok(Value::Object(mut document)) = serde_json::to_value(&problem) else {
        return problem.into_response();
    };
    let mut response = problem.into_response();
    if alerts.len() > 1 {
        document.insert("alerts".into(), json!(alerts));
        let body = Value::Object(document).to_string();
        // It was the length of the other body.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
    response
}

fn entry(answer: &Answered) -> Option<HookEntry> {
    let known = |result, id: &AlertId, version, status: Status| HookEntry {
        result,
        id: Some(id.to_string()),
        version: Some(version),
        status: Some(status.as_str()),
        ..HookEntry::default()
    };
    let entry = match &answer.became {
        Became::Accepted(id, version, status) => known("accepted", id, *version, *status),
        Became::Unchanged(id, version, status) => known("unchanged", id, *version, *status),
        Became::Counted(id) => {
            HookEntry { result: "counted", id: Some(id.to_string()), ..HookEntry::default() }
        }
        // The one about the rest, when there is no rest.
        Became::Passed(_) if answer.index.is_none() => return None,
        Became::Passed(why) => {
            HookEntry { result: "passed", detail: Some(Some((*why).to_owned())), ..HookEntry::default() }
        }
        Became::Refused(problem) => HookEntry {
            result: "refused",
            field: Some(problem.field.clone()),
            detail: Some(problem.detail.clone()),
            ..HookEntry::default()
        },
    };
    let Unheard { users, users_count, groups } = answer.unheard.clone();
    Some(HookEntry {
        index: answer.index,
        notes: answer.notes.clone(),
        users_unknown: users,
        users_unknown_count: users_count,
        groups_empty: groups,
        ..entry
    })
}

/// Refuses what says that it is something else than JSON, or is compressed. Many senders say nothing, or something general;
/// GitHub puts JSON into a form unless told otherwise.
pub fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    expect_no_encoding(headers)?;
    let given = media_type(headers);
    match given.as_str() {
        "" | "text/plain" | "text/json" | "application/octet-stream" | FORM => Ok(()),
        given if given.ends_with("+json") => Ok(()),
        _ => expect_media_type(headers, &["application/json"]),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// The JSON of a body.
///
/// # Errors
/// 400 when it is none.
pub fn json_of(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    let in_form = match media_type(headers).as_str() {
        FORM => body.split(|b| *b == b'&').find_map(|field| field.strip_prefix(b"payload=")),
        _ => None,
    };
    match in_form {
        Some(encoded) => {
            let spaced: Vec<u8> = encoded.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
            read(&percent_decode(&spaced).collect::<Vec<u8>>())
        }
        None => read(body),
    }
}

/// Reads JSON, mended where it is almost JSON.
///
/// # Errors
/// 400 when it is none. The place is that in what was sent.
pub fn read(json: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(json)
        .or_else(|error| serde_json::from_str(&mended(json)).map_err(|_| not_json(&error)))
}

/// Lets the API key stand in the address of a hook, as `?key=`, where no header has one. It goes no further than here.
pub async fn key_from_address(mut request: Request<Body>, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let Ok((query, key)) = without_key(query) else {
        return Problem::malformed("The address has `key` more than once: give it once.").into_response();
    };
    if let Some(key) = key {
        let path = request.uri().path().to_owned();
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        // It was an address before a part was taken out, so it still is one.
        if let Ok(path) = PathAndQuery::try_from(path) {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.path_and_query = Some(path);
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        }
        let headers = request.headers_mut();
        let is_given = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(KEY_HEADER);
        if let (false, Ok(mut value)) = (is_given, HeaderValue::try_from(key)) {
            value.set_sensitive(true);
            headers.insert(KEY_HEADER, value);
        }
    }
    next.run(request).await
}

/// There are two keys, of which neither is meant more than the other.
#[derive(Debug, PartialEq, Eq)]
struct TwoKeys;

/// A query string without the key, and the key.
fn without_key(query: &str) -> Result<(String, Option<String>), TwoKeys> {
    let query = query.strip_suffix(APPENDED).unwrap_or(query);
    let (mut rest, mut key) = (Vec::new(), None);
    for part in query.split('&') {
        match part.strip_prefix(KEY_PARAMETER) {
            Some(_) if key.is_some() => return Err(TwoKeys),
            Some(given) => key = Some(given.to_owned()),
            None => rest.push(part),
        }
    }
    Ok((rest.join("&"), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_the_address() {
        for (given, rest, key) in [
            ("", "", None),
            ("users=ana", "users=ana", None),
            ("key=wbk_x", "", Some("wbk_x")),
            ("users=ana&key=wbk_x&policy=p", "users=ana&policy=p", Some("wbk_x")),
            ("users=ana&key=wbk_x/v2/enqueue", "users=ana", Some("wbk_x")),
        ] {
            assert_eq!(without_key(given), Ok((rest.to_owned(), key.map(str::to_owned))), "{given}");
        }
        assert_eq!(without_key("key=wbk_x&users=ana&key=wbk_y"), Err(TwoKeys));
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn json_is_read_from_a_form_too() {
        let of = |kind: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
        };
        for (why, kind, body) in [
            ("plain", "application/json", r#"{"a": "b c+d"}"#),
            ("no type that fits", "text/plain", r#"{"a": "b c+d"}"#),
            ("an older type", "text/json", r#"{"a": "b c+d"}"#),
            ("bytes", "application/octet-stream", r#"{"a": "b c+d"}"#),
            ("curl's default", FORM, r#"{"a": "b c+d"}"#),
            ("GitHub's default", FORM, "payload=%7B%22a%22%3A+%22b+c%2Bd%22%7D"),
        ] {
            assert!(expect_json(&of(kind)).is_ok(), "{why}");
            assert_eq!(json_of(&of(kind), body.as_bytes()).unwrap(), json!({"a": "b c+d"}), "{why}");
        }
        assert_eq!(expect_json(&of("application/xml")).unwrap_err().status, 415);
        for (encoding, expected) in [("gzip", Some(415)), ("br", Some(415)), ("identity", None), ("", None)] {
            let mut headers = of("application/json");
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            let refused = expect_json(&headers).err();
            assert_eq!(refused.as_ref().map(|problem| problem.status), expected, "{encoding}");
            assert!(
                refused.is_none_or(|problem| problem.detail.unwrap().contains("compressed")),
                "{encoding}"
            );
        }
        assert_eq!(json_of(&of("application/json"), b"{").unwrap_err().status, 400);
    }
}
