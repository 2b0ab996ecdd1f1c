//! The buttons of an alert: each leads somewhere, or answers its producer.
//!
//! What holds here:
//! - An action that exists is within its bounds ([`bounds`]), and is exactly one of a link and an answer.
//! - An answer is given to the version that is shown: [`answer_of`] finds it among that version's actions, or there is none.
//! - A person answers an alert once: what they said first stays ([`super::inbox::InboxState::after_answer`]).

use super::{
    Timestamp,
    web_address::{LINK_BYTES_MAX, is_link},
};

/// Bounds of actions (I9).
pub mod bounds {
    /// Actions of one alert: as many buttons as fit on a lock screen.
    pub const ACTIONS_MAX: usize = 3;
    /// The id of an action, in bytes.
    pub const ACTION_ID_BYTES_MAX: usize = 64;
    /// The title of an action, in characters: it has to fit a button.
    pub const ACTION_TITLE_CHARS_MAX: usize = 40;
    /// What an answer says, in characters.
    pub const ANSWER_CHARS_MAX: usize = 256;
}

/// One button of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its name, of one alert's actions unique.
    pub id: String,
    /// What stands on the button.
    pub title: String,
    /// What pressing it does.
    pub effect: ActionEffect,
}

/// What pressing a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionEffect {
    /// It opens this address, http or https.
    Open(String),
    /// It tells the producer this.
    Answer(String),
}

/// An answer that a person gave, as its producer is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The id of the action.
    pub action: String,
    /// What stood on the button.
    pub title: String,
    /// What it says to the producer.
    pub text: String,
}

/// That a person has answered an alert, as their own clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The id of the action.
    pub action: String,
    /// When.
    pub at: Timestamp,
}

/// What of an action is wrong, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidAction {
    /// The field of the action.
    pub field: &'static str,
    /// What is wrong with it, and the remedy.
    pub problem: String,
}

impl Action {
    /// An action as a producer wrote it.
    ///
    /// # Errors
    /// [`InvalidAction`] names the field, and repeats no value (I12).
    pub fn new(
        id: String,
        title: String,
        url: Option<String>,
        answer: Option<String>,
    ) -> Result<Self, InvalidAction> {
        use bounds::{ACTION_TITLE_CHARS_MAX, ANSWER_CHARS_MAX};
        let wrong = |field, problem| Err(InvalidAction { field, problem });
        if !is_action_id(&id) {
            let max = bounds::ACTION_ID_BYTES_MAX;
            return wrong("id", format!("must be 1 to {max} of A-Z, a-z, 0-9, `.`, `_` and `-`"));
        }
        if !is_line(&title, ACTION_TITLE_CHARS_MAX) {
            return wrong(
                "title",
                format!("must have 1 to {ACTION_TITLE_CHARS_MAX} characters that can be seen, on one line"),
            );
        }
        let effect = match (url, answer) {
            (Some(url), None) if is_link(&url) => ActionEffect::Open(url),
            (Some(_), None) => {
                let max = LINK_BYTES_MAX;
                return wrong(
                    "url",
                    format!("must begin with https:// or http:// and have at most {max} bytes"),
                );
            }
            (None, Some(answer)) if is_line(&answer, ANSWER_CHARS_MAX) => ActionEffect::Answer(answer),
            (None, Some(_)) => {
                return wrong(
                    "answer",
                    format!("must have 1 to {ANSWER_CHARS_MAX} characters that can be seen, on one line"),
                );
            }
            (Some(_), Some(_)) => {
                return wrong("answer", "stands beside url: an action has exactly one of them".to_owned());
            }
            (None, None) => {
                return wrong("answer", "is missing, and url as well: give one of them".to_owned());
            }
        };
        Ok(Self { id, title, effect })
    }

    /// The address that it opens, if it opens one.
    pub fn url(&self) -> Option<&str> {
        match &self.effect {
            ActionEffect::Open(url) => Some(url),
            ActionEffect::Answer(_) => None,
        }
    }

    /// What it tells the producer, if it answers.
    pub fn answer(&self) -> Option<&str> {
        match &self.effect {
            ActionEffect::Open(_) => None,
            ActionEffect::Answer(answer) => Some(answer),
        }
    }
}

/// Whether a text can be the id of an action.
pub fn is_action_id(text: &str) -> bool {
    (1..=bounds::ACTION_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The answer that this action gives, when it is among these and gives one.
pub fn answer_of(actions: &[Action], id: &str) -> Option<Answer> {
    let action = actions.iter().find(|action| action.id == id)?;
    let text = action.answer()?.to_owned();
    Some(Answer { action: action.id.clone(), title: action.title.clone(), text })
}

fn is_line(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && super::text::is_line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(
        id: &str,
        title: &str,
        url: Option<&str>,
        answer: Option<&str>,
    ) -> Result<Action, InvalidAction> {
        Action::new(id.to_owned(), title.to_owned(), url.map(str::to_owned), answer.map(str::to_owned))
    }

    #[test]
    fn an_action_is_one_button_that_leads_or_answers() {
        let long = |chars: usize| "é".repeat(chars);
        let address = |bytes: usize| format!("https://example.com/{}", "a".repeat(bytes - 20));
        for (why, id, title, url, answer, expected) in [
            ("an answer", "approve", "Approve", None, Some("yes"), None),
            ("a link", "run.book_1-a", "Runbook", Some("https://example.com/r"), None, None),
            ("the longest id", &*"a".repeat(64), "t", None, Some("y"), None),
            ("a longer one", &*"a".repeat(65), "t", None, Some("y"), Some("id")),
            ("no id", "", "t", None, Some("y"), Some("id")),
            ("an id with a blank", "a b", "t", None, Some("y"), Some("id")),
            ("an id of another script", "zażółć", "t", None, Some("y"), Some("id")),
            ("the longest title", "a", &*long(40), None, Some("y"), None),
            ("a longer one", "a", &*long(41), None, Some("y"), Some("title")),
            ("no title", "a", "", None, Some("y"), Some("title")),
            ("a title that nobody sees", "a", "\u{200b}", None, Some("y"), Some("title")),
            ("a title of two lines", "a", "a\nb", None, Some("y"), Some("title")),
            ("the longest answer", "a", "t", None, Some(&*long(256)), None),
            ("a longer one", "a", "t", None, Some(&*long(257)), Some("answer")),
            ("an empty answer", "a", "t", None, Some(""), Some("answer")),
            ("an answer of two lines", "a", "t", None, Some("a\nb"), Some("answer")),
            ("the longest address", "a", "t", Some(&*address(2_048)), None, None),
            ("a longer one", "a", "t", Some(&*address(2_049)), None, Some("url")),
            ("a script", "a", "t", Some("javascript:alert(1)"), None, Some("url")),
            ("a script in disguise", "a", "t", Some("java\tscript:alert(1)"), None, Some("url")),
            ("an address of two lines", "a", "t", Some("https://a\r\nX: y"), None, Some("url")),
            ("both", "a", "t", Some("https://example.com/"), Some("y"), Some("answer")),
            ("neither", "a", "t", None, None, Some("answer")),
        ] {
            let refused = action(id, title, url, answer).err();
            assert_eq!(refused.as_ref().map(|refused| refused.field), expected, "{why}");
        }
    }

    #[test]
    fn only_an_action_that_answers_has_an_answer() {
        let actions: Vec<Action> = [
            action("approve", "Approve", None, Some("yes")),
            action("look", "Look", Some("https://example.com/"), None),
        ]
        .into_iter()
        .flatten()
        .collect();
        let approve = Answer { action: "approve".into(), title: "Approve".into(), text: "yes".into() };
        for (why, id, expected) in [
            ("it answers", "approve", Some(approve)),
            ("it only leads somewhere", "look", None),
            ("there is none of that name", "deny", None),
            ("names are exact", "Approve", None),
        ] {
            assert_eq!(answer_of(&actions, id), expected, "{why}");
        }
    }
}
