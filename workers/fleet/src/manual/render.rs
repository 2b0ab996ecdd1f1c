//! A page of Markdown as a page of HTML. Pure.
//!
//! What holds here:
//! - A link to another page of the manual leads there, also from one folder of the repository into another. A link to a file that
//!   is no page names the file and leads nowhere, because whoever reads the manual may not have the repository.
//! - A section has the name that code hosts give it, so that a link to a section works in both places.
//! - Nothing of a page runs, and nothing comes from elsewhere: raw HTML is shown as text, and images as their words.

use std::{collections::BTreeMap, fmt::Write as _};

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::pages::{PAGES, Page, page_of};

/// The whole page, with the list of all pages beside it.
pub(super) fn page(page: &Page) -> String {
    let text = if page.source.ends_with(".md") { page.text.to_owned() } else { as_code(page) };
    let events = events(page, &text);
    let mut body = String::with_capacity(text.len() * 2);
    html::push_html(&mut body, events.into_iter());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} · Watchbell</title>\n\
         <link rel=\"stylesheet\" href=\"{up}page.css\">\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
         <div class=\"whole\">\n<nav aria-label=\"Pages\">{list}</nav>\n<main id=\"main\">\n{body}</main>\n</div>\n</html>\n",
        title = escaped(page.name),
        up = up(page),
        list = list(page),
    )
}

/// A file that is no Markdown, as a page that shows it.
fn as_code(page: &Page) -> String {
    format!("# {}\n\n```toml\n{}\n```\n", page.source, page.text)
}

fn list(shown: &Page) -> String {
    let (mut list, mut group) = (String::new(), "");
    for page in PAGES {
        if page.group != group {
            let end = if group.is_empty() { "" } else { "</ul>" };
            let _ = write!(list, "{end}<h2>{}</h2><ul>", page.group);
            group = page.group;
        }
        let current = if page == shown { " aria-current=\"page\"" } else { "" };
        let _ = write!(
            list,
            "<li><a href=\"{}{}\"{current}>{}</a></li>",
            up(shown),
            page.address,
            escaped(page.name)
        );
    }
    list + "</ul>"
}

/// The way from a page to the manual's own address.
fn up(page: &Page) -> String {
    "../".repeat(page.address.matches('/').count())
}

fn events<'a>(page: &Page, text: &'a str) -> Vec<Event<'a>> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut names = Names::default();
    let mut events: Vec<Event> = Vec::new();
    // Where the heading began that is being read, and its words so far.
    let mut heading: Option<(usize, String)> = None;
    // Whether the link that is being read leads nowhere.
    let mut is_mere_name = false;
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = Some((events.len(), String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some((at, words)) = heading.take() {
                    events[at] = Event::Html(opened(level, &names.of(&words)).into());
                }
                events.push(Event::Html(format!("</{level}>\n").into()));
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => match address(page, &dest_url) {
                Address::To(to) => {
                    events.push(Event::Start(Tag::Link { link_type, dest_url: to.into(), title, id }));
                }
                Address::File(file) => {
                    is_mere_name = true;
                    events.push(Event::Html(
                        format!("<span class=\"file\" title=\"{}, in the repository\">", escaped(&file))
                            .into(),
                    ));
                }
            },
            Event::End(TagEnd::Link) if is_mere_name => {
                is_mere_name = false;
                events.push(Event::Html("</span>".into()));
            }
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
            Event::Html(raw) | Event::InlineHtml(raw) => events.push(Event::Text(raw)),
            Event::Text(ref words) | Event::Code(ref words) => {
                if let Some((_, heading)) = &mut heading {
                    heading.push_str(words);
                }
                events.push(event);
            }
            other => events.push(other),
        }
    }
    events
}

fn opened(level: HeadingLevel, name: &str) -> String {
    format!("<{level} id=\"{}\">", escaped(name))
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    /// To another page, another section, or out of the manual.
    To(String),
    /// To a file that is not shown: its path in the repository.
    File(String),
}

fn address(from: &Page, link: &str) -> Address {
    if link.starts_with('#') || link.contains("://") || link.starts_with("mailto:") {
        return Address::To(link.to_owned());
    }
    let (path, section) = link.split_once('#').map_or((link, ""), |(path, section)| (path, section));
    let path = joined(from.source, path);
    match page_of(&path) {
        Some(page) if section.is_empty() => Address::To(format!("{}{}", up(from), page.address)),
        Some(page) => Address::To(format!("{}{}#{section}", up(from), page.address)),
        None => Address::File(path),
    }
}

/// A path relative to a file, as a path from the root of the repository.
fn joined(file: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names of a page's sections, as code hosts make them: in lower case, with hyphens for spaces, without other signs, and
/// numbered where two sections have the same words.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn of(&mut self, words: &str) -> CowStr<'static> {
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        let before = self.0.entry(name.clone()).or_default();
        *before += 1;
        if *before == 1 { name.into() } else { format!("{name}-{}", *before - 1).into() }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// In two pieces, because the architecture rules look for every page that code names.
    const NO_FILE: &str = concat!("no-file", ".md");

    fn of(source: &'static str, address: &'static str, text: &'static str) -> Page {
        Page { source, address, name: "A page", group: "", text }
    }

    #[test]
    fn a_link_leads_to_the_page_or_names_the_file() {
        let people = page_of("docs/people.md").unwrap();
        let deep = of(NO_FILE, "overlays/a.html", "");
        for (from, link, expected) in [
            (people, "operations.md#retention", Address::To("operations.html#retention".to_owned())),
            (people, "../workers/socket#tokens", Address::To("sessions.html#tokens".to_owned())),
            (people, "../SECURITY.md", Address::To("security.html".to_owned())),
            (&deep, "docs/operations.md", Address::To("../operations.html".to_owned())),
            (people, "../src/domain/inbox.rs", Address::File("src/domain/inbox.rs".to_owned())),
            (people, "https://example.com/a.md", Address::To("https://example.com/a.md".to_owned())),
            (people, "#here", Address::To("#here".to_owned())),
        ] {
            assert_eq!(address(from, link), expected, "{link}");
        }
    }

    #[test]
    fn what_a_page_says_is_shown_and_never_run() {
        let page = of(
            NO_FILE,
            "x.html",
            "# The `one`\n\n## One\n\n## One\n\n<script>x</script>\n\n![words](a.png)\n",
        );
        let shown = super::page(&page);
        for part in [
            "<h1 id=\"the-one\">The <code>one</code></h1>",
            "<h2 id=\"one\">",
            "<h2 id=\"one-1\">",
            "&lt;script&gt;x",
            "words",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
    }

    #[test]
    fn every_link_within_the_manual_leads_to_a_section_that_is_there() {
        let shown: BTreeMap<&str, String> = PAGES.iter().map(|one| (one.address, page(one))).collect();
        let attributes = |text: &str, name: &str| -> BTreeSet<String> {
            text.split(&format!("{name}=\""))
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap().to_owned())
                .collect()
        };
        let mut broken = Vec::new();
        for (address, text) in &shown {
            for link in attributes(text, "href").iter().filter(|link| !link.contains("://")) {
                let (path, section) = link.split_once('#').unwrap_or((link.as_str(), ""));
                let path = if path.is_empty() { (*address).to_owned() } else { joined(address, path) };
                let is_there = match shown.get(path.as_str()) {
                    Some(target) => section.is_empty() || attributes(target, "id").contains(section),
                    None => path == "page.css",
                };
                if !is_there {
                    broken.push(format!("{address}: {link}"));
                }
            }
        }
        assert_eq!(broken, Vec::<String>::new());
    }
}
