//! Who an alert is for, in pages, so that an alert to everyone needs no more memory than one to a few.
//!
//! A person may come up on more than one page (named, and in a group): recording them twice changes nothing (I2).

use watchbell::{
    domain::{Alert, UserId},
    store::{ROWS_PER_COMMIT_MAX, Store, StoreError},
};

/// Walks an audience: people named, then groups, then everyone, then those an earlier version reached.
pub(crate) struct Audience<'a> {
    alert: &'a Alert,
    part: Part,
    after: Option<UserId>,
}

enum Part {
    Named { from: usize },
    Group { at: usize },
    Everyone,
    Earlier,
    Done,
}

impl<'a> Audience<'a> {
    pub(crate) fn of(alert: &'a Alert) -> Self {
        Self { alert, part: Part::Named { from: 0 }, after: None }
    }

    /// The next page, at most [`ROWS_PER_COMMIT_MAX`] people, each once; `None` after the last.
    pub(crate) async fn next(&mut self, store: &Store) -> Result<Option<Vec<UserId>>, StoreError> {
        loop {
            let page = match self.part {
                Part::Done => return Ok(None),
                Part::Named { from } => {
                    let named = &self.alert.to.users;
                    let to = (from + ROWS_PER_COMMIT_MAX).min(named.len());
                    self.part = if to == named.len() { self.after_named() } else { Part::Named { from: to } };
                    named[from..to].to_vec()
                }
                Part::Group { at } => {
                    let group = &self.alert.to.groups[at];
                    let (tenant, after) = (&self.alert.tenant, self.after.as_ref());
                    let page = store.members_after(tenant, group, after, ROWS_PER_COMMIT_MAX).await?;
                    let next = if at + 1 < self.alert.to.groups.len() {
                        Part::Group { at: at + 1 }
                    } else {
                        self.after_groups()
                    };
                    self.go_on(page, next)
                }
                Part::Everyone => {
                    let page = store
                        .users_after(&self.alert.tenant, self.after.as_ref(), ROWS_PER_COMMIT_MAX)
                        .await?;
                    let next = self.after_everyone();
                    self.go_on(page, next)
                }
                Part::Earlier => {
                    let (tenant, after) = (&self.alert.tenant, self.after.as_ref());
                    let page =
                        store.recipients_after(tenant, &self.alert.id, after, ROWS_PER_COMMIT_MAX).await?;
                    self.go_on(page, Part::Done)
                }
            };
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    /// Remembers where the page ended, or moves to the next part after a short one.
    fn go_on(&mut self, page: Vec<UserId>, next: Part) -> Vec<UserId> {
        if page.len() < ROWS_PER_COMMIT_MAX {
            self.part = next;
            self.after = None;
        } else {
            self.after = page.last().cloned();
        }
        page
    }

    fn after_named(&self) -> Part {
        if self.alert.to.groups.is_empty() { self.after_groups() } else { Part::Group { at: 0 } }
    }

    fn after_groups(&self) -> Part {
        if self.alert.to.everyone { Part::Everyone } else { self.after_everyone() }
    }

    /// A first version has no earlier readers to look for.
    fn after_everyone(&self) -> Part {
        if self.alert.version > 1 { Part::Earlier } else { Part::Done }
    }
}
