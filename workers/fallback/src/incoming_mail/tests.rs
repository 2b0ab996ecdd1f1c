//! What clients say to the server, and what they are answered.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use uuid::Uuid;
use watchbell::{
    broker::embedded::EmbeddedBroker,
    domain::{Secret, Timestamp},
    store::StoreConfig,
    wire::mail_ticket::MailTicket,
};

use super::*;

/// How long a test waits for what has to come.
const DEADLINE: Duration = Duration::from_secs(20);
const DOMAIN: &str = "bounces.example.com";

/// A server with its store, and the tickets that it signs.
struct Bed {
    at: SocketAddr,
    returned: String,
    replied: String,
    unsigned: String,
    leaving: CancellationToken,
    file: PathBuf,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.leaving.cancel();
        drop(std::fs::remove_file(&self.file));
    }
}

impl Bed {
    async fn new() -> Self {
        let file = std::env::temp_dir().join(format!("watchbell-incoming-mail-{}.db", Uuid::new_v4()));
        let store = Store::open(&StoreConfig { url: Store::sqlite_url(&file), connections_max: 1 }).unwrap();
        let secret = Secret::from("a-secret-of-tests");
        let (returns, replies) = (ReturnTickets::new(&secret), ReplyTickets::new(&secret));
        let ticket = MailTicket::of(Uuid::from_u128(7), &Secret::from("ana@example.net"));
        let (returned, replied) = (returns.local_part(&ticket), replies.local_part(&ticket));
        let parts = IncomingMailParts {
            domain: DOMAIN.to_owned(),
            returns: Current::new(Some(returns)),
            replies: Some(Current::new(Some(replies))),
            broker: EmbeddedBroker::open(None).unwrap(),
            store,
            clock: Clock::at(Timestamp::from_second(1_900_000_000).unwrap()),
        };
        let server = IncomingMailServer::bind("127.0.0.1:0".parse().unwrap(), parts).await.unwrap();
        let (at, leaving) = (server.listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(server.run(leaving.clone()));
        Self { at, returned, replied, unsigned: ticket.to_string(), leaving, file }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// All that is answered to this, until the server closes.
    async fn answers_to(&self, said: &str) -> String {
        let mut client = self.client().await;
        client.write_all(said.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        // A reset behind what was said ends it, too.
        let _ = timeout(DEADLINE, client.read_to_end(&mut heard)).await.unwrap();
        String::from_utf8(heard).unwrap()
    }
}

#[tokio::test]
async fn what_stands_in_a_mail_is_no_command() {
    let bed = Bed::new().await;
    let begin =
        format!("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<complaints@{DOMAIN}>\r\nDATA\r\nSubject: x\r\n\r\n");
    let smuggled =
        format!("MAIL FROM:<c@d>\r\nRCPT TO:<{}@{DOMAIN}>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n", bed.replied);
    for (why, end) in [
        ("LF . LF", "hello\n.\n".to_owned()),
        ("LF . CRLF", "hello\n.\r\n".to_owned()),
        ("CRLF . LF", "hello\r\n.\n".to_owned()),
        ("CR . CRLF", "hello\r.\r\n".to_owned()),
        ("a dot behind 1,000 bytes", format!("{}.\r\n", "a".repeat(1_000))),
        ("a dot behind 1,000 bytes and a line feed", format!("{}\n.\r\n", "a".repeat(999))),
    ] {
        let heard = bed.answers_to(&format!("{begin}{end}{smuggled}")).await;
        assert_eq!(heard.matches("354 ").count(), 1, "{why}: {heard}");
        assert_eq!(heard.matches("250 2.0.0 Taken").count(), 1, "{why}: {heard}");
        assert!(heard.ends_with("221 2.0.0 Goodbye\r\n"), "{why}: {heard}");
    }
}

#[tokio::test]
async fn a_command_is_a_line() {
    let bed = Bed::new().await;
    for (why, said) in [
        ("a line feed alone", "EHLO x\nNOOP\n".to_owned()),
        ("more than a line holds", format!("NOOP {}\r\n", "a".repeat(1_000))),
    ] {
        let heard = bed.answers_to(&said).await;
        assert!(
            heard.ends_with("500 5.5.2 Lines end with CRLF and have at most 1000 bytes\r\n"),
            "{why}: {heard}"
        );
        assert!(!heard.contains("\r\n250"), "{why}: {heard}");
    }
}

#[tokio::test]
async fn only_addresses_that_we_signed_are_ours() {
    let bed = Bed::new().await;
    for (why, to, expected) in [
        ("a return path", format!("{}@{DOMAIN}", bed.returned), "250 2.1.5"),
        ("in capitals", format!("{}@{DOMAIN}", bed.returned).to_uppercase(), "250 2.1.5"),
        ("an address for replies", format!("{}@{DOMAIN}", bed.replied), "250 2.1.5"),
        ("one made of the Message-ID and the address", format!("{}@{DOMAIN}", bed.unsigned), "550 5.1.1"),
        ("complaints", format!("complaints@{DOMAIN}"), "250 2.1.5"),
        ("where complaints go without being asked", format!("Abuse@{DOMAIN}"), "250 2.1.5"),
        ("postmaster", format!("Postmaster@{DOMAIN}"), "250 2.1.5"),
        (
            "behind a route, which is passed over",
            format!("@relay.example,@mx.example:complaints@{DOMAIN}"),
            "250 2.1.5",
        ),
        ("postmaster alone", "postmaster".to_owned(), "250 2.1.5"),
        ("postmaster elsewhere", "postmaster@example.net".to_owned(), "550 5.1.2"),
        ("another name", format!("ana@{DOMAIN}"), "550 5.1.1"),
        ("no address", "ana".to_owned(), "501 5.1.3"),
    ] {
        let heard = bed.answers_to(&format!("MAIL FROM:<>\r\nRCPT TO:<{to}>\r\nQUIT\r\n")).await;
        assert!(heard.contains(&format!("250 2.1.0 Go on\r\n{expected}")), "{why}: {heard}");
    }
    let to_postmaster = "MAIL FROM:<a@b>\r\nRCPT TO:<postmaster>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n";
    assert!(bed.answers_to(to_postmaster).await.contains("250 2.0.0 Taken"));
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_out() {
    let bed = Bed::new().await;
    let mut clients = Vec::new();
    for _ in 0..CONVERSATIONS_MAX + 10 {
        let mut client = bed.client().await;
        let mut greeting = [0; 4];
        timeout(DEADLINE, client.read_exact(&mut greeting)).await.unwrap().unwrap();
        assert_eq!(&greeting, b"220 ");
        clients.push(client);
    }
    let heard =
        bed.answers_to(&format!("MAIL FROM:<>\r\nRCPT TO:<{}@{DOMAIN}>\r\nQUIT\r\n", bed.returned)).await;
    assert!(heard.starts_with("220 ") && heard.contains("250 2.1.5"), "{heard}");

    // The oldest had to go, and were told why.
    let mut silent = String::new();
    timeout(DEADLINE, clients[0].read_to_string(&mut silent)).await.unwrap().unwrap();
    assert!(silent.ends_with("421 4.3.2 Making room for another client, come again\r\n"), "{silent}");
}

#[tokio::test]
async fn who_brings_a_mail_stays_before_those_who_say_nothing() {
    let bed = Bed::new().await;
    let mut bringer = bed.client().await;
    let said = format!("MAIL FROM:<>\r\nRCPT TO:<{}@{DOMAIN}>\r\n", bed.returned);
    bringer.write_all(said.as_bytes()).await.unwrap();
    let mut heard = [0; 1_024];
    let mut text = String::new();
    while !text.contains("250 2.1.5") {
        let read = timeout(DEADLINE, bringer.read(&mut heard)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text.push_str(std::str::from_utf8(&heard[..read]).unwrap());
    }
    let mut others = Vec::new();
    for _ in 0..CONVERSATIONS_MAX + 10 {
        let mut client = bed.client().await;
        // These talk, and name no address of ours.
        client.write_all(b"NOOP\r\n").await.unwrap();
        timeout(DEADLINE, client.read_exact(&mut heard[..4])).await.unwrap().unwrap();
        others.push(client);
    }
    bringer.write_all(b"DATA\r\nhello\r\n.\r\nQUIT\r\n").await.unwrap();
    timeout(DEADLINE, bringer.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.contains("250 2.0.0 Taken"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for_long() {
    let bed = Bed::new().await;
    let begun_at = Instant::now();
    let mut heard = String::new();
    bed.client().await.read_to_string(&mut heard).await.unwrap();
    assert!(heard.ends_with("421 4.4.2 That took too long, come again\r\n"), "{heard}");
    assert!(begun_at.elapsed() < Duration::from_secs(30), "{:?}", begun_at.elapsed());
}

#[tokio::test]
async fn who_finds_no_place_is_told_why() {
    let places = Places::new(1);
    let one = places.enter(None).unwrap();
    one.stands(watchbell::runtime::http::ConnectionStanding::Busy);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    conversation::turn_away(&stream, places.enter(None).err().unwrap());
    drop(stream);
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "421 4.3.2 Too many conversations here, come again\r\n");
}
