//! The mail relay, spoken to by hand.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Running;

pub struct Client<S>(BufReader<S>);

impl Client<TcpStream> {
    /// Connects and reads the greeting.
    pub async fn connect(running: &Running) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(running.addresses.smtp).await.unwrap()));
        assert!(client.read().await.starts_with("220 "));
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends lines, each reply read before the next; gives the last reply, or "" if it hung up.
    pub async fn say(&mut self, lines: &[&str]) -> String {
        let mut reply = String::new();
        for line in lines {
            self.send(&format!("{line}\r\n")).await;
            reply = self.read().await;
        }
        reply
    }

    async fn send(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).await.unwrap();
        self.0.get_mut().flush().await.unwrap();
    }

    /// One reply with all its lines; "" once it hung up.
    pub async fn read(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.unwrap_or(0) == 0 {
                return reply;
            }
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// One email up to its final dot; gives the reply to that.
    pub async fn deliver(&mut self, to: &str, message: &str) -> String {
        let rcpt = format!("RCPT TO:<{to}>");
        let reply = self.say(&["EHLO me", "MAIL FROM:<bell@x.org> BODY=8BITMIME", &rcpt]).await;
        if !reply.starts_with('2') {
            return reply;
        }
        assert!(self.say(&["DATA"]).await.starts_with("354 "));
        self.say(&[&format!("{message}\r\n.")]).await
    }
}

pub const MESSAGE: &str = "Subject: =?utf-8?Q?T=C3=BCr?=\r\nMessage-ID: <1@x.org>\r\nTo: Ana <ana@x.org>\r\n\
    X-Watchbell-Alert: x\r\nX-Watchbell-User: ana\r\n\r\n..dotted\r\n...twice\r\nlast";

#[tokio::test]
async fn an_email_arrives_once_for_each_message_id() {
    let running = Running::start().await;
    let mut client = Client::connect(&running).await;
    for _ in 0..2 {
        assert!(client.deliver("ana@x.org", MESSAGE).await.starts_with("250 2.0.0"));
    }
    let reply = client
        .say(&["MAIL FROM:<>", "RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "DATA", "\r\nno headers\r\n."])
        .await;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(client.say(&["QUIT"]).await.starts_with("221 "));
    let arrived = running.arrivals("").await;
    let to: Vec<_> = arrived.iter().map(|arrival| arrival["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["ana@x.org", "a@x.org", "b@x.org"], "one for each recipient");
    for (field, expected) in [
        ("/kind", json!("email")),
        ("/user", json!("ana")),
        ("/alert", json!("x")),
        ("/title", json!("Tür")),
        ("/body", json!(".dotted\n..twice\nlast")),
        ("/ids", json!({"message_id": "<1@x.org>"})),
        ("/copies", json!(2)),
        ("/headers/to", json!("Ana <ana@x.org>")),
    ] {
        assert_eq!(arrived[0].pointer(field), Some(&expected), "{field}");
    }
    running.stop().await;
}

#[tokio::test]
async fn starttls_begins_anew_and_forgets_what_was_sent_ahead() {
    let running = Running::start().await;
    let mut client = Client::connect(&running).await;
    assert!(client.say(&["EHLO me"]).await.contains("250-STARTTLS"));
    client.send("STARTTLS\r\nEHLO smuggled\r\n").await;
    assert!(client.read().await.starts_with("220 "));

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(running.credentials.ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Client(BufReader::new(connector.connect(name, client.0.into_inner()).await.unwrap()));
    assert!(client.say(&["MAIL FROM:<a@b>"]).await.starts_with("503 "), "the greeting does not carry over");
    let greeting = client.say(&["EHLO me"]).await;
    assert!(!greeting.contains("STARTTLS") && greeting.contains("AUTH PLAIN LOGIN"), "{greeting}");
    assert!(client.say(&["AUTH PLAIN AGFuYQB4"]).await.starts_with("235 "));
    assert!(client.deliver("ana@x.org", MESSAGE).await.starts_with("250 "));
    assert_eq!(running.arrivals("?user=ana").await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn the_conversation_has_an_order_and_bounds() {
    let running = Running::start().await;
    let long = "x".repeat(2000);
    let address = format!("RCPT TO:<{}@x.org>", "x".repeat(400));
    let line = "x".repeat(998);
    let large = format!("{line}\r\n").repeat(1100) + ".";
    let broken = format!("{}\r\n.", "x".repeat(999));
    for (why, lines, expected) in [
        ("MAIL before EHLO", vec!["MAIL FROM:<a@b>"], "503 5.5.1"),
        ("HELO will do", vec!["HELO me", "MAIL FROM:<a@b>"], "250 "),
        ("RCPT before MAIL", vec!["EHLO me", "RCPT TO:<a@b>"], "503 5.5.1"),
        ("DATA before RCPT", vec!["EHLO me", "MAIL FROM:<a@b>", "DATA"], "503 5.5.1"),
        ("RSET forgets", vec!["EHLO me", "MAIL FROM:<a@b>", "RSET", "RCPT TO:<a@b>"], "503 5.5.1"),
        ("no path", vec!["EHLO me", "MAIL FROM:a@b"], "501 5.5.4"),
        ("no address", vec!["EHLO me", "MAIL FROM:<a@b>", "RCPT TO:<ana>"], "501 5.1.3"),
        ("a long address", vec!["EHLO me", "MAIL FROM:<a@b>", &address], "501 5.1.3"),
        ("announced too large", vec!["EHLO me", "MAIL FROM:<a@b> SIZE=1048577"], "552 5.3.4"),
        ("too large", vec!["EHLO me", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", &large], "552 5.3.4"),
        (
            "a long line in it",
            vec!["EHLO me", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", &broken],
            "554 5.6.0",
        ),
        (
            "LF alone in it",
            vec!["EHLO me", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "x\n.\n"],
            "554 5.6.0",
        ),
        ("a long command", vec![&long], "500 5.5.2"),
        ("an unknown command", vec!["EXPN all"], "500 5.5.1"),
        ("NOOP", vec!["NOOP"], "250 "),
        ("AUTH LOGIN asks twice", vec!["EHLO me", "AUTH LOGIN", "YW5h", "eA=="], "235 2.7.0"),
        ("AUTH taken back", vec!["EHLO me", "AUTH PLAIN", "*"], "501 5.7.0"),
        ("AUTH unknown", vec!["EHLO me", "AUTH CRAM-MD5"], "504 5.5.4"),
    ] {
        let reply = Client::connect(&running).await.say(&lines).await;
        assert!(reply.starts_with(expected), "{why}: {reply}");
    }
    assert!(running.arrivals("").await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn shutdown_tells_a_waiting_client() {
    let running = Running::start().await;
    let mut client = Client::connect(&running).await;
    running.stop().await;
    assert!(client.read().await.starts_with("421 4.3.2"));
}

#[tokio::test]
async fn a_relay_takes_only_what_it_offers() {
    let running = Running::start().await;
    let to = ["EHLO me", "MAIL FROM:<a@x.org>", "RCPT TO:<b@x.org> NOTIFY=FAILURE"];
    let mut client = Client::connect(&running).await;
    client.say(&to).await;
    for (piece, answer) in
        [("BDAT 14\r\nSubject: tea\r\n", "250 2.0.0 Go on"), ("BDAT 4 LAST\r\n\r\n..", "250 2.0.0 Queued")]
    {
        client.send(piece).await;
        assert!(client.read().await.starts_with(answer), "in two pieces");
    }
    let arrivals = running.arrivals("").await;
    assert_eq!((&arrivals[0]["title"], &arrivals[0]["body"]), (&json!("tea"), &json!("..")));

    for (without, lines, refusal) in [
        ("CHUNKING", &["EHLO me", "BDAT 1"][..], "500"),
        ("DSN", &to[..], "555"),
        ("SIZE", &["EHLO me", "MAIL FROM:<a@x.org> SIZE=5"][..], "555"),
        ("8BITMIME", &["EHLO me", "MAIL FROM:<a@x.org> BODY=8BITMIME"][..], "555"),
        ("SMTPUTF8", &["EHLO me", "MAIL FROM:<a@x.org> SMTPUTF8"][..], "555"),
        ("STARTTLS", &["EHLO me", "STARTTLS"][..], "500"),
        ("AUTH", &["EHLO me", "AUTH PLAIN AGEAYg=="][..], "500"),
        ("PIPELINING", &["EHLO me\r\nNOOP"][..], "503"),
        ("ENHANCEDSTATUSCODES", &["EHLO me", "NOOP"][..], "250 Still here"),
    ] {
        running.offer(json!({"without": [without]})).await;
        let mut client = Client::connect(&running).await;
        let said = client.say(lines).await;
        assert!(said.starts_with(refusal), "{without}: {said}");
    }
    running.offer(json!({"without": ["8BITMIME"]})).await;
    let mut client = Client::connect(&running).await;
    let said = client
        .say(&["EHLO me", "MAIL FROM:<a@x.org>", "RCPT TO:<b@x.org>", "DATA", "Subject: Tür\r\n."])
        .await;
    assert!(said.starts_with("554 5.6.1"), "{said}");
    let refused =
        running.plain.put(running.own("relay")).json(&json!({"without": ["TEA"]})).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    running.stop().await;
}
