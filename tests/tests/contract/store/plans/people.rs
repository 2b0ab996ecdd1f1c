//! The stops of the tour at lists, at everything about a person, and at their erasure.

use watchbell::domain::{GroupId, Timestamp, UserKey};
use watchbell::store::{AlertPlace, ExportPlace};
use watchbell_tests::builders::{acme, alert_id, tenant, user, users};

use super::tour::Tour;

impl Tour<'_> {
    /// What a backend looks through.
    pub async fn lists(&mut self) -> anyhow::Result<()> {
        let (acme_, ana): (_, UserKey) = (tenant("acme"), acme("ana"));
        let group = GroupId::parse("everyone").unwrap();
        self.store.people_from(&acme_, "p1", Some(&user("p1")), 10).await?;
        self.store.people_of_group_from(&acme_, &group, "p1", Some(&user("p1")), 10).await?;
        self.store.names_are_in_byte_order().await?;
        (self.heard)("people_from, people_of_group_from");
        self.store.person(&ana, 10, 10).await?;
        (self.heard)("person");
        self.store.groups_after(&acme_, None, 10).await?;
        (self.heard)("groups_after");
        let small = GroupId::parse("small").unwrap();
        self.store.change_members(&acme_, &small, &users(["ana", "p1"]), &[], self.at(0)).await?;
        (self.heard)("change_members: a new group");
        self.store.delete_group(&acme_, &small, 10, self.at(0)).await?;
        (self.heard)("delete_group");
        let middle = AlertPlace { number: 40, alert: "h40".to_owned() };
        for place in [AlertPlace::first(), middle] {
            self.store.alerts_page(&acme_, &place, None, 5).await?;
            (self.heard)("alerts_page");
            self.store.alerts_page_of(&ana, &place, 5).await?;
            (self.heard)("alerts_page_of");
        }
        self.explained(&ana).await?;
        for place in ExportPlace::sections() {
            let page = self.store.export_page(&ana, &place, 5).await?;
            (self.heard)("export_page: the first of each kind");
            if let Some(next) = page.next {
                self.store.export_page(&ana, &next, 5).await?;
                (self.heard)("export_page: the next ones");
            }
        }
        Ok(())
    }

    /// What somebody with a long history got and did not get.
    async fn explained(&mut self, ana: &UserKey) -> anyhow::Result<()> {
        let middle = AlertPlace { number: 40, alert: "h40".to_owned() };
        for place in [AlertPlace::first(), middle] {
            let read = self.store.alerts_of_person(ana, &place, Timestamp::UNIX_EPOCH, 5).await?;
            anyhow::ensure!(read.len() == 5, "a page is full: {}", read.len());
            (self.heard)("alerts_of_person");
        }
        self.store.told_in_line(ana, &alert_id("h7")).await?;
        (self.heard)("told_in_line");
        for until in [self.at(0), Timestamp::from_millisecond(40)?] {
            let read = self.store.alerts_for_many(ana, Timestamp::UNIX_EPOCH, until, 5).await?;
            anyhow::ensure!(read.len() == 5, "as many as are looked at: {}", read.len());
            (self.heard)("alerts_for_many");
        }
        self.store.reachability(ana, self.at(0)).await?;
        self.store.groups_of(ana, 5).await?;
        (self.heard)("reachability, groups_of");
        Ok(())
    }

    /// A part of somebody with a long history, and all of a newcomer.
    pub async fn erasure(&mut self) -> anyhow::Result<()> {
        self.store.refuse_erased_sessions(&acme("ana"), self.at(5)).await?;
        (self.heard)("refuse_erased_sessions");
        let part = self.store.erase_batch(&acme("ana"), 5).await?;
        (self.heard)("erase_batch: a part");
        anyhow::ensure!(!part.is_over, "there is more of ana: {part:?}");
        while !self.store.erase_batch(&acme("newcomer"), 500).await?.is_over {}
        (self.heard)("erase_batch: all");
        Ok(())
    }
}
