//! The buttons of an alert, as a producer writes them and as a client is shown them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::schema::{self, list_or_null, of, text, text_or_null, with};
use crate::domain::{
    Action, Answered,
    action::{
        InvalidAction,
        bounds::{ACTION_ID_BYTES_MAX, ACTION_TITLE_CHARS_MAX, ACTIONS_MAX, ANSWER_CHARS_MAX},
    },
};

/// A button of an alert: it leads to `url`, or tells the producer `answer`; exactly one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionV1 {
    /// Its name, unique among the actions of the alert.
    #[schema(value_type = ActionId)]
    id: String,
    /// What stands on the button.
    #[schema(value_type = ActionTitle)]
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::WebAddress, required = false)]
    url: Option<String>,
    /// What the producer is told when a person presses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ActionAnswer, required = false)]
    answer: Option<String>,
}

/// That a person answered an alert, as their own clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Answer)]
pub struct AnswerV1 {
    /// The id of the action.
    #[schema(value_type = ActionId)]
    pub action: String,
    /// When, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
}

impl AnswerV1 {
    /// As it is told.
    pub fn of(answered: &Answered) -> Self {
        Self { action: answered.action.clone(), at: answered.at.to_string() }
    }
}

crate::schemas! {
    /// The id of an action.
    ActionId = text()
        .min_length(Some(1))
        .max_length(Some(ACTION_ID_BYTES_MAX))
        .pattern(Some("^[A-Za-z0-9._-]+$"))
        .format(Some(schema::format("watchbell-action-id")));
    /// What stands on a button.
    ActionTitle = text()
        .min_length(Some(1))
        .max_length(Some(ACTION_TITLE_CHARS_MAX))
        .pattern(Some(schema::line_with_more_than("")));
    /// What an answer says.
    ActionAnswer = text_or_null()
        .min_length(Some(1))
        .max_length(Some(ANSWER_CHARS_MAX))
        .pattern(Some(schema::line_with_more_than("")));
    /// One button.
    WrittenAction called "Action" = with(
        ActionV1::schema(),
        &json!({"oneOf": [
            {"required": ["url"], "properties": {"url": {"type": "string"}, "answer": {"type": "null"}}},
            {"required": ["answer"], "properties": {"answer": {"type": "string"}, "url": {"type": "null"}}},
        ]}),
    ), as ActionV1;
    /// The buttons of an alert, each with an id of its own.
    WrittenActions called "Actions" = list_or_null(of::<WrittenAction>()).max_items(Some(ACTIONS_MAX)), with WrittenAction;
}

impl ActionV1 {
    /// The action, checked.
    ///
    /// # Errors
    /// [`InvalidAction`] names the field.
    pub(super) fn checked(self) -> Result<Action, InvalidAction> {
        Action::new(self.id, self.title, self.url, self.answer)
    }

    /// As a client is shown it.
    pub fn of(action: &Action) -> Self {
        Self {
            id: action.id.clone(),
            title: action.title.clone(),
            url: action.url().map(str::to_owned),
            answer: action.answer().map(str::to_owned),
        }
    }
}

/// Actions as they are stored. One of a form that this version does not know is left out; the others stay.
pub(super) fn stored_actions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Action>, D::Error> {
    let stored: Vec<serde_json::Value> = Vec::deserialize(from)?;
    let known = |value| serde_json::from_value::<ActionV1>(value).ok()?.checked().ok();
    Ok(stored.into_iter().filter_map(known).collect())
}
