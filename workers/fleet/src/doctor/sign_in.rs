//! Whether operators can sign in by their sign-in service: its discovery document and its keys are read, and nobody signs in.

use jiff::Timestamp;
use watchbell_socket::token::{FreshKeysError, claims_by_fresh_keys};

use super::finding::Finding;
use crate::oidc::{
    config::{ConsoleSection, OidcConfig},
    service::{self, Endpoints, ServiceError, auth_of},
};

const CHECK: &str = "console.oidc";
/// A token of nobody: the keys are read before it is looked at.
const NO_TOKEN: &str = "-";

/// Asks the service, if one is configured. Operators have keys besides, so nothing here is a failure of the fleet.
pub(super) async fn look(section: &ConsoleSection, now: Timestamp) -> Option<Finding> {
    // That it is written wrongly is said when the configuration is read.
    let config = section.oidc().ok().flatten()?;
    let endpoints = match service::client() {
        Ok(http) => service::discover(&http, &config.issuer).await,
        Err(error) => return Some(Finding::warn(CHECK, format!("{error:#}"), "look at the trust roots")),
    };
    Some(match endpoints {
        Err(error) => of_error(&error),
        Ok(endpoints) => of_keys(&config, &endpoints, now).await,
    })
}

fn of_error(error: &ServiceError) -> Finding {
    let remedy = match error {
        ServiceError::Unreachable { .. } => {
            "look at the network and name server from here to console.oidc.issuer, and at the trust roots"
        }
        ServiceError::Refused { .. } | ServiceError::NotUnderstood { .. } => {
            "correct console.oidc.issuer: below it is .well-known/openid-configuration, which names it letter by letter"
        }
    };
    Finding::warn(CHECK, format!("operators cannot sign in by it: {error}"), remedy)
}

async fn of_keys(config: &OidcConfig, endpoints: &Endpoints, now: Timestamp) -> Finding {
    match claims_by_fresh_keys(&auth_of(config, endpoints), NO_TOKEN, now).await {
        Err(FreshKeysError::Keys(error)) => Finding::warn(
            CHECK,
            format!("operators cannot sign in by it: its keys cannot be read: {error:#}"),
            "have the sign-in service sign ID tokens of this client with RS256, ES256 or EdDSA, and look at its `jwks_uri`",
        ),
        Ok(_) | Err(FreshKeysError::Token(_)) if endpoints.knows_s256 == Some(false) => Finding::warn(
            CHECK,
            "the sign-in service says that it does not know PKCE by S256",
            "allow it there: the console sends a challenge with each sign-in",
        ),
        Ok(_) | Err(FreshKeysError::Token(_)) => {
            Finding::ok(CHECK, "the discovery document and the keys of the sign-in service can be read")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn each_answer_has_its_remedy() {
        for (error, remedy) in [
            (ServiceError::Unreachable { what: "it", reason: "no answer came in time" }, "network"),
            (
                ServiceError::NotUnderstood { what: "it", problem: "names another issuer".into() },
                "console.oidc.issuer",
            ),
        ] {
            let finding = of_error(&error);
            assert_eq!(finding.verdict, Verdict::Warn);
            assert!(finding.remedy.is_some_and(|given| given.contains(remedy)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_named() {
        assert_eq!(look(&ConsoleSection::default(), Timestamp::UNIX_EPOCH).await, None, "none is configured");
        // Port 9 of this machine has nobody.
        let toml = "oidc = {issuer = \"http://127.0.0.1:9\", client_id = \"c\", redirect_url = \"http://127.0.0.1:9/console\", \
                    allow = [{value = \"v\", scopes = [\"operations\"]}]}";
        let section: ConsoleSection = toml::from_str(toml).unwrap_or_default();
        let finding = look(&section, Timestamp::UNIX_EPOCH).await;
        assert!(
            finding
                .is_some_and(|finding| finding.verdict == Verdict::Warn && finding.found.contains("reached"))
        );
    }
}
