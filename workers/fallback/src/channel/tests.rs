//! Tests of the types, and what other tests here share.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use watchbell::domain::Secret;

use super::*;

/// A certificate for `localhost`, which is its own root: for a server, and as `trust_root_pem`.
pub(super) fn localhost_tls(alpn: &[&[u8]]) -> (tokio_rustls::TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (std::sync::Arc::new(config).into(), made.cert.pem())
}

const CANARY: &str = "c4nary5ecret";

fn every_error() -> Vec<SendError> {
    let reason = || format!("refused {CANARY} for ana@example.org\r\nX: {CANARY}");
    vec![
        SendError::Unregistered { since: None, reason: reason() },
        SendError::BadToken { reason: reason() },
        SendError::Unusable { reason: reason() },
        SendError::Throttled { retry_after: None, scope: ThrottleScope::Device, reason: reason() },
        SendError::Unavailable { retry_after: None, reason: reason() },
        SendError::Unreachable { reason: reason() },
        SendError::ConfigFault { blame: Blame::Everybody, reason: reason() },
        SendError::Rejected { reason: reason() },
        SendError::AddressRefused { reason: reason() },
    ]
}

#[test]
fn no_error_repeats_what_the_job_held() {
    for error in every_error() {
        let error = error.without(&[CANARY]);
        let printed = format!("{error} {error:?} {}", error.reason());
        assert!(!printed.contains(CANARY), "{printed}");
        assert!(!printed.contains("ana@"), "{printed}");
        assert!(!error.reason().contains(['\r', '\n']), "{printed}");
        assert!(error.reason().starts_with("refused"), "the rest is kept: {printed}");
    }
}

#[test]
fn a_job_does_not_print_its_secrets() {
    let content = AlertContent {
        alert: "a-1".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        title: CANARY.into(),
        body: Some(CANARY.into()),
        url: Some(CANARY.into()),
        severity: Severity::Info,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: "a-1".into(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 3,
    };
    let target =
        PushTarget { token: Secret::from(CANARY), environment: PushEnvironment::Sandbox, bound_to: None };
    let attempt = Uuid::nil();
    let push = PushJob {
        attempt,
        target,
        content: PushContent::Alert(content.clone()),
        receipt: Some(Secret::from(CANARY)),
    };
    let email = EmailJob {
        attempt,
        to: Secret::from(CANARY),
        content,
        locale: None,
        zone: None,
        acknowledge_at: None,
    };
    assert!(!format!("{push:?}{email:?}").contains(CANARY));
}

/// The table is the specification of what follows.
#[test]
fn each_error_has_one_consequence() {
    let at = Some(Timestamp::from_second(1_700_000_000).unwrap());
    let wait = Duration::from_secs(7);
    let reason = String::new;
    let scope = ThrottleScope::Provider;
    for (why, error, code, expected) in [
        (
            "a newer registration survives",
            SendError::Unregistered { since: at, reason: reason() },
            "unregistered",
            Disposition::ForgetToken { unless_registered_after: at },
        ),
        (
            "never good here",
            SendError::BadToken { reason: reason() },
            "bad_token",
            Disposition::ForgetToken { unless_registered_after: None },
        ),
        (
            "nobody was asked, so nothing is proved and the token stays",
            SendError::Unusable { reason: reason() },
            "unusable",
            Disposition::DropMessage,
        ),
        (
            "their wait is our minimum",
            SendError::Throttled { retry_after: Some(wait), scope, reason: reason() },
            "throttled",
            Disposition::Retry { wait_min: wait },
        ),
        (
            "no wait named: our back-off decides",
            SendError::Unavailable { retry_after: None, reason: reason() },
            "unavailable",
            Disposition::Retry { wait_min: Duration::ZERO },
        ),
        (
            "it may have arrived",
            SendError::Unreachable { reason: reason() },
            "unreachable",
            Disposition::Retry { wait_min: Duration::ZERO },
        ),
        (
            "email would hide it",
            SendError::ConfigFault { blame: Blame::Everybody, reason: reason() },
            "config_fault",
            Disposition::ConfigFault,
        ),
        ("this one only", SendError::Rejected { reason: reason() }, "rejected", Disposition::DropMessage),
        (
            "a hard bounce",
            SendError::AddressRefused { reason: reason() },
            "address_refused",
            Disposition::SuppressAddress,
        ),
    ] {
        assert_eq!(error.disposition(), expected, "{why}");
        assert_eq!(error.code(), code, "{why}");
    }
}
