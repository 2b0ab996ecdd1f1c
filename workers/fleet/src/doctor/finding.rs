//! What one check found: how good that is, in a line, and what to do about it.

use std::fmt;

use serde::Serialize;
use watchbell::runtime::health::Fault;

/// How good what was found is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is as it should be.
    Ok,
    /// It works, and an operator should know of it; or it could not be looked at.
    Warn,
    /// Something does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in the words of the configuration where it has one.
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) found: String,
    /// What an operator does about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    pub(crate) fn warn(
        check: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (check, found, remedy) = (check.into(), found.into(), Some(remedy.into()));
        Self { check, verdict: Verdict::Warn, found, remedy }
    }

    pub(crate) fn fail(
        check: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, found, remedy) }
    }

    /// Something that readiness would call failing, or degraded.
    pub(crate) fn of_fault(check: impl Into<String>, verdict: Verdict, fault: Fault) -> Self {
        let remedy = fault.remedy.unwrap_or("it may pass by itself; if it stays, look at its log");
        Self { verdict, ..Self::warn(check, fault.cause, remedy) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<4}  {:<28}  {}", self.check, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; remedy: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Each finding once, as it is said of several workers alike.
pub(crate) fn without_repetitions(findings: Vec<Finding>) -> Vec<Finding> {
    let mut once: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}
