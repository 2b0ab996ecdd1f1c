//! `watchbell explain --user USER`: what this person got and did not get, and why.

use anyhow::Context as _;
use jiff::Timestamp;
use watchbell::{domain::UserKey, store::Store};
use watchbell_ingest::{
    EXPLAINED_PER_PAGE_MAX, ExplainedAlert, Explanation, LeftOutAlert, Question, explain, place_of,
};

use crate::{cli_explain::WhichAlerts, output};

/// What is asked about somebody.
pub(super) struct Asked {
    question: Question,
    now: Timestamp,
    limit: usize,
    json: bool,
}

impl Asked {
    pub(super) fn of(which: &WhichAlerts, now: Timestamp) -> anyhow::Result<Self> {
        let severity = which.severity.as_deref().map(str::parse).transpose();
        let until = which.until.as_deref().map(|text| super::moment("--until", text, now)).transpose()?;
        let (since, until) = (super::moment("--since", &which.since, now)?, until.unwrap_or(now));
        super::in_order(since, until)?;
        let question = Question {
            since,
            until,
            severity: severity.context("--severity")?,
            not_seen: which.not_seen,
            after: None,
            limit: EXPLAINED_PER_PAGE_MAX,
        };
        Ok(Self { question, now, limit: usize::try_from(which.limit)?, json: which.json })
    }

    /// Prints the explanation of this person.
    pub(super) async fn answer(mut self, store: &Store, user: &UserKey) -> anyhow::Result<()> {
        let all = self.explained(store, user).await?;
        match self.json {
            true => output::line(serde_json::to_string(&all)?),
            false => lines_of(&all, &self.question).iter().for_each(output::line),
        }
        if all.next.is_some() {
            output::note(format!(
                "There may be more than {}: raise --limit, or ask for a shorter time.",
                self.limit
            ));
        }
        Ok(())
    }

    /// All pages as one, up to the limit.
    async fn explained(&mut self, store: &Store, user: &UserKey) -> anyhow::Result<Explanation> {
        let everybody = |_: Option<&_>| true; // An operator reads the alerts of every key.
        self.question.limit = self.limit.min(EXPLAINED_PER_PAGE_MAX);
        let mut all = explain(store, user, &self.question, &everybody, self.now).await?;
        while let Some(next) = all.next.as_deref().filter(|_| all.alerts.len() < self.limit) {
            self.question.after = place_of(next).ok();
            self.question.limit = (self.limit - all.alerts.len()).min(EXPLAINED_PER_PAGE_MAX);
            let page = explain(store, user, &self.question, &everybody, self.now).await?;
            all.alerts.extend(page.alerts);
            all.next = page.next;
        }
        Ok(all)
    }
}

/// What is printed: what is in the way, then the alerts, then those that left the person out.
fn lines_of(all: &Explanation, question: &Question) -> Vec<String> {
    let title = format!("{} from {:.0} to {:.0}", all.user, question.since, question.until);
    let mut lines = vec![output::inline(&title).into_owned()];
    if all.obstacles.is_empty() {
        lines.push("Nothing is in the way of their alerts now.".to_owned());
    } else {
        lines.push("In the way of their alerts now:".to_owned());
    }
    lines.extend(all.obstacles.iter().map(|obstacle| format!("  {}", output::inline(&obstacle.what))));
    lines.push(String::new());
    if all.alerts.is_empty() {
        lines.push("No alert came to them in this time.".to_owned());
    }
    for alert in &all.alerts {
        let ExplainedAlert { came_at, severity, status, id, title, what, .. } = alert;
        lines.push(format!("{came_at}  {severity:<8} {status:<12} {id}  {}", output::inline(title)));
        lines.push(format!("  {}", output::inline(what)));
    }
    if !all.left_out.is_empty() {
        lines.extend([String::new(), "Alerts for groups or for everyone that they do not have:".to_owned()]);
    }
    for alert in &all.left_out {
        let LeftOutAlert { recorded_at, severity, status, id, title, what, .. } = alert;
        lines.push(format!("{recorded_at}  {severity:<8} {status:<12} {id}  {}", output::inline(title)));
        lines.push(format!("  {}", output::inline(what)));
    }
    if all.more_left_out {
        lines.push("There may be more alerts for groups or for everyone: ask for a shorter time.".to_owned());
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell_ingest::ToldObstacle;

    use super::*;

    fn asked(since: &str, until: Option<&str>, severity: Option<&str>) -> anyhow::Result<Asked> {
        let which = WhichAlerts {
            since: since.to_owned(),
            until: until.map(str::to_owned),
            severity: severity.map(str::to_owned),
            not_seen: false,
            limit: 50,
            json: false,
        };
        Asked::of(&which, "2026-11-30T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_time_is_from_since_to_until() {
        for (why, since, until, expected) in [
            ("up to now", "1h", None, Some(("2026-11-30T11:00:00Z", "2026-11-30T12:00:00Z"))),
            (
                "last night",
                "2026-11-29T22:00:00Z",
                Some("2026-11-30T06:00:00Z"),
                Some(("2026-11-29T22:00:00Z", "2026-11-30T06:00:00Z")),
            ),
            (
                "the hour before the last",
                "2h",
                Some("1h"),
                Some(("2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z")),
            ),
            ("nothing in between", "1h", Some("2h"), None),
            ("since tomorrow", "2026-12-01T12:00:00Z", None, None),
            ("no time", "lately", None, None),
            ("no end", "1h", Some("soon"), None),
        ] {
            let question = asked(since, until, None).ok().map(|asked| asked.question);
            let times = question.map(|question| (question.since.to_string(), question.until.to_string()));
            let expected = expected.map(|(since, until)| (since.to_owned(), until.to_owned()));
            assert_eq!(times, expected, "{why}");
        }
        let unknown = asked("1h", None, Some("dreadful")).err().map(|error| format!("{error:#}"));
        assert_eq!(unknown.unwrap(), "--severity: must be one of info, warning, critical");
    }

    #[test]
    fn everything_is_printed_and_nothing_steers_the_terminal() {
        let question = asked("1h", None, None).unwrap().question;
        let mut all = Explanation {
            user: "ana".to_owned(),
            obstacles: Vec::new(),
            alerts: Vec::new(),
            left_out: Vec::new(),
            more_left_out: false,
            next: None,
        };
        let empty = [
            "ana from 2026-11-30T11:00:00Z to 2026-11-30T12:00:00Z",
            "Nothing is in the way of their alerts now.",
            "",
            "No alert came to them in this time.",
        ];
        assert_eq!(lines_of(&all, &question), empty);
        all.obstacles
            .push(ToldObstacle { kind: "no_device", what: "push: the user has no device".to_owned() });
        all.alerts.push(ExplainedAlert {
            id: "disk".to_owned(),
            version: 1,
            severity: "critical",
            status: "firing",
            title: "Disk\nfull".to_owned(),
            came_at: "2026-11-30T11:30:00Z".to_owned(),
            policy: None,
            state: "new",
            stopped: None,
            due_at: None,
            what: "came · new".to_owned(),
        });
        all.left_out.push(LeftOutAlert {
            id: "late".to_owned(),
            severity: "info",
            status: "resolved",
            title: "Late".to_owned(),
            recorded_at: "2026-11-30T11:20:00Z".to_owned(),
            meant: true,
            what: "it was for everyone".to_owned(),
        });
        all.more_left_out = true;
        let full = [
            "ana from 2026-11-30T11:00:00Z to 2026-11-30T12:00:00Z",
            "In the way of their alerts now:",
            "  push: the user has no device",
            "",
            "2026-11-30T11:30:00Z  critical firing       disk  Disk\\u000afull",
            "  came · new",
            "",
            "Alerts for groups or for everyone that they do not have:",
            "2026-11-30T11:20:00Z  info     resolved     late  Late",
            "  it was for everyone",
            "There may be more alerts for groups or for everyone: ask for a shorter time.",
        ];
        assert_eq!(lines_of(&all, &question), full);
    }
}
