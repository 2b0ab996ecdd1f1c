//! The bare server: what any alert service has to do, and nothing else.
//!
//! It reads the same requests and forwards each alert to the sessions of its users: through memory, with no broker, no
//! store, no durability, no order and no check of who anybody is, so that it shows what HTTP, JSON, WebSocket and the client
//! cost by themselves; or by way of [`Pipeline`], which adds the durable work. Its sockets are tuned like ours.

use std::{
    io::{copy, sink, stdin},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, State,
        ws::{Utf8Bytes, WebSocketUpgrade},
    },
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    floor_sessions::{self, Sessions},
    pipeline::{Pipeline, Services},
};
use crate::output;

/// As workers/socket has them.
const READ_BUFFER_BYTES: usize = 1_024;
const WRITE_BUFFER_BYTES: usize = 4_096;
/// As workers/ingest has it.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Prints its address, and serves until standard input ends. With `services`, alerts go by way of them.
pub(super) async fn serve(services: Option<Services>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (sessions, stop) = (Sessions::default(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let pipeline = match &services {
        Some(services) => {
            Some(Arc::new(Pipeline::start(services, sessions.clone(), &mut tasks, &stop).await?))
        }
        None => None,
    };
    output::line(format!("http://{}", listener.local_addr()?));
    let routes = Router::new()
        .route("/v1/alerts", post(alerts))
        .route("/v1/ws", get(upgrade))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Floor { sessions, pipeline: pipeline.clone() });
    let stopping = stop.clone();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = copy(&mut stdin(), &mut sink());
        stopping.cancel();
    });
    let failed = tasks.join_next();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving => served?,
        // Before the end, a part of the pipeline ends only by an error.
        Some(failed) = failed => failed??,
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    match pipeline.and_then(Arc::into_inner) {
        Some(pipeline) => pipeline.stop().await,
        None => Ok(()),
    }
}

#[derive(Clone)]
struct Floor {
    sessions: Sessions,
    /// None: alerts go through memory.
    pipeline: Option<Arc<Pipeline>>,
}

async fn alerts(State(floor): State<Floor>, Json(alerts): Json<Vec<Value>>) -> (StatusCode, Json<Value>) {
    if let Some(pipeline) = &floor.pipeline {
        return match pipeline.publish(&alerts).await {
            Ok(()) => (StatusCode::ACCEPTED, Json(json!({"accepted": alerts.len()}))),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": format!("{error:#}")}))),
        };
    }
    for alert in &alerts {
        let frame = Utf8Bytes::from(json!({"type": "alert", "alert": alert}).to_string());
        let users = alert["to"]["users"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for user in users {
            floor.sessions.put(user, &frame);
        }
    }
    (StatusCode::ACCEPTED, Json(json!({"accepted": alerts.len()})))
}

async fn upgrade(State(floor): State<Floor>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| floor_sessions::serve(floor.sessions, socket))
}
