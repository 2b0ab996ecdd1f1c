//! The command line as a user drives it: what it prints, where, and how it ends.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    process::{WatchbellProcess, binary},
    scratch::Scratch,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(20);
/// Nobody is pushed to while these tests look.
const QUIET: (u64, u64) = (600_000, 600_000);

/// Waits until a user's inbox holds an alert in a state.
pub(super) async fn is_in(fleet: &Fleet, user: &str, id: &str, state: &str) -> anyhow::Result<Value> {
    until(&format!("{id} to be {state} for {user}"), DEADLINE, async || {
        let inbox = fleet.inbox(user).await.ok()?;
        inbox.into_iter().find(|row| row["alert"]["id"] == id && row["state"] == state)
    })
    .await
}

/// What a command that fails says, on standard error.
pub(super) fn refusal(fleet: &Fleet, args: &[&str], env: &[(&str, &str)]) -> String {
    match fleet.command_with(args, env) {
        Ok(printed) => panic!("watchbell {args:?} succeeded and printed {printed:?}"),
        Err(error) => format!("{error:#}"),
    }
}

#[track_caller]
pub(super) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// `watchbell ARGS…` in a folder of its own, with nothing configured but this.
fn bare(dir: &Scratch, args: &[&str], env: &[(&str, &str)], input: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHBELL")) {
        command.env_remove(name);
    }
    command.current_dir(dir.path()).args(args).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    Ok(child.wait_with_output()?)
}

/// `watchbell up` in a folder that says the rest: what a person has who tries it out.
pub(super) async fn up() -> anyhow::Result<Fleet> {
    Fleet::start(Engine::Embedded, QUIET, &[]).await
}

/// A fleet on real services: what an operator has.
async fn services() -> anyhow::Result<Fleet> {
    Fleet::start(Engine::Services, QUIET, &[]).await
}

#[tokio::test]
async fn tail_shows_what_send_sends() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let tail = |name: &str, args: &[&str]| {
        let args = [&["tail", "--data", "data", "--user", "ana"], args].concat();
        WatchbellProcess::start(name, fleet.dir(), &args, &[])
    };
    let mut looking = tail("tail-looking", &["--count", "2"])?;
    looking.wait_log("signed in as ana, change 0, 0 unread", DEADLINE).await?;
    let id = fleet.command(&["send", "--data", "data", "--to", "ana,ben", "Disk full"])?.trim().to_owned();
    looking.wait_log(&format!("warning  firing    Disk full [new, {id}]"), DEADLINE).await?;
    is_in(fleet, "ana", &id, "new").await?;

    // Another one goes on from a cursor, says `seen` of what it shows, prints frames as they are, and ends.
    let row = is_in(fleet, "ana", &id, "new").await?;
    let from = format!("{}.0", epoch(fleet).await?);
    let mut seeing = tail("tail-seeing", &["--json", "--seen", "--count", "1", "--cursor", &from])?;
    let line = seeing.wait_log(&id, DEADLINE).await?;
    let frame: Value = serde_json::from_str(&line)?;
    assert_eq!(
        (&frame["type"], &frame["seq"], &frame["alert"]["title"]),
        (&json!("alert"), &row["seq"], &json!("Disk full"))
    );
    assert!(seeing.wait_exit(DEADLINE).await?.success());
    is_in(fleet, "ana", &id, "seen").await?;
    looking.wait_log(&format!("seen [\"{id}\"]"), DEADLINE).await?;

    let update =
        ["send", "--data", "data", "--to", "ana", "--id", &id, "--version", "2", "--status", "resolved"];
    fleet.command(&[&update[..], &["--severity", "critical", "--body", "Swept", "Disk swept"]].concat())?;
    looking.wait_log("critical resolved  Disk swept", DEADLINE).await?;
    assert!(looking.wait_exit(DEADLINE).await?.success(), "two alerts were asked for");
    Ok(())
}

#[tokio::test]
async fn tail_refuses_a_user_and_a_token_that_nobody_gave() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let error = refusal(fleet, &["tail", "--data", "data", "--user", "zoe"], &[]);
    assert_says(&error, &["demo.json has no user zoe", "--url and --token"]);
    let error = refusal(fleet, &["tail", "--url", &fleet.url("up")?, "--token", "forged"], &[]);
    assert_says(&error, &["closed the session for good: 4001"]);
    let error = refusal(fleet, &["tail", "--url", "ftp://host", "--token", "any"], &[]);
    assert_says(&error, &["--url", "write an address such as http://host:7700"]);
    Ok(())
}

/// Without a broker and a store it is `up` that is looked at, where one has run.
#[tokio::test]
async fn doctor_looks_at_up_in_its_folder() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let said = fleet.command(&["doctor", "--data", "data", "--connect"])?;
    assert_says(
        &said,
        &["`watchbell up` keeps everything in data", "and is ready", "the simulator stands in for"],
    );
    for of_a_fleet in ["store.url", "broker.url", "FAIL", "warn"] {
        assert!(!said.contains(of_a_fleet), "{of_a_fleet}: {said}");
    }
    let listed = fleet.command(&["alert", "list", "--data", "data", "--since", "1h"])?;
    assert!(!listed.contains("refused"), "{listed}");
    let error = refusal(
        fleet,
        &["explain", "--user", "ana", "--data", "data", "--since", "1h", "--until", "2h"],
        &[],
    );
    assert_says(&error, &["is later than --until"]);
    let error = refusal(fleet, &["key", "create", "--data", "data", "--expires", "100000d"], &[]);
    assert_says(&error, &["--expires", "3650d"]);
    Ok(())
}

async fn epoch(fleet: &Fleet) -> anyhow::Result<String> {
    let session = fleet.session("up", "ana", None).await?;
    let cursor = session.hello["cursor"].as_str().unwrap_or_default();
    Ok(cursor.split('.').next().unwrap_or_default().to_owned())
}

/// An alert for ben, as a line of a file.
fn line(number: usize) -> String {
    json!({"to": {"users": ["ben"]}, "title": "From a file", "id": format!("line-{number}")}).to_string()
}

#[tokio::test]
async fn a_file_is_sent_line_by_line() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let lines: Vec<String> = (1..=250).map(line).collect();
    std::fs::write(fleet.dir().join("alerts.ndjson"), lines.join("\n\n"))?;
    let printed = fleet.command(&["send", "--data", "data", "--file", "alerts.ndjson"])?;
    let ids: Vec<String> = (1..=250).map(|number| format!("line-{number}")).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), ids);
    for id in ["line-1", "line-250"] {
        is_in(fleet, "ben", id, "new").await?;
    }
    Ok(())
}

#[tokio::test]
async fn whatever_is_wrong_with_a_line_of_a_file_the_others_are_sent() -> anyhow::Result<()> {
    let fleet = &up().await?;
    fleet.command(&["send", "--data", "data", "--to", "ben", "--id", "line-1", "From a file"])?;
    is_in(fleet, "ben", "line-1", "new").await?;
    let other = line(1).replace("From a file", "Another text");
    let mut lines: Vec<String> = (301..=420).map(line).collect();
    lines[3] = "{\"to\": ".to_owned();
    lines[9] = r#"{"to": {"users": ["ben"]}}"#.to_owned();
    lines[10] = String::new();
    lines[11] = other;
    lines[115] = r#"{"to": {"users": ["ben"]}, "title": "t", "severity": "loud"}"#.to_owned();
    lines[116] = line(317).replace("ben", "ben-misspelt");
    std::fs::write(fleet.dir().join("mixed.ndjson"), format!("\u{feff}{}", lines.join("\r\n")))?;
    let error = refusal(fleet, &["send", "--data", "data", "--file", "mixed.ndjson"], &[]);
    assert_says(
        &error,
        &[
            "line 4: is not JSON",
            "line 10: 422: A field is not acceptable: title is missing",
            "line 12: 409: ",
            "line 116: 422: A field is not acceptable: severity ",
            "line 117: It is recorded already",
            "line 117: Warning: nobody knows ben-misspelt",
            "4 refused, 115 accepted",
        ],
    );
    for id in ["line-301", "line-420"] {
        is_in(fleet, "ben", id, "new").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_which_nothing_can_be_sent_is_an_error() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let all_bad = [r#"{"to": {"users": ["ben"]}}"#; 3].join("\n");
    std::fs::write(fleet.dir().join("bad.ndjson"), all_bad)?;
    let error = refusal(fleet, &["send", "--data", "data", "--file", "bad.ndjson"], &[]);
    assert_says(&error, &["line 1: ", "line 2: ", "line 3: ", "3 refused, 0 accepted"]);
    let error = refusal(fleet, &["send", "--data", "data", "--file", "nowhere.ndjson"], &[]);
    assert_says(&error, &["nowhere.ndjson cannot be read"]);
    Ok(())
}

#[tokio::test]
async fn an_alert_is_changed_by_its_id() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let watchbell = |args: &[&str]| fleet.command(&[args, &["--data", "data"]].concat());
    let send = |id: &str, more: &[&str]| watchbell(&[&["send", "--id", id], more].concat());
    let version = async |id: &str| -> anyhow::Result<(Value, Value, Value)> {
        let get = fleet.http().get(format!("{}/v1/alerts/{id}", fleet.url("up")?)).bearer_auth(fleet.key());
        let mut alert: Value = serde_json::from_str(&get.send().await?.text().await?)?;
        let mut take = |field: &str| alert["alert"][field].take();
        Ok((take("version"), take("status"), take("title")))
    };
    send("by-id", &["--to", "ana", "Disk full"])?;
    send("by-id", &["--version", "2", "--status", "resolved"])?;
    assert_eq!(version("by-id").await?, (json!(2), json!("resolved"), json!("Disk full")));
    send("by-id", &["--version", "5", "--status", "firing", "Full again"])?;
    assert_eq!(version("by-id").await?, (json!(5), json!("firing"), json!("Full again")));
    assert_eq!(watchbell(&["ack", "by-id"])?, "by-id version 6: acknowledged\n");
    assert_eq!(watchbell(&["resolve", "by-id"])?, "by-id version 7: resolved\n");
    assert_eq!(version("by-id").await?, (json!(7), json!("resolved"), json!("Full again")));
    is_in(fleet, "ana", "by-id", "new").await?;

    // Said twice it is said once, and somebody misspelt is warned of.
    let output = |args: &[&str]| bare(&Scratch::new("noted")?, args, &[], "");
    let data = fleet.dir().join("data").display().to_string();
    for (args, expected) in [
        (&["--id", "twice", "--to", "ana", "Twice"][..], ""),
        (&["--id", "twice", "--to", "ana", "Twice"], "It is recorded already"),
        (&["--to", r"ana,Doe\, Jane", "t"], "nobody knows Doe, Jane: not registered"),
        (&["--id", "by-id", "--version", "3", "--to", "ana", "Late"], "A later version of it is recorded"),
    ] {
        let done = output(&[&["send", "--data", &data], args].concat())?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && said.contains(expected), "{args:?}: {said}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{args:?}: {said}");
    }
    assert_says(
        &refusal(fleet, &["send", "--data", "data", "--id", "twice", "--to", "ben", "Another"], &[]),
        &["409", "recorded and says something else"],
    );
    let error = refusal(fleet, &["resolve", "--data", "data", "unheard-of", "no good"], &[]);
    assert_says(&error, &["unheard-of: 404", "no good: ", "2 of 2 were not changed"]);
    let error = refusal(fleet, &["send", "--data", "data", "--id", "by-id", "--to", "ana"], &[]);
    assert_says(&error, &["give a title"]);
    Ok(())
}

#[tokio::test]
async fn explain_tells_the_story() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let id =
        fleet.command(&["send", "--data", "data", "--to", "ana,ben", "To be explained"])?.trim().to_owned();
    is_in(fleet, "ana", &id, "new").await?;
    let printed = fleet.command(&["explain", &id, "--data", "data"])?;
    assert_says(&printed, &["version 1: To be explained", "for 2 recipients", "\nana (new;", "\nben (new;"]);
    let printed = fleet.command(&["explain", &id, "--user", "ben", "--data", "data"])?;
    assert_says(&printed, &["\nben (new; next check at"]);
    assert!(!printed.contains("\nana ("), "{printed}");
    let error = refusal(fleet, &["explain", &id, "--user", "zoe", "--data", "data"], &[]);
    assert_says(&error, &["zoe is not among its recipients"]);
    let error = refusal(fleet, &["explain", "unheard-of", "--data", "data"], &[]);
    assert_says(&error, &["no alert of tenant demo has this id"]);
    Ok(())
}

#[tokio::test]
async fn send_says_what_is_missing_or_wrong() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let send = |args: &[&str]| refusal(fleet, &[&["send", "--data", "data"], args].concat(), &[]);
    assert_says(&send(&["To nobody"]), &["give --to, --group or --everyone"]);
    assert_says(&send(&["--to", "ana", "--severity", "loud", "t"]), &["422", "severity"]);
    assert_says(&send(&["--to", "ana", "--policy", "nightly", "t"]), &["422", "policy"]);
    assert_says(
        &send(&["--to", "ana", "--url", "http://127.0.0.1:9", "t"]),
        &["--url (or WATCHBELL_URL) is given and no key"],
    );
    let only_a_key = refusal(fleet, &["send", "--to", "ana", "t"], &[("WATCHBELL_KEY", "wb_canary-key")]);
    assert_says(&only_a_key, &["--key (or WATCHBELL_KEY) is given and no address"]);
    let elsewhere = [("WATCHBELL_URL", "http://127.0.0.1:9"), ("WATCHBELL_KEY", "wb_canary-key")];
    let away = refusal(fleet, &["send", "--to", "ana", "t"], &elsewhere);
    assert_says(&away, &["http://127.0.0.1:9 cannot be reached"]);
    assert!(!away.contains("canary"), "{away}");
    assert_says(
        &refusal(fleet, &["send", "--data", "elsewhere", "--to", "ana", "t"], &[]),
        &["run `watchbell up`"],
    );
    Ok(())
}

/// Nothing is configured: the store and the secret are those in the folder, the tenant is `demo`.
#[tokio::test]
async fn keys_and_tokens_are_made_beside_up() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let dir = Scratch::new("beside-up")?;
    let data = fleet.dir().join("data").display().to_string();
    let print = |args: &[&str]| -> anyhow::Result<String> {
        let done = bare(&dir, &[args, &["--data", &data]].concat(), &[], "")?;
        anyhow::ensure!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    };
    let url = fleet.url("up")?;
    let token = print(&["token", "--user", "ana"])?;
    assert_eq!(fleet.http().get(format!("{url}/v1/inbox")).bearer_auth(token).send().await?.status(), 200);
    let coloured = bare(&dir, &["key", "create", "--name", "a\u{1b}[31mred\nkey", "--data", &data], &[], "")?;
    assert!(!coloured.status.success());
    assert_says(
        &String::from_utf8_lossy(&coloured.stderr),
        &["--name: must be a text of 1 to 200 characters"],
    );
    let key = print(&["key", "create", "--name", "a red key"])?;
    let sent = bare(&dir, &["send", "--url", &url, "--key", &key, "--to", "ana", "t"], &[], "")?;
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_says(&print(&["key", "list"])?, &["demo", "a red key"]);
    Ok(())
}

/// A payload of which nobody would be told used to end as if all were well.
#[test]
fn a_hook_that_would_refuse_an_alert_is_told_by_the_exit_code() {
    let dir = Scratch::new("hook-try").unwrap();
    let payload = r#"{"alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}}]}"#;
    let args = ["hook", "try", "alertmanager", "-"];
    let nobody = bare(&dir, &args, &[], payload).unwrap();
    assert!(!nobody.status.success());
    assert_says(&String::from_utf8_lossy(&nobody.stdout), &["refused", "Nobody is named"]);
    assert_says(&String::from_utf8_lossy(&nobody.stderr), &["1 of 1 would be refused"]);
    let ana = bare(&dir, &[&args[..], &["--query", "users=ana"]].concat(), &[], payload).unwrap();
    assert!(ana.status.success(), "{}", String::from_utf8_lossy(&ana.stderr));
}

#[tokio::test]
async fn a_store_that_is_migrated_already_is_left_as_it_is() -> anyhow::Result<()> {
    let fleet = services().await?;
    for _ in 0..2 {
        // `Fleet::start` has done it already: each of these is one more.
        assert_eq!(fleet.command(&["migrate"])?, "The store has the schema of this version.\n");
    }
    Ok(())
}

#[tokio::test]
async fn keys_open_and_close() -> anyhow::Result<()> {
    let fleet = &services().await?;
    let key =
        fleet.command(&["key", "create", "--tenant", "acme", "--name", "nightly job"])?.trim().to_owned();
    let url = fleet.url("ingest")?;
    let send = |title: &str| {
        let env = [("WATCHBELL_URL", url.as_str()), ("WATCHBELL_KEY", key.as_str())];
        fleet.command_with(&["send", "--to", "ana", title], &env)
    };
    let id = send("With a new key")?.trim().to_owned();
    is_in(fleet, "ana", &id, "new").await?;

    let list = fleet.command(&["key", "list"])?;
    assert!(!list.contains(&key), "a key is shown once");
    let line = list.lines().find(|line| line.contains("nightly job")).expect("the key is listed");
    assert_says(line, &["acme", "works"]);
    let hash = line.split_whitespace().next().unwrap_or_default().to_owned();
    assert_says(&refusal(fleet, &["key", "revoke", &hash[..7]], &[]), &["at least 8 characters"]);
    assert_says(
        &refusal(fleet, &["key", "revoke", "00000000"], &[]),
        &["no working key has an id that begins so"],
    );
    assert_says(&fleet.command(&["key", "revoke", &hash])?, &["1 revoked"]);
    assert_says(&refusal(fleet, &["key", "revoke", &hash], &[]), &["no working key"]);
    let refused =
        until("the key to stop working", DEADLINE, async || send("With a revoked key").err()).await?;
    assert_says(&format!("{refused:#}"), &["401"]);
    let list = fleet.command(&["key", "list"])?;
    assert_says(list.lines().find(|line| line.starts_with(&hash)).unwrap_or_default(), &["revoked 20"]);
    assert_says(&refusal(fleet, &["key", "create", "--tenant", "no good"], &[]), &["--tenant"]);
    Ok(())
}

#[tokio::test]
async fn tokens_open_sessions() -> anyhow::Result<()> {
    let fleet = &services().await?;
    let token = fleet.command(&["token", "--user", "ana", "--tenant", "acme"])?.trim().to_owned();
    let url = fleet.url("socket-2")?;
    let tail = ["tail", "--url", &url, "--token", &token, "--json", "--count", "1"];
    let mut tail = WatchbellProcess::start("tail", fleet.dir(), &tail, &[])?;
    let hello: Value = serde_json::from_str(&tail.wait_log("hello", DEADLINE).await?)?;
    assert_eq!(hello["user"], "ana");
    let id = fleet.send(&json!({"to": {"users": ["ana"]}, "title": "To a token"})).await?;
    tail.wait_log(&id, DEADLINE).await?;
    assert!(tail.wait_exit(DEADLINE).await?.success());

    let other = fleet.command(&["token", "--user", "ana", "--tenant", "other", "--seconds", "60"])?;
    let get = fleet.http().get(format!("{url}/v1/inbox")).bearer_auth(other.trim());
    let page: Value = serde_json::from_str(&get.send().await?.text().await?)?;
    assert_eq!((&page["seq"], &page["alerts"]), (&json!(0), &json!([])), "another tenant's ana");
    // Of a fleet without a tenant of its own, it used to be for `demo`, which is nobody there.
    let secret = [("WATCHBELL__AUTH__HS256_SECRET", fleet.secret())];
    let nobodys = bare(&Scratch::new("nobodys")?, &["token", "--user", "ana"], &secret, "")?;
    assert!(!nobodys.status.success());
    assert_says(
        &String::from_utf8_lossy(&nobodys.stderr),
        &["give --tenant: auth.default_tenant is not configured"],
    );
    let short = [("WATCHBELL__AUTH__HS256_SECRET", "canary")];
    let error = refusal(fleet, &["token", "--user", "ana"], &short);
    assert_says(&error, &["auth.hs256_secret must have at least 32 bytes"]);
    Ok(())
}

#[tokio::test]
async fn topology_is_shown_checked_and_applied() -> anyhow::Result<()> {
    let fleet = &services().await?;
    let shown = fleet.command(&["topology", "show"])?;
    assert_says(&shown, &["watchbell.alerts", "watchbell.dispatch", "watchbell.rejected", "permissions"]);
    assert_eq!(fleet.command(&["topology", "check"])?, "Every exchange and queue is there.\n");

    // A vhost with nothing in it.
    let empty = watchbell_tests::services::rabbit().await?.fresh_vhost("empty").await?;
    let empty = [("WATCHBELL__BROKER__URL", empty.as_str())];
    assert_says(
        &refusal(fleet, &["topology", "check"], &empty),
        &["watchbell.alerts", "watchbell topology apply"],
    );
    for _ in 0..2 {
        let applied = fleet.command_with(&["topology", "apply"], &empty)?;
        assert_eq!(applied, "Every exchange, queue and binding is there.\n");
    }
    fleet.command_with(&["topology", "check"], &empty)?;
    Ok(())
}

/// Runs `watchbell ARGS…` in this folder: whether it succeeded, and all that it said.
fn run(dir: &Scratch, args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let done = bare(dir, args, env, "").unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(text).unwrap())
}

/// What every worker needs.
const ENOUGH: [(&str, &str); 3] = [
    ("WATCHBELL__STORE__URL", "postgres://ana:canary-password@db/w"),
    ("WATCHBELL__BROKER__URL", "amqp://ana:canary-password@mq/w"),
    ("WATCHBELL__AUTH__HS256_SECRET", "canary-secret-of-more-than-32-bytes"),
];

#[test]
fn config_check_says_what_can_run() {
    let dir = Scratch::new("config").unwrap();
    let (ok, said) = run(&dir, &["config", "check"], &[]);
    assert!(ok, "{said}");
    assert_says(
        &said,
        &["is valid", "up: yes", "run: not yet, and `up` does not need it", "broker.url and store.url"],
    );
    assert!(!said.contains(": no, store.url"), "whoever runs `up` lacks nothing: {said}");
    let (ok, said) = run(&dir, &["config", "check"], &ENOUGH[..1]);
    assert!(ok, "{said}");
    assert_says(&said, &["up: yes", "run dispatch: no, broker.url must be given", "email: no, [email]"]);
    let (ok, said) = run(&dir, &["config", "check"], &ENOUGH);
    assert!(ok, "{said}");
    let anybody = "producers over AMQP: whoever may publish may name any tenant";
    assert_says(&said, &["run dispatch: yes", "run socket: yes", "of whoever connects", "(SNAT)", anybody]);
    for (source, said_by) in [
        ("x-forwarded-for", "the header X-Forwarded-For"),
        ("forwarded", "the header Forwarded"),
        ("proxy-protocol", "the PROXY protocol"),
    ] {
        let proxies = ("WATCHBELL__HTTP__TRUSTED_PROXIES", "10.0.0.0/8");
        let env = [&ENOUGH[..], &[proxies, ("WATCHBELL__HTTP__CLIENT_ADDRESS", source)]].concat();
        let (ok, said) = run(&dir, &["config", "check"], &env);
        assert!(ok, "{said}");
        assert_says(&said, &[said_by]);
    }
    let wide =
        [("WATCHBELL__HTTP__TRUSTED_PROXIES", "0.0.0.0/0"), ("WATCHBELL__DISPATCH__EXPIRES_AFTER", "1m")];
    for env in [[&ENOUGH[..], &wide].concat(), wide.to_vec()] {
        let (ok, said) = run(&dir, &["config", "check"], &env);
        assert!(ok, "{said}");
        let late =
            "policies.default: its step 2 by email is due 5m 30s after the alert, which expires after 1m";
        assert_says(&said, &["0.0.0.0/0 has strangers in it", "your own proxies", late, "shorten the waits"]);
    }
    let mapped = "[[broker.producer]]\nuser = \"acme-svc\"\ntenants = [\"acme\"]\n";
    std::fs::write(dir.path().join("watchbell.toml"), mapped).unwrap();
    let (ok, said) = run(&dir, &["config", "check"], &ENOUGH);
    assert!(ok, "{said}");
    assert_says(&said, &["producers over AMQP: each publishes for the tenants of its [[broker.producer]]"]);
}

#[test]
fn config_show_prints_no_secret() {
    let dir = Scratch::new("config").unwrap();
    let (ok, said) = run(&dir, &["config", "show"], &ENOUGH);
    assert!(ok && !said.contains("canary"), "{said}");
    assert_says(&said, &["redacted", "batch_max = 256"]);
}

#[test]
fn a_setting_that_is_wrong_is_named_with_what_it_should_be() {
    let dir = Scratch::new("config").unwrap();
    for (name, value, parts) in [
        ("WATCHBELL__HTTP__LSTEN", "127.0.0.1:1", &["lsten", "listen"][..]),
        ("WATCHBELL__HTPP__LISTEN", "127.0.0.1:1", &["htpp", "http"]),
        ("WATCHBELL__HTTP__LISTEN", "nowhere", &["http.listen", "address"]),
        ("WATCHBELL__SOCKET__PING_EVERY", "soon", &["socket.ping_every", "30s"]),
        ("WATCHBELL__DISPATCH__BATCH_MAX", "many", &["dispatch.batch_max", "integer"]),
        ("WATCHBELL__FALLBACK__LEASE", "1s", &["fallback.lease", "at least 30s"]),
        ("WATCHBELL__STORE__URL", "mysql://ana@db/w", &["store.url", "postgres://"]),
        ("WATCHBELL__STORE__CONNECTIONS_MAX", "0", &["store.connections_max", "at least 1"]),
        ("WATCHBELL__BROKER__URL", "http://ana@mq/w", &["broker.url", "amqp://"]),
        ("WATCHBELL__LOG__FILTER", "watchbell=loud", &["log.filter", "info,watchbell=debug"]),
        ("WATCHBELL__HTTP__PUBLIC_URL", "alerts.example.com", &["http.public_url", "https://"]),
        ("WATCHBELL__SOCKET__ALLOWED_ORIGINS", "https://a.example/", &["socket.allowed_origins", "after it"]),
        ("WATCHBELL__AUTH__PUBLIC_KEY_FILES", "no-such.pem", &["no-such.pem"]),
    ] {
        for args in [&["config", "check"][..], &["run", "ingest"]] {
            if name.ends_with("KEY_FILES") && args[0] == "run" {
                continue; // Only sockets read keys.
            }
            let others = ENOUGH.iter().filter(|(other, _)| *other != name);
            let env: Vec<_> = others.copied().chain([(name, value)]).collect();
            let (ok, said) = run(&dir, args, &env);
            assert!(!ok, "{name}={value}: {said}");
            assert_says(&said, parts);
        }
    }
    let (ok, said) = run(&dir, &["config", "check"], &[("WATCHBELL__STORE__URL_FILE", "no-such-file")]);
    assert!(!ok, "{said}");
    assert_says(&said, &["WATCHBELL__STORE__URL_FILE", "cannot be read"]);
}

/// What a socket pod has of Web Push: the half that browsers are given.
#[test]
fn half_of_a_web_push_key_is_enough_for_a_socket_pod() {
    let dir = Scratch::new("config").unwrap();
    let public_half = [
        ("WATCHBELL__WEBPUSH__PUBLIC_KEY", "BJgav4MO6F"),
        ("WATCHBELL__WEBPUSH__SUBJECT", "mailto:ops@watchbell.test"),
    ];
    let (ok, said) = run(&dir, &["config", "check"], &[&ENOUGH[..], &public_half].concat());
    assert!(ok, "{said}");
    assert_says(
        &said,
        &["run socket: yes", "subscriptions of browsers: yes", "run fallback: no, webpush.private_key"],
    );
}

#[test]
fn a_step_by_a_channel_that_does_not_exist_is_refused() {
    let dir = Scratch::new("config").unwrap();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(file, "[policies.page]\nsteps = [{channel = \"fax\", after = \"1s\"}]\n").unwrap();
    let (ok, said) = run(&dir, &["config", "check"], &[]);
    assert!(!ok, "{said}");
    assert_says(&said, &["policies.page: steps[0].channel must be one of push, email"]);
}

/// A channel that exists and that nobody has set up narrows what runs, which is said and is no error.
#[test]
fn a_step_by_a_channel_that_is_not_configured_is_said_to_be_skipped() {
    let dir = Scratch::new("config").unwrap();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(file, "[policies.page]\nsteps = [{channel = \"email\", after = \"1s\"}]\n").unwrap();
    let (ok, said) = run(&dir, &["config", "check"], &ENOUGH);
    assert!(ok, "{said}");
    assert_says(&said, &["policies.page: its step by email is skipped, because [email] is not configured"]);
}

#[tokio::test]
async fn alerts_come_through_a_pipe_as_well() {
    let fleet = Fleet::start(Engine::Embedded, QUIET, &[]).await.unwrap();
    let dir = Scratch::new("pipe").unwrap();
    let url = fleet.url("up").unwrap();
    let line = json!({"to": {"users": ["ana"]}, "title": "From a pipe", "id": "piped"}).to_string();
    let args = ["send", "--url", &url, "--key", fleet.key(), "--file", "-"];
    let done = bare(&dir, &args, &[], &line).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8_lossy(&done.stdout), "piped\n");
    is_in(&fleet, "ana", "piped", "new").await.unwrap();
}

/// `| head -1`: the reader has enough, and that is nothing to complain about.
#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let dir = Scratch::new("closed-pipe").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(binary().unwrap());
    let ended = command.current_dir(dir.path()).args(["topology", "show"]).stdout(writer).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
