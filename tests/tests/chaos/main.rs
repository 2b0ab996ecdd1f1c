//! The chaos proof: kill -9 of every worker in turn while alerts flow, and what must be true afterwards.
//!
//! None lost, none twice in an inbox, change numbers without a hole, everything unseen escalated, nothing seen
//! escalated after its receipt. On both engines. [`proof`] says exactly what each of these means.
//!
//! A run is made from one seed, which it prints; what the machine does between is its own. Settings:
//! - `WATCHBELL_SEED=7` repeats the plan (who is told what, who looks, who is killed when) of an earlier run.
//! - `WATCHBELL_CHAOS=full` is the whole proof: 2,000 alerts, 200 users, every worker killed four times (about 2 minutes).
//!   Without it: 500 alerts, 60 users, every worker twice (about a minute).
//!
//! | file | what |
//! |---|---|
//! | `plan.rs` | what will happen, from the seed: pure |
//! | `storm.rs` | makes it happen: producers, screens, kills |
//! | `producer.rs` | publishes until it hears 202 |
//! | `screen.rs` | a session that comes back with its cursor, and keeps what it was told |
//! | `proof.rs` `escalation.rs` | what must be true, from the inboxes, timelines, arrivals and screens |
//! | `raw_publishes.rs` `raw_plan.rs` | publishes of every kind of bytes among good alerts, and that nothing stops |
//! | `cut_off.rs` | kill -9 between attempt row, provider call and outcome |

#![allow(clippy::unwrap_used)]

mod cut_off;
mod escalation;
mod plan;
mod producer;
mod proof;
mod raw_plan;
mod raw_publishes;
mod screen;
mod storm;

use watchbell_tests::fleet::Engine;

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_is_killed_while_alerts_flow_through_real_services() {
    storm::survive(Engine::Services).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_process_is_killed_while_alerts_flow() {
    storm::survive(Engine::Embedded).await.unwrap();
}
