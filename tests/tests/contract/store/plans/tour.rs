//! Everything a store can be asked, once each, about people with a long history and about newcomers.
//!
//! A statement that no stop of the tour reaches is found by `plans.rs`, which looks through the sources. Every tour asks
//! for the same number of things, so what it reads can be compared between a small store and a large one.

use std::time::Duration;

use watchbell::domain::{
    AlertId, ArrivedPush, AttemptId, Channel, GroupId, GroupRule, InboxState, OutcomeRoute, Receipt,
    ReceiptState, Secret, Severity, Status, StopReason, Timestamp, UserKey,
    audit::{Actor, AuditAction},
    restraint::{Held, Lately},
};
use watchbell::store::{
    Act, Ask, AuditQuery, AuditedChange, Claim, Contact, Decision, Escalation, EscalationKey, Hold, Holder,
    InboxSearch, KeyRights, NewAlert, NewEvent, OldAlerts, PageStart, PodLoad, ProviderAnswer, Rest, Step,
    Stepped, Store, SummaryOutcome, TOPIC_BYTES_MAX,
};
use watchbell_tests::builders::{
    accepted, acme, alert, alert_id, at, attempt, changed, event, later_version, receipt, snooze, tenant,
    topic, user, users,
};

use super::super::fixture::LEASE;

/// Hears that a stop is over, by its name.
pub type Heard<'a> = &'a mut dyn FnMut(&'static str);

/// One tour through a store. Each has alerts and a time of its own, so that it finds nothing of the one before.
pub struct Tour<'a> {
    pub store: &'a Store,
    /// The number of the tour.
    pub number: i64,
    pub heard: Heard<'a>,
}

const POD: &str = "pod-1";

impl Tour<'_> {
    pub async fn go(mut self) -> anyhow::Result<()> {
        self.record().await?;
        self.read().await?;
        self.receipts().await?;
        self.coming_back().await?;
        self.presence().await?;
        self.escalations().await?;
        for channel in Channel::ALL {
            self.summaries(channel).await?;
        }
        self.people().await?;
        self.bounces().await?;
        self.devices().await?;
        self.topics().await?;
        self.keys().await?;
        self.outbox().await?;
        self.upkeep().await?;
        self.retention().await?;
        self.erasure().await
    }

    pub fn at(&self, secs: i64) -> Timestamp {
        at(self.number * 100_000 + secs)
    }

    pub fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.number)
    }

    /// An alert of this tour, whose first step is due when it is 30 s old.
    pub fn alert(&self, name: &str, to: &[&str]) -> NewAlert {
        let due = self.at(30);
        let new = alert(&self.id(name)).to_users(to).published();
        new.first_due_at(due).absent_due_at(due).escalated_until(self.at(50_000)).build()
    }

    async fn record(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = (0..10).map(|n| format!("r{n}")).collect();
        let batch: Vec<NewAlert> =
            names.iter().map(|name| self.alert(name, &["ana", "p1", "p2", "p3", "newcomer"])).collect();
        self.store.record(&batch, self.at(0)).await?;
        (self.heard)("record: new alerts");
        self.store.record(&batch, self.at(0)).await?;
        (self.heard)("record: the same again");
        let later: Vec<NewAlert> = batch[..5].iter().map(|new| later_version(new).firing().build()).collect();
        self.store.record(&later, self.at(1)).await?;
        (self.heard)("record: a later version");
        let over: Vec<NewAlert> = later.iter().map(|new| later_version(new).resolved().build()).collect();
        self.store.record(&over, self.at(2)).await?;
        (self.heard)("record: resolved");
        let silent = later_version(&over[0]).firing().without_steps().build();
        self.store.record(std::slice::from_ref(&silent), self.at(2)).await?;
        (self.heard)("record: firing again, under a policy without steps");
        let first = self.alert("worse", &["ana", "p1", "p2"]);
        self.store.record(std::slice::from_ref(&first), self.at(2)).await?;
        let worse = later_version(&first).firing().severity(Severity::Critical).build();
        self.store.record(std::slice::from_ref(&worse), self.at(2)).await?;
        (self.heard)("record: worse");
        let heartbeat = later_version(&worse).firing().build();
        let heartbeat = NewAlert { expires_at: heartbeat.expires_at + Duration::from_secs(60), ..heartbeat };
        self.store.record(std::slice::from_ref(&heartbeat), self.at(2)).await?;
        (self.heard)("record: another expiry");
        self.store.record(&[later_version(&heartbeat).resolved().build()], self.at(2)).await?;
        self.store.record(&batch[..5], self.at(2)).await?;
        (self.heard)("record: too late");
        let second: Vec<NewAlert> =
            batch[6..].iter().map(|new| later_version(new).firing().build()).collect();
        let third: Vec<NewAlert> = second.iter().map(|new| later_version(new).firing().build()).collect();
        self.store.record(&third, self.at(2)).await?;
        self.store.record(&second, self.at(2)).await?;
        (self.heard)("record: overtaken on the way");
        self.store.known_alerts(&tenant("acme"), &[alert_id("h1"), batch[0].alert.id.clone()]).await?;
        (self.heard)("known_alerts");
        let traced = [(&tenant("acme"), &batch[0].alert.id)];
        self.store.traces_of(traced.into_iter()).await?;
        (self.heard)("traces_of");
        self.expansions().await?;
        self.store.recipients_after(&tenant("acme"), &over[0].alert.id, Some(&user("b")), 3).await?;
        (self.heard)("recipients_after");
        Ok(())
    }

    /// What is left of a large audience.
    async fn expansions(&mut self) -> anyhow::Result<()> {
        let rest = Rest { published: "as published".into(), next_page: "page 1".to_owned() };
        let first = NewAlert { rest: Some(rest), ..self.alert("large", &["ana", "p1", "newcomer"]) };
        self.store.record(std::slice::from_ref(&first), self.at(2)).await?;
        (self.heard)("record: the first of many");
        let later = later_version(&first).firing().build();
        self.store.record(std::slice::from_ref(&later), self.at(2)).await?;
        (self.heard)("record: the first of many, a later version");
        let held = self.store.claim_expansion(Some(&tenant("zzz")), self.at(3), LEASE).await?;
        let held = held.ok_or_else(|| anyhow::anyhow!("there is one"))?;
        self.store.pass_on_expansion(&held, self.at(3), LEASE).await?;
        (self.heard)("pass_on_expansion");
        for next_page in [Some("page 2"), None] {
            let held = self.store.claim_expansion(Some(&tenant("zzz")), self.at(3), LEASE).await?;
            (self.heard)("claim_expansion");
            let held = held.ok_or_else(|| anyhow::anyhow!("there is one"))?;
            let page = NewAlert { recipients: users(["p2", "p3"]), rest: None, ..later.clone() };
            self.store.record_page(&held, &page, Step { page: "page 1", next_page }, self.at(3)).await?;
            (self.heard)("record_page");
            self.store.expanded_alert(&held).await?;
            (self.heard)("expanded_alert");
            self.store.whose_expansion_waits(&tenant("zzz"), self.at(3)).await?;
            (self.heard)("whose_expansion_waits");
            self.store.release_expansion(&held, self.at(3)).await?;
            (self.heard)("release_expansion");
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let people = [acme("ana"), acme("p1"), acme("p2"), acme("stranger")];
        let heads = self.store.heads(&people).await?;
        (self.heard)("heads");
        self.store.heads_and_preferences(&people).await?;
        (self.heard)("heads_and_preferences");
        self.store.changes_after(&people[0], heads[&people[0]].seq.saturating_sub(7), 5).await?;
        (self.heard)("changes_after: the last ones");
        self.store.changes_after(&people[0], 0, 5).await?;
        (self.heard)("changes_after: the first ones");
        self.store.inbox_page(&people[0], None, 5).await?;
        (self.heard)("inbox_page: the newest");
        self.store.inbox_page(&people[0], Some(&PageStart::before(40)), 5).await?;
        (self.heard)("inbox_page: old ones");
        // As many are looked at in a small store as in a large one.
        let start = PageStart::before(40);
        let wanted = InboxSearch {
            start: Some(&start),
            states: &[InboxState::Dismissed],
            severities: &[Severity::Critical],
            limit: 5,
            looked_at_max: 20,
        };
        self.store.search_inbox(&people[0], &wanted, &|_| true).await?;
        (self.heard)("search_inbox: nothing is found");
        let any = InboxSearch { start: None, states: &[], severities: &[], ..wanted };
        self.store.search_inbox(&people[0], &any, &|_| true).await?;
        (self.heard)("search_inbox: everything is found");
        let alert = alert_id(&self.id("r9"));
        self.store.alert(&tenant("acme"), &alert).await?;
        self.store.latest(&tenant("acme"), &alert).await?;
        (self.heard)("alert, latest");
        self.store.timeline(&tenant("acme"), &alert, None, 5).await?;
        self.store.timeline(&tenant("acme"), &alert, Some(&user("ana")), 1).await?;
        (self.heard)("timeline");
        self.store.counts(&tenant("acme"), &alert).await?;
        (self.heard)("counts");
        Ok(())
    }

    /// The attempt of a push that was deleted.
    fn deleted_push(&self) -> AttemptId {
        AttemptId::from_u128(u128::from(self.number.unsigned_abs()))
    }

    async fn receipts(&mut self) -> anyhow::Result<()> {
        let shared =
            NewAlert { group: GroupRule::FirstStopsAll, ..self.alert("shared", &["ana", "p1", "p2"]) };
        self.store.record(std::slice::from_ref(&shared), self.at(2)).await?;
        (self.heard)("record: a group's");
        let (r5, shared) = (self.id("r5"), self.id("shared"));
        let said = [
            receipt(&acme("ana"), ["h2", "h3", &r5, &shared], ReceiptState::Read),
            receipt(&acme("p1"), [&r5], ReceiptState::Seen),
            receipt(&acme("p2"), [&r5], ReceiptState::Delivered),
            receipt(&acme("stranger"), [&r5], ReceiptState::Dismissed),
            Receipt {
                push: Some(ArrivedPush { attempt: self.deleted_push(), priority_lowered: None }),
                ..receipt(&acme("p2"), [&r5], ReceiptState::Delivered)
            },
        ];
        self.store.apply_receipts(&said, self.at(3)).await?;
        (self.heard)("apply_receipts");
        self.store.sent_push(self.deleted_push()).await?;
        (self.heard)("sent_push");
        self.store.shown_contents(&acme("ana"), &[alert_id(&r5), alert_id("h2")]).await?;
        (self.heard)("shown_contents");
        self.group_receipts().await
    }

    async fn coming_back(&mut self) -> anyhow::Result<()> {
        let group = GroupRule::FirstAcknowledges;
        let new = NewAlert { group, ..self.alert("snoozed", &["ana", "p1", "p2"]) };
        self.store.record(std::slice::from_ref(&new), self.at(2)).await?;
        let id = self.id("snoozed");
        let until = self.at(20);
        let snoozed = ["ana", "p1", "p2"].map(|name| snooze(&acme(name), [&id], until));
        self.store.apply_receipts(&snoozed, self.at(3)).await?;
        (self.heard)("apply_receipts: a snooze");
        let due = self.store.due_snoozes(self.at(20)).await?;
        (self.heard)("due_snoozes");
        anyhow::ensure!(due.len() == 3, "the tour's snoozes are over: {}", due.len());
        let key = due[0].key.clone();
        self.store.put_off_snoozes(&[key], self.at(20), self.at(21)).await?;
        (self.heard)("put_off_snoozes");
        for now in [20, 21] {
            self.store.wake(std::slice::from_ref(&new), self.at(now)).await?;
            (self.heard)("wake");
        }
        let suppressed = later_version(&new).status(Status::Suppressed).dismissed_until(Some(until)).build();
        self.store.record(std::slice::from_ref(&suppressed), self.at(22)).await?;
        (self.heard)("record: suppressed until a time");
        let due = self.store.due_returns(self.at(22)).await?;
        (self.heard)("due_returns");
        anyhow::ensure!(due.len() == 1, "the tour's alert is due: {}", due.len());
        self.store.put_off_return(&due[0], self.at(23)).await?;
        (self.heard)("put_off_return");
        let fires = later_version(&suppressed).firing().returns().build();
        self.store.record(&[fires], self.at(23)).await?;
        (self.heard)("record: it fires again");
        Ok(())
    }

    async fn presence(&mut self) -> anyhow::Result<()> {
        let people = [acme("ana"), acme("p1"), acme("guest")];
        self.store.renew_pod(POD, self.at(0), Duration::from_secs(1_000_000_000)).await?;
        (self.heard)("renew_pod");
        let load = PodLoad {
            sessions: 1,
            sessions_max: 2,
            started_at: self.at(0),
            told_at: self.at(0),
            leaving: false,
        };
        self.store.tell_load(POD, &load).await?;
        (self.heard)("tell_load");
        self.store.other_pods(POD, self.at(0)).await?;
        (self.heard)("other_pods");
        self.store.arrive(POD, &people, self.at(3)).await?;
        (self.heard)("arrive");
        // So that there is a first wait to end.
        self.store.record(&[self.alert("closing", &["ana", "p1", "guest"])], self.at(4)).await?;
        (self.heard)("record: to somebody who is there");
        self.store.leave(POD, &people, self.at(5)).await?;
        (self.heard)("leave");
        let dead = self.id("dead");
        self.store.renew_pod(&dead, self.at(0), Duration::from_secs(1)).await?;
        self.store.arrive(&dead, &people, self.at(3)).await?;
        (self.heard)("arrive on a pod that dies");
        while self.store.sweep_pods(self.at(6)).await? > 0 {}
        (self.heard)("sweep_pods");
        Ok(())
    }

    pub async fn due(&mut self, secs: i64) -> anyhow::Result<Vec<Claim>> {
        let claims = self.store.claim_due(self.at(secs), LEASE, 1_000).await?;
        (self.heard)("claim_due");
        Ok(claims)
    }

    async fn escalations(&mut self) -> anyhow::Result<()> {
        let claims = self.due(30).await?;
        anyhow::ensure!(claims.len() > 20, "the tour's alerts are due: {}", claims.len());
        let now = self.at(30);
        let decisions: Vec<Decision> = (0..claims.len()).map(|n| self.push(n as u128)).collect();
        let decides: Vec<_> = decisions.iter().map(|decision| |_: &Escalation| decision.clone()).collect();
        let asks: Vec<Ask<'_>> = claims
            .iter()
            .zip(&decides)
            .map(|(claim, decide)| Ask {
                key: &claim.key,
                holder: Holder::Claim(claim.number),
                answers: &[],
                now,
                decide,
            })
            .collect();
        let stepped = self.store.steps(&asks, LEASE).await?;
        (self.heard)("steps: attempts");
        let end = |_: &Escalation| Decision {
            notes: vec!["nothing is left".into()],
            lately: Some((Channel::Push, Lately { sent: 2, ..Lately::default() })),
            ..Decision::new(1, now, Act::End(StopReason::Exhausted))
        };
        let called: Vec<(&Claim, u64, [ProviderAnswer; 1])> = claims
            .iter()
            .zip(&stepped)
            .filter_map(|(claim, stepped)| match stepped {
                Some(Stepped::Call { fence, attempts, .. }) => {
                    Some((claim, *fence, [accepted(attempts[0].id)]))
                }
                _ => None,
            })
            .collect();
        let asks: Vec<Ask<'_>> = called
            .iter()
            .map(|(claim, fence, answers)| Ask {
                key: &claim.key,
                holder: Holder::Fence(*fence),
                answers,
                now,
                decide: &end,
            })
            .collect();
        self.store.steps(&asks, LEASE).await?;
        (self.heard)("steps: answers");
        Ok(())
    }

    /// Several alerts held for one summary, told in it, and then seen.
    async fn summaries(&mut self, channel: Channel) -> anyhow::Result<()> {
        let summary = AlertId::summary_by(channel).unwrap();
        let held = Held::Summary(channel);
        let names: Vec<String> = (0..3).map(|n| format!("{channel}{n}")).collect();
        let batch: Vec<NewAlert> = names.iter().map(|name| self.alert(name, &["ana"])).collect();
        self.store.record(&batch, self.at(40)).await?;
        (self.heard)("record: to be held");
        for claim in self.due(70).await? {
            let hold = Hold { held, until: self.at(150), following: None, mandatory: false };
            let decision = Decision::new(0, self.at(70), Act::Hold(hold));
            self.step(&claim.key, Holder::Claim(claim.number), &[], 70, decision).await?;
            (self.heard)("step: hold");
        }
        let claims = self.due(150).await?;
        let claim = claims.iter().find(|claim| claim.key.alert == summary);
        let claim = claim.ok_or_else(|| anyhow::anyhow!("a summary by {channel} is due"))?;
        let id = AttemptId::from_u128((self.number as u128 + 1) << 64 | (1_000 + channel as u128));
        let message = attempt(id, channel).device("phone").build();
        let call = Decision::new(0, self.at(30), Act::Attempt(vec![message]));
        let called = self.step(&claim.key, Holder::Claim(claim.number), &[], 150, call).await?;
        (self.heard)("step: a summary is sent");
        let Stepped::Call { fence, attempts, .. } = called else { anyhow::bail!("{called:?}") };
        let told = SummaryOutcome { reached: true, note: "told in one".into() };
        let rest = Decision::new(1, self.at(151), Act::Rest(self.at(40_000)));
        let decision = Decision { told: Some(told), ..rest };
        let answers = [accepted(attempts[0].id)];
        self.step(&claim.key, Holder::Fence(fence), &answers, 151, decision).await?;
        (self.heard)("step: a summary was answered");
        if channel == Channel::Email {
            self.digest_back(attempts[0].id).await?;
        }
        let ids: Vec<String> = names.iter().map(|name| self.id(name)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let seen = receipt(&acme("ana"), &ids, ReceiptState::Seen);
        self.store.apply_receipts(&[seen], self.at(152)).await?;
        (self.heard)("apply_receipts: to what a summary told of");
        // Its turn comes once more: nothing of it is open, and it goes.
        for claim in self.due(153).await? {
            let end = Decision::new(1, self.at(153), Act::End(StopReason::Seen));
            self.step(&claim.key, Holder::Claim(claim.number), &[], 153, end).await?;
            (self.heard)("step: an end");
        }
        for claim in self.due(40_001).await? {
            let end = Decision::new(1, self.at(40_001), Act::End(StopReason::Seen));
            self.step(&claim.key, Holder::Claim(claim.number), &[], 40_001, end).await?;
            (self.heard)("step: an end");
        }
        Ok(())
    }

    pub async fn step(
        &self,
        key: &EscalationKey,
        holder: Holder,
        answers: &[ProviderAnswer],
        now: i64,
        decision: Decision,
    ) -> anyhow::Result<Stepped> {
        let decide = |_: &Escalation| decision.clone();
        Ok(self.store.step(&Ask { key, holder, answers, now: self.at(now), decide: &decide }, LEASE).await?)
    }

    fn push(&self, number: u128) -> Decision {
        let id = AttemptId::from_u128((self.number as u128 + 1) << 64 | number);
        let attempt = attempt(id, Channel::Push).device("phone").build();
        Decision::new(0, self.at(30), Act::Attempt(vec![attempt]))
    }

    async fn people(&mut self) -> anyhow::Result<()> {
        let (acme_, ana): (_, UserKey) = (tenant("acme"), acme("ana"));
        let email = Secret::from("ana@example.com".to_owned());
        let contact = Contact::default().with(Channel::Email, email.clone());
        self.store.put_user(&ana, &contact, self.at(0)).await?;
        (self.heard)("put_user");
        self.store.contact(&ana).await?;
        self.store.suppress_address(&ana, Channel::Email, &email, "550 5.1.1", self.at(0)).await?;
        (self.heard)("contact, suppress_address");
        self.store.lift_refusal(&ana, Channel::Email, self.at(0)).await?;
        (self.heard)("lift_refusal");
        self.store.revoke_sessions(&ana, self.at(0)).await?;
        (self.heard)("revoke_sessions");
        self.store.everyone_after(&acme_, Some(&user("p1")), 10).await?;
        (self.heard)("everyone_after");
        self.store.known_users(&acme_, &users(["ana", "p1", "stranger"])).await?;
        (self.heard)("known_users");
        let group = GroupId::parse("everyone").unwrap();
        self.store
            .change_members(&acme_, &group, &users(["ana", "p1"]), &users(["p3", "p4"]), self.at(0))
            .await?;
        (self.heard)("change_members");
        self.store.members_after(&acme_, &group, Some(&user("p1")), 10).await?;
        (self.heard)("members_after");
        self.store.preferences(&ana).await?;
        self.store.change_preferences(&ana, self.at(0), &|_| "{}".into()).await?;
        self.store.change_own_preferences(&ana, Some(self.at(9)), self.at(0), &|_| "{}".into()).await?;
        (self.heard)("preferences");
        self.lists().await
    }

    async fn topics(&mut self) -> anyhow::Result<()> {
        let topics = ["topic-1", "topic-2", "a-new-one"].map(topic);
        let new = |key| event(key, &self.id("e")).keep(5).occurred_at(self.at(0)).content("{}").build();
        let events: Vec<NewEvent> = topics.iter().map(new).collect();
        self.store.record_events(&events, self.at(0)).await?;
        (self.heard)("record_events");
        self.store.topic_events(&topics[0], 100, TOPIC_BYTES_MAX).await?;
        (self.heard)("topic_events");
        Ok(())
    }

    /// What was written for producers on the way, and how it leaves.
    async fn outbox(&mut self) -> anyhow::Result<()> {
        let (store, queue) = (self.store, OutcomeRoute::Queue);
        let now = self.at(90_000);
        store.outcomes_wait(&queue, now).await?;
        store.claim_route(&queue, "tour", now, now + LEASE).await?;
        (self.heard)("outcomes_wait, claim_route");
        let first = store.waiting_outcomes(&queue, now, 5).await?;
        (self.heard)("waiting_outcomes");
        anyhow::ensure!(first.len() == 5, "the tour's outcomes wait: {}", first.len());
        store.settle_outcomes(&queue, &[&first[0], &first[1]], &[(&first[2], now)]).await?;
        (self.heard)("settle_outcomes");
        store.free_route(&queue, "tour", now).await?;
        store.outcome_backlog(&queue, 10).await?;
        (self.heard)("free_route, outcome_backlog");
        store.drop_outcomes(&queue, now, 2).await?;
        (self.heard)("drop_outcomes");
        store.outcome_route_after(Some(&queue)).await?;
        (self.heard)("outcome_route_after");
        Ok(())
    }

    async fn keys(&mut self) -> anyhow::Result<()> {
        let hash = format!("{}.", self.id("0123456789"));
        self.store.add_api_key(&hash, &KeyRights::of(tenant("acme")), "ci", self.at(0)).await?;
        (self.heard)("add_api_key");
        self.store.api_key(&hash).await?;
        (self.heard)("api_key");
        self.store.note_key_uses(&[(hash.clone(), self.at(0))]).await?;
        (self.heard)("note_key_uses");
        let (other, overlap) = (self.id("another"), Duration::from_secs(60));
        self.store.rotate_api_key(&hash, &other, overlap, None, self.at(0)).await??;
        self.store.revoke_api_key(&hash, self.at(0)).await?;
        self.store.api_keys().await?;
        (self.heard)(KEYS);
        let acme = tenant("acme");
        let store = self.store.by(Actor::System);
        let change = AuditedChange::done(&acme, AuditAction::UserPut, "user:ana".to_owned());
        store.note_change(&change, self.at(0)).await?;
        let stranger = UserKey::new(acme.clone(), user("stranger"));
        store.note_about_person(&stranger, AuditAction::UserExported, "done", self.at(0)).await?;
        (self.heard)("note_change");
        let all = AuditQuery { limit: 5, ..AuditQuery::default() };
        let first = store.audit_entries(&all).await?;
        let before = first.last().map(|entry| (entry.at, entry.id.clone()));
        store.audit_entries(&AuditQuery { before: before.clone(), ..all.clone() }).await?;
        store.audit_entries(&AuditQuery { tenant: Some(acme), before, ..all }).await?;
        (self.heard)("audit_entries");
        Ok(())
    }

    /// What is older than a few rows of the history goes; each tour finds the next few.
    async fn retention(&mut self) -> anyhow::Result<()> {
        let (acme_, ms) = (tenant("acme"), |ms| Timestamp::from_millisecond(ms).unwrap());
        let now = self.at(90_001);
        self.store.hold_sweep("tour", "tour", now, LEASE).await?;
        self.store.end_sweep("tour", "tour", now).await?;
        (self.heard)("hold_sweep, end_sweep");
        self.store.tenant_after(None).await?;
        (self.heard)("tenant_after");
        // An erasure takes the next five.
        let before = ms(10 * self.number + 6);
        self.store.delete_old_attempts(&acme_, before, None).await?;
        (self.heard)("delete_old_attempts");
        let mut place = OldAlerts::of(acme_.clone(), before);
        let deleted = self.store.delete_old_alerts(&mut place, now).await?;
        (self.heard)("delete_old_alerts");
        anyhow::ensure!(deleted.is_some_and(|deleted| deleted.rows == 5), "old alerts go: {deleted:?}");
        self.store.delete_old_alerts(&mut place, now).await?;
        (self.heard)("delete_old_alerts: the last step");
        self.store.delete_old_lines(&acme_, before).await?;
        (self.heard)("delete_old_lines");
        self.store.forget_deleted_alerts(self.at(90_002)).await?;
        (self.heard)("forget_deleted_alerts");
        let deleted = self.store.delete_old_audit_entries(before).await?;
        (self.heard)("delete_old_audit_entries");
        anyhow::ensure!(deleted > 0, "old entries of the audit log go");
        // Somebody whose change numbers are more than their rows.
        let (full, _) = self.store.full_inboxes(&acme_, Some(&user("o")), 2).await?;
        (self.heard)(FULL);
        let full = full.first().ok_or_else(|| anyhow::anyhow!("the first of the page has ten rows"))?;
        self.store.overflow(full, 5).await?;
        (self.heard)("overflow");
        self.store.overflow(full, 100).await?;
        (self.heard)("overflow: there is none");
        let (_, last) = self.store.trim_inbox(&full.user, None, 1, now).await?;
        (self.heard)("trim_inbox");
        self.store.trim_inbox(&full.user, last.as_ref(), 1, now).await?;
        (self.heard)("trim_inbox: the next");
        Ok(())
    }

    async fn upkeep(&mut self) -> anyhow::Result<()> {
        let history = self.store.history().await?;
        self.store.begin_history(Some(&history)).await?;
        self.store.begin_history(None).await?;
        self.store.look().await;
        self.store.survey().await.map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
        (self.heard)("history, begin_history, look, survey");
        let new = self.alert("aside", &["ana"]);
        self.store.record(std::slice::from_ref(&new), self.at(0)).await?;
        (self.heard)("record: to be set aside");
        let key = EscalationKey { user: acme("ana"), alert: new.alert.id.clone() };
        self.store.rest_escalation(&key, 0, "for the tour", self.at(1)).await?;
        (self.heard)("rest_escalation");
        self.store.next_due().await?;
        (self.heard)("next_due");
        let again = changed(&new).version(2).build();
        self.store.record(&[NewAlert { first_due_at: None, ..again }], self.at(2)).await?;
        (self.heard)("record: under a policy without steps");
        self.store.audit(self.at(3), LEASE).await?;
        (self.heard)(AUDIT);
        // What the audit made due is over as well, so that the next tour does not find it.
        for claim in self.store.claim_due(self.at(4), LEASE, 1_000).await? {
            let end = Decision::new(0, self.at(4), Act::End(StopReason::Exhausted));
            self.step(&claim.key, Holder::Claim(claim.number), &[], 4, end).await?;
        }
        (self.heard)("claim_due, step");
        self.store.release_leases().await?;
        (self.heard)(RELEASE);
        self.store.sweep_topics(Timestamp::UNIX_EPOCH).await?;
        (self.heard)(SWEEP);
        Ok(())
    }
}

/// The stops that may walk, each with why that holds nobody up.
pub const MAY_WALK: &[(&str, &str)] = &[
    (KEYS, "an operator's own commands, about as many rows as there are producers"),
    (AUDIT, "once a minute, over an index of what must not exist and 10,000 late rows at the most"),
    (RELEASE, "once, when `watchbell up` starts, over what still has a timer"),
    (FULL, "a page of a thousand people, a few times a day and with a rest after each"),
    (SWEEP, "once an hour, to find up to 100 topics that nobody publishes to any more"),
];
const KEYS: &str = "rotate_api_key, revoke_api_key, api_keys";
const AUDIT: &str = "audit";
const RELEASE: &str = "release_leases";
const SWEEP: &str = "sweep_topics";
const FULL: &str = "full_inboxes";
