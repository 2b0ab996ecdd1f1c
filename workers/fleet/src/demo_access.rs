//! Who may see the secrets of `up`: its producer key, the tokens of its people, what the simulator took in.
//!
//! `up` prints an address with a key in its fragment, which a browser never sends by itself. The page sends that key once and is
//! given the demo with the producer key, which it keeps for its tab and shows with every request. A page of
//! anybody else, and another user of this machine, has neither.
//!
//! What holds here:
//! - A key opens the demo once. With its use the next one is made, printed, and written to `demo.json`.
//! - A new start makes a new key. The producer key stays, so a page that is open goes on.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tracing::error;
use watchbell::{
    domain::Secret,
    runtime::http::{BodyRules, JsonBody},
    wire::Problem,
};
use watchbell_ingest::key;

use crate::{data_folder::write_private, demo_file::Demo, output};

/// What is answered without the producer key.
const WITHOUT_KEY: &str = "Open the address that was printed last (`watchbell welcome` prints it), or give the producer key: \
                           `Authorization: Bearer wbk_…`. It is in `demo.json`.";
/// What is answered to a key that opens nothing.
const KEY_IS_OVER: &str = "This key was used already, or is of an earlier start. Open the address that was printed last: `watchbell welcome` prints it.";

/// Makes the tokens of the people anew. Those of the start end with their sessions, and the page goes on after that.
pub(crate) type Renew = Box<dyn Fn(Demo) -> anyhow::Result<Demo> + Send + Sync>;

/// Opens the demo to whoever has the key of the printed address, or the producer key.
#[derive(Clone)]
pub(crate) struct DemoAccess(Arc<Shared>);

struct Shared {
    file: PathBuf,
    renew: Renew,
    current: Mutex<Current>,
}

struct Current {
    key: Secret,
    /// With the printed address of `key`.
    demo: Demo,
}

impl DemoAccess {
    /// Makes the first key, and writes `file`.
    pub(crate) fn new(file: PathBuf, demo: Demo, renew: Renew) -> anyhow::Result<Self> {
        let current = Current::with_new_key(demo);
        current.demo.write(&file)?;
        Ok(Self(Arc::new(Shared { file, renew, current: Mutex::new(current) })))
    }

    /// The address to open now.
    pub(crate) fn page(&self) -> String {
        self.current().demo.page.clone()
    }

    /// `POST /demo/open` for the key, and `GET /demo.json`.
    pub(crate) fn routes(&self) -> Router {
        let demo = async |State(access): State<Self>| access.renewed().map(Json);
        let demo = self.guard(Router::new().route("/demo.json", get(demo)).with_state(self.clone()));
        Router::new().route("/demo/open", post(open)).with_state(self.clone()).merge(demo)
    }

    /// The demo with tokens of this moment.
    fn renewed(&self) -> Result<Demo, Problem> {
        let demo = self.current().demo.clone();
        (self.0.renew)(demo).map_err(|error| {
            error!("The tokens of the demo could not be made: {error:#}");
            Problem::internal("The tokens of the demo could not be made.")
        })
    }

    /// The routes, for whoever has the producer key. A page at `/` has no secrets, and is for everybody. A mail has an address that
    /// only its entry in `/arrivals` tells, because a frame in a page cannot show a key.
    pub(crate) fn guard(&self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self.clone(), require_key))
    }

    /// Uses the key up.
    fn open(&self, given: &Secret) -> Result<Demo, Problem> {
        let mut current = self.current();
        if *given != current.key {
            return Err(Problem::forbidden(KEY_IS_OVER));
        }
        *current = Current::with_new_key(current.demo.clone());
        let demo = current.demo.clone();
        // Under the lock, so that the file has the key that is good.
        if let Err(error) = demo.write(&self.0.file) {
            error!("The next address could not be written: {error:#}");
        }
        output::line(format!("  Opened in a browser. For another one: {}\n", demo.page));
        Ok(demo)
    }

    fn has_producer_key(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|given| given.strip_prefix("Bearer ")).map(Secret::from);
        given.is_some_and(|given| given == Secret::from(self.current().demo.producer_key.as_str()))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing panics while it is held.
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn with_new_key(demo: Demo) -> Self {
        let key = key::generate(&mut rand::rng());
        let page = format!("{}/#key={}", demo.url, key.expose());
        Self { key, demo: Demo { page, ..demo } }
    }
}

impl Demo {
    fn write(&self, file: &std::path::Path) -> anyhow::Result<()> {
        write_private(file, &serde_json::to_vec_pretty(self).context("demo.json")?)
    }
}

/// The key, from the fragment of the printed address.
#[derive(Deserialize)]
struct OpenRequest {
    key: String,
}

/// A key and nothing else.
enum OneKey {}

impl BodyRules for OneKey {
    const BYTES_MAX: usize = 1024;
    // A type that a foreign page may not send without being asked about (CORS).
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];
}

async fn open(
    State(access): State<DemoAccess>,
    JsonBody(request, _): JsonBody<OpenRequest, OneKey>,
) -> Result<Response, Problem> {
    // It writes a file.
    let opener = access.clone();
    let opened = tokio::task::spawn_blocking(move || opener.open(&Secret::from(request.key))).await;
    opened.map_err(|_| Problem::internal("The demo could not be opened."))??;
    let demo = access.renewed()?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(demo)).into_response())
}

async fn require_key(State(access): State<DemoAccess>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = request.method() == Method::GET && (path == "/" || path.starts_with("/mail/"));
    if is_open || access.has_producer_key(request.headers()) {
        return next.run(request).await;
    }
    Problem::unauthorized(WITHOUT_KEY).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn access(dir: &std::path::Path) -> DemoAccess {
        let demo = Demo {
            url: "http://127.0.0.1:7700".to_owned(),
            reach: None,
            page: String::new(),
            simulator: String::new(),
            producer_key: "wb_of-the-producer".to_owned(),
            users: Vec::new(),
        };
        DemoAccess::new(dir.join("demo.json"), demo, Box::new(Ok)).unwrap()
    }

    fn key_of(page: &str) -> Secret {
        Secret::from(page.strip_prefix("http://127.0.0.1:7700/#key=").unwrap())
    }

    #[test]
    fn a_key_opens_once_and_the_next_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(dir.path());
        let first = key_of(&access.page());
        assert!(access.open(&Secret::from("")).is_err());
        let opened = access.open(&first).unwrap();
        assert_eq!(opened.producer_key, "wb_of-the-producer");
        assert_eq!(access.open(&first).err().map(|problem| problem.status), Some(403));
        let next = Demo::read(dir.path()).unwrap().page;
        assert_eq!(next, access.page());
        access.open(&key_of(&next)).unwrap();
    }

    #[test]
    fn the_producer_key_is_the_whole_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(dir.path());
        for (given, expected) in [
            (Some("Bearer wb_of-the-producer"), true),
            (Some("Bearer wb_of-the-produce"), false),
            (Some("Bearer wb_of-the-producer2"), false),
            (Some("Bearer "), false),
            (Some("wb_of-the-producer"), false),
            (Some("Basic wb_of-the-producer"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::AUTHORIZATION, given.parse().unwrap());
            }
            assert_eq!(access.has_producer_key(&headers), expected, "{given:?}");
        }
    }
}
