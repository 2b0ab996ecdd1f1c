//! Publishes an alert to Watchbell over HTTP, and ends it.
//!
//! ```text
//! cargo run -p watchbell-examples --bin example-http-producer fire example-rust-http ana
//! cargo run -p watchbell-examples --bin example-http-producer resolve example-rust-http
//! ```
//!
//! Reads `WATCHBELL_URL` and `WATCHBELL_KEY` from its environment.

#![allow(clippy::print_stdout)]

use std::{env, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::{Value, json};
use tokio::time::sleep;

const TRIES_MAX: u32 = 8;
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (action, id) = (args.next().context("fire or resolve?")?, args.next().context("which id?")?);
    let mut alert = json!({"id": id, "title": "Disk full on db-1", "severity": "critical"});
    if action == "fire" {
        alert["version"] = json!(1);
        alert["status"] = json!("firing");
        alert["to"] = json!({"users": args.collect::<Vec<_>>()});
    } else {
        // A later version needs no audience: it reaches everybody who holds the alert.
        alert["version"] = json!(2);
        alert["status"] = json!("resolved");
        alert["to"] = json!({});
    }
    let producer = Producer {
        client: Client::builder().timeout(TIMEOUT).build()?,
        url: env::var("WATCHBELL_URL").context("WATCHBELL_URL")?,
        key: env::var("WATCHBELL_KEY").context("WATCHBELL_KEY")?,
    };
    producer.publish(&alert).await.with_context(|| format!("{id} was not accepted"))?;
    println!("accepted {id} version {}", alert["version"]);
    Ok(())
}

struct Producer {
    client: Client,
    url: String,
    key: String,
}

/// Why a try was none.
enum Failure {
    /// It may or may not have been accepted: publishing it again is harmless.
    Again { wait_min: Duration, reason: String },
    /// What is wrong with the alert stays wrong: `field` and `detail` of the answer say what it is.
    Final(String),
}

impl Producer {
    /// Returns once the alert is durable (202). Every try has the same id, so however many arrive, it is told once.
    async fn publish(&self, alert: &Value) -> anyhow::Result<()> {
        for failed in 1.. {
            match self.attempt(alert).await {
                Ok(()) => break,
                Err(Failure::Again { wait_min, .. }) if failed < TRIES_MAX => {
                    sleep(wait_min + backoff(failed)).await;
                }
                Err(Failure::Again { reason, .. } | Failure::Final(reason)) => bail!("{reason}"),
            }
        }
        Ok(())
    }

    async fn attempt(&self, alert: &Value) -> Result<(), Failure> {
        let request = self.client.post(format!("{}/v1/alerts", self.url)).bearer_auth(&self.key).json(alert);
        let unanswered =
            |error: reqwest::Error| Failure::Again { wait_min: Duration::ZERO, reason: error.to_string() };
        let response = request.send().await.map_err(unanswered)?;
        let (status, wait_min) = (response.status(), retry_after(response.headers()));
        let problem: Value = response.json().await.unwrap_or_default();
        let reason = format!("{status}: {}", problem_of(&problem));
        match status {
            StatusCode::ACCEPTED => Ok(()),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Again { wait_min, reason }),
            _ => Err(Failure::Final(reason)),
        }
    }
}

/// What the answer says is wrong, in one line. One that is not from Watchbell, such as a page of a proxy, says nothing.
fn problem_of(problem: &Value) -> String {
    let detail = problem["detail"].as_str().unwrap_or("the answer is no problem document");
    problem["field"].as_str().map_or_else(|| detail.to_owned(), |field| format!("{field}: {detail}"))
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs).min(WAIT_MAX)
}

/// Random up to a bound that doubles, so that producers that failed together do not come back together.
fn backoff(failed: u32) -> Duration {
    WAIT_MAX.min(WAIT_MIN * 2_u32.pow(failed)).mul_f64(rand::random())
}
