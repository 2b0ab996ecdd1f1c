//! Mails as they come over the wire, read by somebody else's parser (`tests/mails/check.py`, with nothing but Python's own
//! `email`), and their signatures verified by somebody else's verifier (`tests/mails/verify_dkim.py`, with dkimpy).
//!
//! The mails stay in the target folder (`tmp/mails`, `tmp/signed-mails`), for whoever wants to open them in a mail program.

use std::{fs, path::Path, process::Command};

use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use uuid::Uuid;
use watchbell::domain::{BodyFormat, Secret, Severity, alert::bounds::TITLE_CHARS_MAX};
use watchbell_fallback::channel::{
    AlertContent, Button, DkimConfig, DkimRecord, EmailConfig, EmailJob, SmtpSender,
};

use crate::fixture::{ProviderFixture, alert};

/// One mail, and what it has to say.
struct Golden {
    name: &'static str,
    config: EmailConfig,
    job: EmailJob,
    expected: Value,
}

/// Every mail: what is unlike others in one way each.
struct Goldens {
    config: EmailConfig,
    all: Vec<Golden>,
}

impl Goldens {
    /// One more, made of the usual one.
    fn add(
        &mut self,
        name: &'static str,
        change: impl FnOnce(&mut EmailConfig, &mut EmailJob),
    ) -> &mut Value {
        let (mut config, mut job) = (self.config.clone(), usual(self.all.len()));
        change(&mut config, &mut job);
        let content = &job.content;
        let mark = match content.severity {
            Severity::Info => "",
            Severity::Warning => "[Warning] ",
            Severity::Critical => "[Critical] ",
        };
        let from = config.from.rsplit_once(" <").map_or("", |(name, _)| name).trim_matches('"');
        let mut says = vec![content.title.clone(), "ana".to_owned(), "acme".to_owned()];
        if content.body_format == BodyFormat::Text {
            says.extend(content.body.clone());
        }
        says.extend(content.actions.iter().map(|button| button.title.clone()));
        let expected = json!({
            "name": name,
            "subject": format!("{mark}{}", content.title),
            "from_name": from,
            "to": job.to.expose(),
            "says": says,
            "says_not": [],
            "images": content.image.iter().collect::<Vec<_>>(),
            "unsubscribes": !content.is_mandatory,
        });
        self.all.push(Golden { name, config, job, expected });
        &mut self.all.last_mut().unwrap().expected
    }

    /// One more that differs by its title and its body.
    fn saying(&mut self, name: &'static str, title: &str, body: &str) {
        self.add(name, |_, job| {
            job.content.title = title.to_owned();
            job.content.body = Some(body.to_owned());
        });
    }

    /// One more that differs by whom it is for.
    fn to(&mut self, name: &'static str, address: &str) {
        self.add(name, |_, job| job.to = Secret::from(address));
    }
}

fn usual(number: usize) -> EmailJob {
    let at: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    let content = AlertContent { occurred_at: at, expires_at: at, ..alert("a-1") };
    EmailJob {
        attempt: Uuid::from_u128(number as u128 + 1),
        to: Secret::from("ana@watchbell.test"),
        content,
        locale: None,
        zone: None,
        acknowledge_at: None,
    }
}

fn goldens(fixture: &ProviderFixture) -> Vec<Golden> {
    let mut mails = Goldens { config: fixture.email_config(), all: Vec::new() };
    mails.add("usual", |_, _| {});
    for (name, title, body) in [
        ("latin", "Größe über Żółw: naïve", "Tür offen – „bitte“ schließen\nœuvre"),
        ("cyrillic", "Диск переполнен", "Осталось 2 %"),
        ("greek", "Ο δίσκος είναι γεμάτος", "Απομένει 2 %"),
        ("chinese", "磁盘已满", "剩余 2 %"),
        ("japanese", "ディスクがいっぱいです", "残り 2 %"),
        ("korean", "디스크가 가득 찼습니다", "2 % 남음"),
        ("hindi", "डिस्क भर गई है", "2 % बाकी है"),
        ("thai", "ดิสก์เต็ม", "เหลือ 2 %"),
        ("emoji", "🔔 👩‍🚒 🇵🇱 Feuer", "🔥🔥🔥"),
        ("arabic", "القرص ممتلئ 99 %", "بقي 2 %"),
        ("hebrew", "הדיסק מלא (node 7)", "נשארו 2 %"),
        ("turns-directions", "disk \u{202e}lluf", "\u{202e}lluf"),
        ("looks-encoded", "=?utf-8?Q?x?= is no word", "=?utf-8?Q?x?="),
        ("dots-and-dashes", ".", ".\n..\n--\n-- \nFrom nobody\n=3D="),
        ("markup", "<b>5 < 7 & \"9\"</b>", "<script>alert(1)</script>"),
    ] {
        mails.saying(name, title, body);
    }
    mails.saying("longest-ascii", &"x".repeat(TITLE_CHARS_MAX), "short");
    mails.saying("longest-words", &"word ".repeat(TITLE_CHARS_MAX / 5), "short");
    mails.saying("longest-emoji", &"🔔".repeat(TITLE_CHARS_MAX), "short");
    mails.saying("long-line", "short", &"x".repeat(10_000));
    mails.saying("long-line-of-chinese", "short", &"满".repeat(10_000));

    mails.add("named-sender", |config, _| config.from = "Żółw Wächter 看 <alerts@watchbell.test>".into());
    mails.add("quoted-sender", |config, _| {
        config.from = "\"Watch (bell), Inc.\" <alerts@watchbell.test>".into();
    });
    mails.to("address-with-a-plus", "Ana.B+ops@watchbell.test");
    mails.to("address-in-quotes", "\"a b\"@watchbell.test");
    mails.to("address-beyond-ascii", "żółw@watchbell.test");
    mails.to("domain-beyond-ascii", "ana@xn--bcher-kva.example");
    // A domain of any script has a form in ASCII, so such a mail goes through every relay.
    for (name, address, arrives_as) in [
        ("domain-in-german", "ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("domain-in-chinese", "ana@例子.example", "ana@xn--fsqu00a.example"),
        ("domain-in-arabic", "ana@مثال.example", "ana@xn--mgbh0fb.example"),
    ] {
        mails.to(name, address);
        mails.all.last_mut().unwrap().expected["to"] = json!(arrives_as);
    }

    let told = "also to those who turned email off";
    mails.add("mandatory", |_, job| job.content.is_mandatory = true)["says"] =
        json!(["Disk is full", "2 % left", told]);
    mails.add("info", |_, job| job.content.severity = Severity::Info)["says_not"] = json!([told]);
    mails.add("without-a-body", |_, job| job.content.body = None);
    mails.add("summary", |_, job| {
        job.content.title = "12 new alerts".into();
        job.content.body = Some("critical: Disk is full\nwarning: 温度\nand 10 more".into());
    });
    mails.add("picture", |_, job| job.content.image = Some("https://example.org/a.png?b=1&c=ü".into()));
    mails.add("buttons", |_, job| {
        let button = |id: &str, title: &str, answer: Option<&str>| Button {
            id: id.into(),
            title: title.into(),
            link: Some(format!("https://alerts.watchbell.test/v1/answers/token?action={id}&x=1")),
            answer: answer.map(str::to_owned),
        };
        job.content.actions = vec![button("grow", "Größer machen", Some("yes")), button("look", "看", None)];
        job.content.url = Some("/nodes/7?a=1&b=2".into());
    });
    mails.add("to-be-acknowledged", |_, job| {
        job.acknowledge_at = Some("https://alerts.watchbell.test/v1/answers/token".into());
    });
    mails.add("markdown", |_, job| {
        job.content.body_format = BodyFormat::Markdown;
        job.content.body = Some("**2 %** left, see [the node](https://example.org/n?a=1&b=2)".into());
    })["says"] = json!(["2 % left, see the node"]);
    mails.all
}

/// Mails that are signed, by both kinds of keys.
fn signed_goldens(fixture: &ProviderFixture) -> Vec<Golden> {
    let mut mails = Goldens { config: fixture.email_config(), all: Vec::new() };
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    for (key, [usual, latin, dots, mandatory]) in [
        (rsa, ["rsa", "rsa-latin", "rsa-dots", "rsa-mandatory"]),
        (ed25519, ["ed25519", "ed25519-latin", "ed25519-dots", "ed25519-mandatory"]),
    ] {
        let key = Secret::from(key.serialize_pem());
        let dkim = DkimConfig { domain: "watchbell.test".into(), selector: "s1".into(), key };
        let record = DkimRecord::of(&dkim).unwrap();
        mails.config.dkim = Some(dkim);
        let before = mails.all.len();
        mails.add(usual, |_, _| {});
        mails.saying(latin, "Größe über  Żółw: naïve", "Tür offen  –  bitte\t schließen \n\n");
        mails.saying(dots, ".", ".\n..\n--\n-- \nFrom nobody\n=3D=");
        mails.add(mandatory, |_, job| job.content.is_mandatory = true);
        for mail in &mut mails.all[before..] {
            mail.expected["dkim"] = json!({"name": record.name, "text": record.text});
        }
    }
    mails.all
}

/// Sends the mails, and writes each as it came over the wire to this folder, with what it has to say.
async fn deliver(fixture: &ProviderFixture, goldens: &[Golden], folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for Golden { name, config, job, .. } in goldens {
        let at = job.content.occurred_at;
        let sent = SmtpSender::new(config).unwrap().send_mail(job, at).await;
        assert!(sent.is_ok(), "{name}: {sent:?}");
    }
    let arrivals = fixture.arrivals().await;
    assert_eq!(arrivals.len(), goldens.len(), "each arrived by itself");
    for (golden, arrival) in goldens.iter().zip(&arrivals) {
        let source = fixture.source_of(arrival).await;
        fs::write(folder.join(format!("{}.eml", golden.name)), source).unwrap();
    }
    let expected: Vec<_> = goldens.iter().map(|golden| &golden.expected).collect();
    fs::write(folder.join("mails.json"), serde_json::to_vec_pretty(&expected).unwrap()).unwrap();
}

/// Has a script look at a folder of mails, and say this at its end.
fn look(python: impl AsRef<Path>, script: &str, folder: &Path, expected: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mails").join(script);
    let checked = Command::new(python.as_ref()).arg(script).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    assert!(said.contains(expected), "{said}");
}

#[tokio::test]
async fn mails_are_read_by_another_parser_as_they_were_written() {
    let fixture = ProviderFixture::start().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mails");
    let goldens = goldens(&fixture);
    deliver(&fixture, &goldens, &folder).await;
    look("python3", "check.py", &folder, &format!("{} mails read, 0 faults", goldens.len()));
    fixture.stop().await;
}

#[tokio::test]
async fn signatures_are_verified_by_another_verifier_and_protect_what_a_reader_sees() {
    let test = std::env::current_exe().unwrap();
    let python = test.ancestors().nth(3).unwrap().join("dkimpy/bin/python");
    assert!(python.is_file(), "no {}: run tests/tools.sh", python.display());
    let fixture = ProviderFixture::start().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signed-mails");
    let goldens = signed_goldens(&fixture);
    deliver(&fixture, &goldens, &folder).await;
    look("python3", "check.py", &folder, &format!("{} mails read, 0 faults", goldens.len()));
    look(python, "verify_dkim.py", &folder, &format!("{} signatures verified, 0 faults", goldens.len()));
    fixture.stop().await;
}
