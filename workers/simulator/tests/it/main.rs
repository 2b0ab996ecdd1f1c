//! The simulator as senders meet it: over TLS, HTTP/2 and SMTP, on free ports.
//!
//! What holds here: nothing waits for a time to pass, and nothing asserts how long something took.
//!
//! Elsewhere: the store, the fault lists and the email reader have their tables beside their code.
#![allow(clippy::unwrap_used)]

mod apns;
mod broadcasts;
mod faults;
mod fcm;
mod smtp;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchbell_simulator::{Addresses, Credentials, Simulator, SimulatorConfig};

/// A simulator that serves, and what a sender would hold.
struct Running {
    addresses: Addresses,
    credentials: Credentials,
    /// HTTP/2 only, trusting only the simulator's authority.
    http: Client,
    /// For the simulator's own interface.
    plain: Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(SimulatorConfig::default()).await
    }

    async fn start_with(config: SimulatorConfig) -> Self {
        let simulator = Simulator::bind(config).await.unwrap();
        let (addresses, credentials) = (simulator.addresses(), simulator.credentials().clone());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(simulator.run(shutdown.clone()));
        let http = Self::client(&credentials).http2_prior_knowledge().build().unwrap();
        let plain = Client::builder().no_proxy().build().unwrap();
        Self { addresses, credentials, http, plain, shutdown, task }
    }

    fn client(credentials: &Credentials) -> reqwest::ClientBuilder {
        let ca = Certificate::from_pem(credentials.ca_pem.as_bytes()).unwrap();
        Client::builder().tls_certs_only([ca]).no_proxy()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    fn own(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addresses.listen)
    }

    fn push(&self, path: &str) -> String {
        format!("https://{}{path}", self.addresses.push)
    }

    async fn arrivals(&self, query: &str) -> Vec<Value> {
        self.plain.get(self.own(&format!("arrivals{query}"))).send().await.unwrap().json().await.unwrap()
    }

    async fn clear(&self) {
        assert_eq!(self.plain.delete(self.own("arrivals")).send().await.unwrap().status(), 204);
    }

    /// Puts faults; gives the status and body of the answer.
    async fn faults(&self, lists: Value) -> (u16, Value) {
        let answer = self.plain.put(self.own("faults")).json(&lists).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// What the mail relay offers to new connections.
    async fn offer(&self, offer: Value) {
        let answer = self.plain.put(self.own("relay")).json(&offer).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    fn provider_token(&self, iat: i64) -> String {
        let apns = &self.credentials.apns;
        let header = Header { kid: Some(apns.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(apns.key_pem.as_bytes()).unwrap();
        jsonwebtoken::encode(&header, &json!({"iss": apns.team_id, "iat": iat}), &key).unwrap()
    }

    /// A push that Apple takes; a test changes one thing about it.
    fn apns(&self, token: &str, payload: &Value) -> RequestBuilder {
        self.http
            .post(self.push(&format!("/3/device/{token}")))
            .header("authorization", format!("bearer {}", self.provider_token(now())))
            .header("apns-topic", &self.credentials.apns.topic)
            .header("apns-push-type", "alert")
            .json(payload)
    }

    async fn access_token(&self) -> String {
        let form = [("grant_type", fcm::GRANT_TYPE), ("assertion", &self.assertion(|_| {}))];
        let answer = self.http.post(self.push("/token")).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// The assertion that Google wants, but for what `change` does to its claims.
    fn assertion(&self, change: impl Fn(&mut Value)) -> String {
        let account: Value = serde_json::from_str(&self.credentials.fcm_service_account_json).unwrap();
        let mut claims = json!({
            "iss": account["client_email"],
            "aud": account["token_uri"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "iat": now(),
            "exp": now() + 3600,
        });
        change(&mut claims);
        let key = EncodingKey::from_rsa_pem(account["private_key"].as_str().unwrap().as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
    }

    fn fcm(&self, access_token: &str, body: &Value) -> RequestBuilder {
        let path = format!("/v1/projects/{}/messages:send", self.credentials.fcm_project);
        self.http.post(self.push(&path)).bearer_auth(access_token).json(body)
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn status_and_json(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// A payload that shows `alert` to ana.
fn alert(alert: &str) -> Value {
    json!({"aps": {"alert": {"title": format!("Title of {alert}"), "body": "Body"}}, "watchbell": {"alert": alert, "user": "ana"}})
}

#[tokio::test]
async fn the_page_and_the_router_are_the_same_anywhere() {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let elsewhere = axum::Router::new().nest("/simulator", simulator.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/simulator/arrivals", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, elsewhere).await });
    let client = Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().json::<Value>().await.unwrap(), json!([]));
    serving.abort();

    let running = Running::start().await;
    let page = client.get(running.own("")).send().await.unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(page.text().await.unwrap().contains("Phones and mailboxes"));
    let answer = client.get(running.own("arrivals?sinse=x")).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("sinse"), "the unknown filter is named");
    running.stop().await;
}

#[tokio::test]
async fn a_state_directory_keeps_the_keys_private_and_across_restarts() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = tempfile::tempdir().unwrap();
    // The simulator makes it.
    let dir = scratch.path().join("state");
    let config = SimulatorConfig { state_dir: Some(dir.clone()), ..SimulatorConfig::default() };
    let first = Running::start_with(config.clone()).await;
    let second = Running::start_with(SimulatorConfig { public_host: "relay.test".into(), ..config }).await;
    assert_eq!(first.credentials.ca_pem, second.credentials.ca_pem);
    assert_eq!(first.credentials.apns.key_pem, second.credentials.apns.key_pem);
    assert!(second.credentials.fcm_service_account_json.contains("https://relay.test:"));
    // The first start's clients trust the second's certificate.
    let address = second.addresses.push;
    let client = Running::client(&first.credentials).resolve("relay.test", address).build().unwrap();
    let answer = client.get(format!("https://relay.test:{}/", address.port())).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    for file in std::fs::read_dir(&dir).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn credentials_print_without_their_keys() {
    let running = Running::start().await;
    let printed = format!("{:?}", running.credentials);
    assert!(
        printed.contains(&running.credentials.apns.topic) && !printed.contains("PRIVATE KEY"),
        "{printed}"
    );
    running.stop().await;
}
