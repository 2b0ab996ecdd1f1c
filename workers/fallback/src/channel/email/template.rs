//! What a mailbox is shown: subject, text and HTML, from templates that a team may replace.
//!
//! What holds here:
//! - A team's folder may hold any of `subject.txt`, `email.txt` and `email.html`, and any of them for one language
//!   (`email.de.html`); what it does not hold is built in. They are read and tried out once, at the start.
//! - Everything in the HTML is escaped, whatever its file is called.
//! - A language without words of its own gets English ones; the alert's own text is never translated.
//!
//! A template sees: `title`, `body` (plain text), `body_html` (where the body is Markdown), `image`, `buttons` (each with `title`, `link` and
//! `answers`), `link`, `acknowledge`, `reply_acknowledges` (whether a reply does, too), `unsubscribe`, `severity`, `severity_word`, `color`, `category`, `tenant`,
//! `user`, `occurred_at` (in the reader's zone), `preheader` (the line that lists of mails show), `color_dark`, `lang` and `words` (`open`, `acknowledge`, `reply`, `unsubscribe`, `because`).

use std::{io::ErrorKind, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use watchbell::domain::{
    BodyFormat, Severity, Status, markdown,
    text::{closed, isolated},
};

use crate::channel::{
    error::{SendError, SetupError},
    link,
    message::{AlertContent, Button},
    text,
};

const SUBJECT: &str = "subject.txt";
const TEXT: &str = "email.txt";
const HTML: &str = "email.html";
const BUILT_IN: [(&str, &str); 3] = [
    (SUBJECT, "{% if severity != 'info' %}[{{ severity_word }}] {% endif %}{{ title }}"),
    (TEXT, include_str!("email.txt")),
    (HTML, include_str!("email.html")),
];

/// What a list of mails shows behind a subject, in bytes: more than any has room for.
const PREHEADER_BYTES_MAX: usize = 200;
/// The largest template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 256 * 1024;
/// The most work one rendering may be: a loop without end is an error at the start, not a hang.
const FUEL_MAX: u64 = 200_000;

/// The fixed words of one language.
#[derive(Debug, Clone, Copy)]
struct Words {
    info: &'static str,
    warning: &'static str,
    critical: &'static str,
    open: &'static str,
    acknowledge: &'static str,
    reply: &'static str,
    unsubscribe: &'static str,
    because: &'static str,
    mandatory: &'static str,
}

const ENGLISH: Words = Words {
    info: "Info",
    warning: "Warning",
    critical: "Critical",
    open: "Open",
    acknowledge: "Acknowledge",
    reply: "Or reply to this mail to acknowledge the alert.",
    unsubscribe: "Unsubscribe",
    because: "You get this email because the alert was not seen on a screen or a phone.",
    mandatory: "Such alerts are sent also to those who turned email off.",
};

const LANGUAGES: [(&str, Words); 4] = [
    ("en", ENGLISH),
    (
        "de",
        Words {
            info: "Hinweis",
            warning: "Warnung",
            critical: "Kritisch",
            open: "Öffnen",
            acknowledge: "Quittieren",
            reply: "Auch eine Antwort auf diese E-Mail quittiert die Meldung.",
            unsubscribe: "Abbestellen",
            because: "Diese E-Mail kommt, weil die Meldung auf keinem Bildschirm und keinem Telefon gesehen wurde.",
            mandatory: "Solche Meldungen erhält auch, wer E-Mails abbestellt hat.",
        },
    ),
    (
        "es",
        Words {
            info: "Información",
            warning: "Advertencia",
            critical: "Crítico",
            open: "Abrir",
            acknowledge: "Confirmar",
            reply: "También puede confirmar la alerta respondiendo a este correo.",
            unsubscribe: "Cancelar la suscripción",
            because: "Recibe este correo porque la alerta no se vio en ninguna pantalla ni teléfono.",
            mandatory: "Estas alertas se envían también a quien ha desactivado el correo.",
        },
    ),
    (
        "fr",
        Words {
            info: "Information",
            warning: "Avertissement",
            critical: "Critique",
            open: "Ouvrir",
            acknowledge: "Acquitter",
            reply: "Répondre à cet e-mail acquitte aussi l’alerte.",
            unsubscribe: "Se désabonner",
            because: "Vous recevez cet e-mail parce que l’alerte n’a été vue ni à l’écran ni sur un téléphone.",
            mandatory: "Ces alertes sont envoyées aussi à ceux qui ont désactivé les e-mails.",
        },
    ),
];

/// One email's parts, rendered from the same values.
pub(super) struct EmailParts {
    /// Not fit for a header yet: it may hold whatever the alert holds.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// Where an email leads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Links<'a> {
    pub open: Option<&'a str>,
    pub unsubscribe: Option<&'a str>,
    /// To a page that asks whether the alert is acknowledged.
    pub acknowledge: Option<&'a str>,
    /// Whether a reply acknowledges it as well.
    pub reply_acknowledges: bool,
}

/// Who reads it.
pub(super) struct Reader<'a> {
    /// Their language: a checked tag.
    pub lang: &'a str,
    /// The zone in which times are told.
    pub zone: TimeZone,
}

/// The templates in force.
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// Reads what `folder` holds, and tries everything out.
    ///
    /// # Errors
    /// [`SetupError::Template`] names the file.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, SetupError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL_MAX));
        environment.set_auto_escape_callback(|name| match name.ends_with(".txt") {
            true => AutoEscape::None,
            false => AutoEscape::Html,
        });
        for (name, source) in BUILT_IN {
            environment.add_template(name, source).expect("built in, and tested");
        }
        let mut given = Vec::new();
        if let Some(folder) = folder {
            for (name, source) in templates_of(folder)? {
                let fault = |_| SetupError::Template { name: name.clone(), why: "it is not a template" };
                environment.add_template_owned(name.clone(), source).map_err(fault)?;
                given.push(name);
            }
        }
        let templates = Self(environment);
        for name in given {
            templates.try_out(&name)?;
        }
        Ok(templates)
    }

    /// # Errors
    /// [`SendError::Rejected`] when a template fails on this alert.
    pub(super) fn render(
        &self,
        alert: &AlertContent,
        links: Links<'_>,
        reader: &Reader<'_>,
    ) -> Result<EmailParts, SendError> {
        let part = |base: &str| {
            let name = self.named(base, reader.lang);
            // The error may quote what it was rendering.
            self.one(&name, alert, links, reader)
                .map_err(|_| SendError::Rejected { reason: format!("{name} does not render") })
        };
        Ok(EmailParts { subject: part(SUBJECT)?, text: part(TEXT)?, html: part(HTML)? })
    }

    /// The file for a language: `email.de-AT.html`, else `email.de.html`, else `email.html`.
    fn named(&self, base: &str, lang: &str) -> String {
        let (stem, extension) = base.split_once('.').unwrap_or((base, ""));
        let language = lang.split('-').next().unwrap_or(lang);
        let candidates = [lang, language].map(|tag| format!("{stem}.{tag}.{extension}"));
        let mut found = candidates.into_iter().filter(|name| self.0.get_template(name).is_ok());
        found.next().unwrap_or_else(|| base.to_owned())
    }

    fn one(
        &self,
        name: &str,
        alert: &AlertContent,
        links: Links<'_>,
        reader: &Reader<'_>,
    ) -> Result<String, minijinja::Error> {
        let (lang, zone) = (reader.lang, &reader.zone);
        let words = words_of(lang);
        let (severity_word, color, color_dark) = match alert.severity {
            Severity::Info => (words.info, "#2563eb", "#93c5fd"),
            Severity::Warning => (words.warning, "#b45309", "#fcd34d"),
            Severity::Critical => (words.critical, "#b91c1c", "#fca5a5"),
        };
        // Whoever cannot stop such mails is told why they come.
        let because = match alert.is_mandatory {
            true => format!("{} {}", words.because, words.mandatory),
            false => words.because.to_owned(),
        };
        self.0.get_template(name)?.render(context! {
            title => isolated(&alert.title), body => body_as_text(alert), body_html => body_as_html(alert), image => &alert.image,
            buttons => buttons_of(alert), category => &alert.category,
            tenant => &alert.tenant, user => &alert.user,
            link => links.open, unsubscribe => links.unsubscribe, acknowledge => links.acknowledge, reply_acknowledges => links.reply_acknowledges,
            severity => alert.severity.as_str(), severity_word, color, color_dark, lang, words => context! { open => words.open, acknowledge => words.acknowledge, reply => words.reply, unsubscribe => words.unsubscribe, because => &because },
            preheader => preheader_of(alert).unwrap_or(because),
            occurred_at => alert.occurred_at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        })
    }

    /// With everything there is, and with as little as there may be.
    fn try_out(&self, name: &str) -> Result<(), SetupError> {
        let button = Button {
            id: "a".to_owned(),
            title: "t".to_owned(),
            link: Some("https://example.org/".to_owned()),
            answer: Some("y".to_owned()),
        };
        let image = Some("https://example.org/a.png".to_owned());
        let full = AlertContent { actions: vec![button], image, ..sample(Some("b".to_owned())) };
        let links = Links {
            open: Some("https://example.org/"),
            unsubscribe: Some("https://example.org/u"),
            acknowledge: Some("https://example.org/a"),
            reply_acknowledges: true,
        };
        let reader = Reader { lang: "en", zone: TimeZone::UTC };
        for (alert, links) in [(full, links), (sample(None), Links::default())] {
            if self.one(name, &alert, links, &reader).is_err() {
                return Err(SetupError::Template { name: name.to_owned(), why: "it does not render" });
            }
        }
        Ok(())
    }
}

/// What a list of mails shows behind the subject: the beginning of the body, on one line.
fn preheader_of(alert: &AlertContent) -> Option<String> {
    let body = body_as_text(alert)?;
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    text::shorten(&closed(&line), PREHEADER_BYTES_MAX).filter(|line| !line.is_empty())
}

/// The body without markup.
fn body_as_text(alert: &AlertContent) -> Option<String> {
    let body = isolated(alert.body.as_deref()?);
    Some(match alert.body_format {
        BodyFormat::Text => body.into_owned(),
        BodyFormat::Markdown => markdown::plain(&body),
    })
}

/// A body of Markdown as HTML, in which everything of the alert is escaped already.
fn body_as_html(alert: &AlertContent) -> Option<Value> {
    let body = alert.body.as_deref().filter(|_| alert.body_format == BodyFormat::Markdown)?;
    Some(Value::from_safe_string(markdown::html(&isolated(body))))
}

/// The buttons that lead somewhere. One that answers leads to a page that asks for the answer, because programs follow every
/// link of a mail.
fn buttons_of(alert: &AlertContent) -> Vec<Value> {
    let shown = alert.actions.iter().filter_map(|button| {
        let link = button.link.as_deref().and_then(link::web_url)?;
        Some(context! { title => isolated(&button.title), link => link.as_str(), answers => button.answer.is_some() })
    });
    shown.collect()
}

/// A word in a language nobody wrote down is English.
fn words_of(lang: &str) -> Words {
    let language = lang.split('-').next().unwrap_or(lang);
    let known = LANGUAGES.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(language));
    known.map_or(ENGLISH, |(_, words)| *words)
}

fn templates_of(folder: &Path) -> Result<Vec<(String, String)>, SetupError> {
    let unreadable = |name: &str| SetupError::Template { name: name.to_owned(), why: "it cannot be read" };
    let shown = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|_| unreadable(&shown))? {
        let entry = entry.map_err(|_| unreadable(&shown))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('.').collect();
        let is_ours = match parts.as_slice() {
            ["subject" | "email", "txt"]
            | ["email", "html"]
            | ["subject" | "email", _, "txt"]
            | ["email", _, "html"] => true,
            _ => false, // A README, a picture: somebody else's business.
        };
        if !is_ours {
            continue;
        }
        if entry.metadata().map_err(|_| unreadable(&name))?.len() > TEMPLATE_BYTES_MAX {
            return Err(SetupError::Template { name, why: "it is larger than 256 KiB" });
        }
        let source = std::fs::read_to_string(entry.path()).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => SetupError::Template { name: name.clone(), why: "it is not UTF-8" },
            _ => unreadable(&name),
        })?;
        found.push((name, source));
    }
    Ok(found)
}

fn sample(optional: Option<String>) -> AlertContent {
    AlertContent {
        alert: "a".to_owned(),
        user: "u".to_owned(),
        tenant: "t".to_owned(),
        title: "t".to_owned(),
        body: optional.clone(),
        url: None,
        severity: Severity::Info,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: optional,
        collapse_key: "a".to_owned(),
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        expires_at: Timestamp::UNIX_EPOCH,
        occurred_at: Timestamp::UNIX_EPOCH,
        unread: 1,
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
