//! The operators' console: what this installation does now, why a person was told or not, and what an operator can do about it.
//!
//! It is one page, at `/console` beside the operations endpoints, and what that page asks below `/console/api`. Where the HTTP API
//! has a route already, the page uses that route, below `/console/api/v1`; the others are here.
//!
//! What holds here:
//! - Nothing is answered to who is not signed in, but the page, which says nothing of the installation.
//! - Whoever is signed in works with the scopes of their key, or of the values that their sign-in service says they have; each change is
//!   in the audit log under that key, or that person.
//! - Figures are those of this process. Alerts, people, keys and dead letters are those of the whole fleet.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | `[operations]` |
//! | `entry.rs` | signing in, and who is let in |
//! | `oidc/` | signing in with an account of a sign-in service |
//! | `cookies.rs` | the cookies |
//! | `sessions.rs` | who is signed in |
//! | `places.rs` | how many requests are answered at once, and how many of one operator |
//! | `page.rs` | the page, built from `web/console` and committed |
//! | `now.rs` | what happens now |
//! | `acts.rs` | entries of the audit log for what is done to alerts |
//! | `policies.rs` | policies on a time line |
//! | `route_tester.rs` | which route a sample takes |
//! | `messages.rs` | the mail and the pushes about an alert, made again |
//! | `dead.rs` | dead letters |
//! | `keys.rs` | API keys and tenants |
//! | `shared.rs`, `process_name.rs` | what the handlers share; which process this is |
//! | `samples.rs` | what this process measured in the last hour |

mod acts;
mod config;
mod cookies;
mod dead;
mod entry;
mod keys;
mod messages;
mod now;
mod oidc;
mod page;
mod places;
mod policies;
mod process_name;
mod route_tester;
mod samples;
mod sessions;
mod shared;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};
use watchbell::{
    broker::SharedBroker,
    domain::Tenant,
    runtime::{Clock, Health, MemoryBudgets, http::AnswerBudget},
    store::Store,
};
use watchbell_fallback::Channels;
use watchbell_ingest::{ApiKeys, ConfiguredHooks, Ingest, Routes, router_for_known};

pub(crate) use self::{config::OperationsSection, process_name::ProcessName, samples::Samples};
use crate::config::FleetConfig;
use entry::Reach;
use oidc::SignIn;
use places::Places;
use sessions::Sessions;
use shared::Shared;

/// What the console is put together from.
pub(crate) struct ConsoleParts {
    /// Whose keys operators have.
    pub(crate) tenant: Tenant,
    pub(crate) config: FleetConfig,
    pub(crate) keys: Arc<ApiKeys>,
    pub(crate) store: Store,
    pub(crate) broker: SharedBroker,
    /// What this process sends by; none where it sends nothing.
    pub(crate) channels: Channels,
    pub(crate) clock: Clock,
    /// Memory for pages, of the whole process.
    pub(crate) answers: AnswerBudget,
    pub(crate) health: Health,
    pub(crate) samples: Arc<Samples>,
    pub(crate) process: ProcessName,
}

/// The page and everything that it asks.
///
/// # Errors
/// A `[[hook]]`, a `[[route]]` or `[console.oidc]` cannot be used.
pub(crate) fn routes(parts: ConsoleParts) -> anyhow::Result<Router> {
    let ConsoleParts {
        tenant,
        config,
        keys,
        store,
        broker,
        channels,
        clock,
        answers,
        health,
        samples,
        process,
    } = parts;
    let policies = Arc::new(config.shared.policies());
    let hooks = Arc::new(ConfiguredHooks::new(&config.hook)?);
    let routes = Arc::new(Routes::new(&config.route, &policies)?);
    let producers = router_for_known(Ingest {
        answers,
        hooks: Arc::clone(&hooks),
        routes: Arc::clone(&routes),
        // One request has at most this much, and few are answered at once.
        memory: MemoryBudgets::of_this_process(),
        keys: Arc::clone(&keys),
        ..Ingest::new(broker.clone(), store.clone(), policies.clone(), clock)
    });
    let sign_in = config.console.oidc()?.map(SignIn::new).transpose()?;
    let shared = Arc::new(Shared {
        tenant,
        config,
        policies,
        hooks,
        routes,
        keys,
        store,
        broker,
        channels,
        health,
        samples,
        process,
        sessions: Sessions::default(),
        tries: entry::tries(),
        sign_in,
        places: Places::default(),
    });
    let own = Router::new()
        .route("/session", get(now::session))
        .route("/policies", get(policies::list))
        .route("/policies/check", post(policies::check))
        .route("/messages", get(messages::show))
        .with_state(Arc::clone(&shared));
    let of_installation = Router::new()
        .route("/now", get(now::now))
        .route("/routes/try", post(route_tester::try_out))
        .route("/dead", get(dead::list).post(dead::act))
        .route("/keys", get(keys::list).post(keys::make))
        .route("/keys/{id}", delete(keys::revoke))
        .with_state(Arc::clone(&shared));
    let producers = producers.layer(from_fn_with_state(Arc::clone(&shared), acts::note));
    let locked =
        |routes: Router, reach| routes.layer(from_fn_with_state((Arc::clone(&shared), reach), entry::enter));
    let api = locked(own.merge(producers), Reach::Tenant).merge(locked(of_installation, Reach::Installation));
    let signing = Router::new()
        .route("/console/sign-in", get(oidc::ways).post(entry::sign_in))
        .route("/console/oidc/begin", post(oidc::begin))
        .route("/console/oidc/finish", post(oidc::finish))
        .route("/console/sign-out", post(entry::sign_out))
        .with_state(shared);
    Ok(page::routes().merge(signing).nest("/console/api", api))
}
