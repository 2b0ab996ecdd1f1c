//! What a person should know of the answer to an alert.

use serde_json::Value;

use crate::output;

/// What a person should know of an accepted alert.
pub(super) fn notes(answer: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    if answer["duplicate"] == true {
        notes.push("It is recorded already: only who is new to it is told.".to_owned());
    }
    if answer["stale"] == true {
        notes.push("A later version of it is recorded, and that is what people are shown.".to_owned());
    }
    let names: Vec<&str> =
        answer["users_unknown"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !names.is_empty() {
        let all = answer["users_unknown_count"].as_u64().unwrap_or_default();
        let more = all.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "Warning: nobody knows {}{more}: not registered, and never signed in. It waits for them.",
            output::inline(&names.join(", "))
        ));
    }
    let groups: Vec<&str> =
        answer["groups_empty"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !groups.is_empty() {
        notes.push(format!(
            "Warning: nobody is in the group {}, so nobody is told by it.",
            output::inline(&groups.join(", "))
        ));
    }
    notes
}
