//! Mails that come to us: one that comes back after the relay took it ends its address, and `explain` says why; a reply acknowledges
//! its alert, if a person wrote it.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use watchbell::{domain::Secret, wire::mail_ticket::MailTicket};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    ports,
    scrape::Scrape,
    session::Frames as _,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_mail_is_replied_to_and_comes_back() -> anyhow::Result<()> {
    let listen = format!("127.0.0.1:{}", ports::free()?);
    // Every process reads the section; fallback is told by the fleet where the relay really is.
    let env = [
        ("WATCHBELL__EMAIL__HOST", "localhost"),
        ("WATCHBELL__EMAIL__PORT", "1"),
        ("WATCHBELL__EMAIL__FROM", "Watchbell <alerts@watchbell.test>"),
        ("WATCHBELL__EMAIL__BOUNCE_DOMAIN", "bounces.watchbell.test"),
        ("WATCHBELL__EMAIL__BOUNCE_LISTEN", listen.as_str()),
        ("WATCHBELL__EMAIL__REPLY_ACKNOWLEDGES", "true"),
        ("WATCHBELL__HTTP__PUBLIC_URL", "https://alerts.watchbell.test"),
        ("WATCHBELL__AUTH__UNSUBSCRIBE_SECRET", "a-secret-of-tests-that-answers-for-nobody-else"),
    ];
    let policy = "[policies.default]\nsteps = [{channel = \"email\", after = \"100ms\"}]\n\
                  [restraint]\ndigest_window = \"0s\"\n";
    let mut fleet = Fleet::start_configured(Engine::Services, policy, &env).await?;
    fleet.furnish("ana").await?;
    acknowledges_by_a_reply(&fleet, &listen).await?;
    forgeries_end_no_address(&fleet, &listen).await?;
    fleet.forget_arrivals().await?;
    ends_its_address_until_an_operator_lifts_it(&fleet, &listen).await?;
    is_told_by_providers(&mut fleet).await
}

/// Only a person's reply, from the address that the mail went to, acknowledges; what is not one is taken all the same.
async fn acknowledges_by_a_reply(fleet: &Fleet, mx: &str) -> anyhow::Result<()> {
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    let mail = until("the mail", DEADLINE, async || {
        let mut arrivals = fleet.arrivals("ana").await.ok()?;
        arrivals.pop().filter(|arrival| arrival["kind"] == "email")
    })
    .await?;
    let text = mail["body"].as_str().unwrap_or_default();
    assert!(text.contains("Or reply to this mail to acknowledge the alert."), "{text}");
    let reply_to = mail["headers"]["reply-to"].as_str().unwrap_or_default().trim_matches(['<', '>']);
    let (local, domain) = reply_to.split_once('@').unwrap_or_default();
    assert!(local.starts_with("r-") && domain == "bounces.watchbell.test", "{mail}");

    let reply = async |fields: Value| {
        let mut asked = json!({"mx": mx, "alert": id});
        asked.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
        fleet.simulate("/replies", &asked).await
    };
    let state = async || -> anyhow::Result<Value> {
        let rows = fleet.inbox("ana").await?;
        Ok(rows.into_iter().find(|row| row["alert"]["id"] == json!(id)).unwrap_or_default()["state"].take())
    };
    let forged = format!("{}{}@{domain}", &local[..30], if local[30..].starts_with('a') { "b" } else { "a" });
    let forged = forged.replace('@', &format!("{}@", &local[31..]));
    for (why, fields, is_taken) in [
        ("Gmail's vacation responder", json!({"as": "gmail_vacation"}), true),
        ("Exchange's", json!({"as": "exchange_out_of_office"}), true),
        ("a receipt that it was read", json!({"as": "read_receipt"}), true),
        ("a mailing list", json!({"as": "mailing_list"}), true),
        ("a program that marks only its subject", json!({"as": "subject_only"}), true),
        ("somebody to whom it was forwarded", json!({"from": "ben@watchbell.test"}), true),
        ("a ticket that is made up", json!({"to": forged}), false),
        (
            "to the return path",
            json!({"to": mail["headers"]["x-watchbell-attempt"].as_str().map(|it| format!("{it}@{domain}"))}),
            true,
        ),
        ("another domain", json!({"to": format!("{local}@elsewhere.test")}), false),
    ] {
        let said = reply(fields).await?;
        assert_eq!(said["taken"], is_taken, "{why}: {said}");
        assert_eq!(state().await?, "new", "{why}");
    }

    let mut session = fleet.session("socket-1", "ana", None).await?;
    let said = reply(json!({"from": "Ana+phone@watchbell.test"})).await?;
    assert_eq!(said["taken"], true, "{said}");
    assert_eq!(state().await?, "seen");
    let told = session.next_of("receipt").await?;
    assert_eq!((&told["alerts"], &told["state"]), (&json!([id]), &json!("seen")), "{told}");
    let timeline = fleet.timeline(&id, "ana").await?;
    assert_eq!(timeline["stopped"], "seen", "{timeline}");
    assert!(timeline.to_string().contains("acknowledged by a reply to a mail"), "{timeline}");

    // Once more, and about an alert that is over: taken, without an effect.
    assert_eq!(reply(json!({})).await?["taken"], true);
    let resolved = json!({"status": "resolved"});
    let (status, problem) =
        fleet.producer(Method::PATCH, &format!("/v1/alerts/{id}"), Some(&resolved)).await?;
    assert!(status < 300, "{problem}");
    assert_eq!(reply(json!({})).await?["taken"], true);

    // It fires again, and the first mail knows nothing of that: so a reply to it acknowledges nothing.
    let firing = json!({"status": "firing"});
    let (status, problem) = fleet.producer(Method::PATCH, &format!("/v1/alerts/{id}"), Some(&firing)).await?;
    assert!(status < 300, "{problem}");
    until("it fires again", DEADLINE, async || (state().await.ok()? == "new").then_some(())).await?;
    assert_eq!(reply(json!({"to": reply_to, "from": "ana@watchbell.test"})).await?["taken"], true);
    assert_eq!(state().await?, "new");
    let url = format!("{}/metrics", fleet.operations_url("fallback")?);
    let metrics = Scrape::of(&fleet.http().get(url).send().await?.text().await?)?;
    for (outcome, expected) in [
        ("acknowledged", 1.0),
        ("no_effect", 2.0),
        ("automatic", 5.0),
        ("another_sender", 1.0),
        ("begun_anew", 1.0),
    ] {
        let counted = metrics.sum("watchbell_fallback_replies_total", &[("outcome", outcome)]);
        assert_eq!(counted, expected, "{outcome}");
    }
    Ok(())
}

/// Who knows the address and the `Message-ID` of a mail, which anybody does who was sent a reply to it, knows no return path.
async fn forgeries_end_no_address(fleet: &Fleet, mx: &str) -> anyhow::Result<()> {
    let mail = fleet.arrivals("ana").await?.pop().context("the mail")?;
    let id = mail["headers"]["message-id"].as_str().unwrap_or_default().trim_matches(['<', '>']);
    let attempt = id.split_once('@').context("a message id")?.0.parse()?;
    let made_up = MailTicket::of(attempt, &Secret::from("ana@watchbell.test")).to_string();
    let signed = mail["headers"]["x-watchbell-attempt"].as_str().unwrap_or_default();
    assert!(signed.starts_with("b-") && signed != made_up, "{mail}");
    let status =
        "Content-Type: message/delivery-status\r\n\r\nX: y\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            .to_owned();
    let complaint = format!(
        "Content-Type: multipart/report; boundary=e\r\n\r\n--e\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: abuse\r\n\r\n--e\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         X-Watchbell-Attempt: {made_up}\r\n\r\n--e--\r\n"
    );
    for (why, to, message, taken) in [
        ("a status to a made-up return path", made_up.as_str(), &status, false),
        ("a complaint about a made-up ticket", "complaints", &complaint, true),
        ("a status to nobody's path", "complaints", &status, true),
    ] {
        let said = hand_over(mx, &format!("{to}@bounces.watchbell.test"), message).await?;
        assert_eq!(said.contains("250 2.0.0 Taken"), taken, "{why}: {said}");
        let explained = fleet.producer(Method::GET, "/v1/users/ana/explain", None).await?.1.to_string();
        assert!(!explained.contains("address_refused"), "{why}: {explained}");
    }
    Ok(())
}

/// Brings a mail of nobody's, and gives all that was said.
async fn hand_over(mx: &str, to: &str, message: &str) -> anyhow::Result<String> {
    let mut client = TcpStream::connect(mx).await?;
    let said = format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\nDATA\r\n{message}\r\n.\r\nQUIT\r\n");
    client.write_all(said.as_bytes()).await?;
    let mut heard = String::new();
    client.read_to_string(&mut heard).await?;
    Ok(heard)
}

async fn ends_its_address_until_an_operator_lifts_it(fleet: &Fleet, listen: &str) -> anyhow::Result<()> {
    fleet.faults(&json!({"email": [{"bounce": {"mx": listen, "status": "5.1.1"}, "count": 1}]})).await?;

    fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    let explained = until("the mail to come back", DEADLINE, async || {
        let told = fleet.producer(Method::GET, "/v1/users/ana/explain", None).await.ok()?.1;
        let told = told.to_string();
        told.contains("came back: smtp; 550 5.1.1").then_some(told)
    })
    .await?;
    assert!(
        explained.contains("address_refused") && !explained.contains("ana@watchbell.test"),
        "{explained}"
    );

    let mails = async || anyhow::Ok(fleet.arrivals("ana").await?.len());
    assert_eq!(mails().await?, 1);
    let second = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk still full"})).await?;
    let timeline = format!("/v1/alerts/{second}/timeline?user=ana");
    until("the second alert to find no address", DEADLINE, async || {
        let told = fleet.producer(Method::GET, &timeline, None).await.ok()?.1.to_string();
        told.contains(r#""stopped":"exhausted""#).then_some(())
    })
    .await?;
    assert_eq!(mails().await?, 1, "nothing is sent there any more");

    let lift = fleet.producer(Method::DELETE, "/v1/users/ana/addresses/email/refusal", None).await?;
    assert_eq!(lift.0, 204, "{lift:?}");
    let third = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "Disk full again"})).await?;
    let came =
        until("a mail after the lift", DEADLINE, async || (mails().await.ok()? == 2).then_some(())).await;
    let timeline = format!("/v1/alerts/{third}/timeline?user=ana");
    let why = fleet.producer(Method::GET, &timeline, None).await?.1;
    came.with_context(|| format!("{why}"))?;
    let again = fleet.producer(Method::DELETE, "/v1/users/ana/addresses/email/refusal", None).await?;
    assert_eq!(again.0, 404, "there is none to lift: {again:?}");
    Ok(())
}

/// Amazon SES, SendGrid, Mailgun and Postmark tell of mails: what ends an address, what only counts, and what they did not sign.
async fn is_told_by_providers(fleet: &mut Fleet) -> anyhow::Result<()> {
    let subscription = fleet.subscription("any").await?;
    let endpoint = subscription["endpoint"].as_str().unwrap_or_default();
    let (origin, _) = endpoint.split_once("/webpush").context("the simulator's TLS listener")?;
    let env = [
        ("WATCHBELL__INGEST__SNS__ORIGIN", origin),
        ("WATCHBELL__INGEST__SNS__TRUST_ROOT_FILE", "simulator/ca.pem"),
        ("WATCHBELL__INGEST__SENDGRID_PUBLIC_KEY_FILE", "simulator/sendgrid-public-key"),
        ("WATCHBELL__INGEST__MAILGUN_SIGNING_KEY", "simulated-mailgun-signing-key"),
    ];
    fleet.add_with("ingest-of-providers", "ingest", &env).await?;
    let address = fleet.url("ingest-of-providers")?.replace("http://", "");
    // Postmark gives its key as a password.
    let url = |provider: &str| match provider {
        "postmark" => format!("http://hook:{}@{address}/v1/mail-events/postmark", fleet.key()),
        provider => format!("http://{address}/v1/mail-events/{provider}?key={}", fleet.key()),
    };
    let tell = async |provider: &str, event: &str, alert: &str, forged: bool| {
        let asked = json!({"provider": provider, "url": url(provider), "event": event, "alert": alert, "forged": forged});
        fleet.simulate("/mail-events", &asked).await
    };
    let subscribed = tell("ses", "subscription", "none", false).await?;
    assert_eq!((&subscribed["status"], &subscribed["confirmed"]), (&json!(200), &json!(1)), "{subscribed}");

    let providers = ["ses", "sendgrid", "mailgun", "postmark"];
    let endings =
        [("bounce", "came back: ", 1), ("complaint", "called spam: ", 1), ("soft_bounce", "came back: ", 0)];
    let mut told = Vec::new();
    for provider in providers {
        for (event, because, suppressed) in endings {
            let user = format!("{provider}-{event}");
            fleet.furnish(&user).await?;
            let id = fleet.send(&json!({"to": {"users": [user]}, "title": "Disk full"})).await?;
            told.push((provider, event, because, suppressed, user, id));
        }
    }
    for (provider, event, because, suppressed, user, id) in told {
        until("the mail", DEADLINE, async || {
            let arrivals = fleet.arrivals(&user).await.ok()?;
            arrivals.iter().any(|arrival| arrival["kind"] == "email").then_some(())
        })
        .await?;
        if provider != "postmark" {
            let forged = tell(provider, event, &id, true).await?;
            assert_eq!(forged["status"], 403, "{user}, forged: {forged}");
        }
        for (event, counted, suppressed) in [("delivery", 0, 0), (event, 1, suppressed), (event, 0, 0)] {
            let said = tell(provider, event, &id, false).await?;
            let body: Value = serde_json::from_str(said["body"].as_str().unwrap_or_default())?;
            let found = (&said["status"], &body["counted"], &body["suppressed"]);
            assert_eq!(found, (&json!(200), &json!(counted), &json!(suppressed)), "{user}, {event}: {said}");
        }
        let (_, explained) = fleet.producer(Method::GET, &format!("/v1/users/{user}/explain"), None).await?;
        let explained = explained.to_string();
        let is_refused = explained.contains("address_refused");
        assert!(explained.contains(because) && is_refused == (suppressed == 1), "{user}: {explained}");
    }
    Ok(())
}
