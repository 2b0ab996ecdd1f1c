//! The stops of the tour at what people are reached by: mails that come back, and devices.

use std::sync::Arc;

use watchbell::domain::{
    AttemptId, AttemptState, Channel, PushService, ReceiptState, Secret, StopReason, Timestamp,
    bounce::{Bounce, BounceKind},
    device_test::TestAsked,
    email::address_digest,
};
use watchbell::store::{
    Act, Decision, EscalationKey, Holder, KeptActivity, KeptChannel, Stepped, TestResult, WantedActivity,
};
use watchbell_tests::builders::{accepted, acme, alert_id, attempt, device, later_version, receipt};

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
        self.store.mailed_alert(ids[0]).await?;
        (self.heard)("mailed_alert");
        Ok(())
    }

    /// A mail that told of several alerts is replied to, and comes back.
    pub async fn digest_back(&mut self, attempt: AttemptId) -> anyhow::Result<()> {
        self.store.mailed_alert(attempt).await?;
        (self.heard)("mailed_alert: of a summary");
        let address_digest = address_digest(&Secret::from("ana@example.com"));
        let bounce = Bounce { attempt, address_digest, kind: BounceKind::Policy, reason: "5.7.1".to_owned() };
        self.store.record_bounce(&bounce, None, self.at(151)).await?;
        (self.heard)("record_bounce: of a summary");
        Ok(())
    }

    /// Live Activities: wanted, registered, woken, taken, and every way in which they go.
    async fn activities(&mut self) -> anyhow::Result<()> {
        let (user, own) = (acme("viewer"), Secret::from("own"));
        let phone =
            device("phone").token(self.id("viewer")).registered_at(self.at(0)).start_token("start").build();
        self.store.put_device(&user, &phone, 20).await?;
        let shown = self.alert("shown", &["viewer"]);
        self.store.record(std::slice::from_ref(&shown), self.at(300)).await?;
        let key = EscalationKey { user: user.clone(), alert: shown.alert.id.clone() };
        let wanted = WantedActivity { key: &key, device: &phone, listens_in: None };
        self.store.want_activity(wanted, self.at(300)).await?;
        (self.heard)("want_activity");
        self.store.put_activity(&key, &phone.id, &own, self.at(300)).await?;
        (self.heard)("put_activity");
        let goes = KeptActivity::Goes { told: None, due_at: self.at(301), is_to_repeat: false };
        let gone = KeptActivity::TokenGone { unless_registered_after: None };
        for (name, kept, has_token) in [
            ("keep_activity: it goes on", goes, true),
            ("keep_activity: nothing came of it", KeptActivity::Over, true),
            ("keep_activity: its token is gone", gone.clone(), true),
            ("keep_activity: nothing starts there", gone, false),
            ("keep_activity: ended", KeptActivity::Ended, true),
        ] {
            match has_token {
                true => drop(self.store.put_activity(&key, &phone.id, &own, self.at(301)).await?),
                false => self.store.want_activity(wanted, self.at(301)).await?,
            }
            let taken = self.store.take_activities(self.at(301), LEASE, 5).await?;
            let taken = taken.first().ok_or_else(|| anyhow::anyhow!("{name}: none is due"))?;
            self.store.keep_activity(taken, &kept, Some("a note"), self.at(301)).await?;
            (self.heard)(name);
        }
        self.store.put_activity(&key, &phone.id, &own, self.at(302)).await?;
        let receipt = receipt(&user, [key.alert.as_str()], ReceiptState::Seen);
        self.store.apply_receipts(&[receipt], self.at(302)).await?;
        (self.heard)("apply_receipts: a Live Activity is woken");
        let later = later_version(&shown).firing().build();
        self.store.record(std::slice::from_ref(&later), self.at(302)).await?;
        (self.heard)("record: a Live Activity is woken");
        self.store.delete_activity(&key, &phone.id).await?;
        (self.heard)("delete_activity");
        self.store.delete_device(&user, &phone.id, self.at(303)).await?;
        (self.heard)("delete_device: Live Activities are woken");
        Ok(())
    }

    /// A broadcast channel: wanted, listened to, woken, ended, and another one after it.
    async fn broadcast_channels(&mut self) -> anyhow::Result<()> {
        let user = acme("viewer");
        let phone =
            device("phone").token(self.id("listener")).registered_at(self.at(0)).start_token("start").build();
        self.store.put_device(&user, &phone, 20).await?;
        let mut told = self.alert("broadcast", &["viewer"]);
        Arc::make_mut(&mut told.alert).to.everyone = true;
        self.store.record(std::slice::from_ref(&told), self.at(310)).await?;
        let key = EscalationKey { user: user.clone(), alert: told.alert.id.clone() };
        let wanted = WantedActivity { key: &key, device: &phone, listens_in: Some("com.example") };
        self.store.want_activity(wanted, self.at(310)).await?;
        (self.heard)("want_activity: it is to listen");
        let version = Some((told.alert.version, told.alert.severity));
        let made = KeptChannel::Made { channel: self.id("channel"), told: version };
        let goes = KeptChannel::Goes { told: version, due_at: self.at(311), is_to_repeat: false };
        for (name, kept) in [
            ("keep_channel: not made", KeptChannel::NotMade { due_at: self.at(311) }),
            ("keep_channel: made", made),
            ("keep_channel: it goes on", goes),
        ] {
            let taken = self.store.take_channels(self.at(311), LEASE, 5).await?;
            let taken = taken.first().ok_or_else(|| anyhow::anyhow!("{name}: none is due"))?;
            self.store.keep_channel(taken, &kept, self.at(311)).await?;
            (self.heard)(name);
        }
        let taken = self.store.take_activities(self.at(311), LEASE, 5).await?;
        let listens = KeptActivity::Listens {
            channel: self.id("channel"),
            told: (told.alert.version, told.alert.severity),
            due_at: self.at(311),
        };
        self.store.keep_activity(&taken[0], &listens, None, self.at(311)).await?;
        (self.heard)("keep_activity: it listens");
        let later = later_version(&told).firing().build();
        self.store.record(std::slice::from_ref(&later), self.at(312)).await?;
        (self.heard)("record: a broadcast channel is woken");
        for (name, kept) in
            [("keep_channel: ended", KeptChannel::Ended), ("keep_channel: gone", KeptChannel::Gone)]
        {
            let taken = self.store.take_channels(self.at(312), LEASE, 5).await?;
            let taken = taken.first().ok_or_else(|| anyhow::anyhow!("{name}: none is due"))?;
            self.store.keep_channel(taken, &kept, self.at(312)).await?;
            (self.heard)(name);
        }
        self.store.delete_activity(&key, &phone.id).await?;
        self.store.delete_device(&user, &phone.id, self.at(313)).await?;
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
        self.activities().await?;
        self.broadcast_channels().await?;
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
        self.store.delete_device(&acme("newcomer"), &second.id, self.at(1)).await?;
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
