//! What is asked of every token whose signature is checked, whichever key signed it.

use jsonwebtoken::{Algorithm, Validation};
use watchbell::runtime::config::AuthConfig;

/// Signature, audience and issuer; times are checked by `Authenticator::verify`, against its own clock.
pub(crate) fn validation(config: &AuthConfig, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    // What has to be there is asked for by name, so that the refusal can say it.
    validation.required_spec_claims.clear();
    match &config.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    validation
}
