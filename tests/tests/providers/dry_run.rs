//! Dry runs: each provider is asked, says whether it knows us, and nothing arrives anywhere.

use serde_json::json;
use watchbell::domain::{PushEnvironment, Secret};
use watchbell_fallback::channel::{
    ApnsAuth, ApnsKey, ChannelSender, EmailConfig, PushSender, SendError, SlackConfig, SlackSender,
    SmsConfig, SmsSender, SmtpSender,
};

use crate::fixture::{ProviderFixture, now};

fn slack(fixture: &ProviderFixture, token: &str) -> SlackSender {
    SlackSender::new(&SlackConfig {
        token: Some(Secret::from(token)),
        endpoint: format!("https://localhost:{}", fixture.addresses.push.port()),
        hooks_endpoint: None,
        trust_root_pem: Some(fixture.credentials.ca_pem.clone()),
        request_timeout: std::time::Duration::from_secs(5),
    })
    .unwrap()
}

#[tokio::test]
async fn every_provider_knows_us_and_is_sent_nothing() {
    let fixture = ProviderFixture::start().await;
    let key = SmsConfig {
        username: fixture.credentials.twilio.api_key.clone(),
        password: Secret::from(fixture.credentials.twilio.api_key_secret.clone()),
        ..fixture.sms_config()
    };
    let mut runs = Vec::new();
    for sender in [&fixture.apns() as &dyn PushSender, &fixture.fcm(false), &fixture.webpush()] {
        runs.extend(sender.dry_run(now()).await);
    }
    for sender in [
        &fixture.email() as &dyn ChannelSender,
        &slack(&fixture, &fixture.credentials.slack_token),
        &fixture.telegram(),
        &SmsSender::new(fixture.sms_config()).unwrap(),
        &SmsSender::new(key).unwrap(),
    ] {
        runs.extend(sender.dry_run(now()).await);
    }
    let asked: Vec<&str> = runs.iter().map(|run| run.provider).collect();
    assert_eq!(asked, ["apns", "apns", "fcm", "webpush", "email", "slack", "telegram", "twilio", "twilio"]);
    assert_eq!(runs[1].environment, Some(PushEnvironment::Sandbox));
    for run in &runs {
        assert!(run.outcome.is_ok(), "{run:?}");
    }
    let arrivals = fixture.arrivals().await;
    assert!(arrivals.is_empty(), "{arrivals:?}");
}

#[tokio::test]
async fn an_app_that_may_have_no_channels_is_found() {
    let fixture = ProviderFixture::start().await;
    let runs = fixture.apns().dry_run(now()).await;
    assert!(
        runs.iter().all(|run| run.outcome.as_ref().is_ok_and(|said| said.contains("broadcast channels"))),
        "{runs:?}"
    );
    let topic = &fixture.credentials.apns.topic;
    let fault =
        json!([{"status": 400, "reason": "FeatureNotEnabled", "to": topic, "environment": "sandbox"}]);
    fixture.faults(json!({"apns": fault})).await;
    let runs = fixture.apns().dry_run(now()).await;
    assert!(runs[0].outcome.is_ok(), "{runs:?}");
    assert!(runs[1].outcome.as_ref().is_err_and(|error| error.reason() == "FeatureNotEnabled"), "{runs:?}");
}

#[tokio::test]
async fn an_environment_of_apples_without_a_key_is_not_asked_while_the_other_has_one() {
    let fixture = ProviderFixture::start().await;
    let key = |environment, topics| ApnsKey {
        team_id: fixture.credentials.apns.team_id.clone(),
        key_id: fixture.credentials.apns.key_id.clone(),
        key_pem: Secret::from(fixture.credentials.apns.key_pem.clone()),
        environment,
        topics,
    };
    let (production, sandbox) = (PushEnvironment::Production, PushEnvironment::Sandbox);
    let of_another = || vec!["org.watchbell.another".to_owned()];
    for (why, keys, expected) in [
        ("both", vec![key(None, Vec::new())], &[(production, true), (sandbox, true)][..]),
        (
            "a key each",
            vec![key(Some(sandbox), Vec::new()), key(Some(production), Vec::new())],
            &[(production, true), (sandbox, true)],
        ),
        ("sandbox alone", vec![key(Some(sandbox), Vec::new())], &[(sandbox, true)]),
        ("production alone", vec![key(Some(production), Vec::new())], &[(production, true)]),
        ("neither for this app", vec![key(None, of_another())], &[(production, false), (sandbox, false)]),
    ] {
        let runs = fixture.apns_as(ApnsAuth::Token(keys)).dry_run(now()).await;
        let found: Vec<_> = runs.iter().map(|run| (run.environment.unwrap(), run.outcome.is_ok())).collect();
        assert_eq!(found, expected, "{why}: {runs:?}");
        let says_so = runs
            .iter()
            .any(|run| run.outcome.as_ref().is_ok_and(|found| found.contains("no key is for the other")));
        assert_eq!(says_so, expected.len() == 1, "{why}: {runs:?}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn whoever_does_not_know_us_says_so_and_no_secret_is_repeated() {
    const WRONG: &str = "123456:c4nary-that-nobody-knows";
    let fixture = ProviderFixture::start().await;
    let apns = fixture.apns_as(ApnsAuth::Token(vec![ApnsKey {
        team_id: "NOTOURTEAM".into(),
        key_id: fixture.credentials.apns.key_id.clone(),
        key_pem: Secret::from(fixture.credentials.apns.key_pem.clone()),
        environment: None,
        topics: Vec::new(),
    }]));
    let sms = SmsConfig { password: Secret::from(WRONG), ..fixture.sms_config() };
    let mut runs = apns.dry_run(now()).await;
    for sender in [
        &slack(&fixture, WRONG) as &dyn ChannelSender,
        &fixture.telegram_as(WRONG),
        &SmsSender::new(sms).unwrap(),
    ] {
        runs.extend(sender.dry_run(now()).await);
    }
    assert_eq!(runs.len(), 5);
    for run in &runs {
        assert!(matches!(run.outcome, Err(SendError::ConfigFault { .. })), "{run:?}");
        assert!(!format!("{run:?}").contains("c4nary"), "{run:?}");
    }
    let nowhere = EmailConfig { port: 9, ..fixture.email_config() };
    let runs = SmtpSender::new(&nowhere).unwrap().dry_run(now()).await;
    assert!(matches!(runs[0].outcome, Err(SendError::Unreachable { .. })), "{runs:?}");
}
