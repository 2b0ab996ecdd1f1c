//! Publishes an alert to Watchbell over RabbitMQ, and ends it.
//!
//! ```text
//! cargo run -p watchbell-examples --bin example-amqp-producer fire example-rust-amqp ana
//! cargo run -p watchbell-examples --bin example-amqp-producer resolve example-rust-amqp
//! ```
//!
//! Reads `WATCHBELL_AMQP_URL` and `WATCHBELL_TENANT` from its environment.

#![allow(clippy::print_stdout)]

use std::{env, time::Duration};

use anyhow::{Context as _, bail};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const EXCHANGE: &str = "watchbell.alerts";
const TRIES_MAX: u32 = 8;
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long one try may take, with its connection.
const TRY_MAX: Duration = Duration::from_secs(10);
const PERSISTENT: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (action, id) = (args.next().context("fire or resolve?")?, args.next().context("which id?")?);
    let mut alert = json!({
        "tenant": env::var("WATCHBELL_TENANT").context("WATCHBELL_TENANT")?,
        "id": id,
        "title": "Disk full on db-1",
        "severity": "critical",
    });
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
    let url = env::var("WATCHBELL_AMQP_URL").context("WATCHBELL_AMQP_URL")?;
    let message_id = format!("{id}.{}", alert["version"]);
    publish(&url, &message_id, &alert).await.with_context(|| format!("{id} was not confirmed"))?;
    println!("accepted {id} version {}", alert["version"]);
    Ok(())
}

/// Returns once the broker has confirmed the alert. A program that publishes often keeps the connection.
async fn publish(url: &str, message_id: &str, alert: &Value) -> anyhow::Result<()> {
    for failed in 1.. {
        let attempt = timeout(TRY_MAX, attempt(url, message_id, alert)).await;
        match attempt.context("no confirm in time").flatten() {
            Ok(()) => break,
            // It may have arrived all the same. The id and the version stay, so that publishing again is harmless.
            Err(_) if failed < TRIES_MAX => sleep(backoff(failed)).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn attempt(url: &str, message_id: &str, alert: &Value) -> anyhow::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    // `mandatory`: an exchange without a queue gives the alert back instead of dropping it.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default()
        .with_message_id(message_id.into())
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    let body = alert.to_string();
    let confirm =
        channel.basic_publish(EXCHANGE.into(), "".into(), options, body.as_bytes(), properties).await?;
    match confirm.await? {
        Confirmation::Ack(None) => {}
        Confirmation::Ack(Some(_)) => bail!("no queue took it"),
        Confirmation::Nack(_) => bail!("the broker refused it"),
        Confirmation::NotRequested => bail!("the channel does not confirm"),
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Random up to a bound that doubles, so that producers that failed together do not come back together.
fn backoff(failed: u32) -> Duration {
    WAIT_MAX.min(WAIT_MIN * 2_u32.pow(failed)).mul_f64(rand::random())
}
