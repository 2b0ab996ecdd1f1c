//! Tests of devices: a person asks whether a device of theirs is reached, and it is sent a push that says that it is a test.
//!
//! What holds here:
//! - A test goes past the same guard as every push, to the same provider, and is counted as its call is.
//! - It is looked for in the store, so it needs no queue: whoever finds it has it for a lease.
//! - It keeps quiet about nothing and drops nothing: a token that is gone is told, and the person registers the device anew. The next
//!   alert drops the token, with its note in the timeline of that alert.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::{
    domain::{
        AttemptState, Severity, Status,
        device_test::{DEVICE_TEST_ALERT, DEVICE_TEST_TRIED_FOR},
        next_step::retry_wait,
    },
    runtime::Clock,
    store::{Store, TakenTest, TestResult},
};

use super::{message_sender::MessageSender, not_sent::NotSent};
use crate::{
    channel::{Accepted, AlertContent, Disposition},
    guard::PutOff,
    randomness::Jitter,
};

/// How often tests are looked for: somebody waits in front of a screen.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Tests that are taken at once. Each is one call.
const TAKEN_MAX: usize = 20;
/// What a test says.
const TITLE: &str = "Test notification";
const BODY: &str = "Notifications reach this device.";

/// Sends the tests that people ask for.
pub struct DeviceTester {
    store: Store,
    sender: Arc<MessageSender>,
    clock: Clock,
    jitter: Jitter,
    lease: Duration,
}

impl DeviceTester {
    pub(crate) fn new(
        store: Store,
        sender: Arc<MessageSender>,
        clock: Clock,
        jitter: Jitter,
        lease: Duration,
    ) -> Self {
        Self { store, sender, clock, jitter, lease }
    }

    /// Sends tests until `shutdown`, and ends those that have begun.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            self.step().await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends the tests that are due now.
    pub async fn step(&self) {
        match self.store.take_device_tests(self.clock.now(), self.lease, TAKEN_MAX).await {
            Ok(tests) => {
                join_all(tests.iter().map(|test| self.send(test))).await;
            }
            // Readiness tells of a store that is away.
            Err(error) if error.is_unavailable() => {}
            Err(error) => warn!(%error, "Tests of devices could not be taken; this is tried again"),
        }
    }

    async fn send(&self, test: &TakenTest) {
        let content = content_of(test);
        let sent = self.sender.send_test(test, content, self.clock.now()).await;
        let now = self.clock.now();
        let result = result_of(sent, test, now, (self.jitter)());
        info!(
            tenant = %test.user.tenant,
            // An address in place of an id does not print.
            user = ?test.user.user,
            device = %test.device.id,
            attempt = %test.attempt,
            outcome = result.outcome,
            "Test {} of a device: {}",
            test.attempt,
            result.outcome
        );
        if let Err(error) = self.store.keep_test_result(test, &result, now).await {
            warn!(%error, "What came of a test of a device could not be kept; it is repeated when its lease ends");
        }
    }
}

fn content_of(test: &TakenTest) -> AlertContent {
    AlertContent {
        alert: DEVICE_TEST_ALERT.to_owned(),
        user: test.user.user.as_str().to_owned(),
        tenant: test.user.tenant.to_string(),
        title: TITLE.to_owned(),
        body: Some(BODY.to_owned()),
        url: None,
        severity: Severity::Info,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: DEVICE_TEST_ALERT.to_owned(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: test.asked_at + DEVICE_TEST_TRIED_FOR,
        occurred_at: test.asked_at,
        unread: test.unread,
    }
}

/// What to keep of a try. Pure: time and chance are arguments.
fn result_of(sent: Result<Accepted, NotSent>, test: &TakenTest, now: Timestamp, chance: f64) -> TestResult {
    let ended = |state, outcome| TestResult { state, outcome, next_try_at: None };
    let (outcome, wait) = match sent {
        Ok(_) => return ended(AttemptState::Accepted, "accepted"),
        Err(NotSent::Nowhere(_)) => return ended(AttemptState::Failed, "not_configured"),
        Err(NotSent::PutOff(PutOff { wait, .. })) => ("put_off", wait),
        Err(NotSent::Refused(refusal)) => match refusal.disposition() {
            Disposition::Retry { wait_min } => (refusal.code(), retry_wait(test.tries, wait_min, chance)),
            Disposition::ForgetToken { .. }
            | Disposition::DropMessage
            | Disposition::SuppressAddress
            | Disposition::ConfigFault => return ended(AttemptState::Failed, refusal.code()),
        },
    };
    let next_try_at = now + wait;
    match next_try_at < test.asked_at + DEVICE_TEST_TRIED_FOR {
        true => TestResult { state: AttemptState::Retrying, outcome, next_try_at: Some(next_try_at) },
        false => ended(AttemptState::Failed, outcome),
    }
}

#[cfg(test)]
#[path = "device_tester_tests.rs"]
mod tests;
