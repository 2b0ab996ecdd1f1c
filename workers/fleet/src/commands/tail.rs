//! `watchbell tail`: a real client of the session protocol, in a terminal.

use std::{future::pending, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{cli::TailArgs, demo_file::Demo, given_address::session_url, output};

/// The first wait before coming back, doubling up to [`WAIT_MAX`], each with full jitter.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long saying goodbye may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a session ended with.
enum End {
    /// As many alerts as were asked for.
    Enough,
    /// A close code and its reason, or a lost connection.
    Closed(Option<(u16, String)>),
    /// The server is leaving, and it was this session's turn to move.
    Moves,
}

pub(crate) async fn run(args: TailArgs) -> anyhow::Result<()> {
    let (url, token) = whose(&args)?;
    let mut tail =
        Tail { token, cursor: args.cursor.clone(), left: args.count, seen: args.seen, json: args.json };
    let mut wait = WAIT_MIN;
    loop {
        match connect_async(&url).await {
            Ok((socket, _)) => match tail.follow(socket).await? {
                End::Enough => return Ok(()),
                End::Moves => {
                    wait = WAIT_MIN;
                    continue;
                }
                End::Closed(Some((code @ 4000..4100, reason))) => {
                    bail!("the server closed the session for good: {code} {reason}")
                }
                End::Closed(Some((code @ 4300..4400, reason))) => {
                    bail!("a new token is needed: {code} {reason}")
                }
                End::Closed(Some((4200..4300, _))) => wait = WAIT_MIN,
                End::Closed(_) => {}
            },
            Err(error) => output::note(format!("not connected: {error}")),
        }
        let pause = wait.mul_f64(rand::random());
        output::note(format!("connecting again in {pause:.1?}"));
        sleep(pause).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

fn whose(args: &TailArgs) -> anyhow::Result<(String, String)> {
    let (url, token) = match (&args.url, &args.token) {
        (Some(url), Some(token)) => (url.clone(), token.clone()),
        _ => {
            let demo = Demo::read(&args.data)?;
            let reached_at = demo.reached_at().to_owned();
            let name = args.user.as_deref().unwrap_or("ana");
            let found = demo.users.into_iter().find(|user| user.user == name);
            let user =
                found.with_context(|| format!("demo.json has no user {name}: give --url and --token"))?;
            (args.url.clone().unwrap_or(reached_at), args.token.clone().unwrap_or(user.token))
        }
    };
    Ok((session_url(&url), token))
}

struct Tail {
    token: String,
    cursor: Option<String>,
    left: Option<usize>,
    seen: bool,
    json: bool,
}

impl Tail {
    async fn follow(&mut self, mut socket: Socket) -> anyhow::Result<End> {
        let auth = json!({"type": "auth", "token": self.token, "cursor": self.cursor});
        socket.send(Message::text(auth.to_string())).await?;
        let mut moves_at: Option<Instant> = None;
        loop {
            let move_on = async {
                match moves_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            let message = tokio::select! {
                message = socket.next() => message,
                () = move_on => {
                    // It leaves either way, so it does not matter how the farewell goes.
                    let _ = timeout(FAREWELL_MAX, socket.close(None)).await;
                    return Ok(End::Moves);
                }
            };
            let Some(message) = message else { break };
            let text = match message {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(frame)) => {
                    return Ok(End::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string()))));
                }
                Ok(_) => continue,
                Err(_) => break,
            };
            for line in text.lines() {
                let frame: Value = serde_json::from_str(line).context("the server sent what is not JSON")?;
                if frame["type"] == "goaway" {
                    // Until then it goes on reading.
                    moves_at = Some(Instant::now() + wait_before_moving(&frame, rand::random()));
                }
                if let Some(answer) = self.take(line, &frame) {
                    socket.send(Message::text(answer.to_string())).await?;
                }
                if self.left == Some(0) {
                    socket.close(None).await?;
                    return Ok(End::Enough);
                }
            }
        }
        Ok(End::Closed(None))
    }

    /// Shows a frame and says what to answer.
    fn take(&mut self, line: &str, frame: &Value) -> Option<Value> {
        if let Some(cursor) = frame["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
        let kind = frame["type"].as_str().unwrap_or_default();
        match (self.json, kind) {
            (true, _) => output::line(line),
            (false, "ping") => {}
            (false, _) => output::line(describe(kind, frame)),
        }
        match kind {
            "ping" => Some(json!({"type": "pong", "seq": frame["seq"]})),
            "alert" => {
                self.left = self.left.map(|left| left.saturating_sub(1));
                let state = if self.seen { "seen" } else { "delivered" };
                let fresh = frame["state"] == "new";
                fresh.then(|| json!({"type": "receipt", "alerts": [frame["alert"]["id"]], "state": state}))
            }
            _ => None,
        }
    }
}

/// How long a session that is told to move stays: spread over the window that the server gives, by `spread` from 0 to 1.
fn wait_before_moving(goaway: &Value, spread: f64) -> Duration {
    let ms = |field: &str| Duration::from_millis(goaway[field].as_u64().unwrap_or_default()).min(WAIT_MAX);
    ms("after_ms") + ms("within_ms").mul_f64(spread)
}

fn describe(kind: &str, frame: &Value) -> String {
    let text = |value: &Value| output::inline(value.as_str().unwrap_or_default()).into_owned();
    match kind {
        "hello" => format!(
            "signed in as {}, change {}, {} unread",
            text(&frame["user"]),
            frame["seq"],
            frame["unread"]
        ),
        "alert" => {
            let alert = &frame["alert"];
            format!(
                "{:>6}  {:<8} {:<9} {} [{}, {}]",
                frame["seq"].to_string(),
                text(&alert["severity"]),
                text(&alert["status"]),
                text(&alert["title"]),
                state_of(frame),
                text(&alert["id"]),
            )
        }
        "receipt" => {
            format!("{:>6}  {} {}", frame["seq"].to_string(), state_of(frame), frame["alerts"])
        }
        "resync" => format!("told to fetch the inbox: {}", text(&frame["reason"])),
        "goaway" => "the server is leaving; moving when it is this session's turn".to_owned(),
        "error" => format!("refused: {}", text(&frame["title"])),
        other => format!("{other} {frame}"),
    }
}

/// What the person did, and until when they put it off.
fn state_of(frame: &Value) -> String {
    let state = output::inline(frame["state"].as_str().unwrap_or_default());
    match frame["until"].as_str() {
        Some(until) => format!("{state} until {}", output::inline(until)),
        None => state.into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    #[test]
    fn a_line_says_until_when_an_alert_is_snoozed() {
        let alert = json!({"severity": "warning", "status": "firing", "title": "Disk full", "id": "a"});
        let frame = json!({"seq": 8, "state": "snoozed", "until": "2026-11-21T13:00:00Z", "alert": alert});
        let line = describe("alert", &frame);
        assert!(line.ends_with("Disk full [snoozed until 2026-11-21T13:00:00Z, a]"), "{line}");
        let frame = json!({"seq": 9, "state": "seen", "alerts": ["a"]});
        assert_eq!(describe("receipt", &frame), "     9  seen [\"a\"]");
    }

    #[test]
    fn a_session_moves_within_the_window_it_was_given() {
        let secs = Duration::from_secs;
        for (why, frame, spread, expected) in [
            ("at once", json!({"after_ms": 0, "within_ms": 0}), 0.5, secs(0)),
            ("at the beginning", json!({"after_ms": 2_000, "within_ms": 16_000}), 0.0, secs(2)),
            ("in the midst", json!({"after_ms": 2_000, "within_ms": 16_000}), 0.5, secs(10)),
            ("not said", json!({}), 1.0, secs(0)),
            ("without end", json!({"after_ms": u64::MAX, "within_ms": u64::MAX}), 1.0, 2 * WAIT_MAX),
        ] {
            assert_eq!(wait_before_moving(&frame, spread), expected, "{why}");
        }
    }

    /// A server that is leaving and never closes the connection itself.
    #[tokio::test]
    async fn a_session_that_is_told_to_move_moves_and_goes_on_from_its_cursor() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (first, _) = listener.accept().await.unwrap();
            let mut first = accept_async(first).await.unwrap();
            first.next().await.unwrap().unwrap();
            let frames = [
                json!({"type": "hello", "cursor": "c-7"}),
                json!({"type": "goaway", "after_ms": 0, "within_ms": 0, "reason": "drain"}),
            ];
            for frame in frames {
                first.send(Message::text(frame.to_string())).await.unwrap();
            }
            let (second, _) = listener.accept().await.unwrap();
            let mut second = accept_async(second).await.unwrap();
            let auth = second.next().await.unwrap().unwrap().into_text().unwrap();
            let alert = json!({"type": "alert", "cursor": "c-8", "state": "seen", "alert": {"id": "a"}});
            second.send(Message::text(alert.to_string())).await.unwrap();
            serde_json::from_str::<Value>(&auth).unwrap()["cursor"].clone()
        });
        let args = TailArgs {
            url: Some(format!("http://{address}")),
            token: Some("token".into()),
            user: None,
            cursor: None,
            seen: false,
            json: true,
            count: Some(1),
            data: "unused".into(),
        };
        timeout(Duration::from_secs(30), run(args)).await.expect("it moves").unwrap();
        assert_eq!(server.await.unwrap(), "c-7");
    }
}
