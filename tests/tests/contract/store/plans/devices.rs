//! The stops of the tour at what people are reached by: mails that come back, and devices.

use watchbell::domain::{
    AttemptId, AttemptState, Channel, PushService, Secret, StopReason, Timestamp,
    bounce::{Bounce, BounceKind},
    device_test::TestAsked,
    email::address_digest,
};
use watchbell::store::{Act, Decision, EscalationKey, Holder, Stepped, TestResult};
use watchbell_tests::builders::{accepted, acme, alert_id, attempt, device};

use super::{super::fixture::LEASE, tour::Tour};

impl Tour<'_> {
    /// Mails that a relay took, and that come back.
    pub async fn bounces(&mut self) -> anyhow::Result<()> {
        let name = self.id("mailed");
        self.store.record(&[self.alert("mailed", &["ana"])], self.at(200)).await?;
        (self.heard)("record: to be mailed");
        let claims = self.due(240).await?;
        let claim = claims.iter().find(|claim| claim.key.alert.as_str() == name);
        let claim = claim.ok_or_else(|| anyhow::anyhow!("{name} is due"))?;
        let ids = [5_000, 5_001].map(|n| AttemptId::from_u128((self.number as u128 + 1) << 64 | n));
        let mails = ids.map(|id| attempt(id, Channel::Email).build()).into();
        let call = Decision::new(0, self.at(240), Act::Attempt(mails));
        let called = self.step(&claim.key, Holder::Claim(claim.number), &[], 240, call).await?;
        (self.heard)("step: mails are sent");
        let Stepped::Call { fence, .. } = called else { anyhow::bail!("{called:?}") };
        let end = Decision::new(1, self.at(241), Act::End(StopReason::Exhausted));
        self.step(&claim.key, Holder::Fence(fence), &ids.map(accepted), 241, end).await?;
        (self.heard)("step: mails were taken");
        let address_digest = address_digest(&Secret::from("ana@example.com"));
        for (attempt, kind) in ids.into_iter().zip([BounceKind::Soft, BounceKind::Hard]) {
            let (address_digest, reason) = (address_digest.clone(), "5.1.1".to_owned());
            let bounce = Bounce { attempt, address_digest, kind, reason };
            self.store.record_bounce(&bounce, None, self.at(242)).await?;
            (self.heard)("record_bounce");
        }
        Ok(())
    }

    pub async fn devices(&mut self) -> anyhow::Result<()> {
        let phone = |token: String| {
            device("phone").service(PushService::Fcm).token(token).registered_at(self.at(0)).build()
        };
        let (first, second) = (phone(self.id("first")), phone(self.id("second")));
        for (who, device) in [("ana", &first), ("ana", &second), ("newcomer", &second), ("ana", &first)] {
            self.store.put_device(&acme(who), device, 20).await?;
        }
        (self.heard)("put_device");
        let leaving = device("phone").service(PushService::Fcm).token(self.id("leaving"));
        let leaving = leaving.registered_at(self.at(0)).issued_at(self.at(5)).build();
        self.store.put_device(&acme("leaver"), &leaving, 20).await?;
        let ended = self.store.revoke_sessions(&acme("leaver"), self.at(5)).await?;
        assert_eq!(ended.devices, 1, "or the tour does not come by what ends a device");
        (self.heard)("revoke_sessions of somebody with a device");
        self.store.devices(&acme("ana")).await?;
        (self.heard)("devices");
        self.store.devices_with_pushes(&acme("p1")).await?;
        (self.heard)("devices_with_pushes");
        let test = AttemptId::from_u128(700 + self.number as u128);
        let asked = self.store.ask_for_device_test(&acme("newcomer"), &second.id, test, self.at(0)).await?;
        assert_eq!(asked, TestAsked::Done, "or the tour does not come by a test");
        (self.heard)("ask_for_device_test");
        let taken = self.store.take_device_tests(self.at(0), LEASE, 5).await?;
        (self.heard)("take_device_tests");
        let result = TestResult { state: AttemptState::Accepted, outcome: "accepted", next_try_at: None };
        self.store.keep_test_result(&taken[0], &result, self.at(1)).await?;
        (self.heard)("keep_test_result");
        let key = EscalationKey { user: acme("ana"), alert: alert_id(&self.id("r9")) };
        self.store.forget_token(&key, &first, None, self.at(1)).await?;
        (self.heard)("forget_token");
        self.store.delete_device(&acme("newcomer"), &second.id).await?;
        (self.heard)("delete_device");
        self.store.delete_devices(&acme("newcomer"), Some(&second.id), self.at(0)).await?;
        self.store.delete_devices(&acme("newcomer"), None, self.at(0)).await?;
        (self.heard)("delete_devices");
        let old = Timestamp::from_second(1_800_000_000).unwrap();
        self.store.prune_devices(PushService::Fcm, old, 2).await?;
        (self.heard)("prune_devices");
        Ok(())
    }
}
