//! Receipts on their way to the store: the queue that sessions and requests put them into, and how one is read.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::{mpsc, oneshot};
use watchbell::{
    domain::{
        AlertId, Receipt, ReceiptState, Timestamp, UserKey,
        action::{answer_of, bounds::ACTION_ID_BYTES_MAX, is_action_id},
        alert::UnknownWord,
        receipt::RECEIPT_ALERTS_MAX,
        snooze::until_of,
    },
    store::{AppliedReceipt, ShownContent},
    wire::{content::actions_in, frame::ReceiptFrame, time::time_of},
};

/// Receipts that wait to be written at the most; a session that sends more waits.
const QUEUE_MAX: usize = 4_096;

/// A receipt of more alerts than this costs as much as several: each of them is a row that is changed, and told to every session.
const ALERTS_OF_ONE_MESSAGE: usize = 50;

/// What a receipt of so many alerts costs, in messages of `socket.messages_per_second`.
pub(crate) fn cost_of(alerts: usize) -> usize {
    alerts.div_ceil(ALERTS_OF_ONE_MESSAGE).max(1)
}

/// Where receipts are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receipts {
    queue: mpsc::Sender<QueuedReceipt>,
}

/// The receipts that wait, for the one that writes them.
pub(crate) type ReceiptQueue = mpsc::Receiver<QueuedReceipt>;

/// A receipt on its way, with whoever waits for its outcome.
pub(crate) struct QueuedReceipt {
    pub(crate) receipt: Receipt,
    pub(crate) waiting: Option<oneshot::Sender<ReceiptOutcome>>,
}

/// What a receipt changed, if anything, or why it was not written.
pub(crate) type ReceiptOutcome = Result<Option<AppliedReceipt>, NotWritten>;

/// Why a receipt was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// The pod stopped first: send it to another one.
    Leaving,
    /// The store refuses it, and would refuse it again.
    Impossible,
}

impl Receipts {
    pub(crate) fn new() -> (Self, ReceiptQueue) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { queue }, receiver)
    }

    /// Takes a receipt; its frame tells the session when it is written. Waits when the store is behind.
    pub(crate) async fn put(&self, receipt: Receipt) {
        // Closed only when the pod has stopped, and then no session is left to send anything.
        let _ = self.queue.send(QueuedReceipt { receipt, waiting: None }).await;
    }

    /// Takes a receipt and waits for its outcome.
    pub(crate) async fn write(&self, receipt: Receipt) -> ReceiptOutcome {
        let (outcome, written) = oneshot::channel();
        let queued = self.queue.send(QueuedReceipt { receipt, waiting: Some(outcome) }).await;
        queued.map_err(|_| NotWritten::Leaving)?;
        written.await.unwrap_or(Err(NotWritten::Leaving))
    }
}

/// A receipt as it was read. One that answers is complete once it is known what its action says ([`Self::answering`]).
#[derive(Debug)]
pub(crate) struct ReadReceipt {
    pub(crate) receipt: Receipt,
    /// The action by which the alerts are answered; only of a receipt that answers.
    pub(crate) action: Option<String>,
}

impl ReadReceipt {
    /// The receipt with its answers, by what the alerts say that are shown. The error is about the field `action`.
    pub(crate) fn answering(self, shown: &HashMap<AlertId, ShownContent>) -> Result<CompleteReceipt, String> {
        let Self { mut receipt, action } = self;
        let mut answered_otherwise = Vec::new();
        let Some(action) = action else { return Ok(CompleteReceipt { receipt, answered_otherwise }) };
        for alert in &receipt.alerts {
            let shown = shown.get(alert);
            let actions = shown.map(|shown| actions_in(&shown.content)).unwrap_or_default();
            let answer = answer_of(&actions, &action);
            let answer = answer.ok_or_else(|| {
                format!("is no action with an answer of the version that is shown of the alert {alert}: fetch the inbox")
            })?;
            receipt.answers.insert(alert.clone(), answer);
            let before = shown.and_then(|shown| shown.answered_by.as_deref());
            if before.is_some_and(|before| before != action) {
                answered_otherwise.push(alert.clone());
            }
        }
        Ok(CompleteReceipt { receipt, answered_otherwise })
    }
}

/// A receipt that can be written.
#[derive(Debug)]
pub(crate) struct CompleteReceipt {
    pub(crate) receipt: Receipt,
    /// The alerts that the person answered before by another action: that answer stays. The same action once more is a repetition.
    pub(crate) answered_otherwise: Vec<AlertId>,
}

/// Reads a receipt that `by` (a session) gives for the user. The error names the field and the remedy.
pub(crate) fn receipt_of(
    user: &UserKey,
    by: &str,
    frame: ReceiptFrame,
    now: Timestamp,
) -> Result<ReadReceipt, (&'static str, String)> {
    if frame.alerts.is_empty() || frame.alerts.len() > RECEIPT_ALERTS_MAX {
        return Err(("alerts", format!("must name 1 to {RECEIPT_ALERTS_MAX} alerts")));
    }
    if frame.op.as_ref().is_some_and(|op| op.len() > AlertId::LEN_MAX) {
        return Err(("op", format!("must have at most {} bytes", AlertId::LEN_MAX)));
    }
    if frame.priority_lowered.is_some() {
        let problem = "is said of a push, with its own receipt token over HTTP: leave it out";
        return Err(("priority_lowered", problem.to_owned()));
    }
    let alerts = frame.alerts.iter().map(AlertId::parse).collect::<Result<Vec<_>, _>>();
    let state = frame.state.parse().map_err(|error: UnknownWord| ("state", error.to_string()))?;
    let action = action_of(state, frame.action).map_err(|problem| ("action", problem))?;
    let until = frame
        .until
        .map(|until| time_of(&until))
        .transpose()
        .map_err(|problem| ("until", problem.to_string()))?;
    let receipt = Receipt {
        user: user.clone(),
        alerts: alerts.map_err(|error| ("alerts", error.to_string()))?,
        state,
        until: until_of(state, until, now).map_err(|problem| ("until", problem))?,
        answers: BTreeMap::new(),
        op: frame.op,
        by: by.to_owned(),
        push: None,
    };
    Ok(ReadReceipt { receipt, action })
}

/// The action that a receipt names: only one that answers has one.
fn action_of(state: ReceiptState, action: Option<String>) -> Result<Option<String>, String> {
    match (state, action) {
        (ReceiptState::Answered, None) => Err("is missing: name the action of the alert".to_owned()),
        (ReceiptState::Answered, Some(action)) if !is_action_id(&action) => {
            let max = ACTION_ID_BYTES_MAX;
            Err(format!("must be the id of an action: 1 to {max} of A-Z, a-z, 0-9, `.`, `_` and `-`"))
        }
        (ReceiptState::Answered, action) => Ok(action),
        (_, Some(_)) => Err("belongs to the state answered only: leave it out".to_owned()),
        (_, None) => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{Tenant, UserId};

    use super::*;

    #[test]
    fn an_answer_names_an_action_of_the_version_that_is_shown() {
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let with_actions = r#"{"actions": [{"id": "approve", "title": "Approve", "answer": "yes"},
            {"id": "look", "title": "Look", "url": "https://example.com/"}]}"#;
        let shown = |id: &str, content: &str, answered_by: Option<&str>| {
            let answered_by = answered_by.map(str::to_owned);
            (
                AlertId::parse(id).unwrap(),
                ShownContent {
                    content: content.to_owned(),
                    answered_by,
                    acknowledgement: None,
                    told_since: None,
                },
            )
        };
        let shown: HashMap<AlertId, ShownContent> = [
            shown("a", with_actions, None),
            shown("approved", with_actions, Some("approve")),
            shown("denied", with_actions, Some("deny")),
            shown("plain", "{}", None),
        ]
        .into();
        for (why, state, alert, action, expected) in [
            ("its button", "answered", "a", Some("approve"), Ok(Some("yes"))),
            ("the same once more", "answered", "approved", Some("approve"), Ok(Some("yes"))),
            ("answered otherwise before", "answered", "denied", Some("approve"), Ok(Some("yes"))),
            ("no button named", "answered", "a", None, Err("action: is missing")),
            ("no name of one", "answered", "a", Some("a b"), Err("action: must be the id")),
            ("another's button", "answered", "a", Some("deny"), Err("action: is no action")),
            ("a button that leads somewhere", "answered", "a", Some("look"), Err("action: is no action")),
            ("an alert without buttons", "answered", "plain", Some("approve"), Err("action: is no action")),
            ("an alert of somebody else", "answered", "theirs", Some("approve"), Err("action: is no action")),
            ("a button beside another word", "read", "a", Some("approve"), Err("action: belongs to")),
            ("another word", "read", "a", None, Ok(None)),
        ] {
            let frame = ReceiptFrame {
                alerts: vec![alert.to_owned()],
                state: state.to_owned(),
                until: None,
                action: action.map(str::to_owned),
                op: None,
                priority_lowered: None,
            };
            let read = receipt_of(&user, "tab", frame, Timestamp::UNIX_EPOCH);
            let receipt = read.and_then(|read| read.answering(&shown).map_err(|problem| ("action", problem)));
            match (receipt, expected) {
                (Ok(CompleteReceipt { receipt, answered_otherwise }), Ok(expected)) => {
                    let is_otherwise = why == "answered otherwise before";
                    assert_eq!(!answered_otherwise.is_empty(), is_otherwise, "{why}");
                    let answer = receipt.answers.values().next().map(|answer| answer.text.as_str());
                    assert_eq!(answer, expected, "{why}");
                }
                (Err((field, problem)), Err(expected)) => {
                    let told = format!("{field}: {problem}");
                    assert!(told.starts_with(expected), "{why}: {told}");
                }
                (receipt, _) => panic!("{why}: {receipt:?}"),
            }
        }
    }

    #[test]
    fn a_receipt_costs_by_its_alerts() {
        for (alerts, expected) in [(0, 1), (1, 1), (50, 1), (51, 2), (RECEIPT_ALERTS_MAX, 10)] {
            assert_eq!(cost_of(alerts), expected, "{alerts} alerts");
        }
    }
}
