//! The stops of the tour at what one of a group says for the others.

use watchbell::domain::{GroupRule, ReceiptState, Severity};
use watchbell::store::{GROUP_PAGE_MAX, NewAlert};
use watchbell_tests::builders::{acme, later_version, receipt};

use super::tour::Tour;

impl Tour<'_> {
    /// Said by one of a group, and carried to the others.
    pub async fn group_receipts(&mut self) -> anyhow::Result<()> {
        let group = GroupRule::FirstAcknowledges;
        let on_call = NewAlert { group, ..self.alert("on-call", &["ana", "p1", "p2"]) };
        self.store.record(std::slice::from_ref(&on_call), self.at(2)).await?;
        let id = self.id("on-call");
        for (who, state) in [("p1", ReceiptState::PassedOn), ("ana", ReceiptState::Acknowledged)] {
            self.store.apply_receipts(&[receipt(&acme(who), [&id], state)], self.at(3)).await?;
            (self.heard)("apply_receipts: of one of a group");
        }
        let due = self.store.group_receipts(self.at(3)).await?;
        (self.heard)("group_receipts");
        anyhow::ensure!(due.len() == 2, "the tour's receipts are to be carried: {}", due.len());
        self.store.put_off_group_receipt(&due[0], self.at(4)).await?;
        (self.heard)("put_off_group_receipt");
        for one in &due {
            self.store.carry(one, GROUP_PAGE_MAX, self.at(4)).await?;
            (self.heard)("carry");
        }
        self.store
            .apply_receipts(&[receipt(&acme("ana"), [&id], ReceiptState::PassedOn)], self.at(4))
            .await?;
        (self.heard)("apply_receipts: of whoever gives it back");
        for one in self.store.group_receipts(self.at(4)).await? {
            self.store.carry(&one, GROUP_PAGE_MAX, self.at(4)).await?;
            (self.heard)("carry: what is given back");
        }
        // More than one page has.
        let many = self.alert("many", &["ana", "p1", "p2"]);
        let many = NewAlert { group, first_due_at: None, absent_due_at: None, ..many };
        self.store.record(std::slice::from_ref(&many), self.at(2)).await?;
        let id = self.id("many");
        let passed_on = receipt(&acme("p1"), [&id], ReceiptState::PassedOn);
        self.store.apply_receipts(&[passed_on], self.at(3)).await?;
        (self.heard)("record, apply_receipts: of one of several");
        for one in self.store.group_receipts(self.at(3)).await? {
            while self.store.carry(&one, 2, self.at(4)).await?.is_more {}
            (self.heard)("carry: more than a page");
        }
        let worse = later_version(&on_call).severity(Severity::Critical).build();
        self.store.record(&[worse], self.at(5)).await?;
        (self.heard)("record: what was somebody's is anybody's");
        Ok(())
    }
}
