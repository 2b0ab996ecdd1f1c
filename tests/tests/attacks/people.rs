//! What is known about a person outlives them: nothing ended it before (I17). An erased person is not notified, not let in with what
//! they had, and not found any more.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use watchbell_tests::{
    fleet::{Engine, Fleet},
    requests::answer,
    session::Session,
    until::until,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// Ana has a screen, a phone and a mailbox, and is erased while an alert is on its way to her; ben has the same.
async fn an_erased_person_is_gone(engine: Engine) -> anyhow::Result<()> {
    // The push is due at once for whoever has no session, and for those who have one after 3 s.
    let fleet = Fleet::start(engine, (3_000, 4_000), &[]).await?;
    for user in ["ana", "ben"] {
        fleet.furnish(user).await?;
    }
    let token = fleet.token("ana")?;
    let mut screen = Session::open(&fleet.ws_url("socket-1")?, &token, None).await?;
    let id = fleet.send(&json!({"to": {"users": ["ana", "ben"]}, "title": "Disk full"})).await?;
    assert_eq!(screen.next().await?["type"], "alert");

    let (status, receipt) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!((status, &receipt["complete"]), (200, &json!(true)), "{receipt}");
    assert_eq!((&receipt["rows"]["inbox"], &receipt["rows"]["devices"]), (&json!(1), &json!(1)), "{receipt}");
    let ended = screen.next().await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(ended.starts_with("closed 4004"), "her screen closes: {ended}");
    let again = Session::open(&fleet.ws_url("socket-1")?, &token, None).await.err();
    let again = again.map(|error| error.to_string()).unwrap_or_default();
    assert!(again.starts_with("closed 4004"), "and does not open again with the same token: {again}");
    let inbox = format!("{}/v1/inbox", fleet.url("socket-1")?);
    assert_eq!(answer(fleet.http().get(inbox).bearer_auth(&token)).await?.0, 401);

    // Ben's mail is the last step: hers would have come before.
    until("ben has a mail", DEADLINE, async || {
        fleet.arrivals("ben").await.ok()?.iter().any(|arrival| arrival["kind"] == "email").then_some(())
    })
    .await?;
    assert_eq!(fleet.arrivals("ana").await?, Vec::<Value>::new(), "nobody notified her");
    assert_eq!(fleet.timeline(&id, "ana").await?, Value::Null);
    let (_, again) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!(again["rows"], json!({}), "nothing of her came back");
    Ok(())
}

#[tokio::test]
async fn an_erased_person_is_gone_in_one_process() -> anyhow::Result<()> {
    an_erased_person_is_gone(Engine::Embedded).await
}

#[tokio::test]
async fn an_erased_person_is_gone_from_a_fleet() -> anyhow::Result<()> {
    an_erased_person_is_gone(Engine::Services).await
}

/// A request of ana whose body does not come before it is asked for.
struct WithheldBody {
    stream: TcpStream,
    body: String,
}

impl WithheldBody {
    /// Sends the head, and waits until ana's token was believed: only then is the body asked for.
    async fn begin(fleet: &Fleet, method: &str, path: &str, body: &Value) -> anyhow::Result<Self> {
        let (address, token, body) = (fleet.url("socket-1")?, fleet.token("ana")?, body.to_string());
        let address = address.trim_start_matches("http://");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        timeout(DEADLINE, stream.read_exact(&mut asked)).await.context("the body is asked for")??;
        ensure!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
        Ok(Self { stream, body })
    }

    /// Sends the body. Returns the status.
    async fn end(mut self) -> anyhow::Result<String> {
        self.stream.write_all(self.body.as_bytes()).await?;
        let mut answer = String::new();
        timeout(DEADLINE, self.stream.read_to_string(&mut answer)).await.context("an answer")??;
        Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
    }
}

/// Who is let in before they are erased, and sends the rest afterwards, is not written down again.
#[tokio::test]
async fn what_was_begun_before_an_erasure_writes_nothing_after_it() -> anyhow::Result<()> {
    let fleet = Fleet::start(Engine::Embedded, (600_000, 600_000), &[]).await?;
    fleet.furnish("ana").await?;
    fleet.send(&json!({"id": "disk", "to": {"users": ["ana"]}, "title": "Disk full"})).await?;
    let phone = json!({"service": "apns", "token": "ab".repeat(32)});
    let begun = [
        ("PUT", "/v1/devices/phone-2", phone, "401"),
        ("PUT", "/v1/preferences", json!({"channels": {"email": false}}), "401"),
        // There is nothing left that a receipt could be of, and it makes nobody known.
        ("POST", "/v1/inbox/receipts", json!({"alerts": ["disk"], "state": "seen"}), "200"),
    ];
    let mut withheld = Vec::new();
    for (method, path, body, status) in &begun {
        withheld.push((path, status, WithheldBody::begin(&fleet, method, path, body).await?));
    }
    let (status, receipt) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!((status, &receipt["complete"]), (200, &json!(true)), "{receipt}");
    for (path, status, request) in withheld {
        assert_eq!(request.end().await?, *status, "{path}");
    }
    let (status, found) = fleet.producer(Method::GET, "/v1/users/ana", None).await?;
    assert_eq!(status, 404, "nobody is there: {found}");
    let (_, again) = fleet.producer(Method::DELETE, "/v1/users/ana", None).await?;
    assert_eq!(again["rows"], json!({}), "nothing of her came back");
    Ok(())
}
