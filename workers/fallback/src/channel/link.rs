//! Where a message leads: only to the web, and by a relative link only to our own site.

use reqwest::Url;

/// The link of an alert as an address that a reader can open. `base` is what relative links are relative to.
pub(super) fn of_alert(url: Option<&str>, base: Option<&Url>) -> Option<Url> {
    let relative = || {
        let joined = base?.join(url?).ok()?;
        (joined.origin() == base?.origin()).then_some(joined)
    };
    url.and_then(web_url).or_else(relative)
}

/// `text` as an address on the web; nothing when it is of another scheme, or none.
pub(super) fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_link_leads_to_the_web_or_to_our_own_site() {
        let base = web_url("https://alerts.example.com/app/").unwrap();
        for (why, url, base, expected) in [
            ("as it is", Some("https://example.org/a?b=c"), Some(&base), Some("https://example.org/a?b=c")),
            ("relative to ours", Some("/a/1"), Some(&base), Some("https://alerts.example.com/a/1")),
            ("relative to nothing", Some("/a/1"), None, None),
            ("no script", Some("javascript:alert(1)"), Some(&base), None),
            ("another host in disguise", Some("//example.org/a"), Some(&base), None),
            ("none", None, Some(&base), None),
        ] {
            assert_eq!(of_alert(url, base).as_ref().map(Url::as_str), expected, "{why}");
        }
    }
}
