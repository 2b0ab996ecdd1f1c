//! The contract of the store: one set of tests, run on SQLite (a file) and on PostgreSQL (a real server).
//!
//! | file | what the store promises there |
//! |---|---|
//! | `recording.rs` | alerts become inbox rows, once, under change numbers without gaps (I2, I3) |
//! | `worse.rs` | a later version that is worse is told anew, one that is not rings nobody again (I13) |
//! | `publications.rs` | one id and version is one text; who makes what; who was known before |
//! | `receipts.rs` | what people say changes their inbox and ends escalations (I5) |
//! | `group_receipts.rs` | who takes an alert on for a group, who passes it on, and what that does to the others (I4, I5) |
//! | `snoozes.rs` | what a person put off comes back unseen at its time, once (I3, I5) |
//! | `returns.rs` | what its producer suppressed until a time fires again then |
//! | `reading.rs` | pages and replay lose nothing, from wherever they start (I3) |
//! | `searching.rs` | a search finds the same on both engines, and looks at a bounded number of rows (I15) |
//! | `timers.rs` | a due row has one holder; attempts are written first (I4, I5, I6) |
//! | `steps.rs` | many escalations stepped in one commit, each as it would be alone (I5, I6) |
//! | `refusals.rs` | what cannot be stored is refused, with its code and alone; what is only away is waited for |
//! | `audit_log.rs` | who changed what, in the commit of the change |
//! | `api_keys.rs` | keys of producers: scopes, ends, secrets, last use |
//! | `registry.rs` | users, groups, devices; tokens go only on proof (I7), walls hold (I8) |
//! | `broadcast_channels.rs` | a broadcast channel is made once for an alert, an app and an environment, and wakes in place of those who listen (I6, I15) |
//! | `live_activities.rs` | a Live Activity is taken once, woken by what changes, and goes on proof or with its end (I5, I7, I8) |
//! | `device_tests.rs` | a test of a device is taken once, and what came of it stays with the device (I6) |
//! | `people.rs` | people, groups and alerts by page; everything about one person (I17) |
//! | `presence.rs` | who is there shortens first waits and does nothing else; preferences (I4) |
//! | `restraint.rs` | escalations that wait are told of in one; one seen for all; no timer is lost (I4) |
//! | `bounces.rs` | mails that come back: each counts once, and says something of its own address alone (I7) |
//! | `digests.rs` | what comes of a mail counts for each alert that it told of, and for what it told of alone |
//! | `channels.rs` | what was kept in a column for each channel is kept by channel, and nothing of it is lost |
//! | `timeline.rs` | what happened can be told afterwards |
//! | `explained.rs` | what one person got and did not get can be told without the id of an alert |
//! | `plans.rs` `plans/` | what a statement reads does not grow with what is behind it (I15) |
//! | `topics.rs` | the last events of a topic, in order, once, no more than were asked for |
//! | `history.rs` | a store that was put back tells another history; a schema that is behind or ahead is seen |
//! | `crashes.rs` | whatever dies, what was answered stays, and half of nothing stays (I1) |
//! | `migrations.rs` | a migration makes nobody wait for long, and one that was interrupted is continued |
//! | `expansions.rs` | what is left of large audiences is gone through in turns, and never mixed up (I16) |
//! | `retention.rs` | what is old or too much goes, what goes on stays, and nobody believes to have what is gone (I17) |
//! | `outbox.rs` | what became of alerts is written in the same commit, and told at least once, with one id (I1) |
//! | `erasure.rs` | a person is erased everywhere, and nobody else loses anything by it (I17) |
//! | `fixture.rs` | a store for one test, and short ways to ask it and to step an escalation |

/// Runs each test on each engine, with a store of its own.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() -> anyhow::Result<()> {
                    super::$test(&super::StoreFixture::sqlite().await?).await
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() -> anyhow::Result<()> {
                    super::$test(&super::StoreFixture::postgres().await?).await
                }
            )+
        }
    };
}

mod api_keys;
mod audit_log;
mod bounces;
mod broadcast_channels;
mod channels;
mod crashes;
mod device_tests;
mod digests;
mod erasure;
mod expansions;
mod explained;
mod fixture;
mod group_receipts;
mod history;
mod live_activities;
mod migrations;
mod outbox;
mod people;
mod plans;
mod presence;
mod publications;
mod reading;
mod receipts;
mod recording;
mod refusals;
mod registry;
mod restraint;
mod retention;
mod returns;
mod searching;
mod snoozes;
mod steps;
mod timeline;
mod timers;
mod topics;
mod worse;
