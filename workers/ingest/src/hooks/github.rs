//! GitHub's webhook event `workflow_run`
//! (<https://docs.github.com/en/webhooks/webhook-events-and-payloads#workflow_run>).
//!
//! A workflow on a branch is one alert: a run that fails fires it, the next that succeeds ends it. Runs that succeed as
//! runs do are nobody's business.

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::{
    domain::{Severity, Status},
    wire::Problem,
};

use super::{
    About, fit,
    lenient::{at, first_text, first_time, number, text},
    object,
    report::{Heard, Key, Post, Report},
};

const REALM: &str = "github";

/// What the OpenAPI document says of it.
pub const ABOUT: About = About {
    operation: "github",
    summary: "GitHub's event `workflow_run`",
    description: "A workflow on a branch is one alert: a run that fails fires it, the next that succeeds ends it. Any other event is \
                  accepted and passed over.",
    payload: || object("`workflow_run`, `workflow` and `repository`; also as the field `payload` of a form."),
};

/// What GitHub posts.
///
/// # Errors
/// 422 for something that is no event of GitHub.
pub fn read(payload: &Value, _now: Timestamp) -> Result<Post, Problem> {
    let Some(run) = at(payload, "workflow_run") else {
        return match at(payload, "zen")
            .or_else(|| at(payload, "repository"))
            .or_else(|| at(payload, "hook_id"))
        {
            Some(_) => Ok(Post::one(Heard::Passed("it is another event than `workflow_run`"))),
            None => Err(Problem::invalid(
                "workflow_run",
                "is missing: let the webhook send the event \"Workflow runs\"",
            )),
        };
    };
    let status = match first_text(run, &["conclusion"]).unwrap_or_default().as_str() {
        "failure" | "timed_out" | "startup_failure" => Status::Firing,
        "success" => Status::Resolved,
        "" => return Ok(Post::one(Heard::Passed("the run is not completed"))),
        _ => return Ok(Post::one(Heard::Passed("the run neither failed nor succeeded"))),
    };
    let repository = first_text(payload, &["repository.full_name", "workflow_run.repository.full_name"])
        .unwrap_or_default();
    let branch = text(run, "head_branch").unwrap_or_default();
    let name =
        first_text(payload, &["workflow_run.name", "workflow.name"]).unwrap_or_else(|| "A workflow".into());
    let how = match text(run, "conclusion").as_deref() {
        Some("timed_out") => "timed out",
        Some("startup_failure") => "could not start",
        Some("success") => "succeeded",
        _ => "failed",
    };
    let place = if branch.is_empty() { repository.clone() } else { format!("{repository} ({branch})") };
    let key = key_of(payload, run, &repository, &branch);
    let mut report = Report::new(key, status, Severity::Warning, format!("{name} {how} in {place}"));
    report.body = body_of(run);
    report.url = fit::url(text(run, "html_url"));
    report.source = Some("github".into());
    report.category = Some("workflow_run".into());
    report.occurred_at = first_time(run, &["updated_at", "run_started_at", "created_at"]);
    for (label, value) in [
        ("repository", Some(repository)),
        ("workflow", Some(name)),
        ("branch", Some(branch)),
        ("event", text(run, "event")),
        ("actor", first_text(run, &["triggering_actor.login", "actor.login"])),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            report.labels.insert(label.into(), value);
        }
    }
    report.data = vec![
        ("run_number", json!(number(run, "run_number"))),
        ("run_attempt", json!(number(run, "run_attempt"))),
        ("head_sha", json!(text(run, "head_sha"))),
    ];
    report.is_change = status == Status::Resolved;
    report.needs_stored = status == Status::Resolved;
    Ok(Post::one(report))
}

/// By the number of the workflow, which stays when it or its repository is renamed, and the branch.
fn key_of(payload: &Value, run: &Value, repository: &str, branch: &str) -> Key {
    let of = |object: &str| first_text(run, &[&format!("{object}.id"), &format!("{object}.full_name")]);
    // A fork may have a branch of the same name.
    let own = of("repository").or_else(|| first_text(payload, &["repository.id", "repository.full_name"]));
    let fork = of("head_repository").filter(|head| Some(head) != own.as_ref()).unwrap_or_default();
    match first_text(payload, &["workflow_run.workflow_id", "workflow.id"]) {
        Some(workflow) => Key::of(REALM, ["workflow", workflow.as_str(), fork.as_str(), branch]),
        None => {
            let name = first_text(payload, &["workflow_run.name", "workflow.name"]).unwrap_or_default();
            Key::of(REALM, ["named", repository, name.as_str(), fork.as_str(), branch])
        }
    }
}

/// Which commit, by whom.
fn body_of(run: &Value) -> Option<String> {
    let message = first_text(run, &["head_commit.message", "display_title"])?;
    let first_line = message.lines().next().unwrap_or_default().to_owned();
    let author = first_text(run, &["head_commit.author.name", "actor.login"]);
    let sha = text(run, "head_sha").map(|sha| sha.chars().take(7).collect::<String>());
    let parts = [Some(first_line), author, sha];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}
