//! `watchbell welcome`: what a newcomer needs from `demo.json`, with commands that can be copied as they stand.

use anyhow::Context as _;
use serde_json::json;

use crate::{
    cli::WelcomeArgs,
    demo_file::{Demo, DemoUser},
    output,
};

/// Random bits in the id of the alert that is proposed: whoever copies the command of another day wants a new alert.
const ID_BITS: u32 = 32;

pub(crate) fn run(args: &WelcomeArgs) -> anyhow::Result<()> {
    let demo = Demo::read(&args.data)?;
    let user = demo.users.first().context("demo.json has no user")?;
    let mark = rand::random::<u64>() >> (u64::BITS - ID_BITS);
    output::line(text(&demo, user, args.through.as_deref(), &format!("first-{mark:08x}")));
    Ok(())
}

/// `alert` is the id of the alert that the commands send and explain.
fn text(demo: &Demo, user: &DemoUser, through: Option<&str>, alert: &str) -> String {
    let (name, key, token) = (&user.user, &demo.producer_key, &user.token);
    let watchbell = through.map_or_else(|| "watchbell".to_owned(), |through| format!("{through} watchbell"));
    let body = json!({
        "id": alert, "to": {"users": [name]}, "title": "Disk full on db-1", "severity": "critical",
    });
    format!(
        "
  Watchbell is up: {page}

  The address opens one browser tab; for another one, run `{watchbell} welcome`.

  Producer key: {key}
  Token of {name}: {token}

  Follow what {name} is shown, in a second shell (Ctrl-C ends it):

    {watchbell} tail --user {name}

  Send an alert, as a producer does:

    curl --fail-with-body -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}' {url}/v1/alerts

  See what became of it, step by step:

    {watchbell} explain {alert}
",
        page = demo.page,
        url = demo.url,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Demo {
        let ana = DemoUser {
            user: "ana".into(),
            token: "eyJ.token".into(),
            email: "ana@watchbell.test".into(),
            device: "device".into(),
        };
        Demo {
            url: "http://127.0.0.1:7700".into(),
            reach: Some("http://haproxy:7700".into()),
            page: "http://127.0.0.1:7700/#key=wbk_page".into(),
            simulator: "http://127.0.0.1:7700/simulator".into(),
            producer_key: "wbk_key".into(),
            users: vec![ana],
        }
    }

    #[test]
    fn its_commands_can_be_copied_as_they_stand() {
        let demo = demo();
        for (through, watchbell) in
            [(None, "watchbell"), (Some("docker compose exec demo"), "docker compose exec demo watchbell")]
        {
            let text = text(&demo, &demo.users[0], through, "first-1");
            for expected in [
                format!("    {watchbell} tail --user ana\n"),
                format!("    {watchbell} explain first-1\n"),
                "    curl --fail-with-body -H 'Authorization: Bearer wbk_key' -H 'Content-Type: application/json' -d '{".to_owned(),
                // A browser and curl are not where the commands run.
                "' http://127.0.0.1:7700/v1/alerts\n".to_owned(),
                "Watchbell is up: http://127.0.0.1:7700/#key=wbk_page\n".to_owned(),
                "Producer key: wbk_key\n".to_owned(),
                "Token of ana: eyJ.token\n".to_owned(),
            ] {
                assert!(text.contains(&expected), "{expected} is not in {text}");
            }
            // Within the shell's quotes there are none of its own.
            let body =
                text.split(" -d '").nth(1).and_then(|rest| rest.split("' http").next()).unwrap_or_default();
            assert!(
                serde_json::from_str::<serde_json::Value>(body).is_ok_and(|body| body["id"] == "first-1"),
                "{body}"
            );
            assert!(!text.contains("haproxy"), "{text}");
        }
    }
}
