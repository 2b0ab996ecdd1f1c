//! Replies as people and programs write them.

#![allow(clippy::unwrap_used)]

use super::*;

const FROM: &str = "From: Ana <ana@example.net>";

fn of_person() -> Reply {
    Reply::OfPerson { from: Secret::from("ana@example.net") }
}

/// A reply with these lines in its head beside the usual ones.
fn reply(lines: &str) -> String {
    format!(
        "Received: from mail.example.net\r\nMessage-ID: <1@example.net>\r\nIn-Reply-To: <0@example.org>\r\n{}\r\n\r\n\
         I am on it.\r\n> Auto-Submitted: auto-replied\r\n",
        lines.replace('\n', "\r\n")
    )
}

#[test]
fn what_a_program_wrote_is_told_from_what_a_person_wrote() {
    for (why, lines, expected) in [
        ("a reply", "Subject: Re: Disk is full", of_person()),
        ("without a subject", "", of_person()),
        ("one that says it is a person's", "Auto-Submitted: no", of_person()),
        ("the same with a comment", "Auto-Submitted: no (really)", of_person()),
        ("one in a hurry", "Precedence: first-class\nX-Priority: 1", of_person()),
        ("one that speaks of an office", "Subject: Re: Out of office hours", of_person()),
        ("an absence", "Auto-Submitted: auto-replied", Reply::Automatic),
        (
            "with a parameter",
            "auto-submitted: auto-replied; owner-email=\"ana@example.net\"",
            Reply::Automatic,
        ),
        ("a machine's", "Auto-Submitted: auto-generated", Reply::Automatic),
        ("a word nobody knows", "Auto-Submitted: perhaps", Reply::Automatic),
        ("bulk", "Precedence: bulk", Reply::Automatic),
        ("an answering machine", "Precedence: Auto_Reply", Reply::Automatic),
        ("a list's precedence", "Precedence: list", Reply::Automatic),
        (
            "Gmail's vacation responder",
            "Precedence: bulk\nX-Autoreply: yes\nAuto-Submitted: auto-replied",
            Reply::Automatic,
        ),
        ("only its own header", "X-Autoreply: yes", Reply::Automatic),
        (
            "Exchange's",
            "Subject: Automatic reply: Disk is full\nX-Auto-Response-Suppress: All",
            Reply::Automatic,
        ),
        ("Exchange's header alone", "X-Auto-Response-Suppress: OOF, AutoReply", Reply::Automatic),
        ("a rule of Exchange's", "X-MS-Exchange-Inbox-Rules-Loop: ana@example.net", Reply::Automatic),
        ("Exchange's subject alone", "Subject: Automatic reply: Disk is full", Reply::Automatic),
        ("in German", "Subject: Automatische Antwort: Disk is full", Reply::Automatic),
        ("in French, encoded", "Subject: =?utf-8?Q?R=C3=A9ponse_automatique=C2=A0:_Disk?=", Reply::Automatic),
        ("a mailing list", "List-Id: <ops.example.net>", Reply::Automatic),
        (
            "a delivery report",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
            Reply::Automatic,
        ),
        (
            "a receipt that it was read",
            "Content-Type: MULTIPART/Report; report-type=disposition-notification; boundary=x",
            Reply::Automatic,
        ),
        ("nobody's return path, noted", "Return-Path: <>", Reply::Automatic),
        ("a mail of ours, sent on", "X-Watchbell-Attempt: b-1-2", Reply::Automatic),
    ] {
        let mail = reply(format!("{FROM}\n{lines}").trim_end());
        assert_eq!(reply_of(mail.as_bytes(), false), expected, "{why}");
        assert_eq!(reply_of(mail.as_bytes(), true), Reply::Automatic, "{why}, from nobody");
    }
}

#[test]
fn a_reply_is_of_one_sender() {
    for (why, lines, expected) in [
        ("an address alone", "From: ana@example.net", of_person()),
        ("a folded name", "From: \"Ana, of the\n office\" <ana@Example.NET>", of_person()),
        ("two senders", "From: ana@example.net, ben@example.net", Reply::OfNobody),
        ("a group", "From: Everybody:ana@example.net, ben@example.net;", Reply::OfNobody),
        ("two headers", "From: ana@example.net\nFrom: ben@example.net", Reply::OfNobody),
        ("no sender", "Subject: Re: Disk is full", Reply::OfNobody),
        ("no address", "From: Ana", Reply::OfNobody),
        ("an empty one", "From:", Reply::OfNobody),
    ] {
        assert_eq!(reply_of(reply(lines).as_bytes(), false), expected, "{why}");
    }
    for (why, bytes) in [
        ("nothing", Vec::new()),
        ("no head", b"\r\n\r\nhello".to_vec()),
        ("no mail at all", vec![0, 1, 255, 254]),
        ("a mail within mails without end", b"Content-Type: message/rfc822\r\n\r\n".repeat(100_000)),
    ] {
        assert_eq!(reply_of(&bytes, false), Reply::OfNobody, "{why}");
    }
}

#[test]
fn one_mailbox_is_written_in_several_ways() {
    for (why, one, other, expected) in [
        ("the same", "ana@example.net", "ana@example.net", true),
        ("in other letters", "Ana.Lima@example.net", "ana.lima@EXAMPLE.net", true),
        ("sorted by a word", "ana+alerts@example.net", "ana@example.net", true),
        ("another person", "ana@example.net", "ben@example.net", false),
        ("another domain", "ana@example.net", "ana@example.com", false),
        ("a longer name", "ana@example.net", "anab@example.net", false),
        ("no address", "ana", "ana", false),
    ] {
        assert_eq!(is_same_mailbox(&one.into(), &other.into()), expected, "{why}");
    }
}
