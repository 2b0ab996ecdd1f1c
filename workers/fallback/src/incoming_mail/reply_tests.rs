//! Replies as people and programs write them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::incoming_mail::incoming_message::MESSAGE_BYTES_MAX;

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
        ("one that speaks of an office", "Subject: Re: Power in the office is out", of_person()),
        ("one with tags", "Subject: [EXTERNAL] Re[2]: AW: [Warning] Disk is full", of_person()),
        ("about what is automatic", "Subject: Re: The automatic backup failed", of_person()),
        ("one that was opened to be read", "Subject: Re: Readings: too high", of_person()),
        ("in Japanese", "Subject: =?utf-8?B?UmU6IOODh+OCo+OCueOCrw==?=", of_person()),
        ("with keys of its own", "Autocrypt: addr=ana@example.net\nX-Mailer: Apple Mail (2.3)", of_person()),
        ("that asks for receipts", "Disposition-Notification-To: ana@example.net", of_person()),
        (
            "written in Gmail",
            "Return-Path: <ana@example.net>\nContent-Type: multipart/alternative; boundary=x",
            of_person(),
        ),
        ("delivered by somebody", "Delivered-To: r-x@bounces.example.com", of_person()),
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
        ("marked, and then not", "Auto-Submitted: auto-replied\nAuto-Submitted: no", Reply::Automatic),
        ("not marked, and then so", "Auto-Submitted: no\nAuto-Submitted: auto-replied", Reply::Automatic),
        ("a quoted word", "Auto-Submitted: \"auto-replied\"", Reply::Automatic),
        ("a comment first", "Auto-Submitted: (x) auto-replied", Reply::Automatic),
        ("a word within a comment", "Auto-Submitted: (no) auto-replied", Reply::Automatic),
        ("folded", "Auto-Submitted:\n auto-replied", Reply::Automatic),
        ("a blank before the colon", "Auto-Submitted : auto-replied", Reply::Automatic),
        ("behind a NUL", "X-A: b\0\nAuto-Submitted: auto-replied", Reply::Automatic),
        ("nothing said", "Auto-Submitted:", Reply::Automatic),
        ("an older header", "X-Auto-Submitted: auto-replied", Reply::Automatic),
        ("bulk with a comment", "Precedence: bulk (comment)", Reply::Automatic),
        ("two precedences", "Precedence: bulk\nPrecedence: first-class", Reply::Automatic),
        ("an older precedence", "X-Precedence: auto_reply", Reply::Automatic),
        ("cPanel's", "Preference: auto_reply", Reply::Automatic),
        ("an autoresponder's own address", "Delivered-To: Autoresponder", Reply::Automatic),
        ("the subject that is answered", "X-Autoreply-Subject: x", Reply::Automatic),
        ("a vacation", "X-Vacation: yes", Reply::Automatic),
        ("a rule", "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent", Reply::Automatic),
        ("a loop", "X-Loop: ana@example.net", Reply::Automatic),
        ("nobody's return path, with a blank", "Return-Path: < >", Reply::Automatic),
        ("a server's return path", "Return-Path: <MAILER-DAEMON>", Reply::Automatic),
        ("the first of two return paths", "Return-Path: <>\nReturn-Path: <a@example.net>", Reply::Automatic),
        ("an invitation taken", "Content-Type: text/calendar; method=REPLY", Reply::Automatic),
        (
            "Exchange's form of a receipt",
            "Subject: Read: Disk\nContent-Type: application/ms-tnef",
            Reply::Automatic,
        ),
        ("a subject of two", "Subject: Out of office\nSubject: Re: Disk", Reply::Automatic),
        ("answered, too", "Subject: Re: Out of Office", Reply::Automatic),
        ("answered twice, with a tag", "Subject: [EXT] AW: Re[2]: Abwesenheit: Disk", Reply::Automatic),
        ("a mail of ours, sent on", "X-Watchbell-Attempt: b-1-2", Reply::Automatic),
    ] {
        let mail = reply(format!("{FROM}\n{lines}").trim_end());
        assert_eq!(reply_of(&mail.as_bytes().into(), false), expected, "{why}");
        assert_eq!(reply_of(&mail.as_bytes().into(), true), Reply::Automatic, "{why}, from nobody");
    }
}

#[test]
fn subjects_of_programs_are_known_however_they_are_written() {
    for subject in [
        "Automatisch antwoord: Disk",
        "Automatyczna odpowiedź: Disk",
        "Autosvar: Disk",
        "=?utf-8?B?6Ieq5YuV5b+c562UOiBU?=",
        "自動応答: Disk",
        "Resposta automática: Disk",
        "Respuesta automatica: Disk",
        "Réponse automatique : Disk",
        "Re\u{301}ponse automatique : Disk",
        "=?iso-8859-1?Q?R=E9ponse_automatique_:_Disk?=",
        "Abwesenheit: Disk",
        "Abwesenheitsassistent: Disk",
        "OOO: back on Monday",
        "I am out of the office",
        "I'm out of office until Monday",
        "I’m out of office until Monday",
        "Vacation reply",
        "Auto Response: Disk",
        "Auto-Response: Disk",
        "Auto\u{2011}Response: Disk",
        "AUTO\u{a0}REPLY",
        "Autoresponse",
        "Automated reply",
        "Re: Out of Office: Disk",
        "Auto: Disk",
        "Read: [Warning] Disk",
    ] {
        let mail = reply(&format!("{FROM}\nSubject: {subject}"));
        assert_eq!(reply_of(&mail.as_bytes().into(), false), Reply::Automatic, "{subject}");
    }
}

#[test]
fn a_head_that_was_cut_off_acknowledges_nothing() {
    let padding = format!("X-Pad: {}", "a\n ".repeat(MESSAGE_BYTES_MAX));
    let mail = reply(&format!("{FROM}\n{padding}\nAuto-Submitted: auto-replied"));
    assert_eq!(reply_of(&mail.as_bytes().into(), false), Reply::Automatic);
    let long = reply(FROM) + &"It is long.\r\n".repeat(MESSAGE_BYTES_MAX / 8);
    assert_eq!(reply_of(&long.as_bytes().into(), false), of_person());
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
        assert_eq!(reply_of(&reply(lines).as_bytes().into(), false), expected, "{why}");
    }
    for (why, bytes) in [
        ("nothing", Vec::new()),
        ("no head", b"\r\n\r\nhello".to_vec()),
        ("no mail at all", vec![0, 1, 255, 254]),
        ("a mail within mails without end", b"Content-Type: message/rfc822\r\n\r\n".repeat(100_000)),
    ] {
        assert_eq!(reply_of(&bytes.as_slice().into(), false), Reply::OfNobody, "{why}");
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
