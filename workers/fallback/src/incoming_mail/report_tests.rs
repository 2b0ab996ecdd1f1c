//! Reports as servers write them, and what each says.

#![allow(clippy::unwrap_used)]

use watchbell::domain::Secret;

use super::*;

/// A delivery status with these fields of its one recipient.
fn status(fields: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nTo: b-0@bounces.example.com\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"edge\"\r\n\r\n\
         --edge\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nI'm sorry to have to inform you.\r\n\
         --edge\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\nArrival-Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\n\
         Final-Recipient: rfc822; ana@example.net\r\n{}\r\n\
         --edge\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: Disk is full\r\n\r\n--edge--\r\n",
        fields.replace('\n', "\r\n")
    )
}

#[test]
fn a_status_says_what_became_of_the_mail() {
    let came_back = |kind, reason: &str| Outcome::CameBack { kind, reason: reason.to_owned() };
    for (why, fields, expected) in [
        (
            "Postfix, no such user",
            "Original-Recipient: rfc822;ana@example.net\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.example.net\n\
             Diagnostic-Code: smtp; 550 5.1.1 <ana@example.net>: Recipient address\n    rejected: User unknown\n",
            came_back(BounceKind::Hard, "smtp; 550 5.1.1 [address] Recipient address rejected: User unknown"),
        ),
        (
            "Exchange writes no diagnosis",
            "Action: failed\nStatus: 5.2.2\n",
            came_back(BounceKind::Soft, "5.2.2"),
        ),
        (
            "Gmail: its own words are more exact than its status",
            "Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n",
            came_back(
                BounceKind::Hard,
                "smtp; 550-5.1.1 The email account that you tried to reach does not exist.",
            ),
        ),
        (
            "not authenticated",
            "Action: failed\nStatus: 5.7.26\nDiagnostic-Code: smtp; 550 5.7.26 unauthenticated\n",
            came_back(BounceKind::Policy, "smtp; 550 5.7.26 unauthenticated"),
        ),
        ("given up after days", "Action: failed\nStatus: 4.4.7\n", came_back(BounceKind::Soft, "4.4.7")),
        ("failed without more", "Action: failed\n", came_back(BounceKind::Soft, "")),
        ("small letters", "action: FAILED\nstatus: 5.1.1\n", came_back(BounceKind::Hard, "5.1.1")),
        ("late", "Action: delayed\nStatus: 4.4.1\n", Outcome::Delayed),
        ("all is well", "Action: delivered\nStatus: 2.0.0\n", Outcome::Fine),
        ("no action", "Status: 5.1.1\n", Outcome::Fine),
        (
            "a comment",
            "Action: failed (permanent)\nStatus: 5.1.1 (no mailbox)\n",
            came_back(BounceKind::Hard, "5.1.1 (no mailbox)"),
        ),
        (
            "a comment without a blank",
            "Action:\tFailed(permanent)\nStatus: 5.1.1\n",
            came_back(BounceKind::Hard, "5.1.1"),
        ),
        ("a word that only begins so", "Action: failed-over\nStatus: 5.1.1\n", Outcome::Fine),
    ] {
        assert_eq!(outcome_of(fields), expected, "{why}");
    }
}

/// What a status says of the mail to ana.
fn outcome_of(fields: &str) -> Outcome {
    let Report::Status(found) = report_of(status(fields).as_bytes()) else { panic!("it is a status") };
    found.of(&address_digest(&Secret::from("ana@example.net"))).clone()
}

#[test]
fn the_hardest_that_is_said_of_a_recipient_counts() {
    let (hard, soft) = ("Action: failed\nStatus: 5.1.1\n", "Action: failed\nStatus: 4.2.2\n");
    let of = |recipient: &str, said: &str| format!("\nFinal-Recipient: rfc822; {recipient}\n{said}");
    for (why, fields, expected) in [
        ("soft, then hard", soft.to_owned() + &of("ana@example.net", hard), Some(BounceKind::Hard)),
        ("hard, then soft", hard.to_owned() + &of("ana@example.net", soft), Some(BounceKind::Hard)),
        ("in other letters", soft.to_owned() + &of("ANA@Example.NET", hard), Some(BounceKind::Hard)),
        ("another one's is hard", soft.to_owned() + &of("ben@example.net", hard), Some(BounceKind::Soft)),
        ("theirs arrived", "Action: expanded\n".to_owned() + &of("ben@example.net", hard), None),
        (
            "as it was written to",
            soft.to_owned()
                + &of("a@example.org", &format!("Original-Recipient: rfc822;ana@example.net\n{hard}")),
            Some(BounceKind::Hard),
        ),
    ] {
        let kind = match outcome_of(&fields) {
            Outcome::CameBack { kind, .. } => Some(kind),
            Outcome::Delayed | Outcome::Fine => None,
        };
        assert_eq!(kind, expected, "{why}");
    }
    // Where it is named nowhere, what is said of any.
    let Report::Status(found) =
        report_of(status(&(soft.to_owned() + &of("ben@example.net", hard))).as_bytes())
    else {
        panic!("it is a status")
    };
    assert!(matches!(found.of("00000000"), Outcome::CameBack { kind: BounceKind::Hard, .. }), "{found:?}");
}

/// The mail that came back may tell of a log, in which the words of the types stand all over.
#[test]
fn a_status_that_encloses_the_words_of_its_types_is_read() {
    let failed = "\nAction:\n\tfailed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n";
    let log = "level=error message=timeout digest=sha256 message: a digest of messages\r\n".repeat(300);
    let mail = status(failed.trim_start())
        .replace("Subject: Disk is full\r\n", &format!("Subject: Disk is full\r\n\r\n{log}"));
    let Report::Status(found) = report_of(mail.as_bytes()) else { panic!("it is a status") };
    assert!(matches!(found.of("00000000"), Outcome::CameBack { kind: BounceKind::Hard, .. }), "{found:?}");
}

#[test]
fn what_is_no_report_says_nothing() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    for (why, mail) in [
        ("nothing", String::new()),
        ("an absence", "Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nStatus: 5.1.1\r\nAction: failed\r\n".into()),
        ("words of a report in its text", "Subject: failed\r\nContent-Type: text/plain\r\n\r\nAction: failed\nStatus: 5.1.1\n".into()),
        ("a mail within mails without end", nested),
        ("the same, with blanks and comments", "Content-Type: message (x) / (y) rfc822\r\n\r\n".repeat(100_000)),
        ("digests without end", "Content-Type: multipart/ digest; boundary=a\r\n\r\n--a\r\n\r\n".repeat(100_000)),
        ("no mail at all", "\u{0}\u{1}\u{fffd}".into()),
    ] {
        assert_eq!(report_of(mail.as_bytes()), Report::None, "{why}");
    }
}

#[test]
fn a_complaint_names_the_mail_it_encloses() {
    let ticket = "b-a7ticket";
    let complaint = |kind: &str, enclosed: &str| {
        format!(
            "From: fbl@provider.example\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=\"edge\"\r\n\r\n\
             --edge\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n\
             --edge\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n\
             --edge\r\nContent-Type: {enclosed}\r\n\r\nFrom: alerts@example.com\r\nX-Watchbell-Attempt: {ticket}\r\n\
             Subject: Disk is full\r\n\r\nIt is.\r\n--edge--\r\n"
        )
    };
    for (why, kind, enclosed, expected) in [
        ("the mail whole", "abuse", "message/rfc822", Some(true)),
        ("its head", "abuse", "text/rfc822-headers", Some(true)),
        ("not spam after all", "not-spam", "message/rfc822", None),
        ("about authentication", "auth-failure", "message/rfc822", None),
    ] {
        let report = report_of(complaint(kind, enclosed).as_bytes());
        let about = match &report {
            Report::Complaint { about, .. } => Some(about.as_deref() == Some(ticket)),
            _ => None,
        };
        assert_eq!(about, expected, "{why}: {report:?}");
    }
}
