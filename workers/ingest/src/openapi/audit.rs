//! What the document says of the audit log.

use watchbell::{
    domain::audit::{ACTORS, OBJECTS},
    runtime::http::operation::{Described, Operation},
    wire::schema::{text, time, whole},
};

use super::keyed;
use crate::{
    answers::AuditLogPage,
    audit::AUDIT_ENTRIES_PER_PAGE,
    limits::{AUDIT_ANSWER_BYTES_MAX, AUDIT_ENTRIES_PER_PAGE_MAX},
};

/// `GET /v1/audit`
pub fn entries() -> Operation {
    let limit = whole(1, AUDIT_ENTRIES_PER_PAGE_MAX as u64).default(Some(AUDIT_ENTRIES_PER_PAGE.into()));
    keyed(Operation::new("Operations", "getAuditLog", "Who changed what: a page of the audit log, the newest first"))
        .about(
            "Keys made, rotated and revoked; users, groups and sessions changed; dead letters sent again or deleted. An entry is \
             written in the commit of its change.",
        )
        .query_or_empty("since", time(), "Nothing older than that.")
        .query_or_empty("actor", text(), &format!("By this actor: {ACTORS}."))
        .query_or_empty("object", text(), &format!("About this object: {OBJECTS}."))
        .query_or_empty(
            "after",
            text().pattern(Some("^[0-9]{1,14}\\.[0-9a-f]{32}$")),
            "The `next` of the page before.",
        )
        .query_or_empty("limit", limit, "Entries on the page.")
        .answers_at_most(AUDIT_ANSWER_BYTES_MAX)
.answers(200, "The page.", Described::of::<AuditLogPage>())
        .refuses(422, "A parameter is not acceptable.")
}
