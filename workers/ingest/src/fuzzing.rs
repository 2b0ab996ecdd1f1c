//! Ways in for [fuzz](../../../fuzz), which sees only what is public: what is posted to the producers' routes. Whoever posts has
//! a key, but what a hook is sent was often written by somebody who has none. They panic where something does not hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;
use watchbell::{
    domain::{Alert, Status, Tenant, policy::Policies, publication::Maker},
    wire::{
        MessageKind, Problem,
        alert::{Defaults, encode_alert, parse_alert},
    },
};

use crate::{
    HookConfig, NewId, Setting,
    batch::{Batch, Form, id_of, idempotency_key},
    count::What,
    hooks::{ConfiguredHooks, Outcome, Routes, planned, spread},
    limits::ALERTS_MAX,
    publish,
};

/// The hooks by the first byte of what is posted. The last one is a `[[hook]]`.
const HOOKS: [&str; 8] =
    ["alertmanager", "grafana", "sentry", "uptime-kuma", "datadog", "github", "pagerduty", "acme"];

/// What a configuration would hold.
struct Place {
    tenant: Tenant,
    hooks: ConfiguredHooks,
    routes: Routes,
    policies: Policies,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    // For what `tests/fixtures/producers/configured` posts.
    let acme = HookConfig {
        path: "acme".into(),
        each: Some("incidents".into()),
        id: Some("item.number".into()),
        title: "{{ item.name }} on {{ item.host }}".into(),
        severity: Some("item.prio".into()),
        status: Some("item.state".into()),
        url: Some("item.link".into()),
        occurred_at: Some("item.since".into()),
        labels: [("team".to_owned(), "item.team".to_owned())].into(),
        ..HookConfig::default()
    };
    let place = || -> anyhow::Result<Place> {
        Ok(Place {
            tenant: Tenant::parse("acme")?,
            hooks: ConfiguredHooks::new(&[acme])?,
            routes: Routes::default(),
            policies: Policies::with_defaults(BTreeMap::new()),
        })
    };
    place().expect("what stands here is right")
});

/// A post to a hook: a byte that says which, what stands behind its address, a line break, and the body.
pub fn hook(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (Some(query), Some(body)) = (parts.next(), parts.next()) else { return };
    let Place { tenant, hooks, routes, policies } = &*PLACE;
    let query = String::from_utf8_lossy(query);
    let setting = Setting { hooks, routes, policies, tenant, query: &query, now: Timestamp::UNIX_EPOCH };
    let Ok(planned) = planned(HOOKS[usize::from(*which) % HOOKS.len()], body, setting) else { return };
    for planned in planned {
        let Outcome::Tell(telling) = planned.outcome else { continue };
        // Whatever is told has to be taken by dispatch, or its people would not hear of it (I13). A copy is longer than a
        // message may be only by its audience, which is spread over several.
        let defaults = Defaults { tenant: None, id: None, now: Timestamp::UNIX_EPOCH };
        for copy in spread(telling.alert) {
            // An alert says when it happened once it is on its way, whether or not its source did.
            // The end of one that is not stored yet is not its first version, and need not name anybody.
            let version = if copy.status == Status::Firing { 1 } else { 2 };
            let sent = Alert { is_dated: true, version, ..copy };
            let read = parse_alert(&encode_alert(&sent), &defaults);
            assert_eq!(read, Ok(sent), "what a hook makes is what dispatch reads");
        }
    }
}

/// A post of alerts: a header a line (the type of the body, the `Idempotency-Key`, attributes of a CloudEvent), an empty line,
/// and the body.
pub fn post(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = bytes;
    loop {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        // What these do not take does not come through the parser of HTTP either.
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        else {
            return;
        };
        headers.append(name, value);
    }
    // Accepted, or refused with a problem that names a field.
    let _ = accepted(&headers, Bytes::copy_from_slice(rest));
}

fn accepted(headers: &HeaderMap, body: Bytes) -> Result<(), Problem> {
    let new_id: NewId = Arc::new(Uuid::nil);
    let key = idempotency_key(headers)?;
    let (form, body) = Form::of(headers)?.unwrapped(headers, body, MessageKind::Alert)?;
    let batch = Batch::read(What::Alert, form, &body)?;
    assert!(batch.items.len() <= ALERTS_MAX, "more than a request may have");
    for &(at, raw) in &batch.items {
        let id = id_of(key, (!batch.is_one).then_some(at), &new_id)?;
        let defaults =
            Defaults { tenant: Some(PLACE.tenant.clone()), id: Some(id), now: Timestamp::UNIX_EPOCH };
        let plain = form.plain(raw.get(), MessageKind::Alert)?;
        let Ok(alert) = parse_alert(plain.as_bytes(), &defaults) else { continue };
        // Only what is filled in makes it longer than it was, and that is refused.
        let _ = publish::ready(&alert, &Maker { key: "key".into(), own_alerts: true }, None);
    }
    Ok(())
}
