//! How fast the senders are on one core, beside bare loops that do only what cannot be avoided: printed, not judged.
//! `cargo bench -p watchbell-tests --bench providers`.
//!
//! The simulator takes what both send, in a thread of its own. A sender has one thread, and what is measured is the
//! time that thread worked, so that the figure is the sender's and not the simulator's.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

#[path = "../tests/providers/fixture.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod fixture;

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    runtime::Builder,
};
use watchbell::domain::Secret;
use watchbell_fallback::channel::{ApnsAuth, EmailConfig, EmailTls, PushSender as _, SmtpSender};

use fixture::{ProviderFixture, TOKEN, mail, now, push};

const PUSHES: usize = 20_000;
const MAILS: usize = 5_000;
/// Pushes under way at once, over one connection.
const IN_FLIGHT: usize = 64;
/// Rounds of which the one in the middle counts.
const ROUNDS: usize = 5;

fn main() {
    // The simulator has a core of its own.
    let simulators = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fixture = simulators.block_on(ProviderFixture::start());
    let sender = Builder::new_current_thread().enable_all().build().unwrap();

    // By certificate, both: the simulator checks a token for longer than anybody sends, and a sender that wakes for each
    // answer alone does more work for it.
    let pem = Secret::from(fixture.credentials.apns.certificate_pem.clone());
    let apns = fixture.apns_as(ApnsAuth::Certificate { pem });
    let pushes = median(|| {
        sender.block_on(async {
            let work = stream::iter(0..PUSHES).map(|n| {
                let job = push(&format!("alert-{n}"));
                let apns = &apns;
                async move { apns.send(&job, now()).await.unwrap() }
            });
            work.buffer_unordered(IN_FLIGHT).for_each(|_| async {}).await;
        });
    });
    let floor = BarePush::new(&fixture);
    let bare = median(|| {
        sender.block_on(async {
            let work = stream::iter(0..PUSHES).map(|_| floor.send());
            work.buffer_unordered(IN_FLIGHT).for_each(|()| async {}).await;
        });
    });
    report("pushes", PUSHES, pushes, "a bare HTTP/2 loop", bare);

    let smtp = SmtpSender::new(&EmailConfig {
        tls: EmailTls::None,
        username: None,
        password: None,
        connections_max: 1,
        ..fixture.email_config()
    })
    .unwrap();
    let mails = median(|| {
        sender.block_on(async {
            for n in 0..MAILS {
                smtp.send_mail(&mail("ana@watchbell.test", &format!("alert-{n}")), now()).await.unwrap();
            }
        });
    });
    let bare = median(|| sender.block_on(bare_mails(fixture.addresses.smtp)));
    report("emails", MAILS, mails, "a bare SMTP loop", bare);
    simulators.block_on(fixture.stop());
}

#[derive(Clone, Copy)]
struct Took {
    /// How long the sender's thread worked.
    cpu: Duration,
    /// How long it took, the simulator's work included.
    wall: Duration,
}

fn median(mut round: impl FnMut()) -> Took {
    let mut rounds: Vec<Took> = (0..ROUNDS)
        .map(|_| {
            let (begun, cpu) = (Instant::now(), thread_cpu());
            round();
            Took { cpu: thread_cpu() - cpu, wall: begun.elapsed() }
        })
        .collect();
    rounds.sort_by_key(|took| took.cpu);
    rounds[ROUNDS / 2]
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn report(what: &str, count: usize, ours: Took, floor: &str, bare: Took) {
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    let each = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
    eprintln!(
        "{what}: {:.0}/s on one core ({:.1} µs each), {floor}: {:.0}/s ({:.1} µs), ratio {:.2}; \
         with the simulator {:.0}/s and {:.0}/s",
        rate(ours.cpu),
        each(ours.cpu),
        rate(bare.cpu),
        each(bare.cpu),
        rate(ours.cpu) / rate(bare.cpu),
        rate(ours.wall),
        rate(bare.wall),
    );
}

/// One request, made once and sent again and again: what any sender at all has to do.
struct BarePush {
    client: reqwest::Client,
    request: reqwest::Request,
}

impl BarePush {
    fn new(fixture: &ProviderFixture) -> Self {
        let root = reqwest::Certificate::from_pem(fixture.credentials.ca_pem.as_bytes()).unwrap();
        let identity =
            reqwest::Identity::from_pem(fixture.credentials.apns.certificate_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .http2_prior_knowledge()
            .tls_certs_merge([root])
            .identity(identity)
            .no_proxy()
            .build()
            .unwrap();
        let url = format!("https://localhost:{}/3/device/{TOKEN}", fixture.addresses.push.port());
        let body = r#"{"aps":{"alert":{"title":"Disk is full","body":"2 % left"},"badge":3,"sound":"default","thread-id":"disk","interruption-level":"time-sensitive"},"watchbell":{"alert":"alert-1","user":"ana"}}"#;
        let request = client
            .post(url)
            .header("apns-topic", &fixture.credentials.apns.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-id", "0198f3c2-0000-7000-8000-00000000000a")
            .header("apns-collapse-id", "alert-1")
            .body(body)
            .build()
            .unwrap();
        Self { client, request }
    }

    async fn send(&self) {
        let answer = self.client.execute(self.request.try_clone().unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
}

/// The least that a relay wants to hear, with a message made once.
async fn bare_mails(relay: std::net::SocketAddr) {
    let stream = TcpStream::connect(relay).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    expect(&mut stream, "220").await;
    say(&mut stream, "EHLO bench\r\n", "250").await;
    let text = "x".repeat(70) + "\r\n";
    let message = format!(
        "From: alerts@watchbell.test\r\nTo: ana@watchbell.test\r\nSubject: Disk is full\r\nMessage-ID: <a@watchbell.test>\r\n\r\n{}.\r\n",
        text.repeat(60)
    );
    for _ in 0..MAILS {
        say(&mut stream, "MAIL FROM:<alerts@watchbell.test>\r\n", "250").await;
        say(&mut stream, "RCPT TO:<ana@watchbell.test>\r\n", "250").await;
        say(&mut stream, "DATA\r\n", "354").await;
        say(&mut stream, &message, "250").await;
    }
}

async fn say(stream: &mut BufReader<TcpStream>, text: &str, code: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    expect(stream, code).await;
}

async fn expect(stream: &mut BufReader<TcpStream>, code: &str) {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(code), "{line}");
        if line.as_bytes().get(3) == Some(&b' ') {
            return;
        }
    }
}
