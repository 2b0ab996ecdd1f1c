//! Tests of `smtp` against a relay of a few lines, which answers from a script.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;

/// What the relay does differently, by what the recipient's address begins with.
const HANGS_UP_AFTER_RCPT: &str = "hangup";
const SILENT_AFTER_MESSAGE: &str = "silent";
const REFUSED_AFTER_MESSAGE: &str = "spam";
const UNKNOWN: &str = "unknown";

#[derive(Default)]
struct Seen {
    connections: usize,
    messages: Vec<String>,
}

/// A relay that hangs up on its own after `mails_max` mails of a connection.
async fn relay(mails_max: usize) -> (Relay, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            log.lock().unwrap().connections += 1;
            tokio::spawn(serve(socket, Arc::clone(&log), mails_max));
        }
    });
    let relay = Relay {
        host: "127.0.0.1".into(),
        port,
        encryption: Encryption::None,
        credentials: None,
        timeout: Duration::from_secs(1),
        connections: Connections::at_most(2),
    };
    (relay, seen)
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    seen: Arc<Mutex<Seen>>,
    mails_max: usize,
) -> Option<()> {
    let mut socket = BufReader::new(socket);
    let (mut to, mut mails) = (String::new(), 0);
    socket.write_all(b"220 relay\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let reply = match line.split_whitespace().next()? {
            "EHLO" => "250-relay\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME".to_owned(),
            "AUTH" => "535 5.7.8 bad credentials".to_owned(),
            "RCPT" => {
                to = line.trim_start_matches("RCPT TO:<").trim_end().trim_end_matches('>').to_owned();
                if to.starts_with(HANGS_UP_AFTER_RCPT) {
                    return None;
                }
                if to.starts_with(UNKNOWN) {
                    format!("550-5.1.1 <{to}>: there is\r\n550 5.1.1 no {to} here")
                } else {
                    "250 2.1.5 Ok".to_owned()
                }
            }
            "DATA" => {
                socket.write_all(b"354 go\r\n").await.ok()?;
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    socket.read_line(&mut message).await.ok()?;
                }
                seen.lock().unwrap().messages.push(message);
                if to.starts_with(SILENT_AFTER_MESSAGE) {
                    std::future::pending::<()>().await;
                }
                mails += 1;
                if to.starts_with(REFUSED_AFTER_MESSAGE) {
                    "554 5.7.1 spam".to_owned()
                } else {
                    format!("250 2.0.0 queued as {mails}")
                }
            }
            _ => "250 2.0.0 Ok".to_owned(),
        };
        socket.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        if mails == mails_max {
            return None;
        }
    }
}

async fn send(relay: &Relay, to: &str) -> Result<String, SendError> {
    let (from, to) = ("alerts@example.org".parse().unwrap(), to.parse().unwrap());
    relay.deliver(Envelope { from: &from, to: &to, message: "Subject: x\r\n\r\n.dot\r\nend" }).await
}

#[tokio::test]
async fn one_connection_carries_many_messages_whole() {
    let (relay, seen) = relay(usize::MAX).await;
    for n in 1..=5 {
        assert_eq!(send(&relay, "ana@example.net").await.unwrap(), format!("2.0.0 queued as {n}"));
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen.connections, seen.messages.len()), (1, 5));
    assert_eq!(seen.messages[4], "Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n");
}

#[tokio::test]
async fn a_refused_recipient_costs_neither_the_connection_nor_the_next_message() {
    let (relay, seen) = relay(usize::MAX).await;
    for _ in 0..3 {
        let error = send(&relay, "unknown@example.net").await.unwrap_err();
        assert_eq!(error.code(), "address_refused");
        let error = error.without(&["unknown@example.net"]);
        assert!(!format!("{error}{error:?}").contains("unknown@"), "{error}");
        assert_eq!(send(&relay, "spam@example.net").await.unwrap_err().code(), "config_fault");
        assert!(send(&relay, "ana@example.net").await.is_ok());
    }
    assert_eq!(seen.lock().unwrap().connections, 1);
}

#[tokio::test]
async fn a_connection_that_the_relay_closed_costs_a_new_one() {
    let (relay, seen) = relay(1).await;
    for _ in 0..3 {
        assert!(send(&relay, "ana@example.net").await.is_ok());
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen.connections, seen.messages.len()), (3, 3), "each message went out once");
}

/// Put back in the middle of a conversation, the connection would give this message's reply to the next one.
#[tokio::test]
async fn a_connection_without_a_reply_is_not_used_again() {
    let (relay, seen) = relay(usize::MAX).await;
    assert!(send(&relay, "ana@example.net").await.is_ok());
    let error = send(&relay, "silent@example.net").await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.reason().contains("may be on its way"), "{error}");
    assert_eq!(send(&relay, "ana@example.net").await.unwrap(), "2.0.0 queued as 1");
    assert_eq!(seen.lock().unwrap().connections, 2);
}

#[tokio::test]
async fn a_message_that_never_left_is_told_apart() {
    let (relay, _) = relay(usize::MAX).await;
    let error = send(&relay, "hangup@example.net").await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(!error.reason().contains("may be on its way"), "{error}");
}

#[tokio::test]
async fn waiting_for_a_connection_ends_with_the_timeout() {
    let (relay, seen) = relay(usize::MAX).await;
    let silent = || send(&relay, "silent@example.net");
    let (_, _, third) = tokio::join!(silent(), silent(), async {
        let both_are_taken = async {
            while seen.lock().unwrap().connections < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), both_are_taken).await.expect("two connect");
        // The slots come free only when the first two give up, too late to be of use to all.
        tokio::time::timeout(Duration::from_secs(2), send(&relay, "silent2@example.net")).await
    });
    assert!(third.expect("it is bounded").is_err());
    assert!(seen.lock().unwrap().connections <= 3);
}

#[tokio::test]
async fn what_an_operator_has_to_mend_is_a_config_fault() {
    let (wrong_password, seen) = relay(usize::MAX).await;
    let credentials = Some(Credentials::new("watchbell".into(), "c4nary5ecret".into()));
    let wrong_password = Relay { credentials, ..wrong_password };
    let (no_starttls, _) = relay(usize::MAX).await;
    let tls = TlsParameters::new("127.0.0.1".into()).unwrap();
    let no_starttls = Relay { encryption: Encryption::StartTls(tls), ..no_starttls };
    for (relay, said) in [(wrong_password, "535"), (no_starttls, "STARTTLS is not supported")] {
        let error = send(&relay, "ana@example.net").await.unwrap_err();
        assert_eq!(error.code(), "config_fault", "{error}");
        assert!(error.reason().contains(said), "{error}");
        assert!(!format!("{error}{error:?}").contains("c4nary"), "{error}");
    }
    assert!(seen.lock().unwrap().messages.is_empty());
}

#[tokio::test]
async fn no_relay_is_told_as_no_connection() {
    let (mut relay, _) = relay(usize::MAX).await;
    relay.port = 1;
    let error = send(&relay, "ana@example.net").await.unwrap_err();
    assert!(error.reason().starts_with("no connection to the relay"), "{error}");
}

#[tokio::test]
async fn a_relay_with_implicit_tls_is_trusted_by_its_root() {
    let (acceptor, root) = crate::channel::tests::localhost_tls(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(socket) = acceptor.accept(socket).await {
                tokio::spawn(serve(socket, Arc::clone(&log), usize::MAX));
            }
        }
    });
    for (root, works) in [(Some(root.as_str()), true), (None, false)] {
        let tls = crate::channel::email::tls_parameters("localhost", root).unwrap();
        let relay = Relay {
            host: "localhost".into(),
            port,
            encryption: Encryption::Implicit(tls),
            credentials: None,
            timeout: Duration::from_secs(5),
            connections: Connections::at_most(1),
        };
        let sent = send(&relay, "ana@example.net").await;
        assert_eq!(sent.is_ok(), works, "{sent:?}");
    }
    assert_eq!(seen.lock().unwrap().messages.len(), 1);
}
