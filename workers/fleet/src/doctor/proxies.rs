//! Proxies that are trusted and cannot all be the operator's.

use watchbell::runtime::config::HttpConfig;

/// What is done about it.
pub(crate) const REMEDY: &str = "name the addresses or ranges of your own proxies, such as 10.0.0.0/8";

/// What such ranges let pass, if there are any.
pub(crate) fn too_wide(http: &HttpConfig) -> Option<String> {
    let wide: Vec<String> = http
        .trusted_proxies
        .iter()
        .filter(|network| network.has_strangers())
        .map(ToString::to_string)
        .collect();
    (!wide.is_empty()).then(|| {
        format!(
            "{} has strangers in it: whoever connects from there may name any address as its own, for limits and logs",
            wide.join(", ")
        )
    })
}
