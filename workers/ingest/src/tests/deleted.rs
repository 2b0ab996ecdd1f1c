//! What a producer hears of an alert that was deleted because it was old.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell::{
    domain::{Alert, Status, Tenant, Timestamp},
    store::{Act, Ask, Decision, Escalation, Holder, OldAlerts, Store},
};

use super::fixture::{Dispatch, Fixture, NOW};

fn pagerduty(action: &str) -> (&'static str, Value) {
    let payload = json!({"summary": "80 %", "severity": "warning", "source": "db-1"});
    let body = json!({"event_action": action, "dedup_key": "disk", "payload": payload});
    ("/v1/hooks/pagerduty?users=ana", body)
}

/// Ends what still goes on, and deletes all alerts as if they were old.
async fn delete_all(store: &Store) {
    let now = NOW.parse::<Timestamp>().unwrap() + Duration::from_secs(60);
    let lease = Duration::from_secs(30);
    for claim in store.claim_due(now, lease, 10).await.unwrap() {
        let end = |_: &Escalation| Decision::new(1, now, Act::End(watchbell::domain::StopReason::Exhausted));
        let holder = Holder::Claim(claim.number);
        store.step(&Ask { key: &claim.key, holder, answers: &[], now, decide: &end }, lease).await.unwrap();
    }
    let mut place = OldAlerts::of(Tenant::parse("acme").unwrap(), now);
    let deleted = store.delete_old_alerts(&mut place, now).await.unwrap().unwrap();
    assert_eq!((deleted.rows, deleted.alerts, deleted.stayed), (1, 1, 0));
}

fn versions(fixture: &Fixture) -> Vec<(u32, Status)> {
    let alerts: Vec<Alert> = fixture.alerts();
    alerts.iter().map(|alert| (alert.version, alert.status)).collect()
}

#[tokio::test]
async fn what_fires_again_after_it_was_deleted_is_told_as_the_next_version() {
    let fixture = Fixture::new(Dispatch::Records).await;
    for action in ["trigger", "resolve"] {
        let (uri, body) = pagerduty(action);
        assert_eq!(fixture.post(uri, body).await.status, 202);
    }
    delete_all(&fixture.store).await;
    let id = fixture.alerts()[0].id.clone();
    for path in ["", "/timeline"] {
        assert_eq!(fixture.get(&format!("/v1/alerts/{id}{path}")).await.status, 404, "{path}");
    }
    let patched =
        fixture.send("PATCH", &format!("/v1/alerts/{id}"), &[], json!({"title": "?"}).to_string()).await;
    assert_eq!(patched.status, 404, "{}", patched.text);

    for action in ["resolve", "acknowledge", "trigger"] {
        let (uri, body) = pagerduty(action);
        let answer = fixture.post(uri, body).await;
        assert_eq!(answer.status, 202, "{action}: {}", answer.text);
    }
    let expected = [(1, Status::Firing), (2, Status::Resolved), (3, Status::Firing)];
    assert_eq!(versions(&fixture), expected, "its end is no news, and what begins anew is");
    let tenant = Tenant::parse("acme").unwrap();
    let stored = fixture.store.latest(&tenant, &id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.status), (3, Status::Firing));
    assert_eq!(fixture.store.recipients_after(&tenant, &id, None, 9).await.unwrap().len(), 1, "ana has it");
}
