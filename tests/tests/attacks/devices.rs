//! Attacks on the devices of others: taking a phone's pushes away by registering its token, and going on ringing on a phone
//! whose sessions were ended.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell::domain::device::DEVICES_PER_USER_MAX;
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(60);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Somebody signed in to a tenant.
struct Person<'a> {
    fleet: &'a Fleet,
    token: String,
}

impl<'a> Person<'a> {
    fn signs_in(fleet: &'a Fleet, tenant: &str, user: &str) -> anyhow::Result<Self> {
        Ok(Self { fleet, token: fleet.mint(tenant, user, HOUR)? })
    }

    async fn asks(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}/v1/devices{path}", self.fleet.url("socket-1")?);
        let mut request = self.fleet.http().request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// Registers a phone of Google's that has this token. Gives the status.
    async fn registers(&self, device: &str, token: &str) -> anyhow::Result<u16> {
        let body = json!({"service": "fcm", "token": format!("{token:x<40}")});
        Ok(self.asks(Method::PUT, &format!("/{device}"), Some(body)).await?.0)
    }

    async fn devices(&self) -> anyhow::Result<Vec<String>> {
        let (status, list) = self.asks(Method::GET, "", None).await?;
        anyhow::ensure!(status == 200, "answered {status}: {list}");
        let names = list["devices"].as_array().into_iter().flatten();
        Ok(names.filter_map(|device| Some(device["device"].as_str()?.to_owned())).collect())
    }
}

/// Whoever has the token of a phone takes it within the phone's own tenant alone, and not by a request that is refused.
async fn a_phone_stays_with_its_tenant(fleet: &Fleet) -> anyhow::Result<()> {
    let olga = Person::signs_in(fleet, fleet.tenant().as_str(), "olga")?;
    let eve = Person::signs_in(fleet, "evil", "eve")?;
    let colleague = Person::signs_in(fleet, fleet.tenant().as_str(), "cleo")?;
    assert_eq!(olga.registers("phone", "olgas-token").await?, 204);

    for person in [&eve, &colleague] {
        for number in 0..DEVICES_PER_USER_MAX {
            assert_eq!(person.registers(&format!("d{number}"), &format!("own-{number}")).await?, 204);
        }
        assert_eq!(person.registers("one-more", "olgas-token").await?, 409, "the limit");
        assert_eq!(olga.devices().await?, ["phone"], "a request that is refused takes nothing");
    }
    assert_eq!(eve.registers("d0", "olgas-token").await?, 204, "the same phone, signed in to another tenant");
    assert_eq!(olga.devices().await?, ["phone"], "keeps both");
    assert_eq!(
        colleague.registers("d0", "olgas-token").await?,
        204,
        "the next person to sign in on that phone"
    );
    assert_eq!(olga.devices().await?, [""; 0], "has it alone within the tenant");
    assert_eq!(eve.devices().await?.len(), DEVICES_PER_USER_MAX, "and not beyond it");
    Ok(())
}

/// A phone that was lost rings no more once the sessions of its person were ended.
async fn a_lost_phone_rings_no_more(fleet: &Fleet) -> anyhow::Result<()> {
    let oleg = Person::signs_in(fleet, fleet.tenant().as_str(), "oleg")?;
    assert_eq!(oleg.registers("lost", "olegs-token").await?, 204);
    let (status, ended) = fleet.producer(Method::DELETE, "/v1/users/oleg/sessions", None).await?;
    assert_eq!((status, &ended["devices"]), (200, &json!(1)), "{ended}");
    assert_eq!(oleg.registers("lost", "olegs-token").await?, 401, "the old token registers nothing");

    let id = fleet.send(&json!({"to": {"users": ["oleg"]}, "title": "payroll"})).await?;
    let entries = until("the push step to be skipped", DEADLINE, async || {
        let timeline = fleet.timeline(&id, "oleg").await.ok()?.to_string();
        timeline.contains("no device").then_some(timeline)
    });
    let entries = entries.await?;
    let why = "sessions were ended, and with them 1 of the person's devices";
    assert!(entries.contains(why), "the timeline says why: {entries}");
    let mut explain = vec!["explain", id.as_str(), "--user", "oleg"];
    explain.extend(["--data", "data"]);
    let explained = fleet.command(&explain)?;
    assert!(explained.contains(why), "and so does explain: {explained}");
    let pushes = fleet.arrivals("oleg").await?;
    assert!(pushes.iter().all(|arrival| arrival["kind"] != "fcm"), "{pushes:?}");

    // Tokens count in whole seconds: one of the next second is a new sign-in.
    let again = until("oleg signs in again", DEADLINE, async || {
        let again = Person::signs_in(fleet, fleet.tenant().as_str(), "oleg").ok()?;
        (again.registers("new", "another-token").await.ok()? == 204).then_some(again)
    });
    assert_eq!(again.await?.devices().await?, ["new"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_belong_to_their_person_and_end_with_their_sessions() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, (300, 600_000), &[]).await?;
    a_phone_stays_with_its_tenant(&fleet).await?;
    a_lost_phone_rings_no_more(&fleet).await
}
