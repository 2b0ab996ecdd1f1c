//! What one recipient of an alert said for the others, carried to them: who has it, or that they are told sooner.
//!
//! It waits in the store ([`watchbell::store::GroupReceipt`]), and every dispatcher looks for it with what comes back by itself.
//! So another dispatcher goes on where one has died.
//!
//! What holds here:
//! - Each of those that are due gets one page of its people, and then the next one's turn comes: one with many does not keep
//!   the others waiting (I16).
//! - What the store refuses is put off alone.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;
use watchbell::{
    domain::{ReceiptState, Timestamp},
    store::{GROUP_PAGE_MAX, GROUP_RECEIPTS_MAX},
};

use crate::{
    Dispatch,
    announce::AnnouncementStage,
    patience::{NotStored, patiently},
};

/// When to try again what the store refused.
const AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// A page for each that is due, told to whoever has a screen. Answers whether there is more.
pub(crate) async fn carry_group_receipts(
    dispatch: &Dispatch,
    announcements: &AnnouncementStage,
    now: Timestamp,
    shutdown: &CancellationToken,
) -> Result<bool, NotStored> {
    let store = &dispatch.store;
    let due = patiently(shutdown, || store.group_receipts(now)).await?;
    let mut is_more = due.len() == GROUP_RECEIPTS_MAX;
    for receipt in &due {
        match patiently(shutdown, || store.carry(receipt, GROUP_PAGE_MAX, now)).await {
            Ok(page) => {
                announcements.tell_changes(&receipt.by.tenant, &receipt.alert, &page.rows).await;
                is_more |= page.is_more;
                if !page.is_more {
                    count(receipt.said);
                }
            }
            Err(NotStored::Leaving) => return Err(NotStored::Leaving),
            Err(NotStored::Refused(refusal)) => {
                let id = &receipt.alert;
                error!(error = %refusal, alert.id = %id, "What was said of {id} cannot reach the others; it is tried again later");
                let until = now + AGAIN_AFTER;
                patiently(shutdown, || store.put_off_group_receipt(receipt, until)).await?;
            }
        }
    }
    Ok(is_more)
}

fn count(said: ReceiptState) {
    metrics::counter!("watchbell_dispatch_group_receipts_total", "said" => said.as_str()).increment(1);
}
