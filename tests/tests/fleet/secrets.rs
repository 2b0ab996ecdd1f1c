//! I12: a fleet full of canaries sings in no log line, no metric, no problem document and no error of a command.
//!
//! The canaries are used as the real ones are, well and badly: accepted, refused, bounced by providers, sent to the
//! wrong address. Logs are at debug level, of every crate.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet, Urls},
    process::WatchbellProcess,
    requests::answer,
    services,
    session::{Frames as _, Session},
    until::until,
};

use crate::producers;

const DEADLINE: Duration = Duration::from_secs(20);

const BODY: &str = "canary-body: your password leaked on page 7";
const TITLE: &str = "canary-title";
const LABEL: &str = "canary-label";
const ADDRESS: &str = "canary.address@watchbell.test";
const APNS_TOKEN: &str = "decade5ca1ab1edecade5ca1ab1edecade5ca1ab1edecade5ca1ab1edecade00";
const FCM_TOKEN: &str = "canary-fcm-token:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ";
const SMTP_PASSWORD: &str = "canary-smtp-password";
/// `\0courier\0canary-smtp-password`, as SMTP says it.
const SMTP_PLAIN: &str = "AGNvdXJpZXIAY2FuYXJ5LXNtdHAtcGFzc3dvcmQ=";
const BROKER_PASSWORD: &str = "canary-broker-password";
const STORE_PASSWORD: &str = "canary-store-password";
const FORGED_KEY: &str = "wb_canary-forged-key";
const FORGED_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.canary-forged-token.c2lnbmF0dXJl";
/// What clients put into addresses that do not ask for it.
const ASTRAY: &str = "canary-in-an-address";

/// Everything that must not be found, and everything that was said.
struct Cage {
    canaries: Vec<(&'static str, String)>,
    said: Vec<(String, String)>,
}

impl Cage {
    fn of(fleet: &Fleet) -> anyhow::Result<Self> {
        let constants = [
            ("alert body", BODY),
            ("alert title", TITLE),
            ("alert label", LABEL),
            ("email address", ADDRESS),
            ("APNs device token", APNS_TOKEN),
            ("FCM device token", FCM_TOKEN),
            ("SMTP password", SMTP_PASSWORD),
            ("SMTP password, encoded", SMTP_PLAIN),
            ("password of broker.url", BROKER_PASSWORD),
            ("password of store.url", STORE_PASSWORD),
            ("forged API key", FORGED_KEY),
            ("forged token", FORGED_TOKEN),
            ("secret in an address", ASTRAY),
        ];
        let mut canaries: Vec<_> = constants.map(|(what, text)| (what, text.to_owned())).into();
        canaries.push(("API key", fleet.key().to_owned()));
        canaries.push(("JWT secret", fleet.secret().to_owned()));
        Ok(Self { canaries, said: Vec::new() })
    }

    fn hears(&mut self, what: impl Into<String>, text: &impl ToString) {
        self.said.push((what.into(), text.to_string()));
    }

    /// The lines in which a canary sings.
    fn songs(&self) -> Vec<String> {
        let lines = self.said.iter().flat_map(|(what, text)| text.lines().map(move |line| (what, line)));
        let songs = lines.flat_map(|(what, line)| {
            let heard = self.canaries.iter().filter(|(_, canary)| line.contains(canary));
            heard.map(move |(name, _)| format!("{name} in {what}: {line}"))
        });
        songs.collect()
    }
}

#[test]
fn a_canary_that_sings_is_heard() {
    let canaries = vec![("a key", "canary".to_owned())];
    let said = vec![("a log".to_owned(), "fine\nkey=canary\n".to_owned())];
    assert_eq!(Cage { canaries, said }.songs(), ["a key in a log: key=canary"]);
}

async fn keeps_its_secrets(fleet: Fleet) -> anyhow::Result<()> {
    let mut cage = Cage::of(&fleet)?;
    people_are_reached(&fleet, &mut cage).await?;
    providers_refuse(&fleet, &mut cage).await?;
    strangers_are_refused(&fleet, &mut cage).await?;
    mistakes_are_answered(&fleet, &mut cage).await?;
    if fleet.engine == Engine::Services {
        amqp_is_refused(&fleet).await?;
        commands_fail(&fleet, &mut cage).await?;
    }
    for name in fleet.names() {
        if name != "simulator" {
            let url = format!("{}/metrics", fleet.operations_url(name)?);
            let metrics = fleet.http().get(url).send().await?.text().await?;
            assert!(metrics.contains("watchbell_"), "{name} counts nothing: {metrics}");
            cage.hears(format!("metrics of {name}"), &metrics);
        }
    }
    for (name, log) in fleet.logs() {
        assert!(log.contains("DEBUG"), "{name} does not log at debug level:\n{log}");
        cage.hears(format!("log of {name}"), &log);
    }
    let songs = cage.songs();
    assert!(songs.is_empty(), "{} canaries sang:\n{}", songs.len(), songs.join("\n"));
    Ok(())
}

/// The way everything should go: each secret does its work.
async fn people_are_reached(fleet: &Fleet, cage: &mut Cage) -> anyhow::Result<()> {
    let put = async |path: &str, device: Value| {
        let (status, problem) = fleet.user("ana", Method::PUT, path, Some(&device)).await?;
        anyhow::ensure!(status == 204, "{problem}");
        anyhow::Ok(())
    };
    let contact = json!({"email": ADDRESS});
    let (status, problem) = fleet.producer(Method::PUT, "/v1/users/ana", Some(&contact)).await?;
    anyhow::ensure!(status == 204, "{problem}");
    put("/v1/devices/phone", json!({"service": "apns", "token": APNS_TOKEN})).await?;
    put("/v1/devices/tablet", json!({"service": "fcm", "token": FCM_TOKEN})).await?;

    // In the first frame, and where old clients have it.
    let token = fleet.token("ana")?;
    cage.canaries.push(("token", token.clone()));
    let ws = fleet.ws_url("socket-1")?;
    let mut first = Session::open(&ws, &token, None).await?;
    let mut old = Session::connect(&format!("{ws}?token={token}")).await?;
    assert_eq!(old.next().await?["type"], "hello");
    fleet.send(&alert()).await?;
    for session in [&mut first, &mut old] {
        assert_eq!(session.next_of("alert").await?["alert"]["body"], BODY);
    }
    for kind in ["apns", "fcm", "email"] {
        // A demo user has a phone of their own as well.
        until(&format!("{kind} to a canary"), DEADLINE, async || {
            let arrivals = fleet.arrivals("ana").await.ok()?;
            let to_canary = |to: &Value| [APNS_TOKEN, FCM_TOKEN, ADDRESS].iter().any(|canary| to == canary);
            arrivals.iter().any(|arrival| arrival["kind"] == kind && to_canary(&arrival["to"])).then_some(())
        })
        .await?;
    }
    let receipt = json!({"type": "receipt", "alerts": [BODY, "unheard-of"], "state": ASTRAY});
    first.say(&receipt).await?;
    cage.hears("the answer to a receipt", &first.next_of("error").await?);
    Ok(())
}

fn alert() -> Value {
    json!({"to": {"users": ["ana"]}, "title": TITLE, "body": BODY, "labels": {"place": LABEL}, "data": {"text": BODY}})
}

/// Providers repeat tokens and addresses in what they answer, whether they refuse for now or for good.
async fn providers_refuse(fleet: &Fleet, cage: &mut Cage) -> anyhow::Result<()> {
    let echo = format!("5.1.1 <{ADDRESS}>: user unknown");
    let for_now = json!({
        "apns": [{"drop": "before"}], "fcm": [{"html": true}], "email": [{"status": 451, "reason": echo}],
    });
    let for_good = json!({
        "apns": [{"status": 400, "reason": "BadDeviceToken"}],
        "fcm": [{"status": 404, "reason": "UNREGISTERED"}],
        "email": [{"status": 550, "reason": echo}],
    });
    for (faults, outcome) in [(for_now, "try 1 did not get through"), (for_good, "failed")] {
        fleet.faults(&faults).await?;
        let id = fleet.send(&alert()).await?;
        let told = until(&format!("every channel to hear: {outcome}"), DEADLINE, async || {
            let told = fleet.timeline(&id, "ana").await.ok()?.to_string();
            let heard = |what: &str| told.contains(&format!("{what}: {outcome}"));
            ["push alert to phone", "push alert to tablet", "email alert"]
                .iter()
                .all(|what| heard(what))
                .then_some(told)
        })
        .await?;
        cage.hears("a timeline", &told);
    }
    Ok(())
}

async fn strangers_are_refused(fleet: &Fleet, cage: &mut Cage) -> anyhow::Result<()> {
    let expired = fleet.mint("acme", "ana", SignedDuration::from_hours(-1))?;
    cage.canaries.push(("expired token", expired.clone()));
    let publish = fleet.http().post(format!("{}/v1/alerts", fleet.url("ingest")?)).bearer_auth(FORGED_KEY);
    let (status, problem) = answer(publish.json(&alert())).await?;
    assert_eq!(status, 401);
    cage.hears("the answer to a forged key", &problem);
    for (what, token) in [("forged", FORGED_TOKEN), ("expired", &expired)] {
        let get = fleet.http().get(format!("{}/v1/inbox", fleet.url("socket-1")?)).bearer_auth(token);
        let (status, problem) = answer(get).await?;
        assert_eq!(status, 401, "{what}");
        cage.hears(format!("the answer to a token that is {what}"), &problem);
        let mut session = Session::connect(&format!("{}?token={token}", fleet.ws_url("socket-1")?)).await?;
        cage.hears(format!("the close of a token that is {what}"), &session.closed().await?);
    }
    Ok(())
}

async fn mistakes_are_answered(fleet: &Fleet, cage: &mut Cage) -> anyhow::Result<()> {
    let with = |field: &str, value: Value| {
        let mut alert = alert();
        alert[field] = value;
        alert
    };
    let (alerts, user, device) = ("/v1/alerts", "/v1/users/ana", "/v1/devices/watch");
    for (by_user, method, path, body, expected) in [
        (false, Method::POST, alerts, with("severity", json!(BODY)), 422),
        (false, Method::POST, alerts, with("labels", json!({"place": [LABEL]})), 422),
        (false, Method::POST, alerts, with("data", json!(BODY)), 422),
        (false, Method::POST, alerts, with("to", json!({"users": [format!("{ADDRESS} ")]})), 422),
        (false, Method::POST, alerts, with("policy", json!(ASTRAY)), 422),
        (false, Method::POST, alerts, with("expires_at", json!(BODY)), 422),
        (false, Method::POST, alerts, with("title", json!(TITLE.repeat(100))), 422),
        (false, Method::POST, alerts, with("body", json!(BODY.repeat(3_000))), 413),
        (false, Method::PUT, user, json!({"email": format!("{ADDRESS}, {ADDRESS}")}), 422),
        (false, Method::GET, "/v1/alerts/x/timeline?canary-in-an-address=1", Value::Null, 422),
        (false, Method::POST, "/v1/hooks/alertmanager?users=ana", json!({"alerts": [{"status": BODY}]}), 202),
        (true, Method::PUT, device, json!({"service": "pager", "token": APNS_TOKEN}), 422),
        (true, Method::PUT, device, json!({"service": "apns", "token": APNS_TOKEN.repeat(100)}), 422),
        (true, Method::PUT, device, json!({"service": "apns", "token": {"is": APNS_TOKEN}}), 422),
        (true, Method::POST, "/v1/inbox/receipts", json!({"alerts": ["x"], "state": BODY}), 422),
    ] {
        let (status, problem) = match by_user {
            true => fleet.user("ana", method, path, Some(&body)).await?,
            false => fleet.producer(method, path, Some(&body)).await?,
        };
        assert_eq!(status, expected, "{path}: {problem}");
        cage.hears(format!("the answer of {path}"), &problem);
    }
    let torn = format!("{{\"title\": \"{TITLE}\", \"body\": \"{BODY}");
    let post = fleet.http().post(format!("{}{alerts}", fleet.url("ingest")?)).bearer_auth(fleet.key());
    let (status, problem) = answer(post.header("content-type", "application/json").body(torn)).await?;
    assert_eq!(status, 400);
    cage.hears("the answer to what is no JSON", &problem);
    for worker in ["ingest", "socket-1"] {
        let get = fleet.http().get(format!("{}/v1/{ASTRAY}?token={ASTRAY}", fleet.url(worker)?));
        cage.hears("the answer to an unknown address", &answer(get).await?.1);
    }
    Ok(())
}

async fn amqp_is_refused(fleet: &Fleet) -> anyhow::Result<()> {
    let mut wrong = alert();
    wrong["severity"] = json!(BODY);
    let torn = format!("{{\"title\": \"{TITLE}\", \"body\": \"{BODY}");
    let messages = [wrong.to_string(), torn].map(|body| json!({"body": body, "message_id": "m"}));
    producers::publish(fleet, &messages).await?;
    until("both to be refused", DEADLINE, async || {
        let logs = fleet.logs();
        let (_, log) = logs.iter().find(|(name, _)| *name == "dispatch")?;
        (log.matches("Refused").count() == 2).then_some(())
    })
    .await
}

/// Addresses with passwords that lead nowhere.
async fn commands_fail(fleet: &Fleet, cage: &mut Cage) -> anyhow::Result<()> {
    let broker = |rest: &str| ("WATCHBELL__BROKER__URL", format!("amqp://courier:{BROKER_PASSWORD}{rest}"));
    let store = |rest: &str| ("WATCHBELL__STORE__URL", format!("postgres://courier:{STORE_PASSWORD}{rest}"));
    for (args, (name, url)) in [
        (&["topology", "check"][..], broker("@127.0.0.1:9/%2f")),
        (&["topology", "check"], broker("@127.0.0.1:nine/%2f")),
        (&["migrate"], store("@127.0.0.1:9/w")),
        (&["migrate"], store("@127.0.0.1:nine/w")),
        (&["key", "list"], (("WATCHBELL__STORE__URL"), format!("mysql://courier:{STORE_PASSWORD}@db/w"))),
        (&["config", "check"], ("WATCHBELL__AUTH__HS256_SECRET", ASTRAY.to_owned())),
        (&["config", "check"], ("WATCHBELL__HTTP__LISTEN", ASTRAY.to_owned())),
    ] {
        let Err(error) = fleet.command_with(args, &[(name, &url)]) else {
            anyhow::bail!("watchbell {args:?} succeeds with a {name} that leads nowhere");
        };
        cage.hears(format!("watchbell {args:?}"), &format!("{error:#}"));
    }
    cage.hears("watchbell config show", &fleet.command(&["config", "show"])?);

    let nowhere = [broker("@127.0.0.1:9/%2f"), store("@127.0.0.1:9/w")];
    let nowhere = nowhere.each_ref().map(|(name, url)| (*name, url.as_str()));
    let env =
        [&nowhere[..], &[("WATCHBELL__LOG__FILTER", "debug"), ("WATCHBELL__HTTP__LISTEN", "127.0.0.1:0")]]
            .concat();
    let mut lost = WatchbellProcess::start("lost", fleet.dir(), &["run", "dispatch"], &env)?;
    lost.wait_log("127.0.0.1:9", DEADLINE).await?;
    cage.hears("the log of a worker without services", &lost.log());
    Ok(())
}

#[tokio::test]
async fn no_secret_is_printed_in_one_process() {
    let env = [("WATCHBELL__LOG__FILTER", "debug")];
    keeps_its_secrets(Fleet::start(Engine::Embedded, (300, 300), &env).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn no_secret_is_printed_by_a_fleet_of_services() {
    let rabbit = services::rabbit().await.unwrap();
    let vhost = rabbit.fresh_vhost("secrets").await.unwrap();
    let (_, name) = vhost.rsplit_once('/').unwrap();
    rabbit.ctl(&["add_user", "courier", BROKER_PASSWORD]).await.unwrap();
    rabbit.ctl(&["set_permissions", "-p", name, "courier", ".*", ".*", ".*"]).await.unwrap();
    let store = services::postgres().await.unwrap().fresh_database("secrets").await.unwrap();
    let urls = Urls {
        broker: vhost.replacen("guest:guest@", &format!("courier:{BROKER_PASSWORD}@"), 1),
        // This server asks for none, and takes any.
        store: store.replacen("postgres@", &format!("postgres:{STORE_PASSWORD}@"), 1),
    };
    assert!(urls.broker.contains(BROKER_PASSWORD) && urls.store.contains(STORE_PASSWORD));
    let env = [
        ("WATCHBELL__LOG__FILTER", "debug"),
        ("WATCHBELL__EMAIL__HOST", "localhost"),
        ("WATCHBELL__EMAIL__PORT", "1"),
        ("WATCHBELL__EMAIL__FROM", "Watchbell <alerts@watchbell.test>"),
        ("WATCHBELL__EMAIL__USERNAME", "courier"),
        ("WATCHBELL__EMAIL__PASSWORD", SMTP_PASSWORD),
    ];
    keeps_its_secrets(Fleet::start_services(urls, (300, 300), &env).await.unwrap()).await.unwrap();
}
