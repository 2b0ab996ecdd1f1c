//! Whether the collector of traces takes spans. It is asked with an empty request, which leaves nothing there.

use watchbell::runtime::config::TracingSection;

use super::finding::Finding;
use crate::traces::{Collector, CollectorError};

const CHECK: &str = "tracing.endpoint";

/// Asks the collector, if one is configured. That it cannot be used as it is configured is said by what the workers need.
pub(super) async fn look(section: &TracingSection) -> Option<Finding> {
    let collector = Collector::of(section, "doctor").ok().flatten()?;
    Some(of_answer(&collector.ask().await))
}

/// What an answer means. Alerts do not need it, so it is no failure of the fleet.
fn of_answer(answer: &Result<(), CollectorError>) -> Finding {
    match answer {
        Ok(()) => Finding::ok(CHECK, "the collector takes spans"),
        Err(error @ CollectorError::Unreachable(_)) => Finding::warn(
            CHECK,
            format!("the collector does not take spans: {error}"),
            "look at its address, the network from here to it and its certificate (tracing.trust_root_file); alerts go on without it",
        ),
        Err(error @ CollectorError::Refused(401 | 403)) => Finding::warn(
            CHECK,
            format!("the collector does not take spans: {error}"),
            "give its token in tracing.headers; alerts go on without it",
        ),
        Err(error @ CollectorError::Refused(_)) => Finding::warn(
            CHECK,
            format!("the collector does not take spans: {error}"),
            "name the address that takes OTLP over HTTP (usually port 4318 and the path /v1/traces); alerts go on without it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn each_answer_has_its_remedy() {
        for (answer, verdict, remedy) in [
            (Ok(()), Verdict::Ok, None),
            (Err(CollectorError::Unreachable("refused".into())), Verdict::Warn, Some("trust_root_file")),
            (Err(CollectorError::Refused(401)), Verdict::Warn, Some("tracing.headers")),
            (Err(CollectorError::Refused(404)), Verdict::Warn, Some("/v1/traces")),
        ] {
            let finding = of_answer(&answer);
            assert_eq!(finding.verdict, verdict);
            match (finding.remedy, remedy) {
                (None, None) => {}
                (Some(given), Some(part)) => assert!(given.contains(part), "{given}"),
                (given, _) => panic!("{given:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_collector_that_is_not_there_is_named() {
        assert_eq!(look(&TracingSection::default()).await, None, "none is configured");
        // Port 9 of this machine has nobody.
        let endpoint = Some("http://127.0.0.1:9".to_owned());
        let finding = look(&TracingSection { endpoint, ..TracingSection::default() }).await;
        assert!(finding.is_some_and(|finding| finding.verdict == Verdict::Warn));
    }
}
