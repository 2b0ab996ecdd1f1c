//! A mail that comes back after the relay took it: its address gets no more, and `explain` says why.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::json;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    ports,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_mail_that_comes_back_ends_its_address_until_an_operator_lifts_it() -> anyhow::Result<()> {
    let listen = format!("127.0.0.1:{}", ports::free()?);
    // Every process reads the section; fallback is told by the fleet where the relay really is.
    let env = [
        ("WATCHBELL__EMAIL__HOST", "localhost"),
        ("WATCHBELL__EMAIL__PORT", "1"),
        ("WATCHBELL__EMAIL__FROM", "Watchbell <alerts@watchbell.test>"),
        ("WATCHBELL__EMAIL__BOUNCE_DOMAIN", "bounces.watchbell.test"),
        ("WATCHBELL__EMAIL__BOUNCE_LISTEN", listen.as_str()),
    ];
    let policy = "[policies.default]\nsteps = [{channel = \"email\", after = \"100ms\"}]\n\
                  [restraint]\ndigest_window = \"0s\"\n";
    let fleet = Fleet::start_configured(Engine::Services, policy, &env).await?;
    fleet.furnish("ana").await?;
    fleet.faults(&json!({"email": [{"bounce": {"mx": listen, "status": "5.1.1"}, "count": 1}]})).await?;

    fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    let explained = until("the mail to come back", DEADLINE, async || {
        let told = fleet.producer(Method::GET, "/v1/users/ana/explain", None).await.ok()?.1;
        let told = told.to_string();
        told.contains("came back: smtp; 550 5.1.1").then_some(told)
    })
    .await?;
    assert!(
        explained.contains("address_refused") && !explained.contains("ana@watchbell.test"),
        "{explained}"
    );

    let mails = async || anyhow::Ok(fleet.arrivals("ana").await?.len());
    assert_eq!(mails().await?, 1);
    let second = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk still full"})).await?;
    let timeline = format!("/v1/alerts/{second}/timeline?user=ana");
    until("the second alert to find no address", DEADLINE, async || {
        let told = fleet.producer(Method::GET, &timeline, None).await.ok()?.1.to_string();
        told.contains(r#""stopped":"exhausted""#).then_some(())
    })
    .await?;
    assert_eq!(mails().await?, 1, "nothing is sent there any more");

    let lift = fleet.producer(Method::DELETE, "/v1/users/ana/addresses/email/refusal", None).await?;
    assert_eq!(lift.0, 204, "{lift:?}");
    let third = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full again"})).await?;
    let came =
        until("a mail after the lift", DEADLINE, async || (mails().await.ok()? == 2).then_some(())).await;
    let timeline = format!("/v1/alerts/{third}/timeline?user=ana");
    let why = fleet.producer(Method::GET, &timeline, None).await?.1;
    came.with_context(|| format!("{why}"))?;
    let again = fleet.producer(Method::DELETE, "/v1/users/ana/addresses/email/refusal", None).await?;
    assert_eq!(again.0, 404, "there is none to lift: {again:?}");
    Ok(())
}
